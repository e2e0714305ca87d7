//! Locks of a home: mutexes and semaphores that nodes and runs wait for. A machine in memory, made again from the runs' logs.
//! It must never be stored, and never know what a lock is for.
//!
//! Whose turn it is: the higher priority, then the older run, then who came first. Whoever wants several locks gets all of them at
//! once or none, and nobody overtakes in the queue of a lock (upstream: `sync_manager.go`).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use model::command::LockWant;
use model::{NodeId, RunId, Time};

/// Who waits or holds: a node, or the whole run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub run: RunId,
    pub node: Option<NodeId>,
}

/// Who comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    /// Negated: the highest first.
    priority: i64,
    created_at: Time,
    came: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Locks {
    wishes: BTreeMap<Turn, (Key, Vec<LockWant>)>,
    waiting: BTreeMap<Key, Turn>,
    held: BTreeMap<Key, Vec<LockWant>>,
    /// Redundant: how often each lock is held.
    uses: BTreeMap<String, u32>,
    came: u64,
}

impl Locks {
    /// Whoever has or wants them already is left as it is.
    pub fn wish(&mut self, key: Key, wants: &[LockWant], priority: i32, created_at: Time) {
        if self.held.contains_key(&key) || self.waiting.contains_key(&key) {
            return;
        }
        let turn = Turn { priority: -i64::from(priority), created_at, came: self.came };
        self.came += 1;
        self.waiting.insert(key.clone(), turn.clone());
        self.wishes.insert(turn, (key, wants.to_vec()));
    }

    /// The log says that it has them.
    pub fn hold(&mut self, key: Key, wants: &[LockWant]) {
        self.release(&key);
        for want in wants {
            *self.uses.entry(want.name.clone()).or_default() += 1;
        }
        self.held.insert(key, wants.to_vec());
    }

    /// It neither has nor wants them any more.
    pub fn release(&mut self, key: &Key) {
        if let Some(turn) = self.waiting.remove(key) {
            self.wishes.remove(&turn);
        }
        for want in self.held.remove(key).unwrap_or_default() {
            if let Some(uses) = self.uses.get_mut(&want.name) {
                *uses -= 1;
                if *uses == 0 {
                    self.uses.remove(&want.name);
                }
            }
        }
    }

    /// All of a run.
    pub fn forget(&mut self, run: &RunId) {
        let of_run = |key: &&Key| key.run == *run;
        let keys: Vec<Key> = self.held.keys().chain(self.waiting.keys()).filter(of_run).cloned().collect();
        keys.iter().for_each(|key| self.release(key));
    }

    /// Gives locks to those whose turn it is, as far as there are any.
    pub fn grant(&mut self) -> Vec<Key> {
        let mut granted = Vec::new();
        // Locks that somebody before wants and cannot have.
        let mut awaited: BTreeSet<String> = BTreeSet::new();
        for (key, wants) in self.wishes.values() {
            let free = |want: &LockWant| {
                let taken = self.uses.get(&want.name).copied().unwrap_or_default();
                let given = granted.iter().flat_map(|(_, wants): &(Key, Vec<LockWant>)| wants);
                let given = given.filter(|other| other.name == want.name).count() as u32;
                !awaited.contains(&want.name) && taken + given < want.limit
            };
            if wants.iter().all(free) {
                granted.push((key.clone(), wants.clone()));
            } else {
                awaited.extend(wants.iter().map(|want| want.name.clone()));
            }
        }
        for (key, wants) in &granted {
            self.hold(key.clone(), wants);
        }
        granted.into_iter().map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    fn key(run: u32) -> Key {
        Key { run: RunId(format!("r{run}")), node: None }
    }

    fn want(name: &str, limit: u32) -> LockWant {
        LockWant { name: name.into(), limit }
    }

    #[test]
    fn a_semaphore_lets_so_many_in_and_the_highest_priority_first() {
        let mut locks = Locks::default();
        for (run, priority) in [(1, 0), (2, 0), (3, 5)] {
            locks.wish(key(run), &[want("s", 2)], priority, Time(0));
        }
        assert_eq!(locks.grant(), [key(3), key(1)]);
        assert!(locks.grant().is_empty());
        locks.release(&key(3));
        assert_eq!(locks.grant(), [key(2)]);
    }

    #[test]
    fn all_locks_at_once_and_nobody_overtakes() {
        let mut locks = Locks::default();
        locks.hold(key(1), &[want("a", 1)]);
        locks.wish(key(2), &[want("a", 1), want("b", 1)], 0, Time(0));
        locks.wish(key(3), &[want("b", 1)], 0, Time(1));
        // b is free, and 2 waits for it too.
        assert!(locks.grant().is_empty());
        locks.forget(&RunId("r1".into()));
        assert_eq!(locks.grant(), [key(2)]);
        locks.release(&key(2));
        assert_eq!(locks.grant(), [key(3)]);
    }

    #[test]
    fn an_older_run_comes_first_and_a_wish_counts_once() {
        let mut locks = Locks::default();
        locks.wish(key(1), &[want("m", 1)], 0, Time(9));
        locks.wish(key(2), &[want("m", 1)], 0, Time(3));
        locks.wish(key(2), &[want("m", 1)], 9, Time(3));
        assert_eq!(locks.grant(), [key(2)]);
        let none: Vec<Key> = vec![];
        assert_eq!(locks.grant(), none);
        locks.release(&key(1));
        locks.release(&key(2));
        assert!(locks.grant().is_empty() && locks.uses.is_empty());
    }
}
