//! Exit codes of the command line, and the fault that a command ends with (DESIGN §12).
//! It must never print.

use driver::ClientError;
use std::fmt::Display;
use std::io;
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

/// Printing by a command that changes something: it does the rest, and has its own exit code, though nobody reads.
pub fn unread(printed: io::Result<()>) -> io::Result<()> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
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

    /// A wish that the holder could not put into the store. (Its words are those of `StoreError`.)
    pub fn store(why: &str) -> Self {
        const DOUBT: [&str; 3] = ["input/output error", " is damaged: ", "may or may not be on the disk"];
        if DOUBT.iter().any(|words| why.contains(words)) {
            return Self::machine(format!(
                "{why}; what was asked for may or may not have been recorded; look with `towpath list`"
            ));
        }
        Self::machine(why)
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

impl From<driver::encode::ReadError> for Fault {
    fn from(error: driver::encode::ReadError) -> Self {
        match error {
            driver::encode::ReadError::Store(error) => error.into(),
            driver::encode::ReadError::Log(error) => error.into(),
        }
    }
}

impl From<artifacts::ArtifactError> for Fault {
    fn from(error: artifacts::ArtifactError) -> Self {
        Self::machine(error)
    }
}

/// For commands that only read; the others print with `unread`.
impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            // Whoever read our output has seen enough (`towpath logs … | head`).
            return Self { code: 0, text: String::new() };
        }
        Self::machine(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_says_where_there_is_doubt() {
        let (path, what) = (std::path::PathBuf::from("/h/store"), "x".to_string());
        let told =
            |error: StoreError| Fault::store(&error.to_string()).text.contains("may or may not have been recorded");
        assert!(told(StoreError::Io { path: path.clone(), what: what.clone() }));
        assert!(told(StoreError::Corrupt { path: path.clone(), what: what.clone() }));
        assert!(told(StoreError::Poisoned { path: path.clone(), what }));
        assert!(
            !told(StoreError::NoSpace { path: path.clone() }) && !told(StoreError::ReadOnly { path: path.clone() })
        );
        assert!(!told(StoreError::Busy { path }) && !told(StoreError::Closed));
    }
}
