//! Reads the store, from any process, whether or not another one writes.
//! It must never write, nor keep a snapshot open between two calls: that would let the WAL grow without bound.

use crate::error::{At, StoreError};
use crate::log::{LogId, LogKind, LogSummary};
use crate::rows::{self, Filter};
use crate::{check, schema};
use model::event::EVENT_VERSION;
use model::row::{Cell, TableDef};
use rusqlite::{Connection, OptionalExtension};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Idle connections that are kept.
const POOL_MAX: usize = 4;

/// A handle; clones share a pool of connections. Calls from several threads run side by side.
#[derive(Clone)]
pub struct Reader {
    pool: Arc<Pool>,
}

struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Reader {
    /// `StoreError::Missing` if nobody has made a store there yet.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = schema::open_for_reading(path)?;
        Ok(Self { pool: Arc::new(Pool { path: path.to_owned(), idle: Mutex::new(vec![connection]) }) })
    }

    /// At most `limit` entries from number `from` on. Empty beyond the end and for an unknown log.
    pub fn read_log(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.with(|connection, path| {
            let Some(found) = find_log(connection, log).at(path)? else { return Ok(Vec::new()) };
            if found.version > EVENT_VERSION {
                return Err(StoreError::NewerLog { log: log.clone(), version: found.version });
            }
            let sql = "SELECT seq, body, sum FROM entries WHERE log = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3";
            let mut statement = connection.prepare_cached(sql).at(path)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let from = i64::try_from(from).unwrap_or(i64::MAX);
            let mut rows = statement.query((found.log, from, limit)).at(path)?;
            let corrupt = |what: String| StoreError::Corrupt { path: path.to_owned(), what: format!("{log}: {what}") };
            let mut entries = Vec::new();
            let mut next = from;
            while let Some(row) = rows.next().at(path)? {
                let body: Vec<u8> = row.get(1).at(path)?;
                if row.get::<_, i64>(0).at(path)? != next {
                    return Err(corrupt(format!("entry {next} is missing")));
                }
                if row.get::<_, i64>(2).at(path)? != check::sum(&body) {
                    return Err(corrupt(format!("entry {next} has changed since it was written")));
                }
                entries.push(body);
                next += 1;
            }
            if (entries.len() as i64) < limit && next < found.length as i64 {
                return Err(corrupt(format!("entry {next} is missing")));
            }
            Ok(entries)
        })
    }

    /// Number of entries; 0 for an unknown log.
    pub fn log_length(&self, log: &LogId) -> Result<u64, StoreError> {
        self.with(|connection, path| Ok(find_log(connection, log).at(path)?.map_or(0, |found| found.length)))
    }

    /// All logs of a kind, by their ids in order.
    pub fn logs(&self, kind: LogKind) -> Result<Vec<LogSummary>, StoreError> {
        self.with(|connection, path| {
            let sql = "SELECT id, length FROM logs WHERE kind = ?1 ORDER BY id";
            let mut statement = connection.prepare_cached(sql).at(path)?;
            let rows = statement.query_map([kind.code()], |row| {
                Ok(LogSummary { id: row.get(0)?, length: row.get::<_, i64>(1)? as u64 })
            });
            rows.at(path)?.collect::<Result<_, _>>().at(path)
        })
    }

    /// The rows that pass the filter, all columns in the table's order.
    pub fn select(&self, table: &'static TableDef, filter: &Filter) -> Result<Vec<Vec<Cell>>, StoreError> {
        self.with_table(table, |connection, path| rows::select(connection, path, table, filter))
    }

    /// The row of this key.
    pub fn find(&self, table: &'static TableDef, key: &[Cell]) -> Result<Option<Vec<Cell>>, StoreError> {
        self.with_table(table, |connection, path| rows::find(connection, path, table, key))
    }

    /// What is damaged, in words; empty if all is sound. Reads the whole store.
    pub fn quick_check(&self) -> Result<Vec<String>, StoreError> {
        self.with(|connection, path| {
            let mut findings = check::structure(connection).at(path)?;
            findings.extend(check::logs(connection).at(path)?);
            Ok(findings)
        })
    }

    fn with_table<T>(
        &self,
        table: &'static TableDef,
        work: impl FnOnce(&Connection, &Path) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(|connection, path| {
            if !schema::is_current(connection, table).at(path)? {
                return Err(StoreError::StaleTable { table: table.name });
            }
            work(connection, path)
        })
    }

    /// Runs `work` in one snapshot.
    fn with<T>(&self, work: impl FnOnce(&Connection, &Path) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let path = &self.pool.path;
        let idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::open_for_reading(path)?,
        };
        connection.execute_batch("BEGIN").at(path)?;
        let result = work(&connection, path);
        // A connection that cannot end its snapshot is not used again.
        if connection.execute_batch("COMMIT").is_ok() {
            let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < POOL_MAX {
                idle.push(connection);
            }
        }
        result
    }
}

/// A log's row.
pub(crate) struct FoundLog {
    pub(crate) log: i64,
    pub(crate) length: u64,
    pub(crate) version: u32,
}

pub(crate) fn find_log(connection: &Connection, log: &LogId) -> rusqlite::Result<Option<FoundLog>> {
    let sql = "SELECT log, length, version FROM logs WHERE kind = ?1 AND id = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement.query_row((log.kind.code(), &log.id), |row| {
        Ok(FoundLog { log: row.get(0)?, length: row.get::<_, i64>(1)? as u64, version: row.get(2)? })
    });
    row.optional()
}
