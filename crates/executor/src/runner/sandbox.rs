//! The sandbox of profile `standard`: namespaces, a private overlay over the machine's files, and an init (DESIGN §5).
//! It must never be built by a process with more than one thread, nor know why a task is run.
//!
//! A sandbox serves one attempt, whose task its init starts (`start`), or several that are started from outside (`make`, `pool`).

use super::confine;
use super::filter::Filters;
use super::handover::{NO_EXEC, TaskFds, read_report};
use super::mounts;
use super::program::{Confined, Enter, Program, Setting, Stage, Status};
use super::root;
use super::sys::confinement::TASK_CAPABILITIES;
use super::sys::landlock::Ruleset;
use super::sys::{self, Namespaces};
use crate::home::Home;
use model::attempt::Profile;
use model::runner::{Bind, Spawn};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountPropagationFlags;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What sandboxes of this machine are made from.
pub struct Sandboxes {
    pub(super) kind: Namespaces,
    pub(super) home: PathBuf,
    /// A file system of ours with `root`, `slot`, `layer` and `dev`. Under root it is mounted once, in the runner's own mount
    /// namespace; in user namespaces each init mounts it again.
    pub(super) base: PathBuf,
    /// The mount namespace in which tasks without a sandbox run.
    host: Option<OwnedFd>,
    filters: Filters,
}

/// A started sandbox: its init, and the pipe by which that tells what became of the task.
pub struct Started {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub report: OwnedFd,
}

impl Sandboxes {
    /// Makes ready what all sandboxes share, and tries one. Under root this moves the runner into a mount namespace of its own.
    ///
    /// # Errors
    /// Why this machine has no sandboxes, for a notice.
    pub fn prepare(home: &Home) -> Result<Self, String> {
        let base = home.sandbox();
        fs::create_dir_all(&base).map_err(|error| format!("{}: {error}", base.display()))?;
        let root = rustix::process::geteuid().is_root();
        let kind = if root { Namespaces::Root } else { Namespaces::User };
        let mut sandboxes = Self { kind, home: home.root().to_path_buf(), base, host: None, filters: Filters::new() };
        if root {
            let host = fs::File::open("/proc/self/ns/mnt").map_err(|error| format!("/proc/self/ns/mnt: {error}"))?;
            sys::unshare_mounts().map_err(|error| format!("no mount namespace: {error}"))?;
            sandboxes.host = Some(host.into());
            rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
                .map_err(|error| format!("making mounts private: {error}"))?;
            root::make_base(&sandboxes.base, Namespaces::Root)?;
        }
        sandboxes.probe()?;
        Ok(sandboxes)
    }

    /// The mount namespace that tasks without a sandbox have to join; `None` where the runner never left it.
    pub fn host(&self) -> Option<BorrowedFd<'_>> {
        self.host.as_ref().map(AsFd::as_fd)
    }

    /// What tasks of profile `standard` may not ask of the kernel; empty where it cannot be told.
    pub fn filter(&self) -> &[sys::Instruction] {
        self.filters.standard()
    }

    /// Standard input of tasks: seen through a read-only mount, so that a task cannot change the machine's own device by its descriptor.
    ///
    /// # Errors
    /// There is no /dev/null, or its mount cannot be copied.
    pub fn null(&self) -> io::Result<OwnedFd> {
        let open = OFlags::RDWR | OFlags::CLOEXEC;
        match self.kind {
            Namespaces::Root => {
                let dev = root::clone_mount(&self.base.join("dev"), true, false).map_err(io::Error::other)?;
                Ok(rustix::fs::openat(&dev, "null", open, Mode::empty())?)
            }
            // Each init opens its own.
            Namespaces::User => Ok(rustix::fs::open("/dev/null", open, Mode::empty())?),
        }
    }

    /// What tasks cannot do in them on this machine that a person would expect.
    pub fn notice(&self) -> Option<String> {
        let closed = if self.kind == Namespaces::User { mounts::read_only_for_users() } else { Vec::new() };
        let names: Vec<_> = closed.iter().map(|path| path.display().to_string()).collect();
        (!names.is_empty()).then(|| {
            format!(
                "tasks cannot write everywhere below {}: there are mounts in it, over which only root can lay a layer",
                names.join(", ")
            )
        })
    }

    /// Starts a task in a new sandbox.
    ///
    /// # Errors
    /// There is no room for another process. What goes wrong inside comes through the report.
    pub fn start(&self, spawn: &Spawn, program: Program, fds: &TaskFds<'_>) -> io::Result<Started> {
        let (report, report_in) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let me = std::process::id();
        let body = || self.init(me, spawn, program, fds, report_in.as_fd());
        let (pid, pidfd) = sys::fork_into(self.kind, spawn.profile == Profile::Strict, body)?;
        Ok(Started { pid, pidfd, report })
    }

    /// Begins to make a sandbox for tasks that are started in it later, with its layers below `dir`. Its report is `MADE`, or what
    /// went wrong.
    ///
    /// # Errors
    /// There is no room for another process.
    pub fn make(&self, dir: &Path, binds: &[Bind]) -> io::Result<Started> {
        let (report, report_in) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let null = fs::File::options().read(true).write(true).open("/dev/null")?;
        let null = null.as_fd();
        let fds =
            TaskFds { stdin: null, stdout: null, stderr: null, cgroups: &[], data_bytes_max: None, files_max: None };
        let me = std::process::id();
        let body = || {
            let Some((report, _)) = begin_init(me, &fds, report_in.as_fd()) else { return 1 };
            let built = self.build(dir, binds);
            let said = built.as_ref().err().map_or_else(|| MADE.to_owned(), |why| format!("failed sandbox: {why}"));
            if write_all(report.as_fd(), said.as_bytes()).is_err() || built.is_err() {
                return 1;
            }
            drop(report);
            reap_for_ever()
        };
        let (pid, pidfd) = sys::fork_into(self.kind, false, body)?;
        Ok(Started { pid, pidfd, report })
    }

    /// How a task gets into a sandbox that stands ready. `back`: our own PID namespace.
    pub fn enter<'a>(&self, init: BorrowedFd<'a>, back: BorrowedFd<'a>) -> Enter<'a> {
        match self.kind {
            Namespaces::Root => Enter::Sandbox { init, back },
            Namespaces::User => Enter::User { init },
        }
    }

    fn probe(&self) -> Result<(), String> {
        let scratch = self.home.join("sandbox.probe");
        // Of a runner that died here: an overlay is not mounted over what an unclean end of another left.
        crate::local::scratch::remove(&scratch);
        let made = fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()));
        let tried = made.and_then(|()| {
            let (report, report_in) = pipe()?;
            let body = || {
                let built = self.build(&scratch, &[]).err().unwrap_or_default();
                let _ = write_all(report_in.as_fd(), built.as_bytes());
                0
            };
            let (pid, _) = sys::fork_into(self.kind, false, body).map_err(|error| format!("no namespaces: {error}"))?;
            drop(report_in);
            let said = read_report(report);
            let _ = sys::wait(pid, true);
            if said.is_empty() { Ok(()) } else { Err(said) }
        });
        crate::local::scratch::remove(&scratch);
        tried
    }

    /// The life of process 1 of a sandbox. Answers its exit code, which nobody reads: the report counts.
    fn init(&self, parent_pid: u32, spawn: &Spawn, program: Program, fds: &TaskFds<'_>, report: BorrowedFd<'_>) -> i32 {
        let Some((report, cgroups)) = begin_init(parent_pid, fds, report) else { return 1 };
        let strict = spawn.profile == Profile::Strict;
        let built = self.build(Path::new(&spawn.scratch), &spawn.binds).and_then(|()| {
            make_directories(spawn)?;
            if !strict {
                return Ok(None);
            }
            sys::network::bring_loopback_up().map_err(|error| format!("its loopback device: {error}"))?;
            confine::rules(spawn)
        });
        let said = match built {
            Ok(rules) => {
                let filter = if strict { self.filters.strict() } else { self.filters.standard() };
                let rules = rules.as_ref().map(Ruleset::fd);
                let confined = Confined { capabilities: TASK_CAPABILITIES, filter, rules, no_new_privileges: strict };
                run_task(program, &cgroups, fds, confined)
            }
            Err(why) => format!("failed sandbox: {why}"),
        };
        i32::from(write_all(report.as_fd(), said.as_bytes()).is_err())
    }
}

/// The report's number in an init; 0 to 2 are the task's.
const REPORT: i32 = 3;

/// What a sandbox says that was made ahead.
pub const MADE: &str = "made";

/// The beginning of an init: it dies with the runner, and has its own descriptors only. Answers the report's and the cgroups'.
fn begin_init(parent_pid: u32, fds: &TaskFds<'_>, report: BorrowedFd<'_>) -> Option<(OwnedFd, Vec<OwnedFd>)> {
    sys::die_with_parent();
    // It may have died before that call. Our own parent is not seen from here, but in the machine's /proc.
    if parent().is_some_and(|seen| seen != parent_pid) {
        return None;
    }
    let cgroups = keep_only(fds, report).ok()?;
    Some((sys::own(REPORT), cgroups))
}

/// The life of an init whose tasks are started from outside: it buries those that lost their parents.
fn reap_for_ever() -> i32 {
    loop {
        sys::next_init_signal();
        while matches!(sys::wait(-1, false), Ok(Some(_))) {}
    }
}

/// The parent of this process in the PID namespace of the mounted /proc.
fn parent() -> Option<u32> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // "pid (name) state parent …"; the name may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Closes all that was inherited but the task's descriptors, the report and the cgroups, which get fixed numbers.
fn keep_only(fds: &TaskFds<'_>, report: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    const ASIDE: i32 = 200;
    let wanted = [fds.stdin, fds.stdout, fds.stderr, report];
    let wanted = wanted.into_iter().chain(fds.cgroups.iter().map(AsFd::as_fd));
    let aside = wanted.map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, ASIDE)).collect::<Result<Vec<_>, _>>()?;
    for (number, fd) in aside.iter().enumerate() {
        sys::move_to(fd.as_fd(), number as i32)?;
    }
    let last = aside.len() as i32;
    // The descriptors themselves are closed right below; their owners must not close the numbers again.
    aside.into_iter().for_each(std::mem::forget);
    sys::close_from(last);
    rustix::io::fcntl_setfd(sys::borrow(REPORT), rustix::io::FdFlags::CLOEXEC)?;
    let cgroups = (REPORT + 1..last).map(|fd| rustix::io::fcntl_dupfd_cloexec(sys::borrow(fd), last));
    let cgroups = cgroups.collect::<Result<Vec<_>, _>>();
    for fd in REPORT + 1..last {
        rustix::io::fcntl_setfd(sys::borrow(fd), rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(cgroups?)
}

/// The working directory, and under `strict` what Landlock's rules need something to stand on.
fn make_directories(spawn: &Spawn) -> Result<(), String> {
    let make = |dir: &String| fs::create_dir_all(dir).map_err(|error| format!("directory {dir}: {error}"));
    fs::create_dir_all(&spawn.directory).map_err(|error| format!("working directory {}: {error}", spawn.directory))?;
    spawn.open.iter().try_for_each(make)
}

fn run_task(program: Program, cgroups: &[OwnedFd], fds: &TaskFds<'_>, confined: Confined<'_>) -> String {
    // The sandbox's own: nobody can change what it stands for.
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let setting = Setting {
        stdin: null.as_ref().map_or_else(|_| sys::borrow(0), AsFd::as_fd),
        stdout: sys::borrow(1),
        stderr: sys::borrow(2),
        cgroups,
        enter: None,
        confined: Some(confined),
        data_bytes_max: fds.data_bytes_max,
        files_max: fds.files_max,
        die_with_parent: false,
    };
    let task = match sys::start::start(program, &setting) {
        Ok(child) => child.pid,
        Err((stage, error)) => return format!("failed {} {}", stage_name(stage), error.raw_os_error().unwrap_or(0)),
    };
    // The task alone holds the pipes now, so that their end is its end.
    for fd in 0..REPORT {
        let _ = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty())
            .map_err(io::Error::from)
            .and_then(|null| sys::move_to(null.as_fd(), fd));
    }
    loop {
        if sys::next_init_signal() == libc::SIGTERM {
            sys::signal_group(task, libc::SIGTERM);
        }
        while let Some(dead) = sys::dead(-1) {
            let Ok(Some(reaped)) = sys::wait(dead.pid, false) else { break };
            if reaped.pid == task {
                return match reaped.status {
                    Status::Signalled(_) if dead.before_exec => NO_EXEC.into(),
                    Status::Exited(code) => format!("exited {code}"),
                    Status::Signalled(signal) => format!("signalled {signal}"),
                };
            }
        }
    }
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Clone => "clone",
        Stage::Setup => "setup",
        Stage::Directory => "directory",
        Stage::Exec => "exec",
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), String> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| format!("pipe: {error}"))
}

fn write_all(to: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    fs::File::from(to.try_clone_to_owned()?).write_all(bytes)
}
