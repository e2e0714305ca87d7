//! The disk: for each file what is on the platter, and what was written since; and what of it a power cut leaves.
//! It must never know who writes, nor what a page is.

use crate::chance::Chance;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const SECTOR: usize = 512;
/// Under `Normal` a sync takes so long at most: it has to be over within the promise.
const SYNC_MS_MAX: u64 = 40;

/// Something that the store said is there.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub log: u64,
    /// Entries that it has.
    pub length: u64,
    pub at: Instant,
}

/// What a power cut left.
pub struct Cut {
    pub how: String,
    pub at: Instant,
    pub acknowledged: Vec<Acknowledged>,
    /// How long the machine let nobody run just before.
    pub held_up: Duration,
    image: BTreeMap<String, Vec<u8>>,
}

impl Cut {
    /// Writes the files into a directory.
    pub fn lay(&self, dir: &Path) {
        for (name, bytes) in &self.image {
            fs::write(dir.join(name), bytes).expect("a file");
        }
    }
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

#[derive(Clone, Default)]
struct File {
    /// What a sync has brought to the disk.
    durable: Vec<u8>,
    /// With the number of each in the order of all.
    pending: Vec<(u64, Change)>,
    /// Whether its directory has it: on the disk, and as programs see it.
    there: bool,
    seen: bool,
    /// An earlier file of that name, if it was removed and made again since the directory was synced.
    earlier: Option<Vec<u8>>,
}

/// The files of one directory.
#[derive(Clone, Default)]
pub struct Files {
    files: BTreeMap<String, File>,
    number: u64,
}

impl Files {
    pub fn made(&mut self, name: &str) {
        self.number += 1;
        let file = self.files.entry(name.to_owned()).or_default();
        if file.seen {
            return;
        }
        let earlier = file.there.then(|| std::mem::take(&mut file.durable)).or(file.earlier.take());
        *file = File { seen: true, there: file.there, earlier, ..File::default() };
    }

    pub fn removed(&mut self, name: &str) {
        self.number += 1;
        if let Some(file) = self.files.get_mut(name) {
            file.seen = false;
        }
    }

    pub fn wrote(&mut self, name: &str, offset: usize, bytes: &[u8]) {
        self.number += 1;
        let number = self.number;
        if let Some(file) = self.files.get_mut(name) {
            file.pending.push((number, Change::Write(offset, bytes.to_vec())));
        }
    }

    pub fn cut_to(&mut self, name: &str, length: usize) {
        self.number += 1;
        let number = self.number;
        if let Some(file) = self.files.get_mut(name) {
            file.pending.push((number, Change::Length(length)));
        }
    }

    /// What was written up to this number is on the disk.
    pub fn synced(&mut self, name: &str, up_to: u64) {
        let Some(file) = self.files.get_mut(name) else { return };
        for (number, change) in std::mem::take(&mut file.pending) {
            if number <= up_to {
                apply(&mut file.durable, &change);
            } else {
                file.pending.push((number, change));
            }
        }
    }

    pub fn synced_directory(&mut self) {
        self.files.retain(|_, file| {
            file.there = file.seen;
            file.earlier = None;
            file.seen
        });
    }

    /// What is left, and in what way it was chosen.
    pub fn survivors(&self, chance: &mut Chance) -> (BTreeMap<String, Vec<u8>>, String) {
        let how = chance.below(6);
        // In the fourth way all writes up to one of them arrive, in the others each sector has its own chance.
        let up_to = self.number - chance.below(12.min(self.number));
        let rate = [0, 100, 50, 100, 90, 15][how as usize];
        let mut image = BTreeMap::new();
        for (name, file) in &self.files {
            let changed = file.seen != file.there || file.earlier.is_some();
            // Each change of the directory by itself.
            let new = !changed || chance.below(100) < rate.max(20);
            let exists = if new { file.seen } else { file.there };
            if !exists {
                continue;
            }
            if let (false, Some(earlier)) = (new, &file.earlier) {
                image.insert(name.clone(), earlier.clone());
                continue;
            }
            let mut bytes = file.durable.clone();
            for (number, change) in &file.pending {
                if how == 3 && *number > up_to {
                    continue;
                }
                keep_some(&mut bytes, change, rate, chance);
            }
            image.insert(name.clone(), bytes);
        }
        (image, format!("way {how} of operation {}", self.number))
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, new) => write(bytes, *offset, new),
        Change::Length(length) => bytes.resize(*length, 0),
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    if bytes.len() < offset + new.len() {
        bytes.resize(offset + new.len(), 0);
    }
    bytes[offset..offset + new.len()].copy_from_slice(new);
}

/// Applies those sectors of a change that made it, of some only a first part.
fn keep_some(bytes: &mut Vec<u8>, change: &Change, rate: u64, chance: &mut Chance) {
    let Change::Write(offset, new) = change else {
        if chance.below(100) < rate {
            apply(bytes, change);
        }
        return;
    };
    let end = offset + new.len();
    // The file may be longer already though its sectors were not written.
    if chance.below(100) < rate && bytes.len() < end && chance.below(4) == 0 {
        bytes.resize(end, 0);
    }
    let mut from = *offset;
    while from < end {
        let to = ((from / SECTOR + 1) * SECTOR).min(end);
        if chance.below(100) < rate {
            let torn = rate < 100 && chance.below(20) == 0;
            let kept = if torn { from + chance.below((to - from) as u64) as usize } else { to };
            write(bytes, from, &new[from - offset..kept - offset]);
        }
        from = to;
    }
}

/// The disk under the store of this moment.
#[derive(Default)]
struct Disk {
    root: PathBuf,
    files: Files,
    chance: Option<Chance>,
    slow: bool,
    cut_at: Vec<u64>,
    cuts: Vec<Cut>,
    acknowledged: Vec<Acknowledged>,
    /// When a thread that only wants to run every millisecond was late, and by how much; and when it last ran.
    late: Vec<(Instant, Duration)>,
    watched: Option<Instant>,
}

/// A thread runs as often as this, or something else has the processors.
const BEAT: Duration = Duration::from_millis(1);
/// Below this a delay is the timer's.
const LATE_MIN: Duration = Duration::from_millis(5);
/// Nothing that was held up longer ago is behind still.
const LATELY: Duration = Duration::from_millis(600);

static DISK: Mutex<Option<Disk>> = Mutex::new(None);

fn disk() -> MutexGuard<'static, Option<Disk>> {
    DISK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on the files of this directory are watched.
pub fn begin(root: &Path, seed: u64, slow: bool) {
    let chance = Some(Chance(seed ^ 0x5eed));
    *disk() = Some(Disk { root: root.to_owned(), chance, slow, ..Disk::default() });
    if slow {
        let root = root.to_owned();
        std::thread::spawn(move || while beat(&root) {});
    }
}

/// Looks how late the machine is. False: this disk is not watched any more.
fn beat(root: &Path) -> bool {
    let mut guard = disk();
    let Some(disk) = guard.as_mut().filter(|disk| disk.root == root) else { return false };
    let now = Instant::now();
    let late = disk.watched.map_or(Duration::ZERO, |last| now.duration_since(last).saturating_sub(BEAT));
    if late >= LATE_MIN {
        disk.late.push((now, late));
    }
    disk.watched = Some(now);
    drop(guard);
    std::thread::sleep(BEAT);
    true
}

/// The power goes after so many operations.
pub fn cut_at(operations: impl Iterator<Item = u64>) {
    if let Some(disk) = &mut *disk() {
        disk.cut_at = operations.collect();
        disk.cut_at.sort_unstable();
        disk.cut_at.dedup();
        disk.cut_at.reverse();
    }
}

pub fn cut_now() {
    if let Some(disk) = &mut *disk() {
        disk.cut();
    }
}

pub fn acknowledge(log: u64, length: u64) {
    if let Some(disk) = &mut *disk() {
        disk.acknowledged.push(Acknowledged { log, length, at: Instant::now() });
    }
}

/// Nothing is watched any more.
pub fn end() -> Vec<Cut> {
    disk().take().map_or(Vec::new(), |disk| disk.cuts)
}

/// Does something to a watched file of this path. False: it is not watched.
pub fn change(path: &Path, change: impl FnOnce(&mut Files, &str)) -> bool {
    let mut guard = disk();
    let Some(disk) = &mut *guard else { return false };
    let Some(name) = disk.name_of(path) else { return false };
    change(&mut disk.files, &name);
    disk.cut_if_due();
    true
}

/// A sync of this file, or of the directory.
pub fn sync(path: &Path) {
    let (up_to, wait) = {
        let mut guard = disk();
        let Some(disk) = &mut *guard else { return };
        let slow = if disk.slow { SYNC_MS_MAX } else { 0 };
        (disk.files.number, disk.chance.as_mut().map_or(0, |chance| chance.below(slow + 1)))
    };
    if wait > 0 {
        std::thread::sleep(Duration::from_millis(wait));
    }
    let mut guard = disk();
    let Some(disk) = &mut *guard else { return };
    if path == disk.root {
        disk.files.synced_directory();
    } else if let Some(name) = disk.name_of(path) {
        disk.files.synced(&name, up_to);
    }
    disk.files.number += 1;
    disk.cut_if_due();
}

impl Disk {
    fn name_of(&self, path: &Path) -> Option<String> {
        (path.parent() == Some(&self.root)).then(|| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    fn cut_if_due(&mut self) {
        if self.cut_at.last().is_some_and(|at| self.files.number >= *at) {
            self.cut_at.pop();
            self.cut();
        }
    }

    /// For how long lately a thread that wanted to run could not.
    fn held_up(&self, now: Instant) -> Duration {
        let lately = self.late.iter().filter(|(at, _)| now.duration_since(*at) < LATELY).map(|(_, late)| *late);
        let still =
            self.watched.map(|last| now.duration_since(last).saturating_sub(BEAT)).filter(|late| *late >= LATE_MIN);
        lately.chain(still).sum()
    }

    fn cut(&mut self) {
        let Some(chance) = &mut self.chance else { return };
        let (image, how) = self.files.survivors(chance);
        let (at, acknowledged) = (Instant::now(), self.acknowledged.clone());
        self.cuts.push(Cut { how, at, acknowledged, held_up: self.held_up(at), image });
    }
}
