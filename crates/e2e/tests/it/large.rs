//! Large things: what a task prints, how many run at once, how many a run has. Memory is bounded, and nothing is lost.
//! It must never assert a time.

use crate::harness::{Home, scripts, wait};

/// What holder and runner may take at 100,000 nodes.
const MEMORY_KIB_MAX: u64 = 200 << 10;

/// The highest memory so far of the home's holder and runner, in KiB.
fn peak_kib(home: &Home, kind: &str) -> u64 {
    let of = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse::<u64>().ok()
    };
    home.processes(kind).into_iter().filter_map(of).max().expect("a process")
}

fn looped(count: u32, command: &str) -> String {
    format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{generateName: large-}}
spec:
  entrypoint: main
  templates:
  - name: main
    steps: [[{{name: t, template: each, withSequence: {{count: \"{count}\"}}}}]]
  - name: each
    container: {{image: busybox, command: [sh, -c, '{command}']}}
"
    )
}

#[test]
fn a_long_line_and_noise_come_back_whole_and_are_held_by_nobody() {
    let home = Home::new();
    let line = "head -c 20000000 /dev/zero | tr \"\\0\" y; echo END";
    let noise = "head -c 5000000 /dev/urandom | tee /tmp/noise; echo; sha256sum < /tmp/noise >&2";
    let tasks = [("line", "", line), ("noise", "", noise), ("last", "line && noise", "sleep 1000")];
    let file = home.file("w.yaml", &scripts("generateName: large-", &tasks));
    let going = home.start(&["run", &file, "--name", "printed"]);
    wait("the end of both", || (home.run(&["events", "@"]).out.matches("AttemptEnded").count() == 2).then_some(()));
    for kind in ["__holder", "__runner"] {
        let peak = peak_kib(&home, kind);
        assert!(peak < 60 << 10, "{kind}: {peak} KiB");
    }
    home.ok(&["terminate", "printed"]);
    going.end();
    let long = home.ok(&["logs", "@", "line"]);
    assert_eq!((long.len(), long.trim_end().trim_start_matches('y')), (20_000_004, "END"));
}

#[test]
fn two_hundred_tasks_run_at_the_same_time() {
    let home = Home::new();
    let folder = home.root().with_extension("met");
    std::fs::create_dir_all(&folder).expect("folder");
    let met = format!(
        "touch \"{0}/$TOWPATH_NODE\"; until [ $(ls {0} | wc -l) -ge 200 ]; do sleep 0.5; done",
        folder.display()
    );
    let file = home.file("w.yaml", &looped(200, &met));
    home.ok(&["run", &file, "-j", "200", "--profile", "trusted"]);
    assert_eq!(home.object()["status"]["progress"], "200/200");
    std::fs::remove_dir_all(&folder).expect("folder");
}

#[test]
fn a_loop_of_a_million_items_begins_at_once_and_does_not_fill_the_memory() {
    let home = Home::new();
    let file = home.file("w.yaml", &looped(1_000_000, "sleep 1000"));
    let going = home.start(&["run", &file, "-j", "2", "--profile", "trusted", "--name", "long"]);
    let kinds = || home.run(&["events", "@"]).out;
    wait("two attempts", || (kinds().matches(" AttemptStarted ").count() == 2).then_some(()));
    let added = kinds().matches(" NodeAdded ").count();
    assert!((10_000..10_010).contains(&added), "{added} nodes");
    for kind in ["__holder", "__runner"] {
        let peak = peak_kib(&home, kind);
        assert!(peak < MEMORY_KIB_MAX, "{kind}: {peak} KiB");
    }
    assert!(home.ok(&["get", "long"]).contains("1000000"), "the whole is told");
    home.ok(&["terminate", "long"]);
    assert_eq!(going.end(), 1);
}

/// Counts down from 10,000, a level for each; every hundredth has a task.
const COUNTDOWN: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: countdown-}
spec:
  entrypoint: countdown
  arguments: {parameters: [{name: from, value: '10000'}, {name: fails-at, value: '0'}]}
  templates:
  - name: countdown
    inputs: {parameters: [{name: left, value: '{{workflow.parameters.from}}'}]}
    steps:
    - - name: work
        template: work
        when: '{{=asInt(inputs.parameters.left) % 100 == 0}}'
        arguments: {parameters: [{name: left, value: '{{inputs.parameters.left}}'}]}
    - - name: again
        template: countdown
        when: '{{inputs.parameters.left}} > 1'
        arguments: {parameters: [{name: left, value: '{{=asInt(inputs.parameters.left) - 1}}'}]}
  - name: work
    inputs: {parameters: [{name: left}]}
    container: {image: busybox, command: [sh, -c, 'test {{inputs.parameters.left}} -ne {{workflow.parameters.fails-at}}']}
";

#[test]
fn a_template_that_calls_itself_ten_thousand_times() {
    let home = Home::new();
    let file = home.file("w.yaml", COUNTDOWN);
    let run = |given: [&str; 2]| home.run(&["run", &file, "--profile", "trusted", "-p", given[0], "-p", given[1]]);
    let ran = run(["from=10000", "fails-at=0"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for kind in ["__holder", "__runner"] {
        let peak = peak_kib(&home, kind);
        assert!(peak < MEMORY_KIB_MAX, "{kind}: {peak} KiB");
    }
    let object = home.object();
    let nodes = object["status"]["nodes"].as_object().expect("nodes");
    let of_name = |name: &str| nodes.values().filter(|node| node["displayName"] == name).count();
    assert_eq!((of_name("work"), of_name("again"), nodes.len()), (10_000, 10_000, 50_000 - 9_999));
    assert_eq!(object["status"]["progress"], "100/100");
    // All that a person is shown fits a screen or two.
    let tree = home.ok(&["get", "@"]);
    assert!(tree.contains("levels below: 99 succeeded") && tree.lines().count() < 70, "{tree}");
    assert!(tree.lines().all(|line| line.chars().count() < 300), "{tree}");
    assert_eq!(home.ok(&["get", "@", "--all"]).lines().filter(|line| line.contains(" work")).count(), 10_000);

    // At the hundredth level from the end, and all those above it.
    let ran = run(["from=3000", "fails-at=100"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("work: exit code 1") && ran.err.len() < 10_000, "{}", ran.err);
    let explained = home.ok(&["explain", "@"]);
    assert!(explained.contains("more, for what is in them") && explained.lines().count() < 60, "{explained}");
    assert!(explained.contains("main: Error (exit code 1)"), "{explained}");
}

#[test]
fn a_recursion_without_end_ends_with_an_error() {
    let home = Home::new();
    let file = home.file(
        "w.yaml",
        "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: deep}
spec:
  entrypoint: again
  templates:
  - name: again
    steps: [[{name: a, template: again}]]
",
    );
    let ran = home.run(&["run", &file, "-o", "json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("Maximum recursion depth exceeded"), "{}", ran.out);
    assert!(home.ok(&["get", "deep"]).contains("Maximum recursion depth exceeded"));
}
