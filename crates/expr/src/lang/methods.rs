//! The methods of Go types that an expression may call: `time.Time`, `time.Duration`, locations, versions.
//! It must never know syntax.

use super::signature::{P, Sig};
use super::ty::Ty;
use crate::gofmt;
use crate::time::{Instant, Zone};
use crate::value::{IntKind, Value};

type Table = [(&'static str, Sig)];

const fn row(name: &'static str, params: &'static [P], out: P) -> (&'static str, Sig) {
    (name, Sig { params, out })
}

const TIME: &Table = &[
    row("Add", &[P::Duration], P::Time),
    row("AddDate", &[P::Int, P::Int, P::Int], P::Time),
    row("After", &[P::Time], P::Bool),
    row("Before", &[P::Time], P::Bool),
    row("Compare", &[P::Time], P::Int),
    row("Day", &[], P::Int),
    row("Equal", &[P::Time], P::Bool),
    row("Format", &[P::Str], P::Str),
    row("GoString", &[], P::Str),
    row("Hour", &[], P::Int),
    row("In", &[P::Location], P::Time),
    row("IsDST", &[], P::Bool),
    row("IsZero", &[], P::Bool),
    row("Local", &[], P::Time),
    row("Location", &[], P::Location),
    row("Minute", &[], P::Int),
    row("Month", &[], P::Month),
    row("Nanosecond", &[], P::Int),
    row("Round", &[P::Duration], P::Time),
    row("Second", &[], P::Int),
    row("String", &[], P::Str),
    row("Sub", &[P::Time], P::Duration),
    row("Truncate", &[P::Duration], P::Time),
    row("UTC", &[], P::Time),
    row("Unix", &[], P::Int64),
    row("UnixMicro", &[], P::Int64),
    row("UnixMilli", &[], P::Int64),
    row("UnixNano", &[], P::Int64),
    row("Weekday", &[], P::Weekday),
    row("Year", &[], P::Int),
    row("YearDay", &[], P::Int),
];

const DURATION: &Table = &[
    row("Abs", &[], P::Duration),
    row("Hours", &[], P::Float),
    row("Microseconds", &[], P::Int64),
    row("Milliseconds", &[], P::Int64),
    row("Minutes", &[], P::Float),
    row("Nanoseconds", &[], P::Int64),
    row("Round", &[P::Duration], P::Duration),
    row("Seconds", &[], P::Float),
    row("String", &[], P::Str),
    row("Truncate", &[P::Duration], P::Duration),
];

const NAMED: &Table = &[row("String", &[], P::Str)];

const VERSION: &Table = &[
    row("Compare", &[P::Version], P::Int),
    row("Equal", &[P::Version], P::Bool),
    row("GreaterThan", &[P::Version], P::Bool),
    row("GreaterThanEqual", &[P::Version], P::Bool),
    row("LessThan", &[P::Version], P::Bool),
    row("LessThanEqual", &[P::Version], P::Bool),
    row("Major", &[], P::Uint64),
    row("Metadata", &[], P::Str),
    row("Minor", &[], P::Uint64),
    row("Original", &[], P::Str),
    row("Patch", &[], P::Uint64),
    row("Prerelease", &[], P::Str),
    row("String", &[], P::Str),
];

/// The method of a static type.
pub(crate) fn find(ty: &Ty, name: &str) -> Option<(&'static str, Sig)> {
    let table = match ty {
        Ty::Time => TIME,
        Ty::Duration => DURATION,
        Ty::Location | Ty::Sized(IntKind::Month | IntKind::Weekday) => NAMED,
        Ty::Version => VERSION,
        _ => return None,
    };
    table.iter().find(|(known, _)| *known == name).copied()
}

/// Go's `%T` of a bound method.
pub(crate) fn go_type(receiver: &Value, name: &str) -> &'static str {
    match find(&Ty::of(receiver), name).map(|(_, sig)| (sig.params, sig.out)) {
        Some(([], P::Int)) => "func() int",
        Some(([], P::Int64)) => "func() int64",
        Some(([], P::Uint64)) => "func() uint64",
        Some(([], P::Str)) => "func() string",
        Some(([], P::Float)) => "func() float64",
        Some(([], P::Bool)) => "func() bool",
        Some(([], P::Time)) => "func() time.Time",
        Some(([], P::Month)) => "func() time.Month",
        Some(([], P::Weekday)) => "func() time.Weekday",
        Some(([], P::Location)) => "func() *time.Location",
        Some(([P::Str], P::Str)) => "func(string) string",
        Some(([P::Duration], P::Time)) => "func(time.Duration) time.Time",
        Some(([P::Duration], P::Duration)) => "func(time.Duration) time.Duration",
        Some(([P::Time], P::Bool)) => "func(time.Time) bool",
        Some(([P::Time], P::Duration)) => "func(time.Time) time.Duration",
        _ => "func(interface {}) interface {}",
    }
}

/// Calls a method whose arguments fit its signature.
pub(crate) fn call(receiver: &Value, name: &str, args: &[Value]) -> Result<Value, String> {
    match receiver {
        Value::Time(time) => time_method(time, name, args),
        Value::Duration(ns) => duration_method(*ns, name, args),
        Value::Version(version) => version.method(name, args),
        Value::Location(_) | Value::Sized(..) => Ok(gofmt::value(receiver).into()),
        _ => Err(format!("type {} has no method {name}", receiver.go_type())),
    }
}

fn wide(n: i64) -> Value {
    Value::Sized(IntKind::Int64, n)
}

fn time_method(time: &Instant, name: &str, args: &[Value]) -> Result<Value, String> {
    let civil = time.civil();
    let value = match (name, args) {
        ("Add", [Value::Duration(ns)]) => Value::Time(time.add(*ns)),
        ("AddDate", [years, months, days]) => {
            let number = |value: &Value| value.integer().unwrap_or(0);
            Value::Time(time.add_date(number(years), number(months), number(days)))
        }
        ("After", [Value::Time(other)]) => (time.unix_nanos() > other.unix_nanos()).into(),
        ("Before", [Value::Time(other)]) => (time.unix_nanos() < other.unix_nanos()).into(),
        ("Compare", [Value::Time(other)]) => (time.unix_nanos().cmp(&other.unix_nanos()) as i64).into(),
        ("Equal", [Value::Time(other)]) => time.same_moment(other).into(),
        ("Sub", [Value::Time(other)]) => Value::Duration(time.since(other)),
        ("Format", [Value::Str(layout)]) => gofmt::format_time(time, layout).into(),
        ("In", [Value::Location(zone)]) => Value::Time(time.within(zone.clone())),
        ("UTC" | "Local", []) => Value::Time(time.within(Zone::Utc)),
        ("Location", []) => Value::Location(time.zone.clone()),
        ("String" | "GoString", []) => time.to_text().into(),
        ("IsZero", []) => (time.unix == -62_135_596_800 && time.nanos == 0).into(),
        ("IsDST", []) => false.into(),
        ("Year", []) => civil.year.into(),
        ("Month", []) => Value::Sized(IntKind::Month, i64::from(civil.month)),
        ("Weekday", []) => Value::Sized(IntKind::Weekday, i64::from(civil.weekday)),
        ("Day", []) => i64::from(civil.day).into(),
        ("YearDay", []) => i64::from(civil.year_day).into(),
        ("Hour", []) => i64::from(civil.hour).into(),
        ("Minute", []) => i64::from(civil.minute).into(),
        ("Second", []) => i64::from(civil.second).into(),
        ("Nanosecond", []) => i64::from(time.nanos).into(),
        ("Unix", []) => wide(time.unix),
        ("UnixMilli", []) => wide((time.unix_nanos().div_euclid(1_000_000)) as i64),
        ("UnixMicro", []) => wide((time.unix_nanos().div_euclid(1_000)) as i64),
        ("UnixNano", []) => wide(time.unix_nanos() as i64),
        ("Truncate" | "Round", [Value::Duration(unit)]) => Value::Time(round_time(time, *unit, name == "Round")),
        _ => return Err(format!("type time.Time has no method {name}")),
    };
    Ok(value)
}

/// Go rounds the time since the year 1, not since 1970.
const YEAR_ONE: i128 = -62_135_596_800_000_000_000;

/// Rounds a moment to a multiple of a unit (half up), or cuts it down to one.
pub(crate) fn round_time(time: &Instant, unit: i64, half_up: bool) -> Instant {
    if unit <= 0 {
        return time.clone();
    }
    let unit = i128::from(unit);
    let absolute = time.unix_nanos() - YEAR_ONE;
    let rest = absolute.rem_euclid(unit);
    let rounded = if half_up && rest * 2 >= unit { absolute - rest + unit } else { absolute - rest };
    Instant::from_unix_nanos(rounded + YEAR_ONE, time.zone.clone())
}

fn duration_method(ns: i64, name: &str, args: &[Value]) -> Result<Value, String> {
    let float = |unit: i64| Value::Float((ns / unit) as f64 + (ns % unit) as f64 / unit as f64);
    let value = match (name, args) {
        ("Abs", []) => Value::Duration(ns.saturating_abs()),
        ("Hours", []) => float(3_600_000_000_000),
        ("Minutes", []) => float(60_000_000_000),
        ("Seconds", []) => float(1_000_000_000),
        ("Milliseconds", []) => wide(ns / 1_000_000),
        ("Microseconds", []) => wide(ns / 1_000),
        ("Nanoseconds", []) => wide(ns),
        ("String", []) => gofmt::format_duration(ns).into(),
        ("Truncate", [Value::Duration(unit)]) if *unit <= 0 => Value::Duration(ns),
        ("Truncate", [Value::Duration(unit)]) => Value::Duration(ns - ns % unit),
        ("Round", [Value::Duration(unit)]) => Value::Duration(round_duration(ns, *unit)),
        _ => return Err(format!("type time.Duration has no method {name}")),
    };
    Ok(value)
}

/// `Duration.Round`: half away from zero.
pub(crate) fn round_duration(ns: i64, unit: i64) -> i64 {
    if unit <= 0 {
        return ns;
    }
    let (wide_ns, wide_unit) = (i128::from(ns), i128::from(unit));
    let rest = wide_ns.abs() % wide_unit;
    let size = if rest * 2 < wide_unit { wide_ns.abs() - rest } else { wide_ns.abs() - rest + wide_unit };
    let signed = if ns < 0 { -size } else { size };
    signed.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}
