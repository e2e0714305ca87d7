//! The sandbox of profile `standard`: namespaces, a private overlay over the machine's files, and an init (DESIGN §5).
//! It must never be built by a process with more than one thread, nor know why a task is run.
//!
//! One sandbox serves one attempt. Making them ahead and using clean ones again has its place in `Sandboxes::start`: the init
//! would wait for its task instead of being handed one.

use super::mounts::{self, HostMount};
use super::sys::{self, Namespaces, Program, Setting, Stage, Status};
use crate::home::Home;
use model::runner::{Bind, BindKind, Spawn};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where a sandbox shows what is ours: `home`, `source`, `cache`, `bin`.
pub const INSIDE: &str = "/towpath";

/// What sandboxes of this machine are made from.
pub struct Sandboxes {
    kind: Namespaces,
    home: PathBuf,
    /// A file system of ours with `root`, `slot`, `layer` and `dev`. Under root it is mounted once, in the runner's own mount
    /// namespace; in user namespaces each init mounts it again.
    base: PathBuf,
    /// The mount namespace in which tasks without a sandbox run.
    host: Option<OwnedFd>,
}

/// A started sandbox: its init, and the pipe by which that tells what became of the task.
pub struct Started {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub report: OwnedFd,
}

/// The descriptors of a task.
pub struct TaskFds<'a> {
    pub stdin: BorrowedFd<'a>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    pub cgroups: &'a [OwnedFd],
    /// `RLIMIT_DATA`, where no cgroup enforces the memory limit.
    pub data_bytes_max: Option<u64>,
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
        let mut sandboxes = Self { kind, home: home.root().to_path_buf(), base, host: None };
        if root {
            let host = fs::File::open("/proc/self/ns/mnt").map_err(|error| format!("/proc/self/ns/mnt: {error}"))?;
            sys::unshare_mounts().map_err(|error| format!("no mount namespace: {error}"))?;
            sandboxes.host = Some(host.into());
            rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
                .map_err(|error| format!("making mounts private: {error}"))?;
            make_base(&sandboxes.base, Namespaces::Root)?;
        }
        sandboxes.probe()?;
        Ok(sandboxes)
    }

    /// The mount namespace that tasks without a sandbox have to join; `None` where the runner never left it.
    pub fn host(&self) -> Option<BorrowedFd<'_>> {
        self.host.as_ref().map(AsFd::as_fd)
    }

    /// Starts a task in a new sandbox.
    ///
    /// # Errors
    /// There is no room for another process. What goes wrong inside comes through the report.
    pub fn start(&self, spawn: &Spawn, program: &Program, fds: &TaskFds<'_>) -> io::Result<Started> {
        let (report, report_in) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let me = std::process::id();
        let (pid, pidfd) = sys::fork_into(self.kind, || self.init(me, spawn, program, fds, report_in.as_fd()))?;
        Ok(Started { pid, pidfd, report })
    }

    fn probe(&self) -> Result<(), String> {
        let scratch = self.home.join("sandbox.probe");
        let made = fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()));
        let tried = made.and_then(|()| {
            let (report, report_in) = pipe()?;
            let body = || {
                let built = self.build(&scratch, &[]).err().unwrap_or_default();
                let _ = write_all(report_in.as_fd(), built.as_bytes());
                0
            };
            let (pid, _) = sys::fork_into(self.kind, body).map_err(|error| format!("no namespaces: {error}"))?;
            drop(report_in);
            let said = read_report(report);
            let _ = sys::wait(pid, true);
            if said.is_empty() { Ok(()) } else { Err(said) }
        });
        crate::local::scratch::remove(&scratch);
        tried
    }

    /// The life of process 1 of a sandbox. Answers its exit code, which nobody reads: the report counts.
    fn init(
        &self,
        parent_pid: u32,
        spawn: &Spawn,
        program: &Program,
        fds: &TaskFds<'_>,
        report: BorrowedFd<'_>,
    ) -> i32 {
        sys::die_with_parent();
        // It may have died before that call. Our own parent is not seen from here, but in the machine's /proc.
        if parent().is_some_and(|seen| seen != parent_pid) {
            return 1;
        }
        let Ok(cgroups) = keep_only(fds, report) else { return 1 };
        sys::block_init_signals();
        let report = sys::borrow(REPORT);
        let built = self.build(Path::new(&spawn.scratch), &spawn.binds).and_then(|()| {
            fs::create_dir_all(&spawn.directory)
                .map_err(|error| format!("working directory {}: {error}", spawn.directory))
        });
        let said = match built {
            Ok(()) => run_task(program, &cgroups, fds.data_bytes_max),
            Err(why) => format!("failed sandbox: {why}"),
        };
        i32::from(write_all(report, said.as_bytes()).is_err())
    }

    /// Turns the calling process's namespaces into a sandbox.
    fn build(&self, scratch: &Path, binds: &[Bind]) -> Result<(), String> {
        if self.kind == Namespaces::User {
            map_user()?;
        }
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .map_err(|error| format!("making mounts private: {error}"))?;
        let root = self.base.join("root");
        match self.kind {
            Namespaces::Root => {
                let lower = [self.base.join("layer"), PathBuf::from("/")];
                overlay(&lower, &scratch.join("upper"), &scratch.join("work"), &root, self.kind)?;
            }
            Namespaces::User => {
                make_base(&self.base, self.kind)?;
                self.overlay_each_directory(scratch, &root)?;
            }
        }
        let mut laid = self.clone_mounts(scratch, binds)?;
        enter(&root)?;
        // /dev, /tmp and the like first, what the attempt is given last, over the hidden home.
        let (given, own) = (laid.split_off(laid.len() - binds.len()), laid);
        own.into_iter().try_for_each(|(mount, to)| lay(mount.as_fd(), &to))?;
        self.system_mounts()?;
        self.hide_home(|| given.into_iter().try_for_each(|(mount, to)| lay(mount.as_fd(), &to)))
    }

    /// In a user namespace an overlay on `/` itself is refused, one for each directory in it is not.
    fn overlay_each_directory(&self, scratch: &Path, root: &Path) -> Result<(), String> {
        let top = scratch.join("root");
        fs::create_dir_all(&top).map_err(|error| format!("{}: {error}", top.display()))?;
        rustix::mount::mount_bind(&top, root).map_err(|error| format!("{}: {error}", top.display()))?;
        let entries = fs::read_dir("/").map_err(|error| format!("/: {error}"))?;
        for entry in entries.flatten() {
            let (name, from, to) = (entry.file_name(), entry.path(), root.join(entry.file_name()));
            let Ok(kind) = entry.file_type() else { continue };
            if matches!(name.to_str(), Some("proc" | "sys" | "dev" | "tmp")) {
                continue;
            }
            if kind.is_symlink() {
                let _ = fs::read_link(&from).and_then(|target| symlink(target, &to));
            } else if kind.is_dir() {
                fs::create_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
                let (upper, work) = (scratch.join("upper").join(&name), scratch.join("work").join(&name));
                if overlay(std::slice::from_ref(&from), &upper, &work, &to, self.kind).is_err() {
                    let _ = clone_mount(&from, true, true).and_then(|mount| move_to(mount.as_fd(), &to));
                }
            }
        }
        for directory in ["proc", "sys", "dev", "tmp"] {
            fs::create_dir_all(root.join(directory)).map_err(|error| format!("{directory}: {error}"))?;
        }
        for ours in ["towpath", "argo"] {
            let (from, to) = (self.base.join("layer").join(ours), root.join(ours));
            fs::create_dir_all(&to).map_err(|error| format!("{ours}: {error}"))?;
            overlay(&[from], &scratch.join("upper").join(ours), &scratch.join("work").join(ours), &to, self.kind)?;
        }
        Ok(())
    }

    /// Copies of mounts that are laid into the sandbox after the change of root, when the paths they came from are gone.
    fn clone_mounts(&self, scratch: &Path, binds: &[Bind]) -> Result<Vec<(OwnedFd, PathBuf)>, String> {
        let mut laid = Vec::with_capacity(binds.len() + 2);
        // Shared by all sandboxes, so nobody may add or remove a node; a device is written to all the same.
        laid.push((clone_mount(&self.base.join("dev"), true, self.kind == Namespaces::User)?, PathBuf::from("/dev")));
        let tmp = scratch.join("tmp");
        fs::create_dir_all(&tmp).map_err(|error| format!("{}: {error}", tmp.display()))?;
        let _ = rustix::fs::chmod(&tmp, Mode::from_raw_mode(0o1777));
        laid.push((clone_mount(&tmp, false, false)?, PathBuf::from("/tmp")));
        if self.kind == Namespaces::User {
            laid.push((clone_mount(Path::new("/sys"), true, true)?, PathBuf::from("/sys")));
            // Refused where no whole /proc is in sight any more, so before the change of root.
            let slot = self.base.join("slot");
            new_mount("proc", &slot, QUIET, None)?;
            laid.push((clone_mount(&slot, false, false)?, PathBuf::from("/proc")));
            let _ = rustix::mount::unmount(&slot, UnmountFlags::DETACH);
            for mount in mounts::user_mounts() {
                if let Ok(clone) = self.clone_host_mount(scratch, &mount) {
                    laid.push((clone, mount.point));
                }
            }
        } else {
            for mount in mounts::host_mounts(&self.home) {
                // A mount that cannot be shown is not shown: less is safe.
                if let Ok(clone) = self.clone_host_mount(scratch, &mount) {
                    laid.push((clone, mount.point));
                }
            }
        }
        for (index, bind) in binds.iter().enumerate() {
            laid.push((self.clone_bind(scratch, index, bind)?, PathBuf::from(&bind.to)));
        }
        Ok(laid)
    }

    fn clone_host_mount(&self, scratch: &Path, mount: &HostMount) -> Result<OwnedFd, String> {
        if !mount.disk {
            return clone_mount(&mount.point, true, false);
        }
        let own = mounts::layer_of(scratch, &mount.point);
        let lower = std::slice::from_ref(&mount.point);
        self.clone_overlay(lower, &own).or_else(|_| clone_mount(&mount.point, true, false))
    }

    fn clone_bind(&self, scratch: &Path, index: usize, bind: &Bind) -> Result<OwnedFd, String> {
        let from = Path::new(&bind.from);
        match bind.how {
            BindKind::ReadOnly => clone_mount(from, true, false),
            BindKind::Writable => clone_mount(from, false, false),
            BindKind::Overlay => self.clone_overlay(&[from.to_path_buf()], &mounts::bind_layer(scratch, index)),
        }
    }

    fn clone_overlay(&self, lower: &[PathBuf], own: &Path) -> Result<OwnedFd, String> {
        let slot = self.base.join("slot");
        overlay(lower, &own.join("upper"), &own.join("work"), &slot, self.kind)?;
        let clone = clone_mount(&slot, false, false);
        let _ = rustix::mount::unmount(&slot, UnmountFlags::DETACH);
        clone
    }

    fn system_mounts(&self) -> Result<(), String> {
        if self.kind == Namespaces::Root {
            new_mount("proc", "/proc", QUIET, None)?;
            new_mount("sysfs", "/sys", QUIET | MountFlags::RDONLY, None)?;
        }
        for name in ["sys", "sysrq-trigger", "irq", "bus", "fs"] {
            let path = Path::new("/proc").join(name);
            if path.exists() {
                lay(clone_mount(&path, true, false)?.as_fd(), &path)?;
            }
        }
        Ok(())
    }

    /// Lays an empty directory over the home, then what is bound into the sandbox, perhaps into that directory.
    fn hide_home(&self, bind: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        // Below /tmp nothing of the machine is seen anyway.
        if self.home.starts_with("/tmp") || !self.home.is_dir() {
            bind()?;
            return self.device_mounts();
        }
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        new_mount("tmpfs", &self.home, flags, Some("size=256k,mode=755"))?;
        bind()?;
        let hidden = open_mount(&self.home, OpenTreeFlags::empty())?;
        sys::make_read_only(hidden.as_fd(), false).map_err(|error| format!("hiding the home: {error}"))?;
        self.device_mounts()
    }

    fn device_mounts(&self) -> Result<(), String> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        new_mount("tmpfs", "/dev/shm", flags, Some("mode=1777"))?;
        let options = "newinstance,ptmxmode=0666,mode=620";
        new_mount("devpts", "/dev/pts", MountFlags::NOSUID | MountFlags::NOEXEC, Some(options))
    }
}

const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// The report's number in an init; 0 to 2 are the task's.
const REPORT: i32 = 3;

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

fn run_task(program: &Program, cgroups: &[OwnedFd], data_bytes_max: Option<u64>) -> String {
    let setting = Setting {
        stdin: sys::borrow(0),
        stdout: sys::borrow(1),
        stderr: sys::borrow(2),
        cgroups,
        mounts: None,
        capabilities: Some(sys::TASK_CAPABILITIES),
        data_bytes_max,
        die_with_parent: false,
    };
    let task = match sys::start(program, &setting) {
        Ok((pid, _)) => pid,
        Err((stage, error)) => return format!("failed {} {}", stage_name(stage), error.raw_os_error().unwrap_or(0)),
    };
    // The task alone holds the pipes now, so that their end is its end.
    for fd in 0..REPORT {
        let _ = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, Mode::empty())
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

/// What an init had to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Ended(Status),
    /// The task was not started: where, and the errno.
    NotStarted(Stage, i32),
    /// The sandbox could not be built: why.
    NoSandbox(String),
    /// The process that would have become the task was killed before.
    KilledBeforeExec,
    /// The init was killed.
    Nothing,
}

const NO_EXEC: &str = "killed before exec";

impl Report {
    /// Reads the report of an init that has ended.
    pub fn read(from: OwnedFd) -> Self {
        Self::parse(&read_report(from))
    }

    fn parse(said: &str) -> Self {
        let number = |text: &str| text.parse::<i32>().unwrap_or(-1);
        match said.split_once(' ') {
            _ if said == NO_EXEC => Self::KilledBeforeExec,
            Some(("exited", code)) => Self::Ended(Status::Exited(number(code))),
            Some(("signalled", signal)) => Self::Ended(Status::Signalled(number(signal))),
            Some(("failed", rest)) => match rest.split_once(' ') {
                Some(("sandbox:", why)) => Self::NoSandbox(why.into()),
                Some((stage, errno)) => Self::NotStarted(stage_of(stage), number(errno)),
                None => Self::NoSandbox(rest.into()),
            },
            _ => Self::Nothing,
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

fn stage_of(name: &str) -> Stage {
    match name {
        "clone" => Stage::Clone,
        "directory" => Stage::Directory,
        "exec" => Stage::Exec,
        _ => Stage::Setup,
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), String> {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|error| format!("pipe: {error}"))
}

fn read_report(from: OwnedFd) -> String {
    let mut said = String::new();
    let _ = fs::File::from(from).take(64 << 10).read_to_string(&mut said);
    said
}

fn write_all(to: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    fs::File::from(to.try_clone_to_owned()?).write_all(bytes)
}

/// The user is root inside, as in a container, and has no power over anything of others outside.
fn map_user() -> Result<(), String> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // The ids as seen from the parent namespace; ours read as "nobody" until they are mapped.
    let status = fs::read_to_string("/proc/self/status").map_err(|error| format!("/proc/self/status: {error}"))?;
    let id = |name: &str, seen: u32| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(seen)
    };
    let (user, group) = (id("Uid:", user), id("Gid:", group));
    let write = |file: &str, text: &str| fs::write(file, text).map_err(|error| format!("{file}: {error}"));
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {user} 1"))?;
    write("/proc/self/gid_map", &format!("0 {group} 1"))
}

/// Mounts and fills the file system that the parts of a sandbox are taken from.
fn make_base(base: &Path, kind: Namespaces) -> Result<(), String> {
    new_mount("tmpfs", base, MountFlags::NOSUID, Some("size=4m,mode=755"))?;
    let layer = base.join("layer");
    for directory in ["root", "slot", "dev/pts", "dev/shm", "layer/towpath/home", "layer/towpath/source"] {
        let path = base.join(directory);
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    for directory in ["towpath/cache", "towpath/bin", "argo/staging"] {
        let path = layer.join(directory);
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    fs::write(layer.join("towpath/bin/towpath"), "").map_err(|error| format!("towpath/bin: {error}"))?;
    devices(&base.join("dev"), kind)
}

const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Nodes that vendors add for accelerators; they are shown where they are.
const DEVICE_PREFIXES: [&str; 3] = ["nvidia", "dri", "kfd"];

fn devices(dev: &Path, kind: Namespaces) -> Result<(), String> {
    let fail = |name: &str, error: io::Error| format!("/dev/{name}: {error}");
    for (name, major, minor) in DEVICES {
        let path = dev.join(name);
        let (mode, node) = (Mode::from_raw_mode(0o666), rustix::fs::makedev(major, minor));
        let made = match kind {
            Namespaces::Root => rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::CharacterDevice, mode, node)
                .and_then(|()| rustix::fs::chmod(&path, mode))
                .map_err(io::Error::from),
            Namespaces::User => bind_device(&Path::new("/dev").join(name), &path),
        };
        made.map_err(|error| fail(name, error))?;
    }
    for entry in fs::read_dir("/dev").into_iter().flatten().flatten() {
        let name = entry.file_name();
        if DEVICE_PREFIXES.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            // A device that cannot be shown is missed by the task, which says so.
            let _ = bind_device(&entry.path(), &dev.join(&name));
        }
    }
    let links = [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1")];
    for (name, target) in links.into_iter().chain([("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")]) {
        symlink(target, dev.join(name)).map_err(|error| fail(name, error))?;
    }
    Ok(())
}

fn bind_device(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?
    } else {
        drop(fs::File::create(to)?)
    }
    Ok(rustix::mount::mount_bind_recursive(from, to)?)
}

fn new_mount(kind: &str, at: impl AsRef<Path>, flags: MountFlags, options: Option<&str>) -> Result<(), String> {
    let options = options.map(|text| std::ffi::CString::new(text).unwrap_or_default());
    rustix::mount::mount(kind, at.as_ref(), kind, flags, options.as_deref())
        .map_err(|error| format!("{kind} on {}: {error}", at.as_ref().display()))
}

/// An overlay whose writes go to `upper`. They are not synced when it is unmounted: what is worth keeping is synced when it is
/// collected.
fn overlay(lower: &[PathBuf], upper: &Path, work: &Path, at: &Path, kind: Namespaces) -> Result<(), String> {
    for directory in [upper, work] {
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    let lower = lower.iter().map(|path| escaped(path)).collect::<Vec<_>>().join(":");
    let extra = if kind == Namespaces::User { "userxattr" } else { "redirect_dir=nofollow,metacopy=off" };
    let options = format!("lowerdir={lower},upperdir={},workdir={},volatile,{extra}", escaped(upper), escaped(work));
    new_mount("overlay", at, MountFlags::empty(), Some(&options))
}

fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "\\\\").replace(',', "\\,").replace(':', "\\:")
}

fn open_mount(path: &Path, flags: OpenTreeFlags) -> Result<OwnedFd, String> {
    rustix::mount::open_tree(CWD, path, flags | OpenTreeFlags::OPEN_TREE_CLOEXEC)
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn clone_mount(path: &Path, read_only: bool, recursive: bool) -> Result<OwnedFd, String> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE;
    let deep = clone | OpenTreeFlags::AT_RECURSIVE;
    // Locked mounts below (in a user namespace) cannot be left out.
    let mount =
        if recursive { open_mount(path, deep) } else { open_mount(path, clone).or_else(|_| open_mount(path, deep)) }?;
    if read_only {
        sys::make_read_only(mount.as_fd(), recursive)
            .map_err(|error| format!("read-only {}: {error}", path.display()))?;
    }
    Ok(mount)
}

fn move_to(mount: BorrowedFd<'_>, to: &Path) -> Result<(), String> {
    rustix::mount::move_mount(mount, "", CWD, to, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|error| format!("mounting {}: {error}", to.display()))
}

/// Lays a mount at a path of the sandbox, which is made if it is not there.
fn lay(mount: BorrowedFd<'_>, to: &Path) -> Result<(), String> {
    let fail = |error: io::Error| format!("mounting {}: {error}", to.display());
    if !to.exists() {
        let kind = rustix::fs::fstat(mount).map_err(|error| fail(error.into()))?.st_mode;
        if rustix::fs::FileType::from_raw_mode(kind).is_dir() {
            fs::create_dir_all(to).map_err(fail)?;
        } else {
            to.parent().map_or(Ok(()), fs::create_dir_all).map_err(fail)?;
            fs::File::create(to).map_err(fail)?;
        }
    }
    move_to(mount, to)
}

fn enter(root: &Path) -> Result<(), String> {
    let fail = |error: rustix::io::Errno| format!("changing the root: {error}");
    rustix::process::chdir(root).map_err(fail)?;
    rustix::process::pivot_root(".", ".").map_err(fail)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(fail)?;
    rustix::process::chdir("/").map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_back() {
        let cases = [
            ("exited 3", Report::Ended(Status::Exited(3))),
            ("signalled 9", Report::Ended(Status::Signalled(9))),
            ("failed exec 2", Report::NotStarted(Stage::Exec, 2)),
            ("failed sandbox: overlay on /: no", Report::NoSandbox("overlay on /: no".into())),
            (NO_EXEC, Report::KilledBeforeExec),
            ("", Report::Nothing),
        ];
        for (said, report) in cases {
            assert_eq!(Report::parse(said), report);
        }
    }

    #[test]
    fn paths_with_separators_are_escaped_for_the_overlay() {
        assert_eq!(escaped(Path::new("/a,b:c\\d")), "/a\\,b\\:c\\\\d");
    }
}
