//! Where the executor keeps things below `$TOWPATH_HOME`: the one place that knows these paths.
//! It must never create or delete anything by itself, apart from directories on request.

use model::AttemptKey;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Bytes that a Unix socket's path may have (`sun_path`), the final NUL included.
const SOCKET_PATH_BYTES_MAX: usize = 108;

/// A home's layout.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// `root` should be absolute and real: it is hidden from sandboxes under this very name.
    pub fn new(root: &Path) -> Self {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        Self { root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The runner's socket: in the home, or in a private directory under `$XDG_RUNTIME_DIR` or `/tmp` when that path is too long.
    pub fn socket(&self) -> PathBuf {
        let inside = self.root.join("runner.sock");
        if inside.as_os_str().len() < SOCKET_PATH_BYTES_MAX {
            return inside;
        }
        let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let user = rustix::process::getuid().as_raw();
        base.join(format!("towpath-{user}-{}", self.hash())).join("runner.sock")
    }

    /// Eight hex digits that tell this home from others on the machine.
    pub fn hash(&self) -> String {
        format!("{:08x}", model::ids::fnv32a(self.root.as_os_str().as_bytes()))
    }

    /// Locked by the runner for as long as it lives.
    pub fn runner_lock(&self) -> PathBuf {
        self.root.join("runner.lock")
    }

    /// What the runner itself has to say.
    pub fn runner_log(&self) -> PathBuf {
        self.root.join("runner.log")
    }

    /// Outcomes that no holder has acknowledged.
    pub fn outcomes(&self) -> PathBuf {
        self.root.join("outcomes")
    }

    pub fn attempts(&self) -> PathBuf {
        self.root.join("attempts")
    }

    /// The attempt's own directory.
    pub fn scratch(&self, key: &AttemptKey) -> PathBuf {
        self.attempts().join(safe_name(&key.run.0)).join(format!("{}-{}", key.node.0, key.n))
    }

    /// Removed in the background.
    pub fn trash(&self) -> PathBuf {
        self.root.join("attempts.trash")
    }

    /// The log segments of all attempts of a run.
    pub fn logs(&self, run: &model::RunId) -> PathBuf {
        self.root.join("logs").join(safe_name(&run.0))
    }

    /// The log of one attempt; absent as long as it has written nothing.
    pub fn log(&self, key: &AttemptKey) -> PathBuf {
        self.logs(&key.run).join(format!("{}-{}", key.node.0, key.n))
    }

    /// The environment that tasks of a run get; it may hold secrets.
    pub fn variables(&self, run: &model::RunId) -> PathBuf {
        self.all_variables().join(safe_name(&run.0))
    }

    pub(crate) fn all_variables(&self) -> PathBuf {
        self.root.join("variables")
    }

    pub fn environments(&self) -> PathBuf {
        self.root.join("environments")
    }

    /// Shared, writable caches of tools (pip, uv, Hugging Face, torch).
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// A directory on which the runner mounts what its sandboxes share.
    pub fn sandbox(&self) -> PathBuf {
        self.root.join("sandbox")
    }

    pub fn images_file(&self) -> PathBuf {
        self.root.join("images.toml")
    }
}

/// A file name that cannot lead elsewhere. Ids are UUIDs, which pass unchanged.
pub(crate) fn safe_name(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !text.is_empty() && !text.starts_with('.') && text.len() <= 200 && text.chars().all(plain) {
        return text.to_string();
    }
    text.bytes().take(100).fold(String::from("x"), |name, byte| name + &format!("{byte:02x}"))
}

/// Creates a directory and its parents; one that exists is fine.
///
/// # Errors
/// Says which directory.
pub fn make_dir(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path).map_err(|error| at(path, error))
}

/// As `make_dir`; what is made only its owner can enter.
///
/// # Errors
/// Says which directory.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| at(path, error))
}

/// The error with the path that it is about.
pub fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{NodeId, RunId};

    #[test]
    fn a_run_id_cannot_lead_out_of_the_home() {
        let home = Home::new(Path::new("/nowhere"));
        let key = |run: &str| AttemptKey { run: RunId(run.into()), node: NodeId(7), n: 2 };
        assert_eq!(home.scratch(&key("0193-ab")), Path::new("/nowhere/attempts/0193-ab/7-2"));
        assert_eq!(home.scratch(&key("../..")), Path::new("/nowhere/attempts/x2e2e2f2e2e/7-2"));
        assert_eq!(home.scratch(&key("")), Path::new("/nowhere/attempts/x/7-2"));
    }

    #[test]
    fn a_long_path_moves_the_socket() {
        let long = PathBuf::from(format!("/{}", "d".repeat(120)));
        assert!(Home::new(&long).socket().as_os_str().len() < SOCKET_PATH_BYTES_MAX);
        assert_eq!(Home::new(Path::new("/h")).socket(), Path::new("/h/runner.sock"));
    }
}
