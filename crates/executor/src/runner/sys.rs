//! The few system calls that rustix does not have: clone with a child function, a fork into namespaces, wait4, capabilities,
//! mount attributes. All unsafe code of the crate is here.
//! It must never be used by a process with more than one thread: the children share or copy its memory.
#![allow(unsafe_code)]

pub mod landlock;
pub mod network;

pub use super::posix::{move_to, new_session, raise_files_max, wait};
use super::program::{Dead, Enter, Program, Setting, Stage};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::ptr;

/// One of a seccomp program.
pub use libc::sock_filter as Instruction;

struct Child<'a> {
    program: &'a Program,
    setting: &'a Setting<'a>,
    parent: c_int,
    failed: Option<(Stage, c_int)>,
}

/// The child makes a handful of system calls on it.
const STACK_BYTES: usize = 16 << 10;

/// Starts a program in a session of its own and answers its pid and pidfd. The caller stands still until the exec: the
/// child runs in its memory, as with vfork, so that the cost does not grow with the caller.
///
/// # Errors
/// The stage and the errno.
pub fn start(program: &Program, setting: &Setting<'_>) -> Result<(i32, OwnedFd), (Stage, io::Error)> {
    // SAFETY: getpid cannot fail.
    let parent = unsafe { libc::getpid() };
    let mut child = Child { program, setting, parent, failed: None };
    let mut stack = vec![0_u128; STACK_BYTES / 16];
    let mut pidfd: c_int = -1;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    // A PID namespace is joined by children, not by the caller.
    if let Some(Enter::Sandbox { init, .. }) = setting.enter {
        join(init, libc::CLONE_NEWPID).map_err(|error| (Stage::Clone, error))?;
    }
    // SAFETY: the child runs `in_child` on its own stack while we are suspended (CLONE_VFORK), so that `child` and `stack`
    // outlive it; it only makes system calls and ends in execve or _exit. We have one thread, so nobody else sees its writes.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).cast::<c_void>();
        libc::clone(in_child, top, flags, ptr::from_mut(&mut child).cast(), &mut pidfd)
    };
    let failed = io::Error::last_os_error();
    if let Some(Enter::Sandbox { back, .. }) = setting.enter
        && let Err(error) = join(back, libc::CLONE_NEWPID)
    {
        // Everything that we start from now on would be in a task's sandbox, and end with it.
        crate::own_log::say(format!("runner: there is no way back from a sandbox's PID namespace: {error}"));
        std::process::abort();
    }
    if pid < 0 {
        return Err((Stage::Clone, failed));
    }
    // SAFETY: the kernel has just opened it for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // Written by the child through the shared memory: the compiler must not assume the old value.
    // SAFETY: `child` is alive and the child process has left this memory.
    match unsafe { ptr::read_volatile(&child.failed) } {
        None => Ok((pid, pidfd)),
        Some((stage, errno)) => {
            let _ = wait(pid, true);
            Err((stage, io::Error::from_raw_os_error(errno)))
        }
    }
}

extern "C" fn in_child(argument: *mut c_void) -> c_int {
    // SAFETY: `argument` is the `Child` of `start`, which is suspended and will not touch it until we are gone.
    unsafe {
        let child = &mut *argument.cast::<Child<'_>>();
        let stage = prepare_child(child).err();
        let stage = stage.unwrap_or_else(|| {
            libc::execve(child.program.path.as_ptr(), child.program.argv.as_ptr(), child.program.envp.as_ptr());
            Stage::Exec
        });
        ptr::write_volatile(&mut child.failed, Some((stage, *libc::__errno_location())));
        libc::_exit(127)
    }
}

/// Only system calls: no allocation, no locks, no panics.
unsafe fn prepare_child(child: &Child<'_>) -> Result<(), Stage> {
    let setting = child.setting;
    let check = |result: c_int, stage: Stage| if result < 0 { Err(stage) } else { Ok(()) };
    // SAFETY: plain system calls on descriptors and memory that outlive the call.
    unsafe {
        if setting.die_with_parent {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), Stage::Setup)?;
            if libc::getppid() != child.parent {
                libc::_exit(127);
            }
        }
        libc::setsid();
        for cgroup in setting.cgroups {
            check(libc::write(cgroup.as_raw_fd(), c"0".as_ptr().cast(), 1) as c_int, Stage::Setup)?;
        }
        let entered = match setting.enter {
            None => 0,
            Some(Enter::Mounts(mounts)) => libc::setns(mounts.as_raw_fd(), libc::CLONE_NEWNS),
            Some(Enter::Sandbox { init, .. }) => libc::setns(init.as_raw_fd(), libc::CLONE_NEWNS | libc::CLONE_NEWIPC),
        };
        check(entered, Stage::Setup)?;
        if setting.no_new_privileges {
            check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), Stage::Setup)?;
        }
        if let Some(rules) = setting.rules {
            check(landlock::restrict(rules), Stage::Setup)?;
        }
        if let Some(keep) = setting.capabilities {
            // A session keyring of its own: keys outlive the processes that made them.
            libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, ptr::null::<c_char>());
            check(install(setting.filter), Stage::Setup)?;
            check(keep_capabilities(keep), Stage::Setup)?;
        }
        if let Some(bytes) = setting.data_bytes_max {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            check(libc::setrlimit(libc::RLIMIT_DATA, &limit), Stage::Setup)?;
        }
        for (fd, to) in [(setting.stdin, 0), (setting.stdout, 1), (setting.stderr, 2)] {
            check(libc::dup2(fd.as_raw_fd(), to), Stage::Setup)?;
        }
        // Whatever else is open here, the program does not get it. (The table of descriptors is the child's own.)
        // A kernel before 5.11 cannot; what we have open ourselves is closed on exec anyway.
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
        if let Some(limit) = setting.files_max {
            check(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), Stage::Setup)?;
        }
        // Rust ignores SIGPIPE; an ignored signal would stay ignored across exec.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
        check(libc::chdir(child.program.dir.as_ptr()), Stage::Directory)
    }
}

/// While we have the power to do so for programs that may gain privileges, as setuid ones.
unsafe fn install(filter: &[libc::sock_filter]) -> c_int {
    if filter.is_empty() {
        return 0;
    }
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions, which outlive the call.
    unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &program) as c_int }
}

/// Joins a namespace, or those of a process whose pidfd it is.
fn join(namespace: BorrowedFd<'_>, what: c_int) -> io::Result<()> {
    // SAFETY: a plain system call on an open descriptor.
    if unsafe { libc::setns(namespace.as_raw_fd(), what) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Runs `work` in the IPC namespace of a process (its pidfd), and comes back to `own`.
///
/// # Errors
/// Those of `work`, and that the namespace cannot be joined.
pub fn within<T>(process: BorrowedFd<'_>, own: BorrowedFd<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    join(process, libc::CLONE_NEWIPC)?;
    let done = work();
    join(own, libc::CLONE_NEWIPC)?;
    done
}

/// Whether a process is on its way out: killed, and waiting for those in its PID namespace.
pub fn is_exiting(pid: i32) -> bool {
    // PF_EXITING of linux/sched.h.
    const EXITING: u64 = 0x4;
    flags_of(pid).is_none_or(|flags| flags & EXITING != 0)
}

/// Docker's default capabilities less MKNOD: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP,
/// NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, AUDIT_WRITE, SETFCAP.
pub const TASK_CAPABILITIES: u64 = {
    let kept = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 29, 31];
    let (mut mask, mut i) = (0, 0);
    while i < kept.len() {
        mask |= 1 << kept[i];
        i += 1;
    }
    mask
};

const CAPABILITIES_MAX: u64 = 63;

unsafe fn keep_capabilities(keep: u64) -> c_int {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: c_int,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Sets {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    // SAFETY: the structures are those of capget(2), version 3.
    unsafe {
        for capability in (0..=CAPABILITIES_MAX).filter(|c| keep >> c & 1 == 0) {
            // Fails past the last capability that the kernel knows.
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 {
                break;
            }
        }
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        let mut header = Header { version: VERSION_3, pid: 0 };
        let mut sets = [Sets { effective: 0, permitted: 0, inheritable: 0 }; 2];
        if libc::syscall(libc::SYS_capget, &mut header, sets.as_mut_ptr()) < 0 {
            return -1;
        }
        for (half, set) in sets.iter_mut().enumerate() {
            let mask = (keep >> (32 * half)) as u32;
            (set.effective, set.permitted, set.inheritable) = (set.effective & mask, set.permitted & mask, 0);
        }
        libc::syscall(libc::SYS_capset, &mut header, sets.as_ptr()) as c_int
    }
}

/// Kinds of namespaces for `fork_into`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// Mount, PID and IPC: needs root.
    Root,
    /// The same below a new user namespace.
    User,
}

/// Forks. The child, process 1 of new namespaces, runs `body`, whose answer is its exit code. With `cut_off` it has a network
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
    // SAFETY: without CLONE_VM and with no new stack this is fork: the child has its own copy of everything, and we have
    // one thread, so that no lock is held by somebody who is not there. The trailing arguments are unused on all platforms.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, &mut pidfd, 0, 0) };
    match pid {
        ..0 => Err(io::Error::last_os_error()),
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

/// Processor time of a process and of those that it has buried, in microseconds; the kernel counts in ticks.
pub fn spent_us(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Fields 14 to 17 (proc(5)); the second one, in parentheses, may hold spaces.
    let ticks = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(4).map(|text| text.parse::<u64>().ok());
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

/// Blocks the signals that an init waits for.
pub fn block_init_signals() {
    // SAFETY: the set is initialised before use.
    unsafe {
        let set = init_signals();
        libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut());
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

/// Sends a signal to the init of a sandbox.
pub fn signal_init(pidfd: BorrowedFd<'_>, signal: rustix::process::Signal) {
    // It may have ended.
    let _ = rustix::process::pidfd_send_signal(pidfd, signal);
}

/// Sends a signal to every process of a group.
pub fn signal_group(group: i32, signal: i32) {
    // SAFETY: a plain system call.
    unsafe { libc::kill(-group, signal) };
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
    use super::*;
    use crate::runner::program::{Reaped, Status};
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
            files_max: None,
            capabilities: None,
            filter: &[],
            rules: None,
            no_new_privileges: false,
            data_bytes_max: None,
            die_with_parent: false,
        };
        let (pid, pidfd) = start(&program, &setting).expect("a child");
        let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, None).expect("its end");
        let dead = dead(pid).expect("it is dead");
        (dead, wait(pid, true).expect("wait").expect("it is there still"))
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
