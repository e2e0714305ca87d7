//! SIGKILL at random moments for random processes of ours, over a workflow with a loop, a retry and an artifact; every history
//! is checked. `TOWPATH_KILL_ROUNDS` and `TOWPATH_KILL_SEED` choose how long and which; with `TOWPATH_KILL_HISTORIES` the
//! logs are written to that directory, for another checker.
//! It must never excuse a history: whatever was killed, the same must hold.

use crate::harness::{Home, Ran, signal};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::Duration;

const WORKFLOW: &str = r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: kills-}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - name: loop
        template: work
        arguments: {parameters: [{name: i, value: "{{item}}"}]}
        withSequence: {count: "6"}
    - - {name: again, template: flaky}
    - - name: use
        template: use
        arguments: {artifacts: [{name: d, from: "{{steps.again.outputs.artifacts.d}}"}]}
  - name: work
    inputs: {parameters: [{name: i}]}
    container: {image: busybox, command: [sh, -c, "echo work {{inputs.parameters.i}}; sleep 0.0{{inputs.parameters.i}}"]}
  - name: flaky
    retryStrategy: {limit: "2"}
    script:
      image: busybox
      command: [sh]
      source: |
        mkdir -p /tmp/d && echo data > /tmp/d/f
        test {{retries}} = 1
    outputs: {artifacts: [{name: d, path: /tmp/d}]}
  - name: use
    inputs: {artifacts: [{name: d, path: /in}]}
    container: {image: busybox, command: [sh, -c, "cat /in/f"]}
"#;

/// Commands of one round, at most: a run that needs more hangs.
const COMMANDS_MAX: usize = 20;

#[test]
fn a_kill_at_any_moment_breaks_no_history() {
    let rounds: u32 = setting("TOWPATH_KILL_ROUNDS").unwrap_or(5);
    let mut chance = Chance(setting("TOWPATH_KILL_SEED").unwrap_or(1));
    let home = Home::new();
    let file = home.file("kills.yaml", WORKFLOW);
    for round in 0..rounds {
        let name = format!("kills-{}-{round}", std::process::id());
        let killed = kill_while_it_runs(&home, &file, &name, &mut chance);
        bring_to_its_end(&home, &file, &name);
        let log = home.ok(&["events", &name, "-o", "json"]);
        if let Some(dir) = std::env::var_os("TOWPATH_KILL_HISTORIES") {
            std::fs::write(std::path::Path::new(&dir).join(format!("{name}.jsonl")), &log).expect("history");
        }
        if let Err(what) = check(&log) {
            panic!("round {round}, killed {killed:?}: {what}\n{log}");
        }
        assert_eq!(orphans(&name), Vec::<i32>::new(), "round {round}, killed {killed:?}: tasks that nobody owns");
        println!("round {round}: killed {killed:?}, sound");
    }
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn kill_while_it_runs(home: &Home, file: &str, name: &str, chance: &mut Chance) -> Vec<&'static str> {
    let mut client = spawn(home, &["run", file, "--name", name]);
    let mut killed = Vec::new();
    for _ in 0..=chance.below(4) {
        // The moment is what is tried: there is no event to wait for.
        std::thread::sleep(Duration::from_micros(chance.below(300_000)));
        let kinds = ["__holder", "__runner", "run", "resume"];
        let all: Vec<(&str, i32)> =
            kinds.iter().flat_map(|kind| home.processes(kind).into_iter().map(|pid| (*kind, pid))).collect();
        if !all.is_empty() {
            let (kind, pid) = all[chance.below(all.len() as u64) as usize];
            signal(pid, Signal::KILL);
            killed.push(kind);
        }
        if client.try_wait().expect("client").is_some() {
            client = spawn(home, &["resume", name]);
        }
    }
    // It attaches, finds that its holder is gone, or is dead: all of them are well.
    let _ = client.wait();
    killed
}

fn spawn(home: &Home, args: &[&str]) -> Child {
    home.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("towpath")
}

fn bring_to_its_end(home: &Home, file: &str, name: &str) {
    let mut last: Option<Ran> = None;
    for _ in 0..COMMANDS_MAX {
        let ran = home.run(&["resume", name]);
        if ran.code == 0 {
            return;
        }
        if ran.err.contains("no run") {
            home.run(&["run", file, "--name", name]);
        }
        last = Some(ran);
    }
    panic!("{name} does not end: {last:?}\n{}", home.ok(&["explain", name]));
}

/// Processes of tasks of this run.
pub fn orphans(run: &str) -> Vec<i32> {
    let mark = format!("TOWPATH_RUN={run}");
    let of_run = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ"));
        environment.is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|word| word == mark.as_bytes()))
    };
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(of_run).collect()
}

/// What holds whatever was killed.
fn check(log: &str) -> Result<(), String> {
    check_ending(log, "Succeeded")
}

/// The same for a run that ends in this phase.
pub fn check_ending(log: &str, phase: &str) -> Result<(), String> {
    let mut ended: BTreeSet<u64> = BTreeSet::new();
    let mut attempts: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let (mut starts, mut ends) = (BTreeSet::new(), BTreeSet::new());
    let mut run_ended = false;
    for (number, line) in log.lines().enumerate() {
        let recorded: Value = serde_json::from_str(line).map_err(|error| format!("event {number}: {error}"))?;
        let Some((kind, fact)) = recorded["event"].as_object().and_then(|event| event.iter().next()) else { continue };
        let (node, n) = (fact["node"].as_u64().unwrap_or(0), fact["n"].as_u64().unwrap_or(0));
        let wrong = |what: &str| Err(format!("event {number}: {what}: {line}"));
        if run_ended {
            return wrong("after the end of the run");
        }
        match kind.as_str() {
            "RunCreated" if number > 0 => return wrong("a second beginning"),
            "NodeAdded" => {
                attempts.insert(node, vec![0]);
            }
            "AttemptAdded" => {
                let known = attempts.entry(node).or_default();
                if known.contains(&n) || !ends.contains(&(node, n - 1)) {
                    return wrong("a new attempt without the loss of the one before");
                }
                known.push(n);
            }
            "AttemptStarted" if ended.contains(&node) || !starts.insert((node, n)) => {
                return wrong("an attempt starts twice, or after its node's end");
            }
            "AttemptEnded"
                if !ends.insert((node, n)) || attempts.get(&node).is_none_or(|known| !known.contains(&n)) =>
            {
                return wrong("an attempt ends twice, or was never there");
            }
            "NodeEnded" if !ended.insert(node) => return wrong("a node ends twice"),
            "RunEnded" if fact["phase"] != phase => return wrong("the run should have ended otherwise"),
            "RunEnded" => run_ended = true,
            _ => {}
        }
    }
    let open: Vec<_> = starts.difference(&ends).collect();
    match (run_ended, open.is_empty()) {
        (true, true) => Ok(()),
        (false, _) => Err("the run has no end".into()),
        (true, false) => Err(format!("attempts without an end: {open:?}")),
    }
}

/// A source of chance that gives the same every time (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let begin = r#"{"at":1,"event":{"NodeAdded":{"node":0}}}"#;
    let start = r#"{"at":1,"event":{"AttemptStarted":{"node":0,"n":0,"epoch":"e"}}}"#;
    let end = r#"{"at":1,"event":{"AttemptEnded":{"node":0,"n":0}}}"#;
    let node = r#"{"at":1,"event":{"NodeEnded":{"node":0,"phase":"Succeeded"}}}"#;
    let run = r#"{"at":1,"event":{"RunEnded":{"phase":"Succeeded"}}}"#;
    let log = |lines: &[&str]| check(&lines.join("\n"));
    assert_eq!(log(&[begin, start, end, node, run]), Ok(()));
    for wrong in [
        &[begin, start, end, node][..],
        &[begin, start, start, end, node, run],
        &[begin, start, end, end, node, run],
        &[begin, start, end, node, node, run],
        &[begin, start, node, run],
        &[begin, start, end, node, run, node],
        &[begin, start, r#"{"at":1,"event":{"AttemptAdded":{"node":0,"n":1}}}"#, end, node, run],
    ] {
        assert!(log(wrong).is_err(), "{wrong:?}");
    }
}
