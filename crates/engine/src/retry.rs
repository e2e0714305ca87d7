//! `retryStrategy`: what follows after a try has ended (upstream `processNodeRetries`).
//! It must never know nodes: a try is its phase, its times, its message and its exit code.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use expr::{Context, Value, gofmt};
use model::input::Shutdown;
use model::plan::{RetryPolicy, RetryStrategy};
use model::{Phase, Text, Time};

/// A try that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Try<'a> {
    pub phase: Phase,
    pub started_at: Time,
    pub ended_at: Time,
    pub message: &'a str,
    pub exit_code: Option<i32>,
}

/// Everything that the rules look at, apart from the strategy.
#[derive(Clone, Debug, PartialEq)]
pub struct Situation<'a> {
    pub now: Time,
    /// How many tries there were.
    pub tries: u32,
    pub first_started_at: Time,
    pub last: Try<'a>,
    pub shutdown: Option<Shutdown>,
    pub deadline_exceeded: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again now.
    Retry,
    /// Try again then; the message for the meantime.
    Wait { until: Time, message: String },
    /// The node ends with this phase and message.
    Stop { phase: Phase, message: String },
}

/// Decides after the last try has failed or errored. `resolve` substitutes tags in the strategy's texts.
/// An error makes the node Error with its text.
pub fn decide(
    strategy: &RetryStrategy,
    situation: &Situation<'_>,
    resolve: &dyn Fn(&Text) -> Result<String, String>,
) -> Result<Decision, String> {
    let last = &situation.last;
    let stop = |message: &str| Ok(Decision::Stop { phase: last.phase, message: message.into() });
    if let Some(strategy) = situation.shutdown {
        return stop(&format!("Stopped with strategy '{}'", strategy.as_str()));
    }
    if situation.deadline_exceeded {
        return stop("retry exceeded workflow deadline");
    }
    if let Some(decision) = back_off(strategy, situation, resolve)? {
        return Ok(decision);
    }
    let (on_failed, on_error) = match policy(strategy) {
        RetryPolicy::Always => (true, true),
        RetryPolicy::OnFailure => (true, false),
        RetryPolicy::OnError => (false, true),
        RetryPolicy::OnTransientError => {
            let transient = is_transient(last.message);
            (transient, transient)
        }
    };
    if (last.phase == Phase::Failed && !on_failed) || (last.phase == Phase::Error && !on_error) {
        return stop(last.message);
    }
    if let Some(limit) = limit(strategy, resolve)?
        && i64::from(situation.tries) > limit
    {
        return stop("No more retries left");
    }
    match &strategy.expression {
        Some(expression) if !admits(expression, situation)? => stop("retryStrategy.expression evaluated to false"),
        _ => Ok(Decision::Retry),
    }
}

/// The policy in force: Always where only an expression is given, else OnFailure (upstream `RetryPolicyActual`).
pub fn policy(strategy: &RetryStrategy) -> RetryPolicy {
    match (strategy.policy, &strategy.expression) {
        (Some(policy), _) => policy,
        (None, Some(_)) => RetryPolicy::Always,
        (None, None) => RetryPolicy::OnFailure,
    }
}

fn limit(strategy: &RetryStrategy, resolve: &dyn Fn(&Text) -> Result<String, String>) -> Result<Option<i64>, String> {
    strategy.limit.as_ref().map(|text| int(&resolve(text)?)).transpose()
}

/// An `IntOrString` as an int32 (upstream `intstr.Int32`).
fn int(text: &str) -> Result<i64, String> {
    crate::loops::atoi(text).map_err(|_| format!("value '{text}' cannot be resolved to an int"))
}

/// The back-off's verdict; `None`: go on to the other rules. Without a limit upstream never waits.
fn back_off(
    strategy: &RetryStrategy,
    situation: &Situation<'_>,
    resolve: &dyn Fn(&Text) -> Result<String, String>,
) -> Result<Option<Decision>, String> {
    let Some(backoff) = &strategy.backoff else { return Ok(None) };
    let phase = situation.last.phase;
    let stop = |message: &str| Ok(Some(Decision::Stop { phase, message: message.into() }));
    let max_duration = resolve(&backoff.max_duration)?;
    let latest = match max_duration.is_empty() {
        true => None,
        false => Some(situation.first_started_at.plus_us(duration_us(&max_duration)?)),
    };
    if latest.is_some_and(|latest| situation.now > latest) {
        return stop("Max duration limit exceeded");
    }
    let base = resolve(&backoff.duration)?;
    if base.is_empty() {
        return Err("no base duration specified for retryStrategy".to_string());
    }
    let mut wait_us = duration_us(&base)?;
    if let Some(factor) = &backoff.factor {
        let factor = int(&resolve(factor)?)?;
        if factor > 0 {
            wait_us = grown(wait_us, factor, situation.tries);
        }
    }
    let cap = resolve(&backoff.cap)?;
    if !cap.is_empty() {
        wait_us = wait_us.min(duration_us(&cap)?);
    }
    let until = situation.last.ended_at.plus_us(wait_us);
    if latest.is_some_and(|latest| until > latest) {
        return stop("Backoff would exceed max duration limit");
    }
    // Upstream waits only for a try that the limit admits: without a limit never.
    let admitted = limit(strategy, resolve)?.is_some_and(|limit| i64::from(situation.tries) <= limit);
    if until <= situation.now || !admitted {
        return Ok(None);
    }
    let message = format!("Backoff for {}", humanised(until.since_us(situation.now)));
    Ok(Some(Decision::Wait { until, message }))
}

/// `base * factor^(tries - 1)`.
fn grown(base_us: i64, factor: i64, tries: u32) -> i64 {
    (1..tries).fold(base_us, |wait, _| wait.saturating_mul(factor))
}

/// A Go duration or whole seconds, in microseconds (upstream `ParseStringToDuration`).
pub fn duration_us(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(seconds.saturating_mul(Time::SECOND_US));
    }
    match gofmt::parse_duration(text) {
        Ok(nanoseconds) => Ok(nanoseconds / 1000),
        Err(reason) => Err(format!("unable to parse {text} as a duration: {reason}")),
    }
}

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
const MONTH: i64 = 30 * DAY;
const YEAR: i64 = 12 * MONTH;

/// How a span below so many seconds is called: its unit, and how many seconds that has (go-humanize's table).
const MAGNITUDES: [(i64, &str, i64); 7] = [
    (MINUTE, "second", 1),
    (HOUR, "minute", MINUTE),
    (DAY, "hour", HOUR),
    (WEEK, "day", DAY),
    (MONTH, "week", WEEK),
    (YEAR, "month", MONTH),
    (37 * YEAR, "year", YEAR),
];

/// A span in its largest unit, and the rest of a day, an hour or a minute in the unit below (upstream `humanize.Duration`).
fn humanised(us: i64) -> String {
    // A Go duration holds no more.
    let us = us.min(i64::MAX / 1000);
    let seconds = (us + Time::SECOND_US / 2) / Time::SECOND_US;
    let plural = |count: i64, unit: &str| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    let large = match MAGNITUDES.iter().find(|(below, _, _)| seconds < *below) {
        Some((_, "year", _)) if seconds < 18 * MONTH => plural(1, "year"),
        Some((_, "year", _)) if seconds < 2 * YEAR => plural(2, "year"),
        Some((_, unit, span)) => plural(seconds / span, unit),
        None => "a long while".to_string(),
    };
    let rest = match seconds {
        ..MINUTE => return large,
        MINUTE..HOUR => plural(seconds % MINUTE, "second"),
        HOUR..DAY => plural(seconds / MINUTE % 60, "minute"),
        _ => plural(seconds / HOUR % 24, "hour"),
    };
    format!("{large} {rest}")
}

/// Evaluates the expression over `lastRetry.*` and `retries`, all strings.
fn admits(expression: &str, situation: &Situation<'_>) -> Result<bool, String> {
    let vars = variables(situation);
    match expr::lang::evaluate(expression, &vars, &Context::default()) {
        Ok(Value::Bool(admits)) => Ok(admits),
        Ok(other) => Err(format!("unable to cast expression result '{}' to bool", go_s(&other))),
        Err(error) => Err(error.with_snippet(expression)),
    }
}

/// Go's `%s` of a value that is no string.
fn go_s(value: &Value) -> String {
    match value {
        Value::Null => "%!s(<nil>)".to_string(),
        value => gofmt::sprintf("%s", core::slice::from_ref(value)),
    }
}

/// `lastRetry.*` and `retries` after so many tries (upstream `buildRetryStrategyLocalScope`).
pub fn variables(situation: &Situation<'_>) -> BTreeMap<String, Value> {
    let last = &situation.last;
    let seconds = last.ended_at.since_us(last.started_at) / Time::SECOND_US;
    let exit_code = last.exit_code.map_or("-1".to_string(), |code| code.to_string());
    [
        ("retries", situation.tries.saturating_sub(1).to_string()),
        ("lastRetry.exitCode", exit_code),
        ("lastRetry.status", last.phase.as_str().to_string()),
        ("lastRetry.duration", seconds.to_string()),
        ("lastRetry.message", last.message.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_string(), Value::str(value)))
    .collect()
}

/// Messages that upstream takes for passing troubles of the network (`errorsutil.IsTransientErr`, of a bare text).
fn is_transient(message: &str) -> bool {
    const TRANSIENT: &[&str] = &[
        "net/http: TLS handshake timeout",
        "i/o timeout",
        "connection timed out",
        "connection reset by peer",
        "etcdserver: leader changed",
        "client rate limiter Wait returned an error",
        "http2: client connection lost",
    ];
    TRANSIENT.iter().any(|text| message.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_two_units() {
        let told = |seconds: i64| humanised(seconds * Time::SECOND_US);
        assert_eq!(told(1), "1 second");
        assert_eq!(told(90 * MINUTE), "1 hour 30 minutes");
        assert_eq!(told(150 * HOUR), "6 days 6 hours");
        assert_eq!(told(10 * DAY), "1 week 0 hours");
        assert_eq!(told(1_500 * HOUR), "2 months 12 hours");
        assert_eq!(told(10_000 * HOUR), "1 year 16 hours");
        assert_eq!(humanised(i64::MAX), "a long while 23 hours");
    }
}
