//! Floating point numbers as Go's `%v`, `%e`, `%f` and `%g` print them.
//! It must never know values.

/// `%v`: the shortest text that reads back the same, with an exponent below 1e-4 and from 1e+06 on.
pub fn float(f: f64) -> String {
    shortest(f, 6)
}

/// `strconv.FormatFloat(f, 'g', -1, 64)`, where the exponent form begins at `10^threshold`.
pub fn shortest(f: f64, threshold: i32) -> String {
    if f.is_nan() {
        return "NaN".to_owned();
    }
    if f.is_infinite() {
        return if f > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    if f == 0.0 {
        return if f.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let scientific = exponent(f);
    let power: i32 = scientific.rfind('e').and_then(|at| scientific[at + 1..].parse().ok()).unwrap_or(0);
    if power < -4 || power >= threshold { scientific } else { format!("{f}") }
}

/// `%e` with the shortest digits: `1.5e+21`, `1e-07`.
pub fn exponent(f: f64) -> String {
    let text = format!("{f:e}");
    let Some(at) = text.rfind('e') else { return text };
    let (digits, power) = (&text[..at], &text[at + 1..]);
    let (sign, power) = match power.strip_prefix('-') {
        Some(rest) => ('-', rest),
        None => ('+', power),
    };
    format!("{digits}e{sign}{power:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_like_go() {
        for (f, text) in [
            (1.0, "1"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.234567e+06"),
            (1e20, "1e+20"),
            (1e21, "1e+21"),
            (1e-5, "1e-05"),
            (0.0001, "0.0001"),
            (1_704_153_600.0, "1.7041536e+09"),
        ] {
            assert_eq!(float(f), text);
        }
        assert_eq!(shortest(1_704_153_600.0, 21), "1704153600");
        assert_eq!(float(f64::NEG_INFINITY), "-Inf");
    }
}
