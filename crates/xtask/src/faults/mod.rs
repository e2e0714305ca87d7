//! `cargo xtask faults`: the rows of the fault matrix that one machine has, each really injected, with rounds and violations.
//! It must never call a row passed that was not run: what this machine does not let us inject is told with its reason.

mod programs;
mod rows;

use crate::flags::Flags;
use crate::{kill, simulation};
use anyhow::{Result, bail};
use programs::Programs;
use rows::{Check, How, ROWS, Row};
use std::time::{Duration, Instant};

/// How much is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// What `cargo xtask test --all` runs.
    Short,
    Long,
    /// So many rounds of everything.
    Rounds(u64),
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// So many rounds, so many violations, and what was told of them.
    Ran {
        rounds: u64,
        violations: u64,
        told: String,
    },
    NotRun(String),
}

pub fn main(flags: &mut Flags) -> Result<bool> {
    let short = flags.switch("--short");
    let rounds = flags.number("--rounds")?;
    let row = flags.number("--row")?;
    flags.finish()?;
    let length = match (short, rounds) {
        (true, Some(_)) => bail!("give --short or --rounds N, not both"),
        (true, None) => Length::Short,
        (false, Some(rounds)) => Length::Rounds(rounds),
        (false, None) => Length::Long,
    };
    run(length, row)
}

/// Runs all rows, or one. True where nothing was violated.
pub fn run(length: Length, only: Option<u8>) -> Result<bool> {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| only.is_none_or(|number| number == row.number)).collect();
    if rows.is_empty() {
        let numbers: Vec<String> = ROWS.iter().map(|row| row.number.to_string()).collect();
        bail!("there is no such row on one machine; these are: {}", numbers.join(" "));
    }
    let programs = Programs::build(rows.iter().flat_map(|row| row.checks))?;
    println!("{:>3}  {:<34} {:<11} {:>7} {:>10}  injection", "row", "fault", "where", "rounds", "violations");
    let (mut violated, mut not_run, mut ran) = (0, 0, 0);
    for row in rows {
        let mut passed = false;
        for (at, check) in row.checks.iter().enumerate() {
            let begun = Instant::now();
            let outcome = perform(check, length, &programs)?;
            tell(row, at, check, &outcome, begun.elapsed());
            match outcome {
                Outcome::Ran { violations, .. } => {
                    violated += violations;
                    passed = true;
                }
                Outcome::NotRun(_) => not_run += 1,
            }
        }
        ran += u64::from(passed);
    }
    println!("faults: {ran} rows run, {not_run} checks not run, {violated} violations");
    Ok(violated == 0)
}

fn perform(check: &Check, length: Length, programs: &Programs) -> Result<Outcome> {
    let rounds = match length {
        Length::Short => check.short,
        Length::Long => check.long,
        Length::Rounds(rounds) => rounds,
    };
    match check.how {
        _ if rounds == 0 => Ok(Outcome::NotRun("only in the long form".into())),
        How::Test { program, name } => programs.test(program, name, rounds),
        How::Simulator { fault } => {
            let (violations, told) = simulation::with_fault(fault, rounds)?;
            Ok(Outcome::Ran { rounds, violations, told })
        }
        How::Kills => {
            let violations = u64::from(!kill::play(rounds, 1)?);
            Ok(Outcome::Ran { rounds, violations, told: "told above".into() })
        }
    }
}

fn tell(row: &Row, at: usize, check: &Check, outcome: &Outcome, took: Duration) {
    let (number, fault) = if at == 0 { (row.number.to_string(), row.fault) } else { (String::new(), "") };
    let place = check.how.place();
    let (rounds, violations) = match outcome {
        Outcome::Ran { rounds, violations, .. } => (rounds.to_string(), violations.to_string()),
        Outcome::NotRun(_) => ("-".into(), "not run".into()),
    };
    println!(
        "{number:>3}  {fault:<34} {place:<11} {rounds:>7} {violations:>10}  {} ({:.1} s)",
        check.injection,
        took.as_secs_f64()
    );
    match outcome {
        Outcome::NotRun(why) => println!("       not run: {why}"),
        Outcome::Ran { violations: 0, .. } => {}
        Outcome::Ran { told, .. } => told.lines().for_each(|line| println!("       {line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_those_of_one_machine() {
        let numbers: Vec<u8> = ROWS.iter().map(|row| row.number).collect();
        let wanted: Vec<u8> = (1..=20).chain(29..=32).chain([39, 40, 42]).collect();
        assert_eq!(numbers, wanted);
        // The short form runs something of each row.
        assert!(ROWS.iter().all(|row| row.checks.iter().any(|check| check.short > 0)));
    }
}
