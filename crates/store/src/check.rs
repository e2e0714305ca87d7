//! Looks for damage: in SQLite's structures, and in the logs that stand in them.
//! It must never repair anything.

use crate::log::{LogId, LogKind};
use rusqlite::{Connection, OptionalExtension};

/// SQLite's own check. Empty: sound.
pub(crate) fn structure(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("PRAGMA quick_check(20)")?;
    let found: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(found.into_iter().filter(|line| line != "ok").collect())
}

/// Every log: found by its name, without gaps, each entry as it was written.
pub(crate) fn logs(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut findings = Vec::new();
    let mut statement = connection.prepare("SELECT log, kind, id, length FROM logs NOT INDEXED")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (log, kind, id, length): (i64, i64, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let Some(kind_known) = LogKind::of_code(kind) else {
            findings.push(format!("the log {id} is of an unknown kind {kind}"));
            continue;
        };
        let name = LogId { kind: kind_known, id: id.clone() };
        let by_name = "SELECT log FROM logs WHERE kind = ?1 AND id = ?2";
        let found: Option<i64> = connection.query_row(by_name, (kind, &id), |row| row.get(0)).optional()?;
        if found != Some(log) {
            findings.push(format!("{name} is not found by its name"));
        }
        if let Some(what) = entries(connection, log, length)? {
            findings.push(format!("{name}: {what}"));
        }
    }
    let orphans = "SELECT count(DISTINCT log) FROM entries WHERE log NOT IN (SELECT log FROM logs)";
    let orphans: i64 = connection.query_row(orphans, [], |row| row.get(0))?;
    if orphans > 0 {
        findings.push(format!("{orphans} logs have entries and no name"));
    }
    Ok(findings)
}

fn entries(connection: &Connection, log: i64, length: i64) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT seq, body, sum FROM entries WHERE log = ?1 ORDER BY seq")?;
    let mut rows = statement.query([log])?;
    let mut next = 0;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let body = row.get_ref(1)?.as_blob().unwrap_or_default();
        if seq != next {
            return Ok(Some(format!("entry {next} is missing")));
        }
        if row.get::<_, i64>(2)? != sum(body) {
            return Ok(Some(format!("entry {seq} has changed since it was written")));
        }
        next += 1;
    }
    Ok((next != length).then(|| format!("it has {next} entries in place of {length}")))
}

/// Stored beside each entry; a change of any one byte changes it.
pub(crate) fn sum(body: &[u8]) -> i64 {
    i64::from(model::ids::fnv32a(body))
}
