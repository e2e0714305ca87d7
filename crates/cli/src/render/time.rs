//! Times of day and durations as text for people.
//! It must never be read by a program: `-o json` has RFC 3339.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::Time;
use std::sync::OnceLock;

fn zone() -> &'static TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(|| TimeZone::try_system().unwrap_or(TimeZone::UTC))
}

/// `12:00:01`, local time.
pub fn clock(time: Time) -> String {
    local(time, "%H:%M:%S")
}

/// `2026-01-02 12:00:01`, local time.
pub fn date(time: Time) -> String {
    local(time, "%Y-%m-%d %H:%M:%S")
}

fn local(time: Time, format: &str) -> String {
    let stamp = Timestamp::from_microsecond(time.0).unwrap_or_default();
    stamp.to_zoned(zone().clone()).strftime(format).to_string()
}

/// `0.2s`, `12.3s`, `4m07s`, `2h03m`, `3d4h`.
pub fn duration(us: i64) -> String {
    let seconds = us.max(0) / Time::SECOND_US;
    if seconds < 60 {
        let tenths = us.max(0) / 100_000;
        return format!("{}.{}s", tenths / 10, tenths % 10);
    }
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    if hours == 0 {
        format!("{minutes}m{:02}s", seconds % 60)
    } else if hours < 48 {
        format!("{hours}h{:02}m", minutes % 60)
    } else {
        format!("{}d{}h", hours / 24, hours % 24)
    }
}

/// `512 B`, `1.5 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_places_that_matter() {
        let second = Time::SECOND_US;
        for (us, text) in [
            (-5, "0.0s"),
            (1_234_567, "1.2s"),
            (59 * second + 999_999, "59.9s"),
            (247 * second, "4m07s"),
            (2 * 3600 * second + 180 * second, "2h03m"),
            (76 * 3600 * second, "3d4h"),
        ] {
            assert_eq!(duration(us), text);
        }
        assert_eq!((bytes(512).as_str(), bytes(3 << 19).as_str()), ("512 B", "1.5 MiB"));
    }
}
