//! How a task is started, watched and ended by POSIX alone. Each has a keeper: a process of ours that is its parent, ends with it as
//! it ended, and ends it when the runner is gone.
//! It must never do more than system calls between fork and exec: another thread may hold any lock there.
#![allow(unsafe_code)]

pub mod start;

use super::program::{Dead, Program, Setting, Stage};
pub use crate::runner::posix::{move_to, new_session, raise_files_max, wait};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::collections::BTreeMap;
use std::ffi::c_int;
use std::io::{self, Read};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// What there is none of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Never {}

/// Nothing can be forbidden.
pub type Instruction = Never;

/// Keepers read from it; only the runner holds the other end, so that its end is the runner's.
static LIFE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();
/// What keepers hold as long as they live.
static HELD: OnceLock<OwnedFd> = OnceLock::new();
/// The process group of the task of each keeper.
static GROUPS: Mutex<BTreeMap<i32, i32>> = Mutex::new(BTreeMap::new());
/// In a keeper: where the signal of its task's end is written to.
static ENDED: AtomicI32 = AtomicI32::new(-1);

/// Every keeper that is started from now on keeps this open.
pub fn keepers_hold(lock: OwnedFd) {
    let _ = HELD.set(lock);
}

/// All that a keeper needs, as numbers: it must not allocate.
struct Keeper<'a> {
    program: &'a Program,
    setting: &'a Setting<'a>,
    /// What is open in the runner.
    open: Vec<RawFd>,
    life: RawFd,
    held: RawFd,
    told: RawFd,
    end: RawFd,
    ended: (RawFd, RawFd),
}

/// What is told of a start: words of two numbers, the first `TASK` with its pid, or the stage that failed with its errno.
const WORD_BYTES: usize = 8;
const TASK: i32 = 0;
const STAGES: [Stage; 4] = [Stage::Clone, Stage::Setup, Stage::Directory, Stage::Exec];

/// Starts a program in a session of its own. Answers its keeper's pid, which ends as the program does, and a descriptor that can be
/// read from then on.
///
/// # Errors
/// The stage and the errno.
fn start_keeper(program: &Program, setting: &Setting<'_>) -> Result<(i32, OwnedFd), (Stage, io::Error)> {
    let clone = |error| (Stage::Clone, error);
    let life = life_of_runner().map_err(clone)?;
    let (told, told_in) = pipe().map_err(clone)?;
    let (end, end_in) = pipe().map_err(clone)?;
    let (ended, ended_in) = pipe().map_err(clone)?;
    for fd in [&ended, &ended_in] {
        rustix::fs::fcntl_setfl(fd, rustix::fs::OFlags::NONBLOCK).map_err(|error| clone(error.into()))?;
    }
    let keeper = Keeper {
        program,
        setting,
        open: open_descriptors(),
        life,
        held: HELD.get().map_or(-1, AsRawFd::as_raw_fd),
        told: told_in.as_raw_fd(),
        end: end_in.as_raw_fd(),
        ended: (ended.as_raw_fd(), ended_in.as_raw_fd()),
    };
    // SAFETY: the child only makes system calls and never returns from `keep`.
    let pid = match unsafe { libc::fork() } {
        ..0 => return Err(clone(io::Error::last_os_error())),
        // SAFETY: this is the child.
        0 => unsafe { keep(&keeper) },
        pid => pid,
    };
    drop((told_in, end_in));
    let mut words = Vec::new();
    // It ends when the task has become its program, or could not.
    std::fs::File::from(told).read_to_end(&mut words).map_err(clone)?;
    let words = words.chunks_exact(WORD_BYTES).map(|word| {
        let number = |bytes: &[u8]| bytes.try_into().map_or(0, i32::from_ne_bytes);
        (number(&word[..4]), number(&word[4..]))
    });
    let (mut group, mut failed) = (None, None);
    for (what, number) in words {
        match usize::try_from(what - 1).ok().and_then(|at| STAGES.get(at)) {
            Some(stage) => failed = Some((*stage, io::Error::from_raw_os_error(number))),
            None => group = Some(number),
        }
    }
    if let Some(failed) = failed {
        let _ = wait(pid, true);
        return Err(failed);
    }
    if let Some(group) = group {
        groups(|groups| groups.insert(pid, group));
    }
    Ok((pid, end))
}

/// A pipe whose ends no program gets.
///
/// # Errors
/// As pipe(2).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let ends = rustix::pipe::pipe()?;
    for end in [&ends.0, &ends.1] {
        rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(ends)
}

fn life_of_runner() -> io::Result<RawFd> {
    if let Some((life, _)) = LIFE.get() {
        return Ok(life.as_raw_fd());
    }
    let ends = pipe()?;
    Ok(LIFE.get_or_init(|| ends).0.as_raw_fd())
}

fn groups<T>(work: impl FnOnce(&mut BTreeMap<i32, i32>) -> T) -> T {
    work(&mut GROUPS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Numbers that are open in this process.
fn open_descriptors() -> Vec<RawFd> {
    /// Where the system does not tell.
    const GUESSED: RawFd = 1024;
    let entries = std::fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let mut open: Vec<RawFd> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    if open.is_empty() {
        open.extend(0..GUESSED);
    }
    open
}

/// Signals that reach a keeper and do not end it: its task's sessions and terminals are not its own.
const OTHERS: [c_int; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2, libc::SIGPIPE];

extern "C" fn note_end(_: c_int) {
    // SAFETY: a plain system call on a descriptor that stays open as long as this process.
    unsafe { libc::write(ENDED.load(Ordering::Relaxed), c"e".as_ptr().cast(), 1) };
}

/// The life of a keeper.
unsafe fn keep(keeper: &Keeper<'_>) -> ! {
    // SAFETY: plain system calls on memory and descriptors that outlive them; the handler is installed before there is a child.
    unsafe {
        libc::setsid();
        OTHERS.iter().for_each(|signal| _ = libc::signal(*signal, libc::SIG_IGN));
        ENDED.store(keeper.ended.1, Ordering::Relaxed);
        libc::signal(libc::SIGCHLD, note_end as *const () as libc::sighandler_t);
        unblock_signals();
        let task = libc::fork();
        if task == 0 {
            let stage = become_task(keeper);
            let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
            tell(keeper.told, 1 + STAGES.iter().position(|other| *other == stage).unwrap_or(0) as i32, errno);
            libc::_exit(127);
        }
        if task < 0 {
            tell(keeper.told, 1, io::Error::last_os_error().raw_os_error().unwrap_or(0));
            libc::_exit(127);
        }
        tell(keeper.told, TASK, task);
        // The end of the task's streams is the task's, and the end of `told` its start.
        let kept = [keeper.life, keeper.held, keeper.end, keeper.ended.0, keeper.ended.1];
        keeper.open.iter().filter(|fd| !kept.contains(fd)).for_each(|fd| _ = libc::close(*fd));
        let status = watch(task, keeper);
        // What it left in its group.
        libc::kill(-task, libc::SIGKILL);
        end_as(status)
    }
}

/// Waits for the end of the task, or of the runner and then of the task.
unsafe fn watch(task: c_int, keeper: &Keeper<'_>) -> c_int {
    let mut status = 0;
    // SAFETY: plain system calls on memory that outlives them.
    unsafe {
        loop {
            let wanted = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            let mut fds = [wanted(keeper.life), wanted(keeper.ended.0)];
            libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, -1);
            let mut bytes = [0_u8; 16];
            libc::read(keeper.ended.0, bytes.as_mut_ptr().cast(), bytes.len());
            if libc::waitpid(task, &mut status, libc::WNOHANG) == task {
                return status;
            }
            if fds[0].revents != 0 {
                // It may not have its group yet.
                libc::kill(-task, libc::SIGKILL);
                libc::kill(task, libc::SIGKILL);
                while libc::waitpid(task, &mut status, 0) < 0
                    && io::Error::last_os_error().raw_os_error() == Some(libc::EINTR)
                {}
                return status;
            }
        }
    }
}

/// Ends this process as its task ended.
unsafe fn end_as(status: c_int) -> ! {
    // SAFETY: plain system calls on memory that outlives them.
    unsafe {
        if libc::WIFSIGNALED(status) {
            let signal = libc::WTERMSIG(status);
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &none);
            libc::signal(signal, libc::SIG_DFL);
            libc::kill(libc::getpid(), signal);
            libc::_exit(128 + signal);
        }
        libc::_exit(libc::WEXITSTATUS(status))
    }
}

/// Comes back only with what failed, and errno set.
unsafe fn become_task(keeper: &Keeper<'_>) -> Stage {
    let Keeper { program, setting, .. } = keeper;
    // SAFETY: plain system calls on memory and descriptors that outlive them.
    unsafe {
        libc::setsid();
        OTHERS.iter().chain(&[libc::SIGCHLD]).for_each(|signal| _ = libc::signal(*signal, libc::SIG_DFL));
        if let Some(bytes) = setting.data_bytes_max {
            let bytes = libc::rlim_t::try_from(bytes).unwrap_or(libc::RLIM_INFINITY);
            let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
            if libc::setrlimit(libc::RLIMIT_DATA, &limit) < 0 {
                return Stage::Setup;
            }
        }
        for (fd, to) in [(setting.stdin, 0), (setting.stdout, 1), (setting.stderr, 2)] {
            if libc::dup2(fd.as_raw_fd(), to) < 0 {
                return Stage::Setup;
            }
        }
        // Whatever else is open here, the program does not get it.
        keeper.open.iter().filter(|fd| **fd > 2).for_each(|fd| _ = libc::fcntl(*fd, libc::F_SETFD, libc::FD_CLOEXEC));
        if let Some(limit) = setting.files_max
            && libc::setrlimit(libc::RLIMIT_NOFILE, &limit) < 0
        {
            return Stage::Setup;
        }
        if libc::chdir(program.dir) < 0 {
            return Stage::Directory;
        }
        libc::execve(program.path, program.argv.as_ptr(), program.envp.as_ptr());
        Stage::Exec
    }
}

unsafe fn tell(to: RawFd, what: i32, number: i32) {
    let mut word = [0_u8; WORD_BYTES];
    word[..4].copy_from_slice(&what.to_ne_bytes());
    word[4..].copy_from_slice(&number.to_ne_bytes());
    // SAFETY: a plain system call; a word is written as a whole or not at all (PIPE_BUF).
    unsafe { libc::write(to, word.as_ptr().cast(), word.len()) };
}

unsafe fn unblock_signals() {
    // SAFETY: an all-zero set is valid and is initialised at once.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
    }
}

/// A death before exec is told by `start`.
pub fn dead(_: i32) -> Option<Dead> {
    None
}

/// Of sandboxes only.
pub fn is_exiting(_: i32) -> bool {
    false
}

/// Sends a signal to the task of a keeper, and all of its group. Whether it knows of one.
pub fn signal_group(keeper: i32, signal: i32) -> bool {
    let Some(group) = groups(|groups| groups.get(&keeper).copied()) else { return false };
    // SAFETY: plain system calls.
    unsafe {
        libc::kill(-group, signal);
        let is_gone = libc::kill(keeper, 0) < 0;
        if is_gone && signal == libc::SIGKILL {
            groups(|groups| groups.remove(&keeper));
        }
    }
    true
}

/// Of sandboxes only.
pub fn signal_one(_: BorrowedFd<'_>, _: rustix::process::Signal) {}

/// There is no way to.
pub fn adopt_orphans() {}

/// When this process began, as nobody else's life.
///
/// # Errors
/// None.
pub fn life() -> io::Result<String> {
    static SINCE: OnceLock<u128> = OnceLock::new();
    let since = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    Ok(format!("portable/{}", SINCE.get_or_init(since)))
}

/// Closes every descriptor from `first` on.
pub fn close_from(first: RawFd) {
    for fd in open_descriptors().into_iter().filter(|fd| *fd >= first) {
        // SAFETY: called before anything is opened that would be used again.
        unsafe { libc::close(fd) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::program::{Reaped, Status};
    use rustix::fd::AsFd;

    fn setting(null: &std::fs::File) -> Setting<'_> {
        Setting {
            stdin: null.as_fd(),
            stdout: null.as_fd(),
            stderr: null.as_fd(),
            cgroups: &[],
            enter: None,
            files_max: None,
            confined: None,
            data_bytes_max: None,
            die_with_parent: true,
        }
    }

    fn begin(command: &str) -> Result<(i32, OwnedFd), (Stage, io::Error)> {
        let argv = ["sh", "-c", command].map(String::from);
        let program = Program::new("/bin/sh", &argv, &[], "/").expect("a program");
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
        start_keeper(&program, &setting(&null))
    }

    fn end(pid: i32, end: &OwnedFd) -> Reaped {
        let mut fds = [rustix::event::PollFd::new(end, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, None).expect("its end");
        let reaped = wait(pid, true).expect("wait").expect("it is there still");
        signal_group(pid, libc::SIGKILL);
        reaped
    }

    #[test]
    fn a_keeper_ends_as_its_task_did() {
        for (command, status) in [
            ("exit 3", Status::Exited(3)),
            ("kill -9 $$", Status::Signalled(libc::SIGKILL)),
            ("kill -TERM $$", Status::Signalled(libc::SIGTERM)),
            ("trap 'exit 7' TERM; kill -TERM 0", Status::Exited(7)),
        ] {
            let (pid, fd) = begin(command).expect("a task");
            assert_eq!(end(pid, &fd).status, status, "{command}");
            assert!(groups(|groups| !groups.contains_key(&pid)), "{command}");
        }
    }

    #[test]
    fn a_signal_ends_the_task_and_what_is_in_its_group() {
        let (from, to) = pipe().expect("a pipe");
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
        let argv = ["sh", "-c", "trap 'exit 5' TERM; sleep 1000 & echo ready; wait"].map(String::from);
        let program = Program::new("/bin/sh", &argv, &[], "/").expect("a program");
        let (pid, fd) = start_keeper(&program, &Setting { stdout: to.as_fd(), ..setting(&null) }).expect("a task");
        drop(to);
        let mut from = std::fs::File::from(from);
        from.read_exact(&mut [0; 6]).expect("it is ready");
        signal_group(pid, libc::SIGTERM);
        assert_eq!(end(pid, &fd).status, Status::Exited(5));
        // Nobody has the pipe any more.
        assert_eq!(from.read_to_end(&mut Vec::new()).expect("read"), 0);
    }

    #[test]
    fn what_cannot_be_started_is_told_with_its_stage() {
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
        let cases = [("/nowhere/program", "/", Stage::Exec), ("/bin/sh", "/nowhere", Stage::Directory)];
        for (path, dir, stage) in cases {
            let program = Program::new(path, &["x".to_owned()], &[], dir).expect("a program");
            let (failed, error) = start_keeper(&program, &setting(&null)).expect_err("it cannot be started");
            assert_eq!((failed, error.raw_os_error()), (stage, Some(libc::ENOENT)));
        }
    }
}
