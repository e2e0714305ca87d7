//! A started attempt: its process or sandbox, its pipes, its group; how it is started, signalled, and taken apart at its end.
//! It must never decide when: the machine says so.

use super::capture::Capture;
use super::cgroup::{Cgroup, Cgroups};
use super::handover::{Report, TaskFds};
use super::machine::Signal;
use super::pool::{Pool, Sandbox};
use super::program::{Enter, Program, Reaped, Setting, Stage, Status};
use super::sandbox::Sandboxes;
use super::sys;
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
    /// Sandboxes that are used again, where we have the power to enter one.
    pub pool: Option<Pool>,
    pub cgroups: Cgroups,
    /// `RLIMIT_NOFILE` of tasks: ours is raised.
    pub files_max: Option<libc::rlimit>,
    pub null: OwnedFd,
}

pub struct Task {
    pub key: AttemptKey,
    pid: i32,
    pidfd: OwnedFd,
    place: Place,
    out: Option<OwnedFd>,
    err: Option<OwnedFd>,
    capture: Capture,
    cgroup: Option<Cgroup>,
    started_at: Time,
    argv0: String,
    directory: String,
    scratch: PathBuf,
}

/// Where a task runs.
enum Place {
    /// Among the machine's other processes.
    Machine,
    /// In a sandbox of its own, whose init is our child, started it, and says here what became of it.
    Own(OwnedFd),
    /// In a sandbox of the pool, as our own child.
    Pooled(Box<Pooled>),
}

struct Pooled {
    sandbox: Sandbox,
    /// We have ended the sandbox.
    killed: bool,
    /// The task has ended; its sandbox is not to be used again, and ends.
    ended: Option<Ending>,
}

#[derive(Clone, Copy)]
struct Ending {
    reaped: Reaped,
    before_exec: bool,
    /// The sandbox was ended by somebody else.
    lost: bool,
}

/// What is left of a task.
pub struct Remains {
    pub end: Ended,
    /// A group that could not be removed yet.
    pub cgroup: Option<Cgroup>,
    /// One that was left clean.
    pub sandbox: Option<Sandbox>,
    /// The kind of sandbox in which something was left.
    pub dirty: Option<u64>,
    pub problems: Vec<String>,
}

impl Task {
    /// Starts an attempt.
    ///
    /// # Errors
    /// The end of the attempt: it could not be started.
    pub fn start(machinery: &mut Machinery, spawn: &Spawn, now: Time) -> Result<Self, Box<Remains>> {
        let mut capture =
            Capture::new(PathBuf::from(&spawn.log), PathBuf::from(&spawn.stdout), spawn.log_bytes_max, &spawn.masked);
        match Started::new(machinery, spawn) {
            Ok(started) => Ok(Self {
                key: spawn.key.clone(),
                pid: started.pid,
                pidfd: started.pidfd,
                place: started.place,
                out: Some(started.out),
                err: Some(started.err),
                capture,
                cgroup: started.cgroup,
                started_at: now,
                argv0: spawn.argv.first().cloned().unwrap_or_default(),
                directory: spawn.directory.clone(),
                scratch: PathBuf::from(&spawn.scratch),
            }),
            Err(why) => {
                capture.say(now, &why);
                let end = Ended {
                    exit: Exit::NotStarted(why),
                    started_at: None,
                    ended_at: now,
                    usage: Usage::default(),
                    kept: spawn.profile != Profile::Trusted,
                };
                let problems = capture.finish(now);
                Err(Box::new(Remains { end, cgroup: None, sandbox: None, dirty: None, problems }))
            }
        }
    }

    /// Children of ours that are no orphans as long as it is there.
    pub fn pids(&self) -> impl Iterator<Item = i32> {
        let init = if let Place::Pooled(pooled) = &self.place { Some(pooled.sandbox.pid()) } else { None };
        [self.pid].into_iter().chain(init)
    }

    /// Whether it may have left processes that are not seen by its end.
    pub fn can_leave_orphans(&self) -> bool {
        matches!(self.place, Place::Machine)
    }

    /// Its descriptors to wait for: end, standard output, standard error.
    pub fn fds(&self) -> [Option<BorrowedFd<'_>>; 3] {
        let end = match &self.place {
            Place::Pooled(pooled) if pooled.ended.is_some() => pooled.sandbox.pidfd(),
            _ => self.pidfd.as_fd(),
        };
        [Some(end), self.out.as_ref().map(AsFd::as_fd), self.err.as_ref().map(AsFd::as_fd)]
    }

    /// Reads what a stream has, through `buffer`.
    pub fn read(&mut self, stream: Stream, now: Time, buffer: &mut [u8]) {
        self.drain(stream, now, READS_A_ROUND, buffer);
        self.capture.flush(now);
    }

    pub fn signal(&mut self, signal: Signal) {
        let number = match signal {
            Signal::Term => rustix::process::Signal::TERM,
            Signal::Kill => rustix::process::Signal::KILL,
        };
        match &mut self.place {
            // The init passes SIGTERM on; with SIGKILL it takes the whole sandbox along.
            Place::Own(_) => sys::signal_init(self.pidfd.as_fd(), number),
            Place::Pooled(pooled) if signal == Signal::Kill => {
                pooled.killed = true;
                pooled.sandbox.kill();
            }
            // Its number may be another's by now.
            Place::Pooled(pooled) if pooled.ended.is_some() => {}
            Place::Pooled(_) => sys::signal_group(self.pid, number.as_raw()),
            Place::Machine => {
                sys::signal_group(self.pid, number.as_raw());
                if let (Signal::Kill, Some(cgroup)) = (signal, &self.cgroup) {
                    cgroup.kill();
                }
            }
        }
    }

    /// Takes it apart if it has ended; itself if it has not.
    pub fn finish(mut self, now: Time, buffer: &mut [u8]) -> Result<Remains, Box<Self>> {
        let Some(Ending { reaped, before_exec, lost }) = self.reap() else { return Err(Box::new(self)) };
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
        let place = std::mem::replace(&mut self.place, Place::Machine);
        let (report, left) = self.leave(place);
        let exit = match &left.problem {
            // It counts as one that did not end: what it declared may have been in there.
            Some(problem) => Exit::Lost(problem.clone()),
            None => self.exit(report, &Ending { reaped, before_exec, lost }, oom),
        };
        if let Exit::NotStarted(why) = &exit {
            self.capture.say(now, why);
        }
        let started_at = (!matches!(exit, Exit::NotStarted(_))).then_some(self.started_at);
        let end = Ended { exit, started_at, ended_at: now, usage, kept: left.kept };
        let mut problems = self.capture.finish(now);
        problems.extend(left.problem);
        Ok(Remains { end, cgroup, sandbox: left.sandbox, dirty: left.dirty, problems })
    }

    /// Reaps what has ended. `None`: it has not, or its sandbox has not.
    fn reap(&mut self) -> Option<Ending> {
        let Place::Pooled(pooled) = &mut self.place else {
            let before_exec = sys::dead(self.pid).is_some_and(|dead| dead.before_exec);
            let reaped = sys::wait(self.pid, false).ok()??;
            if matches!(self.place, Place::Machine) {
                sys::signal_group(self.pid, libc::SIGKILL);
                if let Some(cgroup) = &self.cgroup {
                    cgroup.kill();
                }
            }
            return Some(Ending { reaped, before_exec, lost: false });
        };
        let Some(ended) = pooled.ended else {
            let before_exec = sys::dead(self.pid).is_some_and(|dead| dead.before_exec);
            let reaped = sys::wait(self.pid, false).ok()??;
            let killed = reaped.status == Status::Signalled(libc::SIGKILL);
            let lost = killed && !pooled.killed && sys::is_exiting(pooled.sandbox.pid());
            let mut ending = Ending { reaped, before_exec, lost };
            if !lost && !pooled.killed && pooled.sandbox.is_clean() {
                let total_us = sys::spent_us(pooled.sandbox.pid());
                ending.reaped.cpu_us += pooled.sandbox.spent_by_orphans(total_us);
                return Some(ending);
            }
            pooled.sandbox.kill();
            pooled.ended = Some(ending);
            return None;
        };
        // Its end is the end of all that ran in it, and of its mounts.
        let init = sys::wait(pooled.sandbox.pid(), false).ok()??;
        let mut ended = ended;
        ended.reaped.cpu_us += pooled.sandbox.spent_by_orphans(Some(init.cpu_us));
        Some(ended)
    }

    /// What becomes of the place of a task that has ended: the report of an init, and what is left.
    fn leave(&self, place: Place) -> (Option<Report>, Left) {
        match place {
            Place::Machine => (None, Left::default()),
            Place::Own(report) => (Some(Report::read(report)), Left { kept: true, ..Left::default() }),
            Place::Pooled(pooled) if pooled.ended.is_none() => {
                (None, Left { sandbox: Some(pooled.sandbox), ..Left::default() })
            }
            Place::Pooled(pooled) => {
                let handed = pooled.sandbox.hand_over(&self.scratch);
                let problem = handed.err().map(|error| format!("what it wrote is lost: {error}"));
                let dirty = Some(pooled.sandbox.shape());
                (None, Left { kept: true, dirty, problem, ..Left::default() })
            }
        }
    }

    fn exit(&self, report: Option<Report>, ending: &Ending, oom: bool) -> Exit {
        let killed_early = || Exit::Lost("its process was killed before it became the task's program".into());
        let status = match report {
            None if ending.lost && !oom => return Exit::Lost(NO_INIT.into()),
            None | Some(Report::Nothing) if oom && ending.reaped.status != Status::Exited(0) => return Exit::Oom,
            Some(Report::KilledBeforeExec) if oom => return Exit::Oom,
            // An init never becomes a program; only what it reports tells of the task.
            None if ending.before_exec => return killed_early(),
            Some(Report::KilledBeforeExec) => return killed_early(),
            None => ending.reaped.status,
            Some(Report::Ended(status)) => status,
            Some(Report::NotStarted(stage, errno)) => {
                let error = io::Error::from_raw_os_error(errno);
                return Exit::NotStarted(not_started(stage, &error, &self.argv0, &self.directory));
            }
            Some(Report::NoSandbox(why)) => return Exit::NotStarted(format!("the sandbox could not be made: {why}")),
            Some(Report::Nothing) => return Exit::Lost(NO_INIT.into()),
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

const NO_INIT: &str = "the init of its sandbox was killed";

/// What is left of a task's place.
#[derive(Default)]
struct Left {
    sandbox: Option<Sandbox>,
    dirty: Option<u64>,
    /// What it wrote lies in its scratch directory.
    kept: bool,
    problem: Option<String>,
}

struct Started {
    pid: i32,
    pidfd: OwnedFd,
    place: Place,
    out: OwnedFd,
    err: OwnedFd,
    cgroup: Option<Cgroup>,
}

impl Started {
    fn new(machinery: &mut Machinery, spawn: &Spawn) -> Result<Self, String> {
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
            files_max: machinery.files_max,
        };
        let started = match (spawn.profile, &machinery.sandboxes) {
            (Profile::Standard | Profile::Strict, Some(sandboxes)) => {
                start_sandboxed(sandboxes, &mut machinery.pool, spawn, &program, &fds)
            }
            (Profile::Standard | Profile::Trusted, sandboxes) => {
                start_plain(&program, &fds, spawn, sandboxes.as_ref().and_then(Sandboxes::host))
            }
            (Profile::Strict, None) => Err(crate::local::NO_STRICT.into()),
        };
        match started {
            Ok((pid, pidfd, place)) => Ok(Self { pid, pidfd, place, out, err, cgroup }),
            Err(why) => {
                if let Some(cgroup) = cgroup {
                    cgroup.remove();
                }
                Err(why)
            }
        }
    }
}

type Begun = (i32, OwnedFd, Place);

/// In a sandbox that stands ready, else in one that is made for it.
fn start_sandboxed(
    sandboxes: &Sandboxes,
    pool: &mut Option<Pool>,
    spawn: &Spawn,
    program: &Program,
    fds: &TaskFds<'_>,
) -> Result<Begun, String> {
    if let Some(pool) = pool
        && let Some(sandbox) = pool.take(sandboxes, spawn)
    {
        let enter = Enter::Sandbox { init: sandbox.pidfd(), back: pool.own_pids() };
        match sys::start(program, &in_sandbox(fds, enter, sandboxes.filter())) {
            Ok((pid, pidfd)) => {
                let pooled = Pooled { sandbox, killed: false, ended: None };
                return Ok((pid, pidfd, Place::Pooled(Box::new(pooled))));
            }
            // The other way makes the working directory, and says what is wrong with a program.
            Err((Stage::Exec | Stage::Directory, _)) => pool.put_back(sandbox),
            Err(_) => pool.throw_away(sandbox),
        }
    }
    let own = sandboxes.start(spawn, program, fds);
    let own = own.map_err(|error| format!("the sandbox could not be made: {error}"))?;
    Ok((own.pid, own.pidfd, Place::Own(own.report)))
}

fn start_plain(
    program: &Program,
    fds: &TaskFds<'_>,
    spawn: &Spawn,
    mounts: Option<BorrowedFd<'_>>,
) -> Result<Begun, String> {
    match sys::start(program, &setting(fds, mounts.map(Enter::Mounts))) {
        Ok((pid, pidfd)) => Ok((pid, pidfd, Place::Machine)),
        Err((stage, error)) => {
            let argv0 = spawn.argv.first().map(String::as_str).unwrap_or_default();
            Err(not_started(stage, &error, argv0, &spawn.directory))
        }
    }
}

fn in_sandbox<'a>(fds: &'a TaskFds<'a>, enter: Enter<'a>, filter: &'a [sys::Instruction]) -> Setting<'a> {
    let capabilities = Some(sys::TASK_CAPABILITIES);
    // The sandbox's init dies with us.
    Setting { capabilities, filter, die_with_parent: false, ..setting(fds, Some(enter)) }
}

fn setting<'a>(fds: &'a TaskFds<'a>, enter: Option<Enter<'a>>) -> Setting<'a> {
    Setting {
        stdin: fds.stdin,
        stdout: fds.stdout,
        stderr: fds.stderr,
        cgroups: fds.cgroups,
        enter,
        capabilities: None,
        filter: &[],
        rules: None,
        no_new_privileges: false,
        data_bytes_max: fds.data_bytes_max,
        files_max: fds.files_max,
        die_with_parent: true,
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
    let fail = |error: io::Error| format!("no pipe for its output: {error}");
    let (from, to) = sys::pipe().map_err(fail)?;
    // Only our end: a task that finds its standard output full waits, as it is used to.
    rustix::fs::fcntl_setfl(&from, rustix::fs::OFlags::NONBLOCK).map_err(|error| fail(error.into()))?;
    Ok((from, to))
}
