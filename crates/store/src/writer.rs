//! The one writer: a thread that drains its queue into one transaction and answers everybody after one COMMIT. An append that finds
//! it idle is committed by the caller itself where that waits for no disk: two changes of threads cost more than the transaction.
//! It must never answer before COMMIT, nor write on after a sync has failed.

use crate::error::StoreError;
use crate::log::{Append, LogId};
use crate::reader::Reader;
use crate::reserve::Reserve;
use crate::schema;
use crate::worker::{Job, Worker};
use model::row::{RowChange, TableDef};
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

/// Jobs of one transaction, at most: a bound on how long its first waits.
const JOBS_MAX: usize = 1024;
/// Bytes of entries in one transaction, about.
const BYTES_MAX: usize = 16 << 20;

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
        Durability::Normal => Some(File::open(schema::wal_path(path)).map_err(|error| io_error(path, &error))?),
        Durability::Full => None,
    };
    let reader = Reader::open(path)?;
    let (jobs, queue) = mpsc::channel();
    let worker = Worker::new(path.to_owned(), tables.to_vec(), connection, wal, reserve);
    let quick = durability == Durability::Normal;
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
        if worker.wants_the_thread() {
            // Who goes on keeps it from that.
            drop(desk);
            return self.send(job);
        }
        let was_due = worker.sync_due().is_some();
        worker.do_group(vec![job]);
        if (!was_due && worker.sync_due().is_some()) || worker.wants_the_thread() {
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
