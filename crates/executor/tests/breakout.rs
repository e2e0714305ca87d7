//! Attempts to break out of a sandbox, or to leave something in it for the next task: each is a test of its own, and none gets
//! through. Under root all of them are made twice: as root, and as `nobody`.
//!
//! This executable is the tests, and started again with `__runner` it is the runner.

#[path = "local/harness.rs"]
#[allow(dead_code, reason = "what only the other tests use")]
mod harness;
#[path = "breakout/left.rs"]
mod left;
#[path = "breakout/out.rs"]
mod out;
#[path = "breakout/outputs.rs"]
mod outputs;
#[path = "breakout/scene.rs"]
mod scene;
#[path = "breakout/strict.rs"]
mod strict;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("__runner") => {
            let home = std::env::var_os("TOWPATH_HOME").map(PathBuf::from).expect("TOWPATH_HOME");
            executor::runner::main(&home)
        }
        Some("__overwrite_own_program") => out::overwrite_own_program(),
        _ if !executor::lacking().is_empty() => {
            println!("the portable build has no sandboxes to break out of: all attempts are left out");
            ExitCode::SUCCESS
        }
        _ => {
            let mut cases = out::cases();
            cases.extend(left::cases());
            cases.extend(harness::cases(&[out::TESTS, left::TESTS, outputs::TESTS, strict::TESTS]));
            // They wait more than they work.
            let code = harness::run_as_all(&args[1..], 4, &cases);
            println!("the catalogue has {} attempts", cases.len());
            code
        }
    }
}
