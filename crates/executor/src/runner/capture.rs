//! What a task writes: lines with their times into its log, the last bytes of standard output into a file.
//! It must never hold more than a few records of a stream in memory, nor stop a task because a disk is full.

use artifacts::log::{PIECE_BYTES_MAX, Stream, Writer};
use model::Time;
use model::limits::RESULT_BYTES_MAX;
use std::path::PathBuf;

/// What stands in a log for a text that must not be there.
const MASK: &[u8] = b"***";

/// The output of one attempt.
pub struct Capture {
    log: PathBuf,
    bytes_max: u64,
    /// Made with the first output: a silent task has no log.
    writer: Option<Writer>,
    /// Beginnings of lines: of standard output, of standard error.
    open: [Vec<u8>; 2],
    masked: Vec<Vec<u8>>,
    /// Empty: nobody wants it.
    stdout: PathBuf,
    tail: Vec<u8>,
    problems: Vec<String>,
}

impl Capture {
    pub fn new(log: PathBuf, stdout: PathBuf, bytes_max: u64, masked: &[String]) -> Self {
        // Lines are masked one by one, so a text of several lines is masked line by line.
        let mut masked: Vec<Vec<u8>> = masked.iter().flat_map(|m| m.lines()).map(|l| l.as_bytes().to_vec()).collect();
        masked.retain(|text| !text.is_empty());
        masked.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let (open, tail, problems) = (<[Vec<u8>; 2]>::default(), Vec::new(), Vec::new());
        Self { log, bytes_max, writer: None, open, masked, stdout, tail, problems }
    }

    /// Takes what was read from a stream (`Out` or `Err`).
    pub fn push(&mut self, now: Time, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Out && !self.stdout.as_os_str().is_empty() {
            self.keep_tail(bytes);
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.part(now, stream, part);
        }
    }

    /// Hands to the system what readers should see.
    pub fn flush(&mut self, now: Time) {
        if let Some(writer) = &mut self.writer {
            writer.flush(now);
        }
    }

    /// A line of ours in the task's standard error.
    pub fn say(&mut self, now: Time, text: &str) {
        for line in text.lines() {
            self.write(now, Stream::Err, line.as_bytes(), false);
        }
    }

    /// Ends the last lines and writes the file with standard output. Answers what could not be written.
    pub fn finish(mut self, now: Time) -> Vec<String> {
        for stream in [Stream::Out, Stream::Err] {
            let rest = std::mem::take(&mut self.open[index(stream)]);
            if !rest.is_empty() {
                self.write(now, stream, &rest, false);
            }
        }
        if let Some(writer) = self.writer.take()
            && let Err(error) = writer.finish(now)
        {
            self.problems.push(format!("the log lacks output: {error}"));
        }
        let tail = &self.tail[self.tail.len().saturating_sub(RESULT_BYTES_MAX)..];
        if !tail.is_empty()
            && let Err(error) = std::fs::write(&self.stdout, tail)
        {
            self.problems.push(format!("{}: {error}", self.stdout.display()));
        }
        self.problems
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(RESULT_BYTES_MAX)..]);
        if self.tail.len() > 2 * RESULT_BYTES_MAX {
            self.tail.drain(..self.tail.len() - RESULT_BYTES_MAX);
        }
    }

    fn part(&mut self, now: Time, stream: Stream, part: &[u8]) {
        let complete = part.ends_with(b"\n");
        if complete && self.open[index(stream)].is_empty() {
            self.write(now, stream, &part[..part.len() - 1], false);
            return;
        }
        let mut line = std::mem::take(&mut self.open[index(stream)]);
        line.extend_from_slice(part);
        if complete {
            line.pop();
            self.write(now, stream, &line, false);
            line.clear();
        } else if line.len() >= PIECE_BYTES_MAX {
            let cut = self.cut(&line);
            self.write(now, stream, &line[..cut], true);
            line.drain(..cut);
        }
        self.open[index(stream)] = line;
    }

    /// How much of an unfinished line can be written: a text to be masked must not be cut in two.
    fn cut(&self, line: &[u8]) -> usize {
        let longest = self.masked.first().map_or(0, Vec::len);
        let mut cut = line.len() - longest.saturating_sub(1).min(line.len());
        for text in &self.masked {
            let from = cut.saturating_sub(text.len());
            if let Some(at) = find(&line[from..], text).map(|at| from + at)
                && at < cut
            {
                cut = cut.max(at + text.len());
            }
        }
        cut
    }

    fn write(&mut self, now: Time, stream: Stream, text: &[u8], goes_on: bool) {
        if self.writer.is_none() && self.problems.is_empty() {
            match Writer::create(&self.log, self.bytes_max) {
                Ok(writer) => self.writer = Some(writer),
                Err(error) => self.problems.push(format!("there is no log: {error}")),
            }
        }
        let Some(writer) = &mut self.writer else { return };
        let masked;
        let text = match mask(text, &self.masked) {
            Some(other) => {
                masked = other;
                &masked[..]
            }
            None => text,
        };
        match goes_on {
            true => writer.piece(now, stream, text),
            false => writer.line(now, stream, text),
        }
    }
}

fn index(stream: Stream) -> usize {
    usize::from(stream != Stream::Out)
}

/// The text with each of `masked` replaced; `None` if there is none of them.
fn mask(text: &[u8], masked: &[Vec<u8>]) -> Option<Vec<u8>> {
    if masked.iter().all(|secret| find(text, secret).is_none()) {
        return None;
    }
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
    while !rest.is_empty() {
        match masked.iter().find(|secret| rest.starts_with(secret)) {
            Some(secret) => {
                out.extend_from_slice(MASK);
                rest = &rest[secret.len()..];
            }
            None => {
                out.push(rest[0]);
                rest = &rest[1..];
            }
        }
    }
    Some(out)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == first).map(|at| from + at) {
        if text[at..].starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifacts::log::Reader;

    fn capture(dir: &tempfile::TempDir, masked: &[&str]) -> Capture {
        let masked: Vec<String> = masked.iter().map(ToString::to_string).collect();
        Capture::new(dir.path().join("log"), dir.path().join("stdout"), 1 << 20, &masked)
    }

    fn lines(dir: &tempfile::TempDir) -> Vec<(Stream, String, bool)> {
        let records = Reader::open(&dir.path().join("log")).read_more().expect("log");
        records.into_iter().map(|r| (r.stream, String::from_utf8_lossy(&r.text).into_owned(), r.goes_on)).collect()
    }

    #[test]
    fn lines_are_put_together_by_stream() {
        let dir = tempfile::tempdir().expect("dir");
        let mut capture = capture(&dir, &[]);
        capture.push(Time(1), Stream::Out, b"one\ntw");
        capture.push(Time(2), Stream::Err, b"bad\n");
        capture.push(Time(3), Stream::Out, b"o\nend");
        assert_eq!(capture.finish(Time(4)), Vec::<String>::new());
        let line = |stream, text: &str| (stream, text.to_string(), false);
        let expected =
            [line(Stream::Out, "one"), line(Stream::Err, "bad"), line(Stream::Out, "two"), line(Stream::Out, "end")];
        assert_eq!(lines(&dir), expected);
        assert_eq!(std::fs::read(dir.path().join("stdout")).expect("stdout"), b"one\ntwo\nend");
    }

    #[test]
    fn a_silent_task_leaves_no_files() {
        let dir = tempfile::tempdir().expect("dir");
        capture(&dir, &[]).finish(Time(1));
        assert_eq!(std::fs::read_dir(dir.path()).expect("dir").count(), 0);
    }

    #[test]
    fn secrets_are_masked_even_across_reads_and_pieces() {
        let dir = tempfile::tempdir().expect("dir");
        let mut capture = capture(&dir, &["hunter2", "longer-secret"]);
        capture.push(Time(1), Stream::Out, b"a hunter2 b hun");
        capture.push(Time(1), Stream::Out, b"ter2\n");
        let mut long = vec![b'x'; PIECE_BYTES_MAX - 5];
        long.extend_from_slice(b"longer-secret and on");
        for piece in long.chunks(PIECE_BYTES_MAX) {
            capture.push(Time(2), Stream::Out, piece);
        }
        capture.finish(Time(3));
        let text: Vec<String> = lines(&dir).into_iter().map(|(_, text, _)| text).collect();
        assert_eq!(text[0], "a *** b ***");
        let rest = text[1..].concat();
        assert!(rest.ends_with("x*** and on"), "{}", &rest[rest.len() - 40..]);
    }

    #[test]
    fn a_line_without_end_stays_small_in_memory() {
        let dir = tempfile::tempdir().expect("dir");
        let mut capture = capture(&dir, &["secret"]);
        for _ in 0..400 {
            capture.push(Time(1), Stream::Out, &[0xfe; 10_000]);
            assert!(capture.open[0].len() <= PIECE_BYTES_MAX + 10_000);
            assert!(capture.tail.len() <= 2 * RESULT_BYTES_MAX + 10_000);
        }
        capture.finish(Time(2));
        assert_eq!(std::fs::metadata(dir.path().join("stdout")).expect("stdout").len(), RESULT_BYTES_MAX as u64);
    }
}
