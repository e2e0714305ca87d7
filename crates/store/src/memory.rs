//! A store in memory with the same answers as the one on disk, for simulations and tests.
//! It must never be lenient: what the store on disk refuses is refused here.

use crate::error::StoreError;
use crate::log::{Append, LogId, LogKind, LogSummary};
use crate::rows::{self, Filter};
use model::row::{Cell, RowChange, TableDef};
use std::collections::BTreeMap;

type Rows = BTreeMap<Vec<Cell>, Vec<Cell>>;

#[derive(Clone, Debug, Default)]
pub struct Memory {
    tables: Vec<&'static TableDef>,
    logs: BTreeMap<LogId, Vec<Vec<u8>>>,
    rows: BTreeMap<&'static str, Rows>,
}

impl Memory {
    pub fn new(tables: &[&'static TableDef]) -> Self {
        Self { tables: tables.to_vec(), ..Self::default() }
    }

    /// As `Writer::append`: all of the batch or nothing.
    pub fn append(&mut self, batch: &[Append]) -> Result<(), StoreError> {
        let mut lengths: BTreeMap<&LogId, u64> = BTreeMap::new();
        for append in batch {
            self.check_rows(&append.rows)?;
            let stored = self.log_length(&append.log);
            let found = lengths.entry(&append.log).or_insert(stored);
            if *found != append.expect {
                return Err(StoreError::Conflict { log: append.log.clone(), expected: append.expect, found: *found });
            }
            *found += append.entries.len() as u64;
        }
        for append in batch {
            self.logs.entry(append.log.clone()).or_default().extend(append.entries.iter().cloned());
            self.write_rows(&append.rows);
        }
        Ok(())
    }

    /// As `Writer::rows`.
    pub fn rows(&mut self, changes: &[RowChange]) -> Result<(), StoreError> {
        self.check_rows(changes)?;
        self.write_rows(changes);
        Ok(())
    }

    /// As `Writer::delete_log`.
    pub fn delete_log(&mut self, log: &LogId, changes: &[RowChange]) -> Result<(), StoreError> {
        self.check_rows(changes)?;
        self.logs.remove(log);
        self.write_rows(changes);
        Ok(())
    }

    /// As `Reader::read_log`.
    pub fn read_log(&self, log: &LogId, from: u64, limit: usize) -> Vec<Vec<u8>> {
        let entries = self.logs.get(log).map(Vec::as_slice).unwrap_or_default();
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        entries.iter().skip(from).take(limit).cloned().collect()
    }

    /// As `Reader::log_length`.
    pub fn log_length(&self, log: &LogId) -> u64 {
        self.logs.get(log).map_or(0, |entries| entries.len() as u64)
    }

    /// As `Reader::logs`.
    pub fn logs(&self, kind: LogKind) -> Vec<LogSummary> {
        let of_kind = self.logs.iter().filter(|(log, _)| log.kind == kind);
        of_kind.map(|(log, entries)| LogSummary { id: log.id.clone(), length: entries.len() as u64 }).collect()
    }

    /// As `Reader::select`.
    pub fn select(&self, table: &'static TableDef, filter: &Filter) -> Result<Vec<Vec<Cell>>, StoreError> {
        let column = |name: &str| {
            let index = table.columns.iter().position(|column| column.name == name);
            index.ok_or_else(|| StoreError::Refused {
                what: format!("the table '{}' has no column '{name}'", table.name),
            })
        };
        let equals: Vec<_> =
            filter.equals.iter().map(|(name, cell)| Ok((column(name)?, cell))).collect::<Result<_, StoreError>>()?;
        let order_by = filter.order_by.map(column).transpose()?;
        let rows = self.rows.get(table.name).into_iter().flat_map(BTreeMap::values);
        let mut found: Vec<_> = rows.filter(|row| equals.iter().all(|(i, cell)| row[*i] == **cell)).cloned().collect();
        if let Some(i) = order_by {
            // Stable, and they come in the order of their keys.
            found.sort_by(|a, b| a[i].cmp(&b[i]));
        }
        if filter.descending {
            found.reverse();
        }
        let offset = usize::try_from(filter.offset).unwrap_or(usize::MAX);
        let limit = filter.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found.into_iter().skip(offset).take(limit).collect())
    }

    /// As `Reader::find`.
    pub fn find(&self, table: &'static TableDef, key: &[Cell]) -> Option<Vec<Cell>> {
        self.rows.get(table.name)?.get(key).cloned()
    }

    fn check_rows(&self, changes: &[RowChange]) -> Result<(), StoreError> {
        changes.iter().try_for_each(|change| rows::check(change, &self.tables))
    }

    fn write_rows(&mut self, changes: &[RowChange]) {
        for change in changes {
            match change {
                RowChange::Put { table, cells } => {
                    let key = cells[..table.key_columns].to_vec();
                    self.rows.entry(table.name).or_default().insert(key, cells.clone());
                }
                RowChange::Delete { table, key } => {
                    self.rows.entry(table.name).or_default().remove(key);
                }
            }
        }
    }
}
