//! Sandboxes that are made ahead of need and used again while clean (DESIGN §5).
//! It must never hand out a sandbox in which an attempt left a trace, nor one of another run.

use super::layers;
use super::sandbox::Sandboxes;
use super::sys::{self, Namespaces};
use super::traces::Traces;
use model::RunId;
use model::attempt::Profile;
use model::runner::{Bind, BindKind, Spawn};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// A sandbox sees changes of the machine's own files late or not at all: it is not used for longer than this.
const AGE_MAX: Duration = Duration::from_secs(10);
/// Kinds of sandboxes that are remembered.
const SHAPES_MAX: usize = 16;
/// Sandboxes of a kind that wait or are being made.
const SPARES_MAX: usize = 8;
/// Sandboxes with a task: each costs some ten descriptors of ours. Beyond this, attempts have sandboxes of their own.
const BUSY_MAX: usize = 64;
/// After so many that could not be made no more are tried.
const FAILED_MAX: u32 = 3;

/// Sandboxes of attempts that are given the same.
pub struct Pool {
    /// Where they have their layers.
    dir: PathBuf,
    made: u64,
    /// Raised when something was mounted on the machine: sandboxes of before do not show it.
    mounted: u64,
    busy: usize,
    shapes: Vec<Shape>,
    making: Vec<Making>,
    ready: Vec<Sandbox>,
    /// Killed, and not reaped yet.
    ending: Vec<(i32, PathBuf)>,
    /// Tells when something was mounted on the machine.
    mounts: File,
    own_pids: OwnedFd,
    /// Sandboxes that could not be made, one after the other.
    failed: u32,
}

/// What sandboxes have in common that stand for each other.
struct Shape {
    number: u64,
    run: RunId,
    binds: Vec<Bind>,
    /// The last attempt left traces: each needs another sandbox.
    dirty: bool,
    used_at: Instant,
}

/// A sandbox without a task, or in the hands of one.
pub struct Sandbox {
    shape: u64,
    pid: i32,
    pidfd: OwnedFd,
    dir: PathBuf,
    /// Its tasks' standard input: nobody can change what stands behind it, for it is seen through a read-only mount.
    null: OwnedFd,
    traces: Traces,
    /// What the kernel says of its init.
    stat: File,
    mounted: u64,
    made_at: Instant,
    /// Processor time of its init and what that has buried, when it was last looked at.
    spent_us: u64,
}

struct Making {
    shape: u64,
    pid: i32,
    pidfd: OwnedFd,
    report: OwnedFd,
    dir: PathBuf,
    binds: Vec<Bind>,
    mounted: u64,
    made_at: Instant,
}

impl Pool {
    /// # Errors
    /// The directory cannot be used, or /proc lacks what is needed.
    pub fn new(dir: PathBuf) -> io::Result<Self> {
        // Of a runner that is gone: its sandboxes died with it.
        crate::local::scratch::remove(&dir);
        crate::home::make_private_dir(&dir)?;
        Ok(Self {
            dir,
            made: 0,
            mounted: 0,
            busy: 0,
            shapes: Vec::new(),
            making: Vec::new(),
            ready: Vec::new(),
            ending: Vec::new(),
            mounts: File::open("/proc/self/mountinfo")?,
            own_pids: File::open("/proc/self/ns/pid")?.into(),
            failed: 0,
        })
    }

    /// A sandbox for this attempt, if one stands ready. Makes others where it seems that they will be needed.
    pub fn take(&mut self, sandboxes: &Sandboxes, spawn: &Spawn) -> Option<Sandbox> {
        // What a task leaves in a network namespace (connections that are not forgotten yet) is not looked at.
        if spawn.laid || spawn.profile != Profile::Standard || self.busy >= BUSY_MAX || self.failed >= FAILED_MAX {
            return None;
        }
        if self.mounts_changed() {
            self.mounted += 1;
            self.retire(|_| true);
        }
        let now = Instant::now();
        self.expire(now);
        let Some(shape) = self.shapes.iter_mut().find(|s| s.run == spawn.key.run && s.binds == spawn.binds) else {
            // One of a kind may stay the only one.
            self.remember(spawn, now);
            return None;
        };
        shape.used_at = now;
        let (number, dirty) = (shape.number, shape.dirty);
        // The one that was used last: its files are in the caches, and the others get too old in peace.
        let at = self.ready.iter().rposition(|sandbox| sandbox.shape == number);
        let taken = at.map(|at| self.ready.remove(at));
        let spares = self.making.iter().filter(|making| making.shape == number).count()
            + self.ready.iter().filter(|sandbox| sandbox.shape == number).count();
        if (taken.is_none() || dirty) && spares < SPARES_MAX {
            self.make(sandboxes, number, &spawn.binds);
        }
        self.busy += usize::from(taken.is_some());
        taken
    }

    /// A task has left this sandbox clean.
    pub fn put_back(&mut self, sandbox: Sandbox) {
        self.busy -= 1;
        let waiting = self.ready.iter().filter(|other| other.shape == sandbox.shape).count();
        let known = self.note(sandbox.shape, false);
        let is_current = sandbox.mounted == self.mounted && sandbox.made_at.elapsed() < AGE_MAX;
        if known && is_current && waiting < SPARES_MAX {
            self.ready.push(sandbox);
        } else {
            self.end(sandbox.pid, &sandbox.pidfd, sandbox.dir);
        }
    }

    /// A sandbox in which nothing can be started.
    pub fn throw_away(&mut self, sandbox: Sandbox) {
        self.busy -= 1;
        self.end(sandbox.pid, &sandbox.pidfd, sandbox.dir);
    }

    /// A task has left traces in a sandbox of this kind, which is gone.
    pub fn was_dirty(&mut self, shape: u64) {
        self.busy -= 1;
        self.note(shape, true);
    }

    fn note(&mut self, shape: u64, dirty: bool) -> bool {
        let found = self.shapes.iter_mut().find(|known| known.number == shape);
        found.map(|shape| shape.dirty = dirty).is_some()
    }

    /// Our own PID namespace, to come back to after a start in another.
    pub fn own_pids(&self) -> BorrowedFd<'_> {
        self.own_pids.as_fd()
    }

    /// What to wait for: sandboxes that are being made.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.making.iter().map(|making| making.report.as_fd())
    }

    /// Its processes: children of ours that are no orphans.
    pub fn pids(&self) -> impl Iterator<Item = i32> {
        let making = self.making.iter().map(|making| making.pid);
        making.chain(self.ready.iter().map(|s| s.pid)).chain(self.ending.iter().map(|(pid, _)| *pid))
    }

    /// Whether something happens with time.
    pub fn is_restless(&self) -> bool {
        !self.ready.is_empty() || !self.ending.is_empty()
    }

    /// Takes in what was made, and lets go what ended or is too old.
    pub fn tend(&mut self, sandboxes: &Sandboxes) {
        let now = Instant::now();
        for at in (0..self.making.len()).rev() {
            if !has_something(self.making[at].report.as_fd(), PollFlags::IN) {
                continue;
            }
            let making = self.making.swap_remove(at);
            match self.finished(sandboxes, &making) {
                Ok(_) if making.mounted != self.mounted => self.end(making.pid, &making.pidfd, making.dir),
                Ok((traces, null, stat)) => {
                    self.failed = 0;
                    self.ready.push(Sandbox {
                        shape: making.shape,
                        pid: making.pid,
                        pidfd: making.pidfd,
                        dir: making.dir,
                        null,
                        traces,
                        mounted: making.mounted,
                        made_at: making.made_at,
                        spent_us: sys::spent_us(&stat).unwrap_or(0),
                        stat,
                    });
                }
                Err(error) => {
                    self.failed += 1;
                    crate::own_log::say(format!("runner: a sandbox that was made ahead is thrown away: {error}"));
                    self.end(making.pid, &making.pidfd, making.dir);
                }
            }
        }
        self.expire(now);
        self.ending.retain(|(pid, dir)| {
            let gone = matches!(sys::wait(*pid, false), Ok(Some(_)));
            if gone {
                crate::local::scratch::remove(dir);
            }
            !gone
        });
    }

    /// Ends all of them and waits for that.
    pub fn close(&mut self) {
        self.retire(|_| true);
        for making in std::mem::take(&mut self.making) {
            self.end(making.pid, &making.pidfd, making.dir);
        }
        for (pid, _) in std::mem::take(&mut self.ending) {
            let _ = sys::wait(pid, true);
        }
        crate::local::scratch::remove(&self.dir);
    }

    fn remember(&mut self, spawn: &Spawn, now: Instant) {
        if self.shapes.len() == SHAPES_MAX
            && let Some(oldest) = self.shapes.iter().min_by_key(|shape| shape.used_at).map(|shape| shape.number)
        {
            self.forget(|shape| shape.number == oldest);
        }
        self.made += 1;
        let (run, binds) = (spawn.key.run.clone(), spawn.binds.clone());
        self.shapes.push(Shape { number: self.made, run, binds, dirty: false, used_at: now });
    }

    fn make(&mut self, sandboxes: &Sandboxes, shape: u64, binds: &[Bind]) {
        self.made += 1;
        let dir = self.dir.join(self.made.to_string());
        match sandboxes.make(&dir, binds) {
            Ok(made) => self.making.push(Making {
                shape,
                pid: made.pid,
                pidfd: made.pidfd,
                report: made.report,
                dir,
                binds: binds.to_vec(),
                mounted: self.mounted,
                made_at: Instant::now(),
            }),
            Err(error) => crate::own_log::say(format!("runner: no sandbox is made ahead: {error}")),
        }
    }

    /// A sandbox's init has reported: what it is like before its first task.
    fn finished(&self, sandboxes: &Sandboxes, making: &Making) -> io::Result<(Traces, OwnedFd, File)> {
        let mut word = [0_u8; 1024];
        let length = rustix::io::read(&making.report, &mut word[..])?;
        let word = String::from_utf8_lossy(&word[..length]);
        if word != super::sandbox::MADE {
            return Err(io::Error::other(word.into_owned()));
        }
        let lists = [c"/proc/sysvipc/shm", c"/proc/sysvipc/sem", c"/proc/sysvipc/msg"];
        let ipc = sys::inside::open_in_ipc(making.pidfd.as_fd(), sandboxes.kind, &lists)?;
        let mut empty = written_by_tasks(&making.dir, &making.binds);
        let mut made = Vec::new();
        match sandboxes.kind {
            Namespaces::Root => empty.push(making.dir.join("upper")),
            Namespaces::User => {
                empty.extend(directories_in(&making.dir.join("upper"))?);
                empty.extend(not_mounted(making)?);
                made.push(making.dir.join("root"));
            }
        }
        let root = PathBuf::from(format!("/proc/{}/root", making.pid));
        empty.extend(["dev/shm", "dev/mqueue"].map(|below| root.join(below)));
        let nodes = ["dev/pts", "dev/pts/ptmx"].map(|below| root.join(below));
        let null = File::options().read(true).write(true).open(root.join("dev/null"))?;
        let stat = File::open(format!("/proc/{}/stat", making.pid))?;
        Ok((Traces::record(making.pid, &empty, &made, &nodes, ipc)?, null.into(), stat))
    }

    fn mounts_changed(&self) -> bool {
        has_something(self.mounts.as_fd(), PollFlags::PRI)
    }

    fn expire(&mut self, now: Instant) {
        self.retire(|sandbox| now.duration_since(sandbox.made_at) >= AGE_MAX);
        self.forget(|shape| now.duration_since(shape.used_at) >= AGE_MAX);
    }

    fn forget(&mut self, which: impl Fn(&Shape) -> bool) {
        let gone: Vec<u64> = self.shapes.iter().filter(|shape| which(shape)).map(|shape| shape.number).collect();
        self.shapes.retain(|shape| !gone.contains(&shape.number));
        if !gone.is_empty() {
            self.retire(|sandbox| gone.contains(&sandbox.shape));
        }
    }

    fn retire(&mut self, which: impl Fn(&Sandbox) -> bool) {
        let (gone, stay) = std::mem::take(&mut self.ready).into_iter().partition(which);
        self.ready = stay;
        let gone: Vec<Sandbox> = gone;
        gone.into_iter().for_each(|sandbox| self.end(sandbox.pid, &sandbox.pidfd, sandbox.dir));
    }

    fn end(&mut self, pid: i32, pidfd: &OwnedFd, dir: PathBuf) {
        let _ = rustix::process::pidfd_send_signal(pidfd, rustix::process::Signal::KILL);
        self.ending.push((pid, dir));
    }
}

impl Sandbox {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub fn null(&self) -> BorrowedFd<'_> {
        self.null.as_fd()
    }

    /// The kind it is of, for `was_dirty`.
    pub fn shape(&self) -> u64 {
        self.shape
    }

    /// Whether its task, which began at this time and has ended, left nothing in it.
    pub fn is_clean(&mut self, began: SystemTime) -> bool {
        self.traces.none(began)
    }

    /// Processor time of its init and of what that has buried.
    pub fn spent_us(&self) -> Option<u64> {
        sys::spent_us(&self.stat)
    }

    /// Processor time that was not its task's but of processes which that left to the init, which has now spent `total_us` with
    /// them. What is less than the kernel counts well is nothing.
    pub fn spent_by_orphans(&mut self, total_us: Option<u64>) -> u64 {
        let total_us = total_us.unwrap_or(self.spent_us).max(self.spent_us);
        let more = total_us - std::mem::replace(&mut self.spent_us, total_us);
        if more < 2 * sys::TICK_US { 0 } else { more }
    }

    /// Ends it with all that runs in it. Its end shows in `pidfd`.
    pub fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
    }

    /// Once it has ended: makes what was written in it the attempt's own directory.
    ///
    /// # Errors
    /// As rename(2).
    pub fn hand_over(&self, scratch: &Path) -> io::Result<()> {
        scratch.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::rename(&self.dir, scratch)
    }
}

/// Directories of a sandbox's layers in which nobody but its tasks writes.
fn written_by_tasks(dir: &Path, binds: &[Bind]) -> Vec<PathBuf> {
    let mut found = vec![dir.join("tmp")];
    let mounts = fs::read_dir(dir.join("mounts")).into_iter().flatten().flatten();
    found.extend(mounts.map(|entry| entry.path().join("upper")));
    let overlays = binds.iter().enumerate().filter(|(_, bind)| bind.how == BindKind::Overlay);
    found.extend(overlays.map(|(index, _)| layers::bind_layer(dir, index).join("upper")));
    found
}

/// Directories in the root of a sandbox of a user namespace over which nothing is mounted: a task can write in them.
fn not_mounted(making: &Making) -> io::Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", making.pid))?;
    let points: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    let mut found = directories_in(&making.dir.join("root"))?;
    found.retain(|directory| {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        !points.iter().any(|point| point.strip_prefix('/') == Some(name.as_str()))
    });
    Ok(found)
}

fn directories_in(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether a descriptor has something of this kind right now.
fn has_something(fd: BorrowedFd<'_>, what: PollFlags) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, what)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}
