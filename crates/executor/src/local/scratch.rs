//! The directories of attempts: how they are removed, whatever a task left in them.
//! It must never follow a link out of them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Removes a directory with all that is in it. What cannot be removed stays; the next sweep tries again.
pub(crate) fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            open_up(path);
            let _ = fs::remove_dir_all(path);
        }
        _ => {}
    }
}

/// Directories without permissions (an overlay's work directory, a task's chmod) hold up whoever is not root.
fn open_up(path: &Path) {
    let Ok(kind) = fs::symlink_metadata(path) else { return };
    if !kind.is_dir() {
        return;
    }
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        open_up(&entry.path());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
