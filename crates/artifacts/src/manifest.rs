//! The manifest of a tree: the text whose digest is the tree's.
//! It must never hold what two machines would write differently: times, owners, inode numbers, the order of a directory.
//!
//! ```text
//! towpath-tree 1
//! d PATH
//! f DIGEST BYTES PATH        a file
//! x DIGEST BYTES PATH        an executable file
//! l TARGET PATH              a symbolic link
//! ```
//! Lines are sorted by the bytes of PATH. In PATH and TARGET, bytes up to 0x20, 0x7f and `%` are written `%xx`; other
//! bytes stand as they are.

use crate::hash;
use model::Digest;
use std::collections::BTreeMap;

const HEADER: &[u8] = b"towpath-tree 1\n";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Dir,
    File { digest: Digest, bytes: u64, executable: bool },
    Link { target: Vec<u8> },
}

/// Entries by their path below the tree's root, without a leading slash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) entries: BTreeMap<Vec<u8>, Entry>,
}

impl Manifest {
    /// Sum of the files' lengths.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = |entry: &Entry| if let Entry::File { bytes, .. } = entry { *bytes } else { 0 };
        self.entries.values().map(bytes).sum()
    }

    pub(crate) fn to_text(&self) -> Vec<u8> {
        let mut text = HEADER.to_vec();
        for (path, entry) in &self.entries {
            match entry {
                Entry::Dir => text.extend_from_slice(b"d "),
                Entry::File { digest, bytes, executable } => {
                    let letter = if *executable { 'x' } else { 'f' };
                    text.extend_from_slice(format!("{letter} {digest} {bytes} ").as_bytes());
                }
                Entry::Link { target } => {
                    text.extend_from_slice(b"l ");
                    escape(target, &mut text);
                    text.push(b' ');
                }
            }
            escape(path, &mut text);
            text.push(b'\n');
        }
        text
    }

    /// `None` for text that `to_text` does not write.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let body = text.strip_prefix(HEADER)?;
        let mut entries = BTreeMap::new();
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            let (path, entry) = parse_line(line.strip_suffix(b"\n")?)?;
            entries.insert(path, entry);
        }
        Some(Self { entries })
    }

    pub(crate) fn digest(&self) -> Digest {
        hash::bytes(&self.to_text())
    }

    /// A path at which `found` differs from this.
    pub(crate) fn first_difference(&self, found: &Self) -> Option<String> {
        let show = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        for (path, entry) in &self.entries {
            match found.entries.get(path) {
                None => return Some(format!("{} is gone", show(path))),
                Some(other) if other != entry => return Some(format!("{} has changed", show(path))),
                Some(_) => {}
            }
        }
        let added = found.entries.keys().find(|path| !self.entries.contains_key(*path))?;
        Some(format!("{} was added", show(added)))
    }
}

fn parse_line(line: &[u8]) -> Option<(Vec<u8>, Entry)> {
    let mut fields = line.split(|byte| *byte == b' ');
    let letter = fields.next()?;
    let entry = match letter {
        b"d" => Entry::Dir,
        b"f" | b"x" => {
            let digest = Digest::parse(str::from_utf8(fields.next()?).ok()?)?;
            let bytes = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
            Entry::File { digest, bytes, executable: letter == b"x" }
        }
        b"l" => Entry::Link { target: unescape(fields.next()?)? },
        _ => return None,
    };
    let path = unescape(fields.next()?)?;
    fields.next().is_none().then_some((path, entry))
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        if byte <= 0x20 || byte == 0x7f || byte == b'%' {
            out.extend_from_slice(format!("%{byte:02x}").as_bytes());
        } else {
            out.push(byte);
        }
    }
}

fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = str::from_utf8(after.get(..2)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            out.push(byte);
            rest = after;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip_with_awkward_names() {
        let mut manifest = Manifest::default();
        manifest.entries.insert(b"a b\n%".to_vec(), Entry::Dir);
        manifest.entries.insert(b"a b\n%/\xff".to_vec(), Entry::Link { target: b"../x y".to_vec() });
        let file = Entry::File { digest: hash::bytes(b"1"), bytes: 1, executable: true };
        manifest.entries.insert("ü".as_bytes().to_vec(), file);
        assert_eq!(Manifest::parse(&manifest.to_text()), Some(manifest));
    }

    #[test]
    fn foreign_text_is_refused() {
        for text in
            ["", "towpath-tree 2\n", "towpath-tree 1\nd a", "towpath-tree 1\nf 00 1 a\n", "towpath-tree 1\nd a b\n"]
        {
            assert_eq!(Manifest::parse(text.as_bytes()), None, "{text}");
        }
    }

    /// The form on disk is a promise: old digests must stay valid.
    #[test]
    fn digest_of_a_known_tree() {
        let mut manifest = Manifest::default();
        manifest.entries.insert(b"d".to_vec(), Entry::Dir);
        let file = Entry::File { digest: hash::bytes(b""), bytes: 0, executable: false };
        manifest.entries.insert(b"d/empty".to_vec(), file);
        let expected = "towpath-tree 1\nd d\n\
                        f af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262 0 d/empty\n";
        assert_eq!(String::from_utf8(manifest.to_text()).unwrap(), expected);
    }
}
