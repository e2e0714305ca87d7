//! Go's reference-layout formatting of times (`2006-01-02 15:04:05`).
//! It must never know a clock.

use crate::time::Instant;

pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(crate) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A piece of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    LongMonth,
    ShortMonth,
    Month,
    ZeroMonth,
    LongWeekday,
    ShortWeekday,
    Day,
    SpaceDay,
    ZeroDay,
    SpaceYearDay,
    ZeroYearDay,
    Hour24,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    /// Offsets: `Z` for UTC, colons, seconds, and whether minutes are left out.
    Offset {
        zulu: bool,
        colon: bool,
        seconds: bool,
        short: bool,
    },
    /// `.000`: the separator and as many digits.
    Fraction(char, usize),
    /// `.999`: without trailing zeros.
    ShortFraction(char, usize),
}

/// The literal text before the next piece, the piece, and the layout after it.
pub(crate) fn next_piece(layout: &str) -> Option<(&str, Piece, &str)> {
    for (at, c) in layout.char_indices() {
        let rest = &layout[at..];
        let before = layout[..at].bytes().next_back();
        if let Some((piece, length)) = piece_at(c, rest, before) {
            return Some((&layout[..at], piece, &rest[length..]));
        }
    }
    None
}

fn piece_at(c: char, rest: &str, before: Option<u8>) -> Option<(Piece, usize)> {
    let starts = |text: &str| rest.starts_with(text);
    let lower_after = |length: usize| rest[length..].bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let found = match c {
        'J' if starts("January") => (Piece::LongMonth, 7),
        'J' if starts("Jan") && !lower_after(3) => (Piece::ShortMonth, 3),
        'M' if starts("Monday") => (Piece::LongWeekday, 6),
        'M' if starts("Mon") && !lower_after(3) => (Piece::ShortWeekday, 3),
        'M' if starts("MST") => (Piece::ZoneName, 3),
        '0' if starts("002") => (Piece::ZeroYearDay, 3),
        '0' => match rest.as_bytes().get(1) {
            Some(b'1') => (Piece::ZeroMonth, 2),
            Some(b'2') => (Piece::ZeroDay, 2),
            Some(b'3') => (Piece::ZeroHour12, 2),
            Some(b'4') => (Piece::ZeroMinute, 2),
            Some(b'5') => (Piece::ZeroSecond, 2),
            Some(b'6') => (Piece::Year, 2),
            _ => return None,
        },
        '1' if starts("15") => (Piece::Hour24, 2),
        '1' => (Piece::Month, 1),
        '2' if starts("2006") => (Piece::LongYear, 4),
        '2' => (Piece::Day, 1),
        // "_2006" is a literal underscore and a year.
        '_' if starts("_2006") => return None,
        '_' if starts("__2") => (Piece::SpaceYearDay, 3),
        '_' if starts("_2") => (Piece::SpaceDay, 2),
        '3' => (Piece::Hour12, 1),
        '4' => (Piece::Minute, 1),
        '5' => (Piece::Second, 1),
        'P' if starts("PM") => (Piece::UpperPm, 2),
        'p' if starts("pm") => (Piece::LowerPm, 2),
        '-' | 'Z' => return offset_at(c, rest),
        '.' | ',' => return fraction_at(c, rest, before),
        _ => return None,
    };
    Some(found)
}

fn offset_at(c: char, rest: &str) -> Option<(Piece, usize)> {
    let zulu = c == 'Z';
    let digits = rest.get(1..)?;
    let forms = [("07:00:00", true, true), ("070000", false, true), ("07:00", true, false), ("0700", false, false)];
    for (text, colon, seconds) in forms {
        if digits.starts_with(text) {
            return Some((Piece::Offset { zulu, colon, seconds, short: false }, 1 + text.len()));
        }
    }
    digits.starts_with("07").then_some((Piece::Offset { zulu, colon: false, seconds: false, short: true }, 3))
}

fn fraction_at(c: char, rest: &str, _before: Option<u8>) -> Option<(Piece, usize)> {
    let digit = rest.as_bytes().get(1).copied().filter(|byte| matches!(byte, b'0' | b'9'))?;
    let count = rest.bytes().skip(1).take_while(|&byte| byte == digit).count();
    // A fraction is not followed by another digit.
    if rest.as_bytes().get(1 + count).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let piece = if digit == b'0' { Piece::Fraction(c, count) } else { Piece::ShortFraction(c, count) };
    Some((piece, 1 + count))
}

/// `Time.Format`.
pub fn format_time(time: &Instant, layout: &str) -> String {
    let civil = time.civil();
    let (offset, name) = time.zone.at(time.unix);
    let hour12 = if civil.hour.is_multiple_of(12) { 12 } else { civil.hour % 12 };
    let month = MONTHS[(civil.month as usize + 11) % 12];
    let weekday = WEEKDAYS[civil.weekday as usize % 7];
    let mut out = String::new();
    let mut rest = layout;
    while let Some((literal, piece, after)) = next_piece(rest) {
        out.push_str(literal);
        rest = after;
        let text = match piece {
            Piece::LongMonth => month.to_owned(),
            Piece::ShortMonth => month[..3].to_owned(),
            Piece::Month => civil.month.to_string(),
            Piece::ZeroMonth => format!("{:02}", civil.month),
            Piece::LongWeekday => weekday.to_owned(),
            Piece::ShortWeekday => weekday[..3].to_owned(),
            Piece::Day => civil.day.to_string(),
            Piece::SpaceDay => format!("{:2}", civil.day),
            Piece::ZeroDay => format!("{:02}", civil.day),
            Piece::SpaceYearDay => format!("{:3}", civil.year_day),
            Piece::ZeroYearDay => format!("{:03}", civil.year_day),
            Piece::Hour24 => format!("{:02}", civil.hour),
            Piece::Hour12 => hour12.to_string(),
            Piece::ZeroHour12 => format!("{hour12:02}"),
            Piece::Minute => civil.minute.to_string(),
            Piece::ZeroMinute => format!("{:02}", civil.minute),
            Piece::Second => civil.second.to_string(),
            Piece::ZeroSecond => format!("{:02}", civil.second),
            Piece::LongYear if civil.year < 0 => format!("-{:04}", -civil.year),
            Piece::LongYear => format!("{:04}", civil.year),
            Piece::Year => format!("{:02}", civil.year.rem_euclid(100)),
            Piece::UpperPm => (if civil.hour >= 12 { "PM" } else { "AM" }).to_owned(),
            Piece::LowerPm => (if civil.hour >= 12 { "pm" } else { "am" }).to_owned(),
            Piece::ZoneName if name.is_empty() => numeric_zone(offset),
            Piece::ZoneName => name.clone(),
            Piece::Offset { zulu: true, .. } if offset == 0 => "Z".to_owned(),
            Piece::Offset { colon, seconds, short, .. } => format_offset(offset, colon, seconds, short),
            Piece::Fraction(mark, digits) => format!("{mark}{}", fraction(time.nanos, digits)),
            Piece::ShortFraction(mark, digits) => {
                let text = fraction(time.nanos, digits);
                let text = text.trim_end_matches('0');
                if text.is_empty() { String::new() } else { format!("{mark}{text}") }
            }
        };
        out.push_str(&text);
    }
    out.push_str(rest);
    out
}

fn fraction(nanos: u32, digits: usize) -> String {
    let mut text = format!("{nanos:09}");
    if digits <= 9 {
        text.truncate(digits);
    } else {
        text.push_str(&"0".repeat(digits - 9));
    }
    text
}

/// A zone without a name prints its offset.
fn numeric_zone(offset: i32) -> String {
    let minutes = offset.abs() / 60;
    let sign = if offset < 0 { '-' } else { '+' };
    if minutes % 60 == 0 {
        format!("{sign}{:02}", minutes / 60)
    } else {
        format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
    }
}

fn format_offset(offset: i32, colon: bool, seconds: bool, short: bool) -> String {
    let size = offset.abs();
    let sign = if offset < 0 { '-' } else { '+' };
    let mark = if colon { ":" } else { "" };
    let mut text = format!("{sign}{:02}", size / 3600);
    if !short {
        text.push_str(&format!("{mark}{:02}", size / 60 % 60));
        if seconds {
            text.push_str(&format!("{mark}{:02}", size % 60));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Zone;

    #[test]
    fn formats_layouts() {
        let time = Instant::from_unix(1_709_209_845, 678_000_000, Zone::Utc);
        for (layout, text) in [
            ("2006-01-02T15:04:05Z07:00", "2024-02-29T12:30:45Z"),
            ("Mon Jan _2 15:04:05 MST 2006", "Thu Feb 29 12:30:45 UTC 2024"),
            ("3:04PM", "12:30PM"),
            ("15:04:05.000", "12:30:45.678"),
            ("Monday, January 2 __2", "Thursday, February 29  60"),
            ("", ""),
        ] {
            assert_eq!(format_time(&time, layout), text, "{layout}");
        }
    }
}
