//! A home: where its files are, and the lock that makes its holder the only one.
//! It must never open the store or judge what is in it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The layout of `TOWPATH_HOME`.
#[derive(Clone, Debug)]
pub struct Home {
    executor: executor::home::Home,
}

/// Held by the holder for as long as it lives.
pub struct HomeLock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be used as the home: {source}; choose another with --home or TOWPATH_HOME", path = .path.display())]
pub struct HomeError {
    path: PathBuf,
    source: io::Error,
}

impl Home {
    /// `root` need not exist yet.
    pub fn new(root: &Path) -> Self {
        Self { executor: executor::home::Home::new(root) }
    }

    pub fn root(&self) -> &Path {
        self.executor.root()
    }

    /// Where attempts, their logs and environments are.
    pub fn executor(&self) -> &executor::home::Home {
        &self.executor
    }

    pub fn store(&self) -> PathBuf {
        self.root().join("store.db")
    }

    pub fn artifacts(&self) -> PathBuf {
        self.root().join("artifacts")
    }

    pub fn lock_file(&self) -> PathBuf {
        self.root().join("engine.lock")
    }

    /// What the holder itself has to say.
    pub fn holder_log(&self) -> PathBuf {
        self.root().join("holder.log")
    }

    /// The holder's socket: in the home, or in a private directory beside the runner's when that path is too long.
    pub fn socket(&self) -> PathBuf {
        self.executor.socket_named("engine.sock")
    }

    /// Whether nobody else could have made the socket.
    pub fn socket_is_ours(&self) -> bool {
        self.executor.is_ours(&self.socket())
    }

    /// Makes the directory, readable for its owner only. In one that was there before, what we keep in it is.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(&self) -> Result<(), HomeError> {
        self.wrap(fs::DirBuilder::new().recursive(true).mode(0o700).create(self.root()))?;
        self.executor.make_private();
        Ok(())
    }

    /// Takes the lock, `None` if another process has it.
    ///
    /// # Errors
    /// The lock's file cannot be made.
    pub fn lock(&self) -> Result<Option<HomeLock>, HomeError> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.lock_file());
        let file = self.wrap(file)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(HomeLock { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => self.wrap(Err(error.into())),
        }
    }

    /// Listens for clients. Precondition: the caller has the lock, so that a socket that is there is a dead holder's.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn listen(&self, _lock: &HomeLock) -> Result<UnixListener, HomeError> {
        let path = self.socket();
        self.wrap(self.executor.make_socket_dir(&path))?;
        let _ = fs::remove_file(&path);
        let listener = self.wrap(UnixListener::bind(&path))?;
        self.wrap(fs::set_permissions(&path, Permissions::from_mode(0o600)))?;
        Ok(listener)
    }

    fn wrap<T>(&self, result: io::Result<T>) -> Result<T, HomeError> {
        result.map_err(|source| HomeError { path: self.root().to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_has_one_holder() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::new(&dir.path().join("new"));
        home.make().expect("make");
        let lock = home.lock().expect("lock").expect("free");
        assert!(home.lock().expect("lock").is_none());
        drop(lock);
        assert!(home.lock().expect("lock").is_some());
    }

    #[test]
    fn a_long_path_moves_the_socket() {
        let long = PathBuf::from(format!("/{}", "d".repeat(120)));
        assert!(Home::new(&long).socket().as_os_str().len() < 108);
        assert_eq!(Home::new(Path::new("/h")).socket(), Path::new("/h/engine.sock"));
    }
}
