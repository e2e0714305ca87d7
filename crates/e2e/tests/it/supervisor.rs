//! Commands under ptrace, with a holder, a runner and sandboxes that are traced from their birth: the Nth operation that persists or
//! starts something is hit, whichever process of ours makes it. The product has no hook for that: every point is there.
//! It must never touch what a task does itself: only calls of our own program count.

use crate::harness::bin;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// What happens to the operation that is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// Its process dies before it is made (SIGKILL).
    Kill,
    /// It is not made, and fails with this.
    Fail(i32),
    /// Half of it is written.
    Short,
}

/// Which operations count, and which of them is hit.
#[derive(Clone, Debug)]
pub struct Aim {
    pub injection: Injection,
    /// Names of system calls; empty: all that `POINTS` holds.
    pub calls: &'static [&'static str],
    /// A part of the path that is written; empty: any file of the home, any socket.
    pub path: &'static str,
    /// Counted from 1.
    pub nth: u64,
}

/// What a traced command came to.
#[derive(Debug)]
pub struct Told {
    pub code: i32,
    pub out: String,
}

const POINTS: &[(&str, i64)] = &[
    ("write", libc::SYS_write),
    ("writev", libc::SYS_writev),
    ("pwrite64", libc::SYS_pwrite64),
    ("sendto", libc::SYS_sendto),
    ("sendmsg", libc::SYS_sendmsg),
    ("fsync", libc::SYS_fsync),
    ("fdatasync", libc::SYS_fdatasync),
    ("syncfs", libc::SYS_syncfs),
    ("ftruncate", libc::SYS_ftruncate),
    ("fallocate", libc::SYS_fallocate),
    ("renameat", libc::SYS_renameat),
    ("renameat2", libc::SYS_renameat2),
    ("unlinkat", libc::SYS_unlinkat),
    ("mkdirat", libc::SYS_mkdirat),
    ("linkat", libc::SYS_linkat),
    ("symlinkat", libc::SYS_symlinkat),
    ("openat", libc::SYS_openat),
    ("clone", libc::SYS_clone),
    ("clone3", libc::SYS_clone3),
    ("kill", libc::SYS_kill),
    ("pidfd_send_signal", libc::SYS_pidfd_send_signal),
    #[cfg(target_arch = "x86_64")]
    ("rename", libc::SYS_rename),
    #[cfg(target_arch = "x86_64")]
    ("unlink", libc::SYS_unlink),
    #[cfg(target_arch = "x86_64")]
    ("rmdir", libc::SYS_rmdir),
    #[cfg(target_arch = "x86_64")]
    ("mkdir", libc::SYS_mkdir),
    #[cfg(target_arch = "x86_64")]
    ("link", libc::SYS_link),
    #[cfg(target_arch = "x86_64")]
    ("symlink", libc::SYS_symlink),
    #[cfg(target_arch = "x86_64")]
    ("fork", libc::SYS_fork),
    #[cfg(target_arch = "x86_64")]
    ("vfork", libc::SYS_vfork),
];

/// Of these the first argument is a descriptor, and what it leads to decides whether they count.
const ON_DESCRIPTORS: &[&str] =
    &["write", "writev", "pwrite64", "sendto", "sendmsg", "fsync", "fdatasync", "syncfs", "ftruncate", "fallocate"];

/// Traces on the thread that made it; when it is dropped, everything that it traced dies.
pub struct Supervisor {
    home: String,
    aim: Aim,
    /// Tracees by thread id; whether what they do counts, as far as that is known.
    tracees: BTreeMap<i32, Option<bool>>,
    ended: BTreeSet<i32>,
    pub counted: u64,
    paused: bool,
    /// The operation that was hit.
    pub hit: Option<String>,
}

impl Supervisor {
    /// `home`: the directory whose files count.
    pub fn new(home: &std::path::Path, aim: Aim) -> Self {
        Self {
            home: home.display().to_string(),
            aim,
            tracees: BTreeMap::new(),
            ended: BTreeSet::new(),
            counted: 0,
            paused: false,
            hit: None,
        }
    }

    /// Runs a command to its end. Whatever it starts stays traced, and goes on only while a command runs. `Err`: this machine does
    /// not let us.
    pub fn run(&mut self, mut command: Command) -> Result<Told, String> {
        let out = tempfile::tempfile().map_err(|error| error.to_string())?;
        let same = out.try_clone().map_err(|error| error.to_string())?;
        command.stdout(out).stderr(Stdio::null());
        let filter = filter();
        // SAFETY: between fork and exec only system calls are made; the filter was made before.
        unsafe {
            command.pre_exec(move || trace_me(&filter));
        }
        #[allow(clippy::zombie_processes, reason = "the loop reaps it, with all that it starts")]
        let child = command.spawn().map_err(|error| format!("no tracing here: {error}"))?;
        let client = child.id() as i32;
        let code = self.serve_until(client);
        let mut text = String::new();
        let mut file = same;
        std::io::Seek::rewind(&mut file).and_then(|()| file.read_to_string(&mut text)).map_err(|e| e.to_string())?;
        Ok(Told { code, out: text })
    }

    /// From now on nothing counts, or again.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// SIGKILL for the holder, until it is gone.
    pub fn kill_holder(&mut self) {
        let holders: BTreeSet<i32> =
            self.tracees.keys().filter(|pid| is_kind(**pid, "__holder")).map(|pid| group_of(*pid)).collect();
        for holder in holders {
            kill(holder);
            self.serve_until(holder);
        }
    }

    fn serve_until(&mut self, client: i32) -> i32 {
        loop {
            let Some((pid, status)) = wait() else { return -1 };
            if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
                self.tracees.remove(&pid);
                self.ended.insert(pid);
                if pid == client {
                    return if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 };
                }
                continue;
            }
            self.stopped(pid, status);
        }
    }

    fn stopped(&mut self, pid: i32, status: i32) {
        let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
        let is_new = !self.tracees.contains_key(&pid);
        if is_new {
            self.tracees.insert(pid, None);
            let options = libc::PTRACE_O_TRACESECCOMP
                | libc::PTRACE_O_TRACEFORK
                | libc::PTRACE_O_TRACEVFORK
                | libc::PTRACE_O_TRACECLONE
                | libc::PTRACE_O_TRACEEXEC
                | libc::PTRACE_O_EXITKILL;
            ptrace(libc::PTRACE_SETOPTIONS, pid, options as usize);
        }
        let deliver = match event {
            libc::PTRACE_EVENT_SECCOMP => {
                self.call(pid);
                0
            }
            libc::PTRACE_EVENT_EXEC => {
                // It may be another program from now on.
                self.tracees.insert(pid, None);
                0
            }
            0 if is_new && (signal == libc::SIGSTOP || signal == libc::SIGTRAP) => 0,
            0 => signal,
            _ => 0,
        };
        ptrace(libc::PTRACE_CONT, pid, deliver as usize);
    }

    fn call(&mut self, pid: i32) {
        if self.paused || self.hit.is_some() || !self.counts(pid) {
            return;
        }
        let Some((number, arguments)) = call_of(pid) else { return };
        let Some((name, _)) = POINTS.iter().find(|(_, known)| *known == number) else { return };
        if !self.aim.calls.is_empty() && !self.aim.calls.contains(name) {
            return;
        }
        let on = if ON_DESCRIPTORS.contains(name) {
            let link = fs::read_link(format!("/proc/{pid}/fd/{}", arguments[0] as i32)).unwrap_or_default();
            let on = link.to_string_lossy().into_owned();
            if !(on.starts_with(&self.home) || on.starts_with("socket:")) {
                return;
            }
            on
        } else {
            String::new()
        };
        if !self.aim.path.is_empty() && !on.contains(self.aim.path) {
            return;
        }
        self.counted += 1;
        if self.counted != self.aim.nth {
            return;
        }
        let who = if is_kind(pid, "__holder") { "holder" } else { "runner" };
        let on = if on.is_empty() { path_of(pid, name, &arguments) } else { on };
        self.hit = Some(format!("{who} {}: {name} {}", group_of(pid), on.strip_prefix(&self.home).unwrap_or(&on)));
        match self.aim.injection {
            Injection::Kill => kill(group_of(pid)),
            Injection::Fail(errno) => skip_call(pid, errno),
            Injection::Short => halve_call(pid),
        }
    }

    fn counts(&mut self, pid: i32) -> bool {
        if let Some(Some(known)) = self.tracees.get(&pid) {
            return *known;
        }
        let ours = fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == bin())
            && (is_kind(pid, "__holder") || is_kind(pid, "__runner"));
        self.tracees.insert(pid, Some(ours));
        ours
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Untraced they could not go on: their filter would refuse the calls.
        while let Some(pid) = self.tracees.keys().next().copied() {
            kill(pid);
            match wait() {
                Some((ended, status)) if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) => {
                    self.tracees.remove(&ended);
                }
                Some((stopped, _)) => {
                    self.tracees.insert(stopped, None);
                    kill(stopped);
                    ptrace(libc::PTRACE_CONT, stopped, 0);
                }
                None => return,
            }
        }
    }
}

fn is_kind(pid: i32, kind: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|word| word == kind.as_bytes()))
}

/// The first path that a call names; "" if it names none.
fn path_of(pid: i32, name: &str, arguments: &[u64; 6]) -> String {
    let at = match name {
        "rename" | "unlink" | "rmdir" | "mkdir" | "link" | "symlink" | "symlinkat" => arguments[0],
        name if name.ends_with("at") || name == "renameat2" => arguments[1],
        _ => return String::new(),
    };
    let mut bytes = [0; 256];
    let read = fs::File::open(format!("/proc/{pid}/mem")).and_then(|memory| memory.read_at(&mut bytes, at));
    let path = &bytes[..read.unwrap_or(0)];
    String::from_utf8_lossy(path.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn group_of(pid: i32) -> i32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:")?.trim().parse().ok());
    group.unwrap_or(pid)
}

fn kill(pid: i32) {
    crate::harness::signal(pid, rustix::process::Signal::KILL);
}

/// The next change of a tracee of this thread; of nobody else's children.
fn wait() -> Option<(i32, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::__WNOTHREAD) };
        match pid {
            pid if pid > 0 => return Some((pid, status)),
            _ if std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
            _ => return None,
        }
    }
}

fn ptrace(request: libc::c_uint, pid: i32, data: usize) {
    // SAFETY: requests without pointers. It may fail only because the tracee was killed meanwhile.
    unsafe {
        libc::ptrace(request, pid, 0, data);
    }
}

/// As the kernel writes it (`PTRACE_GET_SYSCALL_INFO`, ptrace(2)).
#[repr(C)]
#[derive(Default)]
struct CallInfo {
    op: u8,
    _padding: [u8; 3],
    _architecture: u32,
    _instruction: u64,
    _stack: u64,
    number: u64,
    arguments: [u64; 6],
    _data: u64,
}

fn call_of(pid: i32) -> Option<(i64, [u64; 6])> {
    const SECCOMP: u8 = 3;
    let mut info = CallInfo::default();
    // SAFETY: the kernel writes at most the size that it is told.
    let got = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size_of::<CallInfo>(), &mut info) };
    (got > 0 && info.op == SECCOMP).then_some((info.number as i64, info.arguments))
}

#[cfg(target_arch = "x86_64")]
fn change(pid: i32, change: impl FnOnce(&mut libc::user_regs_struct)) {
    // SAFETY: the kernel fills the registers of a stopped tracee, and takes them back.
    unsafe {
        let mut registers: libc::user_regs_struct = std::mem::zeroed();
        if libc::ptrace(libc::PTRACE_GETREGS, pid, 0, &mut registers) == 0 {
            change(&mut registers);
            libc::ptrace(libc::PTRACE_SETREGS, pid, 0, &registers);
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn skip_call(pid: i32, errno: i32) {
    change(pid, |registers| {
        registers.orig_rax = u64::MAX;
        registers.rax = -i64::from(errno) as u64;
    });
}

#[cfg(target_arch = "x86_64")]
fn halve_call(pid: i32) {
    change(pid, |registers| registers.rdx = registers.rdx.div_ceil(2));
}

#[cfg(not(target_arch = "x86_64"))]
fn skip_call(_: i32, _: i32) {}

#[cfg(not(target_arch = "x86_64"))]
fn halve_call(_: i32) {}

/// Whether calls can be made to fail here.
pub const CAN_FAIL_CALLS: bool = cfg!(target_arch = "x86_64");

fn statement(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// Stops at the calls that count, and lets all others pass at full speed.
fn filter() -> Vec<libc::sock_filter> {
    let (load, equal, set, give) = (
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K,
        libc::BPF_RET | libc::BPF_K,
    );
    // `struct seccomp_data`: the number at 0, the low half of argument i at 16 + 8 i (little endian).
    let mut program = vec![statement(load, 0, 0, 0)];
    for (name, number) in POINTS {
        if *name == "openat" {
            program.push(statement(equal, 0, 4, *number as u32));
            program.push(statement(load, 0, 0, 16 + 8 * 2));
            program.push(statement(set, 0, 1, libc::O_CREAT as u32));
            program.push(statement(give, 0, 0, libc::SECCOMP_RET_TRACE));
            program.push(statement(give, 0, 0, libc::SECCOMP_RET_ALLOW));
        } else {
            program.push(statement(equal, 0, 1, *number as u32));
            program.push(statement(give, 0, 0, libc::SECCOMP_RET_TRACE));
        }
    }
    program.push(statement(give, 0, 0, libc::SECCOMP_RET_ALLOW));
    program
}

/// In the child, between fork and exec.
fn trace_me(filter: &[libc::sock_filter]) -> std::io::Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: plain system calls; the program lives until they have returned.
    let failed = unsafe {
        // Root needs no promise of not gaining rights, and its sandboxes would notice it.
        (libc::geteuid() != 0 && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
            || libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) != 0
    };
    if failed { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
