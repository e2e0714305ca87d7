//! What an evaluation is given from outside, and the budget it may spend.
//! It must never know a clock, a source of randomness, or what is evaluated.

use std::cell::Cell;

/// Time, seed and limits of one evaluation. Every limit that is reached is an error.
#[derive(Debug, Clone)]
pub struct Context {
    /// `now`, in microseconds since the Unix epoch.
    pub now_us: i64,
    /// What random functions draw from; the same seed gives the same values.
    pub seed: u64,
    /// Operations and elements touched.
    pub steps_max: u64,
    /// Bytes of strings and elements made, counted as if nothing were freed.
    pub bytes_max: u64,
    /// Nesting of syntax and of values.
    pub depth_max: usize,
    /// Bytes of source text.
    pub source_max: usize,
}

impl Default for Context {
    fn default() -> Self {
        Context { now_us: 0, seed: 0, steps_max: 5_000_000, bytes_max: 64 << 20, depth_max: 100, source_max: 1 << 20 }
    }
}

/// Elements that the ranges, arrays and repeated strings of one run may have: expr-lang's memory budget.
pub const ELEMENTS_MAX: i64 = 1_000_000;

/// The message upstream gives when its memory budget is spent; ours for every budget of size.
pub const MEMORY: &str = "memory budget exceeded";

/// What has been spent so far.
pub(crate) struct Budget<'a> {
    pub context: &'a Context,
    steps: Cell<u64>,
    bytes: Cell<u64>,
    draws: Cell<u64>,
    elements: Cell<i64>,
}

impl<'a> Budget<'a> {
    pub fn new(context: &'a Context) -> Self {
        Budget { context, steps: Cell::new(0), bytes: Cell::new(0), draws: Cell::new(0), elements: Cell::new(0) }
    }

    /// Counts work.
    pub fn step(&self, count: usize) -> Result<(), String> {
        let total = self.steps.get().saturating_add(count as u64);
        self.steps.set(total);
        if total > self.context.steps_max { Err("step budget exceeded".to_owned()) } else { Ok(()) }
    }

    /// Counts bytes before they are allocated.
    pub fn bytes(&self, count: usize) -> Result<(), String> {
        let total = self.bytes.get().saturating_add(count as u64);
        self.bytes.set(total);
        if total > self.context.bytes_max { Err(MEMORY.to_owned()) } else { Ok(()) }
    }

    /// Counts elements as upstream's memory budget does; each of them costs bytes as well.
    pub fn elements(&self, count: usize) -> Result<(), String> {
        let total = self.elements.get().saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        self.elements.set(total);
        if total >= ELEMENTS_MAX { Err(MEMORY.to_owned()) } else { self.bytes(count * size_of::<crate::Value>()) }
    }

    /// The next number of the seeded sequence (SplitMix64).
    pub fn draw(&self) -> u64 {
        let count = self.draws.get().wrapping_add(1);
        self.draws.set(count);
        let mut z = self.context.seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Now as a moment in UTC.
    pub fn now(&self) -> crate::time::Instant {
        crate::time::Instant::from_unix_nanos(i128::from(self.context.now_us) * 1000, crate::time::Zone::Utc)
    }

    /// Checks how deep a new value is nested, so that nothing that walks it can overflow the stack.
    pub fn admit(&self, value: &crate::Value) -> Result<(), String> {
        self.depth(value, self.context.depth_max)
    }

    fn depth(&self, value: &crate::Value, left: usize) -> Result<(), String> {
        use crate::Value;
        if left == 0 {
            return Err("value is nested too deeply".to_owned());
        }
        match value {
            Value::List(items) | Value::Slice(_, items) => {
                self.step(items.len())?;
                items.iter().try_for_each(|item| self.depth(item, left - 1))
            }
            Value::Map(entries) | Value::StrMap(entries) => {
                self.step(entries.len())?;
                entries.values().try_for_each(|item| self.depth(item, left - 1))
            }
            Value::AnyMap(_, pairs) => {
                self.step(pairs.len())?;
                pairs.iter().try_for_each(|(_, item)| self.depth(item, left - 1))
            }
            _ => Ok(()),
        }
    }
}
