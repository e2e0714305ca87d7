//! What `run` and `resume` show while a run goes on: a tree that is drawn again in place, or plain lines.
//! It must never draw more often than people can see.

use super::plain::{plain, plain_lines, sgr};
use super::time::{clock, duration};
use super::tree::{Detail, Index, Look, lines, paint, spent};
use model::event::Recorded;
use model::{Event, Exit, NodeId, Phase, Time};
use rustix::termios::tcgetwinsize;
use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};
use views::{History, Names};

/// Between two drawings.
pub const FRAME: Duration = Duration::from_millis(100);

/// Lines of the drawing that stays, before what is done is only counted.
const LAST_LINES_MAX: usize = 100;

/// Which stream it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Out,
    /// Where standard output belongs to `-o`.
    Err,
}

/// A person's view of a run that goes on.
pub struct Progress {
    to: To,
    /// In place, or plain lines.
    live: bool,
    color: bool,
    index: Index,
    touched: BTreeSet<NodeId>,
    /// Lines of the last drawing.
    drawn: usize,
    drawn_at: Option<Instant>,
    stale: bool,
    /// Nobody reads any more (`towpath run … | head`): nothing is printed, and the run is followed to its end.
    mute: bool,
    /// Plain lines that are not written yet.
    lines: String,
}

impl Progress {
    pub fn new(to: To) -> Self {
        let terminal = match to {
            To::Out => io::stdout().is_terminal(),
            To::Err => io::stderr().is_terminal(),
        };
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            to,
            live: terminal && !dumb,
            color: terminal && !dumb && colors_wanted(),
            index: Index::default(),
            touched: BTreeSet::new(),
            drawn: 0,
            drawn_at: None,
            stale: true,
            mute: false,
            lines: String::new(),
        }
    }

    /// Takes in what happened before anybody looked.
    pub fn begin(&mut self, history: &History) {
        self.index.update(history, []);
    }

    /// Something happened; the history has it already.
    pub fn event(&mut self, history: &History, recorded: &Recorded) -> io::Result<()> {
        self.stale = true;
        if self.live {
            if let Event::AttemptStarted { node, .. } | Event::AttemptAdded { node, .. } = recorded.event {
                self.touched.insert(node);
            }
            if let Event::NodeEnded(ended) = &recorded.event {
                self.touched.insert(ended.node);
            }
            return Ok(());
        }
        let Some(text) = told(history, recorded) else { return Ok(()) };
        // Written with the next tick: thousands of these come at once.
        self.lines.push_str(&format!("{} {}\n", clock(recorded.at), plain(&text)));
        Ok(())
    }

    /// A line that stays.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        let text = plain_lines(text);
        let line = if self.live { paint(self.color, "2", &text) } else { text.into_owned() };
        let erase = self.erase();
        self.stale = true;
        self.write_lines()?;
        self.write(&format!("{erase}{line}\n"))
    }

    /// Draws if it is time. Call it at least every `FRAME`.
    pub fn tick(&mut self, history: &History, now: Time) -> io::Result<()> {
        self.write_lines()?;
        let due = self.drawn_at.is_none_or(|at| at.elapsed() >= if self.stale { FRAME } else { FRAME * 5 });
        if self.live && due { self.draw(history, now, false) } else { Ok(()) }
    }

    /// The last drawing, which stays.
    pub fn end(&mut self, history: &History, now: Time) -> io::Result<()> {
        self.write_lines()?;
        if self.live {
            self.draw(history, now, true)?;
            self.drawn = 0;
        }
        Ok(())
    }

    fn draw(&mut self, history: &History, now: Time, last: bool) -> io::Result<()> {
        self.index.update(history, std::mem::take(&mut self.touched));
        let (width, height) = self.size();
        let mut shown = Vec::new();
        // What stays at the end may be longer than the screen.
        let room = if last { LAST_LINES_MAX } else { height };
        for detail in [Detail::Loops, Detail::Closed, Detail::Open] {
            shown = lines(history, &self.index, Look { detail, color: self.color, used: false, now });
            if shown.len() < room {
                break;
            }
        }
        if shown.len() >= room && !last {
            let hidden = shown.len() - (height - 2);
            shown.truncate(height - 2);
            shown.push(format!("… {hidden} more lines: towpath get {}", history.name()));
        }
        let mut frame = self.erase();
        for line in &shown {
            frame.push_str(&cut(line, width));
            frame.push('\n');
        }
        self.drawn = shown.len();
        self.drawn_at = Some(Instant::now());
        self.stale = false;
        self.write(&frame)
    }

    /// What takes the last drawing away.
    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\r\x1b[J"),
        }
    }

    fn size(&self) -> (usize, usize) {
        let size = match self.to {
            To::Out => tcgetwinsize(io::stdout()),
            To::Err => tcgetwinsize(io::stderr()),
        };
        let (columns, rows) = size.map_or((80, 24), |size| (size.ws_col, size.ws_row));
        (usize::from(if columns == 0 { 80 } else { columns }), if rows == 0 { 24 } else { usize::from(rows).max(5) })
    }

    fn write_lines(&mut self) -> io::Result<()> {
        let lines = std::mem::take(&mut self.lines);
        if lines.is_empty() { Ok(()) } else { self.write(&lines) }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if self.mute {
            return Ok(());
        }
        let written = match self.to {
            To::Out => {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            }
            To::Err => io::stderr().lock().write_all(text.as_bytes()),
        };
        self.mute = written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        if self.mute { Ok(()) } else { written }
    }
}

/// `NO_COLOR` (no-color.org) is honoured.
pub fn colors_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// One line for what happened to a leaf or the run.
fn told(history: &History, recorded: &Recorded) -> Option<String> {
    match &recorded.event {
        Event::AttemptStarted { node, .. } => Some(format!("{} Running", history.node(*node).name)),
        Event::AttemptEnded(ended) => match &ended.exit {
            Exit::Lost(why) => Some(format!("{} lost: {why}", history.node(ended.node).name)),
            _ => None,
        },
        Event::NodeEnded(ended) => {
            let node = history.node(ended.node);
            // The end of the run says what the end of its first node says.
            if ended.node == NodeId::ROOT || (!node.is_leaf() && node.phase != Phase::Error) {
                return None;
            }
            let spent = spent(node, recorded.at).map_or(String::new(), |spent| format!(" {spent}"));
            let message = Names::of(history).tell(&node.message);
            let message = in_brackets(&message);
            Some(format!("{} {}{spent}{message}", node.name, node.phase.as_str()))
        }
        Event::NodeAdded(added) if added.phase.is_fulfilled() && added.node != NodeId::ROOT => {
            let message = if added.message.is_empty() { String::new() } else { format!(" ({})", added.message) };
            Some(format!("{} {}{message}", added.name, added.phase.as_str()))
        }
        Event::RetryDelayed { node, message, .. } => Some(format!("{} {message}", history.node(*node).name)),
        Event::ShutdownRequested { strategy, by } => {
            Some(format!("{} {} requested by {by}", history.name(), strategy.as_str()))
        }
        Event::RunResumed { by } => Some(format!("{} resumed by {by}", history.name())),
        Event::RunEnded(end) => {
            let spent = history
                .started_at
                .map_or(String::new(), |started| format!(" {}", duration(recorded.at.since_us(started))));
            let message = Names::of(history).tell(&end.message);
            let message = in_brackets(&message);
            Some(format!("{} {}{spent}{message}", history.name(), end.phase.as_str()))
        }
        _ => None,
    }
}

/// The first line of a message; the report at the end has the others.
fn in_brackets(message: &str) -> String {
    match message.split_once('\n') {
        _ if message.is_empty() => String::new(),
        Some((first, _)) => format!(" ({} …)", first.trim_end_matches(':')),
        None => format!(" ({message})"),
    }
}

/// Cuts a line to so many columns; colours have no width, and no other escape sequence comes through.
fn cut(line: &str, width: usize) -> String {
    let (mut out, mut columns, mut colored, mut rest) = (String::new(), 0, false, line);
    while let Some(c) = rest.chars().next() {
        if let Some(length) = sgr(rest) {
            out.push_str(&rest[..length]);
            rest = &rest[length..];
            colored = true;
            continue;
        }
        if columns + 1 >= width {
            out.push('…');
            if colored {
                out.push_str("\x1b[0m");
            }
            return out;
        }
        columns += 1;
        out.push(if c.is_control() { ' ' } else { c });
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// The tree as `get` prints it.
pub fn whole(history: &History, detail: Detail, color: bool, now: Time) -> Vec<String> {
    let mut index = Index::default();
    index.update(history, []);
    lines(history, &index, Look { detail, color, used: true, now })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_by_what_is_seen() {
        assert_eq!(cut("abc", 4), "abc");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("\x1b[32mabcdef\x1b[0m", 4), "\x1b[32mabc…\x1b[0m");
        assert_eq!(cut("a\nb", 10), "a b");
        assert_eq!(cut("a\x1b]0;x\x07b\x1b[2J\x1b[31", 30), "a ]0;x b [2J [31");
    }
}
