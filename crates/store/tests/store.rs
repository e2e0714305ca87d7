//! The store on disk through its public face.

use model::row::{Cell, ColumnDef, ColumnKind, RowChange, TableDef};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;
use store::{Append, Durability, Filter, LogId, LogKind, Reader, StoreError, StoreOpened, Writer, open};

static COLUMNS: [ColumnDef; 3] = [
    ColumnDef { name: "id", kind: ColumnKind::Text },
    ColumnDef { name: "phase", kind: ColumnKind::Text },
    ColumnDef { name: "order", kind: ColumnKind::Integer },
];
static RUNS: TableDef =
    TableDef { name: "runs", columns: &COLUMNS, key_columns: 1, indexed: &["phase", "order"], version: 1 };
static RUNS_2: TableDef = TableDef { version: 2, ..RUNS };
static OTHER: TableDef = TableDef { name: "other", ..RUNS };

struct Home {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        Self { _dir: dir, path }
    }

    fn open(&self) -> StoreOpened {
        open(&self.path, Durability::Full, &[&RUNS]).unwrap()
    }

    /// A store that was closed in order, with so many entries of 200 bytes in each of three logs.
    fn filled(entries: usize) -> Self {
        let home = Self::new();
        let StoreOpened { writer, .. } = home.open();
        for log in ["a", "b", "c"] {
            let bodies = (0..entries).map(|i| format!("{log}{i}-").repeat(40).into_bytes()).collect();
            let rows = vec![row(log, "Running", 1)];
            append(&writer, Append { log: LogId::run(log), expect: 0, entries: bodies, rows }).unwrap();
        }
        home
    }
}

fn row(id: &str, phase: &str, order: i64) -> RowChange {
    let cells = vec![Cell::Text(id.into()), Cell::Text(phase.into()), Cell::Integer(order)];
    RowChange::Put { table: &RUNS, cells }
}

/// Gives the job and waits for its answer.
fn wait(give: impl FnOnce(store::Done)) -> Result<(), StoreError> {
    let (sender, receiver) = mpsc::channel();
    give(Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv().unwrap()
}

fn append(writer: &Writer, append: Append) -> Result<(), StoreError> {
    wait(|done| writer.append(vec![append], done))
}

fn plain(log: &str, expect: u64, bodies: &[&str]) -> Append {
    let entries = bodies.iter().map(|body| body.as_bytes().to_vec()).collect();
    Append { log: LogId::run(log), expect, entries, rows: Vec::new() }
}

fn read(reader: &Reader, log: &str) -> Vec<String> {
    let entries = reader.read_log(&LogId::run(log), 0, usize::MAX).unwrap();
    entries.into_iter().map(|entry| String::from_utf8(entry).unwrap()).collect()
}

#[test]
fn what_was_appended_is_there_after_a_new_open() {
    let home = Home::new();
    let StoreOpened { writer, reader, stale_tables } = home.open();
    assert_eq!(stale_tables, [""; 0]);
    append(&writer, Append { rows: vec![row("r", "Running", 7)], ..plain("r", 0, &["one", "two"]) }).unwrap();
    append(&writer, plain("r", 2, &["three"])).unwrap();
    append(&writer, Append { log: LogId::cron("r"), ..plain("r", 0, &["other kind"]) }).unwrap();
    assert_eq!(read(&reader, "r"), ["one", "two", "three"]);
    assert_eq!(reader.read_log(&LogId::run("r"), 1, 1).unwrap(), [b"two"]);
    assert!(reader.read_log(&LogId::run("r"), 3, 9).unwrap().is_empty());
    assert!(reader.read_log(&LogId::run("absent"), 0, 9).unwrap().is_empty());
    drop(writer);
    let StoreOpened { reader, .. } = home.open();
    assert_eq!(read(&reader, "r"), ["one", "two", "three"]);
    let logs: Vec<_> = reader.logs(LogKind::Run).unwrap().into_iter().map(|log| (log.id, log.length)).collect();
    assert_eq!(logs, [("r".to_owned(), 3)]);
    assert_eq!(reader.log_length(&LogId::cron("r")).unwrap(), 1);
    let found = reader.find(&RUNS, &[Cell::Text("r".into())]).unwrap().unwrap();
    assert_eq!(found[2], Cell::Integer(7));
    assert!(reader.quick_check().unwrap().is_empty());
}

#[test]
fn a_stale_writer_is_refused_and_nothing_of_its_batch_is_written() {
    let home = Home::new();
    let StoreOpened { writer, reader, .. } = home.open();
    append(&writer, plain("a", 0, &["1"])).unwrap();
    let batch = vec![
        Append { rows: vec![row("x", "Running", 1)], ..plain("b", 0, &["b"]) },
        Append { rows: vec![row("y", "Running", 1)], ..plain("a", 0, &["stale"]) },
    ];
    let error = wait(|done| writer.append(batch, done)).unwrap_err();
    assert_eq!(error, StoreError::Conflict { log: LogId::run("a"), expected: 0, found: 1 });
    assert!(append(&writer, plain("a", 2, &["too far"])).is_err());
    assert_eq!((read(&reader, "a").len(), read(&reader, "b").len()), (1, 0));
    assert!(reader.select(&RUNS, &Filter::default()).unwrap().is_empty());
    // One batch may go on with its own entries.
    wait(|done| writer.append(vec![plain("a", 1, &["2"]), plain("a", 2, &["3"])], done)).unwrap();
    assert_eq!(read(&reader, "a"), ["1", "2", "3"]);
}

#[test]
fn a_refusal_does_not_harm_the_others_of_its_group() {
    let home = Home::new();
    let StoreOpened { writer, reader, .. } = home.open();
    let (sender, receiver) = mpsc::channel();
    for i in 0..100_u64 {
        let sender = sender.clone();
        // Each third one is stale.
        let expect = if i % 3 == 2 { 9 } else { 0 };
        let done = Box::new(move |result: Result<(), StoreError>| sender.send((i, result.is_ok())).unwrap());
        writer.append(vec![plain(&format!("log{i}"), expect, &["x"])], done);
    }
    let answers: Vec<_> = receiver.iter().take(100).collect();
    // In order, and each its own.
    assert!(answers.iter().enumerate().all(|(i, answer)| *answer == (i as u64, i % 3 != 2)));
    assert_eq!(reader.logs(LogKind::Run).unwrap().len(), 67);
}

#[test]
fn what_a_table_cannot_hold_is_refused() {
    let home = Home::new();
    let StoreOpened { writer, reader, .. } = home.open();
    let text = |text: &str| Cell::Text(text.into());
    let put = |cells: Vec<Cell>| RowChange::Put { table: &RUNS, cells };
    let wrong = [
        put(vec![text("a")]),
        put(vec![Cell::Null, text("b"), Cell::Integer(1)]),
        put(vec![text("a"), text("b"), text("1")]),
        put(vec![text("a"), Cell::Integer(1), Cell::Integer(1)]),
        RowChange::Delete { table: &RUNS, key: vec![] },
        RowChange::Put { table: &OTHER, cells: vec![text("a"), text("b"), Cell::Integer(1)] },
    ];
    for change in wrong {
        let error = wait(|done| writer.rows(vec![row("good", "x", 1), change], done)).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    }
    assert!(reader.select(&RUNS, &Filter::default()).unwrap().is_empty());
    let no_column = Filter { order_by: Some("x\" --"), ..Filter::default() };
    assert!(matches!(reader.select(&RUNS, &no_column), Err(StoreError::Refused { .. })));
    assert!(matches!(reader.select(&OTHER, &Filter::default()), Err(StoreError::StaleTable { table: "other" })));
    wait(|done| writer.rows(vec![put(vec![text("a"), Cell::Null, Cell::Null])], done)).unwrap();
    let nulls = Filter { equals: vec![("phase", Cell::Null)], ..Filter::default() };
    assert_eq!(reader.select(&RUNS, &nulls).unwrap().len(), 1);
}

#[test]
fn a_deleted_log_is_gone_and_can_begin_again() {
    let home = Home::filled(500);
    let StoreOpened { writer, reader, .. } = home.open();
    let size = || std::fs::metadata(&home.path).unwrap().len();
    let before = size();
    let key = vec![Cell::Text("a".into())];
    let rows = vec![RowChange::Delete { table: &RUNS, key: key.clone() }];
    wait(|done| writer.delete_log(LogId::run("a"), rows, done)).unwrap();
    wait(|done| writer.delete_log(LogId::run("never there"), Vec::new(), done)).unwrap();
    assert_eq!(reader.log_length(&LogId::run("a")).unwrap(), 0);
    assert_eq!(reader.find(&RUNS, &key).unwrap(), None);
    append(&writer, plain("a", 0, &["again"])).unwrap();
    assert_eq!(read(&reader, "a"), ["again"]);
    assert!(reader.quick_check().unwrap().is_empty());
    drop((writer, reader));
    assert!(size() < before, "{} {before}", size());
}

#[test]
fn leases_have_rising_epochs() {
    let home = Home::new();
    let StoreOpened { writer, .. } = home.open();
    let acquire = |owner: &str| {
        let (sender, receiver) = mpsc::channel();
        let done = Box::new(move |result| sender.send(result).unwrap());
        writer.acquire_lease(LogId::run("a"), owner.into(), done);
        receiver.recv().unwrap().unwrap()
    };
    assert_eq!([acquire("x"), acquire("y"), acquire("x")], [1, 2, 3]);
}

#[test]
fn a_changed_table_is_made_anew_and_named_until_its_rows_are_back() {
    let home = Home::filled(1);
    let open_2 = || open(&home.path, Durability::Full, &[&RUNS_2]).unwrap();
    assert_eq!(open_2().stale_tables, ["runs"]);
    let StoreOpened { writer, reader, stale_tables } = open_2();
    assert_eq!(stale_tables, ["runs"]);
    assert!(matches!(reader.select(&RUNS_2, &Filter::default()), Err(StoreError::StaleTable { table: "runs" })));
    let cells = vec![Cell::Text("a".into()), Cell::Text("x".into()), Cell::Integer(1)];
    let rows = vec![RowChange::Put { table: &RUNS_2, cells: cells.clone() }];
    wait(|done| writer.replace_table(&RUNS_2, rows, done)).unwrap();
    assert_eq!(reader.select(&RUNS_2, &Filter::default()).unwrap(), [cells]);
    drop((writer, reader));
    assert_eq!(open_2().stale_tables, [""; 0]);
    // A reader of the older build says so in place of wrong rows.
    let old = Reader::open(&home.path).unwrap();
    assert!(matches!(old.select(&RUNS, &Filter::default()), Err(StoreError::StaleTable { .. })));
}

#[test]
fn a_newer_store_and_a_newer_log_are_refused_with_their_version() {
    let home = Home::filled(2);
    let change = |sql: &str| Connection::open(&home.path).unwrap().execute_batch(sql).unwrap();
    change("UPDATE logs SET version = 99 WHERE id = 'b'");
    let StoreOpened { writer, reader, .. } = home.open();
    let newer = StoreError::NewerLog { log: LogId::run("b"), version: 99 };
    assert_eq!(reader.read_log(&LogId::run("b"), 0, 1).unwrap_err(), newer);
    assert_eq!(append(&writer, plain("b", 2, &["x"])).unwrap_err(), newer);
    drop((writer, reader));
    change("UPDATE meta SET value = '7' WHERE key = 'schema'; UPDATE meta SET value = '9.1' WHERE key = 'written_by'");
    let path = home.path.clone();
    let newer = StoreError::NewerStore { path, version: 7, written_by: "9.1".into() };
    assert_eq!(open(&home.path, Durability::Full, &[&RUNS]).err(), Some(newer.clone()));
    assert_eq!(Reader::open(&home.path).err(), Some(newer));
}

#[test]
fn what_is_no_store_is_left_alone() {
    let home = Home::new();
    assert!(matches!(Reader::open(&home.path), Err(StoreError::Missing { .. })));
    Connection::open(&home.path).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    let before = std::fs::read(&home.path).unwrap();
    assert!(matches!(open(&home.path, Durability::Full, &[]), Err(StoreError::NotAStore { .. })));
    assert!(matches!(Reader::open(&home.path), Err(StoreError::NotAStore { .. })));
    assert_eq!(std::fs::read(&home.path).unwrap(), before);
    std::fs::write(&home.path, "something else ".repeat(100)).unwrap();
    let error = open(&home.path, Durability::Full, &[]).err().unwrap();
    assert!(matches!(error, StoreError::Corrupt { .. }) && error.to_string().contains("restore a backup"), "{error}");
    let nowhere = home.path.parent().unwrap().join("no/such/store.db");
    assert!(matches!(open(&nowhere, Durability::Full, &[]), Err(StoreError::CannotOpen { .. })));
}

#[test]
fn a_full_store_refuses_and_goes_on_when_there_is_space() {
    let home = Home::filled(10);
    let StoreOpened { writer, reader, .. } = home.open();
    wait(|done| writer.limit_pages(1, done)).unwrap();
    let big = "x".repeat(200_000);
    let fails = append(&writer, Append { rows: vec![row("z", "x", 1)], ..plain("z", 0, &["first", &big]) });
    assert_eq!(fails.unwrap_err(), StoreError::NoSpace { path: home.path.clone() });
    assert_eq!(read(&reader, "z").len(), 0);
    // What a full group held is refused as a whole.
    let (sender, receiver) = mpsc::channel();
    for i in 0..50 {
        let sender = sender.clone();
        let done = Box::new(move |result: Result<(), StoreError>| sender.send(result.is_ok()).unwrap());
        writer.append(vec![plain(&format!("f{i}"), 0, &[&big])], done);
    }
    assert!(receiver.iter().take(50).all(|ok| !ok));
    wait(|done| writer.limit_pages(1_000_000, done)).unwrap();
    append(&writer, plain("z", 0, &["first", &big])).unwrap();
    assert_eq!(read(&reader, "z").len(), 2);
    assert!(reader.quick_check().unwrap().is_empty());
}

/// Runs only where a small tmpfs can be mounted.
#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let options = c"size=512k";
    if rustix::mount::mount("tmpfs", dir.path(), "tmpfs", rustix::mount::MountFlags::empty(), options).is_err() {
        println!("not run: no right to mount a tmpfs");
        return;
    }
    let path = dir.path().join("store.db");
    let filler = dir.path().join("filler");
    let outcome = (|| {
        let StoreOpened { writer, reader, .. } = open(&path, Durability::Full, &[])?;
        append(&writer, plain("a", 0, &["before"]))?;
        let filled = std::fs::write(&filler, vec![0; 1 << 20]).is_err();
        let body = "x".repeat(100_000);
        let failure = append(&writer, plain("a", 1, &[&body])).err();
        std::fs::remove_file(&filler).unwrap();
        append(&writer, plain("a", 1, &["after"]))?;
        drop(writer);
        Ok::<_, StoreError>((filled, failure, read(&reader, "a"), reader.quick_check()?))
    })();
    rustix::mount::unmount(dir.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    let (filled, failure, entries, findings) = outcome.unwrap();
    assert!(filled);
    assert_eq!(failure, Some(StoreError::NoSpace { path }));
    assert_eq!(entries, ["before", "after"]);
    assert_eq!(findings, [""; 0]);
}

/// Runs only where a small tmpfs can be mounted.
#[test]
fn on_a_full_disk_what_is_urgent_goes_through() {
    let dir = tempfile::tempdir().unwrap();
    let options = c"size=2m";
    if rustix::mount::mount("tmpfs", dir.path(), "tmpfs", rustix::mount::MountFlags::empty(), options).is_err() {
        println!("not run: no right to mount a tmpfs");
        return;
    }
    let path = dir.path().join("store.db");
    let fill = |name: &str| std::fs::write(dir.path().join(name), vec![0; 3 << 20]).is_err();
    let body = "x".repeat(100_000);
    let outcome = (|| {
        let StoreOpened { writer, reader, .. } = open(&path, Durability::Full, &[])?;
        append(&writer, plain("a", 0, &["before"]))?;
        let mut full = fill("filler");
        let mut refused = 0;
        for number in 1..9 {
            refused += u32::from(append(&writer, plain("b", 0, &[&body])).is_err());
            wait(|done| writer.append_urgent(vec![plain("a", number, &["urgent"])], done))?;
            // Others take what they can get.
            full &= fill(&format!("filler-{number}"));
        }
        refused += u32::from(append(&writer, plain("b", 0, &[&body])).is_err());
        drop(writer);
        // The next process needs a little as well.
        full &= fill("filler-again");
        let StoreOpened { writer, .. } = open(&path, Durability::Full, &[])?;
        wait(|done| writer.delete_log(LogId::run("a"), Vec::new(), done))?;
        Ok::<_, StoreError>((full, refused, reader.quick_check()?))
    })();
    rustix::mount::unmount(dir.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(outcome.unwrap(), (true, 9, Vec::<String>::new()));
}

#[test]
fn readers_see_whole_batches_while_another_writes() {
    let home = Home::new();
    let StoreOpened { writer, .. } = home.open();
    append(&writer, plain("a", 0, &["0", "0"])).unwrap();
    // As another process would: a reader of its own.
    let reader = Reader::open(&home.path).unwrap();
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            for i in 1..200_u64 {
                let rows = vec![row("a", "x", i as i64)];
                append(&writer, Append { rows, ..plain("a", 2 * i, &["x", "y"]) }).unwrap();
            }
        });
        let mut last = 0;
        while last < 400 {
            let length = reader.log_length(&LogId::run("a")).unwrap();
            assert!(length.is_multiple_of(2) && length >= last);
            assert!(read(&reader, "a").len() as u64 >= length);
            last = length;
        }
        appending.join().unwrap();
    });
}

#[test]
fn what_nobody_closed_is_read_without_a_holder() {
    let home = Home::new();
    let opened = open(&home.path, Durability::Normal, &[&RUNS]).unwrap();
    append(&opened.writer, plain("a", 0, &["acknowledged"])).unwrap();
    // As after kill -9: the files as they are, WAL and all, without a close.
    let copy = Home::new();
    for suffix in ["", "-wal"] {
        let name = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        std::fs::copy(name(&home.path), name(&copy.path)).unwrap();
    }
    assert_eq!(read(&Reader::open(&copy.path).unwrap(), "a"), ["acknowledged"]);
    assert_eq!(read(&copy.open().reader, "a"), ["acknowledged"]);
    opened.writer.barrier().unwrap();
}

#[test]
fn a_closed_writer_answers() {
    let home = Home::new();
    let StoreOpened { writer, .. } = home.open();
    let (sender, receiver) = mpsc::channel();
    writer.append(vec![plain("a", 0, &["x"])], Box::new(move |result| sender.send(result).unwrap()));
    writer.close();
    receiver.recv().unwrap().unwrap();
    assert_eq!(append(&writer, plain("a", 1, &["x"])), Err(StoreError::Closed));
    assert_eq!(writer.barrier(), Err(StoreError::Closed));
}

#[test]
fn a_locked_store_says_so() {
    let home = Home::filled(1);
    let StoreOpened { writer, .. } = home.open();
    let other = Connection::open(&home.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(append(&writer, plain("x", 0, &["x"])), Err(StoreError::Busy { path: home.path.clone() }));
    other.execute_batch("ROLLBACK").unwrap();
    append(&writer, plain("x", 0, &["x"])).unwrap();
}

/// Every answer of a store whose file may be damaged: what each log holds and all rows, or that damage was told.
fn survey(path: &Path) -> Result<Vec<Vec<Vec<u8>>>, String> {
    let opened = open(path, Durability::Full, &[&RUNS]).map_err(|error| error.to_string())?;
    let findings = opened.reader.quick_check().map_err(|error| error.to_string())?;
    if let Some(finding) = findings.first() {
        return Err(finding.clone());
    }
    let read = |log| opened.reader.read_log(&LogId::run(log), 0, usize::MAX).map_err(|error| error.to_string());
    ["a", "b", "c"].into_iter().map(read).collect()
}

#[test]
fn flipped_bits_are_told_or_harmless() {
    let home = Home::filled(60);
    let sound = std::fs::read(&home.path).unwrap();
    let truth = survey(&home.path).unwrap();
    let mut told = 0;
    // A fixed sequence over all of the file.
    let steps = (0..sound.len() * 8).step_by(sound.len() * 8 / 400 + 1);
    let total = steps.len();
    for bit in steps {
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let copy = Home::new();
        std::fs::write(&copy.path, &damaged).unwrap();
        match survey(&copy.path) {
            Err(_) => told += 1,
            Ok(found) => assert_eq!(found, truth, "bit {bit} changed an answer and was not told"),
        }
    }
    println!("{told} of {total} flipped bits were told, the others changed no log");
    assert!(told * 3 > total);
}

#[test]
fn a_truncated_store_is_told() {
    let home = Home::filled(60);
    let sound = std::fs::read(&home.path).unwrap();
    for length in [100, 4096, 4097, sound.len() / 2, sound.len() - 4096, sound.len() - 1] {
        let copy = Home::new();
        std::fs::write(&copy.path, &sound[..length]).unwrap();
        let error = open(&copy.path, Durability::Full, &[&RUNS]).err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.contains("damaged")), "{length}: {error:?}");
    }
}

/// Prints the rate of DESIGN §10; the time is no condition, because machines differ.
#[test]
fn group_commit_with_a_hundred_waiters() {
    let home = Home::new();
    let StoreOpened { writer, reader, .. } = home.open();
    let (waiters, each) = (100_u64, 250_u64);
    let body = vec![b'x'; 200];
    let (sender, receiver) = mpsc::channel();
    let give = |waiter: u64, n: u64| {
        let sender = sender.clone();
        let id = format!("run-{waiter}");
        let rows = vec![row(&id, "Running", n as i64)];
        let append = Append { log: LogId::run(id), expect: n, entries: vec![body.clone()], rows };
        writer.append(vec![append], Box::new(move |result| sender.send((waiter, result)).unwrap()));
    };
    let mut started = Instant::now();
    let half = (waiters * each / 2) as usize;
    let mut sent = vec![1; waiters as usize];
    (0..waiters).for_each(|waiter| give(waiter, 0));
    // Each waiter gives its next entry when the last one is durable.
    for (i, (waiter, result)) in receiver.iter().take(2 * half).enumerate() {
        result.unwrap();
        if i == half {
            // The WAL has grown to its size by now; making a file longer costs more than writing it again.
            println!("{:.0} a second at first", half as f64 / started.elapsed().as_secs_f64());
            started = Instant::now();
        }
        let n = &mut sent[waiter as usize];
        if *n < each {
            give(waiter, *n);
            *n += 1;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!(
        "{:.0} durable entries a second, each with a row, FULL, {profile} build",
        (waiters * each) as f64 / seconds
    );
    let lengths: Vec<_> = reader.logs(LogKind::Run).unwrap().iter().map(|log| log.length).collect();
    assert_eq!(lengths, vec![each; waiters as usize]);
}

/// Runs only where a tmpfs can be mounted.
#[test]
fn a_read_only_home_is_read_and_not_written() {
    use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
    let dir = tempfile::tempdir().unwrap();
    if mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), c"size=4m").is_err() {
        println!("not run: no right to mount a tmpfs");
        return;
    }
    let path = dir.path().join("store.db");
    let outcome = (|| {
        let StoreOpened { writer, reader, .. } = open(&path, Durability::Full, &[])?;
        append(&writer, plain("a", 0, &["entry"]))?;
        drop((writer, reader));
        mount_remount(dir.path(), MountFlags::RDONLY, c"").unwrap();
        let error = open(&path, Durability::Full, &[]).err();
        let missing = open(&dir.path().join("new.db"), Durability::Full, &[]).err();
        Ok::<_, StoreError>((read(&Reader::open(&path)?, "a"), error, missing))
    })();
    unmount(dir.path(), UnmountFlags::DETACH).unwrap();
    let (entries, error, missing) = outcome.unwrap();
    assert_eq!(entries, ["entry"]);
    assert_eq!(error, Some(StoreError::ReadOnly { path }));
    assert_eq!(missing, Some(StoreError::ReadOnly { path: dir.path().join("new.db") }));
}
