//! The same operations against the store on disk and the one in memory have the same answers.

use model::row::{Cell, ColumnDef, ColumnKind, RowChange, TableDef};
use std::sync::mpsc;
use store::{Append, Durability, Filter, LogId, LogKind, Memory, StoreError, open};

static COLUMNS: [ColumnDef; 4] = [
    ColumnDef { name: "k1", kind: ColumnKind::Text },
    ColumnDef { name: "k2", kind: ColumnKind::Integer },
    ColumnDef { name: "text", kind: ColumnKind::Text },
    ColumnDef { name: "number", kind: ColumnKind::Integer },
];
static TABLE: TableDef = TableDef { name: "t", columns: &COLUMNS, key_columns: 2, indexed: &["number"], version: 1 };

/// A seeded sequence (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }

    fn log(&mut self) -> LogId {
        let id = ["", "a", "b", "B", "ä"][self.below(5) as usize];
        if self.below(4) == 0 { LogId::cron(id) } else { LogId::run(id) }
    }

    fn text(&mut self) -> Cell {
        Cell::Text(["", "x", "X", "é", "10", "9"][self.below(6) as usize].into())
    }

    fn integer(&mut self) -> Cell {
        Cell::Integer([0, 1, -1, i64::MAX, i64::MIN][self.below(5) as usize])
    }

    fn change(&mut self) -> RowChange {
        let (k1, k2) = (self.text(), self.integer());
        if self.below(3) == 0 {
            return RowChange::Delete { table: &TABLE, key: vec![k1, k2] };
        }
        let text = if self.below(3) == 0 { Cell::Null } else { self.text() };
        let number = if self.below(3) == 0 { Cell::Null } else { self.integer() };
        // Now and then one that must be refused.
        let cells = if self.below(20) == 0 { vec![k2, k1, text, number] } else { vec![k1, k2, text, number] };
        RowChange::Put { table: &TABLE, cells }
    }

    fn changes(&mut self) -> Vec<RowChange> {
        (0..self.below(3)).map(|_| self.change()).collect()
    }

    fn append(&mut self, memory: &Memory) -> Append {
        let log = self.log();
        let expect = if self.below(5) == 0 { self.below(4) } else { memory.log_length(&log) };
        let entries = (0..self.below(4)).map(|i| vec![i as u8; self.below(50) as usize]).collect();
        Append { log, expect, entries, rows: self.changes() }
    }

    fn filter(&mut self) -> Filter {
        let mut filter = Filter { descending: self.below(2) == 0, ..Filter::default() };
        match self.below(3) {
            0 => filter.equals.push(("k1", self.text())),
            1 => filter.equals.push(("text", Cell::Null)),
            _ => {}
        }
        filter.order_by = [None, Some("number"), Some("text"), Some("k2")][self.below(4) as usize];
        filter.limit = (self.below(2) == 0).then(|| self.below(4));
        filter.offset = self.below(3);
        filter
    }
}

fn wait(give: impl FnOnce(store::Done)) -> Result<(), StoreError> {
    let (sender, receiver) = mpsc::channel();
    give(Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv().unwrap()
}

#[test]
fn disk_and_memory_answer_the_same() {
    for seed in 1..=8 {
        let dir = tempfile::tempdir().unwrap();
        let disk = open(&dir.path().join("store.db"), Durability::Normal, &[&TABLE]).unwrap();
        let mut memory = Memory::new(&[&TABLE]);
        let mut random = Random(seed * 0x9e37_79b9);
        let mut kinds = [0; 2];
        for step in 0..250 {
            let (on_disk, in_memory) = match random.below(10) {
                0 => {
                    let (log, rows) = (random.log(), random.changes());
                    let in_memory = memory.delete_log(&log, &rows);
                    (wait(|done| disk.writer.delete_log(log, rows, done)), in_memory)
                }
                1 => {
                    let changes = random.changes();
                    let in_memory = memory.rows(&changes);
                    (wait(|done| disk.writer.rows(changes, done)), in_memory)
                }
                _ => {
                    let batch: Vec<_> = (0..=random.below(3)).map(|_| random.append(&memory)).collect();
                    let in_memory = memory.append(&batch);
                    (wait(|done| disk.writer.append(batch, done)), in_memory)
                }
            };
            assert_eq!(on_disk, in_memory, "seed {seed}, step {step}");
            kinds[usize::from(on_disk.is_ok())] += 1;
            let log = random.log();
            let (from, limit) = (random.below(6), random.below(6) as usize);
            assert_eq!(disk.reader.read_log(&log, from, limit).unwrap(), memory.read_log(&log, from, limit));
            assert_eq!(disk.reader.log_length(&log).unwrap(), memory.log_length(&log));
            let filter = random.filter();
            assert_eq!(disk.reader.select(&TABLE, &filter), memory.select(&TABLE, &filter), "{seed} {step} {filter:?}");
            let key = [random.text(), random.integer()];
            assert_eq!(disk.reader.find(&TABLE, &key).unwrap(), memory.find(&TABLE, &key));
        }
        for kind in [LogKind::Run, LogKind::Cron] {
            assert_eq!(disk.reader.logs(kind).unwrap(), memory.logs(kind));
        }
        assert!(kinds.iter().all(|count| *count > 20), "both refusals and successes: {kinds:?}");
        assert!(disk.reader.quick_check().unwrap().is_empty());
    }
}
