//! Logs of attempts: written, read, followed, cut, torn, merged.

use artifacts::ArtifactError;
use artifacts::log::{PIECE_BYTES_MAX, Reader, Record, Stream, Writer, merge, tail};
use model::Time;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

fn dir() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("log");
    (dir, base)
}

fn record(time: i64, stream: Stream, text: &str) -> Record {
    Record { time: Time(time), stream, text: text.into(), goes_on: false }
}

fn read(base: &Path) -> Vec<Record> {
    Reader::open(base).read_more().unwrap()
}

#[test]
fn lines_come_back_with_time_and_stream() {
    let (_dir, base) = dir();
    let mut reader = Reader::open(&base);
    assert_eq!(reader.read_more().unwrap(), []);
    let mut writer = Writer::create(&base, 1 << 20).unwrap();
    writer.line(Time(5), Stream::Out, b"hello world\n");
    writer.line(Time(6), Stream::Err, b"");
    writer.line(Time(7), Stream::Out, b" 1 o x\r");
    assert_eq!(reader.read_more().unwrap(), []);
    writer.flush(Time(7));
    let expected =
        [record(5, Stream::Out, "hello world"), record(6, Stream::Err, ""), record(7, Stream::Out, " 1 o x\r")];
    assert_eq!(reader.read_more().unwrap(), expected);
    writer.line(Time(8), Stream::Err, b"\xff\x00");
    writer.finish(Time(9)).unwrap();
    assert_eq!(reader.read_more().unwrap()[0].text, b"\xff\x00");
    assert_eq!(fs::read(&base).unwrap(), b"towpath-log 1 0\n5 o hello world\n6 e \n7 o  1 o x\r\n8 e \xff\x00\n");
}

#[test]
fn long_lines_are_split() {
    let (_dir, base) = dir();
    let mut writer = Writer::create(&base, 1 << 20).unwrap();
    let line = vec![b'x'; 2 * PIECE_BYTES_MAX + 1];
    writer.line(Time(1), Stream::Out, &line);
    writer.line(Time(2), Stream::Out, &line[..PIECE_BYTES_MAX]);
    writer.piece(Time(3), Stream::Err, b"begin ");
    writer.line(Time(4), Stream::Err, b"end\n");
    writer.finish(Time(4)).unwrap();
    let found: Vec<_> = read(&base).iter().map(|r| (r.time.0, r.text.len(), r.goes_on)).collect();
    let max = PIECE_BYTES_MAX;
    assert_eq!(found, [(1, max, true), (1, max, true), (1, 1, false), (2, max, false), (3, 6, true), (4, 3, false)]);
}

#[test]
fn a_torn_record_waits_for_its_rest() {
    let (_dir, base) = dir();
    fs::write(&base, "towpath-log 1 0\n1 o one\n2 o tw").unwrap();
    let mut reader = Reader::open(&base);
    assert_eq!(reader.read_more().unwrap(), [record(1, Stream::Out, "one")]);
    let mut file = fs::OpenOptions::new().append(true).open(&base).unwrap();
    file.write_all(b"o\n3 x bad\n\n4 e four\n").unwrap();
    let found = reader.read_more().unwrap();
    assert_eq!(found[0], record(2, Stream::Out, "two"));
    assert_eq!(found[1], record(2, Stream::Note, "damaged record: 3 x bad"));
    assert_eq!(found.last(), Some(&record(4, Stream::Err, "four")));
    assert_eq!(tail(&base, Some(Stream::Err), 5).unwrap(), [record(4, Stream::Err, "four")]);
    fs::write(&base, "towpath-log 2 0\n").unwrap();
    assert!(matches!(Reader::open(&base).read_more(), Err(ArtifactError::NewerLog { version: 2, .. })));
    fs::write(&base, "something\n").unwrap();
    assert!(matches!(Reader::open(&base).read_more(), Err(ArtifactError::NotALog { .. })));
}

/// Numbers of the lines that are kept, and the sum of what the notes say was dropped.
fn numbers(records: &[Record]) -> (Vec<usize>, u64) {
    let mut dropped = 0;
    let mut numbers = Vec::new();
    for record in records {
        let text = str::from_utf8(&record.text).unwrap();
        match record.stream {
            Stream::Note => dropped += text.split(' ').next().unwrap().parse::<u64>().unwrap(),
            _ => numbers.push(text.trim_start_matches('0').parse().unwrap_or(0)),
        }
    }
    (numbers, dropped)
}

#[test]
fn beyond_the_cap_the_first_and_the_last_part_are_kept() {
    let (dir, base) = dir();
    let bytes_max = 400_000;
    let mut writer = Writer::create(&base, bytes_max).unwrap();
    let mut follower = Reader::open(&base);
    let mut followed = Vec::new();
    for i in 0..100_000 {
        writer.line(Time(i), Stream::Out, format!("{i:020}").as_bytes());
        if i % 1_000 == 0 {
            writer.flush(Time(i));
            followed.extend(follower.read_more().unwrap());
        }
    }
    writer.finish(Time(100_000)).unwrap();
    followed.extend(follower.read_more().unwrap());
    // One that keeps up misses nothing.
    assert_eq!(numbers(&followed), ((0..100_000).collect(), 0));

    let (kept, dropped) = numbers(&read(&base));
    let gap = kept.windows(2).position(|pair| pair[1] != pair[0] + 1).unwrap();
    assert_eq!((kept[0], *kept.last().unwrap()), (0, 99_999));
    assert_eq!(kept.len() as u64 + dropped / 20, 100_000);
    let kept_after = kept.len() - gap - 1;
    assert!(gap > 4_000 && kept_after > 2_500, "{gap} {kept_after}");
    let on_disk: u64 = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(on_disk <= bytes_max, "{on_disk}");

    let last = tail(&base, None, 4_000).unwrap();
    let expected: Vec<_> = (100_000 - last.len()..100_000).collect();
    assert_eq!(numbers(&last).0, expected);
    assert_eq!(numbers(&tail(&base, Some(Stream::Out), 3).unwrap()).0, [99_997, 99_998, 99_999]);

    // A new log at the same place has nothing of the old one.
    drop(Writer::create(&base, bytes_max).unwrap());
    assert_eq!(read(&base), []);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_slow_follower_is_told_what_it_missed() {
    let (_dir, base) = dir();
    let mut writer = Writer::create(&base, 100_000).unwrap();
    let mut reader = Reader::open(&base);
    let mut records = Vec::new();
    for i in 0..50_000 {
        writer.line(Time(i), Stream::Out, format!("{i:020}").as_bytes());
        if i % 20_000 == 1_000 {
            writer.flush(Time(i));
            records.extend(reader.read_more().unwrap());
        }
    }
    writer.finish(Time(50_000)).unwrap();
    records.extend(reader.read_more().unwrap());
    let (kept, dropped) = numbers(&records);
    assert!(dropped > 0);
    assert_eq!(kept.len() as u64 + dropped / 20, 50_000);
}

#[test]
fn merged_in_the_order_of_time() {
    let (dir, _) = dir();
    let bases = [dir.path().join("a"), dir.path().join("b")];
    let mut a = Writer::create(&bases[0], 1 << 20).unwrap();
    let mut b = Writer::create(&bases[1], 1 << 20).unwrap();
    a.line(Time(1), Stream::Out, b"a1");
    b.line(Time(2), Stream::Out, b"b2");
    a.piece(Time(3), Stream::Out, b"a3");
    b.line(Time(4), Stream::Out, b"b4");
    a.line(Time(5), Stream::Out, b"a5");
    b.line(Time(5), Stream::Out, b"b5");
    drop((a, b));
    let merged = merge(bases.iter().map(|base| Reader::open(base)).collect());
    let found: Vec<_> = merged.map(|item| String::from_utf8(item.unwrap().1.text).unwrap()).collect();
    assert_eq!(found, ["a1", "b2", "a3", "a5", "b4", "b5"]);
}

/// Runs only where a small tmpfs can be mounted.
#[test]
fn a_full_disk_costs_output_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let options = c"size=64k";
    if rustix::mount::mount("tmpfs", dir.path(), "tmpfs", rustix::mount::MountFlags::empty(), options).is_err() {
        println!("not run: no right to mount a tmpfs");
        return;
    }
    let base = dir.path().join("log");
    let filler = dir.path().join("filler");
    let mut writer = Writer::create(&base, 1 << 20).unwrap();
    writer.line(Time(0), Stream::Out, b"00");
    writer.flush(Time(0));
    let filled = fs::write(&filler, vec![0; 1 << 20]).is_err();
    for i in 1..100 {
        writer.line(Time(i), Stream::Out, &[b'x'; 1_000]);
    }
    writer.flush(Time(100));
    let problem = writer.problem().map(ToString::to_string);
    fs::remove_file(&filler).unwrap();
    // Not before a second has passed.
    writer.line(Time(200), Stream::Out, b"lost too");
    let second = Time::SECOND_US;
    writer.line(Time(2 * second), Stream::Out, b"after");
    let finished = writer.finish(Time(2 * second));
    let records = read(&base);
    rustix::mount::unmount(dir.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    assert!(filled && problem.is_some_and(|p| p.contains("no space left")));
    finished.unwrap();
    let lost = "99008 bytes of output could not be written";
    let after = [record(0, Stream::Out, "00"), record(2 * second, Stream::Note, lost)];
    assert_eq!(records[..2], after);
    assert_eq!(records[2..], [record(2 * second, Stream::Out, "after")]);
}
