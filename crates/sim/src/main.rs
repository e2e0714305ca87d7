//! `sim`: plays many seeds, or one, or proves on planted bugs that a green run means something.
//! It must never know what is checked.

use sim::options::FAULTS;
#[cfg(planted)]
use sim::play;
use sim::{Report, Trace, play_with};
use std::process::ExitCode;

const USAGE: &str = "\
usage: sim --seeds N [--from S]   plays N seeds from S (0) on; prints those that fail
       sim --seed S [-v]          plays one seed; -v prints everything that happens
       … --with FAULT             with this fault on in every seed, whatever else was drawn
       sim --planted [--seeds N]  plants each known bug and plays seeds until it is caught, at most N (1,000)";

/// Lines of the trace that a failure prints.
const LINES: usize = 30;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (mut seeds, mut from, mut seed, mut verbose, mut planted) = (None, 0, None, false, false);
    let mut fault: Option<&'static str> = None;
    while let Some(word) = words.next() {
        if word == "--with" {
            let named = words.next().unwrap_or_default();
            fault = FAULTS.into_iter().find(|known| *known == named);
            if fault.is_none() {
                eprintln!("there is no fault {named:?}; these are: {}", FAULTS.join(" "));
                return ExitCode::from(2);
            }
            continue;
        }
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        let known = match word.as_str() {
            "--seeds" => number().map(|n| seeds = Some(n)),
            "--from" => number().map(|n| from = n),
            "--seed" => number().map(|n| seed = Some(n)),
            "-v" => {
                verbose = true;
                Some(())
            }
            "--planted" => {
                planted = true;
                Some(())
            }
            _ => None,
        };
        if known.is_none() {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    match (planted, seed) {
        (true, _) => find_planted(seeds.unwrap_or(1000)),
        (false, Some(seed)) => one(seed, fault, verbose),
        (false, None) => many(from, seeds.unwrap_or(1000), fault),
    }
}

fn one(seed: u64, fault: Option<&str>, verbose: bool) -> ExitCode {
    let keep = Some(if verbose { 0 } else { LINES });
    let report = play_with(seed, fault, Trace { keep, print: verbose, ..Trace::default() });
    println!("seed {seed}: {}", report.options);
    if report.violations.is_empty() {
        println!(
            "held: {} happenings, {} events, {} processes, log {:016x}",
            report.happenings, report.events, report.starts, report.hash
        );
        return ExitCode::SUCCESS;
    }
    tell(&report);
    ExitCode::FAILURE
}

fn many(from: u64, seeds: u64, fault: Option<&str>) -> ExitCode {
    let begun = std::time::Instant::now();
    let (mut failed, mut events, mut starts) = (0, 0, 0);
    for seed in from..from + seeds {
        let report = play_with(seed, fault, Trace::default());
        events += report.events;
        starts += report.starts;
        if !report.violations.is_empty() {
            failed += 1;
            println!("seed {seed}: {}", report.options);
            // The same seed again, this time with its story.
            tell(&play_with(seed, fault, Trace { keep: Some(LINES), ..Trace::default() }));
        }
    }
    println!(
        "{seeds} seeds from {from}: {failed} failed; {events} events, {starts} processes, {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(report: &Report) {
    for line in &report.trace.lines {
        println!("  {line}");
    }
    for violation in &report.violations {
        println!("  seed {} violates {violation}", report.seed);
    }
}

#[cfg(planted)]
fn find_planted(seeds_max: u64) -> ExitCode {
    use model::planted::{Bug, plant};
    let mut missed = false;
    for bug in Bug::ALL {
        plant(Some(bug));
        let caught =
            (0..seeds_max).map(|seed| play(seed, Trace::default())).find(|report| !report.violations.is_empty());
        plant(None);
        match caught {
            Some(report) => {
                let what = report.violations.first().map(ToString::to_string).unwrap_or_default();
                println!("{bug:?}: caught by seed {}: {what}", report.seed);
            }
            None => {
                println!("{bug:?}: NOT caught in {seeds_max} seeds");
                missed = true;
            }
        }
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[cfg(not(planted))]
fn find_planted(_seeds_max: u64) -> ExitCode {
    eprintln!("this build has no planted bugs in it: use `cargo xtask sim --planted`");
    ExitCode::from(2)
}
