//! Places as a user sees them: devices, priorities, shares of two runs, limits, and what `get` and `explain` say of them.

use crate::harness::{Home, Ran, node, wait};
use std::fmt::Write as _;
use std::fs;

/// A workflow of shell scripts that start together: (task, requests and limits in YAML flow style, script).
fn flat(name: &str, spec: &str, tasks: &[(&str, &str, &str)]) -> String {
    let mut text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  {name}\nspec:\n  entrypoint: main\n{spec}  templates:\n  - name: main\n    dag:\n      tasks:\n"
    );
    for (task, ..) in tasks {
        let _ = writeln!(text, "      - {{name: {task}, template: {task}}}");
    }
    for (task, resources, script) in tasks {
        let _ = writeln!(text, "  - name: {task}\n    script:\n      image: busybox\n      command: [sh]");
        if !resources.is_empty() {
            let _ = writeln!(text, "      resources: {resources}");
        }
        text.push_str("      source: |\n");
        script.lines().for_each(|line| text.push_str(&format!("        {line}\n")));
    }
    text
}

fn run_with_gpus(home: &Home, args: &[&str], gpus: &str) -> Ran {
    home.run_with(args, &[("TOWPATH_GPUS", gpus)])
}

#[test]
fn each_task_has_devices_of_its_own() {
    let home = Home::new();
    // Nobody else is in the directory of the device while the task runs.
    let script = "d=$XDG_CACHE_HOME/gpu-$CUDA_VISIBLE_DEVICES\nmkdir $d || exit 9\nsleep 0.1\nrmdir $d\necho device=$CUDA_VISIBLE_DEVICES";
    let one = "{limits: {cpu: 100m, nvidia.com/gpu: 1}, requests: {cpu: 100m}}";
    let names: Vec<String> = (0..8).map(|number| format!("t{number}")).collect();
    let two = ("two", "{limits: {cpu: 100m, amd.com/gpu: 2}}", "echo both=$CUDA_VISIBLE_DEVICES");
    let mut tasks = vec![two];
    tasks.extend(names.iter().map(|name| (name.as_str(), one, script)));
    tasks.push(("none", "", "echo none=[$CUDA_VISIBLE_DEVICES]"));
    let file = home.file("w.yaml", &flat("name: w", "", &tasks));
    let ran = run_with_gpus(&home, &["run", &file, "-j", "8"], "3");
    assert_eq!(ran.code, 0, "{ran:?}\n{}", home.ok(&["logs", "w"]));
    let logs = home.ok(&["logs", "w"]);
    for device in 0..3 {
        assert!(logs.contains(&format!("device={device}")), "{logs}");
    }
    assert!(logs.contains("both=0,1"), "{logs}");
    assert!(logs.contains("none=[]"), "a task that asks for none sees none: {logs}");
}

#[test]
fn devices_outlive_the_holder_and_are_given_to_nobody_else() {
    let home = Home::new();
    let gate = home.root().with_file_name("gate");
    let script = format!("echo has=$CUDA_VISIBLE_DEVICES\nwhile ! test -e {}; do sleep 0.05; done", gate.display());
    let one = "{limits: {cpu: 100m, nvidia.com/gpu: 1}}";
    let file = home.file("w.yaml", &flat("generateName: w-", "", &[("a", one, &script)]));
    let free = home.file("free.yaml", &flat("name: free", "", &[("b", one, "echo has=$CUDA_VISIBLE_DEVICES")]));
    for name in ["first", "second"] {
        let ran = run_with_gpus(&home, &["run", &file, "--name", name, "--no-watch", "--profile", "trusted"], "3");
        assert_eq!(ran.code, 0, "{ran:?}");
        home.wait_for_log(name, "has=");
    }
    home.kill_holder();
    let ran = run_with_gpus(&home, &["run", &free, "-j", "4"], "3");
    assert_eq!(ran.code, 0, "{ran:?}");
    let logs = ["first", "second", "free"].map(|name| home.ok(&["logs", name]));
    for (log, device) in logs.iter().zip(0..) {
        assert!(log.contains(&format!("has={device}")), "{logs:?}");
    }
    fs::write(&gate, "").expect("gate");
    for name in ["first", "second"] {
        run_with_gpus(&home, &["resume", name], "3");
    }
}

#[test]
fn a_small_run_does_not_wait_for_a_wide_one() {
    let home = Home::new();
    let wide = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: wide}\nspec:\n  entrypoint: main\n  templates:\n  - name: main\n    steps:\n    - - {name: t, template: t, withSequence: {count: \"10000\"}}\n  - name: t\n    script: {image: busybox, command: [sh], source: sleep 0.2}\n";
    let wide = home.file("wide.yaml", wide);
    home.ok(&["run", &wide, "--no-watch"]);
    let started = || home.run(&["events", "wide", "-o", "json"]).out.matches("AttemptStarted").count();
    wait("the wide run's first tasks", || (started() > 2).then_some(()));
    let small = home.file("small.yaml", &flat("name: small", "", &[("a", "", "echo small")]));
    let before = started();
    home.ok(&["run", &small]);
    let meanwhile = started() - before;
    assert!(meanwhile < 200, "{meanwhile} tasks of the wide run started before the small one had ended");
    assert_eq!(home.run(&["get", "wide"]).out.matches("State:       running").count(), 1);
    home.run(&["terminate", "wide"]);
}

#[test]
fn what_is_larger_than_the_machine_is_lowered_and_said_once() {
    let home = Home::new();
    let tasks =
        [("a", "{requests: {cpu: 999}}", "echo $OMP_NUM_THREADS"), ("b", "{limits: {memory: 900Ti}}", "echo b")];
    let file = home.file("w.yaml", &flat("name: w", "", &tasks));
    let ran = home.run(&["run", &file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let said = format!("{}{}", ran.out, ran.err);
    assert_eq!(said.matches("`a` asks for 999 cpus").count(), 1, "{said}");
    assert_eq!(said.matches("`b` asks for 921600.0 GiB of memory").count(), 1, "{said}");
    let cpus = std::thread::available_parallelism().expect("cpus").get();
    assert!(home.ok(&["logs", "w"]).contains(&format!("w.a: {cpus}")), "OMP_NUM_THREADS follows");
    assert_eq!(node(&home.object(), "b")["phase"], "Succeeded");
}

#[test]
fn get_shows_peak_against_limit_and_an_oom_names_both() {
    let home = Home::new();
    let limits = "{limits: {memory: 96Mi, cpu: 500m}}";
    let file = home.file(
        "w.yaml",
        &flat("name: w", "", &[("a", limits, "head -c 20000000 /dev/zero | tail -c 15000000 | wc -c")]),
    );
    let ran = home.run(&["run", &file]);
    let said = format!("{}{}", ran.out, ran.err);
    if said.contains("cpu limits are not enforced") {
        return eprintln!("skipped: no cgroup of this machine is writable");
    }
    assert_eq!(ran.code, 0, "{ran:?}");
    let tree = home.ok(&["get", "w"]);
    let line = tree.lines().find(|line| line.contains(" a ")).expect("its line");
    assert!(line.contains("mem ") && line.contains("/96.0 MiB, cpu "), "{line}");
    let used = node(&home.object(), "a")["used"].clone();
    assert!(used["memoryPeakBytes"].as_u64().expect("a number") > 10_000_000, "{used}");
    assert_eq!((used["memoryLimit"].as_str(), used["cpuLimit"].as_str()), (Some("96Mi"), Some("500m")));
    let file = home.file(
        "o.yaml",
        &flat("name: o", "", &[("a", limits, "head -c 300000000 /dev/zero | tail -c 200000000 | wc -c; exit 9")]),
    );
    let ran = home.run(&["run", &file]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let said = format!("{}{}", ran.out, ran.err);
    assert!(said.contains("more memory than its limit of 96Mi (OOM), at most 9"), "{said}");
    assert!(home.ok(&["get", "o"]).contains("/96.0 MiB"), "{}", home.ok(&["get", "o"]));
}

#[test]
fn the_higher_priority_goes_first_and_explain_says_who_holds_the_places() {
    let home = Home::new();
    let gate = home.root().with_file_name("gate");
    let cpus = std::thread::available_parallelism().expect("cpus").get();
    let all = format!("{{requests: {{cpu: {cpus}}}}}");
    let holds = format!("while ! test -e {}; do sleep 0.05; done", gate.display());
    let submit = |name: &str, priority: i32, script: &str| {
        let spec = format!("  priority: {priority}\n");
        let file = home.file(&format!("{name}.yaml"), &flat(&format!("name: {name}"), &spec, &[("a", &all, script)]));
        home.ok(&["run", &file, "--no-watch", "--profile", "trusted"]);
    };
    submit("holds", 0, &holds);
    wait("the first", || home.run(&["events", "holds"]).out.contains("AttemptStarted").then_some(()));
    submit("low", -5, "echo low");
    submit("normal", 0, "echo normal");
    submit("high", 7, "echo high");
    let expected = format!("low.a: waits for a place: it asks for {cpus} cpu");
    wait("the reason", || {
        let out = home.run(&["explain", "low"]).out;
        (out.contains(&expected) && out.contains(&format!("run holds holds {cpus} of {cpus}"))).then_some(())
    });
    fs::write(&gate, "").expect("gate");
    for name in ["high", "normal", "low"] {
        home.ok(&["resume", name]);
    }
    let at = |name: &str| {
        let events = home.ok(&["events", name, "-o", "json"]);
        let line = events.lines().find(|line| line.contains("AttemptStarted")).expect("a start").to_string();
        serde_json::from_str::<serde_json::Value>(&line).expect("JSON")["at"].as_i64().expect("microseconds")
    };
    assert!(at("high") < at("normal") && at("normal") < at("low"));
}
