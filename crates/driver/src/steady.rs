//! The time of the runs, made from clocks that cannot be trusted: the wall's may be set, and the machine may sleep.
//! It must never read a clock: what the clocks say is given to it, by the shell and by the simulator.

use model::Time;

/// Below this a difference is a slow machine or a clock that is being slewed.
pub const TOLERATED_US: i64 = 2 * Time::SECOND_US;
/// How far a record may take it ahead of the wall. What was recorded by a clock that was wrong by more has to be waited for.
const AHEAD_MAX_US: i64 = 366 * 24 * 3600 * Time::SECOND_US;

/// Follows the wall clock, and stays where that is set back until it has caught up.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    wall: Time,
    monotonic_us: i64,
    ahead_us: i64,
}

impl Steady {
    pub fn start(wall: Time, monotonic_us: i64) -> Self {
        Self { wall, monotonic_us, ahead_us: 0 }
    }

    /// The time at this moment of the wall clock.
    pub fn at(&self, wall: Time) -> Time {
        wall.plus_us(self.ahead_us)
    }

    /// When it was last looked at, on the clock that only waiting moves.
    pub fn looked_us(&self) -> i64 {
        self.monotonic_us
    }

    /// Something was recorded at this time, which may be later than what the wall clock says now.
    pub fn not_before(&mut self, at: Time) {
        let ahead_us = at.0.saturating_sub(self.wall.0);
        if ahead_us > self.ahead_us && ahead_us <= AHEAD_MAX_US {
            self.ahead_us = ahead_us;
        }
    }

    /// Looks at the clocks. `busy_us`: of the time since the last look, what was worked or was meant to be waited. Answers how much
    /// of it was not: the machine slept, this process was stopped, or the wall clock was set forward.
    pub fn look(&mut self, wall: Time, monotonic_us: i64, busy_us: i64) -> i64 {
        let waited_us = monotonic_us.saturating_sub(self.monotonic_us).max(0);
        let passed_us = wall.0.saturating_sub(self.wall.0);
        (self.wall, self.monotonic_us) = (wall, monotonic_us);
        let leap_us = passed_us - waited_us;
        let made_up_us = if leap_us < -TOLERATED_US {
            -leap_us
        } else if leap_us > TOLERATED_US {
            // It is set to where it was before, or to where the time is.
            -leap_us.min(self.ahead_us)
        } else {
            0
        };
        self.ahead_us += made_up_us;
        let passed_us = passed_us + made_up_us;
        if passed_us > busy_us + TOLERATED_US { passed_us - busy_us.max(0) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = Time::SECOND_US;

    /// (wall, monotonic, busy) of each look, and what is seen: (time, slept), in seconds.
    fn looks(of: &[(i64, i64, i64)]) -> Vec<(i64, i64)> {
        let mut steady = Steady::start(Time(1000 * S), 0);
        of.iter()
            .map(|(wall, monotonic, busy)| {
                let slept = steady.look(Time(wall * S), monotonic * S, busy * S);
                (steady.at(Time(wall * S)).0 / S, slept / S)
            })
            .collect()
    }

    #[test]
    fn time_that_passes_in_order_is_the_walls() {
        assert_eq!(looks(&[(1001, 1, 1), (1004, 4, 3), (1005, 5, 0)]), [(1001, 0), (1004, 0), (1005, 0)]);
    }

    #[test]
    fn ten_minutes_asleep_are_seen_and_do_not_count() {
        // Suspended: only the wall's clock went on. Stopped: both did.
        assert_eq!(looks(&[(1601, 1, 1)]), [(1601, 600)]);
        assert_eq!(looks(&[(1601, 601, 1)]), [(1601, 600)]);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_hold_up_time() {
        let day = 24 * 3600;
        // And when it is set right again, that is no sleep.
        assert_eq!(looks(&[(1001 - day, 1, 1), (1002 - day, 2, 1), (1003, 3, 1)]), [(1001, 0), (1002, 0), (1003, 0)]);
    }

    #[test]
    fn what_was_recorded_by_a_clock_that_was_ahead_is_not_waited_for() {
        let mut steady = Steady::start(Time(1000 * S), 0);
        steady.not_before(Time(5000 * S));
        assert_eq!(steady.at(Time(1001 * S)), Time(5001 * S));
        // Not by years.
        steady.not_before(Time(i64::MAX));
        assert_eq!(steady.at(Time(1001 * S)), Time(5001 * S));
    }
}
