//! What an attempt can leave in a sandbox, and how it is found: files, changed directories, processes, System V IPC (DESIGN §5).
//! It must never take for clean what it could not look at.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// More than any of the files in /proc has that are compared.
const LOOK_BYTES: usize = 4096;

/// A sandbox as it was before its first task.
pub struct Traces {
    /// In which there is nothing.
    empty: Vec<Directory>,
    /// In which there is what each sandbox is made with, and nothing else.
    made: Vec<(Directory, Vec<Entry>)>,
    /// What is there for every task, and can be given another mode or owner.
    nodes: Vec<(OwnedFd, (u32, u32, u32))>,
    /// The init's children: what is left there has lost its parent.
    children: File,
    /// What the kernel says of the sandbox, and said before: lists of System V shared memory, semaphores and queues, opened in its
    /// IPC namespace; how soon the init is killed when memory is short, and its limits, which its tasks may change.
    texts: Vec<(File, Vec<u8>)>,
}

/// A directory in which only a task writes.
struct Directory {
    fd: OwnedFd,
    look: Look,
    /// When it was last changed, as its file system says. Whatever a task does to a directory changes that.
    changed: Instant,
}

/// Seconds and nanoseconds since 1970, as a file system keeps them.
type Instant = (i64, i64);

/// File systems keep times as exact as the clock's tick, some in seconds: a directory that was changed less than this before a task
/// began may have been changed by it as well.
const TICK: Duration = Duration::from_millis(20);
const COARSE_TICK: Duration = Duration::from_secs(2);

/// What an entry is, without what is in it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    name: Vec<u8>,
    inode: u64,
    standing: (u32, u32, u32),
    /// Where it leads, if it is a link.
    target: Vec<u8>,
}

/// What of a directory outlives a task apart from its entries.
#[derive(PartialEq, Eq)]
struct Look {
    mode: u32,
    owner: (u32, u32),
    attributes: Vec<u8>,
    /// As lsattr(1) shows them; 0 where the file system has none.
    flags: u32,
}

impl Traces {
    /// `init`: process 1 of the sandbox. `empty`, `made`: directories with nothing in them, and with mount points and links only.
    /// `ipc`: its lists of System V objects.
    ///
    /// # Errors
    /// Something could not be looked at.
    pub fn record(
        init: i32,
        empty: &[PathBuf],
        made: &[PathBuf],
        nodes: &[PathBuf],
        mut ipc: Vec<File>,
    ) -> io::Result<Self> {
        let open = |path: &PathBuf| {
            let node = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            let standing = standing(&node)?;
            Ok((node, standing))
        };
        let nodes = nodes.iter().map(open).collect::<io::Result<_>>()?;
        let empty = empty.iter().map(|path| Directory::open(path)).collect::<io::Result<_>>()?;
        let with_entries = |path: &PathBuf| {
            let directory = Directory::open(path)?;
            let entries = entries(&directory.fd)?;
            Ok((directory, entries))
        };
        let made = made.iter().map(with_entries).collect::<io::Result<_>>()?;
        let children = File::open(format!("/proc/{init}/task/{init}/children"))?;
        for file in ["oom_score_adj", "limits"] {
            ipc.push(File::open(format!("/proc/{init}/{file}"))?);
        }
        let texts = ipc.into_iter().map(|file| read(&file).map(|text| (file, text))).collect::<io::Result<_>>()?;
        Ok(Self { empty, made, nodes, children, texts })
    }

    /// Whether a task that began at this time and has ended left nothing.
    pub fn none(&mut self, began: SystemTime) -> bool {
        says(&self.children, b"")
            && self.texts.iter().all(|(file, before)| says(file, before))
            && self.nodes.iter().all(|(node, before)| standing(node).is_ok_and(|now| now == *before))
            && self.empty.iter_mut().all(|directory| directory.is_empty_still(began).unwrap_or(false))
            && self.made.iter().all(|(directory, before)| directory.holds(before).unwrap_or(false))
    }
}

impl Directory {
    fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let (look, changed) = (Look::of(&fd)?, changed(&fd)?);
        Ok(Self { fd, look, changed })
    }

    /// Whether it is as it was, and empty, after a task that began at this time.
    fn is_empty_still(&mut self, began: SystemTime) -> io::Result<bool> {
        let changed = changed(&self.fd)?;
        if changed == self.changed && is_before(changed, began) {
            return Ok(true);
        }
        // Something may have been there and be gone again.
        let untouched = Look::of(&self.fd)? == self.look && is_empty(&self.fd)?;
        if untouched {
            self.changed = changed;
        }
        Ok(untouched)
    }

    /// Whether it is as it was, and these its entries.
    fn holds(&self, before: &[Entry]) -> io::Result<bool> {
        Ok(entries(&self.fd)? == before && Look::of(&self.fd)? == self.look)
    }
}

fn changed(directory: &OwnedFd) -> io::Result<Instant> {
    let stat = rustix::fs::fstat(directory)?;
    Ok((stat.st_ctime as i64, stat.st_ctime_nsec as i64))
}

/// Whether what was changed then cannot have been changed since.
fn is_before((seconds, nanoseconds): Instant, began: SystemTime) -> bool {
    let tick = if nanoseconds == 0 { COARSE_TICK } else { TICK };
    let changed = Duration::new(seconds.try_into().unwrap_or(u64::MAX), nanoseconds as u32);
    let began = began.duration_since(UNIX_EPOCH).unwrap_or_default();
    changed.checked_add(tick).is_some_and(|changed| changed < began)
}

impl Look {
    fn of(fd: &OwnedFd) -> io::Result<Self> {
        let stat = rustix::fs::fstat(fd)?;
        let flags = rustix::fs::ioctl_getflags(fd).map_or(0, |flags| flags.bits());
        Ok(Self { mode: stat.st_mode, owner: (stat.st_uid, stat.st_gid), attributes: attributes(fd)?, flags })
    }
}

fn standing(node: &OwnedFd) -> io::Result<(u32, u32, u32)> {
    let stat = rustix::fs::fstat(node)?;
    Ok((stat.st_mode, stat.st_uid, stat.st_gid))
}

fn is_empty(directory: &OwnedFd) -> io::Result<bool> {
    rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0))?;
    let mut buffer = [MaybeUninit::<u8>::uninit(); 1024];
    let mut entries = RawDir::new(directory.as_fd(), &mut buffer);
    while let Some(entry) = entries.next() {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// In the order of their names.
fn entries(directory: &OwnedFd) -> io::Result<Vec<Entry>> {
    rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0))?;
    let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
    let (mut listed, mut found) = (RawDir::new(directory.as_fd(), &mut buffer), Vec::new());
    while let Some(entry) = listed.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let target = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => rustix::fs::readlinkat(directory, name, Vec::new())?.into_bytes(),
            _ => Vec::new(),
        };
        found.push(Entry {
            name: name.to_bytes().to_vec(),
            inode: stat.st_ino,
            standing: (stat.st_mode, stat.st_uid, stat.st_gid),
            target,
        });
    }
    found.sort();
    Ok(found)
}

/// Names of the extended attributes; more than fit are an error.
fn attributes(directory: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut names = [0_u8; 1024];
    match rustix::fs::flistxattr(directory, &mut names[..]) {
        Ok(length) => Ok(names[..length].to_vec()),
        // A file system without any.
        Err(rustix::io::Errno::NOTSUP) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Whether a small file of /proc holds exactly this. The kernel gives all of such a file at once.
fn says(file: &File, text: &[u8]) -> bool {
    let mut bytes = [0; LOOK_BYTES];
    file.read_at(&mut bytes, 0).is_ok_and(|length| bytes[..length] == *text)
}

/// A small file of /proc from its beginning.
fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; LOOK_BYTES];
    let mut length = 0;
    loop {
        match file.read_at(&mut bytes[length..], length as u64)? {
            0 => break,
            got => length += got,
        }
        if length == bytes.len() {
            return Err(io::Error::other("a list that is longer than it should be"));
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn traces(directory: &Path) -> Traces {
        // The children of this very process are none: tests of this file start none.
        Traces::record(std::process::id() as i32, &[directory.to_path_buf()], &[], &[], Vec::new()).expect("recorded")
    }

    #[test]
    fn a_directory_tells_what_was_done_in_it() {
        let dir = tempfile::tempdir().expect("dir");
        type Deed = fn(&Path);
        let cases: [(&str, Deed, bool); 4] = [
            ("nothing", |_| {}, true),
            ("a file", |path| std::fs::write(path.join("file"), "").expect("file"), false),
            (
                "a file that is gone again",
                |path| {
                    std::fs::write(path.join("file"), "").expect("file");
                    std::fs::remove_file(path.join("file")).expect("removed");
                },
                true,
            ),
            (
                "its mode",
                |path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).expect("mode"),
                false,
            ),
        ];
        for (what, deed, clean) in cases {
            let path = dir.path().join(what);
            std::fs::create_dir(&path).expect("dir");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
            let mut directory = Directory::open(&path).expect("open");
            let began = SystemTime::now();
            deed(&path);
            assert_eq!(directory.is_empty_still(began).expect("look"), clean, "{what}");
            assert_eq!(directory.is_empty_still(began).expect("look"), clean, "{what}, at another look");
            let later = began + Duration::from_secs(3600);
            assert_eq!(directory.is_empty_still(later).expect("look"), clean, "{what}, of a task that began later");
        }
    }

    #[test]
    fn of_a_directory_with_entries_each_is_looked_at() {
        let dir = tempfile::tempdir().expect("dir");
        type Deed = fn(&Path);
        let cases: [(&str, Deed, bool); 4] = [
            ("nothing", |_| {}, true),
            ("another entry", |path| std::fs::create_dir(path.join("other")).expect("dir"), false),
            (
                "another mode",
                |path| {
                    let mode = std::fs::Permissions::from_mode(0o700);
                    std::fs::set_permissions(path.join("point"), mode).expect("mode");
                },
                false,
            ),
            (
                "another link",
                |path| {
                    std::fs::remove_file(path.join("link")).expect("removed");
                    std::os::unix::fs::symlink("elsewhere", path.join("link")).expect("link");
                },
                false,
            ),
        ];
        for (what, deed, clean) in cases {
            let path = dir.path().join(what);
            std::fs::create_dir_all(path.join("point")).expect("dir");
            std::os::unix::fs::symlink("point", path.join("link")).expect("link");
            let directory = Directory::open(&path).expect("open");
            let before = entries(&directory.fd).expect("entries");
            deed(&path);
            assert_eq!(directory.holds(&before).expect("look"), clean, "{what}");
        }
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_clean() {
        let dir = tempfile::tempdir().expect("dir");
        let missing = dir.path().join("missing");
        assert!(Traces::record(std::process::id() as i32, &[missing], &[], &[], Vec::new()).is_err());
        let mut traces = traces(dir.path());
        traces.texts.push((File::open("/proc/self/status").expect("status"), b"another text".to_vec()));
        assert!(!traces.none(SystemTime::now()));
    }
}
