//! `run`: what goes in, what comes out, and its exit codes.

use crate::harness::{Home, node, scripts};
use serde_json::Value;

fn hello() -> String {
    format!("{}/../../examples/hello.yaml", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn hello_runs_in_an_empty_home() {
    let home = Home::new();
    let out = home.ok(&["run", &hello(), "-p", "name=canal"]);
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.iter().any(|line| line.contains("[0].greet Succeeded")), "{out}");
    assert!(lines.last().is_some_and(|line| line.contains(" Succeeded ")), "{out}");
    let logs = home.ok(&["logs", "@"]);
    assert!(logs.contains("[0].greet: hello, canal\n") && logs.contains("[1].shout: HELLO, CANAL\n"), "{logs}");
    assert_eq!(home.ok(&["logs", "@", "shout"]), "HELLO, CANAL\n");
    assert_eq!(home.ok(&["logs", "@", "greet", "-f"]), "hello, canal\n");
}

#[test]
fn the_object_is_all_that_stands_on_standard_output() {
    let home = Home::new();
    let out = home.ok(&["run", &hello(), "-o", "json", "--name", "fixed", "--namespace", "team"]);
    let object: Value = serde_json::from_str(&out).expect("JSON and nothing else");
    assert_eq!(object["kind"], "Workflow");
    assert_eq!(object["metadata"]["name"], "fixed");
    assert_eq!(object["metadata"]["namespace"], "team");
    assert_eq!(object["status"]["phase"], "Succeeded");
    assert_eq!(node(&object, "greet")["outputs"]["result"], "hello, world");
    let yaml = home.ok(&["get", "fixed", "-o", "yaml"]);
    assert!(yaml.starts_with("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n"), "{yaml}");
    let again = home.run(&["run", &hello(), "--name", "fixed"]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("'fixed' exists already") && again.err.contains("--name"), "{}", again.err);
}

#[test]
fn parameters_come_from_flags_and_files_and_standard_input_is_a_file() {
    let home = Home::new();
    let parameters = home.file("p.yaml", "name: from-file\n");
    home.ok(&["run", &hello(), "--parameter-file", &parameters]);
    assert_eq!(home.ok(&["logs", "@", "greet"]), "hello, from-file\n");
    home.ok(&["run", &hello(), "--parameter-file", &parameters, "-p", "name=from-flag"]);
    assert_eq!(home.ok(&["logs", "@", "greet"]), "hello, from-flag\n");
    let text = std::fs::read_to_string(hello()).expect("hello");
    let ran = home.with_input(&["run", "-", "-p", "name=pipe"], &text);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(home.ok(&["logs", "@", "greet"]), "hello, pipe\n");
    let ran = home.run(&["run", &hello(), "-p", "nmae=x"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("nmae"), "{}", ran.err);
    assert_eq!(home.run(&["run", &hello(), "-p", "novalue"]).code, 2);
}

#[test]
fn a_failed_run_ends_with_the_last_words_of_what_failed() {
    let home = Home::new();
    let noisy = "echo progress\nfor i in $(seq 1 30); do echo line-$i- >&2; done\nexit 7";
    let tasks =
        [("noisy", "", noisy), ("crash", "", "echo only-stdout\nkill -11 $$"), ("after", "noisy", "echo never")];
    let file = home.file("fail.yaml", &scripts("generateName: fail-", &tasks));
    let ran = home.run(&["run", &file]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("noisy: exit code 7"), "{}", ran.err);
    assert!(
        ran.err.contains("line-11-") && ran.err.contains("line-30-") && !ran.err.contains("line-10-"),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains("progress"), "{}", ran.err);
    assert!(ran.err.contains("crash: ended by SIGSEGV") && ran.err.contains("only-stdout"), "{}", ran.err);
    let name = home.object()["metadata"]["name"].as_str().expect("name").to_string();
    assert!(ran.err.contains(&format!("towpath logs {name} {name}.noisy")), "{}", ran.err);
    assert_eq!(home.phase("after"), "Omitted");
    let explained = home.ok(&["explain", "@", "noisy"]);
    assert!(explained.contains("ended Failed"), "{explained}");
}

#[test]
fn without_watching_the_run_goes_on_and_resume_attaches() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("name: detached", &[("a", "", "echo started\nsleep 1\necho done")]));
    let out = home.ok(&["run", &file, "--no-watch"]);
    assert!(out.starts_with("detached started"), "{out}");
    home.wait_for_log("detached", "started");
    let out = home.ok(&["resume", "detached"]);
    assert!(out.contains("detached Succeeded"), "{out}");
    assert_eq!(home.events("RunResumed").len(), 0, "attaching is no event");
    let ran = home.run(&["resume", "detached"]);
    assert!(ran.code == 0 && ran.err.contains("ended already"), "{ran:?}");
}

/// Runs three tasks one at a time, and says whether they were.
fn one_at_a_time(home: &Home, name: &str) -> bool {
    let tasks: Vec<(&str, &str, &str)> =
        ["a", "b", "c"].iter().map(|name| (*name, "", "date +%s%N\nsleep 0.3\ndate +%s%N")).collect();
    let file = home.file(&format!("{name}.yaml"), &scripts(&format!("name: {name}"), &tasks));
    home.ok(&["run", &file, "-j", "1"]);
    let mut spans: Vec<(u128, u128)> = Vec::new();
    for task in ["a", "b", "c"] {
        let logs = home.ok(&["logs", name, task]);
        let times: Vec<u128> = logs.lines().map(|line| line.parse().expect("nanoseconds")).collect();
        spans.push((times[0], times[1]));
    }
    spans.sort_unstable();
    spans.windows(2).all(|pair| pair[0].1 <= pair[1].0)
}

/// A run of `count` tasks that all must run at once to end well.
fn meeting(home: &Home, name: &str, count: usize) -> String {
    let place = home.root().with_file_name(name);
    std::fs::create_dir(&place).expect("a place to meet");
    let dir = place.display();
    let names: Vec<String> = (0..count).map(|number| format!("t{number}")).collect();
    let script = |task: &String| {
        format!(
            "touch {dir}/{task}\nfor i in $(seq 1 400); do test $(ls {dir} | wc -l) -ge {count} && exit 0; sleep 0.05; done\nexit 1"
        )
    };
    let texts: Vec<String> = names.iter().map(script).collect();
    let tasks: Vec<(&str, &str, &str)> =
        names.iter().zip(&texts).map(|(name, text)| (name.as_str(), "", text.as_str())).collect();
    home.file(&format!("{name}.yaml"), &scripts(&format!("name: {name}"), &tasks))
}

#[test]
fn jobs_are_a_runs_own_whoever_started_the_holder() {
    let home = Home::new();
    let many = std::thread::available_parallelism().map_or(1, usize::from) + 2;
    let jobs = many.to_string();
    // A fresh holder, started by a narrow run; then a wide and a narrow one while it lives, and another wide one beside a run
    // without a wish.
    assert!(one_at_a_time(&home, "narrow"));
    let file = meeting(&home, "wide", many);
    home.ok(&["run", &file, "--profile", "trusted", "-j", &jobs]);
    assert!(one_at_a_time(&home, "narrow-again"));
    let beside = home.file("beside.yaml", &scripts("name: beside", &[("a", "", "echo began\nsleep 5")]));
    home.ok(&["run", &beside, "--no-watch"]);
    home.wait_for_log("beside", "began");
    let file = meeting(&home, "wide-again", many - 1);
    home.ok(&["run", &file, "--profile", "trusted", "-j", &jobs]);
    assert_eq!(home.processes("__holder").len(), 1);
}
