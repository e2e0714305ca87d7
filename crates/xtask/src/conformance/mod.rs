//! The real binary against the real controller: for each example manifest that uses only what is supported, the node tree.
//! It must never link the product: it runs the program that people run, and reads what it prints.

mod compare;
mod floors;
mod manifests;
mod tree;

use crate::checkout;
use crate::flags::Flags;
use anyhow::{Context, Result, bail};
use compare::{Difference, Match, compare};
use manifests::Case;
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tree::RunTree;

const AT_ONCE: usize = 4;
const PATIENCE: Duration = Duration::from_secs(330);
/// `towpath run` ends with it when nothing was run: bad usage, or a workflow that is invalid or uses what is not supported.
const REFUSED: i32 = 2;

/// What a case came to.
enum Outcome {
    Compared(Match),
    /// With the first line of what was said.
    Unsupported(String),
    /// There is nothing to compare: no end in time, or no JSON.
    Broken(String),
}

pub fn main(flags: &mut Flags) -> Result<bool> {
    let manifests = flags.value("--manifests")?;
    let golden = flags.value("--golden")?;
    let only = flags.value("--only")?;
    let release = flags.switch("--release");
    let check = flags.switch("--check");
    flags.finish()?;
    if check && (manifests.is_some() || golden.is_some() || only.is_some()) {
        bail!("--check compares with the counts of the default folders: give no others, and no --only");
    }
    let manifests = manifests.map_or_else(|| checkout::corpus().join("argo-examples"), PathBuf::from);
    let golden = golden.map_or_else(|| checkout::corpus().join("golden"), PathBuf::from);
    for folder in [&manifests, &golden] {
        if !folder.is_dir() {
            println!("conformance: skipped: there is no folder {}", folder.display());
            return Ok(true);
        }
    }
    let binary = build(release)?;
    let cases = manifests::read(&manifests, &golden, only.as_deref())?;
    for (file, why) in &cases.left_out {
        println!("{:<12} {file}: {why}", "left out");
    }
    let homes = tempfile::tempdir().context("cannot make a folder for homes")?;
    let outcomes = run_all(&binary, &cases.cases, homes.path());
    let totals = Totals::of(&outcomes);
    totals.print(cases.left_out.len());
    Ok(!check || totals.hold())
}

/// Builds the program that is compared. Gives its path.
pub fn build(release: bool) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "cli"]).current_dir(checkout::root());
    if release {
        cargo.arg("--release");
    }
    if !cargo.status().context("cannot run cargo")?.success() {
        bail!("the program does not build");
    }
    Ok(checkout::target().join(if release { "release" } else { "debug" }).join("towpath"))
}

/// Runs all cases, a few at a time, and prints a line for each when it ends. In the order of the cases.
fn run_all(binary: &Path, cases: &[Case], homes: &Path) -> Vec<Outcome> {
    let next = Mutex::new(0..cases.len());
    let mut outcomes = Vec::new();
    std::thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            while let Some(at) = next.lock().ok().and_then(|mut range| range.next()) {
                let outcome = run(binary, &cases[at], &homes.join(at.to_string()))
                    .unwrap_or_else(|error| Outcome::Broken(format!("{error:#}")));
                print(&cases[at].file, &outcome);
                mine.push((at, outcome));
            }
            mine
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        outcomes.extend(
            workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
        );
    });
    outcomes.sort_by_key(|(at, _)| *at);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn run(binary: &Path, case: &Case, home: &Path) -> Result<Outcome> {
    std::fs::create_dir_all(home)?;
    let name = case.expected["name"].as_str().unwrap_or_default();
    let (printed, said) = (home.join("printed.json"), home.join("said.txt"));
    let store = home.join("home");
    let mut command = Command::new(binary);
    command
        // Places for all that only sleeps.
        .arg("run")
        .arg(&case.manifest)
        .args(&case.templates)
        .args(["--name", name, "-j", "16", "-o", "json", "--home"])
        .arg(&store);
    command.stdin(Stdio::null()).stdout(File::create(&printed)?).stderr(File::create(&said)?);
    let status = wait(command, PATIENCE)?;
    let said = std::fs::read_to_string(said).unwrap_or_default();
    let Some(status) = status else {
        // The client is gone; the run goes on without it unless told.
        let mut stop = Command::new(binary);
        stop.args(["terminate", name, "--home"]).arg(&store).stdout(Stdio::null()).stderr(Stdio::null());
        wait(stop, Duration::from_secs(10))?;
        return Ok(Outcome::Broken(format!("no end within {} s", PATIENCE.as_secs())));
    };
    if status.code() == Some(REFUSED) {
        return Ok(Outcome::Unsupported(first_line(&said)));
    }
    let text = std::fs::read_to_string(printed)?;
    Ok(match serde_json::from_str::<Value>(&text) {
        Ok(workflow) => Outcome::Compared(compare(&RunTree::recorded(&case.expected), &RunTree::printed(&workflow))),
        Err(error) => Outcome::Broken(format!("{status}, its output is no JSON ({error}): {}", first_line(&said))),
    })
}

fn first_line(text: &str) -> String {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing was said").trim().to_owned()
}

/// Runs a program to its end, `None` when it had to be killed.
fn wait(mut command: Command, patience: Duration) -> Result<Option<ExitStatus>> {
    let mut child = command.spawn().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let until = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn print(file: &str, outcome: &Outcome) {
    let (word, text) = match outcome {
        Outcome::Compared(Match::Whole) => ("whole", String::new()),
        Outcome::Compared(Match::PhaseOnly(difference)) => ("phase only", describe(difference)),
        Outcome::Compared(Match::Wrong(difference)) => ("wrong", describe(difference)),
        Outcome::Unsupported(why) => ("unsupported", format!(": {why}")),
        Outcome::Broken(why) => ("broken", format!(": {why}")),
    };
    println!("{word:<12} {file}{text}");
}

fn describe(difference: &Difference) -> String {
    let Difference { node, field, expected, got } = difference;
    format!("\n      {node}: {field}\n      expected {expected}\n      got      {got}")
}

#[derive(Debug, Default)]
struct Totals {
    whole: usize,
    phase_only: usize,
    wrong: usize,
    unsupported: usize,
    broken: usize,
}

impl Totals {
    fn of(outcomes: &[Outcome]) -> Self {
        let mut totals = Self::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Compared(Match::Whole) => totals.whole += 1,
                Outcome::Compared(Match::PhaseOnly(_)) => totals.phase_only += 1,
                Outcome::Compared(Match::Wrong(_)) => totals.wrong += 1,
                Outcome::Unsupported(_) => totals.unsupported += 1,
                Outcome::Broken(_) => totals.broken += 1,
            }
        }
        totals
    }

    fn print(&self, left_out: usize) {
        println!(
            "conformance: {} whole trees, {} with the same phase only, {} wrong, {} without a tree; {} unsupported, {left_out} left out",
            self.whole, self.phase_only, self.wrong, self.broken, self.unsupported
        );
    }

    /// Whether no fewer match than once did; says so where not.
    fn hold(&self) -> bool {
        let same_phase = self.whole + self.phase_only;
        let mut hold = true;
        for (what, got, floor) in
            [("whole trees", self.whole, floors::WHOLE), ("same phases", same_phase, floors::SAME_PHASE)]
        {
            if got < floor {
                println!("conformance: {got} {what}, {floor} before: a rule was lost (conformance/floors.rs)");
                hold = false;
            }
        }
        hold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(manifest: &str) -> Case {
        let expected = serde_json::json!({"name": "w", "phase": "Succeeded", "nodes": {"w": {"type": "Pod"}}});
        Case { file: "w.yaml".to_owned(), manifest: manifest.into(), templates: Vec::new(), expected }
    }

    /// A stand-in for the program: a script that sees the same arguments.
    fn outcome(script: &str) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        // Written by another process: a thread of ours that forks meanwhile would keep it open for writing, and busy.
        let write = "printf '#!/bin/sh\n%s\n' \"$1\" > \"$2\" && chmod +x \"$2\"";
        assert!(Command::new("sh").args(["-c", write, "sh", script]).arg(&program).status().unwrap().success());
        run(&program, &case("w.yaml"), &folder.path().join("case")).unwrap()
    }

    #[test]
    fn what_the_program_says_is_understood() {
        let tree = r#"echo '{"status": {"phase": "Succeeded", "nodes": {"w": {"name": "w", "type": "Pod"}}}}'; exit "#;
        let given = format!(r#"test "$*" = "run w.yaml --name w -j 16 -o json --home ${{10}}" || exit 9; {tree}"#);
        assert!(matches!(outcome(&format!("{given}0")), Outcome::Compared(Match::Whole)));
        assert!(matches!(outcome(&format!("{tree}1")), Outcome::Compared(Match::Whole)));
        let Outcome::Unsupported(why) = outcome("echo >&2; echo 'w.yaml:3: no' >&2; exit 2") else { panic!() };
        assert_eq!(why, "w.yaml:3: no");
        assert!(matches!(outcome("echo nothing; exit 3"), Outcome::Broken(_)));
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let mut endless = Command::new("sleep");
        endless.arg("600");
        assert!(wait(endless, Duration::ZERO).unwrap().is_none());
    }
}
