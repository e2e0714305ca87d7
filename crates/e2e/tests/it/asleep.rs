//! Processes of ours that are stopped, let go on, or asked to leave.
//! It must never take time asleep for time that a task had.

use crate::harness::{Home, scripts, signal, wait};
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Longer than what is taken for a slow machine.
const ASLEEP: Duration = Duration::from_millis(4_500);

fn all(home: &Home, run: &str) -> Vec<i32> {
    let mut pids = home.processes("__holder");
    pids.extend(home.processes("__runner"));
    pids.extend(crate::kills::orphans(run));
    pids
}

#[test]
fn time_asleep_does_not_count_towards_timeouts() {
    let home = Home::new();
    let gate = home.root().with_file_name("gate");
    let waits = format!("echo began\nuntil test -e {}; do sleep 0.05; done", gate.display());
    let text = scripts("name: sleeps", &[("a", "", &*waits), ("b", "a", "echo after")]);
    // Of the task, and of the whole run.
    let text = text.replace("  - name: a\n", "  - name: a\n    activeDeadlineSeconds: 4\n");
    let text = text.replace("spec:\n", "spec:\n  activeDeadlineSeconds: 4\n");
    let file = home.file("sleeps.yaml", &text);
    let going = home.start(&["run", &file, "--profile", "trusted"]);
    home.wait_for_log("sleeps", "began");
    let stopped = all(&home, "sleeps");
    assert!(stopped.len() >= 3, "{stopped:?}");
    stopped.iter().for_each(|pid| signal(*pid, Signal::STOP));
    // The time itself is what is tried.
    std::thread::sleep(ASLEEP);
    stopped.iter().rev().for_each(|pid| signal(*pid, Signal::CONT));
    std::fs::write(&gate, "").expect("gate");
    assert_eq!(going.end(), 0, "{}", home.ok(&["get", "sleeps"]));
    // And yet a deadline still strikes.
    let text =
        scripts("name: late", &[("a", "", "sleep 60")]).replace("spec:\n", "spec:\n  activeDeadlineSeconds: 1\n");
    assert_eq!(home.run(&["run", &home.file("late.yaml", &text)]).code, 1);
}

#[test]
fn a_holder_that_was_stopped_goes_on_and_stays_the_only_one() {
    let home = Home::new();
    let gate = home.root().with_file_name("gate");
    let waits = format!("echo began\nuntil test -e {}; do sleep 0.05; done\necho passed", gate.display());
    let file = home.file("w.yaml", &scripts("name: w", &[("a", "", &*waits), ("b", "a", "echo after")]));
    home.ok(&["run", &file, "--profile", "trusted", "--no-watch"]);
    home.wait_for_log("w", "began");
    let holders = home.processes("__holder");
    holders.iter().for_each(|pid| signal(*pid, Signal::STOP));
    std::fs::write(&gate, "").expect("gate");
    home.wait_for_log("w", "passed");
    // Whoever wants to write meanwhile waits; nobody else becomes the holder.
    let other = home.file("other.yaml", &scripts("name: other", &[("a", "", "echo hi")]));
    let waiting = home.start(&["run", &other]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(home.processes("__holder"), holders);
    holders.iter().for_each(|pid| signal(*pid, Signal::CONT));
    assert_eq!(waiting.end(), 0);
    home.ok(&["resume", "w"]);
    let events = home.ok(&["events", "w", "-o", "json"]);
    assert_eq!(events.matches("AttemptStarted").count(), 2, "{events}");
    crate::kills::check_ending(&events, "Succeeded").expect("a sound history");
}

#[test]
fn sigterm_ends_the_holder_at_once_and_no_task() {
    let home = Home::new();
    let gate = home.root().with_file_name("gate");
    let waits = format!("echo began\nuntil test -e {}; do sleep 0.05; done\necho passed", gate.display());
    let file = home.file("w.yaml", &scripts("name: w", &[("a", "", &*waits), ("b", "a", "echo after")]));
    home.ok(&["run", &file, "--profile", "trusted", "--no-watch"]);
    home.wait_for_log("w", "began");
    let begun = Instant::now();
    home.processes("__holder").iter().for_each(|pid| signal(*pid, Signal::TERM));
    wait("the end of the holder", || home.processes("__holder").is_empty().then_some(()));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(!crate::kills::orphans("w").is_empty(), "the task goes on");
    std::fs::write(&gate, "").expect("gate");
    home.wait_for_log("w", "passed");
    assert!(home.ok(&["resume", "w"]).contains("Succeeded"));
    let events = home.ok(&["events", "w", "-o", "json"]);
    assert_eq!((events.matches("AttemptStarted").count(), events.matches("\"lost\"").count()), (2, 0), "{events}");
}
