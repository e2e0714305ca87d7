//! Go's `time.Duration` as text.
//! It must never know values.

use super::quote;

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// `time.ParseDuration`, in nanoseconds.
///
/// # Errors
/// Go's text.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let whole: u64 = if digits == 0 { 0 } else { rest[..digits].parse().map_err(|_| invalid())? };
        if whole > 1 << 63 {
            return Err(invalid());
        }
        rest = &rest[digits..];
        let (mut fraction, mut scale, mut fraction_digits) = (0u64, 1f64, 0);
        if let Some(after) = rest.strip_prefix('.') {
            fraction_digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let mut overflow = false;
            for digit in after[..fraction_digits].bytes() {
                if overflow || fraction > (u64::MAX >> 1) / 10 {
                    overflow = true;
                    continue;
                }
                fraction = fraction * 10 + u64::from(digit - b'0');
                scale *= 10.0;
            }
            rest = &after[fraction_digits..];
        }
        if digits == 0 && fraction_digits == 0 {
            return Err(invalid());
        }
        let unit_length = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        if unit_length == 0 {
            return Err(format!("time: missing unit in duration {}", quote(text)));
        }
        let name = &rest[..unit_length];
        let Some(unit) = UNITS.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit) else {
            return Err(format!("time: unknown unit {} in duration {}", quote(name), quote(text)));
        };
        rest = &rest[unit_length..];
        let mut part = whole.checked_mul(unit).ok_or_else(invalid)?;
        if fraction > 0 {
            part = part.checked_add((fraction as f64 * (unit as f64 / scale)) as u64).ok_or_else(invalid)?;
        }
        total = total.checked_add(part).ok_or_else(invalid)?;
        if total > 1 << 63 {
            return Err(invalid());
        }
    }
    if negative {
        return Ok((total as i64).wrapping_neg());
    }
    i64::try_from(total).map_err(|_| invalid())
}

/// `Duration.String`: `1h2m3.5s`, `1.5ms`, `0s`.
pub fn format_duration(nanoseconds: i64) -> String {
    let size = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    if size == 0 {
        return "0s".to_owned();
    }
    if size < 1_000_000_000 {
        let (unit, name) = match size {
            0..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "\u{b5}s"),
            _ => (1_000_000, "ms"),
        };
        return format!("{sign}{}{name}", decimal(size / unit, size % unit, unit));
    }
    let (seconds, rest) = (size / 1_000_000_000, size % 1_000_000_000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let last = decimal(seconds % 60, rest, 1_000_000_000);
    if hours > 0 {
        format!("{sign}{hours}h{minutes}m{last}s")
    } else if minutes > 0 {
        format!("{sign}{minutes}m{last}s")
    } else {
        format!("{sign}{last}s")
    }
}

fn decimal(whole: u64, part: u64, unit: u64) -> String {
    if part == 0 {
        return whole.to_string();
    }
    let width = unit.to_string().len() - 1;
    let digits = format!("{part:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        for text in ["1h2m3.5s", "1.5ms", "-90s", "2h", "100ns", "1m35s"] {
            let parsed = parse_duration(text).unwrap();
            assert_eq!(parse_duration(&format_duration(parsed)).unwrap(), parsed, "{text}");
        }
        assert_eq!(format_duration(3_600_000_000_000), "1h0m0s");
        assert_eq!(parse_duration("1d").unwrap_err(), "time: unknown unit \"d\" in duration \"1d\"");
        assert_eq!(parse_duration("").unwrap_err(), "time: invalid duration \"\"");
        assert_eq!(parse_duration("5").unwrap_err(), "time: missing unit in duration \"5\"");
        assert!(parse_duration("99999999999999999999h").is_err());
        assert!(parse_duration("\u{e9}").is_err());
    }
}
