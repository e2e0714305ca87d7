//! Rows as SQL: tables made from their definitions, changes checked before they are written, lists read.
//! It must never know what a column means.

use crate::error::{At, StoreError};
use model::row::{Cell, ColumnKind, RowChange, TableDef};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, Row, ToSql};
use std::path::Path;

/// Which rows a reader wants, and in which order. Rows that are equal in `order_by` are ordered by their key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Column and value; all must hold. `Cell::Null` finds nulls.
    pub equals: Vec<(&'static str, Cell)>,
    /// By the key if `None`.
    pub order_by: Option<&'static str>,
    pub descending: bool,
    /// All if `None`.
    pub limit: Option<u64>,
    pub offset: u64,
}

/// The table's name in the database: never one of the store's own.
pub(crate) fn sql_name(table: &TableDef) -> String {
    format!("rows_{}", table.name)
}

/// A text that changes whenever the rows have to be made again.
pub(crate) fn definition(table: &TableDef) -> String {
    let columns: Vec<_> = table.columns.iter().map(|column| format!("{}:{}", column.name, kind(column.kind))).collect();
    format!("{} {} {} [{}]", table.version, table.key_columns, columns.join(","), table.indexed.join(","))
}

pub(crate) fn create(connection: &Connection, table: &TableDef) -> rusqlite::Result<()> {
    let name = sql_name(table);
    let columns: Vec<_> = table.columns.iter().map(|c| format!("\"{}\" {}", c.name, kind(c.kind))).collect();
    let sql = format!(
        "CREATE TABLE \"{name}\" ({}, PRIMARY KEY ({})) STRICT, WITHOUT ROWID",
        columns.join(", "),
        key_list(table, "")
    );
    connection.execute_batch(&sql)?;
    for column in table.indexed {
        connection.execute_batch(&format!("CREATE INDEX \"{name}_{column}\" ON \"{name}\" (\"{column}\")"))?;
    }
    Ok(())
}

/// Refuses what the table cannot hold, before anything is written.
pub(crate) fn check(change: &RowChange, known: &[&'static TableDef]) -> Result<(), StoreError> {
    let (table, cells, wanted) = match change {
        RowChange::Put { table, cells } => (*table, cells, table.columns.len()),
        RowChange::Delete { table, key } => (*table, key, table.key_columns),
    };
    let refuse = |what: String| Err(StoreError::Refused { what });
    if !known.contains(&table) {
        return refuse(format!("the table '{}' was not declared when the store was opened", table.name));
    }
    if cells.len() != wanted {
        return refuse(format!("a row of '{}' has {} cells in place of {wanted}", table.name, cells.len()));
    }
    for (i, (cell, column)) in cells.iter().zip(table.columns).enumerate() {
        let fits = match cell {
            Cell::Null => i >= table.key_columns,
            Cell::Integer(_) => column.kind == ColumnKind::Integer,
            Cell::Text(_) => column.kind == ColumnKind::Text,
        };
        if !fits {
            return refuse(format!("{cell:?} is no value for '{}.{}'", table.name, column.name));
        }
    }
    Ok(())
}

pub(crate) fn apply(connection: &Connection, change: &RowChange) -> rusqlite::Result<()> {
    let execute = |sql: &str, cells: &[Cell]| {
        connection.prepare_cached(sql)?.execute(rusqlite::params_from_iter(cells.iter().map(Bound)))
    };
    match change {
        // SQLite writes the index of each column that an update names, changed or not: a page each.
        RowChange::Put { table, cells } => match update(table) {
            Some(sql) if execute(&sql, cells)? == 1 => Ok(()),
            _ => execute(&put(table), cells).map(drop),
        },
        RowChange::Delete { table, key } => {
            let sql = format!("DELETE FROM \"{}\" WHERE {}", sql_name(table), key_is(table));
            execute(&sql, key).map(drop)
        }
    }
}

/// Changes a row that is there and whose indexed columns stay. `None`: the table has no other columns.
fn update(table: &TableDef) -> Option<String> {
    let rest = table.columns.iter().enumerate().skip(table.key_columns);
    let (same, free): (Vec<_>, Vec<_>) = rest.partition(|(_, column)| table.indexed.contains(&column.name));
    let sets: Vec<_> = free.iter().map(|(i, column)| format!("\"{}\" = ?{}", column.name, i + 1)).collect();
    let same: String = same.iter().map(|(i, column)| format!(" AND \"{}\" IS ?{}", column.name, i + 1)).collect();
    let (name, key, sets) = (sql_name(table), key_is(table), sets.join(", "));
    (!sets.is_empty()).then(|| format!("UPDATE \"{name}\" SET {sets} WHERE {key}{same}"))
}

/// Inserts a row, or changes all of the one that is there.
fn put(table: &TableDef) -> String {
    let places: Vec<_> = (1..=table.columns.len()).map(|n| format!("?{n}")).collect();
    let changed = table.columns.iter().enumerate().skip(table.key_columns);
    let sets: Vec<_> = changed.map(|(i, column)| format!("\"{}\" = ?{}", column.name, i + 1)).collect();
    let conflict = match sets.is_empty() {
        true => "NOTHING".to_owned(),
        false => format!("UPDATE SET {}", sets.join(", ")),
    };
    format!("INSERT INTO \"{}\" VALUES ({}) ON CONFLICT DO {conflict}", sql_name(table), places.join(", "))
}

pub(crate) fn select(
    connection: &Connection,
    path: &Path,
    table: &'static TableDef,
    filter: &Filter,
) -> Result<Vec<Vec<Cell>>, StoreError> {
    let mut sql = format!("SELECT {} FROM \"{}\"", column_list(table), sql_name(table));
    for (i, (column, _)) in filter.equals.iter().enumerate() {
        known_column(table, column)?;
        let word = if i == 0 { "WHERE" } else { "AND" };
        sql.push_str(&format!(" {word} \"{column}\" IS ?{}", i + 1));
    }
    let direction = if filter.descending { " DESC" } else { "" };
    sql.push_str(" ORDER BY ");
    if let Some(column) = filter.order_by {
        known_column(table, column)?;
        sql.push_str(&format!("\"{column}\"{direction}, "));
    }
    sql.push_str(&key_list(table, direction));
    let limit = filter.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let offset = i64::try_from(filter.offset).unwrap_or(i64::MAX);
    sql.push_str(&format!(" LIMIT {limit} OFFSET {offset}"));
    read(connection, &sql, filter.equals.iter().map(|(_, cell)| cell), table).at(path)
}

pub(crate) fn find(
    connection: &Connection,
    path: &Path,
    table: &'static TableDef,
    key: &[Cell],
) -> Result<Option<Vec<Cell>>, StoreError> {
    if key.len() != table.key_columns {
        let what = format!("a key of '{}' has {} cells in place of {}", table.name, key.len(), table.key_columns);
        return Err(StoreError::Refused { what });
    }
    let sql = format!("SELECT {} FROM \"{}\" WHERE {}", column_list(table), sql_name(table), key_is(table));
    Ok(read(connection, &sql, key.iter(), table).at(path)?.pop())
}

fn read<'a>(
    connection: &Connection,
    sql: &str,
    cells: impl Iterator<Item = &'a Cell>,
    table: &TableDef,
) -> rusqlite::Result<Vec<Vec<Cell>>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(cells.map(Bound)), |row| cells_of(row, table))?;
    rows.collect()
}

fn cells_of(row: &Row<'_>, table: &TableDef) -> rusqlite::Result<Vec<Cell>> {
    let cell = |i| {
        Ok(match row.get::<_, Value>(i)? {
            Value::Integer(number) => Cell::Integer(number),
            Value::Text(text) => Cell::Text(text),
            // STRICT tables of these two kinds hold nothing else.
            _ => Cell::Null,
        })
    };
    (0..table.columns.len()).map(cell).collect()
}

fn known_column(table: &TableDef, name: &str) -> Result<(), StoreError> {
    if table.columns.iter().any(|column| column.name == name) {
        return Ok(());
    }
    Err(StoreError::Refused { what: format!("the table '{}' has no column '{name}'", table.name) })
}

fn kind(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text => "TEXT",
        ColumnKind::Integer => "INTEGER",
    }
}

fn column_list(table: &TableDef) -> String {
    let names: Vec<_> = table.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    names.join(", ")
}

fn key_list(table: &TableDef, direction: &str) -> String {
    let key = &table.columns[..table.key_columns];
    let names: Vec<_> = key.iter().map(|column| format!("\"{}\"{direction}", column.name)).collect();
    names.join(", ")
}

fn key_is(table: &TableDef) -> String {
    let key = table.columns[..table.key_columns].iter().enumerate();
    let terms: Vec<_> = key.map(|(i, column)| format!("\"{}\" = ?{}", column.name, i + 1)).collect();
    terms.join(" AND ")
}

struct Bound<'a>(&'a Cell);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Cell::Null => ToSqlOutput::Owned(Value::Null),
            Cell::Integer(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Cell::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}
