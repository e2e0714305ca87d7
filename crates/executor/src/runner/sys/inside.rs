//! A look from within the namespaces of another process: a child that shares our memory and our descriptors joins them, opens files
//! for us, and is gone. Nobody comes back out of a user namespace, so that it cannot be us.
//! It must never touch memory other than what it is given, nor outlive the call.

use super::Namespaces;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, RawFd};
use std::ffi::{CStr, c_int, c_void};
use std::fs::File;
use std::io;
use std::ptr;

struct Look<'a> {
    process: RawFd,
    namespaces: c_int,
    paths: &'a [&'a CStr],
    /// As many as there are paths.
    opened: &'a mut [RawFd],
    errno: c_int,
}

/// A handful of system calls is made on it.
const STACK_BYTES: usize = 16 << 10;

/// Opens files to read, as a process of this IPC namespace (its pidfd) sees them.
///
/// # Errors
/// The namespace cannot be joined, or a file not be opened.
pub fn open_in_ipc(process: BorrowedFd<'_>, kind: Namespaces, paths: &[&CStr]) -> io::Result<Vec<File>> {
    let user = if kind == Namespaces::User { libc::CLONE_NEWUSER } else { 0 };
    let mut opened = vec![-1; paths.len()];
    let process = process.as_raw_fd();
    let mut look = Look { process, namespaces: user | libc::CLONE_NEWIPC, paths, opened: &mut opened, errno: 0 };
    let mut stack = vec![0_u128; STACK_BYTES / size_of::<u128>()];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
    // SAFETY: the child runs `look_inside` on its own stack while we are suspended (CLONE_VFORK), so that `look` and `stack` outlive
    // it; it only makes system calls and ends in _exit.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).cast::<c_void>();
        libc::clone(look_inside, top, flags, ptr::from_mut(&mut look).cast())
    };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    super::wait(pid, true)?;
    // SAFETY: written by the child through the shared memory, which it has left.
    let errno = unsafe { ptr::read_volatile(&look.errno) };
    // SAFETY: opened by the child in the table that we share with it, for us.
    let files = opened.into_iter().filter(|fd| *fd >= 0).map(|fd| unsafe { File::from_raw_fd(fd) }).collect();
    if errno == 0 { Ok(files) } else { Err(io::Error::from_raw_os_error(errno)) }
}

extern "C" fn look_inside(argument: *mut c_void) -> c_int {
    // SAFETY: `argument` is the `Look` of `open_in_ipc`, which is suspended and will not touch it until we are gone.
    unsafe {
        let look = &mut *argument.cast::<Look<'_>>();
        let mut failed = libc::setns(look.process, look.namespaces) < 0;
        for (path, fd) in look.paths.iter().zip(look.opened.iter_mut()) {
            if !failed {
                ptr::write_volatile(fd, libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC));
                failed = *fd < 0;
            }
        }
        if failed {
            ptr::write_volatile(&mut look.errno, *libc::__errno_location());
        }
        libc::_exit(0)
    }
}
