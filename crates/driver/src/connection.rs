//! One client's connection, on a thread of its own: greets, hands requests to the holder's loop, streams what is watched.
//! It must never touch the pump, nor make the loop wait for a client.

use crate::home::Home;
use crate::protocol::{self, Greeting, Reply, Request};
use crate::watch::{Board, Seen};
use executor::variables::Variables;
use model::input::{Approve, Shutdown};
use model::{Plan, RunId, RunRecord};
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use store::{LogId, Reader};

/// Entries in one frame, at most.
const CHUNK: usize = 512;
/// Between two frames of events: shorter than a person sees, long enough for many events of a busy run.
const PACE: Duration = Duration::from_millis(25);
/// How often an idle watcher is looked at, whether it is still there.
const LOOK: Duration = Duration::from_secs(1);
/// Before we try again to let clients in.
const PAUSE: Duration = Duration::from_millis(50);

/// A wish for the holder's loop; the answer goes to the connection's thread.
pub(crate) enum Wish {
    Submit { record: Box<RunRecord>, variables: Variables },
    Shutdown { run: RunId, strategy: Shutdown, by: String },
    Approve(RunId, Approve),
    Resume { run: RunId, by: String, variables: Variables },
    Reopen { run: RunId, by: String, plan: Box<Plan>, variables: Variables },
    Delete(RunId),
    Status,
    Places,
}

pub(crate) type Asked = (Wish, Sender<Reply>);

/// Counts clients; once it is closed nobody comes in.
#[derive(Default)]
pub(crate) struct Door {
    clients: Mutex<Option<usize>>,
    waiting: AtomicUsize,
}

/// What connections need.
pub(crate) struct Desk {
    pub home: Home,
    pub reader: Reader,
    pub board: Arc<Board>,
    pub door: Door,
    pub wishes: Box<dyn Fn(Asked) + Send + Sync>,
}

impl Door {
    pub fn open(&self) {
        *self.lock() = Some(0);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<usize>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> bool {
        match &mut *self.lock() {
            Some(clients) => {
                *clients += 1;
                true
            }
            None => false,
        }
    }

    fn leave(&self) {
        if let Some(clients) = &mut *self.lock() {
            *clients -= 1;
        }
    }

    /// Closes if nobody is in.
    pub fn close_if_empty(&self) -> bool {
        let mut clients = self.lock();
        if *clients == Some(0) {
            *clients = None;
        }
        clients.is_none()
    }

    /// Closes at once, and waits a moment for those who were promised an answer to get it.
    pub fn close(&self, patience: Duration) {
        *self.lock() = None;
        let end = std::time::Instant::now() + patience;
        while self.waiting.load(Ordering::Acquire) > 0 && std::time::Instant::now() < end {
            thread::yield_now();
        }
    }
}

/// Accepts clients until the process ends.
pub(crate) fn accept(listener: &UnixListener, desk: &Arc<Desk>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Too many open files: it passes when some client leaves.
            thread::sleep(PAUSE);
            continue;
        };
        if !desk.door.enter() {
            continue;
        }
        let desk = Arc::clone(desk);
        let inside = Arc::clone(&desk);
        let spawned = thread::Builder::new().name("client".into()).spawn(move || {
            // A client that hangs up is no fault of ours.
            let _ = serve(stream, &inside);
            inside.door.leave();
        });
        if spawned.is_err() {
            desk.door.leave();
        }
    }
}

fn serve(mut stream: UnixStream, desk: &Desk) -> io::Result<()> {
    // Clients speak first, of every version.
    let Some(greeting) = protocol::receive::<Greeting>(&mut stream)? else { return Ok(()) };
    protocol::send(&mut stream, &greeting.answer())?;
    if !greeting.is_spoken() {
        // It has our greeting, and says so itself.
        return Ok(());
    }
    while let Some(request) = protocol::receive::<Request>(&mut stream)? {
        let wish = match request {
            Request::Watch { run, from } => return watch(&mut stream, desk, &run, from),
            Request::Submit { record, variables } => Wish::Submit { record, variables },
            Request::Shutdown { run, strategy, by } => Wish::Shutdown { run, strategy, by },
            Request::Approve { run, node, parameters, by } => Wish::Approve(run, Approve { by, node, parameters }),
            Request::Resume { run, by, variables } => Wish::Resume { run, by, variables },
            Request::Reopen { run, by, plan, variables } => Wish::Reopen { run, by, plan, variables },
            Request::Delete { run } => Wish::Delete(run),
            Request::Status => Wish::Status,
            Request::Places => Wish::Places,
        };
        let deleted = if let Wish::Delete(run) = &wish { Some(run.clone()) } else { None };
        desk.door.waiting.fetch_add(1, Ordering::AcqRel);
        let (answer, answered) = channel();
        (desk.wishes)((wish, answer));
        let reply = answered.recv().unwrap_or_else(|_| Reply::Store("the holder of this home is leaving".into()));
        if let (Some(run), Reply::Done) = (deleted, &reply) {
            remove_files(desk, &run);
        }
        let sent = protocol::send(&mut stream, &reply);
        desk.door.waiting.fetch_sub(1, Ordering::AcqRel);
        sent?;
    }
    Ok(())
}

/// Logs and directories of a run whose log is gone. What cannot be removed costs space, nothing else.
fn remove_files(desk: &Desk, run: &RunId) {
    let home = desk.home.executor();
    let _ = std::fs::remove_dir_all(home.logs(run));
    executor::variables::forget(home, run);
    executor::kept::forget(home, run);
    executor::remove_directory(&home.volumes(run));
    let attempt = model::AttemptKey { run: run.clone(), node: model::NodeId::ROOT, n: 0 };
    if let Some(attempts) = home.scratch(&attempt).parent() {
        executor::remove_directory(attempts);
    }
}

fn watch(stream: &mut UnixStream, desk: &Desk, run: &RunId, from: u64) -> io::Result<()> {
    let log = LogId::run(run.0.clone());
    let mut seen = Seen::from(from);
    loop {
        let notes = desk.board.new_notes(run, &mut seen);
        for note in &notes {
            protocol::send(stream, &Reply::Note(note.clone()))?;
        }
        let entries = match desk.reader.read_log(&log, seen.events, CHUNK) {
            Ok(entries) => entries,
            Err(error) => return protocol::send(stream, &Reply::Store(error.to_string())),
        };
        if !entries.is_empty() {
            protocol::send_events(stream, seen.events, &entries)?;
            seen.events += entries.len() as u64;
            if entries.len() < CHUNK {
                desk.board.rest(run, PACE);
            }
        } else if notes.is_empty() {
            if desk.board.is_closed() {
                return Ok(());
            }
            if !desk.board.wait(run, &seen, LOOK) && is_gone(stream) {
                return Ok(());
            }
        }
    }
}

/// Whether the other side hung up. A watcher sends nothing.
fn is_gone(stream: &UnixStream) -> bool {
    use rustix::net::{RecvFlags, recv};
    let mut byte = [0_u8; 1];
    match recv(stream, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((0, _)) => true,
        Ok(_) | Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => false,
        Err(_) => true,
    }
}
