//! `retryStrategy`: what follows after so many tries.

use super::{Row, Verdict, of};
use engine::retry::{Decision, Situation, Try, decide};
use model::input::Shutdown;
use model::plan::{Backoff, RetryPolicy, RetryStrategy};
use model::{Phase, Text, Time};
use serde_json::{Value, json};

pub fn check(row: &Row) -> Verdict {
    if row.text.contains("\"error\":\"panic") {
        return Verdict::Deliberate("upstream panics");
    }
    of(row, |row| (expected(row), got(row)))
}

const NOW: Time = Time(1_700_000_000_000_000);

fn expected(row: &Value) -> Value {
    if row["ok"] == false {
        return json!({ "error": row["error"] });
    }
    json!({ "decision": row["decision"], "phase": row["phase"], "message": row["message"] })
}

fn got(row: &Value) -> Value {
    match answer(row) {
        Ok((decision, phase, message)) => json!({ "decision": decision, "phase": phase, "message": message }),
        Err(error) => json!({ "error": error }),
    }
}

fn answer(row: &Value) -> Result<(&'static str, String, String), String> {
    let children: Vec<&Value> = row["children"].as_array().into_iter().flatten().collect();
    let running = || ("Running".to_string(), String::new());
    let Some(last) = children.last() else {
        let (phase, message) = running();
        return Ok(("retry", phase, message));
    };
    let phase: Phase = serde_json::from_value(last["phase"].clone()).map_err(|error| error.to_string())?;
    if !phase.is_fulfilled() {
        let (phase, message) = running();
        return Ok(("running", phase, message));
    }
    if !phase.is_failed_or_error() {
        return Ok(("stop", "Succeeded".to_string(), String::new()));
    }
    let strategy = strategy(&row["strategy"])?;
    let ago = |child: &Value, name: &str| NOW.plus_seconds(-child[name].as_i64().unwrap_or(0));
    let situation = Situation {
        now: NOW,
        tries: children.len() as u32,
        first_started_at: ago(children[0], "startedSecondsAgo"),
        last: Try {
            phase,
            started_at: ago(last, "startedSecondsAgo"),
            ended_at: ago(last, "finishedSecondsAgo"),
            message: last["message"].as_str().unwrap_or_default(),
            exit_code: last["exitCode"].as_str().and_then(|code| code.parse().ok()),
        },
        shutdown: match row["shutdown"].as_str() {
            Some("Stop") => Some(Shutdown::Stop),
            Some("Terminate") => Some(Shutdown::Terminate),
            _ => None,
        },
        deadline_exceeded: false,
    };
    match decide(&strategy, &situation, &|text| Ok(text.0.clone()))? {
        Decision::Retry => {
            let (phase, message) = running();
            Ok(("retry", phase, message))
        }
        Decision::Wait { message, .. } => Ok(("wait", "Running".to_string(), message)),
        Decision::Stop { phase, message } => Ok(("stop", phase.as_str().to_string(), message)),
    }
}

fn strategy(written: &Value) -> Result<RetryStrategy, String> {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(Text::new(text.clone())),
        other => Some(Text::new(other.to_string())),
    };
    for (path, value) in [("limit", &written["limit"]), ("backoff.factor", &written["backoff"]["factor"])] {
        if let Some(number) = value.as_f64().filter(|_| !value.is_i64()) {
            let field = if path == "limit" { "RetryStrategy.limit" } else { "Backoff.backoff.factor" };
            return Err(format!(
                "unmarshal: json: cannot unmarshal number {number} into Go struct field {field} of type int32"
            ));
        }
    }
    let policy = match written["retryPolicy"].as_str() {
        None | Some("") => None,
        Some("Always") => Some(RetryPolicy::Always),
        Some("OnFailure") => Some(RetryPolicy::OnFailure),
        Some("OnError") => Some(RetryPolicy::OnError),
        Some("OnTransientError") => Some(RetryPolicy::OnTransientError),
        Some(other) => return Err(format!("{other} is not a valid RetryPolicy")),
    };
    let backoff = written["backoff"].as_object().map(|_| &written["backoff"]).map(|backoff| Backoff {
        duration: text(&backoff["duration"]).unwrap_or_default(),
        factor: text(&backoff["factor"]),
        cap: text(&backoff["cap"]).unwrap_or_default(),
        max_duration: text(&backoff["maxDuration"]).unwrap_or_default(),
    });
    let expression = written["expression"].as_str().filter(|e| !e.is_empty()).map(String::from);
    Ok(RetryStrategy { limit: text(&written["limit"]), policy, backoff, expression })
}
