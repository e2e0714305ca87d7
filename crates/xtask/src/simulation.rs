//! Runs the seeded simulator: many seeds, or one.
//! It must never know what the simulator checks.

use crate::checkout;
use crate::flags::Flags;
use anyhow::{Context, Result, bail};
use std::process::Command;

/// What `cargo xtask test --all` runs.
pub const SEEDS: u64 = 1_000;

pub fn main(flags: &mut Flags) -> Result<bool> {
    let seeds = flags.number("--seeds")?;
    let seed = flags.number("--seed")?;
    flags.finish()?;
    match (seeds, seed) {
        (Some(_), Some(_)) => bail!("give --seeds N or --seed S, not both"),
        (None, Some(seed)) => one(seed),
        (seeds, None) => many(seeds.unwrap_or(SEEDS)),
    }
}

/// One seed, told in full.
fn one(seed: u64) -> Result<bool> {
    simulator(&["--seed", &seed.to_string()])
}

/// The seeds from 0; those that fail are told.
pub fn many(seeds: u64) -> Result<bool> {
    simulator(&["--seeds", &seeds.to_string()])
}

/// Optimised: a seed costs thousands of decisions.
fn simulator(arguments: &[&str]) -> Result<bool> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--quiet", "--release", "--package", "sim", "--"]).args(arguments);
    Ok(cargo.current_dir(checkout::root()).status().context("cannot run cargo")?.success())
}
