//! Instants and spans as data: microseconds since 1970-01-01T00:00:00Z.
//! It must never read a clock.

use serde::{Deserialize, Serialize};

/// An instant in microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    pub const SECOND_US: i64 = 1_000_000;

    pub fn plus_us(self, us: i64) -> Self {
        Self(self.0.saturating_add(us))
    }

    pub fn plus_seconds(self, seconds: i64) -> Self {
        self.plus_us(seconds.saturating_mul(Self::SECOND_US))
    }

    /// Microseconds from `earlier` to `self`; 0 if that is in the future.
    pub fn since_us(self, earlier: Self) -> i64 {
        (self.0 - earlier.0).max(0)
    }

    /// Whole seconds since the epoch, rounded down: Argo's `metav1.Time` has this resolution.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(Self::SECOND_US)
    }
}
