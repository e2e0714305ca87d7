//! Functions on dates; `now` is the context's, the local zone is UTC.
//! It must never know a clock.

use super::arguments::text;
use crate::context::Budget;
use crate::gofmt;
use crate::lang::methods::round_duration;
use crate::time::{Instant, Zone};
use crate::value::{IntKind, Value};

const SECOND: i64 = 1_000_000_000;

pub(super) fn run(name: &str, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    budget.bytes(256)?;
    Ok(match name {
        "now" => Value::Time(budget.now()),
        "date" => in_zone(&text(args, 0), &args[1], "Local", budget),
        "date_in_zone" | "dateInZone" => in_zone(&text(args, 0), &args[1], &text(args, 2), budget),
        "htmlDate" => in_zone("2006-01-02", &args[0], "Local", budget),
        "htmlDateInZone" => in_zone("2006-01-02", &args[0], &text(args, 1), budget),
        "date_modify" | "dateModify" | "must_date_modify" | "mustDateModify" => {
            let Value::Time(time) = &args[1] else { return Ok(Value::Null) };
            match gofmt::parse_duration(&text(args, 0)) {
                Ok(by) => Value::Time(time.add(by)),
                Err(message) if name.starts_with("must") => return Err(message),
                Err(_) => args[1].clone(),
            }
        }
        "toDate" => Value::Time(
            gofmt::parse_time(&text(args, 0), &text(args, 1), &Zone::Utc)
                .unwrap_or_else(|_| Instant::from_unix(-62_135_596_800, 0, Zone::Utc)),
        ),
        "mustToDate" => Value::Time(gofmt::parse_time(&text(args, 0), &text(args, 1), &Zone::Utc)?),
        "unixEpoch" => match &args[0] {
            Value::Time(time) => time.unix.to_string().into(),
            _ => Value::Null,
        },
        "ago" => {
            let since = budget.now().since(&moment(&args[0], budget));
            gofmt::format_duration(round_duration(since, SECOND)).into()
        }
        "duration" => {
            let seconds = match &args[0] {
                Value::Str(text) => text.parse().unwrap_or(0),
                Value::Sized(IntKind::Int64, n) => *n,
                _ => 0,
            };
            gofmt::format_duration(seconds.wrapping_mul(SECOND)).into()
        }
        _ => duration_round(&args[0], budget).into(),
    })
}

/// Times, and seconds since the epoch; anything else is now.
fn moment(value: &Value, budget: &Budget<'_>) -> Instant {
    match value {
        Value::Time(time) => time.clone(),
        Value::Int(n) | Value::Sized(IntKind::Int64 | IntKind::Int32, n) => Instant::from_unix(*n, 0, Zone::Utc),
        _ => budget.now(),
    }
}

fn in_zone(layout: &str, date: &Value, zone: &str, budget: &Budget<'_>) -> Value {
    let zone = Zone::load(zone).unwrap_or(Zone::Utc);
    gofmt::format_time(&moment(date, budget).within(zone), layout).into()
}

fn duration_round(value: &Value, budget: &Budget<'_>) -> String {
    let nanoseconds = match value {
        Value::Str(text) => gofmt::parse_duration(text).unwrap_or(0),
        Value::Sized(IntKind::Int64, n) => *n,
        Value::Time(time) => budget.now().since(time),
        _ => 0,
    };
    let size = nanoseconds.unsigned_abs();
    let second = SECOND as u64;
    let units = [
        ("y", second * 3600 * 24 * 365),
        ("mo", second * 3600 * 24 * 30),
        ("d", second * 3600 * 24),
        ("h", second * 3600),
        ("m", second * 60),
        ("s", second),
    ];
    match units.iter().find(|(_, unit)| size > *unit) {
        Some((name, unit)) => format!("{}{name}", size / unit),
        None => "0s".to_owned(),
    }
}
