//! The shell around the runner's machine: one poll loop over the socket, the tasks' ends and the tasks' output.
//! It must never hold a rule of the protocol: those are in `machine`.

use super::cgroup::{Cgroup, Cgroups};
use super::keep::Outcomes;
use super::machine::{Identity, Input, Machine, Now, Output};
use super::orphans;
use super::pool::Pool;
use super::power::Power;
use super::sandbox::Sandboxes;
use super::sys;
use super::task::{Finish, Machinery, READ_BYTES, Refused, Remains, Task};
use crate::frame::{self, Incoming};
use crate::home::{Home, at};
use artifacts::log::Stream;
use model::input::Epoch;
use model::runner::{Ended, Spawn};
use model::{AttemptKey, Time};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::AsFd;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{SystemTime, UNIX_EPOCH};

/// A runner that nobody has connected to leaves after this time.
const LONELY_US: i64 = 10 * Time::SECOND_US;
/// While something is due we look at the clock this often, so that sleep of the machine shows as a leap.
const LOOK_US: i64 = Time::SECOND_US;
/// How often what could not be done is tried again.
const AGAIN_US: i64 = 20_000;
/// While so many attempts wait for their places here, the holder need not hear of each end at once: it is woken once for several.
const STOCK: usize = 4;
/// Nor does it have to wait longer than this.
const REPORT_US: i64 = 2_000;
/// After an end we look for orphans at most so often: one that hides its environment stays until the next start's sweep.
const ORPHAN_LOOKS: u32 = 100;

/// Runs until the machine says to leave.
///
/// # Errors
/// The home cannot be used, or the machine's poll does not work.
pub fn run(home: &Home) -> io::Result<()> {
    sys::new_session();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    fs::create_dir_all(home.root()).map_err(|error| at(home.root(), error))?;
    let Some(_lock) = lock(home)? else { return announce(super::BUSY) };
    let listener = listen(home)?;
    let mut shell = Shell::new(home, listener)?;
    announce(super::READY)?;
    let result = shell.serve();
    if let Some(pool) = &mut shell.machinery.pool {
        pool.close();
    }
    shell.machinery.cgroups.close();
    // Somebody who is just connecting sees the end of the connection and starts another runner.
    let _ = fs::remove_file(home.socket());
    result
}

fn announce(word: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{word}")?;
    stdout.flush()?;
    // Whoever waits for the word also sees the end of the stream.
    sys::move_to(File::open("/dev/null")?.as_fd(), 1)
}

fn lock(home: &Home) -> io::Result<Option<File>> {
    let path = home.runner_lock();
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| at(&path, error))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(at(&path, error.into())),
    }
}

fn listen(home: &Home) -> io::Result<UnixListener> {
    let path = home.socket();
    home.make_socket_dir(&path)?;
    // We have the lock: it is a dead runner's.
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(|error| at(&path, error))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(|error| at(&path, error))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

struct Shell {
    machine: Machine,
    machinery: Machinery,
    outcomes: Outcomes,
    listener: UnixListener,
    holder: Option<Holder>,
    tasks: Vec<Task>,
    /// Outcomes that the disk refused.
    unpersisted: Vec<(AttemptKey, Ended)>,
    /// Groups whose processes are still dying.
    groups: Vec<Cgroup>,
    /// How many more looks for orphans there will be.
    orphan_looks: u32,
    clock: Clock,
    leaving: bool,
    /// For everything that is read.
    buffer: Vec<u8>,
}

struct Holder {
    stream: UnixStream,
    incoming: Incoming,
    outgoing: Vec<u8>,
    /// When the first of what is outgoing may wait no longer.
    due_us: i64,
    hang_up: bool,
}

impl Shell {
    fn new(home: &Home, listener: UnixListener) -> io::Result<Self> {
        orphans::sweep(home);
        sys::adopt_orphans();
        let cgroups = Cgroups::find(&home.hash());
        cgroups.sweep();
        cgroups.close();
        let mut notices: Vec<String> =
            super::LACKING.iter().map(|what| format!("the portable build: {what}")).collect();
        notices.extend(cgroups.problem());
        let sandboxes = match forbidden().map_or_else(|| Sandboxes::prepare(home), Err) {
            Ok(sandboxes) => Some(sandboxes),
            Err(why) => {
                notices.push(format!("profile standard runs as trusted, without sandboxes: {why}"));
                None
            }
        };
        notices.extend(sandboxes.as_ref().and_then(Sandboxes::notice));
        let pool = match &sandboxes {
            Some(_) => Some(Pool::new(home.sandboxes())?),
            None => None,
        };
        let null = match &sandboxes {
            Some(sandboxes) => sandboxes.null()?,
            None => File::options().read(true).write(true).open("/dev/null")?.into(),
        };
        let outcomes = Outcomes::new(home);
        let (persisted, problems) = outcomes.load();
        notices.extend(problems);
        let identity = Identity {
            epoch: epoch()?,
            build: env!("CARGO_PKG_VERSION").into(),
            notices,
            sandboxes: sandboxes.is_some(),
        };
        Ok(Self {
            machine: Machine::new(identity, persisted),
            machinery: Machinery {
                sandboxes,
                pool,
                power: Power::new(),
                cgroups,
                files_max: sys::raise_files_max(),
                null: null.into(),
            },
            outcomes,
            listener,
            holder: None,
            tasks: Vec::new(),
            unpersisted: Vec::new(),
            groups: Vec::new(),
            orphan_looks: 0,
            clock: Clock::start(),
            leaving: false,
            buffer: vec![0; READ_BYTES],
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut greeted = false;
        loop {
            if self.leaving && self.unpersisted.is_empty() {
                return Ok(());
            }
            if !greeted && self.holder.is_none() && self.clock.now.clock_us > LONELY_US && self.tasks.is_empty() {
                return Ok(());
            }
            greeted |= self.holder.is_some();
            self.tasks.iter_mut().for_each(Task::settle);
            let timeout_us = self.timeout_us(greeted);
            let ready = self.poll(timeout_us)?;
            self.clock.advance(timeout_us);
            if self.machine.next_tick_us().is_some_and(|due| due <= self.clock.now.clock_us) {
                self.step(Input::Tick);
            }
            self.serve_tasks(&ready);
            self.serve_holder(&ready);
            if ready.listener {
                self.accept();
            }
            self.try_again();
        }
    }

    fn timeout_us(&self, greeted: bool) -> Option<i64> {
        let due = self.machine.next_tick_us().map(|due| (due - self.clock.now.clock_us).clamp(0, LOOK_US));
        let again = !self.groups.is_empty() || self.orphan_looks > 0 || !self.unpersisted.is_empty();
        let pool = self.machinery.pool.as_ref().is_some_and(Pool::is_restless).then_some(LOOK_US);
        let lonely = (!greeted).then_some(LOOK_US);
        let holder = self.holder.as_ref().filter(|holder| !holder.outgoing.is_empty() && !self.may_send(holder));
        let report = holder.map(|holder| (holder.due_us - self.clock.now.clock_us).max(0));
        due.into_iter().chain(again.then_some(AGAIN_US)).chain(pool).chain(lonely).chain(report).min()
    }

    fn may_send(&self, holder: &Holder) -> bool {
        self.machine.waiting() < STOCK || holder.due_us <= self.clock.now.clock_us || holder.hang_up
    }

    fn poll(&self, timeout_us: Option<i64>) -> io::Result<Ready> {
        let mut fds = Vec::with_capacity(2 + self.tasks.len() * 3);
        let mut meaning = Vec::with_capacity(fds.capacity());
        fds.push(PollFd::new(&self.listener, PollFlags::IN));
        meaning.push(Source::Listener);
        if let Some(holder) = &self.holder {
            let write =
                if holder.outgoing.is_empty() || !self.may_send(holder) { PollFlags::empty() } else { PollFlags::OUT };
            fds.push(PollFd::new(&holder.stream, PollFlags::IN | write));
            meaning.push(Source::Holder);
        }
        for making in self.machinery.pool.iter().flat_map(Pool::fds) {
            fds.push(PollFd::from_borrowed_fd(making, PollFlags::IN));
            meaning.push(Source::Pool);
        }
        for (index, task) in self.tasks.iter().enumerate() {
            for (fd, source) in task.fds().into_iter().zip([Source::End(index), Source::Out(index), Source::Err(index)])
            {
                if let Some(fd) = fd {
                    fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
                    meaning.push(source);
                }
            }
        }
        let timeout = timeout_us.map(|us| Timespec { tv_sec: us / 1_000_000, tv_nsec: us % 1_000_000 * 1000 });
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = Ready::default();
        for (fd, source) in fds.iter().zip(meaning) {
            if fd.revents().is_empty() {
                continue;
            }
            match source {
                Source::Listener => ready.listener = true,
                Source::Holder => ready.holder = true,
                Source::Pool => {}
                Source::Out(index) => ready.output.push((index, Stream::Out)),
                Source::Err(index) => ready.output.push((index, Stream::Err)),
                Source::End(index) => ready.ended.push(index),
            }
        }
        Ok(ready)
    }

    fn serve_tasks(&mut self, ready: &Ready) {
        for (index, stream) in &ready.output {
            self.tasks[*index].read(*stream, self.clock.now.at, &mut self.buffer);
        }
        // From the back, because ended tasks leave the list.
        for index in ready.ended.iter().rev() {
            let task = self.tasks.swap_remove(*index);
            let (key, orphans) = (task.key.clone(), task.can_leave_orphans());
            match task.finish(self.clock.now.at, &mut self.buffer) {
                Finish::Ended(remains) => {
                    if orphans {
                        self.orphan_looks = ORPHAN_LOOKS;
                        self.end_orphans();
                    }
                    self.ended(key, *remains);
                }
                Finish::Refused(refused) => self.start_again(key, *refused),
                Finish::Not(task) => self.tasks.push(*task),
            }
        }
    }

    fn ended(&mut self, key: AttemptKey, remains: Remains) {
        for problem in remains.problems {
            crate::own_log::say(format!("runner: {key}: {problem}"));
        }
        self.groups.extend(remains.cgroup);
        if let Some(pool) = &mut self.machinery.pool {
            remains.sandbox.into_iter().for_each(|sandbox| pool.put_back(sandbox));
            remains.dirty.into_iter().for_each(|shape| pool.was_dirty(shape));
        }
        self.step(Input::Exited { key, end: remains.end });
    }

    fn serve_holder(&mut self, ready: &Ready) {
        let Some(holder) = &mut self.holder else { return };
        let mut frames = Vec::new();
        let mut alive = !ready.holder || holder.receive(&mut self.buffer, &mut frames).is_ok();
        for frame in frames {
            self.step(Input::Frame(frame));
        }
        let may_send = self.holder.as_ref().is_some_and(|holder| self.may_send(holder));
        if let Some(holder) = &mut self.holder
            && may_send
        {
            alive &= holder.send().is_ok() && !(holder.hang_up && holder.outgoing.is_empty());
        }
        if !alive {
            self.holder = None;
            self.step(Input::HolderLost);
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            // One holder a home: an older connection is a dead one's.
            if self.holder.take().is_some() {
                self.step(Input::HolderLost);
            }
            // Whatever kept it from leaving before this holder came (an outcome that could not be written): now it stays.
            self.leaving = false;
            self.holder =
                Some(Holder { stream, incoming: Incoming::default(), outgoing: Vec::new(), due_us: 0, hang_up: false });
            self.step(Input::HolderConnected);
        }
    }

    fn step(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.machine.step(self.clock.now, input, &mut outputs);
        for output in outputs {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Send(frame) => {
                if let Some(holder) = &mut self.holder {
                    if holder.outgoing.is_empty() {
                        holder.due_us = self.clock.now.clock_us + REPORT_US;
                    }
                    holder.hang_up |= frame::encode(&frame, &mut holder.outgoing).is_err();
                }
            }
            Output::HangUp => {
                if let Some(holder) = &mut self.holder {
                    holder.hang_up = true;
                }
            }
            Output::StartProcess(spawn) => self.start(spawn),
            Output::Signal(key, signal) => {
                if let Some(task) = self.tasks.iter_mut().find(|task| task.key == key) {
                    task.signal(signal);
                }
            }
            Output::PersistOutcome(key, end) => self.persist(key, end),
            Output::ForgetOutcome(key) => self.outcomes.forget(&key),
            Output::ExitRunner => self.leaving = true,
        }
    }

    fn start(&mut self, spawn: Box<Spawn>) {
        let key = spawn.key.clone();
        match Task::start(&mut self.machinery, spawn, wall()) {
            Ok(task) => self.tasks.push(task),
            Err(remains) => self.ended(key, *remains),
        }
    }

    fn start_again(&mut self, key: AttemptKey, refused: Refused) {
        match Task::start_again(&mut self.machinery, refused, wall()) {
            Ok(task) => self.tasks.push(task),
            Err(remains) => self.ended(key, *remains),
        }
    }

    fn persist(&mut self, key: AttemptKey, end: Ended) {
        if let Err(error) = self.outcomes.persist(&key, &end) {
            crate::own_log::say(format!("runner: the outcome of {key} is not on disk yet: {error}"));
            self.unpersisted.push((key, end));
        }
    }

    fn try_again(&mut self) {
        if self.orphan_looks > 0 {
            self.end_orphans();
        }
        self.groups.retain(|group| !group.remove());
        if let (Some(pool), Some(sandboxes)) = (&mut self.machinery.pool, &self.machinery.sandboxes) {
            pool.tend(sandboxes);
        }
        if !self.unpersisted.is_empty() {
            let known: Vec<&AttemptKey> = self.machine.known().collect();
            let outcomes = &self.outcomes;
            self.unpersisted.retain(|(key, end)| known.contains(&key) && outcomes.persist(key, end).is_err());
        }
    }

    /// Ends adopted processes of attempts that are over.
    fn end_orphans(&mut self) {
        let pool = self.machinery.pool.iter().flat_map(Pool::pids);
        let mine: Vec<i32> = self.tasks.iter().flat_map(Task::pids).chain(pool).collect();
        let live: Vec<&AttemptKey> = self.tasks.iter().map(|task| &task.key).collect();
        let again = orphans::end_children(&mine, |key| !live.contains(&key));
        self.orphan_looks = if again { self.orphan_looks.saturating_sub(1) } else { 0 };
    }
}

#[derive(Default)]
struct Ready {
    listener: bool,
    holder: bool,
    output: Vec<(usize, Stream)>,
    /// In ascending order.
    ended: Vec<usize>,
}

enum Source {
    Listener,
    Holder,
    /// A sandbox that is made ahead: `tend` looks.
    Pool,
    End(usize),
    Out(usize),
    Err(usize),
}

impl Holder {
    /// # Errors
    /// The holder is gone, or does not speak our language.
    fn receive(&mut self, buffer: &mut [u8], frames: &mut Vec<model::runner::ToRunner>) -> io::Result<()> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(got) => self.incoming.push(&buffer[..got]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            while let Some(frame) = self.incoming.next()? {
                frames.push(frame);
            }
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.outgoing.len() {
            match self.stream.write(&self.outgoing[sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => sent += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.outgoing.drain(..sent);
        Ok(())
    }
}

/// Wall-clock time for stamps, and a clock that stands while we sleep.
struct Clock {
    now: Now,
    seen_us: i64,
}

impl Clock {
    fn start() -> Self {
        Self { now: Now { at: wall(), clock_us: 0 }, seen_us: monotonic_us() }
    }

    /// After a wait of at most `asked_us`: what is far beyond it was sleep.
    fn advance(&mut self, asked_us: Option<i64>) {
        let seen_us = monotonic_us();
        let passed = seen_us - self.seen_us;
        self.seen_us = seen_us;
        let awake = asked_us.map_or(passed, |asked| if passed > asked + 2 * LOOK_US { asked } else { passed });
        self.now = Now { at: wall(), clock_us: self.now.clock_us + awake };
    }
}

fn monotonic_us() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * Time::SECOND_US + now.tv_nsec / 1000
}

fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Boot id, start time, process id: a runner that is gone never comes back under the same.
fn epoch() -> io::Result<Epoch> {
    Ok(Epoch(format!("{}/{}", sys::life()?, std::process::id())))
}

/// For tests, and for those who want none.
fn forbidden() -> Option<String> {
    let set = std::env::var_os("TOWPATH_NO_NAMESPACES").is_some_and(|value| value == "1");
    set.then(|| "TOWPATH_NO_NAMESPACES=1 is set".into())
}
