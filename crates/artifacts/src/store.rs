//! The store on local disk: `blobs/xx/DIGEST`, `trees/DIGEST/{tree/,manifest}`, and `tmp/`, from which everything is
//! renamed into place when it is whole.
//! It must never show anything half-written, and never give out a path through which a task could change what it holds.
//!
//! Files are stored with mode 0444, or 0555 where their owner could execute them, directories with 0555. The modes are a
//! courtesy (we are often root); the overlays of the executor are the protection.

use crate::boot::{self, Boot};
use crate::copy::{self, set_mode, stored_mode};
use crate::error::{ArtifactError, At};
use crate::manifest::{Entry, Manifest};
use crate::tree::{self, Keep};
use crate::{hash, leftovers};
use model::{Content, Digest};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// With more files than this one `syncfs` is cheaper than a sync of each.
const SYNC_FILES_MAX: usize = 32;

/// A handle of the store; clones share it. Several processes may use one store at the same time.
#[derive(Clone, Debug)]
pub struct Store {
    root: Arc<PathBuf>,
    boot: Boot,
}

/// Something in the store, as garbage collection sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// A blob or a tree.
    pub content: Content,
    /// When it was stored or last stored again.
    pub stored_at: SystemTime,
}

/// What became of a wish to remove something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    Removed,
    /// It was stored, perhaps again, too short a time ago: somebody may be about to name it.
    TooYoung,
    Absent,
}

impl Store {
    /// Opens the store below `root`, makes what is missing and removes what dead processes left half-written.
    pub fn open(root: &Path) -> Result<Self, ArtifactError> {
        Self::open_in_boot(root, &boot::id())
    }

    /// The same in this life of the machine's kernel: what another one stored is suspect.
    pub fn open_in_boot(root: &Path, boot: &str) -> Result<Self, ArtifactError> {
        for name in ["blobs", "trees", "tmp"] {
            let dir = root.join(name);
            fs::create_dir_all(&dir).at(&dir)?;
        }
        leftovers::clean(&root.join("tmp"))?;
        Ok(Self { root: Arc::new(root.to_owned()), boot: Boot::of(root, boot) })
    }

    /// Where this blob is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join("blobs").join(&name[..2]).join(&name)
    }

    /// The directory of this tree, or where it would be.
    pub fn tree_path(&self, digest: &Digest) -> PathBuf {
        self.tree_home(digest).join("tree")
    }

    /// The text whose digest the tree has.
    pub fn manifest_path(&self, digest: &Digest) -> PathBuf {
        self.tree_home(digest).join("manifest")
    }

    /// Whether the bytes are here. Text in the document always is; what is declared elsewhere never.
    pub fn contains(&self, content: &Content) -> bool {
        match content {
            Content::Blob(digest) => self.blob_path(digest).is_file(),
            Content::Tree(digest) => self.manifest_path(digest).is_file(),
            Content::Raw(_) => true,
            Content::Uri(_) => false,
            Content::Parts(parts) => parts.iter().all(|(_, part)| self.contains(part)),
        }
    }

    /// Stores bytes as a blob.
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<Digest, ArtifactError> {
        let digest = hash::bytes(bytes);
        if self.renew_blob(&digest, bytes.len() as u64, false)? {
            return Ok(digest);
        }
        let tmp = Temporary::new(self);
        let mut file = copy::create_new(&tmp.0, 0o600)?;
        file.write_all(bytes).at(&tmp.0)?;
        set_mode(&tmp.0, 0o600, stored_mode(false))?;
        self.place_blob(&tmp.0, &digest)?;
        Ok(digest)
    }

    /// Takes a file over: afterwards it is gone from `path`. On the same file system it is renamed, not copied.
    /// Whoever still has it open for writing could change it: call this when its producer is dead.
    /// On an error the file is still at `path`, perhaps read-only.
    pub fn adopt_file(&self, path: &Path) -> Result<(Digest, u64), ArtifactError> {
        let metadata = regular_file(path)?;
        // Another name of the file would be a way to write into the store.
        if metadata.nlink() > 1 {
            return self.copy_then_remove(path);
        }
        let mode = metadata.mode();
        if mode & 0o400 == 0 {
            set_mode(path, mode, mode & 0o7777 | 0o400)?;
        }
        let (digest, bytes) = hash::file(&mut tree::open_file(path)?, path)?;
        let executable = mode & 0o100 != 0;
        if self.renew_blob(&digest, bytes, executable)? {
            fs::remove_file(path).at(path)?;
            return Ok((digest, bytes));
        }
        fs::set_permissions(path, mode_of(stored_mode(executable))).at(path)?;
        match self.place_blob(path, &digest) {
            Err(error) if is_other_file_system(&error) => self.copy_then_remove(path),
            other => other.map(|()| (digest, bytes)),
        }
    }

    /// Stores a copy of a file.
    pub fn copy_file(&self, path: &Path) -> Result<(Digest, u64), ArtifactError> {
        let executable = regular_file(path)?.mode() & 0o100 != 0;
        let tmp = Temporary::new(self);
        let (digest, bytes) = tree::copy_hashed(&mut tree::open_file(path)?, path, &tmp.0, executable)?;
        if !self.renew_blob(&digest, bytes, executable)? {
            self.place_blob(&tmp.0, &digest)?;
        }
        Ok((digest, bytes))
    }

    /// Takes a directory over: afterwards it is gone from `path`. On the same file system it is renamed, not copied.
    /// Links are kept as links, wherever they point; devices, sockets and pipes are an error that names the path.
    /// Answers the digest of its manifest and the bytes of its files. On an error the directory is still at `path`.
    pub fn adopt_tree(&self, path: &Path) -> Result<(Digest, u64), ArtifactError> {
        let found = tree::walk(path, &|_, _| true, true)?;
        let tmp = Temporary::new(self);
        fs::create_dir(&tmp.0).at(&tmp.0)?;
        let inside = tmp.0.join("tree");
        match fs::rename(path, &inside) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::XDEV) => {
                let manifest = tree::copy(path, found, &inside)?;
                let stored = self.place_tree(&tmp.0, &manifest)?;
                tree::remove_all(path)?;
                return Ok(stored);
            }
            other => other.at(path)?,
        }
        let stored = tree::seal(&inside, &self.tmp(), found).and_then(|manifest| self.place_tree(&tmp.0, &manifest));
        if stored.is_err() && inside.exists() {
            // Best effort: the first error is the one to tell.
            let _ = fs::set_permissions(&inside, mode_of(0o755));
            let _ = fs::rename(&inside, path);
        }
        stored
    }

    /// Stores a copy of a directory: of what `keep` wants (relative path, whether it is a directory; what is below an
    /// unwanted directory is not asked for). A directory that is in the store already is read and not written.
    pub fn copy_tree(&self, path: &Path, keep: Keep<'_>) -> Result<(Digest, u64), ArtifactError> {
        let manifest = tree::hash(path, tree::walk(path, keep, false)?)?;
        let digest = manifest.digest();
        if self.renew_tree(&digest) {
            return Ok((digest, manifest.bytes()));
        }
        let tmp = Temporary::new(self);
        fs::create_dir(&tmp.0).at(&tmp.0)?;
        // Walked and hashed again: what counts is what the copy holds, and the user may be editing.
        let copied = tree::copy(path, tree::walk(path, keep, false)?, &tmp.0.join("tree"))?;
        self.place_tree(&tmp.0, &copied)
    }

    /// The bytes of a blob with at most `bytes_max` bytes.
    pub fn read_blob(&self, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, ArtifactError> {
        let path = self.blob_path(digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ArtifactError::Missing { digest: *digest });
            }
            other => other.at(&path)?,
        };
        let bytes = file.metadata().at(&path)?.len();
        if bytes > bytes_max {
            return Err(ArtifactError::TooLarge { path, bytes, bytes_max });
        }
        let mut content = Vec::with_capacity(bytes as usize);
        file.take(bytes_max).read_to_end(&mut content).at(&path)?;
        Ok(content)
    }

    /// Reads all of it again and compares: for use after an import or a change of boot id.
    pub fn verify(&self, content: &Content) -> Result<(), ArtifactError> {
        match content {
            Content::Blob(digest) => self.verify_blob(digest),
            Content::Tree(digest) => self.verify_tree(digest),
            Content::Raw(_) => Ok(()),
            Content::Uri(uri) => Err(ArtifactError::NotLocal { uri: uri.clone() }),
            Content::Parts(parts) => parts.iter().try_for_each(|(_, part)| self.verify(part)),
        }
    }

    /// Whether `check` has to read this blob or tree.
    pub fn suspects(&self, content: &Content) -> bool {
        match content {
            Content::Blob(digest) => self.boot.suspects(&self.blob_path(digest)),
            Content::Tree(digest) => self.boot.suspects(&self.tree_home(digest)),
            Content::Parts(parts) => parts.iter().any(|(_, part)| self.suspects(part)),
            Content::Raw(_) | Content::Uri(_) => false,
        }
    }

    /// To be called before content is used: what was stored before the machine last started, and may be torn by a power cut, is
    /// read again, once. Damaged content is removed, so that whoever makes it again stores it whole.
    ///
    /// # Errors
    /// It is damaged, or not here.
    pub fn check(&self, content: &Content) -> Result<(), ArtifactError> {
        let path = match content {
            Content::Blob(digest) => self.blob_path(digest),
            Content::Tree(digest) => self.tree_home(digest),
            Content::Parts(parts) => return parts.iter().try_for_each(|(_, part)| self.check(part)),
            Content::Raw(_) | Content::Uri(_) => return Ok(()),
        };
        if !self.boot.suspects(&path) {
            return Ok(());
        }
        match self.verify(content) {
            Ok(()) => {
                // From now on it is as good as one of this boot.
                renew(&path);
                Ok(())
            }
            Err(error @ ArtifactError::Damaged { .. }) => {
                let tmp = Temporary::new(self);
                match fs::rename(&path, &tmp.0) {
                    // Another thread was faster.
                    Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
                    other => other.at(&path)?,
                }
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes it survive a power cut: before an event names it, under `FULL`.
    pub fn sync(&self, content: &Content) -> Result<(), ArtifactError> {
        match content {
            Content::Blob(digest) => {
                let path = self.blob_path(digest);
                self.sync_path(&path, digest)?;
                let blobs = self.root.join("blobs");
                for dir in [path.parent().unwrap_or(&blobs), &blobs] {
                    self.sync_path(dir, digest)?;
                }
                Ok(())
            }
            Content::Tree(digest) => self.sync_tree(digest),
            Content::Raw(_) | Content::Uri(_) => Ok(()),
            Content::Parts(parts) => parts.iter().try_for_each(|(_, part)| self.sync(part)),
        }
    }

    /// Lays a private, writable copy at `to`: a file, or a directory that may exist if it is empty. Directories above
    /// `to` are made. What was laid is removed again when it fails.
    pub fn materialise(&self, content: &Content, to: &Path) -> Result<(), ArtifactError> {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).at(parent)?;
        }
        match content {
            Content::Blob(digest) => {
                let from = self.blob_path(digest);
                if !from.is_file() {
                    return Err(ArtifactError::Missing { digest: *digest });
                }
                copy::private(&from, to)
            }
            Content::Tree(digest) => {
                let manifest = self.read_manifest(digest)?;
                match fs::remove_dir(to) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(ArtifactError::io(to, error)),
                    _ => {}
                }
                fs::create_dir(to).at(to)?;
                lay_tree(&self.tree_path(digest), &manifest, to).inspect_err(|_| {
                    let _ = tree::remove_all(to);
                })
            }
            Content::Raw(text) => {
                let mut file = copy::create_new(to, 0o666)?;
                file.write_all(text.as_bytes()).at(to).inspect_err(|_| {
                    let _ = fs::remove_file(to);
                })
            }
            Content::Uri(uri) => Err(ArtifactError::NotLocal { uri: uri.clone() }),
            Content::Parts(parts) => {
                fs::create_dir_all(to).at(to)?;
                parts.iter().try_for_each(|(path, part)| {
                    // A key is somebody's text: it cannot lead out of the directory.
                    let below = path.split('/').filter(|name| !matches!(*name, "" | "." | ".."));
                    self.materialise(part, &below.fold(to.to_path_buf(), |to, name| to.join(name)))
                })
            }
        }
    }

    /// Removes a blob or a tree that nobody names and that was not stored within the last `spare`.
    pub fn remove(&self, content: &Content, spare: Duration) -> Result<Removal, ArtifactError> {
        let path = match content {
            Content::Blob(digest) => self.blob_path(digest),
            Content::Tree(digest) => self.tree_home(digest),
            Content::Raw(_) | Content::Uri(_) | Content::Parts(_) => return Ok(Removal::Absent),
        };
        let is_young = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).map(|at| younger_than(at, spare));
        match is_young(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Removal::Absent),
            other => {
                if other.at(&path)? {
                    return Ok(Removal::TooYoung);
                }
            }
        }
        let tmp = Temporary::new(self);
        fs::rename(&path, &tmp.0).at(&path)?;
        // Somebody may have stored it again between the look and the rename.
        if is_young(&tmp.0).at(&path)? {
            fs::rename(&tmp.0, &path).at(&path)?;
            return Ok(Removal::TooYoung);
        }
        tree::remove_all(&tmp.0)?;
        Ok(Removal::Removed)
    }

    /// Every blob and tree in the store, in no order. What does not look like ours is passed over.
    pub fn list(&self) -> Result<Vec<Stored>, ArtifactError> {
        let mut stored = Vec::new();
        list_dir(&self.root.join("trees"), &mut stored, Content::Tree)?;
        let blobs = self.root.join("blobs");
        for entry in fs::read_dir(&blobs).at(&blobs)? {
            list_dir(&entry.at(&blobs)?.path(), &mut stored, Content::Blob)?;
        }
        Ok(stored)
    }

    fn tree_home(&self, digest: &Digest) -> PathBuf {
        self.root.join("trees").join(digest.to_string())
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// True if the blob is there; its age then begins again. One whose length is wrong is treated as absent.
    fn renew_blob(&self, digest: &Digest, bytes: u64, executable: bool) -> Result<bool, ArtifactError> {
        let path = self.blob_path(digest);
        let Ok(metadata) = fs::symlink_metadata(&path) else { return Ok(false) };
        if self.check(&Content::Blob(*digest)).is_err() {
            return Ok(false);
        }
        if metadata.len() != bytes || !renew(&path) {
            return Ok(false);
        }
        // The same bytes may come once as a program and once as data: who stored them as a program may run them.
        if executable && metadata.mode() & 0o100 == 0 {
            set_mode(&path, metadata.mode(), stored_mode(true))?;
        }
        Ok(true)
    }

    /// Renames a finished file to its place.
    fn place_blob(&self, from: &Path, digest: &Digest) -> Result<(), ArtifactError> {
        let path = self.blob_path(digest);
        // The time of a file from elsewhere can be years old: its age in the store begins now.
        renew(from);
        match fs::rename(from, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let dir = path.parent().unwrap_or(&path);
                fs::create_dir_all(dir).at(dir)?;
                fs::rename(from, &path).at(from)
            }
            other => other.at(from),
        }
    }

    fn copy_then_remove(&self, path: &Path) -> Result<(Digest, u64), ArtifactError> {
        let stored = self.copy_file(path)?;
        fs::remove_file(path).at(path)?;
        Ok(stored)
    }

    fn renew_tree(&self, digest: &Digest) -> bool {
        let is_there = self.manifest_path(digest).is_file() && self.check(&Content::Tree(*digest)).is_ok();
        is_there && renew(&self.tree_home(digest))
    }

    /// Completes `home`, which has `tree/`, and renames it to its place; if the tree is there already `home` is left.
    fn place_tree(&self, home: &Path, manifest: &Manifest) -> Result<(Digest, u64), ArtifactError> {
        let text = manifest.to_text();
        let digest = hash::bytes(&text);
        let result = (digest, manifest.bytes());
        if self.renew_tree(&digest) {
            return Ok(result);
        }
        let path = home.join("manifest");
        let mut file = copy::create_new(&path, 0o644)?;
        file.write_all(&text).at(&path)?;
        set_mode(&path, 0, stored_mode(false))?;
        match fs::rename(home, self.tree_home(&digest)).at(home) {
            // Somebody else was faster.
            Err(_) if self.renew_tree(&digest) => Ok(result),
            other => other.map(|()| result),
        }
    }

    fn read_manifest(&self, digest: &Digest) -> Result<Manifest, ArtifactError> {
        let path = self.manifest_path(digest);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ArtifactError::Missing { digest: *digest });
            }
            other => other.at(&path)?,
        };
        let damaged = || ArtifactError::Damaged { digest: *digest, what: "its manifest has changed".into() };
        if hash::bytes(&text) != *digest {
            return Err(damaged());
        }
        Manifest::parse(&text).ok_or_else(damaged)
    }

    fn verify_blob(&self, digest: &Digest) -> Result<(), ArtifactError> {
        let path = self.blob_path(digest);
        if !path.is_file() {
            return Err(ArtifactError::Missing { digest: *digest });
        }
        let (found, bytes) = hash::file(&mut tree::open_file(&path)?, &path)?;
        if found == *digest {
            return Ok(());
        }
        Err(ArtifactError::Damaged { digest: *digest, what: format!("its {bytes} bytes have the digest {found}") })
    }

    fn verify_tree(&self, digest: &Digest) -> Result<(), ArtifactError> {
        let manifest = self.read_manifest(digest)?;
        let root = self.tree_path(digest);
        let found = match tree::walk(&root, &|_, _| true, false).and_then(|found| tree::hash(&root, found)) {
            Err(ArtifactError::Io { path, source }) if source.kind() == io::ErrorKind::NotFound => {
                let what = format!("{} is gone", path.display());
                return Err(ArtifactError::Damaged { digest: *digest, what });
            }
            other => other?,
        };
        match manifest.first_difference(&found) {
            None => Ok(()),
            Some(what) => Err(ArtifactError::Damaged { digest: *digest, what }),
        }
    }

    fn sync_tree(&self, digest: &Digest) -> Result<(), ArtifactError> {
        let manifest = self.read_manifest(digest)?;
        if manifest.entries.len() > SYNC_FILES_MAX && copy::sync_file_system(&self.root).at(self.root.as_path())? {
            return Ok(());
        }
        let root = self.tree_path(digest);
        for (path, entry) in &manifest.entries {
            if !matches!(entry, Entry::Link { .. }) {
                self.sync_path(&root.join(std::ffi::OsStr::from_bytes(path)), digest)?;
            }
        }
        for path in [root, self.manifest_path(digest), self.tree_home(digest), self.root.join("trees")] {
            self.sync_path(&path, digest)?;
        }
        Ok(())
    }

    fn sync_path(&self, path: &Path, digest: &Digest) -> Result<(), ArtifactError> {
        match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ArtifactError::Missing { digest: *digest }),
            other => other.at(path)?.sync_all().at(path),
        }
    }
}

/// A name in `tmp/` whose file or directory, if there still is one, goes with this value.
struct Temporary(PathBuf);

impl Temporary {
    fn new(store: &Store) -> Self {
        Self(leftovers::unique(&store.tmp()))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = tree::remove_all(&self.0);
    }
}

fn mode_of(mode: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}

fn regular_file(path: &Path) -> Result<fs::Metadata, ArtifactError> {
    let metadata = fs::symlink_metadata(path).at(path)?;
    if metadata.is_file() {
        return Ok(metadata);
    }
    Err(ArtifactError::WrongKind { path: path.to_owned(), wanted: "regular file" })
}

fn is_other_file_system(error: &ArtifactError) -> bool {
    matches!(error, ArtifactError::Io { source, .. } if Errno::from_io_error(source) == Some(Errno::XDEV))
}

/// Lets the age of something begin again. False if it is gone.
fn renew(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW) != Err(Errno::NOENT)
}

fn younger_than(at: SystemTime, span: Duration) -> bool {
    // A time in the future is a clock that was set back: young.
    at.elapsed().map_or(true, |age| age < span)
}

fn list_dir(dir: &Path, stored: &mut Vec<Stored>, kind: fn(Digest) -> Content) -> Result<(), ArtifactError> {
    for entry in fs::read_dir(dir).at(dir)? {
        let entry = entry.at(dir)?;
        let Some(digest) = entry.file_name().to_str().and_then(Digest::parse) else { continue };
        match entry.metadata().and_then(|m| m.modified()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => stored.push(Stored { content: kind(digest), stored_at: other.at(entry.path())? }),
        }
    }
    Ok(())
}

fn lay_tree(from: &Path, manifest: &Manifest, to: &Path) -> Result<(), ArtifactError> {
    for (path, entry) in &manifest.entries {
        let relative = std::ffi::OsStr::from_bytes(path);
        let target = to.join(relative);
        match entry {
            Entry::Dir => fs::create_dir(&target).at(&target)?,
            Entry::File { .. } => copy::private(&from.join(relative), &target)?,
            Entry::Link { target: text } => {
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(text), &target).at(&target)?;
            }
        }
    }
    Ok(())
}
