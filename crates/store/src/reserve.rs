//! Space that is kept for a full disk: a file beside the store, given up so that a run can still be ended, resumed or deleted.
//! It must never hold anything.

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Hundreds of such transitions, and the copy of the pages that they change.
pub(crate) const RESERVE_BYTES: u64 = 2 << 20;
/// Where the file system cannot allocate: a block of what is written instead. Not zeros, which some do not store.
const BLOCK: [u8; 4096] = [0x52; 4096];

pub(crate) struct Reserve {
    path: PathBuf,
    held: u64,
    given_up: u64,
}

impl Reserve {
    /// The reserve of the store at `store`, as an earlier process left it.
    pub fn of(store: &Path) -> Self {
        let path = store.with_file_name("reserve");
        let held = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Self { path, held, given_up: 0 }
    }

    /// Holds more of what is free, up to its size; most of a small disk stays free. A disk without space is no error: it is
    /// tried again.
    pub fn grow(&mut self) {
        self.hold(|held, free| RESERVE_BYTES.min(held + free / 4));
    }

    /// Holds again what is left of what was given up.
    pub fn take_back(&mut self) {
        let given_up = self.given_up;
        self.hold(|_, free| given_up.min(free));
    }

    fn hold(&mut self, wanted: impl FnOnce(u64, u64) -> u64) {
        if self.held >= RESERVE_BYTES {
            return;
        }
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&self.path);
        let Ok(mut file) = file else { return };
        let free = fstatvfs(&file).map_or(0, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        let wanted = wanted(self.held, free);
        if wanted > self.held && allocate(&mut file, wanted).is_err() {
            // Others were faster.
            let _ = file.set_len(self.held);
        }
        self.held = file.metadata().map_or(0, |metadata| metadata.len());
    }

    /// Frees it. False if there was nothing to free.
    pub fn give_up(&mut self) -> bool {
        if self.held == 0 {
            return false;
        }
        let freed = OpenOptions::new().write(true).open(&self.path).and_then(|file| file.set_len(0)).is_ok();
        if freed {
            self.given_up = std::mem::take(&mut self.held);
        }
        freed
    }
}

fn allocate(file: &mut File, bytes: u64) -> io::Result<()> {
    match fallocate(&*file, FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            (0..bytes / BLOCK.len() as u64).try_for_each(|_| file.write_all(&BLOCK))
        }
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_held_given_up_and_held_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store.db");
        let mut reserve = Reserve::of(&store);
        assert!(!reserve.give_up());
        for _ in 0..2 {
            reserve.grow();
            assert_eq!(fs::metadata(&reserve.path).unwrap().len(), RESERVE_BYTES);
            assert!(Reserve::of(&store).give_up());
            reserve = Reserve::of(&store);
            assert!(!reserve.give_up());
            reserve.grow();
            assert!(reserve.give_up());
            reserve.take_back();
            assert_eq!(fs::metadata(&reserve.path).unwrap().len(), RESERVE_BYTES);
        }
    }
}
