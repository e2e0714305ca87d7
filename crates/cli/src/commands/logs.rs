//! `logs`: what tasks printed, merged in the order of time, or of one node.
//! It must never need a holder to read what is there.

use super::nodes;
use crate::exit_codes::{Done, Fault};
use crate::render::plain::{plain, with_colors};
use crate::runs::{Heard, Runs, held};
use crate::wire::Place;
use artifacts::log::{Reader, Record, Stream, merge_from};
use clap::Args;
use model::event::Recorded;
use model::{AttemptKey, Event, NodeId, RunId, Time};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;
use store::LogId;
use views::history::AttemptView;
use views::{History, NodeView};

/// How often the logs are looked at while we follow.
const LOOK: Duration = Duration::from_millis(100);

/// Print what the tasks of a run printed, in the order of time
#[derive(Args)]
#[command(before_help = "Example: towpath logs @ train -f")]
pub struct LogsArgs {
    /// Name, id, unique prefix; @ is the latest, @2 the one before
    #[arg(value_name = "RUN", default_value = "@")]
    run: String,
    /// Only this node (and what is below it)
    #[arg(value_name = "NODE")]
    node: Option<String>,
    /// Go on until the run ends
    #[arg(short, long)]
    follow: bool,
    /// Print the time of each line
    #[arg(short, long)]
    timestamps: bool,
}

pub fn run(args: &LogsArgs, place: &Place) -> Done {
    let runs = Runs::open(place)?;
    let found = runs.find(&args.run)?;
    let history = runs.history(&found.id)?;
    if args.follow && history.ended_at.is_none() {
        return follow(args, place, &runs, &found.id, history);
    }
    let top = args.node.as_deref().map(|name| nodes::find(&history, name)).transpose()?;
    let leaves = nodes::leaves(&history, top);
    let (mut names, mut readers) = (Vec::new(), Vec::new());
    for node in &leaves {
        for attempt in &node.attempts {
            names.push(&*node.name);
            readers.push((begins(node, attempt), open(place, &history, node.id, attempt.n)?));
        }
    }
    let single = leaves.len() == 1 && args.node.is_some();
    let mut printer =
        Printer::new(args.timestamps, io::BufWriter::new(io::stdout().lock()), io::stdout().is_terminal());
    for record in merge_from(readers) {
        let (index, record) = record?;
        printer.print(index, (!single).then_some(names[index]), &record)?;
    }
    printer.out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn open(place: &Place, history: &History, node: NodeId, n: u32) -> Result<Reader, Fault> {
    let record = history.record.as_deref().ok_or_else(|| Fault::machine("the run has no events yet"))?;
    Ok(Reader::open(&place.home.executor().log(&AttemptKey { run: record.id.clone(), node, n })))
}

/// No line of an attempt is older. The executor tells when it began with its end; what the holder recorded before is later.
fn begins(node: &NodeView, attempt: &AttemptView) -> Time {
    attempt.started_at.filter(|_| attempt.ended_at.is_some()).map_or(node.added_at, |at| Time(at.0 - Time::SECOND_US))
}

/// Writes records as lines.
struct Printer<W> {
    out: W,
    timestamps: bool,
    terminal: bool,
    /// The log and stream whose line is not yet at its end.
    middle: Option<(usize, Stream)>,
}

impl<W: Write> Printer<W> {
    fn new(timestamps: bool, out: W, terminal: bool) -> Self {
        Self { out, timestamps, terminal, middle: None }
    }

    /// `index`: of the log. `name`: what stands before its lines.
    fn print(&mut self, index: usize, name: Option<&str>, record: &Record) -> io::Result<()> {
        let goes_on = self.middle == Some((index, record.stream));
        if self.middle.take().is_some() && !goes_on {
            self.out.write_all(b"\n")?;
        }
        if !goes_on {
            self.lead(name, record)?;
        }
        if self.terminal {
            let text = record.text.strip_suffix(b"\r").unwrap_or(&record.text);
            self.out.write_all(with_colors(&String::from_utf8_lossy(text)).as_bytes())?;
        } else {
            self.out.write_all(&record.text)?;
        }
        if record.goes_on {
            self.middle = Some((index, record.stream));
            return Ok(());
        }
        self.out.write_all(b"\n")
    }

    fn lead(&mut self, name: Option<&str>, record: &Record) -> io::Result<()> {
        if self.timestamps {
            write!(self.out, "{} ", views::stamp::rfc3339(record.time))?;
        }
        if let Some(name) = name {
            write!(self.out, "{}: ", plain(name))?;
        }
        if record.stream == Stream::Note {
            self.out.write_all(b"[towpath] ")?;
        }
        Ok(())
    }
}

/// The logs that may still grow, and what of the history was looked at already.
#[derive(Default)]
struct Following {
    /// What is asked for: the whole run, or a node that has to come into being.
    top: Option<NodeId>,
    /// So many nodes were looked through for it.
    searched: usize,
    /// For each node seen: it is asked for.
    inside: Vec<bool>,
    /// Leaves among those.
    leaves: usize,
    /// Node, attempt, and its log.
    open: Vec<(NodeId, u32, Reader)>,
}

impl Following {
    /// Takes in the nodes that are new, and the attempts that were new with them (when it begins) or in `events`.
    fn update(&mut self, args: &LogsArgs, place: &Place, history: &History, events: &[Recorded]) -> Result<(), Fault> {
        let known = self.inside.len();
        if let (Some(name), None) = (&args.node, self.top) {
            if self.searched < history.nodes.len() {
                self.searched = history.nodes.len();
                self.top = nodes::find(history, name).ok().map(|node| node.id);
            }
            if self.top.is_none() {
                return Ok(());
            }
        }
        for node in history.nodes.iter().skip(known) {
            let above = history.container(node).is_some_and(|id| self.inside[id.index()]);
            self.inside.push(args.node.is_none() || above || self.top == Some(node.id));
            if self.inside[node.id.index()] && node.is_leaf() {
                self.leaves += 1;
                for attempt in node.attempts.iter().filter(|attempt| attempt.started_at.is_some()) {
                    self.open.push((node.id, attempt.n, open(place, history, node.id, attempt.n)?));
                }
            }
        }
        for recorded in events {
            let (node, n) = match &recorded.event {
                Event::AttemptStarted { node, n, .. } => (*node, *n),
                // Its start was never recorded.
                Event::AttemptEnded(ended) if ended.started_at.is_some() => (ended.node, ended.n),
                _ => continue,
            };
            let is_open = || self.open.iter().any(|(id, number, _)| (*id, *number) == (node, n));
            if node.index() < known && self.inside[node.index()] && !is_open() {
                self.open.push((node, n, open(place, history, node, n)?));
            }
        }
        Ok(())
    }

    /// Prints what is new, in the order of time, and lets go of logs whose attempts had ended before.
    fn print(&mut self, args: &LogsArgs, history: &History) -> Result<(), Fault> {
        let single = args.node.is_some() && self.leaves == 1;
        let keys: Vec<(NodeId, bool)> = self.open.iter().map(|(id, n, _)| (*id, has_ended(history, *id, *n))).collect();
        let mut printer =
            Printer::new(args.timestamps, io::BufWriter::new(io::stdout().lock()), io::stdout().is_terminal());
        let readers = self.open.iter_mut().map(|(id, n, reader)| {
            let node = history.node(*id);
            let attempt = node.attempts.iter().rev().find(|attempt| attempt.n == *n);
            (attempt.map_or(node.added_at, |attempt| begins(node, attempt)), reader)
        });
        for record in merge_from(readers.collect()) {
            let (index, record) = record?;
            let name = &*history.node(keys[index].0).name;
            printer.print(index, (!single).then_some(name), &record)?;
        }
        printer.out.flush()?;
        let mut ended = keys.iter().map(|(_, ended)| *ended);
        self.open.retain(|_| !ended.next().unwrap_or(false));
        Ok(())
    }
}

fn has_ended(history: &History, node: NodeId, n: u32) -> bool {
    history.node(node).attempts.iter().any(|attempt| attempt.n == n && attempt.ended_at.is_some())
}

/// Prints as it comes until the run ends. An interrupted run is followed as long as somebody may resume it.
fn follow(args: &LogsArgs, place: &Place, runs: &Runs, run: &RunId, mut history: History) -> Done {
    let mut following = Following::default();
    let mut events = Vec::new();
    loop {
        // What was written before the end is read after the end was seen.
        let ended = history.ended_at.is_some();
        following.update(args, place, &history, &events)?;
        following.print(args, &history)?;
        if ended {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(LOOK);
        let log = runs.reader.read_log(&LogId::run(run.0.clone()), history.events, usize::MAX)?;
        events = driver::encode::decode(&run.0, history.events, &log)?;
        events.iter().for_each(|event| history.apply(event));
        if history.ended_at.is_none() && !may_write(place, run) {
            writeln!(io::stderr(), "the run is interrupted; `towpath resume {}` goes on", plain(history.name()))?;
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Whether a living holder has the run, resumed or not: what still runs goes on writing.
fn may_write(place: &Place, run: &RunId) -> bool {
    match held(place) {
        Heard::Runs(runs) => runs.iter().any(|held| held.run == *run),
        Heard::Nobody => false,
        Heard::Silence => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(terminal: bool, records: &[(usize, &str, bool)]) -> String {
        let mut printer = Printer::new(false, Vec::new(), terminal);
        for (index, text, goes_on) in records {
            let record =
                Record { time: Time(0), stream: Stream::Out, text: text.as_bytes().to_vec(), goes_on: *goes_on };
            printer.print(*index, Some(["a", "b\x1b[2J"][*index]), &record).expect("written");
        }
        String::from_utf8(printer.out).expect("UTF-8")
    }

    #[test]
    fn a_terminal_gets_colours_only_and_a_pipe_gets_all() {
        let lines = [(0, "\x1b[31mx\x1b[2J\r", false), (1, "y", false)];
        assert_eq!(printed(true, &lines), "a: \x1b[31mx\\x1b[2J\x1b[0m\nb\\x1b[2J: y\n");
        assert_eq!(printed(false, &lines), "a: \x1b[31mx\x1b[2J\r\nb\\x1b[2J: y\n");
    }

    #[test]
    fn a_line_in_pieces_is_one_line() {
        assert_eq!(
            printed(false, &[(0, "x", true), (0, "y", false), (0, "z", true), (1, "w", false)]),
            "a: xy\na: z\nb\\x1b[2J: w\n"
        );
    }
}
