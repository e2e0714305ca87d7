//! The clock and chance: the only place of the driver that reads either.
//! It must never be read by a machine: both enter there as data.

use model::Time;
use std::fs::File;
use std::io::{self, Read};
use std::time::{SystemTime, UNIX_EPOCH};

/// This machine's wall clock.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// A clock that only waiting moves, in microseconds. It goes on while a process is stopped, and not while the machine sleeps.
pub fn monotonic_us() -> i64 {
    of(rustix::time::ClockId::Monotonic)
}

/// Processor time that this process has spent, in microseconds.
pub fn spent_us() -> i64 {
    of(rustix::time::ClockId::ProcessCPUTime)
}

fn of(clock: rustix::time::ClockId) -> i64 {
    let now = rustix::time::clock_gettime(clock);
    now.tv_sec * Time::SECOND_US + now.tv_nsec / 1000
}

/// Bytes that nobody can guess.
///
/// # Errors
/// The system gives none.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A source of seeds: one a step, without a system call for each (splitmix64).
pub struct Seeds(u64);

impl Seeds {
    /// # Errors
    /// The system gives no chance to begin with.
    pub fn new() -> io::Result<Self> {
        random().map(|bytes| Self(u64::from_le_bytes(bytes)))
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
