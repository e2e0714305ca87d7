//! Outputs that were declared at the wrong path: corrected in the file, they are collected by `resume`, and nothing is computed
//! again.

use crate::harness::{Home, Ran, node, signal, wait};
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;

/// A counter outside of every sandbox: a shared cache, to which each run of the program adds a line.
fn times_run(home: &Home) -> usize {
    fs::read_to_string(home.root().join("cache/ran")).map_or(0, |text| text.lines().count())
}

const PROGRAM: &str = "echo ran >>$XDG_CACHE_HOME/ran; mkdir -p /out; echo weights >/out/model.bin; echo 0.5 >/out/loss; cp -r /out /tmp/dir";

/// Three tasks after one another (the second writes its outputs elsewhere), as a DAG or as steps, as containers or as scripts.
fn flow(steps: bool, script: bool, model: &str) -> String {
    let tasks = if steps {
        "    steps:
    - - {name: first, template: first}
    - - {name: train, template: train}
    - - name: use
        template: use
        arguments:
          artifacts: [{name: model, from: '{{steps.train.outputs.artifacts.model}}'}]
          parameters: [{name: loss, value: '{{steps.train.outputs.parameters.loss}}'}]
"
    } else {
        "    dag:
      tasks:
      - {name: first, template: first}
      - {name: train, template: train, depends: first}
      - name: use
        template: use
        depends: train
        arguments:
          artifacts: [{name: model, from: '{{tasks.train.outputs.artifacts.model}}'}]
          parameters: [{name: loss, value: '{{tasks.train.outputs.parameters.loss}}'}]
"
    };
    let body = if script {
        format!("    script:\n      image: busybox\n      command: [sh]\n      source: |\n        {PROGRAM}\n")
    } else {
        format!("    container:\n      image: busybox\n      command: [sh, -c, '{PROGRAM}']\n")
    };
    format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: w}}
spec:
  entrypoint: main
  templates:
  - name: main
{tasks}  - name: first
    container: {{image: busybox, command: [sh, -c, 'echo first >>$XDG_CACHE_HOME/first']}}
  - name: train
    outputs:
      artifacts: [{{name: model, path: {model}}}]
      parameters: [{{name: loss, valueFrom: {{path: /out/loss}}}}]
{body}  - name: use
    inputs:
      artifacts: [{{name: model, path: /in/model}}]
      parameters: [{{name: loss}}]
    container: {{image: busybox, command: [sh, -c, 'ls -R /in; cat /in/model/model.bin /in/model; echo loss {{{{inputs.parameters.loss}}}}; true']}}
"
    )
}

/// Whether tasks have sandboxes here; without them nothing is kept.
fn sandboxed(ran: &Ran) -> bool {
    let without = ran.err.contains("makes no sandboxes") || ran.out.contains("makes no sandboxes");
    if without {
        eprintln!("skipped: this machine makes no sandboxes");
    }
    !without
}

#[test]
fn a_corrected_path_is_collected_and_what_depends_on_it_runs() {
    for (steps, script) in [(false, false), (false, true), (true, true)] {
        let home = Home::new();
        let file = home.file("w.yaml", &flow(steps, script, "/model.bin"));
        let ran = home.run(&["run", &file]);
        assert_eq!(ran.code, 1, "{ran:?}");
        if !sandboxed(&ran) {
            return;
        }
        assert!(ran.err.contains("(it wrote: /out/model.bin, "), "{}", ran.err);
        let unchanged = home.run(&["resume", "w"]);
        assert!(
            unchanged.code == 1 && unchanged.err.contains("correct the path there and resume again"),
            "{unchanged:?}"
        );
        home.file("w.yaml", &flow(steps, script, "/out/model.bin"));
        let out = home.ok(&["resume", "w"]);
        let train = if steps { "w[1].train" } else { "w.train" };
        assert!(out.contains(&format!("{train}: collected from what it had written")), "{out}");
        assert!(out.contains("kept: 1 that succeeded"), "{out}");
        assert_eq!(times_run(&home), 1, "it was not computed again");
        assert_eq!(fs::read_to_string(home.root().join("cache/first")).expect("first"), "first\n");
        let used = home.ok(&["logs", "w", "use"]);
        assert!(used.contains("weights") && used.contains("loss 0.5"), "{used}");
        let object = home.object();
        assert_eq!(object["status"]["phase"], "Succeeded");
        let train = node(&object, "train");
        assert_eq!((train["phase"].as_str(), train["outputs"]["exitCode"].as_str()), (Some("Succeeded"), Some("0")));
        let named = object["status"]["nodes"].as_object().expect("nodes").values();
        assert_eq!(named.filter(|node| node["displayName"] == "use").count(), 1, "the omitted one is history");
        assert_eq!(home.ok(&["cp", "w:train:model", "-"]), "weights\n");
        // The layer itself was not touched.
        assert_eq!(home.ok(&["cp", "w:train:/tmp/dir/model.bin", "-"]), "weights\n");
        let list = home.ok(&["list"]);
        assert!(list.contains("succeeded") || list.contains("Succeeded"), "{list}");
        let again = home.run(&["resume", "w"]);
        assert!(again.code == 0 && again.err.contains("ended already: Succeeded"), "{again:?}");
    }
}

#[test]
fn a_directory_is_collected_as_well_and_a_wrong_correction_can_be_corrected() {
    let home = Home::new();
    let file = home.file("w.yaml", &flow(false, true, "/model"));
    let ran = home.run(&["run", &file]);
    if !sandboxed(&ran) {
        return;
    }
    home.file("w.yaml", &flow(false, true, "/nowhere"));
    let ran = home.run(&["resume", "w"]);
    assert!(ran.code == 1 && ran.err.contains("stat /nowhere: no such file or directory (it wrote: "), "{ran:?}");
    home.file("w.yaml", &flow(false, true, "/out"));
    home.ok(&["resume", "w"]);
    assert_eq!(times_run(&home), 1);
    let used = home.ok(&["logs", "w", "use"]);
    assert!(used.contains("/in/model:") && used.contains("weights"), "{used}");
    assert_eq!(home.ok(&["cp", "w:train:/out/model.bin", "-"]), "weights\n");
}

#[test]
fn another_program_is_run_again() {
    let home = Home::new();
    let file = home.file("w.yaml", &flow(false, true, "/model.bin"));
    let ran = home.run(&["run", &file]);
    if !sandboxed(&ran) {
        return;
    }
    home.file("w.yaml", &flow(false, true, "/out/model.bin").replace("echo weights", "echo heavy weights"));
    let out = home.ok(&["resume", "w"]);
    assert!(out.contains("w.train: runs again: it has another script"), "{out}");
    assert_eq!(times_run(&home), 2);
    assert!(home.ok(&["logs", "w", "use"]).contains("heavy weights"));
    assert_eq!(
        fs::read_to_string(home.root().join("cache/first")).expect("first"),
        "first\n",
        "what succeeded is kept"
    );
}

#[test]
fn other_tasks_are_another_run() {
    let home = Home::new();
    let file = home.file("w.yaml", &flow(false, true, "/model.bin"));
    let ran = home.run(&["run", &file]);
    if !sandboxed(&ran) {
        return;
    }
    home.file("w.yaml", &flow(false, true, "/out/model.bin").replace("depends: first", "depends: ''"));
    let ran = home.run(&["resume", "w"]);
    assert!(ran.code == 1 && ran.err.contains("other tasks in template `main`"), "{ran:?}");
    assert_eq!(home.object()["status"]["phase"], "Error");
    home.file("w.yaml", "no: workflow");
    assert_eq!(home.run(&["resume", "w"]).code, 2);
}

#[test]
fn kill_9_in_between_computes_nothing_again() {
    let home = Home::new();
    // What comes after the collection takes its time, so that everything is killed in the middle of it.
    let gate: PathBuf = home.root().join("cache/gate");
    let slow = |path: &str| {
        flow(false, true, path)
            .replace("ls -R /in;", "echo began; until test -e $XDG_CACHE_HOME/gate; do sleep 0.1; done; ls -R /in;")
    };
    let file = home.file("w.yaml", &slow("/model.bin"));
    let ran = home.run(&["run", &file]);
    if !sandboxed(&ran) {
        return;
    }
    // In this order, and again: a holder that lives starts another runner.
    let kill = |kinds: &[&str]| {
        wait("their end", || {
            let living: Vec<_> = kinds.iter().flat_map(|kind| home.processes(kind)).collect();
            living.iter().for_each(|pid| signal(*pid, Signal::KILL));
            living.is_empty().then_some(())
        });
    };
    kill(&["__runner", "__holder"]);
    home.file("w.yaml", &slow("/out/model.bin"));
    home.ok(&["resume", "w", "--no-watch"]);
    // At once: the collection may or may not have begun.
    kill(&["__holder", "__runner"]);
    let ran = home.run(&["resume", "w", "--no-watch"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    home.wait_for_log("w", "began");
    kill(&["__runner", "__holder"]);
    fs::write(gate, "").expect("gate");
    home.ok(&["resume", "w"]);
    assert_eq!(times_run(&home), 1);
    assert_eq!(fs::read_to_string(home.root().join("cache/first")).expect("first"), "first\n");
    assert_eq!(home.object()["status"]["phase"], "Succeeded");
}

#[test]
fn what_is_gone_is_not_computed_again_without_being_asked() {
    let home = Home::new();
    let file = home.file("w.yaml", &flow(true, false, "/model.bin"));
    let ran = home.run(&["run", &file]);
    if !sandboxed(&ran) {
        return;
    }
    wait("the end of the holder", || home.processes("__holder").is_empty().then_some(()));
    fs::remove_dir_all(home.root().join("kept")).expect("a day later");
    home.file("w.yaml", &flow(true, false, "/out/model.bin"));
    let ran = home.run(&["resume", "w"]);
    assert!(ran.code == 1 && ran.err.contains("was kept for a day at most") && ran.err.contains("is gone"), "{ran:?}");
    assert_eq!(times_run(&home), 1);
    assert_eq!(home.object()["status"]["phase"], "Failed");
}
