//! Which environment tasks get: that of the command that started their run, whoever started the holder.

use crate::harness::{Home, scripts, wait};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const SECRET: &str = "s3cr3t-of-the-caller";

/// Ends when the test opens the gate, and tells what it sees of the environment before and after.
fn gated(home: &Home) -> String {
    let gate = home.root().with_file_name("gate");
    let wait = format!("echo first=$FOO only=$ONLY\nwhile ! test -e {}; do sleep 0.05; done", gate.display());
    home.file("gated.yaml", &scripts("name: gated", &[("a", "", &wait), ("b", "a", "echo then=$FOO only=$ONLY")]))
}

fn open_gate(home: &Home) {
    fs::write(home.root().with_file_name("gate"), "").expect("gate");
}

/// Files of the home that hold a text.
fn files_with(home: &Home, text: &str) -> Vec<PathBuf> {
    let (mut found, mut dirs) = (Vec::new(), vec![home.root()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                dirs.push(path);
            } else if kind.is_file()
                && fs::read(&path).is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes()))
            {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn a_trusted_task_has_the_environment_of_the_command_that_started_its_run() {
    let home = Home::new();
    let file = gated(&home);
    home.run_with(&["run", &file, "--profile", "trusted", "--no-watch"], &[("FOO", "one"), ("ONLY", "here")]);
    home.wait_for_log("gated", "first=one only=here");
    // Another shell, while the holder of the first one lives: its variables, its PATH.
    let bin = home.root().with_file_name("bin");
    fs::create_dir(&bin).expect("bin");
    let tool = bin.join("a-tool-of-this-shell");
    fs::write(&tool, "#!/bin/sh\necho tool-ran\n").expect("tool");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("mode");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("PATH"));
    let text = scripts("name: other", &[("a", "", "echo foo=$FOO only=$ONLY\na-tool-of-this-shell")]);
    let other = home.file("other.yaml", &text);
    let ran = home.run_with(&["run", &other, "--profile", "trusted"], &[("FOO", "two"), ("PATH", &path)]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(home.ok(&["logs", "other", "a"]), "foo=two only=\ntool-ran\n");
    open_gate(&home);
    assert_eq!(home.run(&["resume", "gated"]).code, 0);
    assert_eq!(home.ok(&["logs", "gated", "b"]), "then=one only=here\n", "attaching from elsewhere changes nothing");
}

#[test]
fn an_interrupted_run_goes_on_with_the_environment_of_the_command_that_resumes_it() {
    let home = Home::new();
    let file = gated(&home);
    home.run_with(&["run", &file, "--profile", "trusted", "--no-watch"], &[("FOO", "one"), ("ONLY", "here")]);
    home.wait_for_log("gated", "first=one");
    home.kill_holder();
    open_gate(&home);
    assert_eq!(home.run_with(&["resume", "gated"], &[("FOO", "three")]).code, 0);
    assert_eq!(home.ok(&["logs", "gated", "b"]), "then=three only=\n");
}

#[test]
fn the_environment_is_kept_private_and_only_while_its_run_goes_on() {
    let home = Home::new();
    let file = gated(&home);
    home.run_with(&["run", &file, "--profile", "trusted", "--no-watch"], &[("TOKEN", SECRET)]);
    home.wait_for_log("gated", "first=");
    let files = files_with(&home, SECRET);
    assert_eq!(files.len(), 1, "one file, neither events nor logs: {files:?}");
    for path in [files[0].as_path(), files[0].parent().expect("its directory")] {
        assert_eq!(path.metadata().expect("metadata").permissions().mode() & 0o077, 0, "{}", path.display());
    }
    open_gate(&home);
    assert_eq!(home.run(&["resume", "gated"]).code, 0);
    wait("no file with the secret", || files_with(&home, SECRET).is_empty().then_some(()));
}

#[test]
fn under_standard_only_what_a_program_needs_is_kept_and_given() {
    let home = Home::new();
    let task = "echo token=$TOKEN zone=$TZ";
    let file = home.file("w.yaml", &scripts("name: w", &[("a", "", task), ("b", "a", "sleep 1")]));
    let variables = [("TOKEN", SECRET), ("TZ", "Pacific/Apia")];
    home.run_with(&["run", &file, "--profile", "standard", "--no-watch"], &variables);
    home.wait_for_log("w", "zone=Pacific/Apia");
    assert_eq!(home.ok(&["logs", "w", "a"]), "token= zone=Pacific/Apia\n");
    assert_eq!(files_with(&home, SECRET), [] as [PathBuf; 0]);
    assert_eq!(home.run(&["resume", "w"]).code, 0);
}

#[test]
fn a_trusted_python_task_has_the_interpreter_of_the_users_path() {
    let home = Home::new();
    let Ok(python) = std::process::Command::new("sh").args(["-c", "command -v python3"]).output() else { return };
    let python = String::from_utf8(python.stdout).expect("UTF-8").trim().to_string();
    if python.is_empty() {
        return eprintln!("skipped: no python3 on this machine");
    }
    let bin = home.root().with_file_name("venv-bin");
    fs::create_dir(&bin).expect("bin");
    let mine = bin.join("python3");
    fs::write(&mine, format!("#!/bin/sh\nMINE=yes exec {python} \"$@\"\n")).expect("interpreter");
    fs::set_permissions(&mine, fs::Permissions::from_mode(0o755)).expect("mode");
    let text = scripts("generateName: py-", &[("a", "", "import os\nprint('mine:', os.environ.get('MINE'))")]);
    let text = text.replace("image: busybox", "image: python:3.12").replace("[sh]", "[python3]");
    let file = home.file("py.yaml", &text);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("PATH"));
    let ran = home.run_with(&["run", &file, "--profile", "trusted"], &[("PATH", &path)]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(home.ok(&["logs", "@", "a"]), "mine: yes\n");
    home.ok(&["run", &file, "--profile", "trusted"]);
    assert_eq!(home.ok(&["logs", "@", "a"]), "mine: None\n");
}

#[test]
fn in_a_home_that_others_can_read_what_runs_leave_is_private() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("generateName: w-", &[("a", "", "echo hi > /tmp/out")]));
    let outputs = "    outputs: {artifacts: [{name: o, path: /tmp/out}]}\n";
    let text = fs::read_to_string(&file).expect("text") + outputs;
    fs::write(&file, text).expect("file");
    fs::create_dir(home.root()).expect("home");
    fs::set_permissions(home.root(), fs::Permissions::from_mode(0o755)).expect("mode");
    home.ok(&["run", &file]);
    let is_open = |path: &PathBuf| path.symlink_metadata().expect("metadata").permissions().mode() & 0o077 != 0;
    let look = || {
        let entries = fs::read_dir(home.root()).expect("home").flatten().map(|entry| entry.path());
        // Packages, tools' caches and the point on which sandboxes are mounted hold nothing of a run.
        let public = ["cache", "environments", "sandbox"].map(|name| home.root().join(name));
        entries.filter(|path| !public.contains(path) && is_open(path)).collect::<Vec<PathBuf>>()
    };
    assert_eq!(look(), [] as [PathBuf; 0]);
    // What an older build left open is closed by the next holder.
    wait("the end of the holder", || home.processes("__holder").is_empty().then_some(()));
    for name in ["logs", "artifacts", "store.db", "holder.log"] {
        fs::set_permissions(home.root().join(name), fs::Permissions::from_mode(0o755)).expect("mode");
    }
    home.ok(&["run", &file]);
    assert_eq!(look(), [] as [PathBuf; 0]);
}
