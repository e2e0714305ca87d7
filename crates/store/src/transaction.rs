//! What jobs do inside of a transaction.
//! It must never begin or end one, nor answer anybody.

use crate::check;
use crate::error::{At, StoreError};
use crate::log::{Append, LogId};
use crate::reader::find_log;
use crate::{rows, schema};
use model::event::EVENT_VERSION;
use model::row::{RowChange, TableDef};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::path::Path;

/// Beyond this SQLite refuses a value, in the middle of a transaction.
const ENTRY_BYTES_MAX: usize = 900_000_000;

pub(crate) struct Within<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) path: &'a Path,
    pub(crate) tables: &'a [&'static TableDef],
}

/// Why a job was not done.
pub(crate) enum Failure {
    /// This job is wrong; nothing of it was written.
    Refused(StoreError),
    /// The transaction is over for all.
    Broken(StoreError),
}

type Outcome<T> = Result<T, Failure>;

impl Within<'_> {
    /// Appends all of it or nothing.
    pub(crate) fn append(&self, batch: &[Append]) -> Outcome<()> {
        // All is checked before anything is written. Per log: its number, and its length after what was checked so far.
        let mut logs: BTreeMap<&LogId, (Option<i64>, u64)> = BTreeMap::new();
        for append in batch {
            self.check_rows(&append.rows)?;
            if append.entries.iter().any(|entry| entry.len() > ENTRY_BYTES_MAX) {
                let what = format!("an entry of {} is larger than {ENTRY_BYTES_MAX} bytes", append.log);
                return Err(Failure::Refused(StoreError::Refused { what }));
            }
            let (number, found) = match logs.get(&append.log) {
                Some(known) => *known,
                None => self.find_for_writing(&append.log)?,
            };
            if found != append.expect {
                let log = append.log.clone();
                return Err(Failure::Refused(StoreError::Conflict { log, expected: append.expect, found }));
            }
            logs.insert(&append.log, (number, found + append.entries.len() as u64));
        }
        for append in batch {
            let found = logs.get(&append.log).and_then(|(number, _)| *number);
            let number = self.write(append, found).map_err(|error| self.broken(&error))?;
            logs.entry(&append.log).and_modify(|(found, _)| *found = Some(number));
        }
        Ok(())
    }

    pub(crate) fn change_rows(&self, changes: &[RowChange]) -> Outcome<()> {
        self.check_rows(changes)?;
        self.write_rows(changes).map_err(|error| self.broken(&error))
    }

    pub(crate) fn delete_log(&self, log: &LogId, changes: &[RowChange]) -> Outcome<()> {
        self.check_rows(changes)?;
        let delete = || {
            if let Some(found) = find_log(self.connection, log)? {
                self.connection.execute("DELETE FROM entries WHERE log = ?1", [found.log])?;
                self.connection.execute("DELETE FROM logs WHERE log = ?1", [found.log])?;
                give_back_pages(self.connection)?;
            }
            self.connection.execute("DELETE FROM leases WHERE kind = ?1 AND id = ?2", (log.kind.code(), &log.id))?;
            self.write_rows(changes)
        };
        delete().map_err(|error| self.broken(&error))
    }

    /// Makes these the only rows of the table.
    pub(crate) fn replace_table(&self, table: &'static TableDef, changes: &[RowChange]) -> Outcome<()> {
        self.check_rows(changes)?;
        if !self.tables.contains(&table) {
            let what = format!("the table '{}' was not declared when the store was opened", table.name);
            return Err(Failure::Refused(StoreError::Refused { what }));
        }
        let replace = || {
            self.connection.execute(&format!("DELETE FROM \"{}\"", rows::sql_name(table)), [])?;
            self.write_rows(changes)?;
            schema::mark_rebuilt(self.connection, table)
        };
        replace().map_err(|error| self.broken(&error))
    }

    /// Takes the lease of a log over; answers the new epoch, one higher than any before.
    pub(crate) fn acquire_lease(&self, log: &LogId, owner: &str) -> Outcome<u64> {
        let sql = "INSERT INTO leases VALUES (?1, ?2, ?3, 1)
                   ON CONFLICT DO UPDATE SET owner = ?3, epoch = epoch + 1 RETURNING epoch";
        let epoch = self.connection.query_row(sql, (log.kind.code(), &log.id, owner), |row| row.get::<_, i64>(0));
        epoch.map(|epoch| epoch as u64).map_err(|error| self.broken(&error))
    }

    fn find_for_writing(&self, log: &LogId) -> Outcome<(Option<i64>, u64)> {
        let found = find_log(self.connection, log).map_err(|error| self.broken(&error))?;
        match found {
            Some(found) if found.version > EVENT_VERSION => {
                Err(Failure::Refused(StoreError::NewerLog { log: log.clone(), version: found.version }))
            }
            found => Ok(found.map_or((None, 0), |found| (Some(found.log), found.length))),
        }
    }

    /// `found`: the log's number, if it has begun. Answers the number.
    fn write(&self, append: &Append, found: Option<i64>) -> rusqlite::Result<i64> {
        // Lengths stay far below 2^63: `expect` was compared with what is there.
        let length = (append.expect + append.entries.len() as u64) as i64;
        let log = match found {
            Some(log) => {
                let sql = "UPDATE logs SET length = ?2, version = ?3 WHERE log = ?1";
                self.connection.prepare_cached(sql)?.execute((log, length, EVENT_VERSION))?;
                log
            }
            None => {
                let sql = "INSERT INTO logs (kind, id, length, version) VALUES (?1, ?2, ?3, ?4)";
                let key = (append.log.kind.code(), &append.log.id, length, EVENT_VERSION);
                self.connection.prepare_cached(sql)?.execute(key)?;
                self.connection.last_insert_rowid()
            }
        };
        let mut insert = self.connection.prepare_cached("INSERT INTO entries VALUES (?1, ?2, ?3, ?4)")?;
        for (seq, body) in (append.expect as i64..).zip(&append.entries) {
            insert.execute((log, seq, body, check::sum(body)))?;
        }
        self.write_rows(&append.rows)?;
        Ok(log)
    }

    fn check_rows(&self, changes: &[RowChange]) -> Outcome<()> {
        changes.iter().try_for_each(|change| rows::check(change, self.tables)).map_err(Failure::Refused)
    }

    fn write_rows(&self, changes: &[RowChange]) -> rusqlite::Result<()> {
        changes.iter().try_for_each(|change| rows::apply(self.connection, change))
    }

    fn broken(&self, error: &rusqlite::Error) -> Failure {
        Failure::Broken(StoreError::sql(self.path, error))
    }
}

/// Gives free pages back to the file system, a bounded number at a time.
fn give_back_pages(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("PRAGMA incremental_vacuum(1024)")?;
    let mut steps = statement.query([])?;
    while steps.next()?.is_some() {}
    Ok(())
}

/// Begins the transaction of a group.
pub(crate) fn begin(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map(drop).at(path)
}

pub(crate) fn commit(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])).map(drop).at(path)
}

/// Ends a failed transaction, which SQLite may have ended itself.
pub(crate) fn roll_back(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    if connection.is_autocommit() {
        return Ok(());
    }
    connection.execute_batch("ROLLBACK").at(path)
}
