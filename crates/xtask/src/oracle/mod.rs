//! The language against what the upstream libraries answer: every row of every table in a folder.
//! It must never know a rule of the language: a table's module asks ours and compares.
//!
//! To add a table: a module with `pub fn check(row: &Row) -> Verdict`, its `mod` line, its line in `TABLES`.

mod aggregate;
mod args;
mod depends;
mod expr;
mod floors;
mod globals;
mod ids;
mod items;
mod jsonpath;
mod retry;
mod sprig;
mod template;
mod tree;
mod typed;
mod validate;
mod when;
mod yaml;

use crate::checkout;
use crate::flags::Flags;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Once};
use std::time::Duration;

/// One line of a table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Counted from 1.
    pub line: usize,
    /// JSON, as it stands in the file.
    pub text: String,
}

/// What our answer to a row is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong {
        expected: String,
        got: String,
    },
    /// We answer differently on purpose, for the reason told; the row does not count.
    Deliberate(&'static str),
}

type Check = fn(&Row) -> Verdict;

/// Parses a row and compares what is expected with what is got; a difference is told by the first place where it is.
fn of(row: &Row, answer: fn(&Value) -> (Value, Value)) -> Verdict {
    let parsed: Value = serde_json::from_str(&row.text).unwrap_or_default();
    let (expected, got) = answer(&parsed);
    match difference("", &expected, &got) {
        None => Verdict::Right,
        Some((place, expected, got)) => {
            let told =
                |value: Option<&Value>| format!("{place}: {}", value.map_or("nothing".to_string(), Value::to_string));
            Verdict::Wrong { expected: told(expected), got: told(got) }
        }
    }
}

/// Whether a tag stands in a tag.
fn is_nested(text: &str) -> bool {
    text.split("{{").skip(1).any(|part| !part.contains("}}") && !part.is_empty())
        && text.split("}}").any(|part| part.matches("{{").count() > 1)
}

type Difference<'a> = (String, Option<&'a Value>, Option<&'a Value>);

fn difference<'a>(place: &str, expected: &'a Value, got: &'a Value) -> Option<Difference<'a>> {
    match (expected, got) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            keys.into_iter().find_map(|key| either(&format!("{place}.{key}"), left.get(key), right.get(key)))
        }
        (Value::Array(left), Value::Array(right)) => {
            let count = left.len().max(right.len());
            let named = |i: usize| left.get(i).or(right.get(i)).and_then(|v| v["name"].as_str()).unwrap_or_default();
            (0..count).find_map(|i| either(&format!("{place}[{i} {}]", named(i)), left.get(i), right.get(i)))
        }
        _ => (expected != got).then(|| (place.to_string(), Some(expected), Some(got))),
    }
}

fn either<'a>(place: &str, expected: Option<&'a Value>, got: Option<&'a Value>) -> Option<Difference<'a>> {
    match (expected, got) {
        (Some(expected), Some(got)) => difference(place, expected, got),
        (None, None) => None,
        (expected, got) => Some((place.to_string(), expected, got)),
    }
}

/// Every table that we answer: the name of its file without `.jsonl`, and who compares.
#[rustfmt::skip] // one a line
const TABLES: &[(&str, Check)] = &[
    ("aggregate", aggregate::check),
    ("args", args::check),
    ("depends", depends::check),
    ("expr", expr::check),
    ("globals", globals::check),
    ("ids", ids::check),
    ("items", items::check),
    ("jsonpath", jsonpath::check),
    ("retry", retry::check),
    ("sprig", sprig::check),
    ("template", template::check),
    ("tree", tree::check),
    ("typed", typed::check),
    ("validate", validate::check),
    ("when", when::check),
    ("yaml", yaml::check),
];

const THREADS: usize = 2;
const THREAD: &str = "oracle";
/// What the main thread of a program has.
const STACK: usize = 8 << 20;
/// A row takes microseconds; one that takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn main(flags: &mut Flags) -> Result<bool> {
    let wrong_shown = flags.number("--wrong")?.unwrap_or(3);
    let only = flags.value("--table")?;
    let check = flags.switch("--check");
    let folder = flags.positional();
    flags.finish()?;
    if check && folder.is_some() {
        bail!("--check compares with the counts of the default folder: give no other");
    }
    let folder = folder.map_or_else(|| checkout::corpus().join("oracle"), PathBuf::from);
    if !folder.is_dir() {
        println!("oracle: skipped: there is no folder {}", folder.display());
        return Ok(true);
    }
    if let Some(name) = &only
        && !TABLES.iter().any(|(table, _)| table == name)
    {
        bail!("no table {name:?} is answered; those that are: {}", names().join(" "));
    }
    let mut sound = true;
    println!("{:<12} {:>6} {:>6} {:>8} {:>9} {:>8}", "table", "right", "total", "percent", "left out", "of all");
    for (table, compare) in TABLES.iter().filter(|(table, _)| only.as_deref().is_none_or(|name| name == *table)) {
        let Some(rows) = read(&folder, table)? else { continue };
        let tally = run(table, rows, *compare)?;
        tally.print(table, wrong_shown);
        if let Some(lost) = tally.lost(table).filter(|_| check) {
            println!("    {lost}");
            sound = false;
        }
    }
    for name in unanswered(&folder)? {
        println!("{name:<12} not answered yet");
    }
    Ok(sound)
}

fn names() -> Vec<&'static str> {
    TABLES.iter().map(|(name, _)| *name).collect()
}

/// Tables in the folder that no module compares.
fn unanswered(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(table) = name.strip_suffix(".jsonl")
            && !names().contains(&table)
        {
            found.push(table.to_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// The rows of a table, `None` where the folder lacks it.
fn read(folder: &Path, table: &str) -> Result<Option<Vec<Row>>> {
    let path = folder.join(format!("{table}.jsonl"));
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    Ok(Some(lines.map(|(at, line)| Row { line: at + 1, text: line.to_owned() }).collect()))
}

/// What a table's rows came to.
#[derive(Debug, Default)]
struct Tally {
    /// Lines.
    right: Vec<usize>,
    /// (line, expected, got), by line.
    wrong: Vec<(usize, String, String)>,
    /// Reason → lines.
    deliberate: BTreeMap<&'static str, Vec<usize>>,
}

impl Tally {
    fn add(&mut self, line: usize, verdict: Verdict) {
        match verdict {
            Verdict::Right => self.right.push(line),
            Verdict::Wrong { expected, got } => self.wrong.push((line, expected, got)),
            Verdict::Deliberate(reason) => self.deliberate.entry(reason).or_default().push(line),
        }
    }

    /// Every line that was judged.
    fn lines(&self) -> Vec<usize> {
        let wrong = self.wrong.iter().map(|(line, _, _)| line);
        self.right.iter().chain(wrong).chain(self.deliberate.values().flatten()).copied().collect()
    }

    fn print(&self, table: &str, wrong_shown: usize) {
        let right = self.right.len();
        let total = right + self.wrong.len();
        let percent = if total == 0 { 100.0 } else { right as f64 * 100.0 / total as f64 };
        // Told beside it what the share would be if every row counted: leaving rows out must not look like progress.
        let all = self.lines().len();
        let of_all = if all == 0 { 100.0 } else { right as f64 * 100.0 / all as f64 };
        println!("{table:<12} {right:>6} {total:>6} {percent:>7.1}% {:>9} {of_all:>7.1}%", all - total);
        for (reason, lines) in &self.deliberate {
            println!("    {} rows left out, different on purpose: {reason}", lines.len());
        }
        for (line, expected, got) in self.wrong.iter().take(wrong_shown) {
            println!("    {table}:{line}\n      expected {expected}\n      got      {got}");
        }
    }

    /// Why this falls below what once was right.
    fn lost(&self, table: &str) -> Option<String> {
        let floor = floors::FLOORS.iter().find(|(name, _)| *name == table).map_or(0, |(_, rows)| *rows);
        let right = self.right.len();
        (right < floor).then(|| format!("{table}: {right} rows right, {floor} before: a rule was lost"))
    }
}

/// Runs all rows of a table on a few threads. A panic is a wrong row; a row that does not end is an error.
fn run(table: &str, rows: Vec<Row>, compare: Check) -> Result<Tally> {
    quieten();
    let rows = Arc::new(rows);
    let next = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = mpsc::channel();
    for _ in 0..THREADS {
        let (rows, next, sender) = (Arc::clone(&rows), Arc::clone(&next), sender.clone());
        // Not scoped: a thread whose row hangs is left behind.
        std::thread::Builder::new().name(THREAD.to_owned()).stack_size(STACK).spawn(move || {
            while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                if sender.send((row.line, judged(row, compare))).is_err() {
                    return;
                }
            }
        })?;
    }
    drop(sender);
    let mut tally = Tally::default();
    loop {
        match receiver.recv_timeout(PATIENCE) {
            Ok((line, verdict)) => tally.add(line, verdict),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let ended: Vec<usize> = tally.lines();
                let hangs = rows.iter().map(|row| row.line).find(|line| !ended.contains(line)).unwrap_or_default();
                bail!("{table}: the row in line {hangs} does not end");
            }
        }
    }
    tally.wrong.sort();
    Ok(tally)
}

/// Keeps panics of rows off the terminal: they are counted as wrong answers.
fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() != Some(THREAD) {
                usual(panic);
            }
        }));
    });
}

/// The verdict on a row, where a panic is a wrong answer.
fn judged(row: &Row, compare: Check) -> Verdict {
    catch_unwind(AssertUnwindSafe(|| compare(row))).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        Verdict::Wrong { expected: "an answer".to_owned(), got: format!("panic: {text}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: usize) -> Vec<Row> {
        (1..=count).map(|line| Row { line, text: line.to_string() }).collect()
    }

    fn odd(row: &Row) -> Verdict {
        match row.line % 4 {
            0 => Verdict::Deliberate("divisible"),
            1 => Verdict::Right,
            2 => Verdict::Wrong { expected: "odd".to_owned(), got: row.text.clone() },
            _ => panic!("line {}", row.line),
        }
    }

    #[test]
    fn every_row_is_judged_and_a_panic_is_wrong() {
        let tally = run("t", rows(40), odd).unwrap();
        assert_eq!((tally.right.len(), tally.wrong.len(), tally.deliberate["divisible"].len()), (10, 20, 10));
        assert_eq!(tally.wrong[0], (2, "odd".to_owned(), "2".to_owned()));
        assert_eq!(tally.wrong[1].2, "panic: line 3");
        assert_eq!(tally.lines().len(), 40);
    }

    #[test]
    fn each_table_has_a_floor_and_each_floor_a_table() {
        let mut floors: Vec<&str> = floors::FLOORS.iter().map(|(table, _)| *table).collect();
        let mut tables = names();
        floors.sort_unstable();
        tables.sort_unstable();
        assert_eq!(floors, tables);
    }

    #[test]
    fn no_table_falls_below_its_floor() {
        let folder = checkout::corpus().join("oracle");
        if !folder.is_dir() {
            println!("skipped: there is no folder {}", folder.display());
            return;
        }
        let mut lost = Vec::new();
        for (table, compare) in TABLES {
            if let Some(rows) = read(&folder, table).unwrap() {
                lost.extend(run(table, rows, *compare).unwrap().lost(table));
            }
        }
        assert!(lost.is_empty(), "{lost:#?}");
    }
}
