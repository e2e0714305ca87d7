//! Runs the seeded simulator: many seeds, or one.
//! It must never know what the simulator checks.

use crate::checkout;
use crate::flags::Flags;
use anyhow::{Context, Result, bail};
use std::process::Command;

/// What `cargo xtask test --all` runs.
pub const SEEDS: u64 = 10_000;
/// Within so many each planted bug has to be found.
pub const PLANTED_SEEDS: u64 = 1_000;

pub fn main(flags: &mut Flags) -> Result<bool> {
    let planted = flags.switch("--planted");
    let verbose = flags.switch("-v");
    let seeds = flags.number("--seeds")?;
    let from: Option<u64> = flags.number("--from")?;
    let seed: Option<u64> = flags.number("--seed")?;
    let fault = flags.value("--with")?;
    flags.finish()?;
    let with: Vec<&str> = fault.iter().flat_map(|fault| ["--with", fault]).collect();
    match (planted, seeds, seed) {
        (_, Some(_), Some(_)) => bail!("give --seeds N or --seed S, not both"),
        (true, _, Some(_)) => bail!("--planted plays seeds from 0 on: leave out --seed"),
        (true, seeds, None) => find_planted(seeds.unwrap_or(PLANTED_SEEDS)),
        (false, None, Some(seed)) => one(seed, verbose, &with),
        (false, seeds, None) => {
            let (seeds, from) = (number(seeds.unwrap_or(SEEDS)), number(from.unwrap_or(0)));
            run(&[&["--seeds", &seeds, "--from", &from], &*with].concat())
        }
    }
}

fn number(number: u64) -> String {
    number.to_string()
}

/// One seed, told in full.
fn one(seed: u64, verbose: bool, with: &[&str]) -> Result<bool> {
    let seed = number(seed);
    let mut arguments = vec!["--seed", &seed];
    arguments.extend(verbose.then_some("-v"));
    arguments.extend(with);
    run(&arguments)
}

/// The seeds from 0; those that fail are told.
pub fn many(seeds: u64) -> Result<bool> {
    run(&["--seeds", &number(seeds)])
}

/// Seeds with one fault on in each of them: how many failed, and what was told.
pub fn with_fault(fault: &str, seeds: u64) -> Result<(u64, String)> {
    let output = simulator(&["--seeds", &number(seeds), "--with", fault]).output().context("cannot run cargo")?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    // `N seeds from S: F failed; …`
    let last = text.lines().rfind(|line| line.starts_with(&format!("{seeds} seeds from ")));
    let failed = last.and_then(|line| line.split(": ").nth(1)?.split(' ').next()?.parse().ok());
    match failed {
        Some(failed) if output.status.success() == (failed == 0) => Ok((failed, text)),
        _ => bail!("the simulator did not say what came of its seeds:\n{text}"),
    }
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
