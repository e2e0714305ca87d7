//! System calls of ours that fail, once, or write only half: the Nth of a kind, for several N; under both promises of durability.
//! It must never excuse a history, nor a holder that writes on after a sync has failed.

use crate::contents::damaged_artifacts;
use crate::harness::Home;
use crate::kills::check_ending;
use crate::supervisor::{Aim, CAN_FAIL_CALLS, Injection, Supervisor};
use crate::workflows::SCRIPTS;

/// Commands that bring a run to its end, at most.
const COMMANDS_MAX: usize = 8;

const SYNCS: &[&str] = &["fsync", "fdatasync", "syncfs"];
const WRITES: &[&str] = &["pwrite64", "write", "writev"];
/// Whatever of these SQLite, the artifacts and the runner use.
const CHANGES: &[&str] = &["rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "ftruncate"];

#[test]
fn a_sync_that_fails_loses_nothing_that_was_acknowledged() {
    let syncs = Aim { injection: Injection::Fail(libc::EIO), calls: SYNCS, path: "", nth: 0 };
    every_call(&[("full", syncs.clone()), ("normal", syncs)]);
}

#[test]
fn a_write_that_fails_or_is_short_loses_nothing_that_was_acknowledged() {
    let of = |injection, path| Aim { injection, calls: WRITES, path, nth: 0 };
    every_call(&[
        ("full", of(Injection::Fail(libc::EIO), "store.db")),
        ("full", of(Injection::Short, "store.db")),
        ("normal", of(Injection::Fail(libc::EINTR), "/")),
        ("normal", of(Injection::Fail(libc::ENOSPC), "/")),
        ("normal", of(Injection::Short, "/")),
    ]);
}

#[test]
fn a_change_of_a_directory_that_fails_loses_nothing_that_was_acknowledged() {
    let changes = Aim { injection: Injection::Fail(libc::EIO), calls: CHANGES, path: "", nth: 0 };
    every_call(&[("normal", changes)]);
}

/// `TOWPATH_FAULT_ROUNDS` bounds how many calls of each kind are tried, spread evenly.
fn every_call(kinds: &[(&str, Aim)]) {
    if !CAN_FAIL_CALLS {
        return println!("not run: the registers of this processor are not known");
    }
    let calls: u64 = std::env::var("TOWPATH_FAULT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let script = SCRIPTS.iter().find(|script| script.name == "directory").expect("a workflow with artifacts");
    let mut made = 0;
    for (durability, aim) in kinds {
        let home = Home::new();
        let file = home.file("flow.yaml", script.text);
        home.file("towpath.toml", &format!("durability = \"{durability}\"\n"));
        let mut nth = 0;
        let mut step = 1;
        loop {
            let name = format!("{}-{made}-{nth}", script.name);
            let aim = Aim { nth, ..aim.clone() };
            let (counted, hit) = match one_round(&home, &file, &name, aim) {
                Ok(told) => told,
                Err(why) => return println!("not run: {why}"),
            };
            made += 1;
            match (nth, hit) {
                (0, _) => step = counted.div_ceil(calls.max(1)).max(1),
                (_, None) => break,
                (_, Some(_)) => {}
            }
            nth += step;
        }
    }
    println!("rounds made: {made}");
}

/// How many such calls there were, and the one that was hit.
fn one_round(home: &Home, file: &str, name: &str, aim: Aim) -> Result<(u64, Option<String>), String> {
    let (mut supervisor, what) = (Supervisor::new(&home.root(), aim.clone()), format!("{name}: {aim:?}"));
    let first = supervisor.run(home.command(&["run", file, "--name", name]))?;
    let acknowledged = !first.out.is_empty();
    let (counted, hit) = (supervisor.counted, supervisor.hit.clone());
    for command in 0.. {
        let events = home.run(&["events", name, "-o", "json"]);
        if events.code == 0 && events.out.contains("\"RunEnded\"") {
            break;
        }
        assert!(command < COMMANDS_MAX, "{what}, {hit:?}: it does not end: {}", home.run(&["explain", name]).out);
        let ran = supervisor.run(home.command(&["resume", name]))?;
        if ran.code == 2 && home.run(&["get", name]).code == 2 {
            assert!(!acknowledged, "{what}, {hit:?}: the run was acknowledged ({:?}) and is gone", first.out);
            supervisor.run(home.command(&["run", file, "--name", name]))?;
        }
    }
    drop(supervisor);
    let log = home.ok(&["events", name, "-o", "json"]);
    // A task whose inputs or outputs could not be written may end as Error; it must not be lost, nor end twice.
    if let Err(why) = check_ending(&log, ending(&log)) {
        panic!("{what}, {hit:?}: {why}\n{log}");
    }
    assert_eq!(damaged_artifacts(&home.root()), Vec::<String>::new(), "{what}, {hit:?}");
    Ok((counted, hit))
}

fn ending(log: &str) -> &'static str {
    ["Failed", "Error"]
        .into_iter()
        .find(|phase| log.lines().any(|line| line.contains("RunEnded") && line.contains(phase)))
        .unwrap_or("Succeeded")
}
