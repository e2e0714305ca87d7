//! What one run has and wants: its wishes by size, each size in the order in which they came, and when the run's turn is.
//! It must never know what other runs want.

use super::{Capacity, ONE_CPU, Part};
use alloc::collections::{BTreeMap, BTreeSet};
use core::cmp::Reverse;
use model::AttemptKey;
use model::attempt::Amounts;

/// A request as it was made. Wishes of one size are one queue: if the first of them does not fit, none does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    cpu_millis: Option<u64>,
    memory_bytes: Option<u64>,
    gpus: Option<u32>,
}

/// Millionths of the target.
type Share = u64;

/// When a run is served: the smaller, the sooner. The last number makes it unique: wishes are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    priority: Reverse<i32>,
    share: Share,
    served: u64,
    came: u64,
}

type Queue = (Reverse<i32>, Shape);

#[derive(Clone, Debug)]
pub(super) struct OfRun {
    pub jobs: Option<u32>,
    pub placed: u32,
    pub holds: Part,
    /// The count of grants when the run had its last one, or just before that when it came.
    pub served: u64,
    queues: BTreeMap<Queue, BTreeMap<u64, AttemptKey>>,
    /// Redundant: the queues in the order of their first wishes.
    order: BTreeSet<(Reverse<i32>, u64, Shape)>,
}

impl Shape {
    pub fn of(requests: &Amounts) -> Self {
        let Amounts { cpu_millis, memory_bytes, gpus } = *requests;
        Self { cpu_millis, memory_bytes, gpus }
    }

    /// What it takes of a target: not more than all.
    pub fn part(&self, capacity: &Capacity) -> Part {
        Part {
            slots: 1,
            cpu_millis: self.cpu_millis.unwrap_or(ONE_CPU).min(capacity.cpu_millis),
            memory_bytes: self.memory_bytes.unwrap_or(0).min(capacity.memory_bytes),
            gpus: self.gpus.unwrap_or(0).min(capacity.gpus).into(),
        }
    }
}

impl Turn {
    pub fn priority(&self) -> i32 {
        self.priority.0
    }
}

impl OfRun {
    pub fn new(served: u64) -> Self {
        let (queues, order) = (BTreeMap::new(), BTreeSet::new());
        Self { jobs: None, placed: 0, holds: Part::default(), served, queues, order }
    }

    pub fn add(&mut self, priority: i32, shape: Shape, came: u64, key: AttemptKey) {
        self.change((Reverse(priority), shape), |queue| drop(queue.insert(came, key)));
    }

    pub fn remove(&mut self, priority: i32, shape: Shape, came: u64) {
        self.change((Reverse(priority), shape), |queue| drop(queue.remove(&came)));
    }

    /// The first wish of each size, in order.
    pub fn heads(&self) -> impl Iterator<Item = (i32, Shape, &AttemptKey)> {
        self.order.iter().filter_map(|(priority, came, shape)| {
            let key = self.queues.get(&(*priority, *shape))?.get(came)?;
            Some((priority.0, *shape, key))
        })
    }

    pub fn waiting(&self) -> impl Iterator<Item = &AttemptKey> {
        self.queues.values().flat_map(BTreeMap::values)
    }

    pub fn take(&mut self, part: &Part) {
        self.placed += 1;
        self.holds = self.holds.plus(part);
    }

    pub fn give_back(&mut self, part: &Part) {
        self.placed -= 1;
        self.holds = self.holds.minus(part);
    }

    /// `None`: it wants nothing, or has as many places as it may.
    pub fn turn(&self, own: &Capacity) -> Option<Turn> {
        let (priority, came, _) = self.order.first()?;
        let may = self.placed < self.jobs.unwrap_or(own.slots);
        may.then(|| Turn { priority: *priority, share: self.share(own), served: self.served, came: *came })
    }

    pub fn is_active(&self) -> bool {
        self.placed > 0 || !self.order.is_empty()
    }

    /// What the run wants at once, where it is more than the target has slots.
    pub fn raises(&self, own: u32) -> Option<u32> {
        self.jobs.filter(|jobs| *jobs > own && self.is_active())
    }

    /// The largest part of anything that the run holds.
    fn share(&self, own: &Capacity) -> Share {
        let of = |part: u64, whole: u64| part.saturating_mul(1_000_000) / whole.max(1);
        let Part { slots, cpu_millis, memory_bytes, gpus } = self.holds;
        of(slots, own.slots.into())
            .max(of(cpu_millis, own.cpu_millis))
            .max((u128::from(memory_bytes) * 1_000_000 / u128::from(own.memory_bytes.max(1))) as u64)
            .max(of(gpus, own.gpus.into()))
    }

    fn change(&mut self, id: Queue, change: impl FnOnce(&mut BTreeMap<u64, AttemptKey>)) {
        let first = |queue: &BTreeMap<u64, AttemptKey>| queue.first_key_value().map(|(came, _)| (id.0, *came, id.1));
        let queue = self.queues.entry(id).or_default();
        let before = first(queue);
        change(queue);
        let after = first(queue);
        if queue.is_empty() {
            self.queues.remove(&id);
        }
        if before != after {
            before.map(|head| self.order.remove(&head));
            after.map(|head| self.order.insert(head));
        }
    }
}
