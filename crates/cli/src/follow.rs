//! Follows a run to its end: what happens is shown, Ctrl-C stops the run, and the end becomes an exit code.
//! It must never stop a run because nobody looks any more: a closed terminal only detaches.

use crate::exit_codes::{Done, FAILED, Fault, INTERRUPTED, MACHINE, unread};
use crate::render::progress::{FRAME, Progress, To, colors_wanted};
use crate::render::{summary, yaml};
use crate::wire::{Place, silence};
use driver::client::SILENCE;
use driver::clock::now;
use driver::protocol::{Reply, Request};
use driver::{Client, ClientError};
use model::input::Shutdown;
use model::{Event, RunId, RunPhase};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use views::History;

/// What is printed on standard output at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// The Workflow object with its status.
    Json,
    Yaml,
}

enum Heard {
    Holder(Reply),
    /// The holder hung up.
    Silence(Option<ClientError>),
    CtrlC,
    /// The holder of this process number does not answer.
    Stopped(u32),
}

/// What is followed.
pub struct Followed<'a> {
    pub place: &'a Place,
    pub run: RunId,
    pub output: Option<Output>,
    /// How to run it again, for whoever stopped it.
    pub again: String,
}

impl Followed<'_> {
    /// Follows from the end of `history` on. The client is connected.
    pub fn to_the_end(&self, client: Client, ctrl_c: CtrlC, mut history: History) -> Done {
        let mut progress = Progress::new(if self.output.is_some() { To::Err } else { To::Out });
        progress.begin(&history);
        let heard = self.listen(client, ctrl_c, history.events)?;
        let mut stops = 0;
        while history.ended_at.is_none() {
            progress.tick(&history, now())?;
            match heard.recv_timeout(FRAME) {
                Ok(Heard::Holder(Reply::Events { first, events })) => {
                    let known = history.events.saturating_sub(first) as usize;
                    for recorded in events.iter().skip(known) {
                        history.apply(recorded);
                        if let Event::RunCreated(record) = &recorded.event {
                            for notice in &record.plan.notices {
                                progress.note(&format!("notice: {notice}"))?;
                            }
                        }
                        progress.event(&history, recorded)?;
                    }
                }
                Ok(Heard::Holder(Reply::Note(text))) => progress.note(&text)?,
                Ok(Heard::Holder(Reply::Store(why))) => return Err(Fault::machine(why)),
                Ok(Heard::Holder(_)) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Heard::Stopped(holder)) => progress.note(&silence(holder))?,
                Ok(Heard::CtrlC) => {
                    stops += 1;
                    if stops > 1 {
                        return self.leave(&history, &mut progress);
                    }
                    progress.note("stopping the run: what runs gets SIGTERM and 30 s; Ctrl-C again ends it at once")?;
                    if let Err(fault) = self.shut_down(Shutdown::Stop) {
                        stops = 0;
                        progress.note(&format!("the run could not be stopped: {}", fault.text))?;
                    }
                }
                Ok(Heard::Silence(why)) => return Err(self.deserted(&history, why)),
                Err(RecvTimeoutError::Disconnected) => return Err(self.deserted(&history, None)),
            }
        }
        progress.end(&history, now())?;
        self.report(&history, stops > 0)
    }

    fn listen(&self, mut client: Client, ctrl_c: CtrlC, from: u64) -> Result<Receiver<Heard>, Fault> {
        let (sender, heard) = channel();
        ctrl_c.tell(sender.clone())?;
        client.watch(&self.run, from)?;
        if let Some(holder) = client.holder() {
            self.look_after(holder, sender.clone())?;
        }
        let reading = move || {
            loop {
                let word = match client.hear() {
                    Ok(Some(reply)) => Heard::Holder(reply),
                    Ok(None) => Heard::Silence(None),
                    Err(error) => Heard::Silence(Some(error)),
                };
                let last = matches!(word, Heard::Silence(_));
                if sender.send(word).is_err() || last {
                    return;
                }
            }
        };
        thread::Builder::new().name("watch".into()).spawn(reading)?;
        Ok(heard)
    }

    /// A run in which nothing happens looks like a holder that is stopped: it is asked now and then, until it did not answer once.
    fn look_after(&self, holder: u32, sender: Sender<Heard>) -> Result<(), Fault> {
        let home = self.place.home.clone();
        let looking = move || {
            loop {
                thread::sleep(SILENCE);
                if let Err(ClientError::Silent(..)) = Client::connect_within(&home, SILENCE) {
                    let _ = sender.send(Heard::Stopped(holder));
                    return;
                }
            }
        };
        thread::Builder::new().name("look-after".into()).spawn(looking)?;
        Ok(())
    }

    fn shut_down(&self, strategy: Shutdown) -> Result<(), Fault> {
        let mut client = self.place.client()?;
        let request = Request::Shutdown { run: self.run.clone(), strategy, by: crate::commands::by() };
        match client.ask(&request)? {
            Reply::Store(why) => Err(Fault::store(&why)),
            // It ended, or is being shut down, already.
            _ => Ok(()),
        }
    }

    /// Ctrl-C twice: the run is terminated, and we do not wait for it.
    fn leave(&self, history: &History, progress: &mut Progress) -> Done {
        self.shut_down(Shutdown::Terminate)?;
        progress.note(&format!("terminated; {}", self.how_to_go_on(history.name())))?;
        Ok(ExitCode::from(INTERRUPTED))
    }

    fn deserted(&self, history: &History, why: Option<ClientError>) -> Fault {
        let why = why.map_or_else(|| "the holder of this home ended".to_string(), |error| error.to_string());
        let log = self.place.home.holder_log();
        let name = if history.name().is_empty() { &self.run.0 } else { history.name() };
        Fault::machine(format!(
            "{why} ({}); the run is interrupted, nothing of it is lost: `towpath resume {name}` goes on",
            log.display()
        ))
    }

    fn how_to_go_on(&self, name: &str) -> String {
        format!("`{}` runs it again, `towpath get {name}` shows what was done", self.again)
    }

    /// The end: failures on standard error, the object on standard output.
    fn report(&self, history: &History, stopped: bool) -> Done {
        let color = io::stderr().is_terminal() && colors_wanted();
        let failures = summary::failures(&self.place.home, history, color, now());
        if !failures.is_empty() {
            unread(io::stderr().write_all(failures.as_bytes()))?;
        }
        if stopped {
            unread(writeln!(io::stderr(), "stopped; {}", self.how_to_go_on(history.name())))?;
        }
        if let Some(output) = self.output {
            print_object(history, output)?;
        }
        Ok(if stopped { ExitCode::from(INTERRUPTED) } else { code(history) })
    }
}

/// The Workflow object on standard output, if anybody reads it. JSON is written as it is made: it may be long.
pub fn print_object(history: &History, output: Output) -> Result<(), Fault> {
    let object = views::workflow(history).ok_or_else(|| Fault::machine("the run has no events yet"))?;
    let mut out = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let written = match output {
        Output::Json => serde_json::to_writer_pretty(&mut out, &object).map_err(io::Error::from),
        Output::Yaml => {
            let value = serde_json::to_value(&object).map_err(Fault::machine)?;
            out.write_all(yaml::to_yaml(&value).trim_end_matches('\n').as_bytes())
        }
    };
    unread(written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()))?;
    Ok(())
}

/// The exit code of a run that ended.
pub fn code(history: &History) -> ExitCode {
    match history.phase {
        Some(RunPhase::Succeeded) => ExitCode::SUCCESS,
        Some(RunPhase::Failed | RunPhase::Error) => ExitCode::from(FAILED),
        Some(RunPhase::Pending | RunPhase::Running) | None => ExitCode::from(MACHINE),
    }
}

/// Ctrl-C from here on: a byte for each. SIGHUP keeps its meaning: it ends us, and not the run.
pub struct CtrlC(UnixStream);

impl CtrlC {
    /// Call it before the run is submitted: a press in between must not leave it running unwatched.
    pub fn listen() -> Result<Self, Fault> {
        let (read, write) = UnixStream::pair()?;
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGINT, write)?;
        Ok(Self(read))
    }

    fn tell(mut self, sender: Sender<Heard>) -> Result<(), Fault> {
        let waiting = move || {
            let mut byte = [0];
            while self.0.read_exact(&mut byte).is_ok() && sender.send(Heard::CtrlC).is_ok() {}
        };
        thread::Builder::new().name("ctrl-c".into()).spawn(waiting)?;
        Ok(())
    }
}
