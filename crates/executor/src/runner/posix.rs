//! System calls without a safe door that every system of POSIX has.
//! It must never need more than POSIX, and wait4.
#![allow(unsafe_code)]

use super::program::{Reaped, Status};
use rustix::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ffi::c_int;
use std::io;

/// Reaps a child (-1: any). `None`: none has ended, or there is none.
///
/// # Errors
/// As wait4(2); no child is not one.
pub fn wait(pid: i32, block: bool) -> io::Result<Option<Reaped>> {
    let mut status: c_int = 0;
    loop {
        // SAFETY: both out-parameters are valid for the call.
        let (got, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(pid, &mut status, if block { 0 } else { libc::WNOHANG }, &mut usage), usage)
        };
        if got > 0 {
            return Ok(Some(reaped(got, status, &usage)));
        }
        if got == 0 {
            return Ok(None);
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EINTR) => {}
            error if error.raw_os_error() == Some(libc::ECHILD) => return Ok(None),
            error => return Err(error),
        }
    }
}

fn reaped(pid: c_int, status: c_int, usage: &libc::rusage) -> Reaped {
    let us = |t: libc::timeval| t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64;
    let status = if libc::WIFSIGNALED(status) {
        Status::Signalled(libc::WTERMSIG(status))
    } else {
        Status::Exited(libc::WEXITSTATUS(status))
    };
    // POSIX has no unit for it.
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    let memory_peak_bytes = (usage.ru_maxrss as u64).saturating_mul(unit);
    Reaped { pid, status, cpu_us: us(usage.ru_utime) + us(usage.ru_stime), memory_peak_bytes }
}

/// Lets this process open as many files as it ever may. Answers the limit before, which is the tasks'.
pub fn raise_files_max() -> Option<libc::rlimit> {
    // SAFETY: the structure is valid for both calls.
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) < 0 {
            return None;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        (libc::setrlimit(libc::RLIMIT_NOFILE, &raised) == 0).then_some(limit)
    }
}

/// Moves `fd` to the number `to`, which stays open across exec.
///
/// # Errors
/// As dup2(2).
pub fn move_to(fd: BorrowedFd<'_>, to: RawFd) -> io::Result<()> {
    // SAFETY: replaces a descriptor that nobody owns as an `OwnedFd` in this process.
    if unsafe { libc::dup2(fd.as_raw_fd(), to) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Leaves the session and terminal of whoever started us. Fails, without harm, if we lead a group already.
pub fn new_session() {
    // SAFETY: a plain system call.
    unsafe { libc::setsid() };
}

/// Memory that this machine has.
pub fn memory_bytes() -> Option<u64> {
    // SAFETY: plain calls.
    let (pages, bytes) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    u64::try_from(pages).ok()?.checked_mul(u64::try_from(bytes).ok()?).filter(|bytes| *bytes > 0)
}
