//! Private copies of files: a reflink where the file system has them, else a copy of the bytes.
//! It must never make a hard link: whoever writes to the copy would write into the store.

use crate::error::{ArtifactError, At};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Copies the regular file `from` to `to`, which must not exist. The copy is writable, and executable where `from` is.
/// Nothing is left at `to` when it fails.
pub(crate) fn private(from: &Path, to: &Path) -> Result<(), ArtifactError> {
    let mut source = File::open(from).at(from)?;
    let executable = source.metadata().at(from)?.permissions().mode() & 0o100 != 0;
    let mut target = create_new(to, if executable { 0o777 } else { 0o666 })?;
    let copied = if reflink(&source, &target) { Ok(()) } else { io::copy(&mut source, &mut target).map(drop) };
    copied.map_err(|error| {
        let _ = std::fs::remove_file(to);
        ArtifactError::io(to, error)
    })
}

/// Creates a file; the umask applies to `mode`.
pub(crate) fn create_new(path: &Path, mode: u32) -> Result<File, ArtifactError> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path).at(path)
}

/// True if `target` now shares all of `source`'s blocks.
pub(crate) fn reflink(source: &File, target: &File) -> bool {
    #[cfg(target_os = "linux")]
    return rustix::fs::ioctl_ficlone(target, source).is_ok();
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (source, target);
        false
    }
}

/// Syncs the whole file system that `directory` is on. False where the system cannot.
///
/// # Errors
/// As open(2) and syncfs(2).
pub fn sync_file_system(directory: &Path) -> io::Result<bool> {
    #[cfg(target_os = "linux")]
    {
        rustix::fs::syncfs(File::open(directory)?)?;
        Ok(true)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = directory;
        Ok(false)
    }
}

/// Sets the permission bits if they are not these already.
pub(crate) fn set_mode(path: &Path, mode_now: u32, mode: u32) -> Result<(), ArtifactError> {
    if mode_now & 0o7777 == mode {
        return Ok(());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).at(path)
}

/// The mode of a stored file.
pub(crate) fn stored_mode(executable: bool) -> u32 {
    if executable { 0o555 } else { 0o444 }
}
