//! What a task of profile `strict` may reach of what its sandbox shows: the machine's programs, to read, and what it was given
//! (DESIGN §5).
//! It must never be asked in another place than the sandbox that it is for: paths are looked up there.

use super::sys::landlock::{Access, Ruleset};
use crate::local::layout::{OWN, SYSTEM};
use model::runner::{Bind, Spawn};
use rustix::fd::AsFd;
use rustix::fs::{CWD, Mode, OFlags};
use std::path::{Path, PathBuf};

/// The rules for this attempt; `None` where the kernel has no Landlock.
///
/// # Errors
/// What was refused, in words.
pub fn rules(spawn: &Spawn) -> Result<Option<Ruleset>, String> {
    let fail = |error: std::io::Error| format!("Landlock: {error}");
    let Some(rules) = Ruleset::new().map_err(fail)? else { return Ok(None) };
    for (path, access) in allowed(spawn) {
        let opened = rustix::fs::openat(CWD, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let Ok(opened) = opened else { continue };
        let kind = rustix::fs::fstat(&opened).map_err(|error| fail(error.into()))?.st_mode;
        let is_directory = rustix::fs::FileType::from_raw_mode(kind).is_dir();
        rules.allow(opened.as_fd(), is_directory, access).map_err(fail)?;
    }
    Ok(Some(rules))
}

fn allowed(spawn: &Spawn) -> Vec<(PathBuf, Access)> {
    let read = SYSTEM.iter().map(|path| (PathBuf::from(path), Access::Read));
    // The command was given too, wherever it lies.
    let programs =
        programs(&spawn.env).into_iter().chain(spawn.argv.first().map(PathBuf::from)).map(|path| (path, Access::Read));
    let write = OWN.iter().map(PathBuf::from).chain(spawn.binds.iter().map(|Bind { to, .. }| PathBuf::from(to)));
    let given = write.chain(spawn.open.iter().map(PathBuf::from)).map(|path| (path, Access::Write));
    read.chain(programs).chain(given).filter(|(path, _)| path != Path::new("/")).collect()
}

/// Where the task's PATH finds programs outside of the system's directories: each directory itself, and of a Python environment
/// or a version manager the whole.
fn programs(env: &[(String, String)]) -> Vec<PathBuf> {
    let value = |wanted: &str| env.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value);
    let mut found: Vec<PathBuf> =
        value("PATH").split(':').filter(|dir| dir.starts_with('/')).map(PathBuf::from).collect();
    let environments: Vec<PathBuf> = found
        .iter()
        .filter_map(|dir| dir.parent())
        .filter(|dir| dir.join("pyvenv.cfg").exists() || dir.join("conda-meta").exists())
        .map(Path::to_path_buf)
        .collect();
    found.extend(environments);
    found.extend(
        ["PYENV_ROOT", "CONDA_PREFIX", "VIRTUAL_ENV"]
            .map(value)
            .iter()
            .filter(|dir| dir.starts_with('/'))
            .map(PathBuf::from),
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_programs_does_not_open_what_is_beside_it() {
        let env = |path: &str| [("PATH".to_owned(), path.to_owned()), ("PYENV_ROOT".to_owned(), "/p".to_owned())];
        let found = programs(&env("/usr/bin:/u/.local/bin::relative"));
        assert_eq!(found, ["/usr/bin", "/u/.local/bin", "/p"].map(PathBuf::from));
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join("pyvenv.cfg"), "").expect("file");
        let bin = dir.path().join("bin");
        assert!(programs(&env(&bin.to_string_lossy())).contains(&dir.path().to_path_buf()));
    }
}
