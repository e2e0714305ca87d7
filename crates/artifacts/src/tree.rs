//! Directories on disk: walked, hashed, copied, removed.
//! It must never follow a symbolic link.

use crate::copy::{self, create_new, set_mode, stored_mode};
use crate::error::{ArtifactError, At};
use crate::manifest::{Entry, Manifest};
use crate::{hash, leftovers};
use std::fs::{self, File, FileType};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// From here on several threads hash: below, starting them costs more than they save.
const PARALLEL_BYTES_MIN: u64 = 8 << 20;
const THREADS_MAX: usize = 4;

/// Something found below a root, by its relative path. Parents come before their children.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Dir,
    File { bytes: u64, mode: u32, hard_links: u64 },
    Link { target: Vec<u8> },
}

/// Whether an entry is wanted: relative path, whether it is a directory.
pub(crate) type Keep<'a> = &'a dyn Fn(&Path, bool) -> bool;

/// Everything below `root` that `keep` wants. `owned`: directories that we may not enter are made accessible first.
pub(crate) fn walk(root: &Path, keep: Keep<'_>, owned: bool) -> Result<Vec<Found>, ArtifactError> {
    let metadata = fs::symlink_metadata(root).at(root)?;
    if !metadata.is_dir() {
        return Err(ArtifactError::WrongKind { path: root.to_owned(), wanted: "directory" });
    }
    if owned {
        make_accessible(root, metadata.mode())?;
    }
    let mut found = Vec::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        let full = root.join(&dir);
        for entry in fs::read_dir(&full).at(&full)? {
            let entry = entry.at(&full)?;
            let full = entry.path();
            let path = dir.join(entry.file_name());
            let file_type = entry.file_type().at(&full)?;
            if !keep(&path, file_type.is_dir()) {
                continue;
            }
            let kind = look(&full, file_type, owned)?;
            if matches!(kind, Kind::Dir) {
                dirs.push(path.clone());
            }
            found.push(Found { path, kind });
        }
    }
    Ok(found)
}

fn look(path: &Path, file_type: FileType, owned: bool) -> Result<Kind, ArtifactError> {
    if file_type.is_dir() {
        if owned {
            make_accessible(path, fs::symlink_metadata(path).at(path)?.mode())?;
        }
        Ok(Kind::Dir)
    } else if file_type.is_file() {
        let metadata = fs::symlink_metadata(path).at(path)?;
        Ok(Kind::File { bytes: metadata.len(), mode: metadata.mode(), hard_links: metadata.nlink() })
    } else if file_type.is_symlink() {
        Ok(Kind::Link { target: fs::read_link(path).at(path)?.into_os_string().into_vec() })
    } else {
        Err(ArtifactError::SpecialFile { path: path.to_owned(), kind: name_of_special(file_type) })
    }
}

fn name_of_special(file_type: FileType) -> &'static str {
    if file_type.is_fifo() {
        "named pipe"
    } else if file_type.is_socket() {
        "socket"
    } else if file_type.is_block_device() {
        "block device"
    } else {
        "character device"
    }
}

fn make_accessible(dir: &Path, mode: u32) -> Result<(), ArtifactError> {
    if mode & 0o700 == 0o700 {
        return Ok(());
    }
    set_mode(dir, mode, mode & 0o7777 | 0o700)
}

/// The manifest of what was found below `root`, by reading it; nothing is changed.
pub(crate) fn hash(root: &Path, found: Vec<Found>) -> Result<Manifest, ArtifactError> {
    hash_with(
        found,
        &|file, path, mode, _| {
            let full = root.join(path);
            let (digest, bytes) = hash::file(file, &full)?;
            Ok(Entry::File { digest, bytes, executable: is_executable(mode) })
        },
        root,
    )
}

/// The same for a directory that has become ours: files and directories below are made read-only, and files that have
/// names elsewhere are replaced by private copies, so that nobody writes into the store through another name.
pub(crate) fn seal(root: &Path, tmp: &Path, found: Vec<Found>) -> Result<Manifest, ArtifactError> {
    let dirs: Vec<PathBuf> = found.iter().filter(|f| matches!(f.kind, Kind::Dir)).map(|f| root.join(&f.path)).collect();
    let read = |file: &mut File, path: &Path, mode, hard_links| {
        let full = root.join(path);
        let executable = is_executable(mode);
        if hard_links > 1 {
            let private = leftovers::unique(tmp);
            let (digest, bytes) = copy_hashed(file, &full, &private, executable)?;
            fs::rename(&private, &full).at(&full)?;
            return Ok(Entry::File { digest, bytes, executable });
        }
        let (digest, bytes) = hash::file(file, &full)?;
        set_mode(&full, mode, stored_mode(executable))?;
        Ok(Entry::File { digest, bytes, executable })
    };
    let manifest = hash_with(found, &read, root)?;
    seal_dirs(root, &dirs)?;
    Ok(manifest)
}

/// Copies what was found below `from` to the new directory `to`, read-only, and hashes on the way.
pub(crate) fn copy(from: &Path, found: Vec<Found>, to: &Path) -> Result<Manifest, ArtifactError> {
    fs::create_dir(to).at(to)?;
    let mut dirs = Vec::new();
    let mut manifest = Manifest::default();
    for Found { path, kind } in found {
        let target = to.join(&path);
        let entry = match kind {
            Kind::Dir => {
                fs::create_dir(&target).at(&target)?;
                dirs.push(target);
                Entry::Dir
            }
            Kind::Link { target: text } => {
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&text), &target).at(&target)?;
                Entry::Link { target: text }
            }
            Kind::File { mode, .. } => {
                let source = from.join(&path);
                let executable = is_executable(mode);
                let mut file = open_file(&source)?;
                let (digest, bytes) = copy_hashed(&mut file, &source, &target, executable)?;
                Entry::File { digest, bytes, executable }
            }
        };
        manifest.entries.insert(path.into_os_string().into_vec(), entry);
    }
    seal_dirs(to, &dirs)?;
    Ok(manifest)
}

/// Copies to a new read-only file. With a reflink the copy is what is hashed: the source may change meanwhile. One that grows (a
/// log that is being written) is copied as long as it was.
pub(crate) fn copy_hashed(
    source: &mut File,
    source_path: &Path,
    target_path: &Path,
    executable: bool,
) -> Result<(model::Digest, u64), ArtifactError> {
    let mut target = create_new(target_path, 0o600)?;
    let result = if copy::reflink(source, &target) {
        let mut copy = File::open(target_path).at(target_path)?;
        hash::file(&mut copy, target_path)?
    } else {
        hash::copy(source, source_path, &mut target, target_path)?
    };
    set_mode(target_path, 0o600, stored_mode(executable))?;
    Ok(result)
}

/// Removes a file or a directory with all that is in it, read-only directories too. A missing path is no error.
pub(crate) fn remove_all(path: &Path) -> Result<(), ArtifactError> {
    let removed = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ArtifactError::io(path, error)),
        Ok(metadata) if !metadata.is_dir() => fs::remove_file(path),
        Ok(_) => fs::remove_dir_all(path),
    };
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            unseal_dirs(path)?;
            fs::remove_dir_all(path).at(path)
        }
        other => other.at(path),
    }
}

fn unseal_dirs(root: &Path) -> Result<(), ArtifactError> {
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).at(&dir)?;
        for entry in fs::read_dir(&dir).at(&dir)? {
            let entry = entry.at(&dir)?;
            if entry.file_type().at(&dir)?.is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    Ok(())
}

fn seal_dirs(root: &Path, dirs: &[PathBuf]) -> Result<(), ArtifactError> {
    for dir in dirs.iter().map(PathBuf::as_path).chain([root]) {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o555)).at(dir)?;
    }
    Ok(())
}

fn is_executable(mode: u32) -> bool {
    mode & 0o100 != 0
}

/// Opens for reading, never through a link and never waiting for the other end of a pipe.
pub(crate) fn open_file(path: &Path) -> Result<File, ArtifactError> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(fd) => Ok(File::from(fd)),
        Err(rustix::io::Errno::LOOP) => Err(ArtifactError::WrongKind { path: path.to_owned(), wanted: "regular file" }),
        Err(error) => Err(ArtifactError::io(path, error.into())),
    }
}

/// Reads one file: opened, relative path, mode, number of its names.
type Read<'a> = &'a (dyn Fn(&mut File, &Path, u32, u64) -> Result<Entry, ArtifactError> + Sync);

fn hash_with(found: Vec<Found>, read: Read<'_>, root: &Path) -> Result<Manifest, ArtifactError> {
    let mut manifest = Manifest::default();
    let mut files = Vec::new();
    let mut bytes_total = 0;
    for Found { path, kind } in found {
        let entry = match kind {
            Kind::Dir => Entry::Dir,
            Kind::Link { target } => Entry::Link { target },
            Kind::File { bytes, mode, hard_links } => {
                bytes_total += bytes;
                files.push((path, mode, hard_links));
                continue;
            }
        };
        manifest.entries.insert(path.into_os_string().into_vec(), entry);
    }
    let parallel = bytes_total >= PARALLEL_BYTES_MIN && files.len() > 1;
    let cores = if parallel { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((path, mode, hard_links)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let full = root.join(path);
            let mut file = open_owned(&full, *mode)?;
            done.push((path.as_os_str().as_bytes().to_vec(), read(&mut file, path, *mode, *hard_links)?));
        }
        Ok::<_, ArtifactError>(done)
    };
    let parts = if cores < 2 {
        vec![work()]
    } else {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..cores.min(THREADS_MAX)).map(|_| scope.spawn(work)).collect();
            // A panic of a worker is ours and goes on as one.
            threads.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        })
    };
    for part in parts {
        manifest.entries.extend(part?);
    }
    Ok(manifest)
}

/// Opens a file whose mode may forbid its owner to read it.
fn open_owned(path: &Path, mode: u32) -> Result<File, ArtifactError> {
    match open_file(path) {
        Err(ArtifactError::Permission { .. }) if mode & 0o400 == 0 => {
            set_mode(path, mode, mode & 0o7777 | 0o400)?;
            open_file(path)
        }
        other => other,
    }
}
