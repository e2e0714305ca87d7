//! Where `cp` puts what it copies: at a name of its own first, and from there in one step.
//! It must never replace anything without being told to, nor show a part of it.

use crate::exit_codes::Fault;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The path to write: `to` itself, or `name` in it if it is a directory.
///
/// # Errors
/// It exists and `force` is not set; or its directory does not.
pub fn destination(to: &str, name: &str, force: bool) -> Result<PathBuf, Fault> {
    let path = Path::new(to);
    let path = if path.is_dir() {
        path.join(name)
    } else if to.ends_with('/') {
        return Err(Fault::usage(format!("there is no directory {to}; make it first")));
    } else {
        path.to_path_buf()
    };
    if fs::symlink_metadata(&path).is_ok() && !force {
        return Err(exists(&path));
    }
    let parent = directory(&path);
    if !parent.is_dir() {
        return Err(Fault::usage(format!("there is no directory {}; make it first", parent.display())));
    }
    Ok(path)
}

fn exists(path: &Path) -> Fault {
    Fault::usage(format!("{} exists; --force replaces it", path.display()))
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Lets `fill` make something beside the path, and moves it there when it is whole.
///
/// # Errors
/// `fill`'s; something appeared at the path meanwhile; it cannot be moved.
pub fn whole<T>(path: &Path, force: bool, fill: impl FnOnce(&Path) -> Result<T, Fault>) -> Result<T, Fault> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory(path).join(format!(".{name}.towpath-{}", std::process::id()));
    remove(&temporary);
    let filled = fill(&temporary).and_then(|made| place(&temporary, path, force).map(|()| made));
    // What is left: a part of it, or what it replaced.
    remove(&temporary);
    filled
}

fn place(temporary: &Path, path: &Path, force: bool) -> Result<(), Fault> {
    let fail = |error: io::Error| Fault::machine(format!("{}: {error}", path.display()));
    let Ok(old) = fs::symlink_metadata(path) else { return new(temporary, path) };
    if !force {
        return Err(exists(path));
    }
    let is_directory = fs::symlink_metadata(temporary).map_err(fail)?.is_dir();
    match (is_directory, old.is_dir()) {
        (false, false) => fs::rename(temporary, path).map_err(fail),
        (true, true) => renameat_with(CWD, temporary, CWD, path, RenameFlags::EXCHANGE).map_err(|e| fail(e.into())),
        (true, false) => Err(Fault::usage(format!("{} is no directory, and what is copied is one", path.display()))),
        (false, true) => Err(Fault::usage(format!("{} is a directory, and what is copied is none", path.display()))),
    }
}

fn new(temporary: &Path, path: &Path) -> Result<(), Fault> {
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => Err(exists(path)),
        // A file system that cannot say it.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::rename(temporary, path).map_err(|error| Fault::machine(format!("{}: {error}", path.display())))
        }
        other => other.map_err(|error| Fault::machine(format!("{}: {error}", path.display()))),
    }
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(kind) if kind.is_dir() => drop(fs::remove_dir_all(path)),
        Ok(_) => drop(fs::remove_file(path)),
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_replaced_unless_told_and_nothing_half_made_stays() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("x");
        let write = |text: &'static str| move |to: &Path| fs::write(to, text).map_err(Fault::machine);
        whole(&path, false, write("one")).expect("new");
        assert!(destination(path.to_str().expect("text"), "n", false).is_err());
        assert!(whole(&path, false, write("two")).is_err());
        assert_eq!(fs::read(&path).expect("x"), b"one");
        whole(&path, true, write("three")).expect("forced");
        assert_eq!(fs::read(&path).expect("x"), b"three");
        let half = |to: &Path| -> Result<(), Fault> {
            fs::write(to, "half").map_err(Fault::machine)?;
            Err(Fault::machine("no space left"))
        };
        assert!(whole(&dir.path().join("y"), false, half).is_err());
        assert!(whole(&path, true, |to: &Path| fs::create_dir(to).map_err(Fault::machine)).is_err());
        assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 1);
    }

    #[test]
    fn a_directory_takes_the_place_of_another_at_once() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("d");
        fs::create_dir_all(path.join("old")).expect("old");
        whole(&path, true, |to: &Path| fs::create_dir_all(to.join("new")).map_err(Fault::machine)).expect("forced");
        assert!(path.join("new").is_dir() && !path.join("old").exists());
        assert_eq!(fs::read_dir(dir.path()).expect("dir").count(), 1);
        assert_eq!(destination(dir.path().to_str().expect("text"), "n", false).expect("in it"), dir.path().join("n"));
        assert!(destination(dir.path().join("no/n").to_str().expect("text"), "n", false).is_err());
    }
}
