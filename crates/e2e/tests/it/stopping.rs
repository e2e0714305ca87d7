//! Ctrl-C, `stop`, `terminate`, and clients that go away.

use crate::harness::{Home, scripts, wait};
use rustix::process::Signal;
use std::fs;

fn long(home: &Home) -> String {
    // It ends by itself when it is asked to.
    let script = "trap 'echo asked; exit 3' TERM\necho began\nwhile :; do sleep 0.05; done";
    home.file("long.yaml", &scripts("name: long", &[("a", "", script), ("b", "a", "echo never")]))
}

#[test]
fn ctrl_c_once_stops_the_run_cleanly() {
    let home = Home::new();
    let file = long(&home);
    let going = home.start(&["run", &file]);
    home.wait_for_log("long", "began");
    going.signal(Signal::INT);
    assert_eq!(going.end(), 130);
    let object = home.object();
    assert_eq!(object["status"]["phase"], "Failed");
    assert_eq!(object["status"]["message"], "Stopped with strategy 'Stop'");
    assert!(home.ok(&["logs", "@", "a"]).contains("asked"), "the task was asked to end");
    assert!(home.ok(&["list"]).contains("cancelled"));
}

#[test]
fn ctrl_c_twice_ends_it_at_once() {
    let home = Home::new();
    let script = "trap '' TERM\necho began\nwhile :; do sleep 0.05; done";
    let file = home.file("deaf.yaml", &scripts("name: deaf", &[("a", "", script)]));
    let mut going = home.start(&["run", &file]);
    home.wait_for_log("deaf", "began");
    going.signal(Signal::INT);
    going.wait_for("stopping the run");
    going.signal(Signal::INT);
    assert_eq!(going.end(), 130);
    wait("the end of the run", || (home.object()["status"]["phase"] == "Failed").then_some(()));
}

#[test]
fn stop_and_terminate_from_another_terminal() {
    let home = Home::new();
    let file = long(&home);
    for verb in ["stop", "terminate"] {
        let going = home.start(&["run", &file, "--name", verb]);
        home.wait_for_log(verb, "began");
        let refused = home.run(&["delete", verb]);
        assert!(refused.code == 1 && refused.err.contains("has not ended"), "{refused:?}");
        home.ok(&[verb, verb]);
        assert_eq!(going.end(), 1, "a run that was stopped elsewhere has failed");
        let again = home.run(&[verb, verb]);
        assert!(again.code == 1 && again.err.contains("has ended already"), "{again:?}");
    }
    home.ok(&["run", &file, "--name", "forced", "--no-watch"]);
    home.wait_for_log("forced", "began");
    home.ok(&["delete", "forced", "--force"]);
    assert_eq!(home.run(&["get", "forced"]).code, 2);
}

/// Programs that we start ignore it as well then.
fn ignores_hang_up() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("ignored signals");
    u64::from_str_radix(ignored.trim(), 16).expect("a mask") & 1 != 0
}

#[test]
fn a_client_that_dies_stops_nothing() {
    let home = Home::new();
    let cache = home.root().join("cache");
    for (name, signal) in [("killed", Signal::KILL), ("hung-up", Signal::HUP)] {
        if signal == Signal::HUP && ignores_hang_up() {
            println!("skipped: these tests run under nohup, and so does whatever they start");
            continue;
        }
        // It ends when its client is gone, however slow the machine is.
        let gate = format!("${{XDG_CACHE_HOME:-{}}}/{name}", cache.display());
        let script = &format!("echo began\nuntil test -e {gate}; do sleep 0.05; done\necho finished");
        let file =
            home.file("w.yaml", &scripts(&format!("name: {name}"), &[("a", "", script), ("b", "a", "echo after")]));
        let going = home.start(&["run", &file]);
        home.wait_for_log(name, "began");
        going.signal(signal);
        assert_eq!(going.end(), -1);
        fs::create_dir_all(&cache).and_then(|()| fs::write(cache.join(name), "")).expect("the gate");
        let out = home.ok(&["resume", name]);
        assert!(out.contains("Succeeded"), "{out}");
        assert!(home.ok(&["logs", name]).contains("after"));
    }
}

#[test]
fn a_task_that_takes_too_long_is_ended() {
    let home = Home::new();
    let text = scripts("name: late", &[("a", "", "echo began\nsleep 60")]);
    let text = text.replace("  - name: a\n", "  - name: a\n    activeDeadlineSeconds: 1\n");
    let file = home.file("late.yaml", &text);
    let ran = home.run(&["run", &file]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("deadline"), "{}", ran.err);
}

#[test]
fn a_run_that_waits_for_a_person_goes_on_by_approve_alone() {
    let home = Home::new();
    let text = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: asked}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - [{name: ask, template: ask}]
    - [{name: say, template: say, arguments: {parameters: [{name: x, value: '{{steps.ask.outputs.parameters.verdict}}'}]}}]
  - {name: ask, suspend: {}, outputs: {parameters: [{name: verdict, valueFrom: {supplied: {}}}]}}
  - name: say
    inputs: {parameters: [{name: x}]}
    container: {image: busybox, command: [echo, 'the verdict is {{inputs.parameters.x}}']}
";
    let file = home.file("asked.yaml", text);
    home.ok(&["run", &file, "--no-watch"]);
    wait("the node", || (home.object()["status"]["nodes"].as_object()?.len() > 2).then_some(()));
    assert!(home.ok(&["explain", "@", "ask"]).contains("`towpath approve` lets it go on"));
    let refused = home.run(&["approve", "@"]);
    assert!(refused.code == 1 && refused.err.contains("'verdict' has no value"), "{refused:?}");
    home.ok(&["approve", "@", "ask", "-p", "verdict=yes"]);
    wait("the end of the run", || (home.object()["status"]["phase"] == "Succeeded").then_some(()));
    assert!(home.ok(&["logs", "@", "say"]).contains("the verdict is yes"));
    let again = home.run(&["approve", "@"]);
    assert!(again.code == 1 && again.err.contains("has ended already"), "{again:?}");
}
