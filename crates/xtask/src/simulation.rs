//! Runs the seeded simulator: many seeds, or one.
//! It must never know what the simulator checks.

use crate::checkout;
use crate::flags::Flags;
use anyhow::{Context, Result, bail};
use std::process::Command;

/// What `cargo xtask test --all` runs.
pub const SEEDS: u64 = 1_000;

pub fn main(flags: &mut Flags) -> Result<bool> {
    let planted = flags.switch("--planted");
    let verbose = flags.switch("-v");
    let seeds = flags.number("--seeds")?;
    let from: Option<u64> = flags.number("--from")?;
    let seed: Option<u64> = flags.number("--seed")?;
    flags.finish()?;
    match (planted, seeds, seed) {
        (_, Some(_), Some(_)) => bail!("give --seeds N or --seed S, not both"),
        (true, _, Some(_)) => bail!("--planted plays seeds from 0 on: leave out --seed"),
        (true, seeds, None) => find_planted(seeds.unwrap_or(SEEDS)),
        (false, None, Some(seed)) => one(seed, verbose),
        (false, seeds, None) => {
            run(&["--seeds", &number(seeds.unwrap_or(SEEDS)), "--from", &number(from.unwrap_or(0))])
        }
    }
}

fn number(number: u64) -> String {
    number.to_string()
}

/// One seed, told in full.
fn one(seed: u64, verbose: bool) -> Result<bool> {
    let seed = number(seed);
    let mut arguments = vec!["--seed", &seed];
    arguments.extend(verbose.then_some("-v"));
    run(&arguments)
}

/// The seeds from 0; those that fail are told.
pub fn many(seeds: u64) -> Result<bool> {
    run(&["--seeds", &number(seeds)])
}

/// Each known bug, planted in the product's own code, has to be caught within so many seeds.
pub fn find_planted(seeds: u64) -> Result<bool> {
    let target = checkout::root().join("target/planted");
    let mut cargo = simulator(&["--planted", "--seeds", &number(seeds)]);
    cargo.env("RUSTFLAGS", "--cfg planted").env("CARGO_TARGET_DIR", target);
    succeeds(cargo)
}

fn run(arguments: &[&str]) -> Result<bool> {
    succeeds(simulator(arguments))
}

fn succeeds(mut cargo: Command) -> Result<bool> {
    Ok(cargo.status().context("cannot run cargo")?.success())
}

/// Optimised: a seed costs thousands of decisions.
fn simulator(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--quiet", "--release", "--package", "sim", "--"]).args(arguments);
    cargo.current_dir(checkout::root());
    cargo
}
