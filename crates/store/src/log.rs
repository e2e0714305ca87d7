//! What a log is to the store: a name, and numbered entries of bytes.
//! It must never look into an entry.

use model::row::RowChange;
use std::fmt;

/// A log's key for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    pub kind: LogKind,
    pub id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogKind {
    Run,
    Cron,
}

/// Entries to append to one log, and the rows that follow from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    pub log: LogId,
    /// How many entries the log has before this; 0 begins it. Another number there: `StoreError::Conflict`.
    pub expect: u64,
    pub entries: Vec<Vec<u8>>,
    pub rows: Vec<RowChange>,
}

/// A log in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSummary {
    pub id: String,
    pub length: u64,
}

impl LogId {
    pub fn run(id: impl Into<String>) -> Self {
        Self { kind: LogKind::Run, id: id.into() }
    }

    pub fn cron(id: impl Into<String>) -> Self {
        Self { kind: LogKind::Cron, id: id.into() }
    }
}

impl LogKind {
    /// As it stands in the database; never given another meaning.
    pub(crate) fn code(self) -> i64 {
        match self {
            Self::Run => 1,
            Self::Cron => 2,
        }
    }

    pub(crate) fn of_code(code: i64) -> Option<Self> {
        [Self::Run, Self::Cron].into_iter().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            LogKind::Run => write!(f, "run {}", self.id),
            LogKind::Cron => write!(f, "schedule {}", self.id),
        }
    }
}
