//! Go's reference-layout parsing of times.
//! It must never know a clock.

use super::quote;
use super::time_format::{MONTHS, Piece, WEEKDAYS, next_piece};
use crate::time::{Instant, Zone, days_from_civil};

#[derive(Default)]
struct Fields {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: u32,
    pm: bool,
    am: bool,
    offset: Option<i32>,
    zulu: bool,
    zone_name: String,
}

enum Fault {
    Bad,
    Range(&'static str),
}

/// `time.ParseInLocation(layout, text, zone)`.
///
/// # Errors
/// Go's text.
pub fn parse_time(layout: &str, text: &str, zone: &Zone) -> Result<Instant, String> {
    let mut fields = Fields::default();
    let (mut layout_rest, mut value) = (layout, text);
    loop {
        let (literal, piece, after) = match next_piece(layout_rest) {
            Some((literal, piece, after)) => (literal, Some(piece), after),
            None => (layout_rest, None, ""),
        };
        let element = &layout_rest[literal.len()..layout_rest.len() - after.len()];
        value = skip(value, literal).ok_or_else(|| cannot(layout, text, value, literal))?;
        let Some(piece) = piece else {
            if value.is_empty() {
                return assemble(fields, zone).map_err(|part| range_error(layout, text, part));
            }
            return Err(format!("parsing time {}: extra text: {}", quote(text), quote(value)));
        };
        layout_rest = after;
        let held = value;
        value = match read(piece, value, &mut fields) {
            Ok(rest) => rest,
            Err(Fault::Bad) => return Err(cannot(layout, text, held, element)),
            Err(Fault::Range(part)) => return Err(range_error(layout, text, part)),
        };
        // A fraction after the seconds is read even if the layout does not say so.
        if matches!(piece, Piece::Second | Piece::ZeroSecond)
            && !matches!(next_piece(after), Some(("", Piece::Fraction(..) | Piece::ShortFraction(..), _)))
            && value.starts_with(['.', ','])
            && value.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
        {
            let digits = value[1..].bytes().take_while(u8::is_ascii_digit).count();
            fields.nanos = nanoseconds(&value[1..=digits]);
            value = &value[1 + digits..];
        }
    }
}

fn cannot(layout: &str, text: &str, value: &str, element: &str) -> String {
    format!("parsing time {} as {}: cannot parse {} as {}", quote(text), quote(layout), quote(value), quote(element))
}

fn range_error(_layout: &str, text: &str, part: &str) -> String {
    format!("parsing time {}: {part} out of range", quote(text))
}

/// Literal text must match; spaces in the layout match any run of spaces.
fn skip<'t>(value: &'t str, literal: &str) -> Option<&'t str> {
    let mut value = value;
    let mut literal = literal;
    while let Some(c) = literal.chars().next() {
        if c == ' ' {
            if !value.is_empty() && !value.starts_with(' ') {
                return None;
            }
            literal = literal.trim_start_matches(' ');
            value = value.trim_start_matches(' ');
            continue;
        }
        value = value.strip_prefix(c)?;
        literal = &literal[c.len_utf8()..];
    }
    Some(value)
}

/// Reads between `least` and `most` digits.
fn digits(value: &str, least: usize, most: usize) -> Result<(i64, &str), Fault> {
    let count = value.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return Err(Fault::Bad);
    }
    Ok((value[..count].parse().map_err(|_| Fault::Bad)?, &value[count..]))
}

fn within(number: i64, least: i64, most: i64, part: &'static str) -> Result<i64, Fault> {
    if (least..=most).contains(&number) { Ok(number) } else { Err(Fault::Range(part)) }
}

/// Reads up to two digits, at least `least`, into a field with limits.
fn number<'t>(
    value: &'t str,
    least: usize,
    (low, high, part): (i64, i64, &'static str),
    field: &mut i64,
) -> Result<&'t str, Fault> {
    let (found, rest) = digits(value, least, 2)?;
    *field = within(found, low, high, part)?;
    Ok(rest)
}

fn lookup<'t>(names: &[&str], value: &'t str, short: bool) -> Result<(usize, &'t str), Fault> {
    for (index, name) in names.iter().enumerate() {
        let name = if short { &name[..3] } else { name };
        if value.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return Ok((index, &value[name.len()..]));
        }
    }
    Err(Fault::Bad)
}

fn nanoseconds(digits: &str) -> u32 {
    let mut text: String = digits.chars().take(9).collect();
    while text.len() < 9 {
        text.push('0');
    }
    text.parse().unwrap_or(0)
}

fn read<'t>(piece: Piece, value: &'t str, fields: &mut Fields) -> Result<&'t str, Fault> {
    let rest = match piece {
        Piece::LongYear => {
            let (year, rest) = digits(value, 4, 4)?;
            fields.year = year;
            rest
        }
        Piece::Year => {
            let (year, rest) = digits(value, 2, 2)?;
            fields.year = if year >= 69 { year + 1900 } else { year + 2000 };
            rest
        }
        Piece::LongMonth | Piece::ShortMonth => {
            let (index, rest) = lookup(&MONTHS, value, piece == Piece::ShortMonth)?;
            fields.month = Some(index as i64 + 1);
            rest
        }
        Piece::Month | Piece::ZeroMonth => {
            let (month, rest) = digits(value, if piece == Piece::ZeroMonth { 2 } else { 1 }, 2)?;
            fields.month = Some(within(month, 1, 12, "month")?);
            rest
        }
        Piece::LongWeekday | Piece::ShortWeekday => lookup(&WEEKDAYS, value, piece == Piece::ShortWeekday)?.1,
        Piece::Day | Piece::SpaceDay | Piece::ZeroDay => {
            let value = if piece == Piece::SpaceDay { value.strip_prefix(' ').unwrap_or(value) } else { value };
            let (day, rest) = digits(value, if piece == Piece::ZeroDay { 2 } else { 1 }, 2)?;
            fields.day = Some(day);
            rest
        }
        Piece::SpaceYearDay | Piece::ZeroYearDay => {
            let (day, rest) = digits(value.trim_start_matches(' '), 1, 3)?;
            fields.year_day = Some(day);
            rest
        }
        Piece::Hour24 => number(value, 1, (0, 23, "hour"), &mut fields.hour)?,
        Piece::Hour12 => number(value, 1, (0, 12, "hour"), &mut fields.hour)?,
        Piece::ZeroHour12 => number(value, 2, (0, 12, "hour"), &mut fields.hour)?,
        Piece::Minute => number(value, 1, (0, 59, "minute"), &mut fields.minute)?,
        Piece::ZeroMinute => number(value, 2, (0, 59, "minute"), &mut fields.minute)?,
        Piece::Second => number(value, 1, (0, 59, "second"), &mut fields.second)?,
        Piece::ZeroSecond => number(value, 2, (0, 59, "second"), &mut fields.second)?,
        Piece::UpperPm | Piece::LowerPm => read_pm(piece, value, fields)?,
        Piece::Offset { zulu, colon, seconds, short } => read_offset(value, zulu, colon, seconds, short, fields)?,
        Piece::ZoneName => read_zone(value, fields)?,
        Piece::Fraction(_, count) => {
            let text = value.get(1..=count).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            fields.nanos = nanoseconds(text.filter(|_| value.starts_with(['.', ','])).ok_or(Fault::Bad)?);
            &value[1 + count..]
        }
        Piece::ShortFraction(..) => {
            let count = value.bytes().skip(1).take_while(u8::is_ascii_digit).count();
            if !value.starts_with(['.', ',']) || count == 0 {
                return Ok(value);
            }
            fields.nanos = nanoseconds(&value[1..=count]);
            &value[1 + count..]
        }
    };
    Ok(rest)
}

fn read_pm<'t>(piece: Piece, value: &'t str, fields: &mut Fields) -> Result<&'t str, Fault> {
    let (pm, am) = if piece == Piece::UpperPm { ("PM", "AM") } else { ("pm", "am") };
    if let Some(rest) = value.strip_prefix(pm) {
        fields.pm = true;
        return Ok(rest);
    }
    if let Some(rest) = value.strip_prefix(am) {
        fields.am = true;
        return Ok(rest);
    }
    Err(Fault::Bad)
}

fn read_offset<'t>(
    value: &'t str,
    zulu: bool,
    colon: bool,
    seconds: bool,
    short: bool,
    fields: &mut Fields,
) -> Result<&'t str, Fault> {
    if zulu && let Some(rest) = value.strip_prefix('Z') {
        fields.zulu = true;
        return Ok(rest);
    }
    let negative = match value.as_bytes().first() {
        Some(b'+') => false,
        Some(b'-') => true,
        _ => return Err(Fault::Bad),
    };
    let colon_or = |rest: &'t str| if colon { rest.strip_prefix(':').ok_or(Fault::Bad) } else { Ok(rest) };
    let (hours, mut rest) = digits(&value[1..], 2, 2)?;
    let (mut minutes, mut secs) = (0, 0);
    if !short {
        (minutes, rest) = digits(colon_or(rest)?, 2, 2)?;
        if seconds {
            (secs, rest) = digits(colon_or(rest)?, 2, 2)?;
        }
    }
    if hours > 24 || minutes > 60 || secs > 60 {
        return Err(Fault::Range("time zone offset"));
    }
    let size = (hours * 3600 + minutes * 60 + secs) as i32;
    fields.offset = Some(if negative { -size } else { size });
    Ok(rest)
}

fn read_zone<'t>(value: &'t str, fields: &mut Fields) -> Result<&'t str, Fault> {
    if let Some(rest) = value.strip_prefix("UTC") {
        fields.zulu = true;
        return Ok(rest);
    }
    let capitals = value.bytes().take_while(u8::is_ascii_uppercase).count();
    let signed = matches!(value.as_bytes().first(), Some(b'+' | b'-'));
    let length = if signed {
        let count = value[1..].bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 || value[1..=count].parse::<u32>().map_or(true, |hours| hours > 23) {
            return Err(Fault::Bad);
        }
        1 + count
    } else {
        match capitals {
            3 => 3,
            4 if value.as_bytes().get(3) == Some(&b'T') || value.starts_with("WITA") => 4,
            5 if value.as_bytes().get(4) == Some(&b'T') => 5,
            _ => return Err(Fault::Bad),
        }
    };
    fields.zone_name = value[..length].to_owned();
    Ok(&value[length..])
}

fn assemble(mut fields: Fields, zone: &Zone) -> Result<Instant, &'static str> {
    if fields.pm && fields.hour < 12 {
        fields.hour += 12;
    } else if fields.am && fields.hour == 12 {
        fields.hour = 0;
    }
    let leap = fields.year % 4 == 0 && (fields.year % 100 != 0 || fields.year % 400 == 0);
    if let Some(day) = fields.year_day {
        if day < 1 || day > 365 + i64::from(leap) {
            return Err("day-of-year");
        }
        if fields.month.is_none() && fields.day.is_none() {
            fields.month = Some(1);
            fields.day = Some(day);
        }
    } else {
        let month = fields.month.unwrap_or(1);
        let length = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if fields.day.is_some_and(|day| day < 1 || day > length) {
            return Err("day");
        }
    }
    let days = days_from_civil(fields.year, fields.month.unwrap_or(1), fields.day.unwrap_or(1));
    let second = fields.hour * 3600 + fields.minute * 60 + fields.second;
    if fields.zulu {
        return Ok(Instant::from_civil(days, second, fields.nanos, Zone::Utc));
    }
    if let Some(offset) = fields.offset {
        let utc = Instant::from_civil(days, second - i64::from(offset), fields.nanos, Zone::Utc);
        // The zone itself if it had this offset then, else a made-up one.
        let (own, name) = zone.at(utc.unix);
        if own == offset && (fields.zone_name.is_empty() || name == fields.zone_name) {
            return Ok(utc.within(zone.clone()));
        }
        return Ok(utc.within(Zone::Fixed(fields.zone_name.into(), offset)));
    }
    if !fields.zone_name.is_empty() {
        let guess = Instant::from_civil(days, second, fields.nanos, zone.clone());
        if zone.at(guess.unix).1 == fields.zone_name {
            return Ok(guess);
        }
        let offset = fields.zone_name.strip_prefix("GMT").and_then(|rest| rest.parse::<i32>().ok()).unwrap_or(0);
        let made = Zone::Fixed(fields.zone_name.into(), offset.clamp(-24, 24) * 3600);
        return Ok(Instant::from_civil(days, second, fields.nanos, made));
    }
    Ok(Instant::from_civil(days, second, fields.nanos, zone.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_layouts() {
        let rfc = "2006-01-02T15:04:05Z07:00";
        let time = parse_time(rfc, "2024-02-29T12:30:45.5+02:00", &Zone::Utc).unwrap();
        assert_eq!((time.unix, time.nanos), (1_709_202_645, 500_000_000));
        assert_eq!(
            parse_time("2006-01-02", "29/02/2024", &Zone::Utc).unwrap_err(),
            "parsing time \"29/02/2024\" as \"2006-01-02\": cannot parse \"29/02/2024\" as \"2006\""
        );
        assert!(parse_time("2006-01-02", "2023-02-29", &Zone::Utc).unwrap_err().contains("day out of range"));
        assert!(parse_time("2006-01-02", "2024-02-29x", &Zone::Utc).unwrap_err().contains("extra text"));
        assert!(parse_time("15:04", "\u{e9}", &Zone::Utc).is_err());
    }
}
