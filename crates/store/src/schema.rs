//! The database file: its settings, its tables, its version.
//! It must never change a store that a newer Towpath has written.

use crate::error::{At, StoreError};
use crate::rows;
use crate::writer::Durability;
use model::row::TableDef;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// Raised when an older build could misread the store.
pub const SCHEMA_VERSION: u32 = 1;

/// "TWPH": says in the file's header whose it is (`file`, sqlite.org/fileformat).
const APPLICATION_ID: i32 = 0x5457_5048;

/// The first with the fix of the WAL-reset race (sqlite.org/wal.html).
const SQLITE_VERSION_MIN: i32 = 3_051_003;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE logs (
    log INTEGER PRIMARY KEY, kind INTEGER NOT NULL, id TEXT NOT NULL, length INTEGER NOT NULL, version INTEGER NOT NULL,
    UNIQUE (kind, id)
) STRICT;
CREATE TABLE entries (
    log INTEGER NOT NULL, seq INTEGER NOT NULL, body BLOB NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (log, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE leases (
    kind INTEGER NOT NULL, id TEXT NOT NULL, owner TEXT NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
";

/// Opens for writing, makes what is missing, and answers the names of the tables whose rows must be made again.
pub(crate) fn open_for_writing(
    path: &Path,
    durability: Durability,
    tables: &[&'static TableDef],
) -> Result<(Connection, Vec<&'static str>), StoreError> {
    check_sqlite(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|error| why_not_opened(path, &error))?;
    connection.busy_timeout(BUSY_TIMEOUT).at(path)?;
    connection.set_prepared_statement_cache_capacity(64);
    if is_empty(&connection).at(path)? {
        // Only before the first table is made.
        connection.pragma_update(None, "auto_vacuum", 2).at(path)?;
    } else {
        check_version(&connection, path)?;
        check_length(&connection, path)?;
        check_after_power_cut(&connection, path)?;
    }
    // Before there is a WAL, which gets the rights of the database.
    make_private(path);
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).at(path)?;
    if mode != "wal" {
        return Err(StoreError::CannotOpen { path: path.to_owned(), what: format!("its journal mode stays {mode}") });
    }
    apply_settings(&connection, durability).at(path)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).at(path)?;
    if is_empty(&transaction).at(path)? {
        transaction.execute_batch(TABLES).at(path)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).at(path)?;
        set_meta(&transaction, "schema", &SCHEMA_VERSION.to_string()).at(path)?;
        set_meta(&transaction, "clean", "1").at(path)?;
    }
    check_version(&transaction, path)?;
    let stale = make_tables(&transaction, tables).at(path)?;
    set_meta(&transaction, "written_by", env!("CARGO_PKG_VERSION")).at(path)?;
    set_meta(&transaction, "clean", "0").at(path)?;
    set_meta(&transaction, "boot", &boot_id()).at(path)?;
    transaction.commit().at(path)?;
    Ok((connection, stale))
}

/// Inputs and outputs of runs are nobody else's. A file that is not ours stays as it is.
fn make_private(path: &Path) {
    let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600));
}

/// Without a WAL the file holds every page. SQLite itself overlooks a last page that is cut.
fn check_length(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).at(path);
    let wanted = number("page_count")? * number("page_size")?;
    if has_wal(path) {
        return Ok(());
    }
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() < wanted as u64 => {
            let what = format!("it has {} bytes in place of {wanted}", metadata.len());
            Err(StoreError::Corrupt { path: path.to_owned(), what })
        }
        _ => Ok(()),
    }
}

/// The death of a process cannot damage the file, so that only this is worth the time: a disk that lied about a sync.
fn check_after_power_cut(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let is_clean = get_meta(connection, "clean").at(path)?.as_deref() == Some("1");
    if is_clean || get_meta(connection, "boot").at(path)?.unwrap_or_default() == boot_id() {
        return Ok(());
    }
    match crate::check::structure(connection).at(path)?.into_iter().next() {
        Some(what) => Err(StoreError::Corrupt { path: path.to_owned(), what }),
        None => Ok(()),
    }
}

/// Opens for reading only.
pub(crate) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    check_sqlite(path)?;
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    match open_reading_as(path, false) {
        // Where the directory is read-only too, the shared memory of WAL cannot be made; without a WAL it is not needed.
        Err(StoreError::CannotOpen { .. } | StoreError::ReadOnly { .. }) if !has_wal(path) => {
            open_reading_as(path, true)
        }
        other => other,
    }
}

fn open_reading_as(path: &Path, immutable: bool) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if immutable {
        let uri = format!("file:{}?immutable=1", escape_uri(path));
        Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
    } else {
        Connection::open_with_flags(path, flags)
    }
    .at(path)?;
    connection.busy_timeout(BUSY_TIMEOUT).at(path)?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.pragma_update(None, "query_only", true).at(path)?;
    connection.pragma_update(None, "cache_size", -2048).at(path)?;
    if is_empty(&connection).at(path)? {
        // Its first writer has not committed yet.
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    check_version(&connection, path)?;
    Ok(connection)
}

/// The last write of an orderly end.
pub(crate) fn mark_clean(connection: &Connection) -> rusqlite::Result<()> {
    set_meta(connection, "clean", "1")
}

/// Whether the rows of this table are those of its present definition.
pub(crate) fn is_current(connection: &Connection, table: &TableDef) -> rusqlite::Result<bool> {
    let found = get_meta(connection, &format!("table:{}", table.name))?;
    let stale = get_meta(connection, &format!("stale:{}", table.name))?;
    Ok(stale.is_none() && found == Some(rows::definition(table)))
}

pub(crate) fn mark_rebuilt(connection: &Connection, table: &TableDef) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM meta WHERE key = ?1")?;
    statement.execute([format!("stale:{}", table.name)]).map(drop)
}

/// SQLite does not tell a read-only directory from one that is not there.
fn why_not_opened(path: &Path, error: &rusqlite::Error) -> StoreError {
    use rustix::fs::{Access, access};
    use rustix::io::Errno;
    match StoreError::sql(path, error) {
        StoreError::CannotOpen { path, .. }
            if path
                .parent()
                .is_some_and(|dir| matches!(access(dir, Access::WRITE_OK), Err(Errno::ROFS | Errno::ACCESS))) =>
        {
            StoreError::ReadOnly { path }
        }
        other => other,
    }
}

fn check_sqlite(path: &Path) -> Result<(), StoreError> {
    if rusqlite::version_number() >= SQLITE_VERSION_MIN {
        return Ok(());
    }
    let what = format!("this build has SQLite {}, at least 3.51.3 is needed", rusqlite::version());
    Err(StoreError::CannotOpen { path: path.to_owned(), what })
}

/// `synchronous` is what `Durability` means to SQLite. Checkpoints are ours: an error of one must be seen.
fn apply_settings(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let synchronous = match durability {
        Durability::Normal => "NORMAL",
        Durability::Full => "FULL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // The WAL's blocks are used again; giving them back each time would cost a journal commit per sync.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "foreign_keys", false)
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

fn check_version(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).at(path)?;
    if id != APPLICATION_ID {
        return Err(StoreError::NotAStore { path: path.to_owned() });
    }
    let version = get_meta(connection, "schema").at(path)?;
    let Some(version) = version.and_then(|version| version.parse().ok()) else {
        return Err(StoreError::Corrupt { path: path.to_owned(), what: "its version cannot be read".into() });
    };
    if version > SCHEMA_VERSION {
        let written_by = get_meta(connection, "written_by").at(path)?.unwrap_or_default();
        return Err(StoreError::NewerStore { path: path.to_owned(), version, written_by });
    }
    Ok(())
}

/// Makes tables that are missing or have another definition; remembers as stale those whose rows must be made again, until
/// they have been.
fn make_tables(connection: &Connection, tables: &[&'static TableDef]) -> rusqlite::Result<Vec<&'static str>> {
    let has_logs: bool = connection.query_row("SELECT EXISTS (SELECT 1 FROM logs)", [], |row| row.get(0))?;
    let mut stale = Vec::new();
    for table in tables {
        let key = format!("table:{}", table.name);
        let definition = rows::definition(table);
        if get_meta(connection, &key)?.as_ref() != Some(&definition) {
            connection.execute_batch(&format!("DROP TABLE IF EXISTS \"{}\"", rows::sql_name(table)))?;
            rows::create(connection, table)?;
            set_meta(connection, &key, &definition)?;
            if has_logs {
                set_meta(connection, &format!("stale:{}", table.name), "1")?;
            }
        }
        if get_meta(connection, &format!("stale:{}", table.name))?.is_some() {
            stale.push(table.name);
        }
    }
    Ok(stale)
}

fn get_meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    statement.query_row([key], |row| row.get(0)).optional()
}

fn set_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?.execute([key, value]).map(drop)
}

/// "" where the system does not tell.
fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// The path of the WAL of the store at `path`.
pub(crate) fn wal_path(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn has_wal(path: &Path) -> bool {
    std::fs::metadata(wal_path(path)).is_ok_and(|metadata| metadata.len() > 0)
}

fn escape_uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut out = String::new();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out
}
