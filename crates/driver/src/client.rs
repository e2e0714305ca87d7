//! A client of a home's holder: finds it, or starts it, and asks it.
//! It must never write the home itself, apart from making its directory.

use crate::holder::{BUSY, READY};
use crate::home::{Home, HomeError};
use crate::protocol::{self, Greeting, PROTOCOL, PROTOCOL_MIN, Reply, Request};
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long we wait for a holder that is just coming or leaving.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Home(#[from] HomeError),
    /// What the holder said when it could not hold the home.
    #[error("{0}")]
    CannotHold(String),
    #[error("the holder of this home could not be started: {0}; see {1}")]
    NotStarted(String, PathBuf),
    #[error("the holder of this home does not answer: {0}; see {1}")]
    Silent(io::Error, PathBuf),
    #[error(
        "the holder of this home is of version {build} and speaks protocol {protocol}, and this version {ours} speaks {PROTOCOL_MIN} to \
         {PROTOCOL}: let its runs end, or use version {build}",
        ours = env!("CARGO_PKG_VERSION")
    )]
    OtherProtocol { build: String, protocol: u32 },
    #[error(
        "the holder of this home is of version {build}, which cannot do this: it leaves a few seconds after its runs have ended; try \
         again then"
    )]
    TooOld { build: String },
    #[error("the holder of this home ended; see {0}")]
    Gone(PathBuf),
}

/// Without a word for so long, a holder is said not to answer.
pub const SILENCE: Duration = Duration::from_secs(5);

/// Told once, from any thread, with the process that does not answer (stopped, or starved); whoever asked it waits on.
pub type Silent = fn(u32);

/// A greeted connection.
pub struct Client {
    stream: UnixStream,
    /// What both speak, and the holder's version.
    protocol: u32,
    build: String,
    log: PathBuf,
    silent: Option<Silent>,
}

/// Tells of a silence that lasts, unless it is dropped before.
struct Watchdog {
    _alive: Sender<()>,
}

impl Watchdog {
    fn start(stream: &UnixStream, silent: Option<Silent>) -> Option<Self> {
        let silent = silent?;
        let holder = peer(stream)?;
        let (alive, until) = channel::<()>();
        let watching = move || {
            if until.recv_timeout(SILENCE) == Err(RecvTimeoutError::Timeout) {
                silent(holder);
            }
        };
        // Without a thread nothing is told, and nothing else is lost.
        thread::Builder::new().name("patience".into()).spawn(watching).ok()?;
        Some(Self { _alive: alive })
    }
}

/// A holder that was told to start; it does while its client does something else.
pub struct Starting {
    child: Option<Child>,
}

/// How a holder is started: our own binary, and its arguments.
#[derive(Clone, Debug)]
pub struct HolderCommand {
    pub argv: Vec<OsString>,
    /// Told when the holder does not answer.
    pub silent: Silent,
}

impl HolderCommand {
    /// Starts a holder unless one can be connected to.
    ///
    /// # Errors
    /// The home cannot be made, or the process cannot be started.
    pub fn start(&self, home: &Home) -> Result<Starting, ClientError> {
        if home.socket_is_ours() && UnixStream::connect(home.socket()).is_ok() {
            return Ok(Starting { child: None });
        }
        home.make()?;
        let failed = |error: io::Error| ClientError::NotStarted(error.to_string(), home.holder_log());
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(home.holder_log());
        let log = log.map_err(|error| {
            ClientError::CannotHold(format!(
                "{}: {error}; choose another home with --home or TOWPATH_HOME",
                home.root().display()
            ))
        })?;
        let (program, args) = self.argv.split_first().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let child = Command::new(program)
            .args(args)
            .env("TOWPATH_HOME", home.root())
            // It may be that a task started us: the holder is not part of it.
            .env_remove("TOWPATH_ATTEMPT")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        Ok(Starting { child: Some(child) })
    }
}

impl Starting {
    /// Waits for its word. True: it listens. False: another process holds the home.
    fn word(self, home: &Home) -> Result<bool, ClientError> {
        let Some(mut child) = self.child else { return Ok(true) };
        let mut word = String::new();
        if let Some(stdout) = child.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut word);
        }
        match word.trim() {
            READY => Ok(true),
            BUSY => {
                let _ = child.wait();
                Ok(false)
            }
            "" => {
                let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(ClientError::NotStarted(status, home.holder_log()))
            }
            why => {
                let _ = child.wait();
                Err(ClientError::CannotHold(why.to_string()))
            }
        }
    }
}

impl Client {
    /// Connects to a holder that lives, `None` if there is none.
    ///
    /// # Errors
    /// It speaks another protocol.
    pub fn connect(home: &Home) -> Result<Option<Self>, ClientError> {
        Self::greet(home, None, None)
    }

    /// The same; the greeting and each later answer may take so long at most.
    ///
    /// # Errors
    /// As `connect`; `Silent`: it lives and does not answer (it is stopped, or starved).
    pub fn connect_within(home: &Home, patience: Duration) -> Result<Option<Self>, ClientError> {
        Self::greet(home, Some(patience), None)
    }

    fn greet(home: &Home, patience: Option<Duration>, silent: Option<Silent>) -> Result<Option<Self>, ClientError> {
        Self::greet_in(PROTOCOL, home, patience, silent)
    }

    fn greet_in(
        ours: u32,
        home: &Home,
        patience: Option<Duration>,
        silent: Option<Silent>,
    ) -> Result<Option<Self>, ClientError> {
        if !home.socket_is_ours() {
            return Ok(None);
        }
        let Ok(mut stream) = UnixStream::connect(home.socket()) else { return Ok(None) };
        let failed = |error| ClientError::Silent(error, home.holder_log());
        let _watchdog = Watchdog::start(&stream, silent);
        stream.set_read_timeout(patience).and_then(|()| stream.set_write_timeout(patience)).map_err(failed)?;
        if protocol::send(&mut stream, &Greeting::of(ours)).is_err() {
            return Ok(None);
        }
        match protocol::receive::<Greeting>(&mut stream) {
            Ok(Some(Greeting { protocol, build })) => {
                if (PROTOCOL_MIN..ours).contains(&protocol) {
                    // It has hung up on what it does not know.
                    return Self::greet_in(protocol, home, patience, silent);
                }
                if protocol != ours {
                    return Err(ClientError::OtherProtocol { build, protocol });
                }
                Ok(Some(Self { stream, protocol, build, log: home.holder_log(), silent }))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(failed(error)),
            // It was just leaving.
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// Connects to the holder, which is started if there is none.
    ///
    /// # Errors
    /// The home cannot be held: in the holder's own words.
    pub fn open(home: &Home, command: &HolderCommand) -> Result<Self, ClientError> {
        match Self::greet(home, None, Some(command.silent))? {
            Some(client) => Ok(client),
            None => Self::finish(home, command, command.start(home)?),
        }
    }

    /// Connects to a holder that was started.
    ///
    /// # Errors
    /// As `open`.
    pub fn finish(home: &Home, command: &HolderCommand, starting: Starting) -> Result<Self, ClientError> {
        let end = Instant::now() + PATIENCE;
        let mut starting = Some(starting);
        loop {
            let starting = match starting.take() {
                Some(starting) => starting,
                None => command.start(home)?,
            };
            let listens = starting.word(home)?;
            if let Some(client) = Self::greet(home, None, Some(command.silent))? {
                return Ok(client);
            }
            if Instant::now() > end {
                return Err(ClientError::Silent(io::ErrorKind::TimedOut.into(), home.holder_log()));
            }
            if !listens {
                // Another one is coming, or going.
                thread::sleep(PAUSE);
            }
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The holder is gone, or older than the request.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        if request.since() > self.protocol {
            return Err(ClientError::TooOld { build: self.build.clone() });
        }
        let _watchdog = Watchdog::start(&self.stream, self.silent);
        protocol::send(&mut self.stream, request).map_err(|_| self.gone())?;
        self.hear()?.ok_or_else(|| self.gone())
    }

    /// The process at the other end, where the system tells.
    pub fn holder(&self) -> Option<u32> {
        peer(&self.stream)
    }

    /// Begins to watch a run; `hear` then gives what happens.
    ///
    /// # Errors
    /// The holder is gone.
    pub fn watch(&mut self, run: &model::RunId, from: u64) -> Result<(), ClientError> {
        let request = Request::Watch { run: run.clone(), from };
        protocol::send(&mut self.stream, &request).map_err(|_| self.gone())
    }

    /// The next frame, `None` when the holder has hung up.
    ///
    /// # Errors
    /// What came is not a frame.
    pub fn hear(&mut self) -> Result<Option<Reply>, ClientError> {
        match protocol::receive(&mut self.stream) {
            Ok(reply) => Ok(reply),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(ClientError::Silent(error, self.log.clone())),
        }
    }

    fn gone(&self) -> ClientError {
        ClientError::Gone(self.log.clone())
    }
}

/// Who listens at the other end; `None` where the system does not tell.
fn peer(stream: &UnixStream) -> Option<u32> {
    #[cfg(not(target_os = "linux"))]
    {
        let _ = stream;
        None
    }
    #[cfg(target_os = "linux")]
    {
        let peer = rustix::net::sockopt::socket_peercred(stream).ok()?;
        Some(peer.pid.as_raw_nonzero().get().unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_holder_that_says_nothing_is_silent_and_not_absent() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::new(dir.path());
        home.make().expect("home");
        let lock = home.lock().expect("lock").expect("ours");
        let _listener = home.listen(&lock).expect("socket");
        let found = Client::connect_within(&home, Duration::from_millis(20));
        assert!(matches!(found, Err(ClientError::Silent(..))));
    }

    /// A holder that answers each greeting with its own protocol, serves it, and hangs up on others.
    fn holder_of(protocol: u32, listener: UnixListener) -> thread::JoinHandle<Vec<u32>> {
        thread::spawn(move || {
            let mut offered = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.expect("a client");
                let Ok(Some(greeting)) = protocol::receive::<Greeting>(&mut stream) else { return offered };
                offered.push(greeting.protocol);
                protocol::send(&mut stream, &Greeting { protocol, build: "0.0.9".into() }).expect("greeted");
                if greeting.protocol != protocol {
                    continue;
                }
                while let Ok(Some(request)) = protocol::receive::<Request>(&mut stream) {
                    assert!(request.since() <= protocol, "{request:?} breaks the connection of such a holder");
                    protocol::send(&mut stream, &Reply::Done).expect("answered");
                }
                return offered;
            }
            offered
        })
    }

    fn listening() -> (tempfile::TempDir, Home, crate::home::HomeLock, UnixListener) {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::new(dir.path());
        home.make().expect("home");
        let lock = home.lock().expect("lock").expect("ours");
        let listener = home.listen(&lock).expect("socket");
        (dir, home, lock, listener)
    }

    #[test]
    fn a_holder_that_is_older_by_one_is_spoken_to_and_asked_for_nothing_new() {
        let (_dir, home, _lock, listener) = listening();
        let holder = holder_of(PROTOCOL_MIN, listener);
        let mut client = Client::connect(&home).expect("spoken to").expect("a holder");
        assert_eq!(client.ask(&Request::Status).expect("an answer"), Reply::Done);
        let error = client.ask(&Request::Places).expect_err("it has no such request").to_string();
        assert!(error.contains("version 0.0.9, which cannot do this"), "{error}");
        // The connection is as good as before.
        assert_eq!(client.ask(&Request::Status).expect("an answer"), Reply::Done);
        drop(client);
        assert_eq!(holder.join().expect("a holder"), [PROTOCOL, PROTOCOL_MIN]);
    }

    #[test]
    fn a_holder_that_nobody_speaks_with_any_more_is_named() {
        for protocol in [PROTOCOL_MIN - 1, PROTOCOL + 1] {
            let (_dir, home, _lock, listener) = listening();
            let holder = holder_of(protocol, listener);
            let error = Client::connect(&home).err().expect("another protocol").to_string();
            assert!(error.contains(&format!("0.0.9 and speaks protocol {protocol}")), "{error}");
            // Let it go.
            drop(UnixStream::connect(home.socket()));
            assert_eq!(holder.join().expect("a holder"), [PROTOCOL]);
        }
    }

    #[test]
    fn a_holder_answers_with_the_smaller_protocol() {
        for (theirs, answer, is_spoken) in [
            (PROTOCOL_MIN - 1, PROTOCOL, false),
            (PROTOCOL_MIN, PROTOCOL_MIN, true),
            (PROTOCOL, PROTOCOL, true),
            (PROTOCOL + 1, PROTOCOL, true),
        ] {
            let greeting = Greeting { protocol: theirs, build: "b".into() };
            assert_eq!((greeting.answer().protocol, greeting.is_spoken()), (answer, is_spoken), "{theirs}");
        }
    }
}
