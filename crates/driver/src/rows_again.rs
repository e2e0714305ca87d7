//! Rows of tables whose definition changed, made again from the logs when a holder begins.
//! It must never fail for one log that cannot be read: whoever looks at it is told.

use crate::encode::read_log;
use model::RunId;
use store::{LogKind, StoreError, StoreOpened};
use views::rows::{REFS, RUNS, RunRow, refs};

/// # Errors
/// The store cannot be read or written.
pub(crate) fn make(opened: &StoreOpened) -> Result<(), StoreError> {
    if opened.stale_tables.is_empty() {
        return Ok(());
    }
    let (mut runs, mut references) = (Vec::new(), Vec::new());
    for summary in opened.reader.logs(LogKind::Run)? {
        let id = RunId(summary.id);
        let (mut row, mut named) = (RunRow::default(), Vec::new());
        let read = read_log(&opened.reader, &id, |event| {
            row.apply(&event);
            named.extend(refs(&id, &event));
        });
        // A log that cannot be read is told by whoever looks at it; the others are listed.
        if read.is_ok() {
            references.extend(named);
            runs.extend(row.change());
        }
    }
    for (table, rows) in [(&RUNS, runs), (&REFS, references)] {
        if opened.stale_tables.contains(&table.name) {
            opened.writer.replace_table(table, rows, Box::new(|_| {}));
        }
    }
    opened.writer.barrier()
}
