//! Which devices are free. Each is one attempt's at most.
//! It must never give a device that an attempt still has.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

#[derive(Clone, Debug)]
pub(super) struct Gpus {
    count: u32,
    /// How many attempts have each device that is not free: one, or more where logs of another machine say so.
    taken: BTreeMap<u32, u32>,
}

impl Gpus {
    pub fn new(count: u32) -> Self {
        Self { count, taken: BTreeMap::new() }
    }

    /// Takes `wanted` free devices: neighbours if there are any, from the smallest gap that is large enough, so that large gaps
    /// stay for those who need them; else the lowest.
    pub fn take(&mut self, wanted: u64) -> Vec<u32> {
        let wanted = wanted as usize;
        if wanted == 0 {
            return Vec::new();
        }
        let gap = self.gaps().into_iter().filter(|gap| gap.len() >= wanted).min_by_key(Vec::len);
        let mut chosen = gap.unwrap_or_else(|| self.free().collect());
        chosen.truncate(wanted);
        self.mark(&chosen);
        chosen
    }

    /// Takes these, which an attempt has; where nobody said which (a log of an older build), free ones.
    pub fn occupy(&mut self, gpus: &[u32], wanted: u64) -> Vec<u32> {
        if gpus.is_empty() {
            return self.take(wanted);
        }
        self.mark(gpus);
        gpus.to_vec()
    }

    pub fn release(&mut self, gpus: &[u32]) {
        for gpu in gpus {
            if let Some(count) = self.taken.get_mut(gpu) {
                *count -= 1;
                if *count == 0 {
                    self.taken.remove(gpu);
                }
            }
        }
    }

    fn mark(&mut self, gpus: &[u32]) {
        gpus.iter().for_each(|gpu| *self.taken.entry(*gpu).or_default() += 1);
    }

    fn free(&self) -> impl Iterator<Item = u32> {
        (0..self.count).filter(|gpu| !self.taken.contains_key(gpu))
    }

    /// Free devices as runs of neighbours.
    fn gaps(&self) -> Vec<Vec<u32>> {
        let mut gaps: Vec<Vec<u32>> = Vec::new();
        for gpu in self.free() {
            match gaps.last_mut().filter(|gap| gap.last().is_some_and(|last| last + 1 == gpu)) {
                Some(gap) => gap.push(gpu),
                None => gaps.push(alloc::vec![gpu]),
            }
        }
        gaps
    }
}
