//! The few system calls that rustix does not have: clone with a child function, a fork into namespaces, wait4, capabilities,
//! mount attributes. All unsafe code of the crate is here.
//! It must never be used by two threads at once: a fork copies what another is at. (That of `power` works while its caller waits.)
#![allow(unsafe_code)]

pub mod confinement;
pub mod inside;
pub mod landlock;
pub mod network;
mod raw;
pub mod start;

pub use super::posix::{move_to, new_session, raise_files_max, wait};
use super::program::Dead;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ffi::c_int;
use std::io;
use std::ptr;

/// One of a seccomp program.
pub use libc::sock_filter as Instruction;

/// Whether a process is on its way out: killed, and waiting for those in its PID namespace.
pub fn is_exiting(pid: i32) -> bool {
    // PF_EXITING of linux/sched.h.
    const EXITING: u64 = 0x4;
    flags_of(pid).is_none_or(|flags| flags & EXITING != 0)
}

/// Kinds of namespaces for `fork_into`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// Mount, PID and IPC: needs root.
    Root,
    /// The same below a new user namespace.
    User,
}

/// Forks. The child, process 1 of new namespaces, runs `body`, whose answer is its exit code; signals to an init wait for it. With `cut_off` it has a network
/// namespace of its own too.
///
/// # Errors
/// The namespaces are refused, or there is no room for a process.
pub fn fork_into(namespaces: Namespaces, cut_off: bool, body: impl FnOnce() -> i32) -> io::Result<(i32, OwnedFd)> {
    let mut flags = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_PIDFD | libc::SIGCHLD;
    if namespaces == Namespaces::User {
        flags |= libc::CLONE_NEWUSER;
    }
    if cut_off {
        flags |= libc::CLONE_NEWNET;
    }
    let mut pidfd: c_int = -1;
    // An init is deaf to what comes before it listens, unless it is blocked: then it waits.
    let before = block_init_signals();
    // SAFETY: without CLONE_VM and with no new stack this is fork: the child has its own copy of everything, and no other thread of
    // ours is at work, so that no lock is held by somebody who is not there. The trailing arguments are unused on all platforms.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, &mut pidfd, 0, 0) };
    let failed = io::Error::last_os_error();
    if pid != 0 {
        // SAFETY: the set is what was in force.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &before, ptr::null_mut()) };
    }
    match pid {
        ..0 => Err(failed),
        0 => {
            // A panic must not unwind into the copy of the runner's loop.
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
            // SAFETY: ends this process without running anything that belongs to the parent.
            unsafe { libc::_exit(code) }
        }
        // SAFETY: the kernel has just opened it for us.
        _ => Ok((pid as i32, unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

/// A child (-1: any) that has ended; it stays until `wait`.
pub fn dead(pid: i32) -> Option<Dead> {
    let which = if pid < 0 { libc::P_ALL } else { libc::P_PID };
    // SAFETY: all zeroes is a valid `siginfo_t`, which the call fills; both fields are set for an ended child.
    let (pid, code) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(which, pid.max(0) as libc::id_t, &mut info, flags) < 0 {
            return None;
        }
        (info.si_pid(), info.si_code)
    };
    // Without an ended child the structure stays empty.
    (pid > 0).then(|| Dead { pid, before_exec: code != libc::CLD_EXITED && never_executed(pid).unwrap_or(false) })
}

/// Whether the kernel says of an ended child that it was forked and nothing more. `None`: it does not say.
fn never_executed(pid: i32) -> Option<bool> {
    // PF_FORKNOEXEC of linux/sched.h, as accounting shows it too (AFORK in acct(5)).
    const FORKED_NO_EXEC: u64 = 0x40;
    flags_of(pid).map(|flags| flags & FORKED_NO_EXEC != 0)
}

/// Processor time of a process (its opened `stat` of /proc) and of those that it has buried, in microseconds; the kernel counts in
/// ticks.
pub fn spent_us(stat: &std::fs::File) -> Option<u64> {
    let mut bytes = [0; 1024];
    let length = std::os::unix::fs::FileExt::read_at(stat, &mut bytes, 0).ok()?;
    let text = String::from_utf8_lossy(&bytes[..length]);
    // Fields 14 to 17 (proc(5)); the second one, in parentheses, may hold spaces.
    let ticks = text.rsplit_once(')')?.1.split_whitespace().skip(11).take(4).map(|text| text.parse::<u64>().ok());
    Some(ticks.sum::<Option<u64>>()? * TICK_US)
}

/// `USER_HZ` is 100 on every machine that Linux runs on.
pub const TICK_US: u64 = 10_000;

/// The kernel's flags of a process.
fn flags_of(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Field 9 (proc(5)); the second one, in parentheses, may hold spaces.
    stat.rsplit_once(')')?.1.split_whitespace().nth(6)?.parse().ok()
}

/// Descendants whose parent died become our children, so that we see and end what a task left behind.
pub fn adopt_orphans() {
    // SAFETY: a plain prctl.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// Die when the parent does.
pub fn die_with_parent() {
    // SAFETY: a plain prctl.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Blocks the signals that an init waits for. Answers what was blocked before.
fn block_init_signals() -> libc::sigset_t {
    // SAFETY: both sets are initialised before use.
    unsafe {
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, &init_signals(), &mut before);
        before
    }
}

/// Waits for one of the blocked signals and answers it.
pub fn next_init_signal() -> i32 {
    // SAFETY: the set is initialised; no information is asked for.
    unsafe {
        let set = init_signals();
        libc::sigwaitinfo(&set, ptr::null_mut())
    }
}

fn init_signals() -> libc::sigset_t {
    // SAFETY: an all-zero set is valid and is initialised at once.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        libc::sigaddset(&mut set, libc::SIGTERM);
        set
    }
}

/// A pipe whose ends no program gets.
///
/// # Errors
/// As pipe(2).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// When this process began, as nobody else's life: boot id and start time.
///
/// # Errors
/// /proc cannot be read.
pub fn life() -> io::Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Field 22 (proc(5)); the second one, in parentheses, may hold spaces.
    let start = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)).unwrap_or("0");
    Ok(format!("{}/{start}", boot.trim()))
}

/// Closes every descriptor from `first` on.
pub fn close_from(first: RawFd) {
    // SAFETY: called where nothing above `first` is owned that would be used again: in an init, or before anything is opened.
    unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, libc::c_uint::MAX, 0) };
}

/// Makes a mount, and with `recursive` all below it, read-only.
///
/// # Errors
/// As mount_setattr(2) (Linux 5.12).
pub fn make_read_only(mount: BorrowedFd<'_>, recursive: bool) -> io::Result<()> {
    #[repr(C)]
    struct MountAttr {
        attr_set: u64,
        attr_clr: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attr = MountAttr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `attr` has the layout and size that are passed.
    let result = unsafe {
        libc::syscall(libc::SYS_mount_setattr, mount.as_raw_fd(), c"".as_ptr(), flags, &attr, size_of::<MountAttr>())
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A descriptor by its number.
pub fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // SAFETY: used in an init for the numbers that `move_to` filled, which stay open as long as it lives.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Takes a descriptor by its number.
pub fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: used once in an init, for a number that `move_to` filled and nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Sends a signal to one process.
pub fn signal_one(pidfd: BorrowedFd<'_>, signal: rustix::process::Signal) {
    // It may have ended.
    let _ = rustix::process::pidfd_send_signal(pidfd, signal);
}

/// Sends a signal to every process of a group. Whether there is one.
pub fn signal_group(group: i32, signal: i32) -> bool {
    // SAFETY: a plain system call.
    unsafe { libc::kill(-group, signal) == 0 }
}

/// Sends a signal to one process.
pub fn signal(pid: i32, signal: i32) {
    // SAFETY: a plain system call.
    unsafe { libc::kill(pid, signal) };
}

/// Moves this process into a mount namespace of its own.
///
/// # Errors
/// As unshare(2).
pub fn unshare_mounts() -> io::Result<()> {
    // SAFETY: changes what paths of this single-threaded process mean, no memory.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::start::start;
    use super::*;
    use crate::runner::program::{Program, Reaped, Setting, Status};
    use rustix::fd::AsFd;

    fn end_of(command: &str, cgroups: &[OwnedFd]) -> (Dead, Reaped) {
        let argv = ["sh", "-c", command].map(String::from);
        let program = Program::new("/bin/sh", &argv, &[], "/").expect("a program");
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
        let setting = Setting {
            stdin: null.as_fd(),
            stdout: null.as_fd(),
            stderr: null.as_fd(),
            cgroups,
            enter: None,
            confined: None,
            files_max: None,
            data_bytes_max: None,
            die_with_parent: false,
        };
        let child = start(program, &setting).expect("a child");
        let mut fds = [rustix::event::PollFd::new(&child.pidfd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, None).expect("its end");
        let dead = dead(child.pid).expect("it is dead");
        (dead, wait(child.pid, true).expect("wait").expect("it is there still"))
    }

    #[test]
    fn a_death_before_exec_is_told_from_one_after_it() {
        let (dead, reaped) = end_of("kill -9 $$", &[]);
        assert_eq!((dead.before_exec, reaped.status), (false, Status::Signalled(libc::SIGKILL)));
        let (dead, reaped) = end_of("exit 3", &[]);
        assert_eq!((dead.before_exec, reaped.status), (false, Status::Exited(3)));
        // The child's first write is to a pipe that nobody reads; it dies of that.
        let (_, unread) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
        // SAFETY: what Rust's runtime set is set again; other tests of this crate write to no broken pipe.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (dead, reaped) = end_of("exit 0", &[unread]);
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
        assert_eq!((dead.before_exec, reaped.status), (true, Status::Signalled(libc::SIGPIPE)));
    }
}
