//! Power cuts: what the store acknowledged against what a disk still has that was not told to sync.
//!
//! SQLite's file operations go through a shim that remembers what was written since the last sync; a cut keeps a random part of it:
//! single sectors, torn ones, in any order, with any of the lengths that files had, and with or without the files that were made or
//! removed since their directory was synced. `TOWPATH_FAULT_ROUNDS` says how many cuts, `TOWPATH_POWER_SEED` from which seed on.
//! It must never excuse a loss: under `Full` nothing acknowledged is gone, under `Normal` nothing that is older than a quarter of a
//! second, and the store is always sound.

#[path = "power/chance.rs"]
mod chance;
#[path = "power/disk.rs"]
mod disk;
#[path = "power/shim.rs"]
mod shim;

use chance::Chance;
use disk::{Acknowledged, Cut};
use model::row::{Cell, ColumnDef, ColumnKind, RowChange, TableDef};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;
use store::{Append, Durability, LogId, SYNC_INTERVAL, StoreOpened, Writer, open};

static COLUMNS: [ColumnDef; 2] =
    [ColumnDef { name: "id", kind: ColumnKind::Text }, ColumnDef { name: "length", kind: ColumnKind::Integer }];
static LENGTHS: TableDef = TableDef { name: "lengths", columns: &COLUMNS, key_columns: 1, indexed: &[], version: 1 };

const LOGS: u64 = 5;
/// Cuts of one life of a store.
const CUTS: u64 = 25;
/// Lives that a store has, each with an orderly end.
const SESSIONS: u64 = 3;

/// Both promises, one after the other: there is one disk.
#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    shim::install();
    let wanted: u64 = setting("TOWPATH_FAULT_ROUNDS").unwrap_or(100);
    let mut seed: u64 = setting("TOWPATH_POWER_SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20);
    let first = seed;
    let (mut made, mut lost) = (0, Lost::default());
    while made < wanted {
        // One store in five is of the other kind: it has to live in real time.
        let durability = if seed % 5 == 4 { Durability::Normal } else { Durability::Full };
        for cut in live(seed, durability) {
            lost.note(&check(seed, durability, &cut));
            made += 1;
        }
        seed += 1;
    }
    println!("seeds {first} to {}: {} entries checked, {lost:?}", seed - 1, lost.checked);
    println!("rounds made: {made}");
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Over all cuts.
#[derive(Debug, Default)]
struct Lost {
    checked: u64,
    /// Under `Normal`: entries that were gone, and the largest age of one when the power went.
    entries: u64,
    oldest: Duration,
}

impl Lost {
    fn note(&mut self, other: &Self) {
        self.checked += other.checked;
        self.entries += other.entries;
        self.oldest = self.oldest.max(other.oldest);
    }
}

fn body(log: u64, seq: u64, chance: &mut Chance) -> Vec<u8> {
    let length = match chance.below(40) {
        0 => 20_000,
        1..=4 => chance.below(6_000),
        _ => chance.below(300),
    };
    text(log, seq, length as usize)
}

/// What an entry says, at any length.
fn text(log: u64, seq: u64, length: usize) -> Vec<u8> {
    let word = format!("{log}.{seq};");
    let mut body = word.clone().into_bytes();
    while body.len() < length {
        body.extend_from_slice(word.as_bytes());
    }
    body
}

/// A store from its beginning on, and the cuts of the power that were taken meanwhile.
fn live(seed: u64, durability: Durability) -> Vec<Cut> {
    let mut chance = Chance(seed);
    let dir = tempfile::tempdir_in(shim::fast_disk()).expect("a directory");
    let path = dir.path().join("store.db");
    disk::begin(dir.path(), seed, durability == Durability::Normal);
    // About as many operations as there will be: some cuts come before the first entry.
    let span = if chance.below(3) == 0 { 60 } else { 1_500 };
    disk::cut_at((0..CUTS).map(|_| 1 + chance.below(span)));
    let mut lengths = [0; LOGS as usize];
    for _ in 0..SESSIONS {
        let StoreOpened { writer, .. } = open(&path, durability, &[&LENGTHS]).expect("it opens");
        // Enough for a checkpoint within the session, now and then.
        let large = chance.below(12) == 0;
        let appends = 5 + chance.below(60);
        for number in 0..appends {
            append(&writer, &mut lengths, large && number < 45, &mut chance);
            if durability == Durability::Normal {
                // Real time has to pass between commits: the promise is about it.
                std::thread::sleep(Duration::from_millis(chance.below(12)));
                if chance.below(6) == 0 {
                    disk::cut_now();
                }
            }
        }
        writer.close();
    }
    disk::end()
}

fn append(writer: &Writer, lengths: &mut [u64], large: bool, chance: &mut Chance) {
    // Several at once, so that they come into one transaction.
    let (sender, receiver) = channel();
    let jobs = 1 + chance.below(3);
    for _ in 0..jobs {
        let log = chance.below(LOGS);
        let expect = lengths[log as usize];
        let count = 1 + chance.below(3);
        let entries: Vec<Vec<u8>> = (expect..expect + count)
            .map(|seq| if large { text(log, seq, 400_000) } else { body(log, seq, chance) })
            .collect();
        let length = expect + count;
        lengths[log as usize] = length;
        let row = vec![Cell::Text(log.to_string()), Cell::Integer(length as i64)];
        let rows = vec![RowChange::Put { table: &LENGTHS, cells: row }];
        let append = Append { log: LogId::run(log.to_string()), expect, entries, rows };
        let sender = sender.clone();
        let done = move |result: Result<(), store::StoreError>| {
            result.expect("it is appended");
            disk::acknowledge(log, length);
            sender.send(()).expect("somebody waits");
        };
        writer.append(vec![append], Box::new(done));
    }
    receiver.iter().take(jobs as usize).for_each(drop);
}

/// Opens what the cut left. What is told are the losses that the promise allows.
fn check(seed: u64, durability: Durability, cut: &Cut) -> Lost {
    let dir = tempfile::tempdir_in(shim::fast_disk()).expect("a directory");
    cut.lay(dir.path());
    let path = dir.path().join("store.db");
    let what = format!("seed {seed}, {durability:?}, {}", cut.how);
    let opened = open(&path, durability, &[&LENGTHS]).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(opened.reader.quick_check().expect("a check"), Vec::<String>::new(), "{what}");
    assert_eq!(integrity(&path), "ok", "{what}");
    let mut lost = Lost::default();
    for log in 0..LOGS {
        let id = LogId::run(log.to_string());
        let entries = opened.reader.read_log(&id, 0, usize::MAX).unwrap_or_else(|error| panic!("{what}: {error}"));
        for (seq, entry) in (0..).zip(&entries) {
            assert_eq!(*entry, text(log, seq, entry.len()), "{what}: entry {seq} of log {log}");
        }
        let length = entries.len() as u64;
        lost.checked += length;
        let row = opened.reader.find(&LENGTHS, &[Cell::Text(log.to_string())]).expect("a row");
        let told = row.map_or(0, |row| if let Cell::Integer(length) = row[1] { length as u64 } else { 0 });
        assert_eq!(told, length, "{what}: log {log} and its row were written together");
        judge(&what, durability, cut, log, length, &mut lost);
    }
    // It goes on from there.
    let (sender, receiver) = channel();
    let append = Append { log: LogId::run("after"), expect: 0, entries: vec![vec![1]], rows: Vec::new() };
    opened.writer.append(vec![append], Box::new(move |result| sender.send(result).expect("somebody waits")));
    receiver.recv().expect("an answer").unwrap_or_else(|error| panic!("{what}: {error}"));
    lost
}

fn judge(what: &str, durability: Durability, cut: &Cut, log: u64, length: u64, lost: &mut Lost) {
    let gone: Vec<&Acknowledged> = cut.acknowledged.iter().filter(|a| a.log == log && a.length > length).collect();
    let Some(first) = gone.first() else { return };
    assert_eq!(
        durability,
        Durability::Normal,
        "{what}: log {log} has {length} entries, and {first:?} was acknowledged"
    );
    let age = cut.at.duration_since(first.at);
    lost.entries += gone.iter().map(|a| a.length).max().unwrap_or(length) - length;
    lost.oldest = lost.oldest.max(age);
    // What the machine itself held up is no promise of the store.
    let allowed = SYNC_INTERVAL + cut.held_up;
    assert!(age <= allowed, "{what}: log {log} has {length} entries, and {first:?} was acknowledged {age:?} before");
}

fn integrity(path: &Path) -> String {
    let connection = rusqlite::Connection::open(path).expect("it opens");
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check")
}

/// The shim itself: what was not synced is gone, and what was is there.
#[test]
fn a_shim_that_kept_everything_would_show() {
    let mut model = disk::Files::default();
    let (path, seed) = ("f".to_string(), 7);
    model.made(&path);
    model.wrote(&path, 0, &[1; 1024]);
    model.synced_directory();
    model.synced(&path, u64::MAX);
    model.wrote(&path, 512, &[2; 1024]);
    let mut seen = std::collections::BTreeSet::new();
    for seed in seed..seed + 200 {
        let image = model.survivors(&mut Chance(seed)).0;
        let bytes = image[&path].clone();
        assert!(bytes.len() >= 1024 && bytes[..512] == [1; 512], "what was synced stays");
        seen.insert((bytes.len(), bytes[512], bytes.get(1024).copied()));
    }
    // Old and new sectors, short and long files, and sectors of a longer file that were never written.
    for wanted in [(1024, 1, None), (1536, 2, Some(2)), (1536, 1, Some(2)), (1536, 2, Some(0))] {
        assert!(seen.contains(&wanted), "{wanted:?} is not among {seen:?}");
    }
}
