//! The one writer: a thread that drains its queue into one transaction and answers everybody after one COMMIT. An append that finds
//! it idle is committed by the caller itself where that waits for no disk: two changes of threads cost more than the transaction.
//! It must never answer before COMMIT, nor write on after a sync has failed.

use crate::error::StoreError;
use crate::log::{Append, LogId};
use crate::reader::Reader;
use crate::reserve::Reserve;
use crate::schema;
use crate::transaction::{Failure, Within, begin, commit, roll_back};
use model::row::{RowChange, TableDef};
use rusqlite::Connection;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Under `Durability::Normal`, the most that a power cut can lose.
pub const SYNC_INTERVAL: Duration = Duration::from_millis(250);
/// A sync begins so long after the first commit that it is for: what it takes itself counts as well.
const SYNC_AFTER: Duration = Duration::from_millis(100);

/// Jobs of one transaction, at most: a bound on how long its first waits.
const JOBS_MAX: usize = 1024;
/// Bytes of entries in one transaction, about.
const BYTES_MAX: usize = 16 << 20;
/// Pages in the WAL from which on they are copied into the database.
const CHECKPOINT_PAGES: i64 = 4_000;
/// Groups between two looks at the size of the WAL.
const GROUPS_PER_LOOK: u32 = 64;

/// What a power cut may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// At most the last `SYNC_INTERVAL`.
    Normal,
    /// Nothing that was acknowledged.
    Full,
}

/// Called once after COMMIT or failure, on the writer's thread or within the call that gave the job. It must not block, panic, or
/// call the writer.
pub type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// An open store.
pub struct StoreOpened {
    pub writer: Writer,
    pub reader: Reader,
    /// Tables that are empty because they are new or changed: make their rows again and give them to
    /// `Writer::replace_table`. They are named at every open until that is done, and cannot be read before.
    pub stale_tables: Vec<&'static str>,
}

/// The handle of the writer's thread. Jobs are done in the order in which they were given.
pub struct Writer {
    jobs: Sender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
    desk: Arc<Desk>,
    /// A commit waits for no disk.
    quick: bool,
}

/// What the writer's thread and its callers share.
struct Desk {
    /// `None` once it is closed.
    worker: Mutex<Option<Worker>>,
    /// Jobs that were given to the thread and are not answered.
    waiting: AtomicUsize,
}

enum Job {
    Append {
        batch: Vec<Append>,
        urgent: bool,
        done: Done,
    },
    Rows {
        changes: Vec<RowChange>,
        done: Done,
    },
    DeleteLog {
        log: LogId,
        rows: Vec<RowChange>,
        done: Done,
    },
    ReplaceTable {
        table: &'static TableDef,
        rows: Vec<RowChange>,
        done: Done,
    },
    Lease {
        log: LogId,
        owner: String,
        done: Box<dyn FnOnce(Result<u64, StoreError>) + Send>,
    },
    LimitPages {
        pages: u32,
        done: Done,
    },
    Barrier {
        done: Done,
    },
    /// Something was committed: it is to be synced in time.
    Committed,
    Close,
}

/// Opens or makes the store at `path` (its directory must exist) and starts the writer's thread. One writer per store: the
/// caller holds the home's lock.
pub fn open(path: &Path, durability: Durability, tables: &[&'static TableDef]) -> Result<StoreOpened, StoreError> {
    crate::place::refuse_network_file_system(path)?;
    let mut reserve = Reserve::of(path);
    let (connection, stale_tables) = match schema::open_for_writing(path, durability, tables) {
        Err(StoreError::NoSpace { .. }) if reserve.give_up() => schema::open_for_writing(path, durability, tables)?,
        other => other?,
    };
    reserve.grow();
    let wal = match durability {
        // The WAL carries none of SQLite's locks, so that another descriptor of it does no harm.
        Durability::Normal => {
            Some(Arc::new(File::open(schema::wal_path(path)).map_err(|error| io_error(path, &error))?))
        }
        Durability::Full => None,
    };
    let reader = Reader::open(path)?;
    let (jobs, queue) = mpsc::channel();
    let worker = Worker {
        path: path.to_owned(),
        tables: tables.to_vec(),
        connection,
        wal,
        unsynced: None,
        syncing: None,
        groups_until_look: GROUPS_PER_LOOK,
        reserve,
        poisoned: None,
    };
    let quick = worker.wal.is_some();
    let desk = Arc::new(Desk { worker: Mutex::new(Some(worker)), waiting: AtomicUsize::new(0) });
    let at_desk = Arc::clone(&desk);
    let thread = std::thread::Builder::new().name("store".into()).spawn(move || at_desk.run(&queue));
    let thread = Mutex::new(Some(thread.map_err(|error| io_error(path, &error))?));
    Ok(StoreOpened { writer: Writer { jobs, thread, desk, quick }, reader, stale_tables })
}

impl Writer {
    /// Appends to one or several logs, with rows: all of the batch or nothing. `StoreError::Conflict` names the first log
    /// that has another length than expected.
    pub fn append(&self, batch: Vec<Append>, done: Done) {
        self.append_or_send(Job::Append { batch, urgent: false, done });
    }

    /// The same for what ends or resumes runs: on a full disk it may use the reserve.
    pub fn append_urgent(&self, batch: Vec<Append>, done: Done) {
        self.append_or_send(Job::Append { batch, urgent: true, done });
    }

    /// Changes rows that belong to no log.
    pub fn rows(&self, changes: Vec<RowChange>, done: Done) {
        self.send(Job::Rows { changes, done });
    }

    /// Deletes a log with its lease, and changes rows. A log that is not there is no error.
    pub fn delete_log(&self, log: LogId, rows: Vec<RowChange>, done: Done) {
        self.send(Job::DeleteLog { log, rows, done });
    }

    /// Makes these the only rows of a table, which is then no longer stale.
    pub fn replace_table(&self, table: &'static TableDef, rows: Vec<RowChange>, done: Done) {
        self.send(Job::ReplaceTable { table, rows, done });
    }

    /// Takes over the lease of a log: the epoch in the answer is higher than any before. On a local home the home's lock is
    /// the fence, and nothing needs this.
    pub fn acquire_lease(&self, log: LogId, owner: String, done: Box<dyn FnOnce(Result<u64, StoreError>) + Send>) {
        self.send(Job::Lease { log, owner, done });
    }

    /// Bounds the database to so many pages of 4 KiB (not below its present size): a quota, and the way to test a full disk.
    pub fn limit_pages(&self, pages: u32, done: Done) {
        self.send(Job::LimitPages { pages, done });
    }

    /// Waits until everything given before is done and on the disk, under `Normal` too. Not from a `Done`.
    pub fn barrier(&self) -> Result<(), StoreError> {
        let (sender, receiver) = mpsc::channel();
        self.send(Job::Barrier {
            done: Box::new(move |result| {
                let _ = sender.send(result);
            }),
        });
        receiver.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Does what was given before, and ends the thread. Later jobs are answered with `StoreError::Closed`.
    pub fn close(&self) {
        let _ = self.jobs.send(Job::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
        {
            // If it has panicked it has said so.
            let _ = thread.join();
        }
    }

    fn append_or_send(&self, job: Job) {
        // Jobs of one caller are done in order: nothing of it may be waiting.
        if !self.quick || self.desk.waiting.load(Ordering::Acquire) > 0 {
            return self.send(job);
        }
        let Ok(mut desk) = self.desk.worker.try_lock() else { return self.send(job) };
        let Some(worker) = desk.as_mut() else { return job.fail(StoreError::Closed) };
        if worker.is_behind() || worker.groups_until_look == 0 {
            // The thread has a sync to finish first, or a checkpoint to look at: who goes on keeps it from that.
            drop(desk);
            return self.send(job);
        }
        let was_due = worker.sync_due().is_some();
        worker.do_group(vec![job]);
        if (!was_due && worker.sync_due().is_some()) || worker.groups_until_look == 0 {
            let _ = self.jobs.send(Job::Committed);
        }
    }

    fn send(&self, job: Job) {
        self.desk.waiting.fetch_add(1, Ordering::AcqRel);
        if let Err(mpsc::SendError(job)) = self.jobs.send(job) {
            job.fail(StoreError::Closed);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Job {
    fn fail(self, error: StoreError) {
        self.answer(Err(error));
    }

    fn answer(self, result: Result<u64, StoreError>) {
        match self {
            Self::Append { done, .. }
            | Self::Rows { done, .. }
            | Self::DeleteLog { done, .. }
            | Self::ReplaceTable { done, .. }
            | Self::LimitPages { done, .. }
            | Self::Barrier { done } => done(result.map(drop)),
            Self::Lease { done, .. } => done(result),
            Self::Committed | Self::Close => {}
        }
    }

    /// What has to go through on a full disk: it is small, and lets a person end or free something.
    fn is_urgent(&self) -> bool {
        matches!(self, Self::Append { urgent: true, .. } | Self::DeleteLog { .. })
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Append { batch, .. } => batch.iter().flat_map(|append| &append.entries).map(Vec::len).sum(),
            _ => 0,
        }
    }
}

struct Worker {
    path: PathBuf,
    tables: Vec<&'static TableDef>,
    connection: Connection,
    /// Under `Normal`: what we sync ourselves.
    wal: Option<Arc<File>>,
    /// Of what is not on the disk: when the first was committed that no sync is for yet, and that one is under way for.
    unsynced: Option<Instant>,
    syncing: Option<Instant>,
    groups_until_look: u32,
    reserve: Reserve,
    /// What failed; nothing is written any more.
    poisoned: Option<String>,
}

impl Desk {
    fn worker(&self) -> MutexGuard<'_, Option<Worker>> {
        // Whoever panicked in a transaction left it open: SQLite refuses to begin the next one.
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, queue: &Receiver<Job>) {
        loop {
            let due = self.worker().as_ref().and_then(Worker::sync_due);
            let first = match due {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => queue.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            let mut closing = false;
            let mut group = Vec::new();
            match first {
                Ok(Job::Close) | Err(RecvTimeoutError::Disconnected) => closing = true,
                Ok(Job::Committed) | Err(RecvTimeoutError::Timeout) => {}
                Ok(job) => group.push(job),
            }
            let mut bytes = group.first().map_or(0, Job::bytes);
            while !closing && !group.is_empty() && group.len() < JOBS_MAX && bytes < BYTES_MAX {
                match queue.try_recv() {
                    Ok(Job::Close) => closing = true,
                    Ok(Job::Committed) => {}
                    Ok(job) => {
                        bytes += job.bytes();
                        group.push(job);
                    }
                    Err(_) => break,
                }
            }
            let jobs = group.len();
            self.sync_if_due();
            if let Some(worker) = self.worker().as_mut().filter(|_| jobs > 0) {
                worker.do_group(group);
            }
            self.waiting.fetch_sub(jobs, Ordering::AcqRel);
            if closing {
                return self.close(queue);
            }
            if let Some(worker) = self.worker().as_mut() {
                worker.checkpoint_if_due();
            }
            self.sync_if_due();
        }
    }

    /// Syncs what was committed before, while others go on committing.
    fn sync_if_due(&self) {
        let wal = match self.worker().as_mut() {
            Some(worker) if worker.sync_due().is_some_and(|due| due <= Instant::now()) => worker.begin_sync(),
            _ => None,
        };
        let Some(wal) = wal else { return };
        let synced = wal.sync_data();
        if let Some(worker) = self.worker().as_mut() {
            worker.end_sync(synced);
        }
    }

    fn close(&self, queue: &Receiver<Job>) {
        let worker = self.worker().take();
        // What came in behind the wish to close is answered, not forgotten.
        queue.try_iter().for_each(|job| job.fail(StoreError::Closed));
        if let Some(mut worker) = worker {
            worker.sync();
            worker.end();
        }
    }
}

impl Worker {
    /// One transaction; answers after its COMMIT. Where the disk is full and something urgent is among the jobs, the reserve is
    /// given up for it.
    fn do_group(&mut self, group: Vec<Job>) {
        if let Some(what) = &self.poisoned {
            let error = StoreError::Poisoned { path: self.path.clone(), what: what.clone() };
            return group.into_iter().for_each(|job| job.fail(error.clone()));
        }
        let urgent = group.iter().any(Job::is_urgent);
        let (mut result, mut outcomes) = self.try_group(&group);
        if matches!(result, Err(StoreError::NoSpace { .. })) && urgent && self.reserve.give_up() {
            (result, outcomes) = self.try_group(&group);
            // What is left is kept for the next.
            self.reserve.take_back();
        }
        if let Err(error) = &result {
            self.note(error);
        }
        let outcomes = outcomes.into_iter().chain(std::iter::repeat(Ok(0)));
        for (job, own) in group.into_iter().zip(outcomes) {
            // A refusal was judged by what others of the group wrote: it holds only if that was committed.
            job.answer(result.clone().and(own));
        }
        if result.is_ok() {
            self.groups_until_look = self.groups_until_look.saturating_sub(1);
        }
    }

    /// The transaction's result, and what each job came to within it, up to the one that broke it.
    fn try_group(&mut self, group: &[Job]) -> (Result<(), StoreError>, Vec<Result<u64, StoreError>>) {
        if self.poisoned.is_some() {
            return (self.not_poisoned(), Vec::new());
        }
        if let Err(error) = begin(&self.connection, &self.path) {
            return (Err(error), Vec::new());
        }
        let mut outcomes = Vec::with_capacity(group.len());
        let mut broken = None;
        for job in group {
            match self.do_job(job) {
                Ok(answer) => outcomes.push(Ok(answer)),
                Err(Failure::Refused(error)) => outcomes.push(Err(error)),
                Err(Failure::Broken(error)) => {
                    broken = Some(error);
                    break;
                }
            }
        }
        let mut result = broken.map_or_else(|| commit(&self.connection, &self.path), Err);
        if result.is_ok() {
            result = self.after_commit(group.iter().any(|job| matches!(job, Job::Barrier { .. })));
        } else if let Err(error) = roll_back(&self.connection, &self.path) {
            self.poisoned = Some(error.to_string());
        }
        (result, outcomes)
    }

    /// What the job answers; 0 where there is nothing to say.
    fn do_job(&self, job: &Job) -> Result<u64, Failure> {
        let within = Within { connection: &self.connection, path: &self.path, tables: &self.tables };
        match job {
            Job::Append { batch, .. } => within.append(batch)?,
            Job::Rows { changes, .. } => within.change_rows(changes)?,
            Job::DeleteLog { log, rows, .. } => within.delete_log(log, rows)?,
            Job::ReplaceTable { table, rows, .. } => within.replace_table(table, rows)?,
            Job::LimitPages { pages, .. } => {
                let set = self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()));
                set.map_err(|error| Failure::Refused(StoreError::sql(&self.path, &error)))?;
            }
            Job::Lease { log, owner, .. } => return within.acquire_lease(log, owner),
            Job::Barrier { .. } | Job::Committed | Job::Close => {}
        }
        Ok(0)
    }

    fn after_commit(&mut self, has_barrier: bool) -> Result<(), StoreError> {
        if self.wal.is_some() && self.unsynced.is_none() {
            self.unsynced = Some(Instant::now());
        }
        if has_barrier {
            self.sync();
        }
        self.not_poisoned()
    }

    fn not_poisoned(&self) -> Result<(), StoreError> {
        match &self.poisoned {
            None => Ok(()),
            Some(what) => Err(StoreError::Poisoned { path: self.path.clone(), what: what.clone() }),
        }
    }

    /// Under `Normal`: when the next sync begins.
    fn sync_due(&self) -> Option<Instant> {
        self.unsynced.map(|first| first + SYNC_AFTER)
    }

    /// Something was committed so long ago that nothing more may be before it is on the disk.
    fn is_behind(&self) -> bool {
        self.syncing.or(self.unsynced).is_some_and(|first| first.elapsed() >= SYNC_INTERVAL)
    }

    /// Under `Normal`: brings what was committed to the disk.
    fn sync(&mut self) {
        if let Some(wal) = self.begin_sync() {
            self.end_sync(wal.sync_data());
        }
    }

    /// What is to be synced, if anything is. What is committed from now on is for the next one.
    fn begin_sync(&mut self) -> Option<Arc<File>> {
        self.syncing = self.unsynced.take().filter(|_| self.poisoned.is_none());
        self.wal.as_ref().filter(|_| self.syncing.is_some()).map(Arc::clone)
    }

    fn end_sync(&mut self, synced: std::io::Result<()>) {
        self.syncing = None;
        if let Err(error) = synced {
            self.poisoned = Some(format!("syncing its WAL failed: {error}"));
        }
    }

    /// On the thread only: it waits for the disk. SQLite's own automatic checkpoint hides its errors, and the sync after one that failed would lie.
    fn checkpoint_if_due(&mut self) {
        if self.groups_until_look > 0 {
            return;
        }
        self.groups_until_look = GROUPS_PER_LOOK;
        self.reserve.grow();
        let checkpoint = |mode: &str| {
            let sql = format!("PRAGMA wal_checkpoint({mode})");
            self.connection.prepare_cached(&sql)?.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
        };
        // NOOP only tells: pages in the WAL, and how many of them were copied already.
        let done = checkpoint("NOOP").and_then(|(pages, copied): (i64, i64)| {
            if pages - copied < CHECKPOINT_PAGES { Ok((0, 0)) } else { checkpoint("PASSIVE") }
        });
        if let Err(error) = done {
            let error = StoreError::sql(&self.path, &error);
            self.note(&error);
        }
    }

    /// After an error that leaves doubt about the disk, no write follows.
    fn note(&mut self, error: &StoreError) {
        if error.leaves_doubt() && self.poisoned.is_none() {
            self.poisoned = Some(error.to_string());
        }
    }

    fn end(self) {
        if self.poisoned.is_some() {
            // Closing would checkpoint, and a sync that succeeds now would not tell what the failed one lost. The next
            // process reads the WAL again.
            std::mem::forget(self.connection);
            return;
        }
        // What fails here is found by the next open, which takes the end for unclean.
        if schema::mark_clean(&self.connection).is_ok() {
            let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        let _ = self.connection.close();
    }
}

fn io_error(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), what: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(expect: u64) -> (Job, Receiver<Result<(), StoreError>>) {
        let (sender, receiver) = mpsc::channel();
        let batch = vec![Append { log: LogId::run("a"), expect, entries: vec![vec![1]], rows: Vec::new() }];
        let done = Box::new(move |result| sender.send(result).unwrap());
        (Job::Append { batch, urgent: false, done }, receiver)
    }

    /// A pipe cannot be synced: the error stands for that of a disk.
    #[test]
    fn after_a_failed_sync_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let (connection, _) = schema::open_for_writing(&path, Durability::Normal, &[]).unwrap();
        let (pipe, _other_end) = rustix::pipe::pipe().unwrap();
        let mut worker = Worker {
            path: path.clone(),
            tables: Vec::new(),
            connection,
            wal: Some(Arc::new(File::from(pipe))),
            unsynced: None,
            syncing: None,
            groups_until_look: GROUPS_PER_LOOK,
            reserve: Reserve::of(&path),
            poisoned: None,
        };
        let (job, answer) = append(0);
        worker.do_group(vec![job]);
        answer.recv().unwrap().unwrap();
        worker.sync();
        let (job, answer) = append(1);
        worker.do_group(vec![job]);
        let error = answer.recv().unwrap().unwrap_err();
        assert!(matches!(error, StoreError::Poisoned { .. }) && error.to_string().contains("restart"), "{error}");
        worker.end();
        // The next process finds what was acknowledged, and goes on.
        let opened = open(&path, Durability::Full, &[]).unwrap();
        assert_eq!(opened.reader.log_length(&LogId::run("a")).unwrap(), 1);
        let (sender, receiver) = mpsc::channel();
        let (Job::Append { batch, .. }, _) = append(1) else { return };
        opened.writer.append(batch, Box::new(move |result| sender.send(result).unwrap()));
        receiver.recv().unwrap().unwrap();
    }

    #[test]
    fn an_append_waits_for_no_thread_where_it_waits_for_no_disk() {
        for (durability, here) in [(Durability::Normal, true), (Durability::Full, false)] {
            let dir = tempfile::tempdir().unwrap();
            let opened = open(&dir.path().join("store.db"), durability, &[]).unwrap();
            let (sender, receiver) = mpsc::channel();
            let (Job::Append { batch, .. }, _) = append(0) else { return };
            let me = std::thread::current().id();
            let done = move |result: Result<(), StoreError>| {
                sender.send((result, std::thread::current().id() == me)).unwrap();
            };
            opened.writer.append(batch, Box::new(done));
            assert_eq!(receiver.recv().unwrap(), (Ok(()), here), "{durability:?}");
            // What the caller committed is synced by the thread, in time.
            opened.writer.barrier().unwrap();
        }
    }

    /// Enough groups to fill the WAL several times: it is copied into the database and used again.
    #[test]
    fn the_wal_does_not_grow_without_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let opened = open(&path, Durability::Normal, &[]).unwrap();
        let (sender, receiver) = mpsc::channel();
        for expect in 0..600 {
            let sender = sender.clone();
            let entries = vec![vec![7; 200_000]];
            let batch = vec![Append { log: LogId::run("a"), expect, entries, rows: Vec::new() }];
            opened.writer.append(batch, Box::new(move |result| sender.send(result).unwrap()));
            // One group each.
            receiver.recv().unwrap().unwrap();
        }
        let wal = std::fs::metadata(schema::wal_path(&path)).unwrap().len();
        assert!(wal < 48 << 20, "{wal} bytes of 120 MB written");
    }
}
