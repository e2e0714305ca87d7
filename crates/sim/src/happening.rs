//! What will happen, in the order of virtual time; and the trace of what did.
//! It must never lose the order of two things that happen at the same instant: the first that was planned comes first.

use driver::pump::In;
use model::input::Shutdown;
use model::runner::{Ended, FromRunner, ToRunner};
use model::{AttemptKey, Exit};
use std::collections::{BTreeMap, VecDeque};

/// One life of the holder's process; what is addressed to an earlier one is void.
pub(crate) type Life = u64;
/// One connection between holder and runner.
pub(crate) type LinkId = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Holder,
    Runner,
}

/// What a client wants, until it is answered.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Submit(usize),
    Shutdown(usize, Shutdown),
    Resume(usize),
    Call { key: AttemptKey, index: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    HolderCrash,
    RunnerCrash,
    Reboot,
    Disconnect,
    DiskFull,
    ClockJump,
    Pause,
    StrayKill,
}

#[derive(Clone, Debug)]
pub(crate) enum Happening {
    StartHolder,
    /// Something reaches the holder.
    Inbox(Life, Box<In>),
    Step(Life),
    /// A timer of the pump may be due.
    Wake(Life),
    Commit(Life),
    Load(Life, model::RunId),
    Connect(Life),
    Staged(Life, AttemptKey),
    Collected(Life, AttemptKey, Ended),
    ToRunner(LinkId, Box<ToRunner>),
    ToHolder(LinkId, Box<FromRunner>),
    LinkBroken(LinkId, Side),
    /// A timer of the runner's machine may be due: number of the runner.
    RunnerTick(u64),
    /// A process ends: number of the runner, key, what it has become since.
    TaskEnds(u64, AttemptKey, u32, Exit),
    Call {
        key: AttemptKey,
        index: usize,
    },
    Returned {
        key: AttemptKey,
        index: usize,
    },
    CallRefused {
        key: AttemptKey,
    },
    Ask(Ask),
    Fault(Fault),
    DiskFree,
    /// The faults are over.
    Calm,
    LookIn,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    planned: BTreeMap<(i64, u64), Happening>,
    number: u64,
}

impl Queue {
    /// Plans something for an instant (microseconds of virtual time).
    pub fn at(&mut self, at: i64, what: Happening) {
        self.number += 1;
        self.planned.insert((at, self.number), what);
    }

    pub fn pop(&mut self) -> Option<(i64, Happening)> {
        self.planned.pop_first().map(|((at, _), what)| (at, what))
    }
}

/// Lines of what happened. Without `keep` nothing is even formatted.
#[derive(Debug, Default)]
pub struct Trace {
    pub keep: Option<usize>,
    pub print: bool,
    pub lines: VecDeque<String>,
}

impl Trace {
    pub(crate) fn line(&mut self, clock: i64, text: impl FnOnce() -> String) {
        let Some(keep) = self.keep else { return };
        let line = format!("{:>12.6} {}", clock as f64 / 1e6, text());
        if self.print {
            println!("{line}");
        }
        self.lines.push_back(line);
        if self.lines.len() > keep {
            self.lines.pop_front();
        }
    }
}
