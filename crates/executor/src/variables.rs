//! The environment of the command that started or resumed a run: what of it tasks get, and the file that keeps it while the run
//! goes on. It may hold secrets: it is private to the user and gone with the run.
//! It must never reach a plan, an event, a log or a message.

use crate::home::{Home, at, make_private_dir, safe_name};
use crate::runner::MARK;
use model::RunId;
use model::attempt::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::{Arc, Mutex, PoisonError};

/// Variables that tasks in a sandbox get: what programs need to run here at all, and nothing that a shell may hold besides.
const PASSED: [&str; 12] = [
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "USER",
    "LOGNAME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PYENV_ROOT",
];
const PASSED_SUFFIXES: [&str; 2] = ["_proxy", "_PROXY"];
const PASSED_PREFIXES: [&str; 3] = ["PIP_", "UV_", "LD_LIBRARY_PATH"];
/// For `standard` where there are no sandboxes, which have a directory of their own for this.
const PASSED_OUTSIDE: &str = "HOME";
/// What says where the command itself stood; the executor says it anew for each task.
const OWN: [&str; 6] = ["_", "OLDPWD", "TOWPATH_HOME", "TOWPATH_RUN", "TOWPATH_NODE", MARK];

/// Names and values.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Variables(pub Vec<(String, String)>);

impl std::fmt::Debug for Variables {
    /// Their number: values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Variables({})", self.0.len())
    }
}

/// What a command sends along.
#[derive(Debug)]
pub struct Own {
    pub variables: Variables,
    /// Names of variables that cannot travel: their values are no UTF-8.
    pub left_out: Vec<String>,
}

/// The part of this process's environment that tasks of a run under this profile get.
pub fn own(profile: Profile) -> Own {
    let mut own = Own { variables: Variables::default(), left_out: Vec::new() };
    for (name, value) in std::env::vars_os() {
        let wanted = |name: &str| match profile {
            Profile::Trusted => !OWN.contains(&name),
            Profile::Standard | Profile::Strict => is_passed(name) || name == PASSED_OUTSIDE,
        };
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) if wanted(&name) => own.variables.0.push((name, value)),
            (Ok(name), Err(_)) if wanted(&name) => own.left_out.push(name),
            (Err(name), _) if profile == Profile::Trusted => own.left_out.push(name.to_string_lossy().into_owned()),
            _ => {}
        }
    }
    own
}

/// How the names begin under which Secrets travel along; no variable of a shell can be called so.
const SECRET: &str = "=secret=";

/// Adds the Secrets of the documents: name, key, value.
pub fn add_secret(variables: &mut Variables, name: &str, key: &str, value: &str) {
    variables.0.push((format!("{SECRET}{name}/{key}"), value.to_owned()));
}

/// Those of the run stay where the environment is replaced.
pub fn take_secrets(variables: &mut Variables, from: &Variables) {
    variables.0.extend(from.0.iter().filter(|(name, _)| is_secret(name)).cloned());
}

pub(crate) fn is_secret(name: &str) -> bool {
    name.starts_with(SECRET)
}

/// Keys and values of a Secret.
pub(crate) fn secrets<'a>(variables: &'a Variables, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let prefix = format!("{SECRET}{name}/");
    variables.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix.as_str())?, value.as_str())))
}

pub(crate) fn secret<'a>(variables: &'a Variables, name: &str, key: &str) -> Option<&'a str> {
    secrets(variables, name).find(|(known, _)| *known == key).map(|(_, value)| value)
}

/// What is kept for a run.
///
/// # Errors
/// It is not there, or cannot be read.
pub fn kept(home: &Home, run: &RunId) -> io::Result<Variables> {
    Ok(serde_json::from_slice(&fs::read(home.variables(run))?)?)
}

/// Whether tasks in a sandbox get the variable.
pub(crate) fn is_passed(name: &str) -> bool {
    PASSED.contains(&name)
        || PASSED_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
        || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether it is a setting of pip or uv, or of how they reach the network.
pub(crate) fn is_of_installers(name: &str) -> bool {
    const NETWORK: [&str; 4] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
    name.starts_with("PIP_")
        || name.starts_with("UV_")
        || NETWORK.contains(&name)
        || PASSED_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Keeps the environment for the attempts of a run, in place of the one before. It is whole or it is not there.
///
/// # Errors
/// The file that cannot be written. The one before is still there.
pub fn keep(home: &Home, run: &RunId, variables: &Variables) -> io::Result<()> {
    let path = home.variables(run);
    make_private_dir(&home.all_variables())?;
    let new = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(variables)?)?;
        fs::rename(&new, &path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&new);
        at(&path, error)
    })
}

/// The run is over.
pub fn forget(home: &Home, run: &RunId) {
    let _ = fs::remove_file(home.variables(run));
}

/// Removes what was kept for other runs than these.
pub fn sweep<'a>(home: &Home, runs: impl Iterator<Item = &'a RunId>) {
    let names: BTreeSet<String> = runs.map(|run| safe_name(&run.0)).collect();
    for entry in fs::read_dir(home.all_variables()).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(|name| names.contains(name)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Reads what is kept; the last one that was read is remembered, because many attempts of one run follow each other.
#[derive(Default)]
pub(crate) struct Kept {
    last: Mutex<Option<Read>>,
}

struct Read {
    run: RunId,
    /// Another file in its place is another one of these.
    identity: (u64, i64, i64),
    variables: Arc<Variables>,
}

impl Kept {
    /// # Errors
    /// It is not there (a run that an older build started), or is damaged by a power cut.
    pub fn of(&self, home: &Home, run: &RunId) -> io::Result<Arc<Variables>> {
        let path = home.variables(run);
        let metadata = fs::metadata(&path)?;
        let identity = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = last.as_ref().filter(|read| read.run == *run && read.identity == identity) {
            return Ok(Arc::clone(&read.variables));
        }
        let variables: Arc<Variables> = Arc::new(serde_json::from_slice(&fs::read(&path)?)?);
        *last = Some(Read { run: run.clone(), identity, variables: Arc::clone(&variables) });
        Ok(variables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn variables(value: &str) -> Variables {
        Variables(vec![("FOO".into(), value.into())])
    }

    #[test]
    fn what_is_kept_is_private_replaced_and_forgotten() {
        let dir = tempfile::tempdir().expect("a directory");
        let home = Home::new(dir.path());
        let (run, other) = (RunId("r".into()), RunId("s".into()));
        let kept = Kept::default();
        assert!(kept.of(&home, &run).is_err());
        for value in ["one", "two"] {
            keep(&home, &run, &variables(value)).expect("kept");
            assert_eq!(*kept.of(&home, &run).expect("read"), variables(value));
            assert_eq!(*kept.of(&home, &run).expect("read again"), variables(value));
        }
        for path in [home.variables(&run), home.all_variables()] {
            assert_eq!(path.metadata().expect("metadata").permissions().mode() & 0o077, 0, "{}", path.display());
        }
        keep(&home, &other, &variables("three")).expect("kept");
        sweep(&home, [run.clone()].iter());
        assert!(kept.of(&home, &other).is_err() && kept.of(&home, &run).is_ok());
        forget(&home, &run);
        assert!(kept.of(&home, &run).is_err());
    }

    #[test]
    fn values_are_not_shown() {
        assert!(!format!("{:?}", variables("secret")).contains("secret"));
    }

    #[test]
    fn standard_gets_less_than_trusted() {
        let (trusted, standard) = (own(Profile::Trusted).variables.0, own(Profile::Standard).variables.0);
        assert!(standard.iter().all(|(name, _)| is_passed(name) || name == "HOME"));
        // Cargo gives its tests this one.
        assert!(trusted.iter().any(|(name, _)| name == "CARGO_PKG_NAME"));
    }
}
