//! Processes that a task without a PID namespace left behind: found by `TOWPATH_ATTEMPT` in their environment and ended.
//! It must never touch a process that does not carry the key of an attempt that is over.

use super::MARK;
use super::sys;
use crate::home::Home;
use model::{AttemptKey, NodeId, RunId};
use std::fs;

/// Ends what attempts of dead runners of this home left. Called before anything is started.
pub fn sweep(home: &Home) {
    let ancestors = ancestors();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if ancestors.contains(&pid) {
            continue;
        }
        // The run's logs say that it is a run of this home: ids are unique.
        if attempt_of(pid).is_some_and(|key| home.logs(&key.run).is_dir()) {
            sys::signal(pid, libc::SIGKILL);
        }
    }
}

/// Kills and reaps adopted children that belong to attempts of which `is_over` holds. True if another look is needed: some
/// are still dying, or could not be told (a process that is just executing another program shows no environment).
pub fn end_children(mine: &[i32], is_over: impl Fn(&AttemptKey) -> bool) -> bool {
    let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    let mut again = false;
    for pid in children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()) {
        if mine.contains(&pid) {
            continue;
        }
        if matches!(sys::wait(pid, false), Ok(Some(_))) {
            // Its own children have just become ours, perhaps after the list was read.
            again = true;
            continue;
        }
        match attempt_of(pid) {
            Some(key) if is_over(&key) => {
                sys::signal(pid, libc::SIGKILL);
                again = true;
            }
            Some(_) => {}
            None => again = true,
        }
    }
    again
}

fn attempt_of(pid: i32) -> Option<AttemptKey> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let prefix = format!("{MARK}=");
    let value = environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(prefix.as_bytes()))?;
    parse_key(std::str::from_utf8(value).ok()?)
}

/// Reads what `AttemptKey` prints.
pub fn parse_key(text: &str) -> Option<AttemptKey> {
    let mut parts = text.rsplitn(3, '/');
    let n = parts.next()?.parse().ok()?;
    let node = NodeId(parts.next()?.parse().ok()?);
    Some(AttemptKey { run: RunId(parts.next()?.into()), node, n })
}

/// This process and those above it: a runner may be started from within a task.
fn ancestors() -> Vec<i32> {
    let mut pids = Vec::new();
    let mut pid = std::process::id() as i32;
    while pid > 1 && !pids.contains(&pid) {
        pids.push(pid);
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // "pid (name) state parent …"; the name may hold anything.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        pid = parent.unwrap_or(0);
    }
    pids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_printed() {
        let key = AttemptKey { run: RunId("0193".into()), node: NodeId(12), n: 3 };
        assert_eq!(parse_key(&key.to_string()), Some(key));
        assert_eq!(parse_key("nonsense"), None);
    }

    #[test]
    fn this_process_is_its_own_ancestor() {
        assert!(ancestors().contains(&(std::process::id() as i32)));
    }
}
