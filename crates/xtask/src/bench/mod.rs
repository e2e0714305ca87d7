//! Rows 1 to 5 of the budgets (docs/performance.md) on this machine: what a task costs beside make, ninja and the floor.
//! It must never fail because something was slow: it measures, people judge.

mod contender;
mod ratio;
mod sizes;
mod workload;

use crate::checkout;
use crate::conformance;
use crate::flags::Flags;
use anyhow::{Context, Result};
use contender::{Bench, Floor};
use ratio::{Ratio, median};

const ROUNDS: usize = 5;
const TASKS: usize = 10_000;
const CHAIN: usize = 1_000;
/// Tasks that leave something in their sandbox, for so many others.
const DIRTY_SHARE: usize = 5;
const HELLOS: usize = 11;
/// Nodes of a large run.
const LARGE: usize = 100_000;

pub fn main(flags: &mut Flags) -> Result<bool> {
    let rounds = flags.number("--rounds")?.unwrap_or(ROUNDS);
    let tasks = flags.number("--tasks")?.unwrap_or(TASKS);
    let chain = flags.number("--chain")?.unwrap_or(CHAIN);
    let only_sizes = flags.switch("--sizes");
    let large = flags.number("--large")?.unwrap_or(LARGE);
    let other = flags.value("--binary")?;
    flags.finish()?;
    let binary = match other {
        Some(path) => std::path::absolute(&path).with_context(|| format!("cannot find {path}"))?,
        None => conformance::build(true)?,
    };
    let parent = checkout::target().join("bench");
    std::fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
    // One file system for homes, layers and logs of all contenders.
    let folder = tempfile::tempdir_in(&parent).context("cannot make a folder for the rounds")?;
    let bench = Bench::new(binary, folder.path().to_owned())?;
    if only_sizes {
        println!("{}", contender::machine());
        sizes::table(&bench, large)?;
        return Ok(true);
    }
    println!("{rounds} rounds; {tasks} tasks, 2 at a time; a chain of {chain}; {}", contender::machine());
    println!("\n| what | ratio | budget | verdict |\n|---|---|---|---|");
    // First: after the others the machine still clears away what they left.
    hello(&bench)?;
    fan_out(&bench, rounds, tasks)?;
    chain_of(&bench, rounds, chain)?;
    dirty(&bench, rounds, tasks / DIRTY_SHARE)?;
    Ok(true)
}

/// Rows 1 and 2: many independent tasks. Each round runs every contender once.
fn fan_out(bench: &Bench, rounds: usize, tasks: usize) -> Result<()> {
    let workflow = bench.write("fan-out.yaml", &workload::fan_out(tasks))?;
    bench.write("Makefile", &workload::makefile(tasks))?;
    bench.write("build.ninja", &workload::ninja_file(tasks))?;
    let (mut make, mut ninja, mut sandbox) = (Vec::new(), Vec::new(), Vec::new());
    let (mut trusted_make, mut plain, mut synced) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let standard = bench.towpath(&workflow, "standard", 2, tasks)?;
        let by_make = bench.make()?;
        let trusted = bench.towpath(&workflow, "trusted", 2, tasks)?;
        make.push((standard, by_make));
        trusted_make.push((trusted, by_make));
        synced.push((bench.towpath_synced(&workflow, "trusted", 2, tasks)?, trusted));
        ninja.extend(bench.ninja()?.map(|seconds| (standard, seconds)));
        sandbox.extend(bench.floor(Floor::Sandbox, tasks, 2)?.map(|seconds| (standard, seconds)));
        plain.extend(bench.floor(Floor::Plain, tasks, 2)?.map(|seconds| (trusted, seconds)));
    }
    let standard = format!("{tasks} × /bin/true, standard");
    print(&standard, "make -j2", 1.0, &make);
    print(&standard, "ninja -j2", 0.75, &ninja);
    print(&standard, "its floor", 1.4, &sandbox);
    let trusted = format!("{tasks} × /bin/true, trusted");
    print(&trusted, "make -j2", 1.0, &trusted_make);
    print(&trusted, "its floor", 1.4, &plain);
    print(&format!("{trusted}, every commit synced"), "trusted", 1.3, &synced);
    Ok(())
}

/// Row 3: one task after the other.
fn chain_of(bench: &Bench, rounds: usize, tasks: usize) -> Result<()> {
    let workflow = bench.write("chain.yaml", &workload::chain(tasks))?;
    let mut sandbox = Vec::new();
    for _ in 0..rounds {
        let standard = bench.towpath(&workflow, "standard", 1, tasks)?;
        sandbox.extend(bench.floor(Floor::Sandbox, tasks, 1)?.map(|seconds| (standard, seconds)));
    }
    print(&format!("chain of {tasks} × /bin/true, standard"), "its floor at width 1", 2.0, &sandbox);
    Ok(())
}

/// Row 4: every task leaves its sandbox dirty.
fn dirty(bench: &Bench, rounds: usize, tasks: usize) -> Result<()> {
    let workflow = bench.write("dirty.yaml", &workload::dirty(tasks))?;
    let mut floor = Vec::new();
    for _ in 0..rounds {
        let standard = bench.towpath(&workflow, "standard", 2, tasks)?;
        floor.extend(bench.floor(Floor::Dirty, tasks, 2)?.map(|seconds| (standard, seconds)));
    }
    print(&format!("{tasks} tasks with a declared output and a stray file, standard"), "their floor", 1.4, &floor);
    Ok(())
}

/// Row 5: the whole process, in milliseconds.
fn hello(bench: &Bench) -> Result<()> {
    let workflow = bench.write("hello.yaml", &workload::hello())?;
    let mut fresh = Vec::new();
    let mut known = Vec::new();
    let home = bench.home()?;
    bench.towpath_in(&home, &workflow, "standard", 2, 1)?;
    for _ in 0..HELLOS {
        fresh.push(bench.towpath(&workflow, "standard", 2, 1)? * 1000.0);
        known.push(bench.towpath_in(&home, &workflow, "standard", 2, 1)? * 1000.0);
    }
    for (what, budget, times) in [("an empty home", 80.0, fresh), ("an existing home", 40.0, known)] {
        if let Some(ms) = median(times) {
            let verdict = if ms <= budget { "met" } else { "missed" };
            println!("| hello, whole process, in {what} | {ms:.0} ms | ≤ {budget:.0} ms | {verdict} |");
        }
    }
    Ok(())
}

fn print(what: &str, against: &'static str, budget: f64, rounds: &[(f64, f64)]) {
    match Ratio::of(what, against, budget, rounds) {
        Some(ratio) => println!("{}", ratio.line()),
        None => println!("| {what} | not measured: {against} is not to be had here | ≤ {budget:.2} | |"),
    }
}
