//! Numbers as Go parses and prints them: `strconv.ParseInt(s, 0, 64)`, `ParseFloat`, `FormatFloat`, `json.Marshal`.
//! It must never know YAML.

/// `strconv.ParseInt(text, 0, 64)` for text without underscores: sign, then `0x`, `0o`, `0b`, `0` or decimal digits.
pub fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = parse_uint(digits)?;
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// `strconv.ParseUint(text, 0, 64)` for text without underscores.
pub fn parse_uint(text: &str) -> Option<u64> {
    let (radix, digits) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &text[2..]),
        [b'0', b'o' | b'O', ..] => (8, &text[2..]),
        [b'0', b'b' | b'B', ..] => (2, &text[2..]),
        [b'0', _, ..] => (8, &text[1..]),
        _ => (10, text),
    };
    // Rust would take a sign here.
    if !digits.bytes().next()?.is_ascii_alphanumeric() {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// `strconv.ParseFloat` of decimal text; what overflows is an error there.
pub fn parse_float(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    value.is_finite().then_some(value)
}

/// `json.Marshal` of a finite float: ES6 form, exponents from 1e21 and below 1e-6, cleaned (`1e-7`, `1e+21`).
pub fn float_json(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        };
    }
    float_plain(value)
}

/// `strconv.FormatFloat(value, 'f', -1, 64)`: the shortest digits that read back, never an exponent.
pub fn float_plain(value: f64) -> String {
    format!("{value}")
}

/// `strconv.FormatFloat(value, 'g', -1, 32)`, with which sigs.k8s.io/yaml names a map key that is a float.
pub fn float_key(value: f64) -> String {
    let single = value as f32;
    if single.is_nan() {
        return ".nan".into();
    }
    if single.is_infinite() {
        return if single > 0.0 { ".inf".into() } else { "-.inf".into() };
    }
    let text = format!("{single:e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // %g with the shortest precision turns to exponents below -4 and from 21 on.
    if (-4..21).contains(&exponent) {
        return format!("{single}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_gos_prefixes() {
        assert_eq!(parse_int("0777"), Some(511));
        assert_eq!(parse_int("0o17"), Some(15));
        assert_eq!(parse_int("-0x1F"), Some(-31));
        assert_eq!(parse_int("08"), None);
        assert_eq!(parse_int("--1"), None);
        assert_eq!(parse_int("9223372036854775808"), None);
        assert_eq!(parse_int("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_uint("18446744073709551615"), Some(u64::MAX));
    }

    #[test]
    fn floats_print_as_json_does() {
        assert_eq!(float_json(1e21), "1e+21");
        assert_eq!(float_json(1e20), "100000000000000000000");
        assert_eq!(float_json(1e-7), "1e-7");
        assert_eq!(float_json(0.000001), "0.000001");
        assert_eq!(float_json(-0.0), "-0");
        assert_eq!(float_plain(1e21), "1000000000000000000000");
    }
}
