//! Rows: what views write for lists and references. The store keeps them and understands neither columns nor meaning.
//! It must never be a source of truth: rows can be made again from the logs.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A table of rows: declared by a view, created by the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableDef {
    pub name: &'static str,
    /// The key's columns come first.
    pub columns: &'static [ColumnDef],
    /// How many of the columns are the key.
    pub key_columns: usize,
    /// Columns that readers filter or sort by.
    pub indexed: &'static [&'static str],
    /// Raised when the meaning of a row changes: the rows are then made again.
    pub version: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnDef {
    pub name: &'static str,
    pub kind: ColumnKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    Text,
    Integer,
}

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    Null,
    Integer(i64),
    Text(String),
}

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// Insert, or replace the row of the same key.
    Put { table: &'static TableDef, cells: Vec<Cell> },
    /// Delete the row of this key.
    Delete { table: &'static TableDef, key: Vec<Cell> },
}
