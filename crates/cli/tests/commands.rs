//! Commands as processes, where what counts is their exit code or that they end at all.
//! It must never touch a process of another home.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().expect("a directory"));
        fs::create_dir(home.flow()).expect("flow");
        home
    }

    fn flow(&self) -> PathBuf {
        self.0.path().join("flow")
    }

    /// A workflow of one task, and its file.
    fn file(&self, metadata: &str, script: &str) -> String {
        let path = self.flow().join("flow.yaml");
        let text = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {metadata}\nspec:\n  entrypoint: main\n  templates:\n  \
             - name: main\n    container: {{image: host, command: [sh, -c, '{script}']}}\n"
        );
        fs::write(&path, text).expect("file");
        path.to_str().expect("UTF-8").to_string()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command.args(args).env("TOWPATH_HOME", self.0.path().join("home")).env_remove("TOWPATH_ATTEMPT");
        command.current_dir(self.flow()).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(args).output().expect("towpath");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (status.code().unwrap_or(-1), text(stdout), text(stderr))
    }

    fn signal(&self, kind: &str, signal: Signal) -> usize {
        let home = format!("TOWPATH_HOME={}", self.0.path().join("home").display());
        let has = |path: &Path, word: &str| {
            fs::read(path).is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|part| part == word.as_bytes()))
        };
        let pids = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
        let ours = pids.filter(|pid: &i32| {
            let dir = PathBuf::from(format!("/proc/{pid}"));
            has(&dir.join("cmdline"), kind) && has(&dir.join("environ"), &home)
        });
        ours.filter_map(Pid::from_raw).filter(|pid| kill_process(*pid, signal).is_ok()).count()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.signal("__holder", Signal::KILL);
        self.signal("__runner", Signal::KILL);
    }
}

#[test]
fn a_name_that_no_workflow_may_have_is_a_usage_error() {
    let home = Home::new();
    let file = home.file("{generateName: a-}", "true");
    for name in ["", "A", "../x", "a_b", "-a", "a\n", &"a".repeat(64)] {
        let (code, _, err) = home.run(&["run", &file, &format!("--name={name}")]);
        assert!(code == 2 && err.contains("cannot be the name of a run"), "{name:?}: {code} {err}");
    }
    let (code, _, err) = home.run(&["run", &home.file("{name: A_b}", "true")]);
    assert!(code == 2 && err.contains("E0304") && err.contains("3:18"), "{code} {err}");
}

#[test]
fn a_run_that_nobody_reads_has_its_exit_code() {
    let home = Home::new();
    let file = home.file("{generateName: a-}", "exit 3");
    for output in [&[][..], &["-o", "json"]] {
        let args = [&["run", &file][..], output].concat();
        let mut child = home.command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("towpath");
        drop(child.stdout.take());
        assert_eq!(child.wait().expect("end").code(), Some(1), "{args:?}");
    }
    let mut list = home.command(&["list"]).stdout(Stdio::piped()).spawn().expect("towpath");
    drop(list.stdout.take());
    assert_eq!(list.wait().expect("end").code(), Some(0));
}

#[test]
fn reading_does_not_wait_for_a_holder_that_is_stopped() {
    let home = Home::new();
    let file = home.file("{name: sleeper}", "sleep 600");
    assert_eq!(home.run(&["run", "--no-watch", &file]).0, 0);
    assert_eq!(home.signal("__holder", Signal::STOP), 1);
    let start = Instant::now();
    for args in [&["list"][..], &["get", "@"], &["explain", "@"]] {
        let (code, out, err) = home.run(args);
        assert!(code == 0 && out.contains("does not answer"), "{args:?}: {code} {out} {err}");
    }
    assert!(start.elapsed() < Duration::from_secs(30));
    home.signal("__holder", Signal::CONT);
    let (code, out, _) = home.run(&["list"]);
    assert!(code == 0 && out.contains("running") && !out.contains("does not answer"), "{out}");
}

#[test]
fn who_waits_for_a_holder_that_is_stopped_is_told_what_to_do() {
    let home = Home::new();
    let sleeper = home.file("{name: sleeper}", "sleep 60");
    let mut follows = home.command(&["run", &sleeper]).stdout(Stdio::piped()).spawn().expect("towpath");
    let mut followed = BufReader::new(follows.stdout.take().expect("stdout"));
    let line_with = |from: &mut dyn BufRead, text: &str| {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(from.read_line(&mut line).expect("output"), 0, "it ended before it said '{text}'");
        }
        line
    };
    line_with(&mut followed, "Running");
    assert_eq!(home.signal("__holder", Signal::STOP), 1);
    let short = home.file("{name: short}", "true");
    let mut waits = Vec::new();
    let asked = [&["run", short.as_str()][..], &["resume", "sleeper", "--no-watch"], &["stop", "sleeper"]];
    for args in asked {
        let child = home.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("towpath");
        waits.push((args, child));
    }
    for (args, child) in &mut waits {
        let mut err = BufReader::new(child.stderr.take().expect("stderr"));
        let line = line_with(&mut err, "does not answer");
        assert!(line.contains("kill -CONT "), "{args:?}: {line}");
        assert!(child.try_wait().expect("state").is_none(), "{args:?} waits on");
    }
    let line = line_with(&mut followed, "does not answer");
    assert!(line.contains("kill -CONT "), "{line}");
    home.signal("__holder", Signal::CONT);
    for (args, mut child) in waits {
        let code = child.wait().expect("end").code();
        // Who came after the one that stopped it finds an ended run.
        assert!(code == Some(0) || args[0] == "resume" && code == Some(1), "{args:?}: {code:?}");
    }
    assert_eq!(follows.wait().expect("end").code(), Some(1), "it was stopped");
}

#[test]
fn a_folder_too_large_for_a_snapshot_is_told_and_the_run_goes_on() {
    let home = Home::new();
    let big = fs::File::create(home.flow().join("weights.bin")).expect("file");
    big.set_len(300 << 20).expect("length");
    let (code, _, err) = home.run(&["run", &home.file("{name: without}", "true")]);
    assert!(code == 0 && err.contains(".towpathignore") && err.contains("weights.bin"), "{code} {err}");
    assert_eq!(err.matches("notice").count(), 1, "{err}");
    let needs = "{name: needs, annotations: {towpath.dev/source: \".\"}}";
    let (code, _, err) = home.run(&["run", &home.file(needs, "true")]);
    assert!(code == 2 && err.contains(".towpathignore"), "{code} {err}");
}

#[test]
fn a_file_without_a_workflow_is_not_called_valid() {
    let home = Home::new();
    let good = home.file("{name: good}", "true");
    let pod = home.flow().join("pod.yaml");
    fs::write(&pod, "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n").expect("file");
    let pod = pod.to_str().expect("UTF-8");
    let (code, out, err) = home.run(&["lint", pod]);
    assert!(code == 2 && out.is_empty() && err.contains("Pod is not one of Argo's kinds"), "{code} {out} {err}");
    assert!(err.contains("Workflow, WorkflowTemplate, ClusterWorkflowTemplate"), "{err}");
    let (code, out, err) = home.run(&["lint", &good, pod]);
    assert!(code == 2 && out.contains("Workflow good is valid") && !out.contains("Pod p"), "{code} {out} {err}");
    let (code, _, err) = home.run(&["run", pod]);
    assert!(code == 2 && err.contains("only Pod"), "{code} {err}");
}

#[test]
fn what_a_person_is_told_is_told_once() {
    let home = Home::new();
    let (code, out, _) = home.run(&["run", &home.file("{name: one}", "true")]);
    assert!(code == 0 && out.matches("one Succeeded").count() == 1, "{code} {out}");
    let (code, _, err) = home.run(&["run", &home.file("{name: two}", "true"), "-p", "x=1"]);
    assert!(code == 2 && err.matches("no parameter `x`").count() == 1 && !err.contains("'x'"), "{code} {err}");
    for (file, told) in [("nothing.yaml", "there is no file nothing.yaml"), (".", "is a folder")] {
        let (code, _, err) = home.run(&["run", file]);
        assert!(code == 2 && err.contains(told) && !err.contains("os error"), "{code} {err}");
    }
    let (code, out, err) = home.run(&["list", "--limit", "0"]);
    assert!(code == 2 && !err.contains("no run in"), "{code} {out} {err}");
}

#[test]
fn a_task_that_could_not_be_made_is_in_the_report() {
    let home = Home::new();
    let path = home.flow().join("flow.yaml");
    let text = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: w}\nspec:\n  entrypoint: main\n  templates:\n  \
         - name: main\n    dag:\n      tasks:\n      - {name: a, template: e, when: 'false'}\n      \
         - {name: b, template: p, depends: a, arguments: {parameters: [{name: p, value: '{{tasks.a.outputs.parameters.o}}'}]}}\n  \
         - {name: e, container: {image: host, command: ['true']}, outputs: {parameters: [{name: o, valueFrom: {path: /o}}]}}\n  \
         - {name: p, inputs: {parameters: [{name: p}]}, container: {image: host, command: ['true']}}\n";
    fs::write(&path, text).expect("file");
    let (code, _, err) = home.run(&["run", path.to_str().expect("UTF-8")]);
    assert!(code == 1 && err.contains("✖ w.b: task 'w.b' errored: inputs.parameters.p"), "{code} {err}");
    assert!(!err.contains("towpath logs"), "{err}");
}

#[test]
fn explain_names_who_holds_the_places() {
    let home = Home::new();
    let cpus = std::thread::available_parallelism().expect("cpus").get();
    // A place each, and then one too many.
    let names = (1..=cpus).map(|n| format!("first-{n}")).chain(["second".to_owned()]);
    for name in names {
        let file = home.file(&format!("{{name: {name}}}"), "sleep 600");
        assert_eq!(home.run(&["run", "--no-watch", &file]).0, 0);
    }
    let start = Instant::now();
    loop {
        let (code, out, err) = home.run(&["explain", "second"]);
        assert!(code == 0 && start.elapsed() < Duration::from_secs(30), "{code} {out} {err}");
        if out.contains("second: waits for a place: it asks for 1 cpu, and run first-1 holds 1")
            && out.contains("places are taken by first-1")
        {
            break;
        }
    }
}
