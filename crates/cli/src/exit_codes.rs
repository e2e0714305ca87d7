//! Exit codes of the command line, and the fault that a command ends with (DESIGN §12).
//! It must never print.

use driver::ClientError;
use std::fmt::Display;
use std::process::ExitCode;
use store::StoreError;

pub const FAILED: u8 = 1;
pub const USAGE: u8 = 2;
pub const MACHINE: u8 = 3;
pub const INTERRUPTED: u8 = 130;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Fault {
    pub code: u8,
    /// For people; "" if all was said.
    pub text: String,
}

/// What a command ends with.
pub type Done = Result<ExitCode, Fault>;

impl Fault {
    /// The person asked for something that is not there or cannot be.
    pub fn usage(text: impl Display) -> Self {
        Self { code: USAGE, text: text.to_string() }
    }

    /// The store or the machine failed.
    pub fn machine(text: impl Display) -> Self {
        Self { code: MACHINE, text: text.to_string() }
    }

    /// The wish was refused as things are.
    pub fn refused(text: impl Display) -> Self {
        Self { code: FAILED, text: text.to_string() }
    }
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        Self::machine(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::machine(error)
    }
}

impl From<driver::encode::Unreadable> for Fault {
    fn from(error: driver::encode::Unreadable) -> Self {
        Self::machine(error)
    }
}

impl From<artifacts::ArtifactError> for Fault {
    fn from(error: artifacts::ArtifactError) -> Self {
        Self::machine(error)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            // Whoever read our output has seen enough (`towpath logs … | head`).
            return Self { code: 0, text: String::new() };
        }
        Self::machine(error)
    }
}
