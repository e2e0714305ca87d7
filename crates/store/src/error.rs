//! What can go wrong with the store, in words for the person whose home it is.
//! It must never be lost on one of several waiters: every error can be cloned.

use crate::log::LogId;
use rusqlite::ffi;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("no space left on the file system of {path}; free some, then go on: nothing that was acknowledged is lost")]
    NoSpace { path: PathBuf },
    #[error("{path} cannot be written: it is read-only")]
    ReadOnly { path: PathBuf },
    #[error("{path} cannot be opened: {what}")]
    CannotOpen { path: PathBuf, what: String },
    #[error("{path} is locked by another process; end that process, or try again")]
    Busy { path: PathBuf },
    #[error("{path}: input/output error: {what}; look at the disk and the system's log")]
    Io { path: PathBuf, what: String },
    #[error("{path} is damaged: {what}; keep a copy of it, then restore a backup")]
    Corrupt { path: PathBuf, what: String },
    /// Fencing: somebody else has written to this log. Nothing of the batch was written.
    #[error("{log} has {found} entries where {expected} were expected: another process has written to it")]
    Conflict { log: LogId, expected: u64, found: u64 },
    /// After an error of fsync nobody knows what is on the disk; only reading it again in a new process tells.
    #[error(
        "{path}: an earlier write may or may not be on the disk ({what}); restart the process, which reads it again"
    )]
    Poisoned { path: PathBuf, what: String },
    #[error("the store is closed")]
    Closed,
    #[error("there is no store at {path}")]
    Missing { path: PathBuf },
    #[error("{path} is not a store of Towpath")]
    NotAStore { path: PathBuf },
    #[error("{path} was written by Towpath {written_by} (store version {version}), which is newer; use that one")]
    NewerStore { path: PathBuf, version: u32, written_by: String },
    #[error("{log} was written by a newer Towpath (log version {version}); use that one")]
    NewerLog { log: LogId, version: u32 },
    #[error("{path} is on {kind}, a network file system, where the store is not safe; choose another TOWPATH_HOME")]
    NetworkFileSystem { path: PathBuf, kind: &'static str },
    #[error(
        "the rows of '{table}' were written by another version; the next process that holds the home makes them again"
    )]
    StaleTable { table: &'static str },
    /// A mistake of the caller; nothing of the batch was written.
    #[error("refused by the store: {what}")]
    Refused { what: String },
    #[error("{path}: {what}")]
    Sql { path: PathBuf, what: String },
}

impl StoreError {
    /// The variant for an error of SQLite about the store at `path`.
    pub(crate) fn sql(path: &Path, error: &rusqlite::Error) -> Self {
        let what = error.to_string();
        let path = path.to_owned();
        let Some(code) = error.sqlite_error().map(|error| error.extended_code) else {
            // Values that only we write, and that are not what we write.
            let is_damage = matches!(
                error,
                rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..)
                    | rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::Utf8Error(..)
            );
            return if is_damage { Self::Corrupt { path, what } } else { Self::Sql { path, what } };
        };
        if code == ffi::SQLITE_IOERR_SHMSIZE {
            return Self::NoSpace { path };
        }
        match code & 0xff {
            ffi::SQLITE_FULL => Self::NoSpace { path },
            ffi::SQLITE_READONLY | ffi::SQLITE_PERM => Self::ReadOnly { path },
            ffi::SQLITE_CANTOPEN => Self::CannotOpen { path, what },
            ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => Self::Busy { path },
            ffi::SQLITE_IOERR if code == ffi::SQLITE_IOERR_CORRUPTFS => Self::Corrupt { path, what },
            ffi::SQLITE_IOERR if code == ffi::SQLITE_IOERR_SHORT_READ => Self::Corrupt { path, what },
            ffi::SQLITE_IOERR => Self::Io { path, what: format!("{what} ({code})") },
            ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => Self::Corrupt { path, what },
            _ => Self::Sql { path, what },
        }
    }

    /// Whether the outcome of a COMMIT that failed in this way is unknown.
    pub(crate) fn leaves_doubt(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Corrupt { .. })
    }
}

/// `result.at(path)`: a result of SQLite with the store it was about.
pub(crate) trait At<T> {
    fn at(self, path: &Path) -> Result<T, StoreError>;
}

impl<T> At<T> for rusqlite::Result<T> {
    fn at(self, path: &Path) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::sql(path, &error))
    }
}
