//! What may be done by whatever the runner starts, and which of its threads starts it.
//! Laid on each task by itself, what tasks in sandboxes may not do is a tenth of what a short one costs; so it is laid on the runner's
//! own thread once, with the first task in a sandbox of the pool, and inherited. Tasks without a sandbox are started by another thread
//! from then on.
//! That must never work while its caller does anything but wait: the runner forks, and a fork copies what another thread is at.

use super::program::{Confined, Enter, Failure, Program, Setting, Stage};
use super::sandbox::Sandboxes;
use super::sys::confinement::{self, TASK_CAPABILITIES};
use super::sys::start::{Child, Launch};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

pub enum Power {
    /// All that we may. Tasks in sandboxes are confined one by one.
    Whole,
    /// The same, until the first task in a sandbox of the pool is started.
    WholeStill,
    /// What tasks in sandboxes may do.
    Confined(Unconfined),
}

impl Power {
    pub fn new() -> Self {
        Self::WholeStill
    }

    /// Starts a task without a sandbox.
    ///
    /// # Errors
    /// Those of `Launch::begin`.
    pub fn begin_plain(&self, program: Program, setting: &Setting<'_>) -> Result<Child, Failure> {
        let launch = Launch::new(program, setting);
        match self {
            Self::Confined(unconfined) => unconfined.begin(launch),
            Self::Whole | Self::WholeStill => launch.begin(),
        }
    }

    /// Starts a task in a sandbox of the pool.
    ///
    /// # Errors
    /// Those of `Launch::begin`.
    pub fn begin_pooled(
        &mut self,
        program: Program,
        setting: Setting<'_>,
        sandboxes: &Sandboxes,
    ) -> Result<Child, Failure> {
        let filter = sandboxes.filter();
        if matches!(self, Self::WholeStill) {
            // In a user namespace a task begins with all power over it, whatever its starter had.
            let is_user = matches!(setting.enter, Some(Enter::User { .. }));
            *self = if is_user { Self::Whole } else { Self::confine(filter) };
        }
        let limits = Confined { capabilities: TASK_CAPABILITIES, filter, rules: None, no_new_privileges: false };
        let confined = (!matches!(self, Self::Confined(_))).then_some(limits);
        Launch::new(program, &Setting { confined, ..setting }).begin()
    }

    /// Where there is no seccomp each task needs keys of its own, which is laid on each.
    fn confine(filter: &[libc::sock_filter]) -> Self {
        if filter.is_empty() {
            return Self::Whole;
        }
        let confined = Unconfined::new()
            .and_then(|unconfined| confinement::confine_thread(filter, TASK_CAPABILITIES).map(|()| unconfined));
        confined.map_or_else(
            |error| {
                crate::own_log::say(format!("runner: tasks are confined one by one: {error}"));
                Self::Whole
            },
            Self::Confined,
        )
    }
}

/// The thread that has kept all power.
pub struct Unconfined {
    orders: SyncSender<Box<Launch>>,
    begun: Receiver<Result<Child, Failure>>,
}

impl Unconfined {
    fn new() -> io::Result<Self> {
        let (orders, taken) = sync_channel::<Box<Launch>>(1);
        let (done, begun) = sync_channel(1);
        thread::Builder::new().name("unconfined".into()).spawn(move || {
            for launch in taken {
                let _ = done.send(launch.begin());
            }
        })?;
        Ok(Self { orders, begun })
    }

    fn begin(&self, launch: Box<Launch>) -> Result<Child, Failure> {
        let gone = || (Stage::Clone, io::ErrorKind::BrokenPipe.into());
        self.orders.send(launch).map_err(|_| gone())?;
        self.begun.recv().map_err(|_| gone())?
    }
}
