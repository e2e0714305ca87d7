//! `cargo xtask test`: the checks in their order, each timed, and at the end what failed.
//! It must never hide a failure behind a later success, nor stop before everything was told.

use crate::flags::Flags;
use crate::{checkout, conformance, examples, faults, kill, oracle, simulation, tidy};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One check: true where it passed.
type Check = fn() -> Result<bool>;

const QUICK: &[(&str, Check)] = &[("setup", setup), ("oracle", oracle), ("cargo test", cargo_test)];

/// `cargo test` comes last, so that its closing lines are the last ones to be read.
const ALL: &[(&str, Check)] = &[
    ("setup", setup),
    ("fmt", fmt),
    ("tidy", rules),
    ("clippy", clippy),
    ("portable", portable),
    ("deny", deny),
    ("doc", doc),
    ("oracle", oracle),
    ("conformance", conform),
    ("examples", examples::run),
    ("sim", simulate),
    ("planted", planted),
    ("kill", kill),
    ("faults", injected_faults),
    ("cargo test", cargo_test),
];

pub fn main(flags: &mut Flags) -> Result<bool> {
    let all = flags.switch("--all");
    flags.finish()?;
    let mut told = Vec::new();
    for (name, check) in if all { ALL } else { QUICK } {
        println!("── {name}");
        let start = Instant::now();
        let passed = check().unwrap_or_else(|error| {
            println!("{name}: {error:#}");
            false
        });
        told.push((*name, passed, start.elapsed()));
    }
    Ok(summary(&told))
}

/// Prints what each check took. True where all passed.
fn summary(told: &[(&str, bool, Duration)]) -> bool {
    println!("──");
    for (name, passed, took) in told {
        println!("{:<12} {:>7.1} s  {}", name, took.as_secs_f64(), if *passed { "passed" } else { "FAILED" });
    }
    let failed = told.iter().filter(|(_, passed, _)| !passed).count();
    println!("checks: {} passed, {failed} failed", told.len() - failed);
    failed == 0
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).current_dir(checkout::root());
    cargo
}

fn passes(mut command: Command) -> Result<bool> {
    let name = command.get_program().to_string_lossy().into_owned();
    Ok(command.status().with_context(|| format!("cannot run {name}"))?.success())
}

/// What the tests need of the machine, all that is missing at once, each with its remedy.
fn setup() -> Result<bool> {
    let answers = |program: &str, arguments: &[&str]| {
        let mut tried = Command::new(program);
        tried.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        tried.status().is_ok_and(|status| status.success())
    };
    let at_least_3_9 = "import sys; sys.exit(sys.version_info < (3, 9))";
    let needs: [(bool, &str); 4] = [
        (
            answers("cc", &["--version"]),
            "a C compiler (cc), to build SQLite: install gcc, on Debian `apt-get install build-essential`",
        ),
        (answers("git", &["--version"]), "git: on Debian `apt-get install git`"),
        (
            answers("python3", &["-c", at_least_3_9]),
            "python3, at least 3.9, for the Python examples: on Debian `apt-get install python3`",
        ),
        (
            answers("python3", &["-c", "import venv, ensurepip"]),
            "Python's venv and ensurepip, to build environments: on Debian `apt-get install python3-venv`",
        ),
    ];
    let missing: Vec<&str> = needs.iter().filter(|(there, _)| !there).map(|(_, what)| *what).collect();
    for what in &missing {
        println!("missing: {what}");
    }
    Ok(missing.is_empty())
}

fn cargo_test() -> Result<bool> {
    passes(cargo(&["test", "--workspace", "--no-fail-fast"]))
}

fn fmt() -> Result<bool> {
    passes(cargo(&["fmt", "--all", "--", "--check"]))
}

fn clippy() -> Result<bool> {
    passes(cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

/// The build that needs no more than POSIX, on this machine, and where its parts are installed the look of macOS's compiler at it.
fn portable() -> Result<bool> {
    let executor = cargo(&["test", "--quiet", "-p", "executor", "--features", "portable", "--lib", "--test", "local"]);
    let smoke = cargo(&["test", "--quiet", "-p", "e2e", "--features", "portable", "portable::"]);
    Ok(passes(executor)? & passes(smoke)? & macos()?)
}

/// Nothing is linked, so that no C compiler for it is needed: what is C is left out.
fn macos() -> Result<bool> {
    const TARGET: &str = "aarch64-apple-darwin";
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let there = libraries.is_ok_and(|told| Path::new(String::from_utf8_lossy(&told.stdout).trim()).is_dir());
    if !there {
        println!("the check for macOS is skipped: `rustup target add {TARGET}`");
        return Ok(true);
    }
    let mut check = cargo(&["check", "--quiet", "-p", "cli", "--target", TARGET]);
    check.env("SDKROOT", "/").env("CC_aarch64_apple_darwin", "true").env("AR_aarch64_apple_darwin", "true");
    check.env("RUSTFLAGS", "-D warnings");
    passes(check)
}

/// Licences, bans and sources. The advisory database lies on another host and is left to those who can reach it.
fn deny() -> Result<bool> {
    let there = cargo(&["deny", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        println!("cargo-deny is not installed: `cargo install cargo-deny --locked` (.ci/run does)");
        return Ok(false);
    }
    passes(cargo(&["deny", "--all-features", "check", "bans", "licenses", "sources"]))
}

fn doc() -> Result<bool> {
    let mut command = cargo(&["doc", "--quiet", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    passes(command)
}

fn rules() -> Result<bool> {
    tidy::main(&mut Flags::new(Vec::new()))
}

fn oracle() -> Result<bool> {
    oracle::main(&mut Flags::new(vec!["--check".to_owned()]))
}

fn conform() -> Result<bool> {
    conformance::main(&mut Flags::new(vec!["--check".to_owned()]))
}

fn simulate() -> Result<bool> {
    simulation::many(simulation::SEEDS)
}

/// Whether the simulator finds the bugs that are planted for it.
fn planted() -> Result<bool> {
    simulation::find_planted(simulation::PLANTED_SEEDS)
}

/// The rows of the fault matrix, a few rounds each.
fn injected_faults() -> Result<bool> {
    faults::run(faults::Length::Short, None)
}

/// Rounds of kill -9 with the real binary.
fn kill() -> Result<bool> {
    kill::play(kill::ROUNDS, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_all() {
        let took = Duration::ZERO;
        assert!(summary(&[("a", true, took), ("b", true, took)]));
        assert!(!summary(&[("a", true, took), ("b", false, took), ("c", true, took)]));
    }

    #[test]
    fn tests_come_last() {
        assert_eq!(QUICK.last().map(|(name, _)| *name), Some("cargo test"));
        assert_eq!(ALL.last().map(|(name, _)| *name), Some("cargo test"));
    }
}
