//! What holder and runner have to say of themselves: their standard error is a file in the home.
//! It must never fail: on a full disk nothing can be said, and work goes on.

use std::fmt::Display;
use std::io::Write;

/// A line, written if it can be. (`eprintln!` panics where it cannot.)
pub fn say(line: impl Display) {
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
