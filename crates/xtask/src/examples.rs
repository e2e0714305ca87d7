//! Every example, run by the real binary in an empty home: it has to succeed.
//! It must never know what an example does.

use crate::checkout;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The files below `examples/` that are run: all YAML.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Runs them one after the other. True where all succeeded.
pub fn run() -> Result<bool> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "cli"]).current_dir(checkout::root());
    if !cargo.status().context("cannot run cargo")?.success() {
        return Ok(false);
    }
    let binary = checkout::target().join("debug/towpath");
    let home = tempfile::tempdir().context("cannot make a home")?;
    let mut passed = true;
    for file in files(&checkout::root().join("examples"))? {
        let mut towpath = Command::new(&binary);
        towpath.arg("run").arg(&file).arg("--home").arg(home.path()).stdin(Stdio::null());
        let succeeded = towpath.status().with_context(|| format!("cannot run {}", binary.display()))?.success();
        println!("{}: {}", file.display(), if succeeded { "succeeded" } else { "FAILED" });
        passed &= succeeded;
    }
    Ok(passed)
}
