//! What the writer does, on its thread or on a caller's: jobs in one transaction, what of it is on the disk, the WAL's size.
//! It must never answer before COMMIT, nor write on after a sync has failed.

use crate::error::StoreError;
use crate::log::{Append, LogId};
use crate::reserve::Reserve;
use crate::schema;
use crate::transaction::{Failure, Within, begin, commit, roll_back};
use crate::writer::Done;
use model::row::{RowChange, TableDef};
use rusqlite::Connection;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Under `Durability::Normal`, the most that a power cut can lose.
pub const SYNC_INTERVAL: Duration = Duration::from_millis(250);
/// A sync begins so long after the first commit that it is for: what it takes itself counts as well.
const SYNC_AFTER: Duration = Duration::from_millis(100);

/// Pages in the WAL from which on they are copied into the database.
const CHECKPOINT_PAGES: i64 = 4_000;
/// Groups between two looks at the size of the WAL.
const GROUPS_PER_LOOK: u32 = 64;

/// What is asked of the writer, and who is answered.
pub(crate) enum Job {
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

/// The one that writes.
pub(crate) struct Worker {
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

impl Job {
    pub(crate) fn fail(self, error: StoreError) {
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

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Append { batch, .. } => batch.iter().flat_map(|append| &append.entries).map(Vec::len).sum(),
            _ => 0,
        }
    }
}

impl Worker {
    /// `wal`: under `Normal`, what is synced by ourselves.
    pub(crate) fn new(
        path: PathBuf,
        tables: Vec<&'static TableDef>,
        connection: Connection,
        wal: Option<File>,
        reserve: Reserve,
    ) -> Self {
        Self {
            path,
            tables,
            connection,
            wal: wal.map(Arc::new),
            unsynced: None,
            syncing: None,
            groups_until_look: GROUPS_PER_LOOK,
            reserve,
            poisoned: None,
        }
    }

    /// The thread has something to do that waits for the disk: a sync to finish, a checkpoint to look at.
    pub(crate) fn wants_the_thread(&self) -> bool {
        self.is_behind() || self.groups_until_look == 0
    }

    /// One transaction; answers after its COMMIT. Where the disk is full and something urgent is among the jobs, the reserve is
    /// given up for it.
    pub(crate) fn do_group(&mut self, group: Vec<Job>) {
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
    pub(crate) fn sync_due(&self) -> Option<Instant> {
        self.unsynced.map(|first| first + SYNC_AFTER)
    }

    /// Something was committed so long ago that nothing more may be before it is on the disk.
    fn is_behind(&self) -> bool {
        self.syncing.or(self.unsynced).is_some_and(|first| first.elapsed() >= SYNC_INTERVAL)
    }

    /// Under `Normal`: brings what was committed to the disk.
    pub(crate) fn sync(&mut self) {
        if let Some(wal) = self.begin_sync() {
            self.end_sync(wal.sync_data());
        }
    }

    /// What is to be synced, if anything is. What is committed from now on is for the next one.
    pub(crate) fn begin_sync(&mut self) -> Option<Arc<File>> {
        self.syncing = self.unsynced.take().filter(|_| self.poisoned.is_none());
        self.wal.as_ref().filter(|_| self.syncing.is_some()).map(Arc::clone)
    }

    pub(crate) fn end_sync(&mut self, synced: std::io::Result<()>) {
        self.syncing = None;
        if let Err(error) = synced {
            self.poisoned = Some(format!("syncing its WAL failed: {error}"));
        }
    }

    /// On the thread only: it waits for the disk. SQLite's own automatic checkpoint hides its errors, and the sync after one that failed would lie.
    pub(crate) fn checkpoint_if_due(&mut self) {
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

    pub(crate) fn end(self) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::{Durability, open};
    use std::sync::mpsc::{self, Receiver};

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
        let wal = Some(File::from(pipe));
        let mut worker = Worker::new(path.clone(), Vec::new(), connection, wal, Reserve::of(&path));
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
}
