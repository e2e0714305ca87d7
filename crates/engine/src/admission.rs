//! Admission: which attempts have a place on a target now. A machine in memory, made again from outstanding attempts.
//! It must never be stored, and never know what an attempt is for.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use model::attempt::Amounts;
use model::command::Place;
use model::{AttemptKey, RunId};

/// What a target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Attempts at once. A run may want fewer, or more (`-j`).
    pub slots: u32,
    pub cpu_millis: u64,
    pub memory_bytes: u64,
    pub gpus: u32,
}

/// What an attempt takes: everything said, a task without requests one cpu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taken {
    cpu_millis: u64,
    memory_bytes: u64,
    gpus: u32,
}

/// The order in which wishes are granted: higher priority first, then as they came.
type Rank = (core::cmp::Reverse<i32>, u64);

#[derive(Clone, Debug)]
pub struct Admission {
    /// Without what runs want beyond it.
    own: Capacity,
    used: Used,
    placed: BTreeMap<AttemptKey, Taken>,
    ranks: BTreeMap<AttemptKey, Rank>,
    next: u64,
    runs: BTreeMap<RunId, OfRun>,
    /// Redundant: the first wish of each run that may have one more place.
    heads: BTreeMap<Rank, RunId>,
    /// Redundant: what runs that have or want places want at once, as far as it is more than the target's own.
    raised: BTreeSet<(u32, RunId)>,
}

#[derive(Clone, Debug, Default)]
struct OfRun {
    jobs: Option<u32>,
    placed: u32,
    waiting: BTreeMap<Rank, (AttemptKey, Amounts)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    slots: u32,
    cpu_millis: u64,
    memory_bytes: u64,
    gpus: u32,
}

const ONE_CPU: u64 = 1000;

impl Admission {
    pub fn new(capacity: Capacity) -> Self {
        Self {
            own: capacity,
            used: Used::default(),
            placed: BTreeMap::new(),
            ranks: BTreeMap::new(),
            next: 0,
            runs: BTreeMap::new(),
            heads: BTreeMap::new(),
            raised: BTreeSet::new(),
        }
    }

    /// How many attempts of a run there may be at once; `None`: as many as the target has slots. More than that makes the target
    /// larger, by a cpu each, while the run has or wants places: its tasks wait more than they compute.
    pub fn set_jobs(&mut self, run: &RunId, jobs: Option<u32>) {
        self.change(run, |of_run| of_run.jobs = jobs);
    }

    /// Wishes for a place; a key that has one or waits for one is left as it is. A wish larger than the target is lowered to it.
    pub fn wish(&mut self, place: &Place) {
        if self.placed.contains_key(&place.key) || self.ranks.contains_key(&place.key) {
            return;
        }
        let rank = (core::cmp::Reverse(place.priority), self.next);
        self.next += 1;
        self.ranks.insert(place.key.clone(), rank);
        let wish = (place.key.clone(), place.requests);
        self.change(&place.key.run, |of_run| drop(of_run.waiting.insert(rank, wish)));
    }

    /// An attempt that runs already takes its place, whether there is room or not.
    pub fn occupy(&mut self, key: &AttemptKey, requests: &Amounts) {
        self.withdraw(key);
        if !self.placed.contains_key(key) {
            let taken = taken(requests, &self.capacity());
            self.put(key.clone(), taken);
        }
    }

    /// The attempt ended, or does not want its place any more.
    pub fn release(&mut self, key: &AttemptKey) {
        self.withdraw(key);
        if let Some(taken) = self.placed.remove(key) {
            self.used.slots -= 1;
            self.used.cpu_millis -= taken.cpu_millis;
            self.used.memory_bytes -= taken.memory_bytes;
            self.used.gpus -= taken.gpus;
            self.change(&key.run, |of_run| of_run.placed -= 1);
        }
    }

    /// Grants places in order of rank until the first that does not fit: nobody is overtaken for ever. Wishes of a run that has
    /// as many places as it may are passed over: they wait for their own run.
    pub fn grant(&mut self) -> Vec<AttemptKey> {
        let mut granted = Vec::new();
        while let Some((rank, run)) = self.heads.first_key_value() {
            let (rank, capacity) = (*rank, self.capacity());
            let Some((key, requests)) = self.runs.get(run).and_then(|of_run| of_run.waiting.get(&rank)) else { break };
            let (key, taken) = (key.clone(), taken(requests, &capacity));
            if !fits(&capacity, &self.used, &taken) {
                break;
            }
            self.withdraw(&key);
            self.put(key.clone(), taken);
            granted.push(key);
        }
        granted
    }

    /// Forgets all wishes and places of a run.
    pub fn forget(&mut self, run: &RunId) {
        let keys: BTreeSet<AttemptKey> =
            self.placed.keys().chain(self.ranks.keys()).filter(|key| key.run == *run).cloned().collect();
        keys.iter().for_each(|key| self.release(key));
        self.set_jobs(run, None);
    }

    pub fn has_place(&self, key: &AttemptKey) -> bool {
        self.placed.contains_key(key)
    }

    /// Attempts that have a place.
    pub fn placed(&self) -> usize {
        self.placed.len()
    }

    pub fn waiting(&self) -> usize {
        self.ranks.len()
    }

    /// What the target has now, with what runs make it have.
    fn capacity(&self) -> Capacity {
        let mut capacity = self.own;
        if let Some((slots, _)) = self.raised.last() {
            capacity.slots = *slots;
            capacity.cpu_millis = capacity.cpu_millis.max(u64::from(*slots) * ONE_CPU);
        }
        capacity
    }

    fn withdraw(&mut self, key: &AttemptKey) {
        if let Some(rank) = self.ranks.remove(key) {
            self.change(&key.run, |of_run| drop(of_run.waiting.remove(&rank)));
        }
    }

    fn put(&mut self, key: AttemptKey, taken: Taken) {
        self.used.slots += 1;
        self.used.cpu_millis += taken.cpu_millis;
        self.used.memory_bytes += taken.memory_bytes;
        self.used.gpus += taken.gpus;
        self.change(&key.run, |of_run| of_run.placed += 1);
        self.placed.insert(key, taken);
    }

    /// Changes what is known of a run, and what is redundant with it.
    fn change(&mut self, run: &RunId, change: impl FnOnce(&mut OfRun)) {
        let own = self.own.slots;
        let of_run = self.runs.entry(run.clone()).or_default();
        let before = (of_run.head(own), of_run.raises(own));
        change(of_run);
        let (head, raises) = (of_run.head(own), of_run.raises(own));
        if of_run.jobs.is_none() && !of_run.is_active() {
            self.runs.remove(run);
        }
        if before.0 != head {
            before.0.map(|rank| self.heads.remove(&rank));
            head.map(|rank| self.heads.insert(rank, run.clone()));
        }
        if before.1 != raises {
            before.1.map(|jobs| self.raised.remove(&(jobs, run.clone())));
            raises.map(|jobs| self.raised.insert((jobs, run.clone())));
        }
    }
}

impl OfRun {
    fn is_active(&self) -> bool {
        self.placed > 0 || !self.waiting.is_empty()
    }

    fn head(&self, own: u32) -> Option<Rank> {
        let rank = self.waiting.first_key_value()?.0;
        (self.placed < self.jobs.unwrap_or(own)).then_some(*rank)
    }

    fn raises(&self, own: u32) -> Option<u32> {
        self.jobs.filter(|jobs| *jobs > own && self.is_active())
    }
}

fn taken(requests: &Amounts, capacity: &Capacity) -> Taken {
    Taken {
        cpu_millis: requests.cpu_millis.unwrap_or(ONE_CPU).min(capacity.cpu_millis),
        memory_bytes: requests.memory_bytes.unwrap_or(0).min(capacity.memory_bytes),
        gpus: requests.gpus.unwrap_or(0).min(capacity.gpus),
    }
}

fn fits(capacity: &Capacity, used: &Used, taken: &Taken) -> bool {
    used.slots < capacity.slots
        && used.cpu_millis + taken.cpu_millis <= capacity.cpu_millis
        && used.memory_bytes + taken.memory_bytes <= capacity.memory_bytes
        && used.gpus + taken.gpus <= capacity.gpus
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use model::NodeId;

    fn place(node: u32, cpu_millis: Option<u64>, priority: i32) -> Place {
        let key = AttemptKey { run: RunId("r".to_string()), node: NodeId(node), n: 0 };
        let requests = Amounts { cpu_millis, ..Amounts::default() };
        Place { key, requests, priority, python_requirements: Vec::new() }
    }

    fn nodes(keys: Vec<AttemptKey>) -> Vec<u32> {
        keys.into_iter().map(|key| key.node.0).collect()
    }

    #[test]
    fn grants_by_priority_then_age_and_lowers_what_is_too_large() {
        let capacity = Capacity { slots: 2, cpu_millis: 2000, memory_bytes: 1 << 30, gpus: 0 };
        let mut admission = Admission::new(capacity);
        admission.wish(&place(1, None, 0));
        admission.wish(&place(2, Some(9000), 0));
        admission.wish(&place(3, None, 5));
        admission.wish(&place(3, None, 5));
        assert_eq!(nodes(admission.grant()), [3, 1]);
        assert_eq!(nodes(admission.grant()), [] as [u32; 0]);
        admission.release(&place(3, None, 0).key);
        assert_eq!(nodes(admission.grant()), [] as [u32; 0], "the large one needs the whole machine");
        admission.release(&place(1, None, 0).key);
        assert_eq!(nodes(admission.grant()), [2]);
    }

    fn of(run: &str, node: u32) -> Place {
        let mut place = place(node, None, 0);
        place.key.run = RunId(run.to_string());
        place
    }

    #[test]
    fn a_run_has_at_most_the_places_it_wants_and_does_not_hold_up_others() {
        let mut admission = Admission::new(Capacity { slots: 2, cpu_millis: 2000, memory_bytes: 1 << 30, gpus: 0 });
        admission.set_jobs(&RunId("a".to_string()), Some(1));
        (1..4).for_each(|node| admission.wish(&of("a", node)));
        (11..14).for_each(|node| admission.wish(&of("b", node)));
        assert_eq!(nodes(admission.grant()), [1, 11]);
        admission.release(&of("b", 11).key);
        assert_eq!(nodes(admission.grant()), [12]);
        admission.release(&of("a", 1).key);
        assert_eq!(nodes(admission.grant()), [2]);
    }

    #[test]
    fn a_run_that_wants_more_places_than_there_are_makes_them_while_it_wants_any() {
        let mut admission = Admission::new(Capacity { slots: 2, cpu_millis: 2000, memory_bytes: 1 << 30, gpus: 0 });
        admission.set_jobs(&RunId("a".to_string()), Some(4));
        (11..14).for_each(|node| admission.wish(&of("b", node)));
        assert_eq!(nodes(admission.grant()), [11, 12], "a run that wants nothing changes nothing");
        (1..6).for_each(|node| admission.wish(&of("a", node)));
        assert_eq!(nodes(admission.grant()), [1, 2], "four for both, and not more than its two for the other");
        (1..6).for_each(|node| admission.release(&of("a", node).key));
        admission.release(&of("b", 11).key);
        assert_eq!(nodes(admission.grant()), [13]);
    }

    /// The rule without indexes: by rank, runs that have all they may passed over, up to the first that does not fit.
    fn naive(admission: &Admission) -> Vec<AttemptKey> {
        let mut wishes: Vec<(Rank, AttemptKey)> = Vec::new();
        for of_run in admission.runs.values() {
            wishes.extend(of_run.waiting.iter().map(|(rank, (key, _))| (*rank, key.clone())));
        }
        wishes.sort();
        let mut placed: Vec<AttemptKey> = admission.placed.keys().cloned().collect();
        let jobs = |run: &RunId| admission.runs.get(run).and_then(|of_run| of_run.jobs);
        let before = placed.len();
        let active = placed.iter().chain(wishes.iter().map(|(_, key)| key));
        let slots = active.filter_map(|key| jobs(&key.run)).max().unwrap_or(0).max(admission.own.slots) as usize;
        for (_, key) in wishes {
            let of_run = placed.iter().filter(|other| other.run == key.run).count();
            if of_run >= jobs(&key.run).unwrap_or(admission.own.slots) as usize {
                continue;
            }
            if placed.len() >= slots {
                break;
            }
            placed.push(key);
        }
        placed.split_off(before)
    }

    #[test]
    fn the_indexes_say_what_the_rule_says() {
        let mut state = 7_u64;
        let mut draw = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let runs = ["a", "b", "c"];
        let mut admission = Admission::new(Capacity { slots: 2, cpu_millis: 2000, memory_bytes: 1 << 30, gpus: 0 });
        for _ in 0..20_000 {
            let mut place = of(runs[draw(3) as usize], draw(12) as u32);
            place.priority = draw(2) as i32;
            match draw(12) {
                0..6 => admission.wish(&place),
                6..9 => admission.release(&place.key),
                9 => admission.set_jobs(&place.key.run, Some(1 + draw(5) as u32)),
                10 => admission.occupy(&place.key, &place.requests),
                _ if draw(4) == 0 => admission.forget(&place.key.run),
                _ => {}
            }
            let wanted = naive(&admission);
            assert_eq!(admission.grant(), wanted);
        }
    }
}
