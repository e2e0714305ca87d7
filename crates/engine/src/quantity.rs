//! Kubernetes quantities: `500m`, `2`, `4Gi`, `1e3` (apimachinery `resource.Quantity`).
//! It must never know what is measured.

use alloc::format;
use alloc::string::String;

const BINARY: [(&str, u64); 6] =
    [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("Ti", 1 << 40), ("Pi", 1 << 50), ("Ei", 1 << 60)];
const DECIMAL: [(&str, u64); 6] = [
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

/// What Kubernetes calls GPUs. A machine has devices of one maker, and whichever is asked for is one of them.
pub const GPUS: [&str; 2] = ["nvidia.com/gpu", "amd.com/gpu"];

/// A quantity in thousandths, rounded up, saturating.
pub fn millis(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let suffix_at = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(suffix_at);
    let scale = scale(suffix);
    match (decimal_millis(number), scale) {
        (Some(millis), Some(Scale::Times(factor))) => Ok(clamp(millis.saturating_mul(u128::from(factor)))),
        (Some(millis), Some(Scale::Thousandth)) => Ok(clamp(millis.div_ceil(1000))),
        (Some(millis), Some(Scale::Exponent(exponent))) => Ok(clamp(scaled(millis, exponent))),
        _ => Err(format!("'{text}' is not a quantity; write a number with a suffix such as m, k, M, Ki, Mi or Gi")),
    }
}

/// A quantity in whole units, rounded up.
pub fn whole(text: &str) -> Result<u64, String> {
    millis(text).map(|millis| millis.div_ceil(1000))
}

enum Scale {
    Times(u64),
    Thousandth,
    Exponent(i32),
}

fn scale(suffix: &str) -> Option<Scale> {
    if suffix.is_empty() {
        return Some(Scale::Times(1));
    }
    if suffix == "m" {
        return Some(Scale::Thousandth);
    }
    let named = BINARY.iter().chain(&DECIMAL).find(|(name, _)| *name == suffix);
    if let Some((_, factor)) = named {
        return Some(Scale::Times(*factor));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some(Scale::Exponent(exponent))
}

/// `12.5` as 12500.
fn decimal_millis(text: &str) -> Option<u128> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    let rest = fraction.bytes().skip(3).any(|b| b != b'0');
    let thousandths: u128 = digits.parse().ok()?;
    Some(whole.saturating_mul(1000) + thousandths + u128::from(rest))
}

fn scaled(millis: u128, exponent: i32) -> u128 {
    let steps = exponent.unsigned_abs().min(40);
    let factor = 10u128.saturating_pow(steps);
    if exponent >= 0 { millis.saturating_mul(factor) } else { millis.div_ceil(factor) }
}

fn clamp(millis: u128) -> u64 {
    u64::try_from(millis).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, expected) in [
            ("1", 1000),
            ("500m", 500),
            ("0.5", 500),
            ("1.2345", 1235),
            ("4Gi", 0),
            ("1k", 1_000_000),
            ("1e3", 1_000_000),
            ("15e-1", 1500),
        ] {
            let expected = if text == "4Gi" { (4u64 << 30) * 1000 } else { expected };
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
        for text in ["", "x", "1x", "-1", "1 Gi", "."] {
            assert!(millis(text).is_err(), "{text}");
        }
    }
}
