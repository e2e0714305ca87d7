//! Archives, friendly and hostile.

use artifacts::ArtifactError;
use artifacts::archive::{Caps, pack, unpack};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

const CAPS: Caps = Caps { entries: 1_000, bytes: 10 << 20 };

struct Space {
    _dir: tempfile::TempDir,
    root: PathBuf,
    to: PathBuf,
}

fn space() -> Space {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_owned();
    Space { _dir: dir, to: root.join("to"), root }
}

/// An entry as an attacker writes it: the name goes in unchecked.
fn entry(kind: EntryType, name: &str, link: &str, content: &[u8]) -> Vec<u8> {
    claimed(kind, name, link, content, content.len() as u64)
}

fn claimed(kind: EntryType, name: &str, link: &str, content: &[u8], bytes: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(bytes);
    header.set_cksum();
    let mut out = header.as_bytes().to_vec();
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

fn refused(parts: &[Vec<u8>], why: &str) {
    let space = space();
    let mut archive = parts.concat();
    archive.resize(archive.len() + 1024, 0);
    match unpack(&archive[..], &space.to, CAPS) {
        Err(ArtifactError::Archive { why: found }) => assert!(found.contains(why), "{found}"),
        other => panic!("{why}: {other:?}"),
    }
    // Neither beside the directory nor in it.
    assert_eq!(fs::read_dir(&space.root).unwrap().count(), 0);
}

#[test]
fn a_tree_comes_back_and_packs_to_the_same_bytes() {
    let space = space();
    let from = space.root.join("from");
    let deep = from.join("d".repeat(90)).join("e".repeat(90));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "long path").unwrap();
    fs::write(from.join("run"), "#!").unwrap();
    fs::set_permissions(from.join("run"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("run", from.join("link")).unwrap();
    fs::create_dir(from.join("empty")).unwrap();
    let mut first = Vec::new();
    pack(&from, &mut first).unwrap();
    unpack(&first[..], &space.to, CAPS).unwrap();
    assert_eq!(fs::read(space.to.join(deep.strip_prefix(&from).unwrap()).join("file")).unwrap(), b"long path");
    assert_eq!(fs::metadata(space.to.join("run")).unwrap().mode() & 0o100, 0o100);
    assert_eq!(fs::read_link(space.to.join("link")).unwrap(), Path::new("run"));
    assert!(space.to.join("empty").is_dir());
    let mut second = Vec::new();
    pack(&space.to, &mut second).unwrap();
    assert_eq!(first, second);
}

#[test]
fn what_a_plain_tar_writes_is_read() {
    let space = space();
    let mut builder = Builder::new(Vec::new());
    let mut header = Header::new_ustar();
    header.set_size(1);
    header.set_mode(0o644);
    builder.append_data(&mut header, "./sub/a", &b"1"[..]).unwrap();
    builder.append_data(&mut header, "./sub/a", &b"2"[..]).unwrap();
    let mut archive = builder.into_inner().unwrap();
    archive.truncate(archive.len() - 1024);
    archive.extend(entry(EntryType::Link, "hard", "sub/a", b""));
    archive.extend(entry(EntryType::Symlink, "sub/soft", "../hard", b""));
    unpack(&archive[..], &space.to, CAPS).unwrap();
    assert_eq!(fs::read(space.to.join("sub/soft")).unwrap(), b"2");
    // A hard link is a copy: writing to one does not change the other.
    assert_eq!(fs::metadata(space.to.join("hard")).unwrap().nlink(), 1);
}

#[test]
fn traversal_is_refused() {
    let file = |name: &str| entry(EntryType::Regular, name, "", b"evil");
    refused(&[file("../x")], "leads out of it");
    refused(&[file("a/../../x")], "leads out of it");
    refused(&[file("/etc/x")], "leads out of it");
    refused(&[entry(EntryType::Directory, "../d", "", b"")], "leads out of it");
    let long = entry(EntryType::GNULongName, "././@LongLink", "", b"../../long\0");
    refused(&[long, file("x")], "leads out of it");
    let pax = entry(EntryType::XHeader, "pax", "", b"16 path=../../x\n");
    refused(&[pax, file("x")], "leads out of it");
}

#[test]
fn links_out_and_files_through_links_are_refused() {
    let link = |name: &str, target: &str| entry(EntryType::Symlink, name, target, b"");
    let file = |name: &str| entry(EntryType::Regular, name, "", b"evil");
    refused(&[link("l", "/etc")], "leads out of it");
    refused(&[link("l", "../x")], "leads out of it");
    refused(&[link("a/l", "../../x")], "leads out of it");
    // Two links that are harmless one by one: `s` is the root, `s/..` above it.
    refused(&[link("d/s", ".."), link("e", "d/s/../x")], "leads out of it");
    refused(&[link("l", "d"), file("l/x")], "goes through a link");
    refused(&[entry(EntryType::Directory, "d", "", b""), link("l", "d"), file("l/x")], "goes through a link");
    refused(&[entry(EntryType::Link, "h", "/etc/passwd", b"")], "leads out of it");
    refused(&[entry(EntryType::Link, "h", "../x", b"")], "leads out of it");
    refused(&[link("l", "d"), entry(EntryType::Link, "h", "l", b"")], "no file before it");
    refused(&[link("l", "d"), entry(EntryType::Link, "h", "l/x", b"")], "goes through a link");
}

#[test]
fn a_file_replaces_a_link_and_is_not_written_through_it() {
    let space = space();
    let mut archive = entry(EntryType::Regular, "a", "", b"a");
    archive.extend(entry(EntryType::Symlink, "l", "a", b""));
    archive.extend(entry(EntryType::Regular, "l", "", b"new"));
    unpack(&archive[..], &space.to, CAPS).unwrap();
    assert_eq!(fs::read(space.to.join("a")).unwrap(), b"a");
    assert_eq!(fs::read(space.to.join("l")).unwrap(), b"new");
}

#[test]
fn devices_and_pipes_are_refused() {
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        refused(&[entry(kind, "x", "", b"")], "neither a file nor a directory");
    }
}

#[test]
fn caps_hold_whatever_is_claimed() {
    let regular = EntryType::Regular;
    refused(&[claimed(regular, "x", "", b"", 1 << 40)], "more than 10485760 bytes");
    refused(&[claimed(regular, "x", "", b"", u64::MAX)], "");
    let many: Vec<_> = (0..1_001).map(|i| entry(regular, &format!("f{i}"), "", b"")).collect();
    refused(&many, "more than 1000 entries");
    let big = vec![b'n'; 2 << 20];
    refused(&[entry(EntryType::GNULongName, "x", "", &big), entry(regular, "x", "", b"")], "too long");
    refused(&[entry(EntryType::XHeader, "x", "", &big), entry(regular, "x", "", b"")], "too long");
    refused(&[claimed(regular, "x", "", b"short", 5_000)], "ends in the middle");
    refused(&[vec![7; 512]], "cannot be read");
}

#[test]
fn a_gzip_bomb_stops_at_the_cap() {
    let space = space();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let bytes = 3_u64 << 20;
    let small = Caps { entries: 1, bytes: 1 << 20 };
    gz.write_all(&claimed(EntryType::Regular, "x", "", b"", bytes)).unwrap();
    for _ in 0..3 {
        gz.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = gz.finish().unwrap();
    assert!(unpack(&bomb[..], &space.to, small).unwrap_err().to_string().contains("more than 1048576 bytes"));
    unpack(&bomb[..], &space.to, Caps { entries: 1, bytes }).unwrap();
    let cut = &bomb[..bomb.len() / 2];
    let error = unpack(cut, &space.root.join("cut"), Caps { entries: 1, bytes }).unwrap_err();
    assert!(matches!(error, ArtifactError::Archive { .. }), "{error}");
    assert!(!space.root.join("cut").exists());
}

#[test]
fn nothing_is_unpacked_over_something() {
    let space = space();
    fs::create_dir(&space.to).unwrap();
    fs::write(space.to.join("mine"), "x").unwrap();
    assert!(unpack(&entry(EntryType::Regular, "x", "", b"")[..], &space.to, CAPS).is_err());
    assert!(space.to.join("mine").exists());
}
