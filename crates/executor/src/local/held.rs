//! What lies in a directory in which others write while it is read: opened below a directory that is held, and copied from there.
//! It must never follow a link, nor look by a path for what it has opened.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A path whose beginning is ours to trust, and whose rest is not. The rest has no links in it: whoever finds one there has been led
/// elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub base: PathBuf,
    pub rest: PathBuf,
}

pub(crate) enum Opened {
    File(File),
    Dir(OwnedFd),
}

impl Place {
    /// # Errors
    /// There is a link on the way, or neither file nor directory at its end.
    pub fn open(&self) -> io::Result<Opened> {
        let base = rustix::fs::open(&self.base, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        opened(below(base.as_fd(), &self.rest).map_err(|error| self.led_away(error))?)
    }

    /// Copies what is there to `to`, which must not exist. Its setuid bits are left out.
    ///
    /// # Errors
    /// What could not be opened, read or written.
    pub fn copy(&self, to: &Path) -> io::Result<()> {
        copy(self.open()?, to)
    }

    fn led_away(&self, error: Errno) -> io::Error {
        match error {
            Errno::LOOP | Errno::NOTDIR => {
                let path = self.base.join(&self.rest);
                io::Error::other(format!("{} was exchanged for a link while it was collected", path.display()))
            }
            other => other.into(),
        }
    }
}

fn below(base: BorrowedFd<'_>, rest: &Path) -> rustix::io::Result<OwnedFd> {
    let rest = if rest.as_os_str().is_empty() { Path::new(".") } else { rest };
    match at_once(base, rest) {
        // An old kernel, a filter that does not know the call, or somebody renamed something meanwhile.
        Err(Errno::NOSYS | Errno::PERM | Errno::AGAIN) => step_by_step(base, rest),
        other => other,
    }
}

#[cfg(target_os = "linux")]
fn at_once(base: BorrowedFd<'_>, rest: &Path) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(base, rest, READ, Mode::empty(), resolve)
}

#[cfg(not(target_os = "linux"))]
fn at_once(_base: BorrowedFd<'_>, _rest: &Path) -> rustix::io::Result<OwnedFd> {
    Err(Errno::NOSYS)
}

/// The same with what every system has: each name by itself, below the directory before it.
fn step_by_step(base: BorrowedFd<'_>, rest: &Path) -> rustix::io::Result<OwnedFd> {
    let mut at = rustix::fs::openat(base, ".", READ | OFlags::DIRECTORY, Mode::empty())?;
    let names: Vec<&OsStr> = rest
        .components()
        .filter_map(|part| match part {
            Component::CurDir => None,
            part => Some(part.as_os_str()),
        })
        .collect();
    for (index, name) in names.iter().enumerate() {
        if *name == ".." || name.as_bytes().contains(&b'/') {
            return Err(Errno::XDEV);
        }
        let directory = if index + 1 < names.len() { OFlags::DIRECTORY } else { OFlags::empty() };
        at = rustix::fs::openat(&at, *name, READ | directory, Mode::empty())?;
    }
    Ok(at)
}

fn opened(fd: OwnedFd) -> io::Result<Opened> {
    match FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
        FileType::RegularFile => Ok(Opened::File(File::from(fd))),
        FileType::Directory => Ok(Opened::Dir(fd)),
        _ => Err(io::Error::other("it is neither file, directory nor link")),
    }
}

fn copy(from: Opened, to: &Path) -> io::Result<()> {
    let dir = match from {
        Opened::File(file) => return copy_file(&file, to),
        Opened::Dir(dir) => dir,
    };
    fs::create_dir(to)?;
    for entry in Dir::read_from(&dir)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let out = to.join(name);
        let kind = rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(kind.st_mode) == FileType::Symlink {
            let target = rustix::fs::readlinkat(&dir, name, Vec::new())?;
            symlink(OsStr::from_bytes(target.to_bytes()), &out)?;
            continue;
        }
        let inside = rustix::fs::openat(&dir, name, READ, Mode::empty()).map_err(io::Error::from);
        let copied = inside.and_then(opened).and_then(|inside| copy(inside, &out));
        copied.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", name.to_string_lossy())))?;
    }
    let mode = rustix::fs::fstat(&dir)?.st_mode;
    rustix::fs::chmod(to, Mode::from_raw_mode(mode & 0o777 | 0o700)).map_err(io::Error::from)
}

/// One that grows is copied as long as it was.
fn copy_file(from: &File, to: &Path) -> io::Result<()> {
    let kind = from.metadata()?;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut from.take(kind.len()), &mut target)?;
    target.set_permissions(fs::Permissions::from_mode(kind.mode() & 0o777))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Open = fn(BorrowedFd<'_>, &Path) -> rustix::io::Result<OwnedFd>;

    fn read(open: Open, base: &Path, rest: &str) -> rustix::io::Result<String> {
        let base = rustix::fs::open(base, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let mut text = String::new();
        File::from(open(base.as_fd(), Path::new(rest))?).read_to_string(&mut text).expect("text");
        Ok(text)
    }

    #[test]
    fn no_link_on_the_way_is_followed_whichever_way_it_is_opened() {
        let dir = tempfile::tempdir().expect("a directory");
        let (base, secret) = (dir.path().join("base"), dir.path().join("secret"));
        for made in [&base.join("d/e"), &secret.join("e")] {
            fs::create_dir_all(made).expect("made");
        }
        fs::write(base.join("d/e/x"), "a task").expect("x");
        fs::write(secret.join("e/x"), "secret").expect("x");
        for open in [below as Open, step_by_step as Open] {
            assert_eq!(read(open, &base, "d/e/x").as_deref(), Ok("a task"));
        }
        // What was a directory when it was looked at is a link when it is opened.
        fs::rename(base.join("d"), base.join("away")).expect("renamed");
        for target in [secret.clone(), "../secret".into(), base.join("away")] {
            symlink(&target, base.join("d")).expect("a link");
            for open in [below as Open, step_by_step as Open] {
                let found = read(open, &base, "d/e/x");
                assert!(matches!(found, Err(Errno::LOOP | Errno::NOTDIR)), "{}: {found:?}", target.display());
            }
            let place = Place { base: base.clone(), rest: "d/e".into() };
            let error = place.copy(&dir.path().join("copy")).expect_err("a link");
            assert!(error.to_string().contains("exchanged for a link"), "{error}");
            fs::remove_file(base.join("d")).expect("removed");
        }
        for open in [below as Open, step_by_step as Open] {
            assert!(read(open, &base, "../secret/e/x").is_err());
        }
    }

    #[test]
    fn a_copy_has_files_directories_and_links_and_no_power() {
        let dir = tempfile::tempdir().expect("a directory");
        let base = dir.path().join("base");
        fs::create_dir_all(base.join("d/e")).expect("made");
        fs::write(base.join("d/e/x"), "text").expect("x");
        fs::set_permissions(base.join("d/e/x"), fs::Permissions::from_mode(0o4755)).expect("setuid");
        symlink("/etc/passwd", base.join("d/link")).expect("a link");
        let to = dir.path().join("copy");
        Place { base: base.clone(), rest: "d".into() }.copy(&to).expect("copied");
        assert_eq!(fs::read_to_string(to.join("e/x")).expect("x"), "text");
        assert_eq!(fs::metadata(to.join("e/x")).expect("x").mode() & 0o7777, 0o755);
        assert_eq!(fs::read_link(to.join("link")).expect("a link"), Path::new("/etc/passwd"));
        // Neither waited for, nor copied.
        rustix::fs::mkfifoat(rustix::fs::CWD, base.join("d/fifo"), Mode::RWXU).expect("a pipe");
        let error = Place { base, rest: "d".into() }.copy(&dir.path().join("other")).expect_err("a pipe");
        assert!(error.to_string().contains("fifo: it is neither"), "{error}");
    }
}
