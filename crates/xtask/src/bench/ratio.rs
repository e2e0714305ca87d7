//! Medians of ratios over interleaved rounds: absolute times drift by a factor of two, ratios of neighbours do not.
//! It must never know what was measured.

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratio {
    pub what: String,
    pub against: &'static str,
    pub median: f64,
    pub budget: f64,
}

impl Ratio {
    /// From (ours, theirs) of each round, in any one unit. `None` without rounds.
    pub fn of(what: &str, against: &'static str, budget: f64, rounds: &[(f64, f64)]) -> Option<Self> {
        let ratios = rounds.iter().map(|(ours, theirs)| ours / theirs).collect();
        Some(Self { what: what.to_owned(), against, median: median(ratios)?, budget })
    }

    pub fn line(&self) -> String {
        let Self { what, against, median, budget } = self;
        let verdict = if median <= budget { "met" } else { "missed" };
        format!("| {what} | {median:.2} × {against} | ≤ {budget:.2} | {verdict} |")
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let upper = *values.get(half)?;
    Some(if values.len() % 2 == 1 { upper } else { (values[half - 1] + upper) / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_ratios_is_not_the_ratio_of_medians() {
        let ratio = Ratio::of("x", "make", 1.5, &[(1.0, 1.0), (8.0, 4.0), (9.0, 1.0)]).unwrap();
        assert_eq!(ratio.median, 2.0);
        assert_eq!(ratio.line(), "| x | 2.00 × make | ≤ 1.50 | missed |");
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(Ratio::of("x", "make", 1.0, &[]), None);
    }
}
