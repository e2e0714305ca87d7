//! Starting a program: a child that shares our memory until it executes it, as with vfork, so that the cost does not grow with us;
//! but we do not stand still meanwhile.
//!
//! The child must only make raw system calls, on memory that `Launch` keeps until it has left.

use super::{confinement, landlock, raw};
use crate::runner::program::{Enter, Failure, Program, Setting, Stage};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::thread::futex;
use rustix::time::Timespec;
use std::ffi::{c_int, c_long, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A program and all that its start needs.
pub struct Launch {
    program: Program,
    orders: Orders,
    parent: c_int,
    /// What went wrong in the child: stage and errno; 0: nothing.
    failed: AtomicU64,
    /// The kernel clears it and wakes who waits when the child has left our memory (`CLONE_CHILD_CLEARTID`).
    inside: AtomicU32,
    /// A handful of system calls is made on it.
    stack: Box<[MaybeUninit<u128>]>,
}

const STACK_BYTES: usize = 16 << 10;

/// A `Setting` by numbers: the child has the descriptors as they were when it was made.
struct Orders {
    streams: [RawFd; 3],
    cgroups: Vec<RawFd>,
    enter: Option<RawEnter>,
    confined: Option<RawConfined>,
    data_bytes_max: Option<u64>,
    files_max: Option<libc::rlimit>,
    die_with_parent: bool,
}

#[derive(Clone, Copy)]
enum RawEnter {
    Mounts(RawFd),
    Sandbox { init: RawFd, back: RawFd },
    User { init: RawFd },
}

struct RawConfined {
    capabilities: u64,
    filter: Vec<libc::sock_filter>,
    rules: Option<RawFd>,
    no_new_privileges: bool,
}

/// A started child.
pub struct Child {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// Kept while the child is in it. What went wrong there is of interest later, too.
    launch: Option<Box<Launch>>,
}

/// Starts a program in a session of its own and waits until it is executed.
///
/// # Errors
/// The stage and the errno.
pub fn start(program: Program, setting: &Setting<'_>) -> Result<Child, Failure> {
    let mut child = Launch::new(program, setting).begin()?;
    child.wait_until_left();
    match child.failure() {
        None => Ok(child),
        Some(failure) => {
            let _ = super::wait(child.pid, true);
            Err(failure)
        }
    }
}

impl Launch {
    /// The descriptors of the setting must be open until `begin` answers.
    pub fn new(program: Program, setting: &Setting<'_>) -> Box<Self> {
        let enter = setting.enter.map(|enter| match enter {
            Enter::Mounts(mounts) => RawEnter::Mounts(mounts.as_raw_fd()),
            Enter::Sandbox { init, back } => RawEnter::Sandbox { init: init.as_raw_fd(), back: back.as_raw_fd() },
            Enter::User { init } => RawEnter::User { init: init.as_raw_fd() },
        });
        let confined = setting.confined.map(|confined| RawConfined {
            capabilities: confined.capabilities,
            filter: confined.filter.to_vec(),
            rules: confined.rules.map(|rules| rules.as_raw_fd()),
            no_new_privileges: confined.no_new_privileges,
        });
        let orders = Orders {
            streams: [setting.stdin, setting.stdout, setting.stderr].map(|fd| fd.as_raw_fd()),
            cgroups: setting.cgroups.iter().map(AsRawFd::as_raw_fd).collect(),
            enter,
            confined,
            data_bytes_max: setting.data_bytes_max,
            files_max: setting.files_max,
            die_with_parent: setting.die_with_parent,
        };
        // SAFETY: getpid cannot fail.
        let parent = unsafe { libc::getpid() };
        let stack = Box::new_uninit_slice(STACK_BYTES / size_of::<u128>());
        Box::new(Self { program, orders, parent, failed: AtomicU64::new(0), inside: AtomicU32::new(0), stack })
    }

    /// Makes the child, which goes on by itself.
    ///
    /// # Errors
    /// There is none. What goes wrong in it is its `failure`.
    pub fn begin(mut self: Box<Self>) -> Result<Child, Failure> {
        // A PID namespace is joined by children, not by the caller.
        if let Some(RawEnter::Sandbox { init, .. }) = self.orders.enter {
            join(init, libc::CLONE_NEWPID).map_err(|errno| failure(Stage::Clone, errno))?;
        }
        let begun = match self.orders.enter {
            Some(RawEnter::User { init }) => self.clone_between(init),
            _ => self.clone_child(),
        };
        if let Some(RawEnter::Sandbox { back, .. }) = self.orders.enter
            && let Err(errno) = join(back, libc::CLONE_NEWPID)
        {
            // Everything that we start from now on would be in a task's sandbox, and end with it.
            let error = io::Error::from_raw_os_error(errno);
            crate::own_log::say(format!("runner: there is no way back from a sandbox's PID namespace: {error}"));
            std::process::abort();
        }
        let (pid, pidfd) = begun.map_err(|error| (Stage::Clone, error))?;
        Ok(Child { pid, pidfd, launch: Some(self) })
    }

    fn clone_child(&mut self) -> io::Result<(i32, OwnedFd)> {
        let begun = self.clone_as(0).map_err(io::Error::from_raw_os_error)?;
        // SAFETY: the kernel has just opened it for us.
        Ok((begun.0, unsafe { OwnedFd::from_raw_fd(begun.1) }))
    }

    /// Answers pid and pidfd, or an errno.
    fn clone_as(&mut self, more: c_int) -> Result<(c_int, RawFd), c_int> {
        let flags = libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID | libc::CLONE_PIDFD | libc::SIGCHLD | more;
        let mut pidfd: c_int = -1;
        self.inside.store(1, Ordering::Relaxed);
        let top = self.stack.as_mut_ptr_range().end.cast::<c_void>();
        let launch = ptr::from_ref(self);
        // SAFETY: the child runs `in_child` on its own stack. Both belong to `self`, which is dropped after it has left our memory
        // and is not moved before (a box). It shares nothing with us that anybody changes, except for atomics.
        let pid = unsafe {
            let no_tls = ptr::null_mut::<c_void>();
            libc::clone(in_child, top, flags, launch.cast_mut().cast(), &mut pidfd, no_tls, self.inside.as_ptr())
        };
        if pid < 0 {
            self.inside.store(0, Ordering::Relaxed);
            return Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EAGAIN));
        }
        Ok((pid, pidfd))
    }

    /// Nobody comes back out of a user namespace: a child joins the namespaces, makes the program's process as a brother of its own,
    /// and is gone. It shares our descriptors, so that the pidfd is ours.
    fn clone_between(&mut self, init: RawFd) -> io::Result<(i32, OwnedFd)> {
        let mut stack = Box::<[u128]>::new_uninit_slice(STACK_BYTES / size_of::<u128>());
        let top = stack.as_mut_ptr_range().end.cast::<c_void>();
        let mut between = Between { launch: self, init, begun: Err(libc::EAGAIN) };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES | libc::SIGCHLD;
        // SAFETY: we are suspended (CLONE_VFORK) until the child, which runs `in_between` on its own stack, has left our memory.
        let pid = unsafe { libc::clone(in_between, top, flags, ptr::from_mut(&mut between).cast()) };
        if pid < 0 {
            return Err(io::Error::last_os_error());
        }
        let _ = super::wait(pid, true);
        // SAFETY: written by the child through the shared memory: the compiler must not assume the old value.
        let begun = unsafe { ptr::read_volatile(&between.begun) };
        // SAFETY: the kernel has just opened it for us.
        begun.map(|(pid, pidfd)| (pid, unsafe { OwnedFd::from_raw_fd(pidfd) })).map_err(io::Error::from_raw_os_error)
    }
}

struct Between<'a> {
    launch: &'a mut Launch,
    init: RawFd,
    /// Pid and pidfd of the program's process, or an errno.
    begun: Result<(c_int, RawFd), c_int>,
}

extern "C" fn in_between(argument: *mut c_void) -> c_int {
    // SAFETY: `argument` is the `Between` of `clone_between`, which is suspended and will not touch it until we are gone. What the C
    // library keeps of the last error is that thread's.
    unsafe {
        let between = &mut *argument.cast::<Between<'_>>();
        let all = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWPID;
        let begun = join(between.init, all).and_then(|()| between.launch.clone_as(libc::CLONE_PARENT));
        ptr::write_volatile(&mut between.begun, begun);
        exit()
    }
}

impl Child {
    /// One that was not started as a program.
    pub fn of(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, launch: None }
    }

    /// Whether it has become its program or died. What it needed before that is given back.
    pub fn has_left(&mut self) -> bool {
        let Some(launch) = &self.launch else { return true };
        let left = launch.inside.load(Ordering::Acquire) == 0;
        if left && launch.failed.load(Ordering::Acquire) == 0 {
            self.launch = None;
        }
        left
    }

    /// Once it has left: what went wrong before it became its program.
    pub fn failure(&self) -> Option<Failure> {
        let failed = self.launch.as_ref()?.failed.load(Ordering::Acquire);
        let stage = [Stage::Setup, Stage::Directory, Stage::Exec].into_iter().find(|s| code(*s) == failed >> 32)?;
        Some(failure(stage, failed as u32 as c_int))
    }

    /// It has been reaped. (The kernel does not say so of one that leaves a core dump.)
    pub fn is_dead(&self) {
        if let Some(launch) = &self.launch {
            launch.inside.store(0, Ordering::Release);
        }
    }

    fn wait_until_left(&mut self) {
        const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        while !self.has_left() {
            let Some(launch) = &self.launch else { return };
            let _ = futex::wait(&launch.inside, futex::Flags::empty(), 1, Some(&LOOK));
            if has_ended(self.pidfd.as_fd()) {
                return self.is_dead();
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.wait_until_left();
    }
}

fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

fn failure(stage: Stage, errno: c_int) -> Failure {
    (stage, io::Error::from_raw_os_error(errno))
}

/// Never 0.
const fn code(stage: Stage) -> u64 {
    stage as u64 + 1
}

/// Joins a namespace, or those of a process whose pidfd it is.
fn join(namespace: RawFd, what: c_int) -> Result<(), c_int> {
    // SAFETY: a plain system call on an open descriptor.
    unsafe { raw::call(libc::SYS_setns, [namespace as usize, what as usize, 0, 0, 0]) }.map(drop)
}

extern "C" fn in_child(argument: *mut c_void) -> c_int {
    // SAFETY: `argument` is the `Launch` of `clone_child`, which is there until we are gone.
    unsafe {
        let launch = &*argument.cast::<Launch>();
        let (stage, errno) = match prepare_child(launch) {
            Ok(()) => {
                let Program { path, argv, envp, .. } = &launch.program;
                let arguments = [path.addr(), argv.as_ptr().addr(), envp.as_ptr().addr(), 0, 0];
                (Stage::Exec, raw::call(libc::SYS_execve, arguments).err().unwrap_or(0))
            }
            Err(failed) => failed,
        };
        launch.failed.store(code(stage) << 32 | u64::from(errno as u32), Ordering::Release);
        exit()
    }
}

unsafe fn exit() -> ! {
    loop {
        // SAFETY: ends this process, which runs nothing of ours at its end.
        let _ = unsafe { raw::call(libc::SYS_exit_group, [127, 0, 0, 0, 0]) };
    }
}

unsafe fn prepare_child(launch: &Launch) -> Result<(), (Stage, c_int)> {
    let (orders, setup) = (&launch.orders, |errno| (Stage::Setup, errno));
    // SAFETY: plain system calls on descriptors and memory that outlive the call.
    unsafe {
        let call = |number: c_long, arguments: [usize; 5]| raw::call(number, arguments);
        if orders.die_with_parent {
            call(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize, 0, 0, 0]).map_err(setup)?;
            if call(libc::SYS_getppid, [0; 5]) != Ok(launch.parent as usize) {
                exit();
            }
        }
        let _ = call(libc::SYS_setsid, [0; 5]);
        for cgroup in &orders.cgroups {
            call(libc::SYS_write, [*cgroup as usize, c"0".as_ptr().addr(), 1, 0, 0]).map_err(setup)?;
        }
        match orders.enter {
            // Whoever was between has joined them.
            None | Some(RawEnter::User { .. }) => {}
            Some(RawEnter::Mounts(mounts)) => join(mounts, libc::CLONE_NEWNS).map_err(setup)?,
            Some(RawEnter::Sandbox { init, .. }) => {
                join(init, libc::CLONE_NEWNS | libc::CLONE_NEWIPC).map_err(setup)?
            }
        }
        if let Some(confined) = &orders.confined {
            confine(confined).map_err(setup)?;
        }
        if let Some(bytes) = orders.data_bytes_max {
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            set_limit(libc::RLIMIT_DATA, &limit).map_err(setup)?;
        }
        for (to, fd) in orders.streams.into_iter().enumerate() {
            if fd as usize != to {
                call(libc::SYS_dup3, [fd as usize, to, 0, 0, 0]).map_err(setup)?;
            }
        }
        // Whatever else is open here, the program does not get it. (The table of descriptors is the child's own.)
        // A kernel before 5.11 cannot; what we have open ourselves is closed on exec anyway.
        let _ = call(libc::SYS_close_range, [3, u32::MAX as usize, libc::CLOSE_RANGE_CLOEXEC as usize, 0, 0]);
        if let Some(limit) = &orders.files_max {
            set_limit(libc::RLIMIT_NOFILE, limit).map_err(setup)?;
        }
        // Rust ignores SIGPIPE; an ignored signal would stay ignored across exec. (All zeroes: the kernel's default action.)
        let default = [0_usize; 4];
        let _ = call(libc::SYS_rt_sigaction, [libc::SIGPIPE as usize, default.as_ptr().addr(), 0, 8, 0]);
        let no_signals = 0_u64;
        let mask = [libc::SIG_SETMASK as usize, ptr::from_ref(&no_signals).addr(), 0, 8, 0];
        let _ = call(libc::SYS_rt_sigprocmask, mask);
        let directory = launch.program.dir.addr();
        call(libc::SYS_chdir, [directory, 0, 0, 0, 0]).map_err(|errno| (Stage::Directory, errno)).map(drop)
    }
}

unsafe fn confine(confined: &RawConfined) -> Result<(), c_int> {
    // SAFETY: plain system calls.
    unsafe {
        if confined.no_new_privileges {
            raw::call(libc::SYS_prctl, [libc::PR_SET_NO_NEW_PRIVS as usize, 1, 0, 0, 0])?;
        }
        if let Some(rules) = confined.rules {
            landlock::restrict(rules)?;
        }
        confinement::confine(&confined.filter, confined.capabilities)
    }
}

unsafe fn set_limit(which: libc::__rlimit_resource_t, limit: &libc::rlimit) -> Result<(), c_int> {
    // SAFETY: the kernel reads the structure during the call. 0 is this process.
    unsafe { raw::call(libc::SYS_prlimit64, [0, which as usize, ptr::from_ref(limit).addr(), 0, 0]) }.map(drop)
}
