//! Reads logs: from the start and onwards as they grow, merged in the order of time, or only their last lines.
//! It must never fail because a writer died in the middle of a record.

use super::{Line, MAGIC, Record, Stream, VERSION, parse_line, segment_path};
use crate::error::{ArtifactError, At};
use model::Time;
use std::borrow::BorrowMut;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const READ_BYTES: usize = 64 << 10;
/// How much of the end of a log is looked at first for its last lines.
const TAIL_BYTES: u64 = 256 << 10;
/// No record is longer: what goes on for longer without a newline is damage.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// Iterates over the records of a log. After `None` it can be asked again: records that were appended meanwhile follow.
/// The file is open only while it is read: however many readers there are, they hold none.
#[derive(Debug)]
pub struct Reader {
    base: PathBuf,
    segment: u32,
    /// How far the present segment has been read.
    position: u64,
    /// The header of the present segment has been read.
    started: bool,
    buffer: Vec<u8>,
    /// What of `buffer` has been given out.
    used: usize,
    /// What of `buffer` has been searched for a newline.
    searched: usize,
    /// Bytes of output given out of tail segments.
    tail_text: u64,
    last_time: Time,
}

impl Reader {
    /// A log that nobody has begun yet reads as an empty one.
    pub fn open(base: &Path) -> Self {
        Self {
            base: base.to_owned(),
            segment: 0,
            position: 0,
            started: false,
            buffer: Vec::new(),
            used: 0,
            searched: 0,
            tail_text: 0,
            last_time: Time(0),
        }
    }

    /// All whole records from here to the present end.
    pub fn read_more(&mut self) -> Result<Vec<Record>, ArtifactError> {
        self.by_ref().collect()
    }

    fn step(&mut self) -> Result<Option<Record>, ArtifactError> {
        loop {
            let Some(line) = self.take_line()? else { return Ok(None) };
            if !self.started {
                self.started = true;
                let before = header_of(&line, &segment_path(&self.base, self.segment))?;
                if before > self.tail_text {
                    let text = format!("{} bytes of output were dropped here", before - self.tail_text).into_bytes();
                    self.tail_text = before;
                    return Ok(Some(Record { time: self.last_time, stream: Stream::Note, text, goes_on: false }));
                }
                continue;
            }
            match parse_line(&line, self.last_time) {
                Line::End => self.go_to(self.segment + 1),
                Line::Record(record) => {
                    self.last_time = record.time;
                    if self.segment > 0 && record.stream != Stream::Note {
                        self.tail_text += record.text.len() as u64;
                    }
                    return Ok(Some(record));
                }
            }
        }
    }

    fn go_to(&mut self, segment: u32) {
        self.segment = segment;
        self.position = 0;
        self.started = false;
        self.buffer.clear();
        self.used = 0;
        self.searched = 0;
    }

    /// Reads on in the present segment, or in the first later one if it was dropped. False if there is nothing more yet.
    fn fill(&mut self) -> Result<bool, ArtifactError> {
        loop {
            let path = segment_path(&self.base, self.segment);
            match File::open(&path) {
                Ok(mut file) => {
                    file.seek(SeekFrom::Start(self.position)).at(&path)?;
                    let read = file.take(READ_BYTES as u64).read_to_end(&mut self.buffer).at(&path)?;
                    self.position += read as u64;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(ArtifactError::io(path, error)),
            }
            if self.segment == 0 {
                return Ok(false);
            }
            let later = tail_segments(&self.base)?.into_iter().find(|number| *number > self.segment);
            match later {
                Some(number) => self.go_to(number),
                None => return Ok(false),
            }
        }
    }

    /// The next whole line without its newline; what is torn waits for its rest.
    fn take_line(&mut self) -> Result<Option<Vec<u8>>, ArtifactError> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let end = self.searched + at;
                let line = self.buffer[self.used..end].to_vec();
                self.used = end + 1;
                self.searched = self.used;
                return Ok(Some(line));
            }
            if self.buffer.len() - self.used > RECORD_BYTES_MAX {
                let line = self.buffer.split_off(self.used);
                self.buffer.clear();
                self.used = 0;
                self.searched = 0;
                return Ok(Some(line));
            }
            self.buffer.drain(..self.used);
            self.used = 0;
            self.searched = self.buffer.len();
            if !self.fill()? {
                return Ok(None);
            }
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Record, ArtifactError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// Records of several logs in the order of time, each with the index of its reader. A log that is exhausted is done:
/// `None` is the end.
#[derive(Debug)]
pub struct Merge<R> {
    /// `None`: exhausted.
    readers: Vec<Option<R>>,
    /// Times of the next records, and of logs that were not looked into yet; the earliest first.
    queue: BinaryHeap<Reverse<(Time, usize)>>,
    /// The next record of each log that was looked into.
    next: Vec<Option<Record>>,
    /// The reader whose line goes on.
    current: Option<usize>,
}

/// Merges logs by time. Pieces of one line stay together, and within one log the order is its own even where the clock
/// was set back. Equal times: by index.
pub fn merge(readers: Vec<Reader>) -> Merge<Reader> {
    merge_from(readers.into_iter().map(|reader| (Time(i64::MIN), reader)).collect())
}

/// The same of logs that are known to begin at a time or later: none is looked into before its time has come.
pub fn merge_from<R: BorrowMut<Reader>>(readers: Vec<(Time, R)>) -> Merge<R> {
    let queue = readers.iter().enumerate().map(|(index, (time, _))| Reverse((*time, index))).collect();
    let next = readers.iter().map(|_| None).collect();
    Merge { readers: readers.into_iter().map(|(_, reader)| Some(reader)).collect(), queue, next, current: None }
}

impl<R: BorrowMut<Reader>> Merge<R> {
    fn step(&mut self) -> Result<Option<(usize, Record)>, ArtifactError> {
        loop {
            // The log whose line goes on has no entry in the queue.
            let index = match self.current.take() {
                Some(index) => index,
                None => match self.queue.pop() {
                    Some(Reverse((_, index))) => index,
                    None => return Ok(None),
                },
            };
            let Some(record) = self.next[index].take() else {
                self.look_into(index)?;
                continue;
            };
            if record.goes_on {
                self.next[index] = self.read(index)?;
                // A line that was torn off ends here.
                self.current = self.next[index].is_some().then_some(index);
            } else {
                self.look_into(index)?;
            }
            return Ok(Some((index, record)));
        }
    }

    /// Puts the next record of a log into the queue.
    fn look_into(&mut self, index: usize) -> Result<(), ArtifactError> {
        if let Some(record) = self.read(index)? {
            self.queue.push(Reverse((record.time, index)));
            self.next[index] = Some(record);
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> Result<Option<Record>, ArtifactError> {
        let Some(reader) = &mut self.readers[index] else { return Ok(None) };
        let record = reader.borrow_mut().step()?;
        if record.is_none() {
            self.readers[index] = None;
        }
        Ok(record)
    }
}

impl<R: BorrowMut<Reader>> Iterator for Merge<R> {
    type Item = Result<(usize, Record), ArtifactError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// The last `count` records of a log, of one stream or of all; cheap however long the log is.
pub fn tail(base: &Path, stream: Option<Stream>, count: usize) -> Result<Vec<Record>, ArtifactError> {
    let mut found = VecDeque::new();
    let mut segments = tail_segments(base)?;
    segments.insert(0, 0);
    for segment in segments.into_iter().rev() {
        let records = tail_of_segment(&segment_path(base, segment), stream, count - found.len())?;
        records.into_iter().rev().for_each(|record| found.push_front(record));
        if found.len() >= count {
            break;
        }
    }
    Ok(found.into())
}

fn tail_of_segment(path: &Path, stream: Option<Stream>, count: usize) -> Result<VecDeque<Record>, ArtifactError> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(VecDeque::new()),
        other => other.at(path)?,
    };
    let length = file.metadata().at(path)?.len();
    let mut block = TAIL_BYTES;
    loop {
        let start = length.saturating_sub(block);
        file.seek(SeekFrom::Start(start)).at(path)?;
        let mut bytes = Vec::new();
        file.by_ref().take(length - start).read_to_end(&mut bytes).at(path)?;
        let mut records = VecDeque::new();
        // The first line is the header or torn, what follows the last newline is torn.
        let whole = bytes.split_inclusive(|byte| *byte == b'\n').skip(1).filter_map(|line| line.strip_suffix(b"\n"));
        for line in whole {
            if let Line::Record(record) = parse_line(line, Time(0))
                && stream.is_none_or(|wanted| wanted == record.stream)
            {
                records.push_back(record);
            }
        }
        if records.len() >= count || start == 0 {
            records.drain(..records.len().saturating_sub(count));
            return Ok(records);
        }
        block *= 4;
    }
}

/// Numbers of the tail segments that exist, in order.
pub(super) fn tail_segments(base: &Path) -> Result<Vec<u32>, ArtifactError> {
    let dir = base.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = base.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut segments = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(segments),
        other => other.at(dir)?,
    };
    for entry in entries {
        let entry = entry.at(dir)?.file_name();
        let number = entry.to_str().and_then(|entry| entry.strip_prefix(name)?.strip_prefix('.')?.parse().ok());
        segments.extend(number.filter(|number: &u32| *number > 0));
    }
    segments.sort_unstable();
    Ok(segments)
}

fn header_of(line: &[u8], path: &Path) -> Result<u64, ArtifactError> {
    let unreadable = || ArtifactError::NotALog { path: path.to_owned() };
    let text = str::from_utf8(line).map_err(|_| unreadable())?;
    let mut fields = text.split(' ');
    if fields.next() != Some(MAGIC) {
        return Err(unreadable());
    }
    let version: u32 = fields.next().and_then(|field| field.parse().ok()).ok_or_else(unreadable)?;
    if version > VERSION {
        return Err(ArtifactError::NewerLog { path: path.to_owned(), version });
    }
    fields.next().and_then(|field| field.parse().ok()).ok_or_else(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Writer;

    fn descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
    }

    #[test]
    fn thousands_of_logs_are_merged_with_no_file_held_open() {
        const LOGS: usize = 3_000;
        let dir = tempfile::tempdir().expect("dir");
        let bases: Vec<PathBuf> = (0..LOGS).map(|index| dir.path().join(index.to_string())).collect();
        for (index, base) in bases.iter().enumerate() {
            let mut writer = Writer::create(base, 1 << 20).expect("log");
            writer.line(Time(index as i64), Stream::Out, b"first");
            writer.line(Time((LOGS + index) as i64), Stream::Out, b"last");
        }
        let before = descriptors();
        let (mut times, mut most) = (Vec::new(), 0);
        for item in merge(bases.iter().map(|base| Reader::open(base)).collect()) {
            times.push(item.expect("record").1.time.0);
            if times.len().is_multiple_of(1_000) {
                most = most.max(descriptors());
            }
        }
        assert!(times.iter().copied().eq(0..2 * LOGS as i64));
        // Other tests of this process have a few.
        assert!(most < before + 50, "{most} of {before}");
    }

    #[test]
    fn a_log_is_not_looked_into_before_its_time() {
        let dir = tempfile::tempdir().expect("dir");
        let bases = [dir.path().join("a"), dir.path().join("b")];
        let mut writer = Writer::create(&bases[0], 1 << 20).expect("log");
        writer.line(Time(1), Stream::Out, b"a");
        writer.flush(Time(1));
        let mut readers: Vec<Reader> = bases.iter().map(|base| Reader::open(base)).collect();
        let from = [Time(0), Time(5)];
        let mut merged = merge_from(from.into_iter().zip(&mut readers).collect());
        assert_eq!(merged.next().expect("one").expect("record").0, 0);
        // Only now does the other log come into being.
        Writer::create(&bases[1], 1 << 20).expect("log").line(Time(6), Stream::Out, b"b");
        assert_eq!(merged.next().expect("one").expect("record").0, 1);
        assert!(merged.next().is_none() && merged.next().is_none());
        // Who lent the readers can read on with them.
        drop(merged);
        writer.line(Time(7), Stream::Out, b"more");
        writer.flush(Time(7));
        assert_eq!(readers[0].read_more().expect("records").len(), 1);
    }
}
