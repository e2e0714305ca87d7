//! How long what attempts wrote is kept: for a day, while there is room; then it goes, what was kept longest first.
//! It must never remove what is younger because of its age, nor anything in place: what goes is renamed away first.

use super::scratch;
use crate::home::Home;
use crate::kept::{self, Entry};
use model::AttemptKey;
use model::limits::{KEPT_ATTEMPTS_MAX, KEPT_BYTES_MAX, KEPT_FREE_BYTES_MIN, KEPT_FREE_PERCENT_MIN};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often the disk is looked at while something is kept.
const LOOK: Duration = Duration::from_secs(30);

/// Tells the thread that something was kept. It ends when this is dropped.
pub(super) struct Keeper(Sender<Entry>);

impl Keeper {
    /// # Errors
    /// There is no room for a thread.
    pub fn start(home: &Home, keep: Duration) -> std::io::Result<Self> {
        let (sender, inbox) = channel();
        let home = home.clone();
        let body = move || Shelf::new(home, keep).tend(&inbox);
        thread::Builder::new().name("keeper".into()).spawn(body)?;
        Ok(Self(sender))
    }

    /// Puts away what an attempt wrote, before anybody hears of its end: what is told of is there. True if its directory is gone
    /// from where it was.
    pub fn keep(&self, home: &Home, key: &AttemptKey, bytes: u64) -> bool {
        match kept::keep(home, key, bytes, now_s()) {
            Ok(entry) => {
                // After the thread's end the next holder sees it.
                let _ = self.0.send(entry);
                true
            }
            // A collection before did it.
            Err(_) if kept::find(home, key).is_some() => true,
            Err(error) => {
                crate::own_log::say(format!("executor: what {key} wrote is not kept: {error}"));
                false
            }
        }
    }
}

struct Shelf {
    home: Home,
    keep: Duration,
    /// (when it was kept, where, bytes).
    entries: BTreeSet<(i64, PathBuf, u64)>,
    bytes: u64,
    removed: u64,
}

impl Shelf {
    fn new(home: Home, keep: Duration) -> Self {
        Self { home, keep, entries: BTreeSet::new(), bytes: 0, removed: 0 }
    }

    fn tend(&mut self, inbox: &Receiver<Entry>) {
        kept::entries(&self.home).into_iter().for_each(|entry| self.add(entry));
        loop {
            self.clear(now_s());
            match inbox.recv_timeout(self.patience(now_s())) {
                Ok(entry) => {
                    self.add(entry);
                    inbox.try_iter().for_each(|entry| self.add(entry));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn add(&mut self, entry: Entry) {
        if self.entries.insert((entry.at_s, entry.dir, entry.bytes)) {
            self.bytes += entry.bytes;
        }
    }

    /// Until the next is due, or the disk is to be looked at.
    fn patience(&self, now_s: i64) -> Duration {
        let Some((at_s, ..)) = self.entries.first() else { return Duration::from_secs(3600) };
        let due = at_s.saturating_add(self.keep.as_secs() as i64).saturating_sub(now_s).max(0) as u64;
        Duration::from_secs(due).clamp(Duration::from_millis(100), LOOK)
    }

    fn clear(&mut self, now_s: i64) {
        while let Some((at_s, ..)) = self.entries.first() {
            let old = now_s.saturating_sub(*at_s) >= self.keep.as_secs() as i64;
            let many = self.entries.len() > KEPT_ATTEMPTS_MAX;
            let large = self.bytes > KEPT_BYTES_MAX && self.entries.len() > 1;
            if !old && !many && !large {
                break;
            }
            self.remove_oldest();
        }
        while !self.entries.is_empty() && self.is_short() {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        let Some((_, dir, bytes)) = self.entries.pop_first() else { return };
        self.bytes -= bytes;
        self.removed += 1;
        let away = self.home.trash().join(format!("kept-{}-{}", std::process::id(), self.removed));
        // Its run may have been deleted, and it with it.
        if fs::rename(&dir, &away).is_ok() {
            scratch::remove(&away);
        }
        if let Some(run) = dir.parent() {
            // Only if nothing is in it.
            let _ = fs::remove_dir(run);
        }
    }

    fn is_short(&self) -> bool {
        rustix::fs::statvfs(self.home.root()).is_ok_and(|disk| is_short(disk.f_blocks, disk.f_bavail, disk.f_frsize))
    }
}

/// Whether a file system with these blocks has too little left.
fn is_short(blocks: u64, free: u64, block_bytes: u64) -> bool {
    let percent = blocks.saturating_mul(block_bytes) / 100 * KEPT_FREE_PERCENT_MIN;
    free.saturating_mul(block_bytes) < percent.min(KEPT_FREE_BYTES_MIN)
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{NodeId, RunId};

    fn shelf(dir: &std::path::Path, ages: &[(u32, u64, i64)]) -> Shelf {
        let home = Home::new(dir);
        crate::home::make_dir(&home.trash()).expect("trash");
        let mut shelf = Shelf::new(home, Duration::from_secs(100));
        for (node, bytes, at_s) in ages {
            let key = AttemptKey { run: RunId("r".into()), node: NodeId(*node), n: 0 };
            fs::create_dir_all(shelf.home.scratch(&key)).expect("layer");
            let entry = kept::keep(&shelf.home, &key, *bytes, *at_s).expect("kept");
            shelf.add(entry);
        }
        shelf
    }

    fn left(shelf: &Shelf) -> Vec<i64> {
        let mut left: Vec<i64> = kept::entries(&shelf.home).iter().map(|entry| entry.at_s).collect();
        left.sort_unstable();
        left
    }

    #[test]
    fn what_is_too_old_goes_and_the_run_with_its_last() {
        let dir = tempfile::tempdir().expect("dir");
        let mut shelf = shelf(dir.path(), &[(1, 5, 1000), (2, 5, 1050)]);
        shelf.clear(1099);
        assert_eq!(left(&shelf), [1000, 1050]);
        assert_eq!(shelf.patience(1099), Duration::from_secs(1));
        shelf.clear(1100);
        assert_eq!((left(&shelf), shelf.bytes), (vec![1050], 5));
        shelf.clear(2000);
        assert!(left(&shelf).is_empty() && !dir.path().join("kept/r").exists());
        assert!(fs::read_dir(shelf.home.trash()).expect("trash").next().is_none());
    }

    #[test]
    fn beyond_the_limits_the_oldest_goes_and_the_youngest_stays() {
        let dir = tempfile::tempdir().expect("dir");
        let large = KEPT_BYTES_MAX;
        let mut shelf = shelf(dir.path(), &[(1, 1, 1000), (2, 1, 1001), (3, large + 5, 1002)]);
        shelf.clear(1003);
        assert_eq!((left(&shelf), shelf.bytes), (vec![1002], large + 5));
    }

    #[test]
    fn another_holder_sees_what_is_kept() {
        let dir = tempfile::tempdir().expect("dir");
        let home = shelf(dir.path(), &[(1, 1, 1), (2, 1, now_s())]).home;
        let keeper = Keeper::start(&home, Duration::from_secs(100)).expect("keeper");
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while kept::entries(&home).len() > 1 && std::time::Instant::now() < end {
            thread::yield_now();
        }
        assert_eq!(kept::entries(&home).len(), 1);
        drop(keeper);
    }

    #[test]
    fn a_disk_is_short_by_its_size_or_by_what_is_left() {
        let block = 4096;
        assert!(!is_short(1000, 60, block) && is_short(1000, 40, block));
        // Five percent of a large one are more than anybody has to keep free.
        let large = (1 << 40) / block;
        assert!(!is_short(large, (2 << 30) / block, block) && is_short(large, (1 << 29) / block, block));
    }
}
