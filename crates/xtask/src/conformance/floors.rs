//! How many manifests of the default folders match, at least. A count goes up when a rule was added, and never down.
//! It must never hold a number that was not measured.

/// Trees that are the same in every field.
pub const WHOLE: usize = 96;
/// Runs that end in the same phase, whole trees included.
pub const SAME_PHASE: usize = 110;
