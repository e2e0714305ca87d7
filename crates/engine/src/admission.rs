//! Admission: which attempts have a place on a target now. A machine in memory, made again from outstanding attempts.
//! It must never be stored, and never know what an attempt is for.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use model::AttemptKey;
use model::attempt::Amounts;
use model::command::Place;

/// What a target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Attempts at once (`-j`).
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
    capacity: Capacity,
    used: Used,
    placed: BTreeMap<AttemptKey, Taken>,
    waiting: BTreeMap<Rank, (AttemptKey, Taken)>,
    ranks: BTreeMap<AttemptKey, Rank>,
    next: u64,
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
            capacity,
            used: Used::default(),
            placed: BTreeMap::new(),
            waiting: BTreeMap::new(),
            ranks: BTreeMap::new(),
            next: 0,
        }
    }

    /// Wishes for a place; a key that has one or waits for one is left as it is. A wish larger than the target is lowered to it.
    pub fn wish(&mut self, place: &Place) {
        if self.placed.contains_key(&place.key) || self.ranks.contains_key(&place.key) {
            return;
        }
        let rank = (core::cmp::Reverse(place.priority), self.next);
        self.next += 1;
        self.ranks.insert(place.key.clone(), rank);
        self.waiting.insert(rank, (place.key.clone(), self.taken(&place.requests)));
    }

    /// An attempt that runs already takes its place, whether there is room or not.
    pub fn occupy(&mut self, key: &AttemptKey, requests: &Amounts) {
        self.withdraw(key);
        if !self.placed.contains_key(key) {
            self.put(key.clone(), self.taken(requests));
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
        }
    }

    /// Grants places in order of rank until the first that does not fit: nobody is overtaken for ever.
    pub fn grant(&mut self) -> Vec<AttemptKey> {
        let mut granted = Vec::new();
        while let Some(entry) = self.waiting.first_entry() {
            let taken = entry.get().1;
            if !fits(&self.capacity, &self.used, &taken) {
                break;
            }
            let (key, taken) = entry.remove();
            self.ranks.remove(&key);
            self.put(key.clone(), taken);
            granted.push(key);
        }
        granted
    }

    /// Forgets all wishes and places of a run.
    pub fn forget(&mut self, run: &model::RunId) {
        let keys: BTreeSet<AttemptKey> =
            self.placed.keys().chain(self.ranks.keys()).filter(|key| key.run == *run).cloned().collect();
        keys.iter().for_each(|key| self.release(key));
    }

    pub fn has_place(&self, key: &AttemptKey) -> bool {
        self.placed.contains_key(key)
    }

    /// Attempts that have a place.
    pub fn placed(&self) -> usize {
        self.placed.len()
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn withdraw(&mut self, key: &AttemptKey) {
        if let Some(rank) = self.ranks.remove(key) {
            self.waiting.remove(&rank);
        }
    }

    fn put(&mut self, key: AttemptKey, taken: Taken) {
        self.used.slots += 1;
        self.used.cpu_millis += taken.cpu_millis;
        self.used.memory_bytes += taken.memory_bytes;
        self.used.gpus += taken.gpus;
        self.placed.insert(key, taken);
    }

    fn taken(&self, requests: &Amounts) -> Taken {
        Taken {
            cpu_millis: requests.cpu_millis.unwrap_or(ONE_CPU).min(self.capacity.cpu_millis),
            memory_bytes: requests.memory_bytes.unwrap_or(0).min(self.capacity.memory_bytes),
            gpus: requests.gpus.unwrap_or(0).min(self.capacity.gpus),
        }
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
    use model::{NodeId, RunId};

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
}
