//! The chores of this repository: `cargo xtask test|oracle|conformance|sim|kill|bench|tidy`.
//! It must never be needed to build or to run the product, and it must never hold a rule of the product.

mod bench;
mod checkout;
mod conformance;
mod examples;
mod flags;
mod kill;
mod oracle;
mod simulation;
mod suite;
mod tidy;

use flags::Flags;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [--all]                      what the tests need, oracle floors, cargo test; --all: every check that CI makes
  oracle [DIR] [--table NAME] [--wrong N] [--check]
                                    every row of the oracle tables in DIR, right and wrong counted per table
  conformance [--manifests DIR --golden DIR] [--only STEM] [--release] [--check]
                                    node trees of the real binary against recorded ones
  sim [--seeds N [--from S] | --seed S [-v] | --planted]
                                    the seeded simulator; --planted: does it find the bugs that are planted for it?
  kill [--rounds N] [--seed S]      rounds of kill -9 of random processes of ours, each history checked
  bench [--rounds N] [--tasks N] [--chain N] [--binary PATH]
                                    the ratios of docs/performance.md
  tidy                              the rules of ARCHITECTURE.md and STYLE.md that a machine can check";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let mut flags = Flags::new(arguments.collect());
    let outcome = match command.as_str() {
        "test" => suite::main(&mut flags),
        "oracle" => oracle::main(&mut flags),
        "conformance" => conformance::main(&mut flags),
        "sim" => simulation::main(&mut flags),
        "kill" => kill::main(&mut flags),
        "bench" => bench::main(&mut flags),
        "tidy" => tidy::main(&mut flags),
        "help" | "-h" | "--help" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask {command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
