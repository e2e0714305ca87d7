//! What a process is started from, how starting it can fail, and how it ends: the words of `task` for what `sys` does.
//! It must never do anything itself: each system does it its own way.

use super::sys::Instruction;
use rustix::fd::{BorrowedFd, OwnedFd};
use std::ffi::c_char;
use std::io;
use std::ptr;

/// A program that is ready for execve: nothing has to be allocated between clone and exec.
pub struct Program {
    pub(super) path: *const c_char,
    pub(super) dir: *const c_char,
    pub(super) argv: Vec<*const c_char>,
    pub(super) envp: Vec<*const c_char>,
    /// All texts, one after the other.
    _texts: Vec<u8>,
}

// SAFETY: the pointers are into texts that it owns and nobody changes.
#[allow(unsafe_code)]
unsafe impl Send for Program {}

impl Program {
    /// `path` is what is executed, `argv` what it sees.
    ///
    /// # Errors
    /// A text holds a NUL byte.
    pub fn new(path: &str, argv: &[String], env: &[(String, String)], dir: &str) -> io::Result<Self> {
        let bytes: usize = argv.iter().map(|text| text.len() + 1).sum::<usize>()
            + env.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>();
        let mut texts = Vec::with_capacity(bytes + path.len() + dir.len() + 2);
        let mut starts = Vec::with_capacity(argv.len() + env.len() + 2);
        let words = argv.iter().map(|text| [text.as_str(), "", ""]);
        let variables = env.iter().map(|(name, value)| [name.as_str(), "=", value.as_str()]);
        for parts in [[path, "", ""], [dir, "", ""]].into_iter().chain(words).chain(variables) {
            starts.push(texts.len());
            parts.iter().for_each(|part| texts.extend_from_slice(part.as_bytes()));
            texts.push(0);
        }
        if texts.iter().filter(|byte| **byte == 0).count() != starts.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a text with a NUL byte in it"));
        }
        let at = |start: usize| texts[start..].as_ptr().cast::<c_char>();
        let (first, variables) = starts.split_at(argv.len() + 2);
        let list = |starts: &[usize]| starts.iter().map(|start| at(*start)).chain([ptr::null()]).collect();
        let (path, dir) = (at(first[0]), at(first[1]));
        Ok(Self { path, dir, argv: list(&first[2..]), envp: list(variables), _texts: texts })
    }
}

/// What the child does before exec.
#[allow(dead_code, reason = "not every platform can do all of it")]
pub struct Setting<'a> {
    pub stdin: BorrowedFd<'a>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    /// Opened `cgroup.procs` files (v1) to join.
    pub cgroups: &'a [OwnedFd],
    /// Where it runs; `None`: where we are.
    pub enter: Option<Enter<'a>>,
    /// What it may do there; `None`: what we may.
    pub confined: Option<Confined<'a>>,
    /// `RLIMIT_DATA`, where no cgroup enforces a memory limit.
    pub data_bytes_max: Option<u64>,
    /// `RLIMIT_NOFILE` as whoever started us had it.
    pub files_max: Option<libc::rlimit>,
    /// Die when the parent does.
    pub die_with_parent: bool,
}

/// Namespaces that a child joins.
#[allow(dead_code, reason = "not every platform has them")]
#[derive(Clone, Copy)]
pub enum Enter<'a> {
    /// This mount namespace.
    Mounts(BorrowedFd<'a>),
    /// Mount, IPC and PID namespace of this process (its pidfd). `back`: our own PID namespace.
    Sandbox { init: BorrowedFd<'a>, back: BorrowedFd<'a> },
    /// The same, and the user namespace that has power over them, which is ours.
    User { init: BorrowedFd<'a> },
}

/// What a program is left of our power.
#[allow(dead_code, reason = "not every platform can do it")]
#[derive(Clone, Copy)]
pub struct Confined<'a> {
    pub capabilities: u64,
    /// What it may not ask of the kernel; empty for none.
    pub filter: &'a [Instruction],
    /// Landlock's rules.
    pub rules: Option<BorrowedFd<'a>>,
    /// No program that it starts has more power than it has itself.
    pub no_new_privileges: bool,
}

/// Where starting a program failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Clone,
    Setup,
    Directory,
    Exec,
}

/// A stage and an errno.
pub type Failure = (Stage, io::Error);

/// A child that has ended and is not reaped yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dead {
    pub pid: i32,
    /// A signal ended it before it became a program: what ended was ours, and not what it was started for.
    pub before_exec: bool,
}

/// How a child ended and what it and the children that it waited for used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaped {
    pub pid: i32,
    pub status: Status,
    pub cpu_us: u64,
    pub memory_peak_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Exited(i32),
    Signalled(i32),
}
