//! Bugs that the simulator plants in the product's own code, to prove that it would find them.
//! It must never be on in a build that people get: without `--cfg planted` every question is answered with a constant false.

/// The planted bugs. Each is one line where the product asks `planted::is(…)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    LaunchBeforeAppend = 1,
    AnswerBeforeCommit,
    MissingFence,
    AcknowledgedBeforeAppend,
    AttemptNumberUsedTwice,
    PlaceNotReleasedOnTerminate,
    TimerLostOnRestart,
    DoubleSpawn,
    PassedPlaceCountedAsFree,
}

impl Bug {
    pub const ALL: [Self; 9] = [
        Self::LaunchBeforeAppend,
        Self::AnswerBeforeCommit,
        Self::MissingFence,
        Self::AcknowledgedBeforeAppend,
        Self::AttemptNumberUsedTwice,
        Self::PlaceNotReleasedOnTerminate,
        Self::TimerLostOnRestart,
        Self::DoubleSpawn,
        Self::PassedPlaceCountedAsFree,
    ];
}

#[cfg(planted)]
static ACTIVE: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// Whether this bug is planted.
#[cfg(planted)]
pub fn is(bug: Bug) -> bool {
    ACTIVE.load(core::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Whether this bug is planted: never.
#[cfg(not(planted))]
pub fn is(_bug: Bug) -> bool {
    false
}

/// Plants one bug, or none.
#[cfg(planted)]
pub fn plant(bug: Option<Bug>) {
    ACTIVE.store(bug.map_or(0, |bug| bug as u8), core::sync::atomic::Ordering::Relaxed);
}
