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

/// Digest and length of what `file` has from its present position on.
pub(crate) fn file(file: &mut File, path: &Path) -> Result<(Digest, u64), ArtifactError> {
    copy(file, path, &mut io::sink(), path)
}

/// Copies `from` to `to` and hashes on the way. The paths are for errors.
pub(crate) fn copy(
    from: &mut impl Read,
    from_path: &Path,
    to: &mut impl Write,
    to_path: &Path,
) -> Result<(Digest, u64), ArtifactError> {
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
