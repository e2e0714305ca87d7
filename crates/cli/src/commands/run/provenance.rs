//! Where a run's code came from: the snapshot of its directory, and what git knows of it.
//! It must never change the directory.

use crate::exit_codes::{Fault, unread};
use crate::render::plain::plain;
use crate::wire::Place;
use executor::source::SnapshotError;
use model::record::Source;
use std::io::Write;
use std::path::Path;

/// Looks at the folder of the first file; standard input has none. A folder that is too large is told, and the run has no
/// snapshot, unless it is `needed`.
pub fn source(place: &Place, files: &[String], needed: bool) -> Result<Source, Fault> {
    let mut source = Source { files: files.to_vec(), ..Source::default() };
    let Some(first) = files.iter().find(|name| *name != "-") else { return Ok(source) };
    let file = Path::new(first).canonicalize().map_err(|error| Fault::usage(format!("{first}: {error}")))?;
    let Some(directory) = file.parent() else { return Ok(source) };
    let snapshot = executor::source::snapshot(directory, place.home.root(), &place.artifacts()?);
    if let Err(error @ SnapshotError::TooLarge { .. }) = &snapshot
        && !needed
    {
        let text = format!("notice: the run has no copy of its source: {error}");
        unread(writeln!(std::io::stderr(), "{}", plain(&text)))?;
        return Ok(source);
    }
    let snapshot = snapshot.map_err(|error| match error {
        SnapshotError::Store(_) => Fault::machine(error),
        // A folder that is too large is the user's to mend.
        SnapshotError::TooLarge { .. } | SnapshotError::Walk { .. } => Fault::usage(error),
    })?;
    source.tree = Some(snapshot.tree);
    source.directory = Some(directory.to_string_lossy().into_owned());
    source.git_commit = snapshot.git_commit;
    source.git_dirty = snapshot.git_dirty;
    Ok(source)
}
