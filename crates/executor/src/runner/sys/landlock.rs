//! Landlock's three system calls (landlock(7)).
//! It must never know what the rules are for.

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ffi::{c_int, c_long};
use std::io;
use std::ptr;

// Rights over files, as linux/landlock.h numbers them.
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
/// From here on: removing, making of each kind; of the second version renaming between directories, of the third truncating, of the
/// fifth commands to devices.
const RIGHTS: [u32; 5] = [13, 14, 15, 15, 16];
/// Of a file that is no directory.
const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | 1 << 15;

/// Abstract sockets and signals of processes outside.
const SCOPES: u64 = 3;
const SCOPES_FROM: i32 = 6;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the numbers of Landlock's system calls are those of x86_64 and aarch64");
const CREATE: c_long = 444;
const ADD: c_long = 445;
const RESTRICT: c_long = 446;

/// What may be done below a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read, and executed.
    Read,
    Write,
}

/// Rules that a process can give itself.
pub struct Ruleset {
    fd: OwnedFd,
    handled: u64,
}

/// The version that the kernel has; 0 for none.
pub fn version() -> i32 {
    const VERSION: c_int = 1;
    // SAFETY: with this flag nothing is read.
    let answer = unsafe { libc::syscall(CREATE, ptr::null::<u8>(), 0, VERSION) };
    i32::try_from(answer).unwrap_or(0).max(0)
}

impl Ruleset {
    /// Under which everything is refused that the kernel's version knows. `None`: there is no Landlock.
    ///
    /// # Errors
    /// As landlock_create_ruleset(2).
    pub fn new() -> io::Result<Option<Self>> {
        #[repr(C)]
        struct Attributes {
            files: u64,
            network: u64,
            scopes: u64,
        }
        let version = version();
        let Some(known) = usize::try_from(version - 1).ok() else { return Ok(None) };
        let handled = (1 << RIGHTS[known.min(RIGHTS.len() - 1)]) - 1;
        let scopes = if version >= SCOPES_FROM { SCOPES } else { 0 };
        let attributes = Attributes { files: handled, network: 0, scopes };
        // An older kernel takes no longer structure, unless the rest is 0, which it is.
        // SAFETY: the structure is as long as is said.
        let fd = unsafe { libc::syscall(CREATE, &attributes, size_of::<Attributes>(), 0) };
        let fd = c_int::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the kernel has just opened it for us.
        Ok(Some(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) }, handled }))
    }

    /// Allows something below `path` (opened, `O_PATH` is enough).
    ///
    /// # Errors
    /// As landlock_add_rule(2).
    pub fn allow(&self, path: BorrowedFd<'_>, is_directory: bool, access: Access) -> io::Result<()> {
        #[repr(C, packed)]
        struct Below {
            allowed: u64,
            parent: c_int,
        }
        const PATH_BENEATH: c_int = 1;
        let wanted = match access {
            Access::Read => EXECUTE | READ_FILE | READ_DIR,
            Access::Write => u64::MAX,
        };
        let wanted = wanted & self.handled & if is_directory { u64::MAX } else { OF_FILES };
        let below = Below { allowed: wanted, parent: path.as_raw_fd() };
        // SAFETY: the structure is that of this kind of rule.
        let added = unsafe { libc::syscall(ADD, self.fd.as_raw_fd(), PATH_BENEATH, &below, 0) };
        if added < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        rustix::fd::AsFd::as_fd(&self.fd)
    }
}

/// For this process and all that come from it, for ever. Only a system call.
pub(super) unsafe fn restrict(ruleset: RawFd) -> Result<(), c_int> {
    // SAFETY: a plain system call on an open descriptor.
    unsafe { super::raw::call(RESTRICT, [ruleset as usize, 0, 0, 0, 0]) }.map(drop)
}
