//! Writes the log of one attempt. A full disk costs output, never the attempt: what cannot be written is counted, tried
//! again a second later, and told in the log.
//! It must never block on anything but the disk, nor keep more than a record's worth beyond its buffer.

use super::{PIECE_BYTES_MAX, Stream, header, letter, segment_path};
use crate::error::{ArtifactError, At};
use model::Time;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const BUFFER_BYTES: usize = 64 << 10;
/// How long after a failed write the next is tried.
const RETRY_US: i64 = Time::SECOND_US;

#[derive(Debug)]
pub struct Writer {
    base: PathBuf,
    bytes_max: u64,
    segment: Segment,
    /// Records not yet handed to the system.
    buffer: Vec<u8>,
    /// Bytes of output in `buffer`.
    buffered_text: u64,
    /// Bytes of output that were dropped and not yet told in the log.
    lost: u64,
    /// No write is tried before this time.
    retry_at: Option<Time>,
    problem: Option<ArtifactError>,
}

#[derive(Debug)]
struct Segment {
    file: File,
    number: u32,
    /// Length of the file up to the last whole write.
    written: u64,
    /// Bytes of output in it, if it is of the tail.
    text: u64,
    /// Bytes of output in all tail segments before it.
    skipped: u64,
    /// Its end line is written or buffered: the next record needs a new segment.
    ended: bool,
}

impl Writer {
    /// Begins a log at `base`, in the place of what was there. At most about `bytes_max` bytes are kept: the first half
    /// for good, and the last quarter at least.
    pub fn create(base: &Path, bytes_max: u64) -> Result<Self, ArtifactError> {
        remove_tail(base)?;
        let segment = Segment::create(base, 0, 0)?;
        Ok(Self {
            base: base.to_owned(),
            bytes_max,
            segment,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            buffered_text: 0,
            lost: 0,
            retry_at: None,
            problem: None,
        })
    }

    /// A whole line, with or without its newline.
    pub fn line(&mut self, time: Time, stream: Stream, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut pieces = line.chunks(PIECE_BYTES_MAX).peekable();
        if pieces.peek().is_none() {
            self.record(time, stream, b"", false);
        }
        while let Some(piece) = pieces.next() {
            self.record(time, stream, piece, pieces.peek().is_some());
        }
    }

    /// The first part of a line whose end has not been seen yet, for a line that is too long to wait for.
    pub fn piece(&mut self, time: Time, stream: Stream, piece: &[u8]) {
        for piece in piece.chunks(PIECE_BYTES_MAX) {
            self.record(time, stream, piece, true);
        }
    }

    /// Hands everything to the system, so that readers see it.
    pub fn flush(&mut self, now: Time) {
        if self.buffer.is_empty() {
            return;
        }
        match self.segment.write(&self.buffer) {
            Ok(()) => self.segment.text += self.buffered_text,
            Err(error) => {
                self.lost += self.buffered_text;
                self.fail(now, ArtifactError::io(segment_path(&self.base, self.segment.number), error));
            }
        }
        self.buffer.clear();
        self.buffered_text = 0;
    }

    /// Why output is being dropped just now, if it is.
    pub fn problem(&self) -> Option<&ArtifactError> {
        self.problem.as_ref()
    }

    /// Flushes at the end, and says if the log lacks something at its end.
    pub fn finish(mut self, now: Time) -> Result<(), ArtifactError> {
        if self.lost > 0 {
            // The last chance to tell what is missing.
            self.retry_at = None;
            self.ready(now, 0);
        }
        self.flush(now);
        self.problem.take().map_or(Ok(()), Err)
    }

    fn record(&mut self, time: Time, stream: Stream, text: &[u8], goes_on: bool) {
        let prefix = format!("{} {} ", time.0, letter(stream, goes_on));
        let bytes = prefix.len() + text.len() + 1;
        if !self.ready(time, bytes) {
            self.lost += text.len() as u64;
            return;
        }
        self.buffer.extend_from_slice(prefix.as_bytes());
        self.buffer.extend_from_slice(text);
        self.buffer.push(b'\n');
        self.buffered_text += text.len() as u64;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush(time);
        }
    }

    /// Makes room for a record of so many bytes. False if nothing can be written now.
    fn ready(&mut self, time: Time, bytes: usize) -> bool {
        if self.retry_at.is_some_and(|at| time < at) {
            return false;
        }
        let limit = if self.segment.number == 0 { self.bytes_max / 2 } else { self.bytes_max / 4 };
        let after = self.segment.written + (self.buffer.len() + bytes) as u64;
        if (self.segment.ended || after > limit) && !self.rotate(time) {
            return false;
        }
        self.retry_at = None;
        if self.lost > 0 {
            // Written at once: if it fails, the same number is told later.
            let marker = format!("{} ! {}\n", time.0, self.lost);
            if let Err(error) = self.segment.write(marker.as_bytes()) {
                self.fail(time, ArtifactError::io(segment_path(&self.base, self.segment.number), error));
                return false;
            }
            self.lost = 0;
        }
        self.problem = None;
        true
    }

    fn rotate(&mut self, time: Time) -> bool {
        if !self.segment.ended {
            self.buffer.extend_from_slice(format!("{} >\n", time.0).as_bytes());
            self.flush(time);
            if self.problem.is_some() {
                return false;
            }
            self.segment.ended = true;
        }
        let number = self.segment.number + 1;
        let text = if self.segment.number == 0 { 0 } else { self.segment.text };
        match Segment::create(&self.base, number, self.segment.skipped + text) {
            Ok(segment) => self.segment = segment,
            Err(error) => {
                self.fail(time, error);
                return false;
            }
        }
        if number > 2 {
            // What cannot be removed costs space, nothing else.
            let _ = std::fs::remove_file(segment_path(&self.base, number - 2));
        }
        true
    }

    fn fail(&mut self, now: Time, error: ArtifactError) {
        self.problem = Some(error);
        self.retry_at = Some(now.plus_us(RETRY_US));
    }
}

impl Segment {
    fn create(base: &Path, number: u32, skipped: u64) -> Result<Self, ArtifactError> {
        let path = segment_path(base, number);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path).at(&path)?;
        let mut segment = Self { file, number, written: 0, text: 0, skipped, ended: false };
        segment.write(header(skipped).as_bytes()).at(&path)?;
        Ok(segment)
    }

    /// All or nothing: after an error the file is cut back to where it was.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.written += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                // If even this fails, the reader passes over the torn record.
                let _ = self.file.set_len(self.written);
                let _ = self.file.seek(SeekFrom::Start(self.written));
                Err(error)
            }
        }
    }
}

fn remove_tail(base: &Path) -> Result<(), ArtifactError> {
    for segment in super::reader::tail_segments(base)? {
        let path = segment_path(base, segment);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(ArtifactError::io(path, error)),
            _ => {}
        }
    }
    Ok(())
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.flush(Time(0));
    }
}
