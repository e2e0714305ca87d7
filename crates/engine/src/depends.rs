//! `depends`: which tasks a text names, what it means in full, and whether it is met (upstream `common.GetTaskDependencies`,
//! `dagContext.evaluateDependsLogic`).
//! It must never look at anything but the results of the named tasks.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use expr::{Context, Value};
use model::Phase;
use model::plan::ContinueOn;

/// What `depends` can ask of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Results {
    pub succeeded: bool,
    pub failed: bool,
    pub errored: bool,
    pub skipped: bool,
    pub omitted: bool,
    pub daemoned: bool,
    pub any_succeeded: bool,
    pub all_failed: bool,
}

impl Results {
    /// The results of a task with this phase, without those that look at a loop's children.
    pub fn of(phase: Phase) -> Self {
        Self {
            succeeded: phase == Phase::Succeeded,
            failed: phase == Phase::Failed,
            errored: phase == Phase::Error,
            skipped: phase == Phase::Skipped,
            omitted: phase == Phase::Omitted,
            ..Self::default()
        }
    }

    /// With the phases of a loop's children. AllFailed: every child exactly Failed, and at least one child.
    pub fn with_children(mut self, children: impl Iterator<Item = Phase>) -> Self {
        let (mut count, mut failed) = (0, 0);
        for phase in children {
            count += 1;
            failed += u32::from(phase == Phase::Failed);
            self.any_succeeded |= phase == Phase::Succeeded;
        }
        self.all_failed = count > 0 && failed == count;
        self
    }

    fn get(&self, name: &str) -> Option<bool> {
        Some(match name {
            "Succeeded" => self.succeeded,
            "Failed" => self.failed,
            "Errored" => self.errored,
            "Skipped" => self.skipped,
            "Omitted" => self.omitted,
            "Daemoned" => self.daemoned,
            "AnySucceeded" => self.any_succeeded,
            "AllFailed" => self.all_failed,
            _ => return None,
        })
    }
}

const RESULTS: [&str; 8] =
    ["Succeeded", "Failed", "Errored", "Skipped", "Omitted", "Daemoned", "AnySucceeded", "AllFailed"];

/// A piece of a `depends` text.
enum Piece<'a> {
    Other(&'a str),
    /// A bare task name.
    Task(&'a str),
    /// A task and one of its results.
    Result(&'a str, &'a str),
}

/// Splits a text as upstream's regular expressions do: a name is a run of letters, digits and '-' that begins with no '-';
/// `.Result` follows it where a dot and a capital, then at least one more letter, do.
fn pieces(text: &str) -> Vec<Piece<'_>> {
    let bytes = text.as_bytes();
    let (mut pieces, mut at, mut other) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        let run = |from: usize, admits: fn(&u8) -> bool| from + bytes[from..].iter().take_while(|b| admits(b)).count();
        let end = run(at, |b| b.is_ascii_alphanumeric() || *b == b'-');
        if other < at {
            pieces.push(Piece::Other(&text[other..at]));
        }
        let result = end + 1;
        let capital = bytes.get(end) == Some(&b'.') && bytes.get(result).is_some_and(u8::is_ascii_uppercase);
        let result_end = if capital { run(result, u8::is_ascii_alphabetic) } else { 0 };
        if capital && result_end - result > 1 {
            pieces.push(Piece::Result(&text[at..end], &text[result..result_end]));
            at = result_end;
        } else {
            pieces.push(Piece::Task(&text[at..end]));
            at = end;
        }
        other = at;
    }
    if other < bytes.len() {
        pieces.push(Piece::Other(&text[other..]));
    }
    pieces
}

/// The tasks that a text names, each once, in the order of their first mention.
pub fn names(depends: &str) -> Vec<String> {
    let (mut names, mut seen): (Vec<String>, BTreeSet<&str>) = Default::default();
    for piece in pieces(depends) {
        if let Piece::Task(name) | Piece::Result(name, _) = piece
            && seen.insert(name)
        {
            names.push(name.into());
        }
    }
    names
}

/// Whether a text asks for a loop's results of the task (`AnySucceeded`, `AllFailed`).
pub fn asks_for_children(depends: &str, task: &str) -> bool {
    pieces(depends).iter().any(|p| matches!(p, Piece::Result(t, "AnySucceeded" | "AllFailed") if *t == task))
}

/// The first result that does not exist: (task, result).
pub fn unknown_result(depends: &str) -> Option<(String, String)> {
    pieces(depends).into_iter().find_map(|piece| match piece {
        Piece::Result(task, result) if !RESULTS.contains(&result) => Some((task.into(), result.into())),
        _ => None,
    })
}

/// The text with every bare name spelled out: `A` is `(A.Succeeded || A.Skipped || A.Daemoned)`, with `A.Errored` and `A.Failed`
/// where the task continues on them.
pub fn expand(depends: &str, continue_on: &dyn Fn(&str) -> ContinueOn) -> String {
    let mut out = String::new();
    for piece in pieces(depends) {
        match piece {
            Piece::Other(text) => out.push_str(text),
            Piece::Result(task, result) => out.push_str(&format!("{task}.{result}")),
            Piece::Task(task) => {
                let on = continue_on(task);
                let errored = if on.error { format!(" || {task}.Errored") } else { String::new() };
                let failed = if on.failed { format!(" || {task}.Failed") } else { String::new() };
                out.push_str(&format!("({task}.Succeeded || {task}.Skipped || {task}.Daemoned{errored}{failed})"));
            }
        }
    }
    out
}

/// Whether an expanded text holds. `results` of a task that does not exist is `None`, which is an error here.
pub fn evaluate(expanded: &str, results: &dyn Fn(&str) -> Option<Results>) -> Result<bool, String> {
    match Reader::holds(expanded, results) {
        Some(holds) => Ok(holds),
        None => evaluate_expr(expanded, results),
    }
}

/// The general way: the text is an expr in which every '-' of a name became '_'.
fn evaluate_expr(expanded: &str, results: &dyn Fn(&str) -> Option<Results>) -> Result<bool, String> {
    let mut vars: BTreeMap<String, Value> = BTreeMap::new();
    for name in names(expanded) {
        let of = results(&name).ok_or_else(|| format!("target {name} does not exist"))?;
        for result in RESULTS {
            let key = format!("{}.{result}", name.replace('-', "_"));
            vars.insert(key, Value::Bool(of.get(result).unwrap_or_default()));
        }
    }
    let fails = |message: &str| format!("unable to evaluate expression '{expanded}': {message}");
    match expr::lang::evaluate(&expanded.replace('-', "_"), &vars, &Context::default()) {
        Ok(Value::Bool(holds)) => Ok(holds),
        Ok(other) => Err(fails(&format!("unable to cast expression result '{}' to bool", other.to_text()))),
        Err(error) => Err(fails(&error.message)),
    }
}

/// The short way for what almost every text is: names with results, `&&`, `||`, `!`, parentheses. Gives up on anything else.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    results: &'a dyn Fn(&str) -> Option<Results>,
}

/// Nesting that the short way follows.
const DEPTH_MAX: u32 = 100;

impl Reader<'_> {
    fn holds(text: &str, results: &dyn Fn(&str) -> Option<Results>) -> Option<bool> {
        let mut reader = Reader { text: text.as_bytes(), at: 0, results };
        let holds = reader.any(0)?;
        reader.space();
        (reader.at == text.len()).then_some(holds)
    }

    fn space(&mut self) {
        while self.text.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
    }

    fn take(&mut self, token: &str) -> bool {
        self.space();
        let there = self.text[self.at..].starts_with(token.as_bytes());
        self.at += if there { token.len() } else { 0 };
        there
    }

    fn any(&mut self, depth: u32) -> Option<bool> {
        let mut holds = self.all(depth)?;
        while self.take("||") {
            holds |= self.all(depth)?;
        }
        Some(holds)
    }

    fn all(&mut self, depth: u32) -> Option<bool> {
        let mut holds = self.one(depth)?;
        while self.take("&&") {
            holds &= self.one(depth)?;
        }
        Some(holds)
    }

    fn one(&mut self, depth: u32) -> Option<bool> {
        if depth > DEPTH_MAX {
            return None;
        }
        if self.take("!") {
            return self.one(depth + 1).map(|holds| !holds);
        }
        if self.take("(") {
            let holds = self.any(depth + 1)?;
            return self.take(")").then_some(holds);
        }
        self.space();
        // Only as far as a name and its result may reach: a text may have a hundred thousand of them.
        let reach = self.text[self.at..].iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        let word = core::str::from_utf8(&self.text[self.at..self.at + reach.count()]).ok()?;
        match pieces(word).first()? {
            // A name that begins with a digit is no identifier of expr.
            Piece::Result(task, result) if task.as_bytes()[0].is_ascii_alphabetic() => {
                self.at += task.len() + 1 + result.len();
                let after = self.text.get(self.at);
                (!after.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))).then_some(())?;
                (self.results)(task)?.get(result)
            }
            _ => None,
        }
    }
}
