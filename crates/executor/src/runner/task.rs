//! A started attempt: its process or sandbox, its pipes, its group; how it is started, signalled, and taken apart at its end.
//! It must never decide when: the machine says so.

use super::capture::Capture;
use super::cgroup::{Cgroup, Cgroups};
use super::machine::Signal;
use super::sandbox::{Report, Sandboxes, TaskFds};
use super::sys::{self, Program, Setting, Stage, Status};
use artifacts::log::Stream;
use model::attempt::Profile;
use model::runner::{Ended, Spawn};
use model::{AttemptKey, Exit, Time, Usage};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;
use std::path::PathBuf;

/// Bytes of one read, and a pipe's usual capacity.
pub const READ_BYTES: usize = 64 << 10;
/// Reads of a stream in one round, so that a loud task does not keep others waiting.
const READS_A_ROUND: usize = 8;
/// Reads at the end: more than any pipe holds.
const READS_AT_END: usize = 32;

/// What tasks of this runner are started with.
pub struct Machinery {
    /// Why there are none is in a notice; tasks of profile `standard` then run as `trusted`.
    pub sandboxes: Option<Sandboxes>,
    pub cgroups: Cgroups,
    pub null: OwnedFd,
}

pub struct Task {
    pub key: AttemptKey,
    pid: i32,
    pidfd: OwnedFd,
    /// In a sandbox: what its init says.
    report: Option<OwnedFd>,
    out: Option<OwnedFd>,
    err: Option<OwnedFd>,
    capture: Capture,
    cgroup: Option<Cgroup>,
    started_at: Time,
    argv0: String,
    directory: String,
}

/// What is left of a task.
pub struct Remains {
    pub end: Ended,
    /// A group that could not be removed yet.
    pub cgroup: Option<Cgroup>,
    pub problems: Vec<String>,
}

impl Task {
    /// Starts an attempt.
    ///
    /// # Errors
    /// The end of the attempt: it could not be started.
    pub fn start(machinery: &Machinery, spawn: &Spawn, now: Time) -> Result<Self, Box<Remains>> {
        let mut capture =
            Capture::new(PathBuf::from(&spawn.log), PathBuf::from(&spawn.stdout), spawn.log_bytes_max, &spawn.masked);
        match Started::new(machinery, spawn) {
            Ok(started) => Ok(Self {
                key: spawn.key.clone(),
                pid: started.pid,
                pidfd: started.pidfd,
                report: started.report,
                out: Some(started.out),
                err: Some(started.err),
                capture,
                cgroup: started.cgroup,
                started_at: now,
                argv0: spawn.argv.first().cloned().unwrap_or_default(),
                directory: spawn.directory.clone(),
            }),
            Err(why) => {
                capture.say(now, &why);
                let end =
                    Ended { exit: Exit::NotStarted(why), started_at: None, ended_at: now, usage: Usage::default() };
                Err(Box::new(Remains { end, cgroup: None, problems: capture.finish(now) }))
            }
        }
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it may have left processes that are not seen by its end.
    pub fn can_leave_orphans(&self) -> bool {
        self.report.is_none()
    }

    /// Its descriptors to wait for: end, standard output, standard error.
    pub fn fds(&self) -> [Option<BorrowedFd<'_>>; 3] {
        [Some(self.pidfd.as_fd()), self.out.as_ref().map(AsFd::as_fd), self.err.as_ref().map(AsFd::as_fd)]
    }

    /// Reads what a stream has, through `buffer`.
    pub fn read(&mut self, stream: Stream, now: Time, buffer: &mut [u8]) {
        self.drain(stream, now, READS_A_ROUND, buffer);
        self.capture.flush(now);
    }

    pub fn signal(&self, signal: Signal) {
        let number = match signal {
            Signal::Term => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        if self.report.is_some() {
            // The init passes SIGTERM on; with SIGKILL it takes the whole sandbox along.
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, number);
        } else {
            sys::signal_group(self.pid, number.as_raw());
            if let (Signal::Kill, Some(cgroup)) = (signal, &self.cgroup) {
                cgroup.kill();
            }
        }
    }

    /// Takes it apart if it has ended; itself if it has not.
    pub fn finish(mut self, now: Time, buffer: &mut [u8]) -> Result<Remains, Box<Self>> {
        let before_exec = sys::dead(self.pid).is_some_and(|dead| dead.before_exec);
        let Ok(Some(reaped)) = sys::wait(self.pid, false) else { return Err(Box::new(self)) };
        if self.report.is_none() {
            sys::signal_group(self.pid, libc::SIGKILL);
            if let Some(cgroup) = &self.cgroup {
                cgroup.kill();
            }
        }
        for stream in [Stream::Out, Stream::Err] {
            self.drain(stream, now, READS_AT_END, buffer);
        }
        let mut usage = Usage { cpu_us: reaped.cpu_us, memory_peak_bytes: reaped.memory_peak_bytes };
        let mut oom = false;
        let mut cgroup = self.cgroup.take();
        if let Some(group) = &cgroup {
            let account = group.account();
            oom = account.oom;
            usage.cpu_us = usage.cpu_us.max(account.usage.cpu_us);
            usage.memory_peak_bytes = usage.memory_peak_bytes.max(account.usage.memory_peak_bytes);
            if group.remove() {
                cgroup = None;
            }
        }
        let exit = self.exit(reaped.status, oom, before_exec);
        if let Exit::NotStarted(why) = &exit {
            self.capture.say(now, why);
        }
        let started_at = (!matches!(exit, Exit::NotStarted(_))).then_some(self.started_at);
        let end = Ended { exit, started_at, ended_at: now, usage };
        Ok(Remains { end, cgroup, problems: self.capture.finish(now) })
    }

    fn exit(&mut self, status: Status, oom: bool, before_exec: bool) -> Exit {
        let report = self.report.take().map(Report::read);
        let killed_early = || Exit::Lost("its process was killed before it became the task's program".into());
        let status = match report {
            None | Some(Report::Nothing) if oom && status != Status::Exited(0) => return Exit::Oom,
            Some(Report::KilledBeforeExec) if oom => return Exit::Oom,
            // An init never becomes a program; only what it reports tells of the task.
            None if before_exec => return killed_early(),
            Some(Report::KilledBeforeExec) => return killed_early(),
            None => status,
            Some(Report::Ended(status)) => status,
            Some(Report::NotStarted(stage, errno)) => {
                let error = io::Error::from_raw_os_error(errno);
                return Exit::NotStarted(not_started(stage, &error, &self.argv0, &self.directory));
            }
            Some(Report::NoSandbox(why)) => return Exit::NotStarted(format!("the sandbox could not be made: {why}")),
            Some(Report::Nothing) => return Exit::Lost("the init of its sandbox was killed".into()),
        };
        match status {
            Status::Exited(0) => Exit::Exited(0),
            _ if oom => Exit::Oom,
            Status::Exited(code) => Exit::Exited(code),
            Status::Signalled(signal) => Exit::Signalled(signal),
        }
    }

    fn drain(&mut self, stream: Stream, now: Time, reads: usize, buffer: &mut [u8]) {
        let fd = if stream == Stream::Out { &mut self.out } else { &mut self.err };
        let Some(pipe) = fd else { return };
        for _ in 0..reads {
            match rustix::io::read(&*pipe, &mut *buffer) {
                Ok(0) => {
                    *fd = None;
                    return;
                }
                Ok(got) => self.capture.push(now, stream, &buffer[..got]),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => {
                    *fd = None;
                    return;
                }
            }
        }
    }
}

struct Started {
    pid: i32,
    pidfd: OwnedFd,
    report: Option<OwnedFd>,
    out: OwnedFd,
    err: OwnedFd,
    cgroup: Option<Cgroup>,
}

impl Started {
    fn new(machinery: &Machinery, spawn: &Spawn) -> Result<Self, String> {
        let first = spawn.argv.first().map(String::as_str).unwrap_or_default();
        let program =
            Program::new(first, &spawn.argv, &spawn.env, &spawn.directory).map_err(|error| error.to_string())?;
        let (cgroup, procs) = match machinery.cgroups.create(&spawn.key, &spawn.limits) {
            Ok(made) => made.map_or((None, Vec::new()), |(cgroup, procs)| (Some(cgroup), procs)),
            Err(error) => return Err(format!("its limits cannot be set: {error}")),
        };
        let (out, out_in) = pipe()?;
        let (err, err_in) = pipe()?;
        let unenforced = matches!(machinery.cgroups, Cgroups::None(_));
        let fds = TaskFds {
            stdin: machinery.null.as_fd(),
            stdout: out_in.as_fd(),
            stderr: err_in.as_fd(),
            cgroups: &procs,
            data_bytes_max: spawn.limits.memory_bytes.filter(|_| unenforced),
        };
        let started = match (spawn.profile, &machinery.sandboxes) {
            (Profile::Standard, Some(sandboxes)) => sandboxes
                .start(spawn, &program, &fds)
                .map(|s| (s.pid, s.pidfd, Some(s.report)))
                .map_err(|error| format!("the sandbox could not be made: {error}")),
            (Profile::Standard | Profile::Trusted, sandboxes) => {
                start_plain(&program, &fds, spawn, sandboxes.as_ref().and_then(Sandboxes::host))
            }
            (Profile::Strict, _) => Err("profile strict is not available yet; use --profile standard".into()),
        };
        match started {
            Ok((pid, pidfd, report)) => Ok(Self { pid, pidfd, report, out, err, cgroup }),
            Err(why) => {
                if let Some(cgroup) = cgroup {
                    cgroup.remove();
                }
                Err(why)
            }
        }
    }
}

type PlainStart = (i32, OwnedFd, Option<OwnedFd>);

fn start_plain(
    program: &Program,
    fds: &TaskFds<'_>,
    spawn: &Spawn,
    mounts: Option<BorrowedFd<'_>>,
) -> Result<PlainStart, String> {
    let setting = Setting {
        stdin: fds.stdin,
        stdout: fds.stdout,
        stderr: fds.stderr,
        cgroups: fds.cgroups,
        mounts,
        capabilities: None,
        data_bytes_max: fds.data_bytes_max,
        die_with_parent: true,
    };
    match sys::start(program, &setting) {
        Ok((pid, pidfd)) => Ok((pid, pidfd, None)),
        Err((stage, error)) => {
            let argv0 = spawn.argv.first().map(String::as_str).unwrap_or_default();
            Err(not_started(stage, &error, argv0, &spawn.directory))
        }
    }
}

/// In upstream's words where it has some (Go's exec.LookPath as the emissary executor prints it).
fn not_started(stage: Stage, error: &io::Error, argv0: &str, directory: &str) -> String {
    let words = match error.raw_os_error() {
        Some(libc::ENOENT) => "no such file or directory".to_string(),
        Some(libc::EACCES) => "permission denied".to_string(),
        Some(libc::ENOEXEC) => "exec format error".to_string(),
        Some(libc::E2BIG) => "argument list too long".to_string(),
        _ => error.to_string(),
    };
    match stage {
        Stage::Exec if error.raw_os_error() == Some(libc::ENOENT) => {
            format!("failed to find name in PATH: exec: \"{argv0}\": stat {argv0}: {words}")
        }
        Stage::Exec if error.raw_os_error() == Some(libc::EACCES) => {
            format!("failed to find name in PATH: exec: \"{argv0}\": {words}")
        }
        Stage::Exec => format!("fork/exec {argv0}: {words}"),
        Stage::Directory => format!("working directory {directory}: {words}"),
        Stage::Clone | Stage::Setup => format!("the process could not be started: {words}"),
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), String> {
    let fail = |error: rustix::io::Errno| format!("no pipe for its output: {error}");
    let (from, to) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(fail)?;
    // Only our end: a task that finds its standard output full waits, as it is used to.
    rustix::fs::fcntl_setfl(&from, rustix::fs::OFlags::NONBLOCK).map_err(fail)?;
    Ok((from, to))
}
