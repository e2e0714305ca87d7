//! BLAKE3 of files, streamed.
//! It must never hold a whole file in memory.

use crate::error::{ArtifactError, At};
use model::Digest;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

const BUFFER_BYTES: usize = 1 << 20;

pub(crate) fn bytes(content: &[u8]) -> Digest {
    Digest(*blake3::hash(content).as_bytes())
}

/// Digest and length of what `file` has.
pub(crate) fn file(file: &mut File, path: &Path) -> Result<(Digest, u64), ArtifactError> {
    copy(file, path, &mut io::sink(), path)
}

/// Copies `from` to `to` and hashes on the way. What is appended meanwhile is left out: a file that grows faster than it is read
/// has no end. The paths are for errors.
pub(crate) fn copy(
    from: &mut File,
    from_path: &Path,
    to: &mut impl Write,
    to_path: &Path,
) -> Result<(Digest, u64), ArtifactError> {
    let length = from.metadata().at(from_path)?.len();
    let mut from = from.take(length);
    let mut hasher = blake3::Hasher::new();
    let mut buffer = Vec::new();
    let mut total = 0;
    // Small files are the many: they get a small buffer first.
    let mut capacity = 16 << 10;
    loop {
        buffer.resize(capacity, 0);
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ArtifactError::io(from_path, error)),
        };
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read]).at(to_path)?;
        total += read as u64;
        if read == capacity {
            capacity = BUFFER_BYTES;
        }
    }
    Ok((Digest(*hasher.finalize().as_bytes()), total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grows_while_it_is_read_has_an_end() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("log");
        std::fs::write(&path, "line\n").expect("write");
        let mut from = File::open(&path).expect("open");
        // It grows by what is read of it.
        let mut to = std::fs::OpenOptions::new().append(true).open(&path).expect("append");
        let (digest, bytes) = copy(&mut from, &path, &mut to, &path).expect("copy");
        assert_eq!((digest, bytes), (super::bytes(b"line\n"), 5));
    }
}
