//! The chores of this repository: `cargo xtask test|oracle|conformance|sim|kill|faults|bench|tidy`.
//! It must never be needed to build or to run the product, and it must never hold a rule of the product.

mod bench;
mod checkout;
mod conformance;
mod examples;
mod faults;
mod flags;
mod kill;
mod oracle;
mod simulation;
mod suite;
mod tidy;

use flags::Flags;
use std::process::ExitCode;

struct Chore {
    name: &'static str,
    main: fn(&mut Flags) -> anyhow::Result<bool>,
    usage: &'static str,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "test",
        main: suite::main,
        usage: "\
  test [--all]
      what the tests need, oracle floors, cargo test; --all: every check that CI makes",
    },
    Chore {
        name: "oracle",
        main: oracle::main,
        usage: "\
  oracle [DIR] [--table NAME] [--wrong N] [--check]
      every row of the oracle tables in DIR (default: the corpus beside the checkout, or in TOWPATH_CORPUS), right and wrong
      counted per table; --wrong: how many wrong rows are shown; --check: fails where a table falls below its floor",
    },
    Chore {
        name: "conformance",
        main: conformance::main,
        usage: "\
  conformance [--manifests DIR --golden DIR] [--only STEM] [--release] [--check]
      node trees of the real binary against recorded ones",
    },
    Chore {
        name: "sim",
        main: simulation::main,
        usage: "\
  sim [--seeds N [--from S] | --seed S [-v] | --planted] [--with FAULT]
      the seeded simulator; --with: this fault is on in every seed; --planted: does it find the bugs that are planted for it?",
    },
    Chore {
        name: "kill",
        main: kill::main,
        usage: "\
  kill [--rounds N] [--seed S]
      rounds of kill -9 of random processes of ours, each history checked",
    },
    Chore {
        name: "faults",
        main: faults::main,
        usage: "\
  faults [--rounds N | --short] [--row NUMBER]
      the rows of the fault matrix that one machine has, each injected; --short: what CI runs",
    },
    Chore {
        name: "bench",
        main: bench::main,
        usage: "\
  bench [--rounds N] [--tasks N] [--chain N] [--binary PATH]
      the ratios of docs/performance.md
  bench --sizes [--large N] [--binary PATH]
      its rows about large things, with runs of N (100,000) nodes",
    },
    Chore {
        name: "tidy",
        main: tidy::main,
        usage: "\
  tidy
      the rules of ARCHITECTURE.md and STYLE.md that a machine can check",
    },
];

fn usage() -> String {
    let chores: Vec<String> = CHORES.iter().map(|chore| format!("  {}", chore.usage)).collect();
    format!("usage: cargo xtask COMMAND\n\n{}", chores.join("\n"))
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let mut flags = Flags::new(arguments.collect());
    if matches!(&*command, "help" | "-h" | "--help") {
        println!("{}", usage());
        return ExitCode::SUCCESS;
    }
    let Some(chore) = CHORES.iter().find(|chore| chore.name == command) else {
        eprintln!("{}", usage());
        return ExitCode::from(2);
    };
    if flags.wants_help() {
        println!("usage: cargo xtask {}", chore.usage);
        return ExitCode::SUCCESS;
    }
    let outcome = (chore.main)(&mut flags);
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask {command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
