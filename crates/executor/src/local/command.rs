//! Finding programs: a command in PATH, and this machine's Python 3.
//! It must never know what they are run for.

use crate::variables::Variables;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The program that `name` (without a slash) means.
///
/// # Errors
/// Go's words, which upstream's node messages have.
pub(crate) fn find(name: &str, path: &str, directory: &str) -> Result<String, String> {
    let mut denied = false;
    for dir in path.split(':') {
        let dir = if dir.is_empty() { directory } else { dir };
        let candidate = Path::new(dir).join(name);
        let Ok(kind) = candidate.metadata() else { continue };
        if kind.is_dir() {
            continue;
        }
        if rustix::fs::access(&candidate, rustix::fs::Access::EXEC_OK).is_ok() {
            return Ok(candidate.to_string_lossy().into_owned());
        }
        denied = true;
    }
    let why = if denied { "permission denied" } else { "executable file not found in $PATH" };
    Err(format!("failed to find name in PATH: exec: \"{name}\": {why}"))
}

/// This machine's Python 3 and those of its users, each looked at once.
#[derive(Debug, Default)]
pub(crate) struct Python {
    machine: OnceLock<Result<Interpreter, String>>,
    /// By program and directory: version managers answer otherwise in another one.
    of_users: Mutex<BTreeMap<(String, String), Result<Interpreter, String>>>,
    /// Others that are installed, by path; and which of them was chosen for a wish.
    others: Mutex<BTreeMap<PathBuf, Option<Interpreter>>>,
    chosen: Mutex<BTreeMap<String, Interpreter>>,
    /// What stands for images, by the version of their tags.
    of_tags: Mutex<BTreeMap<String, Result<Interpreter, String>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interpreter {
    /// The real one, behind version managers' wrappers.
    pub path: PathBuf,
    /// Like "3.11.7".
    pub version: String,
    /// Like "linux-x86_64".
    pub platform: String,
}

impl Python {
    /// # Errors
    /// There is none: the remedy.
    pub fn find(&self) -> Result<Interpreter, String> {
        self.machine.get_or_init(|| look(&mut Command::new("python3"))).clone()
    }

    /// The Python at a path; `None`: it does not work.
    pub fn at(&self, path: &Path) -> Option<Interpreter> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.entry(path.into()).or_insert_with(|| look(&mut Command::new(path)).ok()).clone()
    }

    /// What `choose` found for a tag, once.
    pub fn of_tag(
        &self,
        tag: &str,
        choose: impl FnOnce() -> Result<Interpreter, String>,
    ) -> Result<Interpreter, String> {
        let mut of_tags = self.of_tags.lock().unwrap_or_else(PoisonError::into_inner);
        of_tags.entry(tag.into()).or_insert_with(choose).clone()
    }

    /// What was chosen for a wish before, else what `choose` finds. A failure is not remembered: one may be installed meanwhile.
    pub fn remembered(
        &self,
        wish: &str,
        choose: impl FnOnce() -> Result<Interpreter, String>,
    ) -> Result<Interpreter, String> {
        let known = self.chosen.lock().unwrap_or_else(PoisonError::into_inner).get(wish).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = choose()?;
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner).insert(wish.into(), found.clone());
        Ok(found)
    }

    /// What `program` is for a user who starts it in `directory`.
    ///
    /// # Errors
    /// It does not work: the remedy.
    pub fn of(&self, program: &str, directory: &str, variables: &Variables) -> Result<Interpreter, String> {
        let mut of_users = self.of_users.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (program.to_string(), directory.to_string());
        let found = of_users.entry(key).or_insert_with(|| {
            let mut command = Command::new(program);
            let pairs = variables.0.iter().map(|(name, value)| (name, value));
            look(command.env_clear().envs(pairs).current_dir(directory))
        });
        found.clone()
    }
}

fn look(command: &mut Command) -> Result<Interpreter, String> {
    const ASK: &str = "import sys, sysconfig, platform\nprint(sys.executable)\nprint(platform.python_version())\nprint(sysconfig.get_platform())";
    let missing = |why: String| {
        format!("there is no working python3 on this machine ({why}); install it (Debian, Ubuntu: apt install python3)")
    };
    let output = command.args(["-I", "-c", ASK]).output().map_err(|error| missing(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines().map(str::to_string);
    match (output.status.success(), lines.next(), lines.next(), lines.next()) {
        (true, Some(path), Some(version), Some(platform)) if path.starts_with('/') => {
            Ok(Interpreter { path: path.into(), version, platform })
        }
        _ => Err(missing(String::from_utf8_lossy(&output.stderr).trim().to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_upstreams() {
        assert!(find("sh", "/nowhere:/bin:/usr/bin", "/").is_ok_and(|path| path.ends_with("/sh")));
        let error = find("no-such-thing", "/bin", "/").expect_err("missing");
        assert_eq!(error, "failed to find name in PATH: exec: \"no-such-thing\": executable file not found in $PATH");
    }

    #[test]
    fn a_file_that_is_not_executable_is_not_a_command() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join("tool"), "x").expect("file");
        let error = find("tool", &dir.path().to_string_lossy(), "/").expect_err("denied");
        assert!(error.ends_with("\"tool\": permission denied"), "{error}");
    }
}
