//! The binary `towpath`: parses the command line and hands over to one file a command.
//! It must never hold a rule of workflows; everything is wired in `wire.rs`.

mod commands;
mod exit_codes;
mod follow;
mod render;
mod runs;
mod settings;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    // Our own processes: they have no options for people, and start fast.
    match args.next().as_deref().and_then(|word| word.to_str()) {
        Some("__holder") => wire::holder(args),
        Some("__runner") => wire::runner(),
        Some("__argosay") => {
            let words: Vec<String> = args.map(|word| word.to_string_lossy().into_owned()).collect();
            executor::argosay::main(&words)
        }
        _ => commands::main(),
    }
}
