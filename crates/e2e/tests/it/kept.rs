//! What tasks wrote and did not declare: listed, kept for a while, and copied.

use crate::harness::{Home, Ran, node, scripts, signal, wait};
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;

/// Whether tasks have sandboxes here; a machine without says so in a notice, and nothing is kept.
fn sandboxed(ran: &Ran) -> bool {
    let without = ran.err.contains("makes no sandboxes") || ran.out.contains("makes no sandboxes");
    if without {
        eprintln!("skipped: this machine makes no sandboxes");
    }
    !without
}

const STRAY: &str = "mkdir -p /out/deep /tmp/__pycache__ /tmp/t
echo weights >/out/deep/model.bin
echo 123456789 >/tmp/t/log.txt
echo x >/tmp/__pycache__/a.cpython-311.pyc
echo s >beside.txt
ln -s deep/model.bin /out/latest
echo $HOME >$HOME/.settings
chmod 700 /etc/passwd";

fn dest(home: &Home, name: &str) -> PathBuf {
    home.root().parent().expect("parent").join(name)
}

#[test]
fn what_is_not_declared_is_listed_with_sizes_and_can_be_copied() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("name: w", &[("a", "", STRAY), ("clean", "", "echo hi")]));
    let ran = home.run(&["run", &file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    if !sandboxed(&ran) {
        return;
    }
    let object = home.object();
    let written = &node(&object, "a")["written"];
    let files: Vec<(&str, u64)> = written["files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| (file["path"].as_str().expect("path"), file["bytes"].as_u64().expect("bytes")))
        .collect();
    let wanted =
        [("/tmp/t/log.txt", 10), ("/out/deep/model.bin", 8), ("/towpath/source/beside.txt", 2), ("/out/latest", 0)];
    assert_eq!(files, wanted, "neither caches, nor settings, nor what was not changed");
    assert_eq!((written["count"].as_u64(), written["bytes"].as_u64()), (Some(4), Some(20)));
    assert!(node(&object, "clean")["written"].is_null());
    let shown = home.ok(&["get", "w"]);
    assert!(shown.contains("  a  4 files (20 B): /tmp/t/log.txt, /out/deep/model.bin, "), "{shown}");
    assert!(shown.contains("towpath cp w:a:/tmp/t/log.txt ."), "{shown}");
    assert_eq!(home.ok(&["cp", "w:a:/out/deep/model.bin", "-"]), "weights\n");
    assert_eq!(home.ok(&["cp", "@:a:beside.txt", "-"]), "s\n", "relative to the working directory");
    assert_eq!(home.ok(&["cp", "@:w.a:/out/latest", "-"]), "weights\n", "a link is followed inside");
    let out = dest(&home, "copied");
    let out = out.to_str().expect("UTF-8");
    home.ok(&["cp", "w:a:/out", out]);
    assert_eq!(fs::read_to_string(format!("{out}/deep/model.bin")).expect("copied"), "weights\n");
    assert_eq!(fs::read_link(format!("{out}/latest")).expect("link"), PathBuf::from("deep/model.bin"));
    let again = home.run(&["cp", "w:a:/out", out]);
    assert!(again.code == 0, "into the directory that is there: {again:?}");
    let again = home.run(&["cp", "w:a:/out", out]);
    assert!(again.code == 2 && again.err.contains("exists; --force replaces it"), "{again:?}");
    assert!(fs::read_dir(out).expect("dir").flatten().all(|e| !e.file_name().to_string_lossy().starts_with('.')));
}

#[test]
fn a_wrong_name_is_answered_with_the_right_one() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("name: w", &[("train", "", STRAY)]));
    let ran = home.run(&["run", &file]);
    if !sandboxed(&ran) {
        return;
    }
    for (what, told) in [
        ("w:trian:/out/deep/model.bin", "did you mean 'train'?"),
        ("w:train:/model.bin", "did you mean /out/deep/model.bin?"),
        ("w:train:/bin/sh", "did not write it"),
        ("w:train", "name what to copy as well: w:train:/tmp/t/log.txt"),
        ("w", "names no node"),
        ("v:train:/x", "no run 'v'"),
        ("w:w:/x", "files are those of its tasks: train"),
    ] {
        let ran = home.run(&["cp", what, "-"]);
        assert!(ran.code == 2 && ran.err.contains(told), "{what}: {ran:?}");
        assert_eq!(ran.out, "");
    }
    let ran = home.run(&["cp", "w:train:/out", "-"]);
    assert!(ran.code == 2 && ran.err.contains("is a directory"), "{ran:?}");
}

/// A task with an output artifact and an output parameter, which runs `script`.
fn with_outputs(script: &str) -> String {
    let mut text = String::from(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: w}\nspec:\n  entrypoint: a\n  templates:\n  - name: a\n    outputs:\n      artifacts: [{name: model, path: /out/model}]\n      parameters: [{name: loss, valueFrom: {path: /tmp/loss}}]\n    script:\n      image: busybox\n      command: [sh]\n      source: |\n",
    );
    script.lines().for_each(|line| text.push_str(&format!("        {line}\n")));
    text
}

#[test]
fn declared_outputs_are_not_listed_and_come_by_name_by_path_and_with_their_directory() {
    let home = Home::new();
    let script = "mkdir -p /out/model/part; echo m >/out/model/part/w; echo 1 >/tmp/loss; echo stray >/out/stray";
    let file = home.file("w.yaml", &with_outputs(script));
    let ran = home.run(&["run", &file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let out = dest(&home, "model");
    home.ok(&["cp", "w:w:model", out.to_str().expect("UTF-8")]);
    assert_eq!(fs::read_to_string(out.join("part/w")).expect("copied"), "m\n");
    if !sandboxed(&ran) {
        return;
    }
    assert_eq!(home.ok(&["cp", "w:w:/out/model/part/w", "-"]), "m\n");
    let object = home.object();
    let written = &node(&object, "w")["written"];
    assert_eq!((written["count"].as_u64(), written["files"][0]["path"].as_str()), (Some(1), Some("/out/stray")));
    let all = dest(&home, "all");
    home.ok(&["cp", "w:w:/out", all.to_str().expect("UTF-8")]);
    assert_eq!(fs::read_to_string(all.join("model/part/w")).expect("declared"), "m\n");
    assert_eq!(fs::read_to_string(all.join("stray")).expect("stray"), "stray\n");
}

#[test]
fn what_a_failed_task_wrote_is_there_and_told() {
    let home = Home::new();
    let script = "mkdir -p /checkpoints; echo half >/checkpoints/last; exit 3";
    let file = home.file("w.yaml", &scripts("name: w", &[("train", "", script)]));
    let ran = home.run(&["run", &file]);
    assert_eq!(ran.code, 1, "{ran:?}");
    if !sandboxed(&ran) {
        return;
    }
    assert!(
        ran.err.contains("wrote: 1 file (5 B): /checkpoints/last · towpath cp w:train:/checkpoints/last ."),
        "{}",
        ran.err
    );
    assert_eq!(home.ok(&["cp", "w:train:/checkpoints/last", "-"]), "half\n");
}

#[test]
fn a_missing_output_is_answered_with_what_was_written_what_is_called_alike_first() {
    let home = Home::new();
    let script =
        "for i in $(seq 30); do echo $i >/tmp/f$i; done; mkdir -p /wrong; echo m >/wrong/model; echo 1 >/tmp/loss";
    let file = home.file("w.yaml", &with_outputs(script));
    let ran = home.run(&["run", &file]);
    assert_eq!(ran.code, 1, "{ran:?}");
    if !sandboxed(&ran) {
        return;
    }
    let message = node(&home.object(), "w")["message"].as_str().expect("message").to_string();
    assert!(
        message.contains("stat /out/model: no such file or directory (it wrote: /wrong/model, /tmp/f"),
        "{message}"
    );
    assert!(message.contains(" and 21 more)") && !message.contains("/tmp/loss"), "{message}");
}

#[test]
fn many_stray_files_make_a_short_list_and_true_counts() {
    let home = Home::new();
    let script = "mkdir /many; cd /many; seq 5000 | split -l 1 -a 4 - x";
    let file = home.file("w.yaml", &scripts("name: w", &[("a", "", script)]));
    let ran = home.run(&["run", &file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    if !sandboxed(&ran) {
        return;
    }
    let object = home.object();
    let written = &node(&object, "a")["written"];
    assert_eq!((written["count"].as_u64(), written["bytes"].as_u64()), (Some(5000), Some(23_893)));
    assert_eq!(written["files"].as_array().map(Vec::len), Some(50));
    let entry = home.ok(&["events", "w"]).lines().find(|line| line.contains("AttemptEnded")).map(str::len);
    assert!(entry.is_some_and(|length| length < 800), "{entry:?}");
}

#[test]
fn what_is_kept_survives_the_death_of_holder_and_runner() {
    let home = Home::new();
    let tasks = [("a", "", "echo kept >/stray"), ("b", "a", "sleep 600")];
    let file = home.file("w.yaml", &scripts("name: w", &tasks));
    let ran = home.run(&["run", &file, "--no-watch"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    wait("the end of a", || (home.phase("a") == "Succeeded").then_some(()));
    for kind in ["__runner", "__holder"] {
        home.processes(kind).into_iter().for_each(|pid| signal(pid, Signal::KILL));
    }
    wait("the end of the holder", || home.processes("__holder").is_empty().then_some(()));
    if node(&home.object(), "a")["written"].is_null() {
        return eprintln!("skipped: this machine makes no sandboxes");
    }
    assert_eq!(home.ok(&["cp", "w:a:/stray", "-"]), "kept\n");
    // Another holder sweeps what the dead ones left, and this is none of it.
    home.ok(&["resume", "w", "--no-watch"]);
    assert_eq!(home.ok(&["cp", "w:a:/stray", "-"]), "kept\n");
    home.ok(&["terminate", "w"]);
    wait("the end of the run", || home.events("RunEnded").first().map(drop));
    wait("its deletion", || (home.run(&["delete", "w"]).code == 0).then_some(()));
    assert_eq!(fs::read_dir(home.root().join("kept")).map_or(0, Iterator::count), 0, "it goes with its run");
}

#[test]
fn what_is_kept_goes_after_its_time_and_that_is_said() {
    let home = Home::new();
    fs::write(home.root().parent().expect("parent").join("flow/towpath.toml"), "keep = \"1s\"\n").expect("settings");
    let file = home.file("w.yaml", &scripts("name: w", &[("a", "", "echo x >/stray\nsleep 1")]));
    let ran = home.run(&["run", &file]);
    if !sandboxed(&ran) {
        return;
    }
    // Whether this holder does it or the next one.
    wait("its removal", || {
        home.ok(&["run", &file, "--name", "other", "--no-watch"]);
        wait("the end", || home.run(&["get", "other"]).out.contains("phase Succeeded").then_some(()));
        home.run(&["delete", "other"]);
        let ran = home.run(&["cp", "w:a:/stray", "-"]);
        ran.err.contains("was kept for a day at most, while there was room, and is gone").then_some(())
    });
    assert!(home.ok(&["get", "w"]).contains("not kept any more"));
}
