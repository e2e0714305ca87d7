//! Decimal arithmetic as shopspring/decimal does it, so that 0.1 + 0.2 is 0.3.
//! It must never know values.

/// `digits × 10^scale`; what does not fit 128 bits goes on as a float.
#[derive(Debug, Clone, Copy)]
pub(super) enum Decimal {
    Exact { digits: i128, scale: i32 },
    Float(f64),
}

/// Decimal places that a division keeps.
const PLACES: i32 = 16;

impl Decimal {
    pub const ZERO: Decimal = Decimal::Exact { digits: 0, scale: 0 };

    /// The shortest decimal that reads back as this float.
    pub fn from_float(f: f64) -> Result<Self, String> {
        if f.is_nan() {
            return Err("Cannot create a Decimal from NaN".to_owned());
        }
        if f.is_infinite() {
            return Err(format!("Cannot create a Decimal from {}", crate::gofmt::float(f)));
        }
        let text = format!("{f:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}").parse();
        let exponent: i32 = exponent.parse().unwrap_or(0);
        Ok(match digits {
            Ok(digits) => Decimal::Exact { digits, scale: exponent - fraction.len() as i32 },
            Err(_) => Decimal::Float(f),
        })
    }

    pub fn to_float(self) -> f64 {
        match self {
            Decimal::Exact { digits, scale } => format!("{digits}e{scale}").parse().unwrap_or(f64::NAN),
            Decimal::Float(f) => f,
        }
    }
}

fn scaled(digits: i128, by: i32) -> Option<i128> {
    digits.checked_mul(10i128.checked_pow(u32::try_from(by).ok()?)?)
}

/// Both digits at the smaller of the scales.
fn aligned(a: Decimal, b: Decimal) -> Option<(i128, i128, i32)> {
    let (Decimal::Exact { digits: x, scale: s }, Decimal::Exact { digits: y, scale: t }) = (a, b) else {
        return None;
    };
    let scale = s.min(t);
    Some((scaled(x, s - scale)?, scaled(y, t - scale)?, scale))
}

pub(super) fn add(a: Decimal, b: Decimal) -> Decimal {
    let exact = aligned(a, b).and_then(|(x, y, scale)| x.checked_add(y).map(|digits| Decimal::Exact { digits, scale }));
    exact.unwrap_or_else(|| Decimal::Float(a.to_float() + b.to_float()))
}

pub(super) fn subtract(a: Decimal, b: Decimal) -> Decimal {
    let exact = aligned(a, b).and_then(|(x, y, scale)| x.checked_sub(y).map(|digits| Decimal::Exact { digits, scale }));
    exact.unwrap_or_else(|| Decimal::Float(a.to_float() - b.to_float()))
}

pub(super) fn multiply(a: Decimal, b: Decimal) -> Decimal {
    if let (Decimal::Exact { digits: x, scale: s }, Decimal::Exact { digits: y, scale: t }) = (a, b)
        && let Some(digits) = x.checked_mul(y)
    {
        return Decimal::Exact { digits, scale: s.saturating_add(t) };
    }
    Decimal::Float(a.to_float() * b.to_float())
}

/// Rounds half away from zero at 16 places.
pub(super) fn divide(a: Decimal, b: Decimal) -> Result<Decimal, String> {
    if b.to_float() == 0.0 {
        return Err("decimal division by 0".to_owned());
    }
    let exact = aligned(a, b).and_then(|(x, y, _)| {
        let numerator = scaled(x, PLACES)?;
        let (quotient, rest) = (numerator / y, numerator % y);
        let up = rest.checked_abs()?.checked_mul(2)? >= y.checked_abs()?;
        let sign = if (numerator < 0) == (y < 0) { 1 } else { -1 };
        let digits = if up { quotient.checked_add(sign)? } else { quotient };
        Some(Decimal::Exact { digits, scale: -PLACES })
    });
    Ok(exact.unwrap_or_else(|| Decimal::Float(a.to_float() / b.to_float())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenths_add_up() {
        let number = |f| Decimal::from_float(f).unwrap();
        assert_eq!(add(number(0.1), number(0.2)).to_float(), 0.3);
        assert_eq!(divide(number(1.0), number(3.0)).unwrap().to_float(), 0.333_333_333_333_333_3);
        assert!(divide(number(1.0), number(0.0)).is_err());
        assert_eq!(multiply(number(1e300), number(1e300)).to_float(), f64::INFINITY);
    }
}
