//! What an attempt can leave in a sandbox, and how it is found: files, changed directories, processes, System V IPC (DESIGN §5).
//! It must never take for clean what it could not look at.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// More than any of the files in /proc has that are compared.
const LOOK_BYTES: usize = 4096;

/// A sandbox as it was before its first task.
pub struct Traces {
    directories: Vec<Directory>,
    /// What is there for every task, and can be given another mode or owner.
    nodes: Vec<(OwnedFd, (u32, u32, u32))>,
    /// The init's children: what is left there has lost its parent.
    children: File,
    /// What the kernel says of the sandbox, and said before: lists of System V shared memory, semaphores and queues, opened in its
    /// IPC namespace; how soon the init is killed when memory is short, which its tasks may change.
    texts: Vec<(File, Vec<u8>)>,
}

/// A directory in which only a task writes. Its times would tell as much with one call, but some file systems keep them in seconds.
struct Directory {
    fd: OwnedFd,
    look: Look,
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
    /// `init`: process 1 of the sandbox. `ipc`: its lists of System V objects.
    ///
    /// # Errors
    /// Something could not be looked at.
    pub fn record(init: i32, directories: &[PathBuf], nodes: &[PathBuf], mut ipc: Vec<File>) -> io::Result<Self> {
        let open = |path: &PathBuf| {
            let node = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            let standing = standing(&node)?;
            Ok((node, standing))
        };
        let nodes = nodes.iter().map(open).collect::<io::Result<_>>()?;
        let directories = directories.iter().map(|path| Directory::open(path)).collect::<io::Result<_>>()?;
        let children = File::open(format!("/proc/{init}/task/{init}/children"))?;
        ipc.push(File::open(format!("/proc/{init}/oom_score_adj"))?);
        let texts = ipc.into_iter().map(|file| read(&file).map(|text| (file, text))).collect::<io::Result<_>>()?;
        Ok(Self { directories, nodes, children, texts })
    }

    /// Whether a task that has ended left nothing.
    pub fn none(&self) -> bool {
        read(&self.children).is_ok_and(|pids| pids.is_empty())
            && self.texts.iter().all(|(file, before)| read(file).is_ok_and(|now| now == *before))
            && self.nodes.iter().all(|(node, before)| standing(node).is_ok_and(|now| now == *before))
            && self.directories.iter().all(|directory| directory.is_untouched().unwrap_or(false))
    }
}

impl Directory {
    fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let look = Look::of(&fd)?;
        Ok(Self { fd, look })
    }

    fn is_untouched(&self) -> io::Result<bool> {
        Ok(Look::of(&self.fd)? == self.look && is_empty(&self.fd)?)
    }
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
        Traces::record(std::process::id() as i32, &[directory.to_path_buf()], &[], Vec::new()).expect("recorded")
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
            let directory = Directory::open(&path).expect("open");
            deed(&path);
            assert_eq!(directory.is_untouched().expect("look"), clean, "{what}");
        }
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_clean() {
        let dir = tempfile::tempdir().expect("dir");
        let missing = dir.path().join("missing");
        assert!(Traces::record(std::process::id() as i32, &[missing], &[], Vec::new()).is_err());
        let mut traces = traces(dir.path());
        traces.texts.push((File::open("/proc/self/status").expect("status"), b"another text".to_vec()));
        assert!(!traces.none());
    }
}
