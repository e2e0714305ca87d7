//! What a failed run ends with: per failed leaf how it ended, its last words, and the commands that show more.
//! It must never show more leaves than a screen holds.

use super::plain::plain;
use super::time::bytes;
use super::tree::{paint, spent};
use artifacts::log::{Record, Stream, tail};
use driver::Home;
use model::plan::Body;
use model::{AttemptKey, Exit, NodeId, NodeKind, Phase, Time};
use std::fmt::Write as _;
use std::path::Path;
use views::{History, NodeView};

const LEAVES_MAX: usize = 20;
const LINES_MAX: usize = 20;

/// Where the name of a node has its log.
pub fn log_key(history: &History, node: &NodeView) -> Option<AttemptKey> {
    let run = history.record.as_deref()?.id.clone();
    let n = node.attempts.last()?.n;
    Some(AttemptKey { run, node: node.id, n })
}

/// The report; "" if no leaf failed by itself.
pub fn failures(home: &Home, history: &History, color: bool, now: Time) -> String {
    let failed = failed_leaves(history);
    let mut out = String::new();
    for node in failed.iter().take(LEAVES_MAX) {
        leaf(home, history, node, color, now, &mut out);
    }
    if failed.len() > LEAVES_MAX {
        let _ = writeln!(out, "\nand {} more: towpath get {}", failed.len() - LEAVES_MAX, history.name());
    }
    out
}

/// Leaves that failed by themselves, of several tries the last; and calls that never became one.
fn failed_leaves(history: &History) -> Vec<&NodeView> {
    let of_retry = |node: &NodeView| history.container(node).filter(|id| history.node(*id).kind == NodeKind::Retry);
    let mut last_try: Vec<(NodeId, NodeId)> = Vec::new();
    for node in history.current() {
        if let Some(retry) = of_retry(node) {
            match last_try.last_mut() {
                Some((of, last)) if *of == retry => *last = node.id,
                _ => last_try.push((retry, node.id)),
            }
        }
    }
    let last_try: std::collections::BTreeMap<NodeId, NodeId> = last_try.into_iter().collect();
    let is_last = |node: &NodeView| of_retry(node).is_none_or(|retry| last_try.get(&retry) == Some(&node.id));
    let failed = |node: &&NodeView| node.is_leaf() && matches!(node.phase, Phase::Failed | Phase::Error);
    let failed = history.current().filter(|node| failed(node) || is_unmade(node));
    failed.filter(|node| node.state() != views::RunState::Cancelled && is_last(node)).collect()
}

/// A call of which no leaf was made: its references lead nowhere, or its template is none.
fn is_unmade(node: &NodeView) -> bool {
    let by_itself = match node.kind {
        NodeKind::Skipped => true,
        // The words of a group about one of its children begin otherwise.
        NodeKind::StepGroup => node.message.starts_with("failed to resolve references"),
        _ => false,
    };
    by_itself && node.phase == Phase::Error
}

fn leaf(home: &Home, history: &History, node: &NodeView, color: bool, now: Time, out: &mut String) {
    let spent = spent(node, now).map_or(String::new(), |spent| format!(" after {spent}"));
    let name = paint(color, "1", &plain(&node.name));
    let ending = ending(history, node, &spent);
    // The place in an expression is drawn below its first line.
    let (first, rest) = ending.split_once('\n').unwrap_or((&ending, ""));
    let _ = writeln!(out, "\n{} {name}: {}", paint(color, "31", "✖"), plain(first));
    for line in rest.lines() {
        let _ = writeln!(out, "    {}", plain(line));
    }
    // Why it was not started is its whole log.
    let started = !matches!(node.attempts.last().and_then(|attempt| attempt.exit.as_ref()), Some(Exit::NotStarted(_)));
    if let Some(key) = log_key(history, node).filter(|_| started) {
        last_words(&home.executor().log(&key), color, out);
    }
    // The message of a missing output names what was written already.
    if let Some(written) = node.written() {
        let told = node.message.contains(" (it wrote: ");
        let what = if told { String::new() } else { format!("{} · ", super::written::names(written)) };
        let _ = writeln!(out, "  wrote: {what}{}", super::written::command(history, node, written));
        if told && matches!(node.attempts.last().and_then(|attempt| attempt.exit.as_ref()), Some(Exit::Exited(0))) {
            let run = plain(history.name());
            let _ = writeln!(out, "  to collect it: correct the path in the file, then towpath resume {run}");
        }
    }
    let (run, name) = (plain(history.name()), quoted(&node.name));
    let logs = if node.is_leaf() { format!("towpath logs {run} {name} · ") } else { String::new() };
    let _ = writeln!(out, "  more: {logs}towpath explain {run} {name} · towpath get {run}");
}

/// A word of a shell.
pub fn quoted(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    if name.chars().all(bare) {
        name.to_string()
    } else if name.chars().any(char::is_control) {
        format!("$'{}'", plain(&name.replace('\\', "\\\\").replace('\'', "\\'")))
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

/// Messages that say in Argo's words what the exit says.
const TOLD: [&str; 5] = [
    "main: Error (exit code",
    "main: OOMKilled",
    "Pod was active on the node longer than",
    "Step exceeded its deadline",
    "cancelled",
];

/// How the last attempt ended, `spent` (` after 1.0s`) behind it, and what else its message says.
fn ending(history: &History, node: &NodeView, spent: &str) -> String {
    let Some(attempt) = node.attempts.last() else { return node.message.clone() };
    let how = match &attempt.exit {
        Some(Exit::Exited(code)) => format!("exit code {code}"),
        Some(Exit::Signalled(signal)) => format!("ended by {}", signal_name(*signal)),
        Some(Exit::Oom) => out_of_memory(memory_limit(history, node), attempt.usage.memory_peak_bytes),
        Some(Exit::Deadline | Exit::Cancelled) if node.message == "Step exceeded its deadline" => {
            "ended because the run was longer than its deadline".to_string()
        }
        Some(Exit::Deadline) => "ended because it ran longer than its deadline".to_string(),
        Some(Exit::Cancelled) => "cancelled".to_string(),
        Some(Exit::Lost(why)) => format!("lost: {why}"),
        Some(Exit::NotStarted(why)) => return format!("not started: {why}"),
        None if attempt.started_at.is_none() => return format!("{} (it never had a place)", node.message),
        None => return format!("{}{spent}", node.message),
    };
    let told = TOLD.iter().any(|text| node.message.starts_with(text));
    if told || node.message.is_empty() { format!("{how}{spent}") } else { format!("{how}{spent}; {}", node.message) }
}

/// What the document says the task may use, as it is written there.
fn memory_limit<'a>(history: &'a History, node: &NodeView) -> Option<&'a str> {
    match &history.template(node)?.body {
        Body::Leaf(leaf) => leaf.resources.limits.get("memory").map(|text| text.as_str()),
        _ => None,
    }
}

fn out_of_memory(limit: Option<&str>, peak_bytes: u64) -> String {
    let peak = bytes(peak_bytes);
    match limit {
        Some(limit) if limit.contains("{{") => {
            format!("killed: it used more memory than its limit (OOM), at most {peak}")
        }
        Some(limit) => format!("killed: it used more memory than its limit of {limit} (OOM), at most {peak}"),
        None => {
            format!("killed: this machine ran out of memory (OOM); the task has no limit of its own and used {peak}")
        }
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV (a crash of the program)",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    name.to_string()
}

/// The last lines of standard error, of standard output where there are none.
fn last_words(log: &Path, color: bool, out: &mut String) {
    for (stream, name) in [(Stream::Err, "stderr"), (Stream::Out, "stdout")] {
        let Ok(records) = tail(log, Some(stream), LINES_MAX) else { return };
        if records.is_empty() {
            continue;
        }
        let heading =
            if records.len() < LINES_MAX { format!("{name}:") } else { format!("{name}, the last {LINES_MAX} lines:") };
        let _ = writeln!(out, "  {}", paint(color, "2", &heading));
        for record in &records {
            let _ = writeln!(out, "    {}", printable(record));
        }
        return;
    }
}

/// The text of a record without colours and without what would move a terminal's cursor. Of a line that was drawn over (a
/// progress bar), what was seen last.
pub fn printable(record: &Record) -> String {
    let text = String::from_utf8_lossy(&record.text);
    let line = text.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default();
    let plain = anstream::adapter::strip_str(line).to_string();
    plain.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifacts::log::Writer;
    use model::Usage;
    use model::event::Placement;
    use views::history::AttemptView;

    fn leaf_that(exit: Exit, message: &str) -> NodeView {
        let usage = Usage { cpu_us: 0, memory_peak_bytes: 256 << 20 };
        let attempt = AttemptView {
            n: 0,
            started_at: None,
            ended_at: None,
            exit: Some(exit),
            usage,
            collects: None,
            written: None,
        };
        NodeView {
            id: NodeId(1),
            name: "r.a".into(),
            display_name: "a".into(),
            kind: NodeKind::Pod,
            phase: Phase::Failed,
            message: message.into(),
            template: None,
            boundary: None,
            place: Placement::Root,
            site: None,
            inputs: Default::default(),
            outputs: Default::default(),
            retried: false,
            hooked: false,
            is_reset: false,
            added_at: Time(0),
            started_at: None,
            ended_at: None,
            attempts: vec![attempt],
            items: 0,
        }
    }

    #[test]
    fn each_ending_is_told_once_and_in_words() {
        for (exit, message, told) in [
            (Exit::Exited(7), "main: Error (exit code 7)", "exit code 7"),
            (Exit::Signalled(9), "main: Error (exit code 137)", "ended by SIGKILL"),
            (
                Exit::Oom,
                "main: OOMKilled (exit code 137)",
                "killed: this machine ran out of memory (OOM); the task has no limit of its own and used 256.0 MiB",
            ),
            (
                Exit::Deadline,
                "Pod was active on the node longer than the specified deadline",
                "ended because it ran longer than its deadline",
            ),
            (Exit::Cancelled, "Step exceeded its deadline", "ended because the run was longer than its deadline"),
            (Exit::NotStarted("no such image".into()), "main: no such image", "not started: no such image"),
            (Exit::Exited(0), "stat /tmp/x: no such file", "exit code 0; stat /tmp/x: no such file"),
        ] {
            assert_eq!(ending(&History::default(), &leaf_that(exit, message), ""), told);
        }
        let slow = leaf_that(Exit::Exited(1), "stat /tmp/x: no such file");
        assert_eq!(
            ending(&History::default(), &slow, " after 1.0s"),
            "exit code 1 after 1.0s; stat /tmp/x: no such file"
        );
        assert_eq!(
            out_of_memory(Some("64Mi"), 64 << 20),
            "killed: it used more memory than its limit of 64Mi (OOM), at most 64.0 MiB"
        );
    }

    #[test]
    fn names_are_words_of_a_shell() {
        assert_eq!(quoted("r.a"), "r.a");
        assert_eq!(quoted("r.a(0:it's)"), "'r.a(0:it'\\''s)'");
        assert_eq!(quoted("r.a(0:\x1b[2J'\\)"), "$'r.a(0:\\x1b[2J\\'\\\\)'");
    }

    #[test]
    fn the_last_words_are_those_of_standard_error() {
        let dir = tempfile::tempdir().expect("dir");
        let log = dir.path().join("log");
        let mut writer = Writer::create(&log, 1 << 20).expect("log");
        writer.line(Time(1), Stream::Out, b"out");
        let mut out = String::new();
        writer.flush(Time(1));
        last_words(&log, false, &mut out);
        assert_eq!(out, "  stdout:\n    out\n");
        writer.line(Time(2), Stream::Err, b"10%\r\x1b[31m100%\x1b[0m");
        writer.flush(Time(2));
        out.clear();
        last_words(&log, false, &mut out);
        assert_eq!(out, "  stderr:\n    100%\n");
    }
}
