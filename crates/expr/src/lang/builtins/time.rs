//! Builtins on times; `now` is the context's.
//! It must never know a clock.

use super::super::operators::conversion;
use super::missing;
use super::strings::text;
use crate::context::Budget;
use crate::gofmt;
use crate::time::Zone;
use crate::value::Value;

/// What `date` tries, in this order.
const LAYOUTS: [&str; 7] = [
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    "2006-01-02T15:04:05Z07:00",
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
];

pub(super) fn compute(name: &str, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    match (name, args) {
        ("now", []) => Ok(Value::Time(budget.now())),
        ("now", [Value::Location(zone)]) => Ok(Value::Time(budget.now().within(zone.clone()))),
        ("now", _) => Err(format!("invalid number of arguments (expected 0, got {})", args.len())),
        ("duration", _) => gofmt::parse_duration(text(missing(args, 0)?)?).map(Value::Duration),
        ("timezone", _) => Zone::load(text(missing(args, 0)?)?).map(Value::Location),
        ("date", [Value::Location(zone), rest @ ..]) => date(rest, Some(zone)),
        _ => date(args, None),
    }
}

fn date(args: &[Value], zone: Option<&Zone>) -> Result<Value, String> {
    let value = missing(args, 0)?;
    let value = value.as_str().ok_or_else(|| conversion(value, "string"))?;
    let own = zone.cloned().unwrap_or(Zone::Utc);
    match args {
        [_, layout] => gofmt::parse_time(text(layout)?, value, &own).map(Value::Time),
        [_, layout, name] => {
            let zone = Zone::load(text(name)?)?;
            gofmt::parse_time(text(layout)?, value, &zone).map(Value::Time)
        }
        _ => LAYOUTS
            .iter()
            .find_map(|layout| gofmt::parse_time(layout, value, &own).ok())
            .map(Value::Time)
            .ok_or_else(|| format!("invalid date {value}")),
    }
}
