//! A started attempt: its process or sandbox, its pipes, its group; how it is started, signalled, and taken apart at its end.
//! It must never decide when: the machine says so.

use super::capture::Capture;
use super::cgroup::{Cgroup, Cgroups};
use super::handover::{Report, TaskFds};
use super::machine::Signal;
use super::pool::{Pool, Sandbox};
use super::power::Power;
use super::program::{Enter, Failure, Program, Reaped, Setting, Stage, Status};
use super::sandbox::Sandboxes;
use super::sys::{self, start::Child};
use artifacts::log::Stream;
use model::attempt::Profile;
use model::runner::{Ended, Spawn};
use model::{AttemptKey, Exit, Time, Usage};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

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
    pub power: Power,
    pub cgroups: Cgroups,
    /// `RLIMIT_NOFILE` of tasks: ours is raised.
    pub files_max: Option<libc::rlimit>,
    pub null: Rc<OwnedFd>,
}

pub struct Task {
    pub key: AttemptKey,
    child: Child,
    place: Place,
    /// Kept until the program is executed.
    spawn: Option<Box<Spawn>>,
    signalled: bool,
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

/// What becomes of a task that may have ended.
pub enum Finish {
    Not(Box<Task>),
    Ended(Box<Remains>),
    /// It could not become its program in the sandbox that it was given.
    Refused(Box<Refused>),
}

/// A task that is to be started once more, in a sandbox of its own: that makes its working directory, and says what is wrong with a
/// program.
pub struct Refused {
    spawn: Box<Spawn>,
    sandbox: Sandbox,
    /// Whether nothing can be started in the sandbox.
    is_broken: bool,
}

impl Task {
    /// Starts an attempt.
    ///
    /// # Errors
    /// The end of the attempt: it could not be started.
    pub fn start(machinery: &mut Machinery, spawn: Box<Spawn>, now: Time) -> Result<Self, Box<Remains>> {
        Self::begin(machinery, spawn, now, true)
    }

    /// Starts an attempt in a sandbox of its own.
    ///
    /// # Errors
    /// As `start`.
    pub fn start_again(machinery: &mut Machinery, refused: Refused, now: Time) -> Result<Self, Box<Remains>> {
        if let Some(pool) = &mut machinery.pool {
            if refused.is_broken { pool.throw_away(refused.sandbox) } else { pool.put_back(refused.sandbox) }
        }
        Self::begin(machinery, refused.spawn, now, false)
    }

    fn begin(machinery: &mut Machinery, spawn: Box<Spawn>, now: Time, pooled: bool) -> Result<Self, Box<Remains>> {
        let mut capture =
            Capture::new(PathBuf::from(&spawn.log), PathBuf::from(&spawn.stdout), spawn.log_bytes_max, &spawn.masked);
        match Started::new(machinery, &spawn, pooled) {
            Ok(started) => Ok(Self {
                key: spawn.key.clone(),
                child: started.child,
                place: started.place,
                signalled: false,
                out: Some(started.out),
                err: Some(started.err),
                capture,
                cgroup: started.cgroup,
                started_at: now,
                argv0: spawn.argv.first().cloned().unwrap_or_default(),
                directory: spawn.directory.clone(),
                scratch: PathBuf::from(&spawn.scratch),
                spawn: Some(spawn),
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

    /// Gives back what only its start needed, once it runs.
    pub fn settle(&mut self) {
        if self.spawn.is_some() && self.child.has_left() && self.child.failure().is_none() {
            self.spawn = None;
        }
    }

    /// Children of ours that are no orphans as long as it is there.
    pub fn pids(&self) -> impl Iterator<Item = i32> {
        let init = if let Place::Pooled(pooled) = &self.place { Some(pooled.sandbox.pid()) } else { None };
        [self.child.pid].into_iter().chain(init)
    }

    /// Whether it may have left processes that are not seen by its end.
    pub fn can_leave_orphans(&self) -> bool {
        matches!(self.place, Place::Machine)
    }

    /// Its descriptors to wait for: end, standard output, standard error.
    pub fn fds(&self) -> [Option<BorrowedFd<'_>>; 3] {
        let end = match &self.place {
            Place::Pooled(pooled) if pooled.ended.is_some() => pooled.sandbox.pidfd(),
            _ => self.child.pidfd.as_fd(),
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
        self.signalled = true;
        match &mut self.place {
            // The init passes SIGTERM on; with SIGKILL it takes the whole sandbox along.
            Place::Own(_) => sys::signal_one(self.child.pidfd.as_fd(), number),
            Place::Pooled(pooled) if signal == Signal::Kill => {
                pooled.killed = true;
                pooled.sandbox.kill();
            }
            // Its number may be another's by now.
            Place::Pooled(pooled) if pooled.ended.is_some() => {}
            Place::Pooled(_) => self.signal_group(number),
            Place::Machine => {
                self.signal_group(number);
                if let (Signal::Kill, Some(cgroup)) = (signal, &self.cgroup) {
                    cgroup.kill();
                }
            }
        }
    }

    fn signal_group(&self, number: rustix::process::Signal) {
        if !sys::signal_group(self.child.pid, number.as_raw()) {
            // It is not yet so far as to have one.
            sys::signal_one(self.child.pidfd.as_fd(), number);
        }
    }

    /// Takes it apart if it has ended.
    pub fn finish(mut self, now: Time, buffer: &mut [u8]) -> Finish {
        let Some(ending) = self.reap() else { return Finish::Not(Box::new(self)) };
        let failure = self.child.failure();
        if let (Some((stage, _)), false, Some(spawn)) = (&failure, self.signalled, self.spawn.take()) {
            match self.place {
                Place::Pooled(pooled) if pooled.ended.is_none() => {
                    // Its group is named after the attempt, and so the next one's too.
                    let is_broken = !matches!(stage, Stage::Exec | Stage::Directory);
                    return Finish::Refused(Box::new(Refused { spawn, sandbox: pooled.sandbox, is_broken }));
                }
                other => self.place = other,
            }
        }
        Finish::Ended(Box::new(self.take_apart(ending, failure, now, buffer)))
    }

    fn take_apart(mut self, ending: Ending, failure: Option<Failure>, now: Time, buffer: &mut [u8]) -> Remains {
        let Ending { reaped, before_exec, lost } = ending;
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
            None => match failure {
                Some((stage, error)) => Exit::NotStarted(not_started(stage, &error, &self.argv0, &self.directory)),
                None => self.exit(report, &Ending { reaped, before_exec, lost }, oom),
            },
        };
        if let Exit::NotStarted(why) = &exit {
            self.capture.say(now, why);
        }
        let started_at = (!matches!(exit, Exit::NotStarted(_))).then_some(self.started_at);
        let end = Ended { exit, started_at, ended_at: now, usage, kept: left.kept };
        let mut problems = self.capture.finish(now);
        problems.extend(left.problem);
        Remains { end, cgroup, sandbox: left.sandbox, dirty: left.dirty, problems }
    }

    /// Reaps what has ended. `None`: it has not, or its sandbox has not.
    fn reap(&mut self) -> Option<Ending> {
        let began = UNIX_EPOCH + Duration::from_micros(u64::try_from(self.started_at.0).unwrap_or(0));
        let Place::Pooled(pooled) = &mut self.place else {
            let before_exec = sys::dead(self.child.pid).is_some_and(|dead| dead.before_exec);
            let reaped = sys::wait(self.child.pid, false).ok()??;
            self.child.is_dead();
            if matches!(self.place, Place::Machine) {
                sys::signal_group(self.child.pid, libc::SIGKILL);
                if let Some(cgroup) = &self.cgroup {
                    cgroup.kill();
                }
            }
            return Some(Ending { reaped, before_exec, lost: false });
        };
        let Some(ended) = pooled.ended else {
            let before_exec = sys::dead(self.child.pid).is_some_and(|dead| dead.before_exec);
            let reaped = sys::wait(self.child.pid, false).ok()??;
            self.child.is_dead();
            let killed = reaped.status == Status::Signalled(libc::SIGKILL);
            let lost = killed && !pooled.killed && sys::is_exiting(pooled.sandbox.pid());
            let mut ending = Ending { reaped, before_exec, lost };
            if !lost && !pooled.killed && pooled.sandbox.is_clean(began) {
                let total_us = pooled.sandbox.spent_us();
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
    child: Child,
    place: Place,
    out: OwnedFd,
    err: OwnedFd,
    cgroup: Option<Cgroup>,
}

impl Started {
    fn new(machinery: &mut Machinery, spawn: &Spawn, pooled: bool) -> Result<Self, String> {
        let program = program_of(spawn)?;
        let (cgroup, procs) = match machinery.cgroups.create(&spawn.key, &spawn.limits) {
            Ok(made) => made.map_or((None, Vec::new()), |(cgroup, procs)| (Some(cgroup), procs)),
            Err(error) => return Err(format!("its limits cannot be set: {error}")),
        };
        let (out, out_in) = pipe()?;
        let (err, err_in) = pipe()?;
        let null = Rc::clone(&machinery.null);
        let unenforced = matches!(machinery.cgroups, Cgroups::None(_));
        let fds = TaskFds {
            stdin: null.as_fd(),
            stdout: out_in.as_fd(),
            stderr: err_in.as_fd(),
            cgroups: &procs,
            data_bytes_max: spawn.limits.memory_bytes.filter(|_| unenforced),
            files_max: machinery.files_max,
        };
        match machinery.begin(spawn, program, &fds, pooled) {
            Ok((child, place)) => Ok(Self { child, place, out, err, cgroup }),
            Err(why) => {
                if let Some(cgroup) = cgroup {
                    cgroup.remove();
                }
                Err(why)
            }
        }
    }
}

type Begun = (Child, Place);

impl Machinery {
    fn begin(&mut self, spawn: &Spawn, program: Program, fds: &TaskFds<'_>, pooled: bool) -> Result<Begun, String> {
        match (spawn.profile, &self.sandboxes) {
            (Profile::Standard | Profile::Strict, Some(sandboxes)) => {
                let taken = self.pool.as_mut().filter(|_| pooled).and_then(|pool| pool.take(sandboxes, spawn));
                match taken {
                    Some(sandbox) => self.begin_pooled(spawn, program, fds, sandbox),
                    None => self.begin_own(spawn, program, fds),
                }
            }
            (Profile::Standard | Profile::Trusted, _) => self.begin_plain(spawn, program, fds),
            (Profile::Strict, None) => Err(crate::local::NO_STRICT.into()),
        }
    }

    /// In a sandbox that stands ready.
    fn begin_pooled(
        &mut self,
        spawn: &Spawn,
        program: Program,
        fds: &TaskFds<'_>,
        sandbox: Sandbox,
    ) -> Result<Begun, String> {
        let (Some(sandboxes), Some(pool)) = (&self.sandboxes, &mut self.pool) else { return Err(NO_INIT.into()) };
        let enter = Some(sandboxes.enter(sandbox.pidfd(), pool.own_pids()));
        // The sandbox's init dies with us.
        let setting = Setting { stdin: sandbox.null(), die_with_parent: false, ..setting(fds, enter) };
        match self.power.begin_pooled(program, setting, sandboxes) {
            Ok(child) => {
                let pooled = Pooled { sandbox, killed: false, ended: None };
                Ok((child, Place::Pooled(Box::new(pooled))))
            }
            Err(_) => {
                pool.throw_away(sandbox);
                self.begin_own(spawn, program_of(spawn)?, fds)
            }
        }
    }

    /// In a sandbox that is made for it.
    fn begin_own(&self, spawn: &Spawn, program: Program, fds: &TaskFds<'_>) -> Result<Begun, String> {
        let Some(sandboxes) = &self.sandboxes else { return Err(NO_INIT.into()) };
        let own = sandboxes.start(spawn, program, fds);
        let own = own.map_err(|error| format!("the sandbox could not be made: {error}"))?;
        Ok((Child::of(own.pid, own.pidfd), Place::Own(own.report)))
    }

    fn begin_plain(&self, spawn: &Spawn, program: Program, fds: &TaskFds<'_>) -> Result<Begun, String> {
        let mounts = self.sandboxes.as_ref().and_then(Sandboxes::host);
        let begun = self.power.begin_plain(program, &setting(fds, mounts.map(Enter::Mounts)));
        begun.map(|child| (child, Place::Machine)).map_err(|(stage, error)| {
            let argv0 = spawn.argv.first().map(String::as_str).unwrap_or_default();
            not_started(stage, &error, argv0, &spawn.directory)
        })
    }
}

fn program_of(spawn: &Spawn) -> Result<Program, String> {
    let first = spawn.argv.first().map(String::as_str).unwrap_or_default();
    Program::new(first, &spawn.argv, &spawn.env, &spawn.directory).map_err(|error| error.to_string())
}

fn setting<'a>(fds: &'a TaskFds<'a>, enter: Option<Enter<'a>>) -> Setting<'a> {
    Setting {
        stdin: fds.stdin,
        stdout: fds.stdout,
        stderr: fds.stderr,
        cgroups: fds.cgroups,
        enter,
        confined: None,
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
