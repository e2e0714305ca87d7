//! What can go wrong with artifacts, in words for the person whose disk it is.
//! It must never hide which path was meant.

use model::Digest;
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("no space left on the file system of {path}; free some, then go on")]
    NoSpace { path: PathBuf },
    #[error("{path} is on a read-only file system")]
    ReadOnly { path: PathBuf },
    #[error("permission denied: {path}")]
    Permission { path: PathBuf },
    #[error("{path} is a {kind}; an artifact may hold only files, directories and links")]
    SpecialFile { path: PathBuf, kind: &'static str },
    #[error("{path} is not a {wanted}")]
    WrongKind { path: PathBuf, wanted: &'static str },
    #[error("artifact {digest} is not in the store")]
    Missing { digest: Digest },
    #[error("artifact {digest} is damaged: {what}; run what makes it again")]
    Damaged { digest: Digest, what: String },
    #[error("{path} has {bytes} bytes, more than the {bytes_max} that are read here")]
    TooLarge { path: PathBuf, bytes: u64, bytes_max: u64 },
    #[error("the content of {uri} is not in the local store; it has to be fetched first")]
    NotLocal { uri: String },
    #[error("{path} is not a log")]
    NotALog { path: PathBuf },
    #[error("{path} was written by a newer Towpath (log version {version}); use that one to read it")]
    NewerLog { path: PathBuf, version: u32 },
    #[error("archive refused: {why}")]
    Archive { why: String },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl ArtifactError {
    /// The variant that fits an I/O error which came from working on `path`.
    pub(crate) fn io(path: impl AsRef<Path>, source: io::Error) -> Self {
        let path = path.as_ref().to_owned();
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::NoSpace { path },
            Some(Errno::ROFS) => Self::ReadOnly { path },
            Some(Errno::ACCESS | Errno::PERM) => Self::Permission { path },
            _ => Self::Io { path, source },
        }
    }
}

/// `result.at(path)`: an I/O result with the path it was about.
pub(crate) trait At<T> {
    fn at(self, path: impl AsRef<Path>) -> Result<T, ArtifactError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: impl AsRef<Path>) -> Result<T, ArtifactError> {
        self.map_err(|error| ArtifactError::io(path, error))
    }
}

impl<T> At<T> for rustix::io::Result<T> {
    fn at(self, path: impl AsRef<Path>) -> Result<T, ArtifactError> {
        self.map_err(|error| ArtifactError::io(path, error.into()))
    }
}
