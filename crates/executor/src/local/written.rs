//! What an attempt wrote and no output declares: a list that is bounded, and counts that are not (DESIGN §5).
//! It must never be asked of an attempt that left nothing, nor follow a link.

use super::view::{View, is_whiteout};
use model::attempt::{Written, WrittenFile};
use model::limits::{WRITTEN_FILES_MAX, WRITTEN_NAMES_BYTES_MAX, WRITTEN_WALK_MAX};
use std::collections::BTreeSet;
use std::fs::{self, FileType, Metadata, Permissions, ReadDir};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Files that a message about a missing output names.
const NAMED_MAX: usize = 10;

/// Ours, not the task's.
const OWN: [&str; 2] = ["/argo/staging", "/towpath/bin"];
/// The task's HOME: what begins with a dot there are settings and caches of tools.
const HOME: &str = "/towpath/home";

/// `declared`: real paths of what was collected and stayed where it was.
pub(super) fn list(view: &View<'_>, declared: &BTreeSet<PathBuf>) -> Option<Box<Written>> {
    let mut walk = Walk { view, declared, found: Written::default(), seen: 0 };
    for (real, inside, has_lower) in view.written_places() {
        walk.directory(real, inside, has_lower);
    }
    let mut found = walk.found;
    if found.count == 0 {
        return None;
    }
    keep_largest(&mut found.files);
    let mut names_bytes = 0;
    found.files.retain(|file| {
        names_bytes += file.path.len();
        names_bytes <= WRITTEN_NAMES_BYTES_MAX
    });
    Some(Box::new(found))
}

struct Walk<'a> {
    view: &'a View<'a>,
    declared: &'a BTreeSet<PathBuf>,
    found: Written,
    seen: u64,
}

impl Walk<'_> {
    fn directory(&mut self, real: PathBuf, inside: PathBuf, has_lower: bool) {
        let mut stack = vec![(real, inside)];
        while let Some((real, inside)) = stack.pop() {
            for entry in open(&real).into_iter().flatten().flatten() {
                self.seen += 1;
                if self.seen > WRITTEN_WALK_MAX {
                    self.found.more = true;
                    return;
                }
                let name = entry.file_name();
                let Ok(kind) = entry.file_type() else { continue };
                let path = inside.join(&name);
                if is_noise(&path, kind) || self.view.is_laid(&path) || self.is_declared(&entry.path()) {
                    continue;
                }
                if kind.is_dir() {
                    stack.push((entry.path(), path));
                } else if kind.is_file() || kind.is_symlink() {
                    self.file(&entry.path(), &path, kind, has_lower);
                }
            }
        }
    }

    fn is_declared(&self, real: &Path) -> bool {
        !self.declared.is_empty() && self.declared.contains(real)
    }

    fn file(&mut self, real: &Path, path: &Path, kind: FileType, has_lower: bool) {
        let Ok(metadata) = fs::symlink_metadata(real) else { return };
        if is_whiteout(&metadata) || (has_lower && self.is_unchanged(real, path, &metadata)) {
            return;
        }
        let bytes = if kind.is_file() { metadata.len() } else { 0 };
        self.found.count += 1;
        self.found.bytes += bytes;
        let files = &mut self.found.files;
        files.push(WrittenFile { path: path.to_string_lossy().into_owned(), bytes });
        if files.len() >= 2 * WRITTEN_FILES_MAX {
            keep_largest(files);
        }
    }

    /// It was copied up, by a chmod or because it was opened for writing, and holds what it held.
    fn is_unchanged(&self, real: &Path, path: &Path, metadata: &Metadata) -> bool {
        let Some(lower) = self.view.lower(path) else { return false };
        let Ok(before) = fs::symlink_metadata(&lower) else { return false };
        if metadata.is_symlink() && before.is_symlink() {
            return matches!((fs::read_link(real), fs::read_link(&lower)), (Ok(now), Ok(then)) if now == then);
        }
        let same_time = matches!((metadata.modified(), before.modified()), (Ok(now), Ok(then)) if now == then);
        metadata.is_file() && before.is_file() && same_time && metadata.len() == before.len()
    }
}

/// A directory that its task closed is opened: who is not root would find nothing in it.
fn open(directory: &Path) -> io::Result<ReadDir> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::set_permissions(directory, Permissions::from_mode(0o700))?;
            fs::read_dir(directory)
        }
        other => other,
    }
}

fn keep_largest(files: &mut Vec<WrittenFile>) {
    files.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    files.truncate(WRITTEN_FILES_MAX);
}

/// What programs leave beside the point: Python's bytecode, settings in HOME; and what is ours.
fn is_noise(path: &Path, kind: FileType) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    if kind.is_dir() && name == b"__pycache__" || name.ends_with(b".pyc") {
        return true;
    }
    let parent = path.parent().unwrap_or(path);
    (name.starts_with(b".") && parent == Path::new(HOME)) || OWN.iter().any(|own| path == Path::new(own))
}

/// What stands behind the message about missing outputs: what was written instead, what is called alike first.
pub(super) fn hint(written: Option<&Written>, missing: &[String]) -> String {
    let Some(written) = written else { return String::new() };
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_string();
    let wanted: Vec<String> = missing.iter().map(|path| name(path)).collect();
    let mut files: Vec<&str> = written.files.iter().map(|file| file.path.as_str()).collect();
    files.sort_by_key(|path| !wanted.contains(&name(path)));
    let shown = files.len().min(NAMED_MAX);
    let rest = written.count.saturating_sub(shown as u64);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    // A task chooses its names; a message is one line, and commands no terminal.
    let names = files[..shown].join(", ").replace(char::is_control, "\u{fffd}");
    format!(" (it wrote: {names}{more})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_begins_with_what_is_called_alike_and_counts_the_rest() {
        let file = |path: &str| WrittenFile { path: path.into(), bytes: 1 };
        let files = (0..12).map(|n| file(&format!("/x/{n:02}"))).chain([file("/y/model.bin")]).collect();
        let written = Written { files, count: 20, bytes: 20, more: false };
        let text = hint(Some(&written), &["/out/model.bin".into()]);
        assert!(text.starts_with(" (it wrote: /y/model.bin, /x/00, "), "{text}");
        assert!(text.ends_with(", /x/08 and 10 more)"), "{text}");
        assert_eq!(hint(None, &[]), "");
    }

    #[test]
    fn the_list_holds_the_largest() {
        let mut files: Vec<WrittenFile> =
            (0..200).map(|n| WrittenFile { path: format!("/{n}"), bytes: n % 100 }).collect();
        keep_largest(&mut files);
        assert_eq!((files.len(), files[0].bytes, files[0].path.as_str()), (WRITTEN_FILES_MAX, 99, "/199"));
    }
}
