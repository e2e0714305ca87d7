//! What survives the death of our processes.

use crate::harness::{Home, scripts, wait};
use rustix::process::Signal;

/// `once` leaves a line a launch; `gate` ends when the test says so, by a file in the user's own directory (profile trusted).
fn gated(home: &Home) -> String {
    let gate = home.root().with_file_name("gate");
    let waits = format!("echo waiting\nwhile ! test -e {}; do sleep 0.05; done\necho passed", gate.display());
    let tasks = [("once", "", "echo ran-once"), ("waits", "once", waits.as_str()), ("last", "waits", "echo last-ran")];
    home.file("gated.yaml", &scripts("name: gated", &tasks))
}

fn open_gate(home: &Home) {
    std::fs::write(home.root().with_file_name("gate"), "").expect("gate");
}

#[test]
fn a_killed_holder_loses_nothing_and_resume_goes_on() {
    let home = Home::new();
    let file = gated(&home);
    let going = home.start(&["run", &file, "--profile", "trusted"]);
    home.wait_for_log("gated", "waiting");
    home.kill_holder();
    assert_eq!(going.end(), 3, "the client says that the holder ended");
    assert!(home.ok(&["list"]).contains("interrupted"));
    assert!(home.ok(&["get", "@"]).contains("towpath resume gated"));
    assert!(home.ok(&["explain", "@"]).contains("interrupted"));
    // The task ends while nobody holds the home: its runner keeps the outcome.
    open_gate(&home);
    home.wait_for_log("gated", "passed");
    let out = home.ok(&["resume", "gated"]);
    assert!(out.contains("gated Succeeded"), "{out}");
    assert_eq!(home.ok(&["logs", "@", "once"]), "ran-once\n", "what succeeded is not run again");
    assert_eq!(home.ok(&["logs", "@", "waits"]), "waiting\npassed\n", "what ran was attached to");
    assert_eq!(home.ok(&["logs", "@", "last"]), "last-ran\n");
    assert_eq!(home.events("RunResumed").len(), 1);
}

#[test]
fn the_next_command_attaches_but_starts_nothing_new() {
    let home = Home::new();
    let file = gated(&home);
    home.ok(&["run", &file, "--profile", "trusted", "--no-watch"]);
    home.wait_for_log("gated", "waiting");
    home.kill_holder();
    // Another run brings a holder: it attaches to what still runs and records its end.
    let other = home.file("other.yaml", &scripts("name: other", &[("a", "", "echo hi")]));
    home.ok(&["run", &other, "--profile", "trusted"]);
    open_gate(&home);
    wait("the recorded end", || {
        let events = home.ok(&["events", "gated", "-o", "json"]);
        (events.matches("AttemptEnded").count() == 2).then_some(())
    });
    let explained = home.ok(&["explain", "gated"]);
    assert!(explained.contains("interrupted"), "{explained}");
    assert!(!home.ok(&["logs", "gated"]).contains("last-ran"));
    assert!(home.ok(&["resume", "gated"]).contains("Succeeded"));
}

#[test]
fn what_a_killed_runner_had_is_lost_and_runs_again() {
    let home = Home::new();
    let file = gated(&home);
    let going = home.start(&["run", &file, "--profile", "trusted"]);
    home.wait_for_log("gated", "waiting");
    let runners = home.processes("__runner");
    runners.iter().for_each(|pid| crate::harness::signal(*pid, Signal::KILL));
    wait("the second attempt", || (home.events("AttemptStarted").len() == 3).then_some(()));
    open_gate(&home);
    assert_eq!(going.end(), 0);
    let ends = home.events("AttemptEnded");
    let lost = ends.iter().filter(|event| event.to_string().contains("lost")).count();
    assert_eq!((ends.len(), lost), (4, 1), "{ends:?}");
}

#[test]
fn two_command_lines_share_a_home() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("generateName: both-", &[("a", "", "echo hi"), ("b", "a", "echo hi")]));
    let going: Vec<_> = (0..4).map(|_| home.start(&["run", &file])).collect();
    assert!(going.into_iter().all(|run| run.end() == 0));
    assert_eq!(home.processes("__holder").len(), 1);
    assert_eq!(home.ok(&["list"]).matches("succeeded").count(), 4);
}

#[test]
fn an_idle_holder_leaves_and_takes_its_runner_with_it() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("name: short", &[("a", "", "echo hi")]));
    home.ok(&["run", &file]);
    wait("an empty home", || {
        (home.processes("__holder").is_empty() && home.processes("__runner").is_empty()).then_some(())
    });
    assert!(!home.root().join("engine.sock").exists());
    assert!(home.ok(&["get", "short"]).contains("succeeded"), "reading needs no holder");
    assert!(home.processes("__holder").is_empty());
}

#[test]
fn full_durability_is_a_setting_and_is_not_silently_weaker() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("generateName: w-", &[("a", "", "echo hi")]));
    home.ok(&["run", &file]);
    home.file("towpath.toml", "durability = \"full\"\n");
    let refused = home.run(&["run", &file]);
    assert!(refused.code == 1 && refused.err.contains("durability"), "{refused:?}");
    wait("the end of the other holder", || home.processes("__holder").is_empty().then_some(()));
    home.ok(&["run", &file]);
}
