//! Tasks beside and after one another: paths, artifacts, retries.

use crate::harness::{Home, node, scripts};

#[test]
fn parallel_tasks_that_write_the_same_path_do_not_see_each_other() {
    let home = Home::new();
    let script = |name: &str| {
        format!(
            "echo {name} > /tmp/towpath-e2e-same-path\nsleep 0.3\ncat /tmp/towpath-e2e-same-path\necho {name} >> $PWD/here 2>/dev/null || echo no-write"
        )
    };
    let (one, two) = (script("one"), script("two"));
    let file = home.file("w.yaml", &scripts("name: w", &[("one", "", &one), ("two", "", &two)]));
    home.ok(&["run", &file, "-j", "2"]);
    assert!(home.ok(&["logs", "@", "one"]).starts_with("one\n"));
    assert!(home.ok(&["logs", "@", "two"]).starts_with("two\n"));
    assert!(!std::path::Path::new("/tmp/towpath-e2e-same-path").exists(), "nothing reached the machine");
}

#[test]
fn under_strict_there_is_no_network_and_nothing_of_others() {
    let home = Home::new();
    // A sandbox has a /tmp of its own; this is elsewhere.
    let others = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let secret = others.path().join("secret");
    std::fs::write(&secret, "secret\n").expect("file");
    let script = format!(
        "grep -c : /proc/net/dev\ncat {} 2>/dev/null || echo refused\ncat data\ngrep Seccomp: /proc/self/status",
        secret.display()
    );
    let file = home.file("w.yaml", &scripts("generateName: w-", &[("one", "", &script)]));
    home.file("data", "of the source\n");
    home.ok(&["run", &file]);
    assert!(home.ok(&["logs", "@", "one"]).contains("\nsecret\n"), "standard shows the machine's files");
    let strict = "1\nrefused\nof the source\nSeccomp:\t2\n";
    home.ok(&["run", &file, "--profile", "strict"]);
    assert_eq!(home.ok(&["logs", "@", "one"]), strict);
    assert!(home.ok(&["get", "@"]).contains("strict"));
    home.file("towpath.toml", "profile = \"strict\"\n");
    home.ok(&["run", &file]);
    assert_eq!(home.ok(&["logs", "@", "one"]), strict, "from the settings");
}

#[test]
fn artifacts_pass_between_steps() {
    let home = Home::new();
    let file = home.file(
        "w.yaml",
        r#"apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: pass}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - name: use
        template: use
        arguments:
          artifacts:
          - {name: dir, from: "{{steps.make.outputs.artifacts.dir}}"}
          - {name: file, from: "{{steps.make.outputs.artifacts.file}}"}
          parameters:
          - {name: count, value: "{{steps.make.outputs.parameters.count}}"}
  - name: make
    script:
      image: busybox
      command: [sh]
      source: |
        mkdir -p /tmp/out/sub
        echo deep > /tmp/out/sub/file
        echo flat > /tmp/flat
        echo 42 > /tmp/count
    outputs:
      artifacts:
      - {name: dir, path: /tmp/out}
      - {name: file, path: /tmp/flat}
      parameters:
      - {name: count, valueFrom: {path: /tmp/count}}
  - name: use
    inputs:
      artifacts:
      - {name: dir, path: /in/dir}
      - {name: file, path: /in/file}
      parameters: [{name: count}]
    script:
      image: busybox
      command: [sh]
      source: |
        cat /in/dir/sub/file /in/file
        echo changed > /in/dir/sub/file
        echo count={{inputs.parameters.count}}
"#,
    );
    home.ok(&["run", &file]);
    assert_eq!(home.ok(&["logs", "@", "use"]), "deep\nflat\ncount=42\n");
    let object = home.object();
    let artifacts = node(&object, "make")["outputs"]["artifacts"].as_array().expect("artifacts").len();
    assert!(artifacts >= 2, "{object}");
    assert!(home.ok(&["get", "@"]).contains("make/dir"));
}

#[test]
fn a_retry_runs_until_it_succeeds() {
    let home = Home::new();
    let text = scripts("name: again", &[("a", "", "echo try {{retries}}\ntest {{retries}} = 2")]);
    let text = text.replace("  - name: a\n", "  - name: a\n    retryStrategy: {limit: \"3\"}\n");
    let file = home.file("w.yaml", &text);
    let ran = home.run(&["run", &file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let logs = home.ok(&["logs", "@"]);
    assert!(logs.contains("again.a(0): try 0\n") && logs.contains("again.a(2): try 2\n"), "{logs}");
}
