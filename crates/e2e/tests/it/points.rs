//! A crash at every point where something is persisted, sent or started: the Nth such operation of our processes is not made, and the
//! process that would have made it dies, for N = 1, 2, 3 … until the workflow passes without reaching N; over twelve workflows.
//! `TOWPATH_FAULT_ROUNDS` bounds how many points of each are tried, spread evenly; `TOWPATH_POINTS_ONLY` names one workflow, and with
//! `TOWPATH_POINTS_FROM` one point after the other is tried from there on.
//! It must never excuse a history: whatever died, the same must hold.

use crate::contents::{damaged_artifacts, leftovers};
use crate::harness::{Home, wait};
use crate::kills::{check_ending, orphans};
use crate::supervisor::{Aim, Injection, Supervisor, Told};
use crate::workflows::{After, SCRIPTS, Script};

/// Commands that bring a run to its end, at most.
const COMMANDS_MAX: usize = 8;
/// Points of a workflow, at most: it would not end.
const POINTS_MAX: u64 = 20_000;
/// In a plain test run: points of each of these workflows.
const POINTS_BY_DEFAULT: u64 = 2;
const BY_DEFAULT: &[&str] = &["directory", "resumed"];

const NEVER: Aim = Aim { injection: Injection::Kill, calls: &[], path: "", nth: 0 };

#[test]
fn a_crash_at_any_persistence_point_loses_nothing() {
    let wanted: Option<u64> = setting("TOWPATH_FAULT_ROUNDS");
    let points = wanted.unwrap_or(POINTS_BY_DEFAULT);
    let only: Option<String> = setting("TOWPATH_POINTS_ONLY");
    let mut made = 0;
    let is_tried = |script: &&Script| match &only {
        Some(only) => only == script.name,
        None => wanted.is_some() || BY_DEFAULT.contains(&script.name),
    };
    for script in SCRIPTS.iter().filter(is_tried) {
        match every_point(script, points) {
            Ok(rounds) => made += rounds,
            Err(why) => return println!("not run: {why}"),
        }
    }
    println!("rounds made: {made}");
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tries the points of one workflow, at most so many of them. `Err`: this machine does not let us trace.
fn every_point(script: &Script, points: u64) -> Result<u64, String> {
    let home = Home::new();
    let file = home.file("flow.yaml", script.text);
    let mut rounds = 0;
    let (mut nth, step) = match setting("TOWPATH_POINTS_FROM") {
        Some(first) => (first, 1),
        None => {
            // A first time without a fault: how many points there are, about.
            let about = one_round(&home, script, &file, 0)?.0.max(1);
            rounds += 1;
            let step = about.div_ceil(points.max(1)).max(1);
            // Other ones each time, if not all of them are tried.
            (1 + u64::from(std::process::id()) % step, step)
        }
    };
    while nth < POINTS_MAX {
        let (counted, hit) = one_round(&home, script, &file, nth)?;
        rounds += 1;
        if !hit {
            println!(
                "{}: passed without reaching {nth}: {counted} points; {rounds} rounds, every {step}th",
                script.name
            );
            break;
        }
        if step == 1 && rounds >= points {
            println!("{}: tried up to {nth}", script.name);
            break;
        }
        nth += step;
    }
    assert!(nth < POINTS_MAX, "{} does not come to its end", script.name);
    // Whoever comes next tidies up.
    home.run(&["run", &home.file("last.yaml", SCRIPTS[0].text)]);
    wait("the end of the holder", || home.processes("__holder").is_empty().then_some(()));
    wait("the end of the runner", || home.processes("__runner").is_empty().then_some(()));
    assert_eq!(leftovers(&home.root()), Vec::<String>::new(), "{}", script.name);
    Ok(rounds)
}

/// How many points there were, and whether the one was reached.
fn one_round(home: &Home, script: &Script, file: &str, nth: u64) -> Result<(u64, bool), String> {
    let name = format!("{}-{}-{nth}", script.name, std::process::id());
    let (counted, hit) = {
        let mut supervisor = Supervisor::new(&home.root(), Aim { nth, ..NEVER });
        drive(&mut supervisor, home, script, file, &name)?;
        (supervisor.counted, supervisor.hit.clone())
    };
    let at = format!("{name}, {}", hit.as_deref().unwrap_or("no point hit"));
    let log = home.ok(&["events", &name, "-o", "json"]);
    if let Some(dir) = std::env::var_os("TOWPATH_KILL_HISTORIES") {
        std::fs::write(std::path::Path::new(&dir).join(format!("{name}.jsonl")), &log).expect("history");
    }
    if let Err(what) = check_ending(&log, script.phase) {
        panic!("{at}: {what}\n{log}\n{}", home.run(&["logs", &name, "--timestamps"]).out);
    }
    assert_eq!(orphans(&name), Vec::<i32>::new(), "{at}: tasks that nobody owns");
    assert_eq!(damaged_artifacts(&home.root()), Vec::<String>::new(), "{at}");
    Ok((counted, hit.is_some()))
}

/// The script's commands, of which one may be cut short, and then whatever a person does to bring the run to its end.
fn drive(supervisor: &mut Supervisor, home: &Home, script: &Script, file: &str, name: &str) -> Result<(), String> {
    let watched = matches!(script.after, After::Nothing);
    let submit: &[&str] =
        if watched { &["run", file, "--name", name] } else { &["run", file, "--name", name, "--no-watch"] };
    if matches!(script.after, After::HolderKilled) {
        supervisor.pause(true);
    }
    let first = supervisor.run(home.command(submit))?;
    let mut acknowledged = !first.out.is_empty();
    if matches!(script.after, After::HolderKilled) {
        supervisor.kill_holder();
        supervisor.pause(false);
    }
    let mut last: Option<Told> = None;
    for _ in 0..COMMANDS_MAX {
        if is_over(home, name) {
            return Ok(());
        }
        if matches!(script.after, After::Terminate) {
            supervisor.run(home.command(&["resume", name, "--no-watch"]))?;
            // Without its word that the run ends nobody waits for that.
            if supervisor.run(home.command(&["terminate", name]))?.code == 0 {
                supervisor.run(home.command(&["resume", name]))?;
            }
        } else {
            last = Some(supervisor.run(home.command(&["resume", name]))?);
        }
        if !exists(home, name) {
            assert!(!acknowledged, "{name}: the run was acknowledged ({:?}) and is gone", first.out);
            acknowledged = !supervisor.run(home.command(submit))?.out.is_empty();
        }
    }
    panic!("{name} does not end, {:?}: {last:?}\n{}", supervisor.hit, home.run(&["explain", name]).out);
}

fn exists(home: &Home, name: &str) -> bool {
    home.run(&["get", name]).code == 0
}

fn is_over(home: &Home, name: &str) -> bool {
    let ran = home.run(&["events", name, "-o", "json"]);
    ran.code == 0 && ran.out.contains("\"RunEnded\"")
}
