//! Admission: which attempts have a place on a target now. A machine in memory, made again from outstanding attempts.
//! It must never be stored, and never know what an attempt is for.
//!
//! Whose turn it is: the higher priority; then the run that holds the smaller part of the machine, so that a run with ten
//! thousand tasks and a run with one share it; then the run that was served longest ago; within a run, who came first.
//! Whose turn it is and who does not fit is *held for*: others may overtake it, but only with what the machine has beside its
//! request. It therefore starts at the latest when those that ran then have ended, however many small ones come.

mod ahead;
mod gpus;
mod queue;
#[cfg(test)]
mod tests;

pub use ahead::Settled;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use gpus::Gpus;
use model::attempt::Amounts;
use model::command::Place;
use model::{AttemptKey, RunId};
use queue::{OfRun, Shape, Turn};

/// What a target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Attempts at once. A run may want fewer, or more (`-j`).
    pub slots: u32,
    pub cpu_millis: u64,
    pub memory_bytes: u64,
    pub gpus: u32,
}

/// A part of a target: what an attempt takes (everything said; a task without requests one cpu), or what is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    pub slots: u64,
    pub cpu_millis: u64,
    pub memory_bytes: u64,
    pub gpus: u64,
}

/// A place that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub key: AttemptKey,
    /// The devices that are this attempt's alone.
    pub gpus: Vec<u32>,
}

#[derive(Clone, Debug)]
pub struct Admission {
    /// Without what runs want beyond it.
    own: Capacity,
    used: Part,
    gpus: Gpus,
    placed: BTreeMap<AttemptKey, Placed>,
    wishes: BTreeMap<AttemptKey, Wish>,
    /// Counts wishes.
    came: u64,
    /// Counts grants, two each: when a run was served.
    served: u64,
    runs: BTreeMap<RunId, OfRun>,
    /// Redundant: the runs that may have one more place and want it, in the order of their turns.
    turns: BTreeMap<Turn, RunId>,
    /// Redundant: what runs that have or want places want at once, as far as it is more than the target's own.
    raised: BTreeSet<(u32, RunId)>,
    held: Option<Held>,
    /// Those that are to have the next places, in this order.
    ahead: VecDeque<(AttemptKey, Part)>,
}

#[derive(Clone, Debug)]
struct Placed {
    part: Part,
    gpus: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Wish {
    priority: i32,
    came: u64,
    shape: Shape,
}

/// For whom the machine is held, and what others have taken meanwhile.
#[derive(Clone, Debug)]
struct Held {
    key: AttemptKey,
    priority: i32,
    overtakers: BTreeSet<AttemptKey>,
    overtaken: Part,
}

/// Who may start now.
struct Choice {
    key: AttemptKey,
    part: Part,
    overtakes: bool,
}

const ONE_CPU: u64 = 1000;
/// Wishes of different runs and sizes that are looked at behind one that does not fit.
const LOOKED_AT_MAX: usize = 64;

impl Admission {
    pub fn new(capacity: Capacity) -> Self {
        Self {
            own: capacity,
            used: Part::default(),
            gpus: Gpus::new(capacity.gpus),
            placed: BTreeMap::new(),
            wishes: BTreeMap::new(),
            came: 0,
            served: 0,
            runs: BTreeMap::new(),
            turns: BTreeMap::new(),
            raised: BTreeSet::new(),
            held: None,
            ahead: VecDeque::new(),
        }
    }

    /// How many attempts of a run there may be at once; `None`: as many as the target has slots. More than that makes the target
    /// larger, by a cpu each, while the run has or wants places: its tasks wait more than they compute.
    pub fn set_jobs(&mut self, run: &RunId, jobs: Option<u32>) {
        self.change(run, |of_run| of_run.jobs = jobs);
    }

    /// Wishes for a place; a key that has one or waits for one is left as it is. A wish larger than the target is lowered to it.
    pub fn wish(&mut self, place: &Place) {
        let key = &place.key;
        if self.placed.contains_key(key) || self.wishes.contains_key(key) || self.is_ahead(key) {
            return;
        }
        let wish = Wish { priority: place.priority, came: self.came, shape: Shape::of(&place.requests) };
        self.came += 1;
        self.wishes.insert(place.key.clone(), wish);
        self.change(&place.key.run, |of_run| of_run.add(wish.priority, wish.shape, wish.came, place.key.clone()));
    }

    /// An attempt that runs already takes its place and its devices, whether there is room or not.
    pub fn occupy(&mut self, key: &AttemptKey, requests: &Amounts, gpus: &[u32]) {
        self.withdraw(key);
        if !self.placed.contains_key(key) {
            let mut part = Shape::of(requests).part(&self.capacity());
            let gpus = self.gpus.occupy(gpus, part.gpus);
            part.gpus = gpus.len() as u64;
            self.put(key.clone(), Placed { part, gpus });
        }
    }

    /// The attempt ended, or does not want its place any more.
    pub fn release(&mut self, key: &AttemptKey) {
        self.withdraw(key);
        if let Some(placed) = self.placed.remove(key) {
            self.used = self.used.minus(&placed.part);
            self.gpus.release(&placed.gpus);
            if let Some(held) = &mut self.held
                && held.overtakers.remove(key)
            {
                held.overtaken = held.overtaken.minus(&placed.part);
            }
            self.change(&key.run, |of_run| of_run.give_back(&placed.part));
        }
    }

    /// Grants places to those whose turn it is, until nobody fits.
    pub fn grant(&mut self) -> Vec<Grant> {
        let mut granted = Vec::new();
        while let Some(Choice { key, part, overtakes }) = self.choose() {
            self.withdraw(&key);
            let gpus = self.gpus.take(part.gpus);
            if overtakes && let Some(held) = &mut self.held {
                held.overtakers.insert(key.clone());
                held.overtaken = held.overtaken.plus(&part);
            }
            self.put(key.clone(), Placed { part, gpus: gpus.clone() });
            self.served += 2;
            let served = self.served;
            self.change(&key.run, |of_run| of_run.served = served);
            granted.push(Grant { key, gpus });
        }
        granted
    }

    /// Forgets all wishes and places of a run.
    pub fn forget(&mut self, run: &RunId) {
        let placed: Vec<AttemptKey> = self.placed.keys().filter(|key| key.run == *run).cloned().collect();
        let waiting: Vec<AttemptKey> =
            self.runs.get(run).map(|of_run| of_run.waiting().cloned().collect()).unwrap_or_default();
        self.ahead.retain(|(key, _)| key.run != *run);
        placed.iter().chain(&waiting).for_each(|key| self.release(key));
        self.set_jobs(run, None);
        self.runs.remove(run);
    }

    /// What the target has now, with what runs make it have.
    pub fn capacity(&self) -> Capacity {
        let mut capacity = self.own;
        if let Some((slots, _)) = self.raised.last() {
            capacity.slots = *slots;
            capacity.cpu_millis = capacity.cpu_millis.max(u64::from(*slots) * ONE_CPU);
        }
        capacity
    }

    /// What each run holds, and how many attempts at once it may have. Runs that hold nothing are left out.
    pub fn holders(&self) -> impl Iterator<Item = (&RunId, Part, u32)> {
        let own = self.own.slots;
        let holding = self.runs.iter().filter(|(_, of_run)| of_run.holds != Part::default());
        holding.map(move |(run, of_run)| (run, of_run.holds, of_run.jobs.unwrap_or(own)))
    }

    /// For whom others may not take more than what is beside it.
    pub fn held_for(&self) -> Option<&AttemptKey> {
        self.held.as_ref().map(|held| &held.key)
    }

    /// The first in turn that may start now; on the way, for whom the machine is held from now on.
    fn choose(&mut self) -> Option<Choice> {
        let capacity = self.capacity();
        if self.used.slots >= u64::from(capacity.slots) {
            return None;
        }
        let mut held = self.held.take().filter(|held| self.may_start(&held.key, held.of_own_run()));
        let chosen = self.look(&capacity, &mut held);
        self.held = held;
        chosen
    }

    /// As `choose`. Who is held for comes before all others of its priority.
    fn look(&self, capacity: &Capacity, held: &mut Option<Held>) -> Option<Choice> {
        let mut is_asked = false;
        let mut looked_at = 0;
        for (turn, run) in &self.turns {
            if let Some(held) = held.as_ref().filter(|held| !is_asked && turn.priority() <= held.priority) {
                is_asked = true;
                let part = self.wishes.get(&held.key)?.shape.part(capacity);
                if self.fits(capacity, &part) && self.may_start(&held.key, 0) {
                    return Some(Choice { key: held.key.clone(), part, overtakes: false });
                }
            }
            let of_run = self.runs.get(run)?;
            for (priority, shape, key) in of_run.heads() {
                looked_at += 1;
                if looked_at > LOOKED_AT_MAX {
                    return None;
                }
                let part = shape.part(capacity);
                let behind = held.as_ref().filter(|held| priority <= held.priority);
                if behind.is_some_and(|held| held.key == *key) {
                    continue;
                }
                let fits = self.fits(capacity, &part)
                    && behind.is_none_or(|held| self.is_beside(capacity, held, run, of_run, &part));
                if fits {
                    return Some(Choice { key: key.clone(), part, overtakes: behind.is_some() });
                }
                if behind.is_none() {
                    is_asked = true;
                    let (overtakers, overtaken) = (BTreeSet::new(), Part::default());
                    *held = Some(Held { key: key.clone(), priority, overtakers, overtaken });
                }
            }
        }
        None
    }

    fn fits(&self, capacity: &Capacity, part: &Part) -> bool {
        self.used.plus(part).is_within(capacity)
    }

    /// Whether a part can be taken so that the one who is held for fits beside it and beside all that overtook it.
    fn is_beside(&self, capacity: &Capacity, held: &Held, run: &RunId, of_run: &OfRun, part: &Part) -> bool {
        let Some(wish) = self.wishes.get(&held.key) else { return true };
        let own_run = held.key.run == *run;
        let all = held.overtaken.plus(part).plus(&wish.shape.part(capacity));
        all.is_within(capacity) && (!own_run || held.of_own_run() + 2 <= of_run.jobs.unwrap_or(self.own.slots))
    }

    /// Whether it waits for nothing but room on the target, `without` so many attempts of its run.
    fn may_start(&self, key: &AttemptKey, without: u32) -> bool {
        let of_run = self.runs.get(&key.run);
        self.wishes.contains_key(key)
            && of_run.is_some_and(|of_run| of_run.placed - without < of_run.jobs.unwrap_or(self.own.slots))
    }

    fn withdraw(&mut self, key: &AttemptKey) {
        self.ahead.retain(|(other, _)| other != key);
        if let Some(wish) = self.wishes.remove(key) {
            self.change(&key.run, |of_run| of_run.remove(wish.priority, wish.shape, wish.came));
            self.held.take_if(|held| held.key == *key);
        }
    }

    fn put(&mut self, key: AttemptKey, placed: Placed) {
        self.used = self.used.plus(&placed.part);
        self.change(&key.run, |of_run| of_run.take(&placed.part));
        self.placed.insert(key, placed);
    }

    /// Changes what is known of a run, and what is redundant with it.
    fn change(&mut self, run: &RunId, change: impl FnOnce(&mut OfRun)) {
        // A new run comes before the one that was served last, and after those before: a stream of new ones starves nobody.
        let (own, served) = (self.own, self.served.saturating_sub(1));
        let of_run = self.runs.entry(run.clone()).or_insert_with(|| OfRun::new(served));
        let before = (of_run.turn(&own), of_run.raises(own.slots));
        change(of_run);
        let (turn, raises) = (of_run.turn(&own), of_run.raises(own.slots));
        if before.0 != turn {
            before.0.map(|turn| self.turns.remove(&turn));
            turn.map(|turn| self.turns.insert(turn, run.clone()));
        }
        if before.1 != raises {
            before.1.map(|jobs| self.raised.remove(&(jobs, run.clone())));
            raises.map(|jobs| self.raised.insert((jobs, run.clone())));
        }
    }
}

impl Held {
    /// Attempts of the same run that overtook it.
    fn of_own_run(&self) -> u32 {
        self.overtakers.iter().filter(|key| key.run == self.key.run).count() as u32
    }
}

impl Part {
    fn plus(&self, other: &Self) -> Self {
        Self {
            slots: self.slots + other.slots,
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            gpus: self.gpus + other.gpus,
        }
    }

    fn minus(&self, other: &Self) -> Self {
        Self {
            slots: self.slots - other.slots,
            cpu_millis: self.cpu_millis - other.cpu_millis,
            memory_bytes: self.memory_bytes - other.memory_bytes,
            gpus: self.gpus - other.gpus,
        }
    }

    fn is_within(&self, capacity: &Capacity) -> bool {
        self.slots <= u64::from(capacity.slots)
            && self.cpu_millis <= capacity.cpu_millis
            && self.memory_bytes <= capacity.memory_bytes
            && self.gpus <= u64::from(capacity.gpus)
    }
}
