//! Rounds of kill -9: random processes of ours at random moments, with the real binary; every history is read by the simulator's
//! checker.
//! It must never know how a round is played: that is the end-to-end test's.

use crate::checkout;
use crate::flags::Flags;
use anyhow::{Context, Result, bail};
use model::event::Recorded;
use sim::checker;
use std::path::Path;
use std::process::Command;

/// What `cargo xtask test --all` plays.
pub const ROUNDS: u64 = 30;

/// Tests write the histories of their runs into the directory that this names.
pub const HISTORIES: &str = "TOWPATH_KILL_HISTORIES";

pub fn main(flags: &mut Flags) -> Result<bool> {
    let rounds = flags.number("--rounds")?.unwrap_or(300);
    let seed = flags.number("--seed")?.unwrap_or(1);
    flags.finish()?;
    play(rounds, seed)
}

/// Plays the rounds and checks their histories. True where nothing was violated.
pub fn play(rounds: u64, seed: u64) -> Result<bool> {
    let histories = tempfile::tempdir().context("cannot make a directory for the histories")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--quiet", "--package", "e2e", "--test", "it", "--", "--nocapture", "a_kill_at_any_moment"]);
    cargo.current_dir(checkout::root());
    cargo.env("TOWPATH_KILL_ROUNDS", rounds.to_string()).env("TOWPATH_KILL_SEED", seed.to_string());
    cargo.env(HISTORIES, histories.path());
    let played = cargo.status().context("cannot run cargo")?.success();
    let (checked, told) = check_all(histories.path())?;
    let violations = told.len();
    told.iter().for_each(|told| println!("{told}"));
    println!("kill: {rounds} rounds from seed {seed}: {checked} histories checked, {violations} violations");
    if played && checked != rounds {
        bail!("{checked} histories for {rounds} rounds");
    }
    Ok(played && violations == 0)
}

/// How many histories lie in a folder, and what they violate.
pub fn check_all(folder: &Path) -> Result<(u64, Vec<String>)> {
    let (mut checked, mut violations) = (0, Vec::new());
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let log: Vec<Recorded> = text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .with_context(|| format!("{} is no history", path.display()))?;
        for violation in checker::check(&log, &[]).into_iter().chain(checker::check_over(&log)) {
            violations.push(format!("{}: {violation}", path.display()));
        }
        checked += 1;
    }
    Ok((checked, violations))
}
