//! Drives the local executor with a real runner: this executable is the tests, and started again with `__runner` it is the
//! runner, with `__argosay` the applet.

#[path = "local/harness.rs"]
mod harness;
#[path = "local/holder.rs"]
mod holder;
#[path = "local/outputs.rs"]
mod outputs;
#[path = "local/process.rs"]
mod process;
#[path = "local/reuse.rs"]
mod reuse;
#[path = "local/sandbox.rs"]
mod sandbox;
#[path = "local/turns.rs"]
mod turns;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("__runner") => {
            let home = std::env::var_os("TOWPATH_HOME").map(PathBuf::from).expect("TOWPATH_HOME");
            executor::runner::main(&home)
        }
        Some("__argosay") => executor::argosay::main(&args[2..]),
        _ => {
            let guarded = [process::GUARDED, sandbox::TESTS, reuse::TESTS, outputs::GUARDED, holder::GUARDED];
            let mut suites = vec![process::TESTS, outputs::TESTS, holder::TESTS, turns::TESTS];
            if executor::lacking().is_empty() {
                suites.extend(guarded);
            } else {
                let left_out = guarded.iter().map(|suite| suite.len()).sum::<usize>();
                println!("the portable build has no sandboxes: the {left_out} tests that need them are left out");
            }
            // One after the other: some look at how long things take, and at all processes of the machine.
            harness::run_as_all(&args[1..], 1, &harness::cases(&suites))
        }
    }
}
