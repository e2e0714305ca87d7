//! The connection to the runner: found or started, greeted, read until it breaks, and made again.
//! It must never decide what becomes of attempts.

use super::Inner;
use crate::frame::{self, Incoming};
use crate::runner::{BUSY, MARK, READY};
use model::AttemptKey;
use model::input::Epoch;
use model::runner::{FromRunner, RUNNER_PROTOCOL, RUNNER_PROTOCOL_MIN, ToRunner};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// Between tries to reach a runner that is just leaving or does not start.
const PAUSE: Duration = Duration::from_millis(20);
/// After so many failed tries the pause is longer.
const QUICK_TRIES: u32 = 50;
const LONG_PAUSE: Duration = Duration::from_secs(1);

const READ_BYTES: usize = 16 << 10;
/// Frames that wait are no more than this.
const FLUSH_BYTES: usize = 64 << 10;

/// A greeted runner.
pub(super) struct Link {
    stream: UnixStream,
    epoch: Epoch,
    known: BTreeSet<AttemptKey>,
    protocol: u32,
    buffer: Vec<u8>,
}

impl Link {
    pub fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Attempts that it had when it was greeted.
    pub fn known(&self) -> Vec<AttemptKey> {
        self.known.iter().cloned().collect()
    }

    /// Attempts can wait there for their places.
    pub fn holds_back(&self) -> bool {
        self.protocol >= 3
    }

    pub fn knows(&self, key: &AttemptKey) -> bool {
        self.known.contains(key)
    }

    /// It goes with the next `flush`: each frame by itself would wake the runner.
    pub fn send(&mut self, frame: &ToRunner) {
        if frame::encode(frame, &mut self.buffer).is_err() {
            return self.hang_up();
        }
        if let ToRunner::Acknowledge { key } = frame {
            self.known.remove(key);
        }
        if self.buffer.len() > FLUSH_BYTES {
            self.flush();
        }
    }

    /// A runner that cannot be reached is noticed by the reading side.
    pub fn flush(&mut self) {
        if !self.buffer.is_empty() && self.stream.write_all(&self.buffer).is_err() {
            self.hang_up();
        }
        self.buffer.clear();
    }

    pub fn hang_up(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Keeps a runner connected until the executor stops.
pub(super) fn keep_up(inner: &Inner) {
    let mut failures = 0;
    while !inner.state().stopping {
        match connect(inner) {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                if failures == QUICK_TRIES {
                    crate::own_log::say(format!("executor: the runner cannot be reached: {error}"));
                    let why = format!("no task starts: the process that runs them cannot be reached: {error}");
                    (inner.events)(crate::ExecutorEvent::Unreachable { why });
                }
                thread::sleep(if failures < QUICK_TRIES { PAUSE } else { LONG_PAUSE });
            }
        }
    }
}

/// # Errors
/// There was no runner to talk to; after a conversation its end is not one.
fn connect(inner: &Inner) -> io::Result<()> {
    let Some((mut stream, mut incoming)) = greet(inner, RUNNER_PROTOCOL)? else { return Ok(()) };
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match receive(&mut stream, &mut incoming, &mut buffer) {
            Ok(Some(FromRunner::Ended { key, end, next })) => {
                if let Some(next) = next {
                    inner.passed(&key, next);
                }
                inner.ended(key, end);
            }
            Ok(Some(FromRunner::Hello { .. })) => {}
            Ok(None) | Err(_) => break,
        }
    }
    inner.disconnected();
    Ok(())
}

/// Finds the runner, or starts it, and greets it in this protocol; in an older one that it answers with.
fn greet(inner: &Inner, ours: u32) -> io::Result<Option<(UnixStream, Incoming)>> {
    let socket = inner.home.socket();
    // A spawn holds the environment of the user: it goes to nobody else.
    let mut stream = match UnixStream::connect(&socket) {
        Ok(stream) if inner.home.is_ours(&socket) => stream,
        _ => {
            start(inner)?;
            UnixStream::connect(&socket)?
        }
    };
    let mut hello = Vec::new();
    let build = env!("CARGO_PKG_VERSION").into();
    frame::encode(&ToRunner::Hello { protocol: ours, build }, &mut hello)?;
    stream.write_all(&hello)?;
    let (mut incoming, mut buffer) = (Incoming::default(), vec![0; READ_BYTES]);
    match receive(&mut stream, &mut incoming, &mut buffer)? {
        Some(FromRunner::Hello { protocol, epoch, known, notices, sandboxes, build }) => {
            if (RUNNER_PROTOCOL_MIN..ours).contains(&protocol) {
                // It has hung up on what it does not know.
                return greet(inner, protocol);
            }
            if protocol != ours {
                return Err(io::Error::other(format!(
                    "it is of version {build} and speaks protocol {protocol}, and this version {} speaks {RUNNER_PROTOCOL_MIN} to \
                     {RUNNER_PROTOCOL}; it leaves when its {} attempts have ended, or go on with version {build}",
                    env!("CARGO_PKG_VERSION"),
                    known.len()
                )));
            }
            let known = known.into_iter().collect();
            let link = Link { stream: stream.try_clone()?, epoch, known, protocol, buffer: Vec::new() };
            inner.connected(link, notices, sandboxes);
            Ok(Some((stream, incoming)))
        }
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn receive(stream: &mut UnixStream, incoming: &mut Incoming, buffer: &mut [u8]) -> io::Result<Option<FromRunner>> {
    loop {
        if let Some(frame) = incoming.next()? {
            return Ok(Some(frame));
        }
        match stream.read(buffer) {
            Ok(0) => return Ok(None),
            Ok(got) => incoming.push(&buffer[..got]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Starts a runner and waits until it listens, or says that there is one.
fn start(inner: &Inner) -> io::Result<()> {
    let [program, args @ ..] = &inner.runner[..] else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no command line for the runner"));
    };
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(inner.home.runner_log())?;
    let mut child = Command::new(program)
        .args(args)
        .env("TOWPATH_HOME", inner.home.root())
        // It may be that a task started us: the runner is not part of it.
        .env_remove(MARK)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()?;
    let mut word = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut word)?;
    }
    // Reaped when it leaves, which may be after us.
    thread::Builder::new().name("runner-reaper".into()).spawn(move || child.wait())?;
    match word.trim() {
        READY => Ok(()),
        BUSY => Err(io::Error::other("another runner of this home is just leaving")),
        _ => Err(io::Error::other(format!("it did not start; see {}", inner.home.runner_log().display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Catalogue, Executor, Local, LocalSettings};
    use model::attempt::{Amounts, Launch, Profile, Wanted};
    use model::{NodeId, RunId};
    use std::os::unix::net::UnixListener;

    /// The other end of a connection: greets, and knows nothing.
    fn greet(listener: &UnixListener) -> (UnixStream, Incoming) {
        greet_in(RUNNER_PROTOCOL, listener).1
    }

    /// Answers with this protocol; and which was offered.
    fn greet_in(protocol: u32, listener: &UnixListener) -> (u32, (UnixStream, Incoming)) {
        let (mut stream, _) = listener.accept().expect("a holder");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
        let mut incoming = Incoming::default();
        let ToRunner::Hello { protocol: offered, .. } = next(&mut stream, &mut incoming) else { panic!("no greeting") };
        let hello = FromRunner::Hello {
            protocol,
            build: "test".into(),
            epoch: Epoch("e".into()),
            known: Vec::new(),
            notices: Vec::new(),
            sandboxes: true,
        };
        let mut bytes = Vec::new();
        frame::encode(&hello, &mut bytes).expect("a frame");
        stream.write_all(&bytes).expect("the greeting");
        (offered, (stream, incoming))
    }

    fn local(dir: &std::path::Path) -> (Local, std::sync::mpsc::Receiver<crate::ExecutorEvent>) {
        let settings = LocalSettings {
            home: dir.to_path_buf(),
            runner: vec!["/nowhere/towpath".into()],
            artifacts: artifacts::Store::open(&dir.join("artifacts")).expect("a store"),
            images: Catalogue::load(&dir.join("images.toml")).expect("images"),
            keep: Duration::ZERO,
        };
        let (sender, events) = std::sync::mpsc::channel();
        (Local::start(settings, Box::new(move |event| drop(sender.send(event)))).expect("an executor"), events)
    }

    fn next(stream: &mut UnixStream, incoming: &mut Incoming) -> ToRunner {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            if let Some(frame) = incoming.next().expect("a frame") {
                return frame;
            }
            let got = stream.read(&mut buffer).expect("bytes");
            assert_ne!(got, 0, "the holder hung up");
            incoming.push(&buffer[..got]);
        }
    }

    fn launch() -> Launch {
        Launch {
            secrets: Vec::new(),
            key: AttemptKey { run: RunId("r".into()), node: NodeId(1), n: 0 },
            run_name: "r".into(),
            node_name: "r".into(),
            template: "t".into(),
            image: "busybox".into(),
            command: vec!["/bin/sh".into()],
            args: Vec::new(),
            script: None,
            working_dir: None,
            env: Vec::new(),
            mounts: Vec::new(),
            inputs: Vec::new(),
            outputs: Wanted::default(),
            requests: Amounts::default(),
            limits: Amounts::default(),
            gpus: Vec::new(),
            deadline_s: None,
            timeout_s: None,
            grace_s: 1,
            python_requirements: Vec::new(),
            profile: Profile::Trusted,
            source: None,
            directory: Some("/".into()),
            collects: None,
        }
    }

    #[test]
    fn a_spawn_that_was_lost_with_its_connection_is_sent_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = crate::home::Home::new(dir.path());
        let listener = UnixListener::bind(home.socket()).expect("a socket");
        let (local, events) = local(dir.path());
        let (mut stream, mut incoming) = greet(&listener);
        assert!(matches!(events.recv(), Ok(crate::ExecutorEvent::Connected { .. })));
        local.launch(launch(), &Epoch("e".into()), false);
        local.flush();
        assert!(matches!(next(&mut stream, &mut incoming), ToRunner::Spawn(spawn) if spawn.key == launch().key));
        drop(stream);
        // The same runner, which never read it.
        let (mut stream, mut incoming) = greet(&listener);
        assert!(matches!(next(&mut stream, &mut incoming), ToRunner::Spawn(spawn) if spawn.key == launch().key));
    }

    /// After an upgrade the runner is an older one, which knows of no attempts that wait.
    #[test]
    fn an_older_runner_is_spoken_to_in_its_own_protocol() {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(crate::home::Home::new(dir.path()).socket()).expect("a socket");
        let (local, events) = local(dir.path());
        let (offered, refused) = greet_in(RUNNER_PROTOCOL_MIN, &listener);
        assert_eq!(offered, RUNNER_PROTOCOL);
        drop(refused);
        let (offered, (mut stream, mut incoming)) = greet_in(RUNNER_PROTOCOL_MIN, &listener);
        assert_eq!(offered, RUNNER_PROTOCOL_MIN);
        assert!(matches!(events.recv(), Ok(crate::ExecutorEvent::Connected { .. })));
        let other = Launch { key: AttemptKey { n: 1, ..launch().key }, ..launch() };
        local.launch(launch(), &Epoch("e".into()), true);
        local.launch(other.clone(), &Epoch("e".into()), false);
        local.flush();
        // The one that waits is not sent before it has its place.
        assert!(matches!(next(&mut stream, &mut incoming), ToRunner::Spawn(spawn) if spawn.key == other.key));
        local.start(&launch().key);
        let spawn = next(&mut stream, &mut incoming);
        assert!(matches!(&spawn, ToRunner::Spawn(spawn) if spawn.key == launch().key && !spawn.waits), "{spawn:?}");
    }

    #[test]
    fn a_runner_of_a_protocol_that_nobody_speaks_is_told_of() {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(crate::home::Home::new(dir.path()).socket()).expect("a socket");
        let (_local, events) = local(dir.path());
        for _ in 0..QUICK_TRIES {
            assert_eq!(greet_in(RUNNER_PROTOCOL_MIN - 1, &listener).0, RUNNER_PROTOCOL);
        }
        let Ok(crate::ExecutorEvent::Unreachable { why }) = events.recv() else { panic!("nothing is told") };
        assert!(why.contains("version test and speaks protocol 1") && why.contains("2 to 3"), "{why}");
    }
}
