//! The pairs of the coverage tables that no log can have, each with the reason.
//! It must never name a pair that is merely hard to reach.

/// Table, rows, columns (`*` for all), reason. The first that fits counts.
pub const IMPOSSIBLE: &[(&str, &str, &str, &str)] = &[
];
