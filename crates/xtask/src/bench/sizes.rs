//! The rows of the budgets about size: a million nodes, a large directory, many attempts at once, and what a node costs in memory.
//! It must never fail because something was slow or large: it measures, people judge.

use super::contender::Bench;
use super::workload;
use crate::checkout;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Small and large run, whose cost a task is compared.
const SMALL: usize = 1_000;
const SLEEPERS: usize = 2_000;
const SLEEP_S: usize = 20;

pub fn table(bench: &Bench, large: usize) -> Result<()> {
    println!("\n| what | measured | budget | verdict |\n|---|---|---|---|");
    engine()?;
    control_plane(&bench.home()?)?;
    directory(bench)?;
    sleepers(bench)?;
    cost_a_task(bench, large)
}

fn line(what: &str, measured: f64, unit: &str, met: bool, budget: &str) {
    let digits = if measured < 20.0 { 2 } else { 0 };
    let verdict = if met { "met" } else { "missed" };
    println!("| {what} | {measured:.digits$} {unit} | {budget} | {verdict} |");
}

/// An example of a crate in the release build: the numbers that it prints.
fn example(package: &str, name: &str, words: &[&str]) -> Result<Vec<f64>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--quiet", "--release", "--package", package, "--example", name, "--"]).args(words);
    let output = cargo.current_dir(checkout::root()).stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the example {name} of {package}: {}", output.status);
    }
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.split_whitespace().map(|word| word.parse().with_context(|| format!("{name} printed {word}"))).collect()
}

fn engine() -> Result<()> {
    let what = "engine alone, 1,000,000-item fan-out, its events encoded";
    let with_output = format!("{what}, an 8-byte output each, aggregated");
    for (what, words, seconds, bytes) in
        [(what, &["1000000"][..], 3.0, 250.0), (&with_output, &["1000000", "output"], 6.0, 400.0)]
    {
        let [took, used, _] = example("engine", "million", words)?[..] else { bail!("three numbers were expected") };
        line(what, took, "s of one cpu", took <= seconds, &format!("≤ {seconds} s"));
        line(what, used, "bytes a node", used <= bytes, &format!("≤ {bytes}"));
    }
    Ok(())
}

fn control_plane(folder: &Path) -> Result<()> {
    let folder = folder.to_string_lossy().into_owned();
    for (what, folder) in [("durable", format!("{folder}/durable")), ("recovery", format!("{folder}/recovery"))] {
        std::fs::create_dir(&folder)?;
        let [number] = example("driver", "sizes", &[what, &folder])?[..] else { bail!("one number was expected") };
        if what == "durable" {
            line("durable events, FULL, 100 waiters, rows included", number, "/s", number >= 30_000.0, "≥ 30,000/s");
        } else {
            let what = "recovery, 10,000 attempts outstanding, store opened to the last command";
            line(what, number, "s", number < 1.0, "< 1 s");
        }
    }
    Ok(())
}

/// 1 GiB from one task to the next: from the end of the one to the start of the other.
fn directory(bench: &Bench) -> Result<()> {
    for (what, files, kib) in [("1 GiB in 64 files", 64, 16_384), ("100,000 files of 1 KiB", 100_000, 1)] {
        let workflow = bench.write("directory.yaml", &workload::directory(files, kib))?;
        let home = bench.home()?;
        bench.towpath_in(&home, &workflow, "standard", 2, 2)?;
        let seconds = between(bench, &home)?;
        let content = (files * kib) as f64 * 1024.0;
        let grown = disk_bytes(&home)? / content;
        let what = format!("a directory of {what} between two tasks");
        match b3sum(&home)? {
            Some(floor) => line(&what, seconds / floor, "× b3sum", seconds <= 1.2 * floor, "≤ 1.2"),
            None => println!("| {what} | {seconds:.2} s | ≤ 1.2 × b3sum, which is not installed | |"),
        }
        if kib > 1 {
            line(&format!("{what}, the home's size"), grown, "× its content", grown <= 1.01, "≤ 1.01");
        }
        std::fs::remove_dir_all(&home).or_else(|_| remove(&home))?;
    }
    Ok(())
}

fn remove(folder: &Path) -> std::io::Result<()> {
    Command::new("rm").arg("-rf").arg(folder).status().map(drop)
}

/// Seconds from the end of the first attempt to the start of the second.
fn between(bench: &Bench, home: &Path) -> Result<f64> {
    let output = Command::new(bench.binary()).args(["events", "@", "-o", "json", "--home"]).arg(home).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ends: Vec<Value> =
        events.map(|event| event["event"]["AttemptEnded"].clone()).filter(Value::is_object).collect();
    match (ends.first().and_then(|end| end["ended_at"].as_i64()), ends.get(1).and_then(|e| e["started_at"].as_i64())) {
        (Some(ended), Some(started)) => Ok((started - ended) as f64 / 1e6),
        _ => bail!("two attempts were expected"),
    }
}

fn disk_bytes(folder: &Path) -> Result<f64> {
    let output = Command::new("du").args(["-s", "--block-size=1"]).arg(folder).output().context("cannot run du")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).context("du printed no number")
}

/// Seconds that `b3sum` takes for the stored tree; `None` where it is not installed.
fn b3sum(home: &Path) -> Result<Option<f64>> {
    let list = "find artifacts/trees -type f -print0 | xargs -0 b3sum >/dev/null";
    if Command::new("b3sum").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return Ok(None);
    }
    let begun = Instant::now();
    let status = Command::new("sh").args(["-c", list]).current_dir(home).status()?;
    if !status.success() {
        bail!("b3sum: {status}");
    }
    Ok(Some(begun.elapsed().as_secs_f64()))
}

/// How much longer 2,000 sleepers take than one.
fn sleepers(bench: &Bench) -> Result<()> {
    let workflow = bench.write("sleepers.yaml", &workload::sleepers(SLEEPERS, SLEEP_S))?;
    for profile in ["standard", "trusted"] {
        let home = bench.home()?;
        let seconds = bench.towpath_in(&home, &workflow, profile, SLEEPERS, SLEEPERS)? - SLEEP_S as f64;
        let what = format!("{SLEEPERS} sleepers at once, {profile}: longer than one");
        println!("| {what} | {seconds:.2} s; {} | | |", memory(&home));
    }
    Ok(())
}

fn cost_a_task(bench: &Bench, large: usize) -> Result<()> {
    for (name, text) in [("fan-out", workload::fan_out as fn(usize) -> String), ("layered DAG", workload::layered)] {
        let (few, many) = (bench.write("few.yaml", &text(SMALL))?, bench.write("many.yaml", &text(large))?);
        let mut costs = Vec::new();
        for _ in 0..3 {
            costs.push(bench.towpath(&few, "trusted", 2, SMALL)? / SMALL as f64);
        }
        let home = bench.home()?;
        let cost = bench.towpath_in(&home, &many, "trusted", 2, large)? / large as f64;
        let small = super::ratio::median(costs).context("no rounds")?;
        let what = format!("cost a task, {large} against {SMALL}, {name}, trusted");
        line(&what, cost / small, "×", cost <= 1.2 * small, "≤ 1.2");
        let most = highest(&home);
        let what = format!("memory at {large} nodes, {name}: holder, and runner");
        println!("| {what} | {} | ≤ 200 MB | {} |", memory(&home), if most <= 200 { "met" } else { "missed" });
    }
    Ok(())
}

/// Highest memory so far, in MB, of the holder and the runner of a home, which outlive a run for a moment.
fn peaks(home: &Path) -> Vec<(String, u64)> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    processes.filter_map(|process| peak(&process, home)).collect()
}

fn peak(process: &Path, home: &Path) -> Option<(String, u64)> {
    let read = |file: &str| std::fs::read(process.join(file)).ok().map(|b| String::from_utf8_lossy(&b).into_owned());
    let words = read("cmdline")?;
    let kind = words.split('\0').nth(1).and_then(|word| word.strip_prefix("__"))?.to_string();
    let home: PathBuf = home.into();
    let ours = format!("{words}\0{}", read("environ")?);
    if !matches!(&*kind, "holder" | "runner") || !ours.contains(&*home.to_string_lossy()) {
        return None;
    }
    let status = read("status")?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse::<u64>();
    Some((kind, kib.ok()? / 1024))
}

fn highest(home: &Path) -> u64 {
    peaks(home).into_iter().map(|(_, mb)| mb).max().unwrap_or(0)
}

fn memory(home: &Path) -> String {
    let peaks = peaks(home);
    let of = |wanted: &str| peaks.iter().filter(|(kind, _)| kind == wanted).map(|(_, mb)| *mb).max().unwrap_or(0);
    format!("{} and {} MB", of("holder"), of("runner"))
}
