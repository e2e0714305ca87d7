//! Unique names in `tmp/`, and the removal of what dead processes left there.
//! It must never remove what a living process of this machine is writing.

use crate::error::{ArtifactError, At};
use crate::tree;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What cannot be traced to a process is kept for as long as anything sensible takes.
const UNKNOWN_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A process among all that share a disk: PID namespace, PID, start time in clock ticks since boot.
#[derive(PartialEq, Eq)]
struct Owner {
    namespace: u64,
    pid: u32,
    start: u64,
}

/// A name in `tmp` that no other process, thread or earlier life uses.
pub(crate) fn unique(tmp: &Path) -> PathBuf {
    static OWN: OnceLock<Owner> = OnceLock::new();
    let own = OWN.get_or_init(|| {
        let pid = std::process::id();
        Owner { namespace: pid_namespace(), pid, start: start_time(pid).unwrap_or(0) }
    });
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    tmp.join(format!("{}-{}-{}-{n}", own.namespace, own.pid, own.start))
}

/// Removes leftovers. What cannot be removed stays: it harms nobody, and the next open tries again.
pub(crate) fn clean(tmp: &Path) -> Result<(), ArtifactError> {
    let namespace = pid_namespace();
    for entry in fs::read_dir(tmp).at(tmp)? {
        let entry = entry.at(tmp)?;
        let dead = match entry.file_name().to_str().and_then(parse) {
            Some(owner) if owner.namespace == namespace && owner.namespace != 0 => {
                start_time(owner.pid) != Some(owner.start)
            }
            _ => is_old(&entry),
        };
        if dead {
            let _ = tree::remove_all(&entry.path());
        }
    }
    Ok(())
}

fn parse(name: &str) -> Option<Owner> {
    let mut parts = name.split('-');
    let namespace = parts.next()?.parse().ok()?;
    let pid = parts.next()?.parse().ok()?;
    let start = parts.next()?.parse().ok()?;
    let _: u64 = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some(Owner { namespace, pid, start })
}

fn is_old(entry: &fs::DirEntry) -> bool {
    let modified = entry.metadata().and_then(|m| m.modified());
    modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > UNKNOWN_AGE_MAX))
}

/// 0 where there is no /proc.
fn pid_namespace() -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self/ns/pid").map(|m| m.ino()).unwrap_or(0)
}

/// Field 22 of `/proc/PID/stat`; `None` for a process that is not there, or is dead and waits for its parent to notice.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses, and may itself hold spaces and parentheses.
    let after_command = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_command.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_dead_left_is_removed() {
        let tmp = tempfile::tempdir().unwrap();
        let mine = unique(tmp.path());
        fs::create_dir_all(mine.join("tree")).unwrap();
        let other_start = tmp.path().join(format!("{}-{}-1-0", pid_namespace(), std::process::id()));
        fs::write(&other_start, "x").unwrap();
        let no_process = tmp.path().join(format!("{}-{}-1-0", pid_namespace(), u32::MAX));
        fs::create_dir_all(no_process.join("tree/sub")).unwrap();
        // Dead, though nobody has asked after it.
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let of_child =
            tmp.path().join(format!("{}-{}-{}-0", pid_namespace(), child.id(), start_time(child.id()).unwrap()));
        fs::write(&of_child, "x").unwrap();
        clean(tmp.path()).unwrap();
        assert!(of_child.exists(), "it lives");
        child.kill().unwrap();
        while start_time(child.id()).is_some() {
            std::thread::yield_now();
        }
        let foreign = tmp.path().join("12-1-1-0");
        fs::write(&foreign, "x").unwrap();
        clean(tmp.path()).unwrap();
        assert!(mine.exists() && foreign.exists());
        assert!(!other_start.exists() && !no_process.exists() && !of_child.exists());
        child.wait().unwrap();
    }
}
