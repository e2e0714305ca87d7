//! The portable build on Linux: `cargo test -p e2e --features portable portable::`.

use crate::harness::{Home, node, scripts, signal, wait};

#[test]
fn the_portable_build_runs_a_workflow_and_says_what_it_does_not_give() {
    let home = Home::new();
    let tasks = [("fetch", "", "echo data"), ("train", "fetch", "echo trained"), ("fail", "", "exit 3")];
    let file = home.file("w.yaml", &scripts("generateName: w-", &tasks));
    let ran = home.run(&["run", &file]);
    let said = ran.out + &ran.err;
    assert_eq!(ran.code, 1, "{said}");
    for what in
        ["no sandboxes", "neither listed nor kept", "one after the other", "cpu limits", "leaves its task's session"]
    {
        assert!(said.contains(what), "{what} is not said:\n{said}");
    }
    let object = home.object();
    for (name, phase) in [("fetch", "Succeeded"), ("train", "Succeeded"), ("fail", "Failed")] {
        assert_eq!(node(&object, name)["phase"], phase, "{object}");
    }
    assert_eq!(node(&object, "fail")["outputs"]["exitCode"], "3");
    let strict = home.run(&["run", &file, "--profile", "strict"]);
    assert!(strict.code == 1 && (strict.out + &strict.err).contains("profile strict needs sandboxes"));
}

#[test]
fn in_the_portable_build_tasks_end_with_the_runner_and_run_again() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("generateName: w-", &[("task", "", "echo $$ >> pids; exec sleep 1000")]));
    let mut run = home.start(&["run", &file, "--profile", "trusted"]);
    let pids = || -> Vec<i32> {
        let text = std::fs::read_to_string(home.root().with_file_name("flow").join("pids")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    };
    let first = wait("the task", || pids().first().copied());
    // The runner, and its child, the keeper of the task.
    let ours = home.processes("__runner");
    let parent = |pid: &i32| -> i32 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
        let (_, rest) = stat.rsplit_once(')').expect("a name");
        rest.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a parent")
    };
    let runner = *ours.iter().find(|pid| !ours.contains(&parent(pid))).expect("a runner");
    signal(runner, rustix::process::Signal::KILL);
    let second = wait("the task again", || pids().get(1).copied());
    // By the time the second was started, the first was dead.
    assert_ne!(first, second);
    let is_alive =
        |pid: i32| rustix::process::test_kill_process(rustix::process::Pid::from_raw(pid).expect("a pid")).is_ok();
    assert!(!is_alive(first) && is_alive(second));
    run.signal(rustix::process::Signal::INT);
    run.child.wait().expect("its end");
}
