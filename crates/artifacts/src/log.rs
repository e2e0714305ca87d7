//! The captured output of one attempt: append-only segment files, written by who owns the process, read by anybody.
//! It must never know what the lines mean, and never read a clock: times come with the lines.
//!
//! A log at `BASE` is the file `BASE` (the head) and, where the output is larger than half its cap, `BASE.1`, `BASE.2`, …
//! (the tail), of which the last two are kept. A segment is text:
//!
//! ```text
//! towpath-log 1 SKIPPED                header; SKIPPED: bytes of output in all tail segments before this one
//! TIME o TEXT                          a line of standard output; TIME in microseconds since 1970
//! TIME e TEXT                          a line of standard error
//! TIME O TEXT, TIME E TEXT             a piece of such a line, which goes on in the stream's next record
//! TIME ! BYTES                         so many bytes of output could not be written (a full disk)
//! TIME >                               end of this segment: the next one goes on
//! ```
//! TEXT is the bytes of the line without its newline, whatever they are.

mod reader;
mod writer;

pub use reader::{Merge, Reader, merge, merge_from, tail};
pub use writer::Writer;

use model::Time;
use std::path::{Path, PathBuf};

/// Longer lines are written as several records.
pub const PIECE_BYTES_MAX: usize = 64 << 10;

const MAGIC: &str = "towpath-log";
const VERSION: u32 = 1;

/// A line, or a piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub time: Time,
    pub stream: Stream,
    /// Without the newline.
    pub text: Vec<u8>,
    /// The line goes on in the next record of this stream.
    pub goes_on: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    Out,
    Err,
    /// Ours: what is missing at this place, in words.
    Note,
}

/// One line of a segment.
enum Line {
    Record(Record),
    End,
}

fn segment_path(base: &Path, segment: u32) -> PathBuf {
    if segment == 0 {
        return base.to_owned();
    }
    let mut name = base.as_os_str().to_owned();
    name.push(format!(".{segment}"));
    name.into()
}

fn header(skipped: u64) -> String {
    format!("{MAGIC} {VERSION} {skipped}\n")
}

fn letter(stream: Stream, goes_on: bool) -> char {
    match (stream, goes_on) {
        (Stream::Out, false) => 'o',
        (Stream::Out, true) => 'O',
        (Stream::Err, false) => 'e',
        (Stream::Err, true) => 'E',
        (Stream::Note, _) => '!',
    }
}

/// Reads a line without its newline. A damaged one becomes a note that stands at `time`.
fn parse_line(line: &[u8], time: Time) -> Line {
    let damaged = || {
        let start = &line[..line.len().min(80)];
        let text = format!("damaged record: {}", String::from_utf8_lossy(start)).into_bytes();
        Line::Record(Record { time, stream: Stream::Note, text, goes_on: false })
    };
    let mut fields = line.splitn(3, |byte| *byte == b' ');
    let time = fields.next().and_then(|field| str::from_utf8(field).ok()?.parse().ok());
    let (Some(time), Some(letter)) = (time, fields.next()) else { return damaged() };
    let text = fields.next().unwrap_or_default();
    let (stream, goes_on) = match letter {
        b"o" => (Stream::Out, false),
        b"O" => (Stream::Out, true),
        b"e" => (Stream::Err, false),
        b"E" => (Stream::Err, true),
        b"!" => {
            let text = format!("{} bytes of output could not be written", String::from_utf8_lossy(text)).into_bytes();
            return Line::Record(Record { time: Time(time), stream: Stream::Note, text, goes_on: false });
        }
        b">" => return Line::End,
        _ => return damaged(),
    };
    Line::Record(Record { time: Time(time), stream, text: text.to_vec(), goes_on })
}
