//! What a process is started from, how starting it can fail, and how it ends: the words of `task` for what `sys` does.
//! It must never do anything itself: each system does it its own way.

use super::sys::Instruction;
use rustix::fd::{BorrowedFd, OwnedFd};
use std::ffi::{CString, c_char};
use std::io;
use std::ptr;

/// A program that is ready for execve: nothing has to be allocated between clone and exec.
pub struct Program {
    pub(super) path: CString,
    pub(super) dir: CString,
    _texts: Vec<CString>,
    pub(super) argv: Vec<*const c_char>,
    pub(super) envp: Vec<*const c_char>,
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
        let mut texts = Vec::with_capacity(argv.len() + env.len());
        for text in argv {
            texts.push(c_string(text.clone())?);
        }
        for (name, value) in env {
            texts.push(c_string([name.as_str(), "=", value.as_str()].concat())?);
        }
        let pointers = |texts: &[CString]| texts.iter().map(|t| t.as_ptr()).chain([ptr::null()]).collect::<Vec<_>>();
        let (first, rest) = texts.split_at(argv.len());
        let (argv, envp) = (pointers(first), pointers(rest));
        Ok(Self { path: c_string(path.into())?, dir: c_string(dir.into())?, _texts: texts, argv, envp })
    }
}

fn c_string(text: String) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a text with a NUL byte in it"))
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
