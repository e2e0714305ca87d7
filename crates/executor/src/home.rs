//! Where the executor keeps things below `$TOWPATH_HOME`: the one place that knows these paths.
//! It must never create or delete anything by itself, apart from directories on request.

use model::AttemptKey;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
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

    pub fn socket(&self) -> PathBuf {
        self.socket_named("runner.sock")
    }

    /// A socket of the home: in it, or in a private directory under `$XDG_RUNTIME_DIR` or `/tmp` when that path is too long.
    pub fn socket_named(&self, name: &str) -> PathBuf {
        let inside = self.root.join(name);
        if inside.as_os_str().len() < SOCKET_PATH_BYTES_MAX {
            return inside;
        }
        let base = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let user = rustix::process::getuid().as_raw();
        base.join(format!("towpath-{user}-{}", self.hash())).join(name)
    }

    /// Whether nobody else could have made this socket: its directory is the home, or private.
    pub fn is_ours(&self, socket: &Path) -> bool {
        let Some(dir) = self.elsewhere(socket) else { return true };
        let user = rustix::process::getuid().as_raw();
        std::fs::symlink_metadata(dir).is_ok_and(|m| m.is_dir() && m.uid() == user && m.mode() & 0o077 == 0)
    }

    /// Makes the directory of this socket.
    ///
    /// # Errors
    /// It cannot be made, or somebody else has made it, who could listen in our place.
    pub fn make_socket_dir(&self, socket: &Path) -> io::Result<()> {
        let Some(dir) = self.elsewhere(socket) else { return Ok(()) };
        make_private_dir(dir)?;
        if self.is_ours(socket) {
            return Ok(());
        }
        let what =
            "it belongs to somebody else, or others may enter it; remove it, or choose a home with a shorter path";
        Err(at(dir, io::Error::new(io::ErrorKind::PermissionDenied, what)))
    }

    /// The directory of a socket that is not in the home.
    fn elsewhere<'a>(&self, socket: &'a Path) -> Option<&'a Path> {
        socket.parent().filter(|dir| *dir != self.root)
    }

    /// Makes private what holds data of runs, though the home may be one that others can read. Best effort: what is not ours stays
    /// as it is.
    pub fn make_private(&self) {
        let dirs =
            ["artifacts", "attempts", "attempts.trash", "kept", "logs", "outcomes", "variables", "volumes", "claims"];
        for dir in dirs.map(|name| self.root.join(name)) {
            let _ = make_private_dir(&dir);
            close(&dir, 0o700);
        }
        for name in
            ["store.db", "store.db-wal", "store.db-shm", "holder.log", "runner.log", "engine.lock", "runner.lock"]
        {
            close(&self.root.join(name), 0o600);
        }
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

    /// Volumes that the attempts of a run share.
    pub fn volumes(&self, run: &model::RunId) -> PathBuf {
        self.root.join("volumes").join(safe_name(&run.0))
    }

    /// Volumes that the runs of the home share.
    pub(crate) fn claims(&self) -> PathBuf {
        self.root.join("claims")
    }

    /// What attempts wrote and nobody declared.
    pub(crate) fn kept(&self) -> PathBuf {
        self.root.join("kept")
    }

    /// The same of one run.
    pub(crate) fn kept_of(&self, run: &model::RunId) -> PathBuf {
        self.kept().join(safe_name(&run.0))
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

    /// The layers of sandboxes that are used by several attempts.
    pub fn sandboxes(&self) -> PathBuf {
        self.root.join("sandboxes")
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
    // Most are there, and to look costs less than to try.
    if path.is_dir() { Ok(()) } else { std::fs::create_dir_all(path).map_err(|error| at(path, error)) }
}

/// As `make_dir`; what is made only its owner can enter.
///
/// # Errors
/// Says which directory.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| at(path, error))
}

/// Takes rights of others away. A link is left alone.
fn close(path: &Path, mode: u32) {
    let open = |metadata: &std::fs::Metadata| !metadata.is_symlink() && metadata.mode() & 0o077 != 0;
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| open(&metadata)) {
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    }
}

/// The error with the path that it is about.
pub fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_for_sockets_that_others_can_enter_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = Home::new(&dir.path().join("home"));
        let socket = dir.path().join("elsewhere").join("runner.sock");
        assert!(!home.is_ours(&socket), "it is not there");
        home.make_socket_dir(&socket).expect("made");
        assert!(home.is_ours(&socket) && home.is_ours(&home.root().join("runner.sock")));
        std::fs::set_permissions(socket.parent().expect("dir"), std::fs::Permissions::from_mode(0o755)).expect("mode");
        assert!(!home.is_ours(&socket));
        let error = home.make_socket_dir(&socket).expect_err("others may enter");
        assert!(error.to_string().contains("elsewhere"), "{error}");
    }
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
