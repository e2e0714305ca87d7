//! The commands that look at runs, and those that check files.

use crate::harness::{Home, scripts};
use serde_json::Value;

#[test]
fn runs_are_listed_found_and_deleted() {
    let home = Home::new();
    assert!(home.run(&["list"]).err.contains("no run in"));
    assert_eq!(home.run(&["get", "@"]).code, 2);
    let file = home.file("w.yaml", &scripts("generateName: x-", &[("a", "", "echo hi")]));
    for name in ["alpha-one", "alpha-two", "beta"] {
        home.ok(&["run", &file, "--name", name]);
    }
    let list: Value = serde_json::from_str(&home.ok(&["list", "-o", "json"])).expect("JSON");
    let names: Vec<&str> = list.as_array().expect("list").iter().filter_map(|run| run["name"].as_str()).collect();
    assert_eq!(names, ["beta", "alpha-two", "alpha-one"]);
    assert!(home.ok(&["list"]).lines().nth(1).is_some_and(|line| line.contains("beta") && line.contains("succeeded")));
    assert!(home.ok(&["get", "@2"]).contains("Name:        alpha-two"));
    assert!(home.ok(&["get", "b"]).contains("Name:        beta"));
    let id = list[0]["id"].as_str().expect("id");
    assert!(home.ok(&["get", id]).contains("Name:        beta"));
    let several = home.run(&["get", "alpha"]);
    assert!(several.code == 2 && several.err.contains("2 runs"), "{several:?}");
    let near = home.run(&["get", "bata"]);
    assert!(near.err.contains("did you mean 'beta'?"), "{near:?}");
    assert!(home.run(&["logs", "beta", "aa"]).err.contains("did you mean 'a'?"));
    home.ok(&["delete", "@", "alpha-one"]);
    assert_eq!(home.ok(&["list"]).lines().count(), 2);
    assert_eq!(home.run(&["get", "beta"]).code, 2);
    let logs = std::fs::read_dir(home.root().join("logs")).expect("logs").count();
    assert_eq!(logs, 1, "the logs of deleted runs are gone");
    // The name is free again.
    home.ok(&["run", &file, "--name", "beta"]);
}

#[test]
fn the_record_says_what_was_run() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("generateName: rec-", &[("a", "", "echo hi")]));
    home.file("code.py", "print('hi')\n");
    home.ok(&["run", &file]);
    let text = home.ok(&["get", "@"]);
    for wanted in [
        "Id:  ",
        "State:       succeeded (phase Succeeded)",
        "Trigger:     cli:",
        "Source:      ",
        "Profile:     standard",
        "Towpath:     ",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(text.contains("└─ ✔ a"), "{text}");
    let events = home.ok(&["events", "@"]);
    assert!(events.lines().next().is_some_and(|line| line.contains("RunCreated")), "{events}");
    assert!(events.lines().last().is_some_and(|line| line.contains("RunEnded")), "{events}");
}

#[test]
fn lint_tells_all_faults_at_once_and_runs_nothing() {
    let home = Home::new();
    let text = scripts("name: faulty", &[("a", "", "echo hi"), ("b", "a", "echo hi")]);
    let text = text.replace("template: a,", "template: aa,").replace("entrypoint: main", "entrypiont: main");
    let file = home.file("faulty.yaml", &text);
    let ran = home.run(&["lint", &file]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("entrypiont") && ran.err.contains("entrypoint"), "{}", ran.err);
    assert!(ran.err.contains("faulty.yaml:6:"), "{}", ran.err);
    assert!(ran.err.matches("error[").count() >= 2, "{}", ran.err);
    let ran = home.run(&["run", &file]);
    assert!(ran.code == 2 && ran.err.contains("nothing was run"), "{ran:?}");
    assert!(!home.root().exists(), "no home was made for a workflow that cannot run");
    let good = home.file("good.yaml", &scripts("name: good", &[("a", "", "echo hi")]));
    assert!(home.ok(&["lint", &good]).contains("Workflow good is valid"));
    assert_eq!(home.run(&["lint", "no-such-file.yaml"]).code, 2);
}

#[test]
fn help_begins_with_an_example_and_bad_usage_is_code_2() {
    let home = Home::new();
    for verb in
        ["run", "lint", "list", "get", "logs", "explain", "events", "resume", "stop", "terminate", "delete", "version"]
    {
        assert!(home.ok(&[verb, "--help"]).starts_with(&format!("Example: towpath {verb}")), "{verb}");
    }
    assert!(home.ok(&["version"]).starts_with("towpath 0."));
    assert_eq!(home.run(&["rnu"]).code, 2);
    assert_eq!(home.run(&["run"]).code, 2);
    home.file("towpath.toml", "job = 3\n");
    let ran = home.run(&["list"]);
    assert!(ran.code == 2 && ran.err.contains("did you mean 'jobs'?"), "{ran:?}");
}
