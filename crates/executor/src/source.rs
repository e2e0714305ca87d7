//! The source snapshot of a run: the folder of its workflow file by content, and what git says about it.
//! It must never write into that folder.

use artifacts::{ArtifactError, Store};
use ignore::WalkBuilder;
use model::Digest;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A larger folder is most likely not only source.
pub const SNAPSHOT_BYTES_MAX: u64 = 256 << 20;
pub const SNAPSHOT_FILES_MAX: usize = 50_000;
/// Our own ignore file, with the syntax of .gitignore.
pub const IGNORE_FILE: &str = ".towpathignore";
const BIGGEST_NAMED: usize = 5;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub tree: Digest,
    pub bytes: u64,
    pub git_commit: Option<String>,
    /// The folder has changes that are not committed.
    pub git_dirty: Option<bool>,
}

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(
        "{folder} has more than {limit}, too much for a source snapshot; name what is not source in {IGNORE_FILE} there, or move \
         the workflow file to a folder of its own; the largest: {biggest}"
    )]
    TooLarge { folder: PathBuf, limit: String, biggest: String },
    #[error("{folder}: {error}")]
    Walk { folder: PathBuf, error: Box<ignore::Error> },
    #[error("source snapshot: {0}")]
    Store(#[from] ArtifactError),
}

/// Stores what `folder` holds, minus what .gitignore and .towpathignore name, the `.git` directory, special files, and `except`
/// (the home, which may lie in it).
///
/// # Errors
/// The folder is too large, or cannot be read.
pub fn snapshot(folder: &Path, except: &Path, store: &Store) -> Result<Snapshot, SnapshotError> {
    let except = except.canonicalize().unwrap_or_else(|_| except.to_path_buf());
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let wanted = wanted(&folder, &except)?;
    let (tree, bytes) = store.copy_tree(&folder, &|path, _| wanted.contains(path))?;
    let (git_commit, git_dirty) = git(&folder).map_or((None, None), |(commit, dirty)| (commit, Some(dirty)));
    Ok(Snapshot { tree, bytes, git_commit, git_dirty })
}

/// Relative paths of files, links and the directories above them.
fn wanted(folder: &Path, except: &Path) -> Result<BTreeSet<PathBuf>, SnapshotError> {
    let mut walk = WalkBuilder::new(folder);
    walk.hidden(false).require_git(false).git_global(false).git_exclude(true).ignore(false).follow_links(false);
    walk.add_custom_ignore_filename(IGNORE_FILE);
    let except = except.to_path_buf();
    walk.filter_entry(move |entry| entry.file_name() != ".git" && entry.path() != except);
    let (mut wanted, mut bytes) = (BTreeSet::new(), 0_u64);
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    for entry in walk.build() {
        let entry = match entry {
            Ok(entry) => entry,
            // A directory of somebody else's: what cannot be read cannot be source.
            Err(error) if error.io_error().is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied) => {
                continue;
            }
            Err(error) => return Err(SnapshotError::Walk { folder: folder.into(), error: Box::new(error) }),
        };
        let Ok(path) = entry.path().strip_prefix(folder) else { continue };
        let Some(kind) = entry.file_type().filter(|kind| kind.is_file() || kind.is_symlink()) else { continue };
        if path.as_os_str().is_empty() {
            continue;
        }
        let size = if kind.is_file() { entry.metadata().map_or(0, |metadata| metadata.len()) } else { 0 };
        bytes += size;
        files.push((size, path.to_path_buf()));
        wanted.insert(path.to_path_buf());
        wanted.extend(path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).map(Path::to_path_buf));
        let limit = match (bytes > SNAPSHOT_BYTES_MAX, files.len() > SNAPSHOT_FILES_MAX) {
            (true, _) => format!("{} MiB", SNAPSHOT_BYTES_MAX >> 20),
            (_, true) => format!("{SNAPSHOT_FILES_MAX} files"),
            _ => continue,
        };
        return Err(SnapshotError::TooLarge { folder: folder.into(), limit, biggest: biggest(files) });
    }
    Ok(wanted)
}

fn biggest(mut files: Vec<(u64, PathBuf)>) -> String {
    files.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
    let named = files.iter().take(BIGGEST_NAMED).map(|(size, path)| format!("{} ({} KiB)", path.display(), size >> 10));
    named.collect::<Vec<_>>().join(", ")
}

/// The commit (none before the first) and whether the folder differs from it. `None`: not under git, or no git here.
fn git(folder: &Path) -> Option<(Option<String>, bool)> {
    folder.ancestors().find(|above| above.join(".git").exists())?;
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["status", "--porcelain=v2", "--branch", "--", "."])
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let commit = text.lines().find_map(|line| line.strip_prefix("# branch.oid ")).filter(|oid| *oid != "(initial)");
    let dirty = text.lines().any(|line| !line.starts_with('#'));
    Some((commit.map(str::to_string), dirty))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn world() -> (tempfile::TempDir, PathBuf, Store) {
        let dir = tempfile::tempdir().expect("dir");
        let store = Store::open(&dir.path().join("flow/home/artifacts")).expect("store");
        let folder = dir.path().join("flow");
        (dir, folder, store)
    }

    fn names(store: &Store, tree: &Digest) -> Vec<String> {
        let root = store.tree_path(tree);
        let mut found = Vec::new();
        let mut open = vec![root.clone()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).expect("tree").flatten() {
                let path = entry.path();
                found.push(path.strip_prefix(&root).expect("below").to_string_lossy().into_owned());
                if path.is_dir() && !path.is_symlink() {
                    open.push(path);
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn what_is_ignored_stays_out() {
        let (_dir, folder, store) = world();
        fs::create_dir_all(folder.join("sub/__pycache__")).expect("dirs");
        fs::create_dir_all(folder.join(".git")).expect("dirs");
        for (path, text) in [
            (".gitignore", "__pycache__/\n*.log\n"),
            (IGNORE_FILE, "data/\n"),
            ("flow.yaml", "x"),
            ("sub/code.py", "x"),
            ("sub/__pycache__/code.pyc", "x"),
            ("out.log", "x"),
            (".env.example", "x"),
        ] {
            fs::write(folder.join(path), text).expect("file");
        }
        fs::create_dir_all(folder.join("data")).expect("dirs");
        fs::write(folder.join("data/big"), "x").expect("file");
        std::os::unix::fs::symlink("sub/code.py", folder.join("link")).expect("link");
        let snapshot = snapshot(&folder, &folder.join("home"), &store).expect("snapshot");
        let expected = [".env.example", ".gitignore", IGNORE_FILE, "flow.yaml", "link", "sub", "sub/code.py"];
        assert_eq!(names(&store, &snapshot.tree), expected);
    }

    #[test]
    fn a_folder_that_is_too_large_names_its_largest_files() {
        let (_dir, folder, store) = world();
        let big = fs::File::create(folder.join("weights.bin")).expect("file");
        big.set_len(SNAPSHOT_BYTES_MAX + 1).expect("sparse");
        let error = snapshot(&folder, &folder.join("home"), &store).expect_err("too large").to_string();
        assert!(error.contains("weights.bin (262144 KiB)") && error.contains(IGNORE_FILE), "{error}");
    }

    #[test]
    fn git_tells_commit_and_changes() {
        let (_dir, folder, store) = world();
        let git = |args: &[&str]| {
            let status = Command::new("git").arg("-C").arg(&folder).args(args).stdout(Stdio::null()).status();
            assert!(status.expect("git").success());
        };
        fs::write(folder.join("a"), "1").expect("file");
        fs::write(folder.join(".gitignore"), "home\n").expect("file");
        git(&["init", "-q"]);
        git(&["add", "."]);
        git(&["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "x"]);
        let clean = snapshot(&folder, &folder.join("home"), &store).expect("snapshot");
        assert_eq!((clean.git_commit.map(|commit| commit.len()), clean.git_dirty), (Some(40), Some(false)));
        fs::write(folder.join("a"), "2").expect("file");
        let dirty = snapshot(&folder, &folder.join("home"), &store).expect("snapshot");
        assert_eq!(dirty.git_dirty, Some(true));
        assert_ne!(dirty.tree, clean.tree);
    }
}
