//! Archives: a tree as `tar.gz` (Argo's default artifact form), and back.
//! It must never write outside of the directory it was given, whatever an archive claims.
//!
//! The same tree packs to the same bytes: entries sorted, no times, no owners, modes 0644 and 0755.

use crate::copy::create_new;
use crate::error::{ArtifactError, At};
use crate::tree::{self, Kind};
use flate2::{Compression, GzBuilder, bufread::MultiGzDecoder};
use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use tar::{Archive, Builder, EntryType, Header};

/// What an archive may at most hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    pub entries: u64,
    /// Unpacked, all files together.
    pub bytes: u64,
}

/// Names of one entry, and the little that stands between entries, may take so many bytes.
const BETWEEN_ENTRIES_BYTES_MAX: u64 = 1 << 20;

/// Writes everything below `root` as `tar.gz`. Links are packed as links.
pub fn pack(root: &Path, to: impl Write) -> Result<(), ArtifactError> {
    let mut found = tree::walk(root, &|_, _| true, false)?;
    found.sort_by(|a, b| a.path.as_os_str().as_bytes().cmp(b.path.as_os_str().as_bytes()));
    // GzBuilder writes no time and no name.
    let mut builder = Builder::new(GzBuilder::new().write(to, Compression::default()));
    for item in found {
        let full = root.join(&item.path);
        let mut header = Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        match item.kind {
            Kind::Dir => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(0o755);
                builder.append_data(&mut header, &item.path, io::empty())
            }
            Kind::Link { target } => {
                header.set_entry_type(EntryType::Symlink);
                header.set_mode(0o777);
                builder.append_link(&mut header, &item.path, Path::new(OsStr::from_bytes(&target)))
            }
            Kind::File { bytes, mode, .. } => {
                header.set_entry_type(EntryType::Regular);
                header.set_mode(if mode & 0o100 != 0 { 0o755 } else { 0o644 });
                header.set_size(bytes);
                // A file that grows or shrinks meanwhile must not shift what follows it.
                let mut exact = Exact { inner: tree::open_file(&full)?, left: bytes };
                builder.append_data(&mut header, &item.path, &mut exact)
            }
        }
        .at(&full)?;
    }
    builder.into_inner().and_then(|gz| gz.finish()).and_then(|mut to| to.flush()).at(root)
}

/// Unpacks a `tar` or `tar.gz` into the directory `to`, which must not exist or be empty. Refused: paths and links that
/// lead out of it, files behind links, devices, and more than the caps. What was unpacked is removed when it fails.
pub fn unpack(from: impl Read, to: &Path, caps: Caps) -> Result<(), ArtifactError> {
    match fs::create_dir(to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::read_dir(to).at(to)?.next().is_some() {
                return Err(refuse(format!("{} is not empty", to.display())));
            }
        }
        other => other.at(to)?,
    }
    let mut from = BufReader::new(from);
    let is_gzip = from.fill_buf().map_err(broken)?.starts_with(&[0x1f, 0x8b]);
    let unpacked = if is_gzip { unpack_tar(MultiGzDecoder::new(from), to, caps) } else { unpack_tar(from, to, caps) };
    unpacked.inspect_err(|_| {
        let _ = tree::remove_all(to);
    })
}

fn unpack_tar(from: impl Read, to: &Path, caps: Caps) -> Result<(), ArtifactError> {
    // The tar reader keeps names and attributes in memory, of whatever length the archive claims: between entries it
    // may read only so much.
    let allowance = Rc::new(Cell::new(BETWEEN_ENTRIES_BYTES_MAX));
    let mut archive = Archive::new(Metered { inner: from, allowance: Rc::clone(&allowance) });
    let mut entries = archive.entries().map_err(broken)?;
    let (mut count, mut bytes) = (0, 0);
    loop {
        allowance.set(BETWEEN_ENTRIES_BYTES_MAX);
        let Some(entry) = entries.next() else { return Ok(()) };
        let mut entry = entry.map_err(broken)?;
        count += 1;
        if count > caps.entries {
            return Err(refuse(format!("it has more than {} entries", caps.entries)));
        }
        bytes = entry.size().saturating_add(bytes);
        if bytes > caps.bytes {
            return Err(refuse(format!("it has more than {} bytes", caps.bytes)));
        }
        allowance.set(u64::MAX);
        unpack_entry(&mut entry, to)?;
    }
}

fn unpack_entry(entry: &mut tar::Entry<'_, impl Read>, to: &Path) -> Result<(), ArtifactError> {
    let kind = entry.header().entry_type();
    if kind.is_pax_global_extensions() {
        return Ok(());
    }
    let name = Path::new(OsStr::from_bytes(&entry.path_bytes())).to_owned();
    let path = safe_path(&name).ok_or_else(|| refuse(format!("{} leads out of it", name.display())))?;
    let target = to.join(&path);
    if path.as_os_str().is_empty() {
        // `./`, the directory itself.
        return if kind.is_dir() { Ok(()) } else { Err(refuse("an entry without a name".into())) };
    }
    make_parents(to, &path)?;
    match kind {
        EntryType::Directory => make_dir(&target, &name),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let executable = entry.header().mode().map_err(broken)? & 0o100 != 0;
            remove_older(&target, &name)?;
            let mut file = create_new(&target, if executable { 0o777 } else { 0o666 })?;
            let bytes = entry.size();
            copy_entry(entry, &mut file, &target, bytes)
        }
        EntryType::Symlink => {
            let link = link_of(entry, &name)?;
            if !stays_inside(&path, &link) {
                return Err(refuse(format!("the link {} -> {} leads out of it", name.display(), link.display())));
            }
            remove_older(&target, &name)?;
            std::os::unix::fs::symlink(&link, &target).at(&target)
        }
        EntryType::Link => unpack_hard_link(entry, &name, &target, to),
        _ => Err(refuse(format!("{} is neither a file nor a directory nor a link", name.display()))),
    }
}

/// A hard link becomes a copy of the file unpacked before it.
fn unpack_hard_link(
    entry: &tar::Entry<'_, impl Read>,
    name: &Path,
    target: &Path,
    to: &Path,
) -> Result<(), ArtifactError> {
    let link = link_of(entry, name)?;
    let outside = || refuse(format!("the hard link {} -> {} leads out of it", name.display(), link.display()));
    let linked = safe_path(&link).ok_or_else(outside)?;
    make_parents(to, &linked)?;
    let linked = to.join(linked);
    let is_file = fs::symlink_metadata(&linked).is_ok_and(|metadata| metadata.is_file());
    if !is_file {
        return Err(refuse(format!(
            "the hard link {} names {}, which is no file before it",
            name.display(),
            link.display()
        )));
    }
    if linked == target {
        return Ok(());
    }
    remove_older(target, name)?;
    crate::copy::private(&linked, target)
}

fn link_of(entry: &tar::Entry<'_, impl Read>, name: &Path) -> Result<PathBuf, ArtifactError> {
    let link = entry.link_name_bytes().ok_or_else(|| refuse(format!("the link {} has no target", name.display())))?;
    Ok(Path::new(OsStr::from_bytes(&link)).to_owned())
}

/// Copies exactly `bytes`, and distinguishes a broken archive from a full disk.
fn copy_entry(entry: &mut impl Read, file: &mut fs::File, target: &Path, bytes: u64) -> Result<(), ArtifactError> {
    let mut buffer = vec![0; 64 << 10];
    let mut copied = 0;
    loop {
        match entry.read(&mut buffer) {
            Ok(0) if copied == bytes => return Ok(()),
            Ok(0) => return Err(refuse("it ends in the middle of a file".into())),
            Ok(read) => {
                file.write_all(&buffer[..read]).at(target)?;
                copied += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(broken(error)),
        }
    }
}

/// The path with only plain names; `None` if it is absolute or has `..`.
fn safe_path(path: &Path) -> Option<PathBuf> {
    let mut safe = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => safe.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(safe)
}

/// Whether a link at `path` (relative to the root) with this text points below the root, by its text alone. Links that
/// it may lead through were judged in the same way; `..` behind a link can still climb, so that it is only admitted at
/// the start of the text, where the directories above are known to be real ones.
fn stays_inside(path: &Path, link: &Path) -> bool {
    let mut depth = path.components().count() - 1;
    let mut named = false;
    for component in link.components() {
        match component {
            Component::Normal(_) => named = true,
            Component::CurDir => {}
            Component::ParentDir if !named && depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    !link.as_os_str().is_empty()
}

/// Makes the directories above `path`; each must be a real directory, not a link to one.
fn make_parents(root: &Path, path: &Path) -> Result<(), ArtifactError> {
    let mut dir = root.to_owned();
    for component in path.parent().unwrap_or(Path::new("")).components() {
        dir.push(component);
        make_dir(&dir, path)?;
    }
    Ok(())
}

fn make_dir(dir: &Path, name: &Path) -> Result<(), ArtifactError> {
    match fs::symlink_metadata(dir) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(refuse(format!("{} goes through a link or a file", name.display()))),
        Err(_) => fs::create_dir(dir).at(dir),
    }
}

/// A later entry of the same name replaces an earlier file or link, as tar does.
fn remove_older(target: &Path, name: &Path) -> Result<(), ArtifactError> {
    match fs::symlink_metadata(target) {
        Err(_) => Ok(()),
        Ok(metadata) if metadata.is_dir() => {
            Err(refuse(format!("{} is a directory first and then something else", name.display())))
        }
        Ok(_) => fs::remove_file(target).at(target),
    }
}

fn refuse(why: String) -> ArtifactError {
    ArtifactError::Archive { why }
}

fn broken(error: io::Error) -> ArtifactError {
    refuse(format!("it cannot be read: {error}"))
}

/// Fails when more than the allowance is read.
struct Metered<R> {
    inner: R,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.allowance.get();
        if left == 0 {
            return Err(io::Error::other("the name or the attributes of an entry are too long"));
        }
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.inner.read(&mut buffer[..wanted])?;
        self.allowance.set(left - read as u64);
        Ok(read)
    }
}

/// Exactly `left` bytes: cut, or an error if there are fewer.
struct Exact<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.inner.read(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was packed"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}
