//! The directories of attempts: how they are removed, whatever a task left in them.
//! It must never follow a link out of them.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::fs;
use std::path::Path;

/// Directories below one another that are held open. What lies deeper, and a task can make it as deep as the disk is large, is moved
/// to the top and removed from there, so that neither descriptors nor the stack come to an end.
const DEPTH_MAX: u32 = 32;

/// Removes a directory with all that is in it. What cannot be removed stays; the next sweep tries again.
pub fn remove(path: &Path) {
    let top = match open(CWD, path) {
        Ok(top) => top,
        Err(Errno::NOENT) => return,
        Err(_) => {
            // Not a directory.
            let _ = fs::remove_file(path);
            return;
        }
    };
    let mut moved = 0;
    loop {
        let before = moved;
        empty(&top, &top, 0, &mut moved);
        if moved == before {
            break;
        }
    }
    let _ = fs::remove_dir(path);
}

/// Removes what is in `dir`; what is too deep or cannot be removed is still there, the first at `top`.
fn empty(dir: &OwnedFd, top: &OwnedFd, depth: u32, moved: &mut u64) {
    let before = *moved;
    for (name, kind) in entries(dir) {
        if kind != FileType::Directory && rustix::fs::unlinkat(dir, &name, AtFlags::empty()) != Err(Errno::ISDIR) {
            continue;
        }
        let removed = || rustix::fs::unlinkat(dir, &name, AtFlags::REMOVEDIR);
        if depth == DEPTH_MAX {
            if removed().is_err() {
                // A directory is moved by those who may write in it.
                let _ = rustix::fs::chmodat(dir, &name, Mode::RWXU, AtFlags::empty());
                // Some names may be taken by what was moved before, or by a task.
                loop {
                    *moved += 1;
                    match rustix::fs::renameat(dir, &name, top, format!("deep-{moved}")) {
                        Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                        Err(_) => return *moved = before,
                        Ok(()) => break,
                    }
                }
            }
        } else if let Ok(below) = open(dir, &name) {
            empty(&below, top, depth + 1, moved);
            let _ = removed();
        }
    }
}

/// Opens a directory, no link. Directories without permissions (an overlay's work directory, a task's chmod) hold up whoever is not
/// root.
fn open(at: impl AsFd, name: impl rustix::path::Arg + Copy) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(&at, name, flags, Mode::empty());
    let closed = match &opened {
        Ok(dir) => rustix::fs::fstat(dir).is_ok_and(|stat| stat.st_mode & 0o700 != 0o700),
        Err(error) => *error == Errno::ACCESS,
    };
    if !closed {
        return opened;
    }
    let kind = rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode;
    if FileType::from_raw_mode(kind).is_dir() {
        // Nobody else works in here: what was a directory still is one.
        let _ = rustix::fs::chmodat(&at, name, Mode::RWXU, AtFlags::empty());
    }
    opened.or_else(|_| rustix::fs::openat(&at, name, flags, Mode::empty()))
}

fn entries(dir: &OwnedFd) -> Vec<(CString, FileType)> {
    let Ok(listed) = Dir::read_from(dir) else { return Vec::new() };
    let named = listed.flatten().map(|entry| (entry.file_name().to_owned(), entry.file_type()));
    named.filter(|(name, _)| !matches!(name.to_bytes(), b"." | b"..")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_that_is_deeper_than_a_path_is_long_is_removed() {
        let dir = tempfile::tempdir().expect("dir");
        let root = dir.path().join("root");
        fs::create_dir(&root).expect("root");
        fs::create_dir(root.join("deep-0")).expect("a name of ours");
        fs::write(root.join("deep-0/file"), "").expect("file");
        let mut at = open(CWD, &root).expect("root");
        for depth in 0..2500 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).expect("a directory");
            at = open(&at, "d").expect("it");
            if depth % 7 == 0 {
                rustix::fs::mkdirat(&at, "beside", Mode::RWXU).expect("another");
            }
        }
        remove(&root);
        assert!(!root.exists());
    }

    #[test]
    fn closed_directories_are_removed_and_links_not_followed() {
        let dir = tempfile::tempdir().expect("dir");
        let (inside, outside) = (dir.path().join("in/closed"), dir.path().join("out"));
        fs::create_dir_all(&inside).expect("in");
        fs::create_dir_all(&outside).expect("out");
        fs::write(inside.join("file"), "x").expect("file");
        std::os::unix::fs::symlink(&outside, dir.path().join("in/link")).expect("link");
        fs::set_permissions(&inside, fs::Permissions::from_mode(0o000)).expect("mode");
        remove(&dir.path().join("in"));
        assert!(!dir.path().join("in").exists() && outside.is_dir());
    }
}
