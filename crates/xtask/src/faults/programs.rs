//! The test programs of the workspace, built once, and single tests of them as rounds of a fault.
//! It must never take a test that does not exist for one that passed.

use super::Outcome;
use super::rows::{Check, How, Program};
use crate::{checkout, kill};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Tests read from here how many rounds are wanted of them.
const ROUNDS: &str = "TOWPATH_FAULT_ROUNDS";
/// Lines of a test that failed.
const LINES_MAX: usize = 40;

pub struct Programs {
    /// (package, target, whether it is the tests of the library) → the program.
    found: BTreeMap<(String, String, bool), PathBuf>,
}

impl Programs {
    /// Builds what the checks need.
    pub fn build<'a>(checks: impl Iterator<Item = &'a Check>) -> Result<Self> {
        let mut packages: Vec<&str> = checks
            .filter_map(|check| match check.how {
                How::Test { program, .. } => Some(program.package),
                _ => None,
            })
            .collect();
        packages.sort_unstable();
        packages.dedup();
        let mut found = BTreeMap::new();
        if packages.is_empty() {
            return Ok(Self { found });
        }
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["test", "--quiet", "--no-run", "--message-format=json"]).current_dir(checkout::root());
        for package in packages {
            cargo.args(["--package", package]);
        }
        let output = cargo.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
        if !output.status.success() {
            bail!("the tests do not build");
        }
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            let (Some(path), Some(id)) = (message["executable"].as_str(), message["package_id"].as_str()) else {
                continue;
            };
            // `path+file:///…/crates/NAME#VERSION`
            let package = id.split('#').next().and_then(|id| id.rsplit('/').next()).unwrap_or_default();
            let target = &message["target"];
            let is_library = target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "lib"));
            let name = target["name"].as_str().unwrap_or_default();
            found.insert((package.to_owned(), name.to_owned(), is_library), path.into());
        }
        Ok(Self { found })
    }

    /// Runs one test: once, if it says how many rounds it made of it, else as often as wanted.
    pub fn test(&self, program: Program, name: &str, rounds: u64) -> Result<Outcome> {
        let is_library = program.target.is_empty();
        let target = if is_library { program.package } else { program.target };
        let key = (program.package.to_owned(), target.to_owned(), is_library);
        let path = self.found.get(&key).with_context(|| format!("{program:?} was not built"))?;
        let histories = tempfile::tempdir().context("cannot make a directory for the histories")?;
        let mut done = 0;
        while done < rounds {
            let mut test = Command::new(path);
            test.arg(name).current_dir(checkout::root().join("crates").join(program.package));
            test.env(ROUNDS, rounds.to_string()).env(kill::HISTORIES, histories.path()).stdin(Stdio::null());
            if !program.own_harness {
                test.args(["--exact", "--nocapture"]);
            }
            let output = test.output().with_context(|| format!("cannot run {}", path.display()))?;
            let text =
                [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
            match read(&text, output.status.success(), name, program.own_harness)? {
                Told::Failed => {
                    let lines: Vec<&str> = text.lines().collect();
                    let told = lines[lines.len().saturating_sub(LINES_MAX)..].join("\n");
                    return Ok(Outcome::Ran { rounds: done + 1, violations: 1, told });
                }
                Told::NotRun(why) => return Ok(Outcome::NotRun(why)),
                Told::Rounds(own) => {
                    done = own;
                    break;
                }
                Told::Passed => done += 1,
            }
        }
        let (_, told) = kill::check_all(histories.path())?;
        Ok(Outcome::Ran { rounds: done, violations: told.len() as u64, told: told.join("\n") })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Passed,
    /// It made so many rounds of its own.
    Rounds(u64),
    NotRun(String),
    Failed,
}

/// What the output of one test says.
fn read(text: &str, succeeded: bool, name: &str, own_harness: bool) -> Result<Told> {
    if !succeeded {
        return Ok(Told::Failed);
    }
    let ran = if own_harness {
        text.lines().filter(|line| line.starts_with(&format!("test {name} ... ok"))).count()
    } else {
        text.lines().filter(|line| line.starts_with("test result: ok. 1 passed;")).count()
    };
    if ran != 1 {
        bail!("there is no test {name} any more: change crates/xtask/src/faults/rows.rs");
    }
    for line in text.lines() {
        // With --nocapture it may stand behind `test NAME ... `.
        for mark in ["skipped: ", "not run: "] {
            if let Some((_, why)) = line.split_once(mark) {
                return Ok(Told::NotRun(why.trim().to_owned()));
            }
        }
    }
    let rounds = text.lines().filter_map(|line| line.split_once("rounds made: ")?.1.trim().parse().ok()).next_back();
    Ok(rounds.map_or(Told::Passed, Told::Rounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_not_there_or_did_nothing_has_not_passed() {
        let ok = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out";
        let none = ok.replace("1 passed", "0 passed");
        let told = |text: &str, succeeded| read(text, succeeded, "a", false);
        assert_eq!(told(ok, true).unwrap(), Told::Passed);
        assert_eq!(told(ok, false).unwrap(), Told::Failed);
        assert!(told(&none, true).is_err());
        assert_eq!(told(&format!("rounds made: 7\n{ok}"), true).unwrap(), Told::Rounds(7));
        let skipped = format!("test a ... skipped: no tmpfs\n{ok}");
        assert_eq!(told(&skipped, true).unwrap(), Told::NotRun("no tmpfs".into()));
        assert_eq!(read("test a ... ok (3 ms)\n", true, "a", true).unwrap(), Told::Passed);
        assert!(read("0 failed []\n", true, "a", true).is_err());
    }
}
