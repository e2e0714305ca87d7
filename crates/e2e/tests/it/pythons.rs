//! Python environments, without any network: the packages are wheels that the test makes.

use crate::harness::{Home, Ran, node, wait};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Makes wheels without any tool of packaging.
const MAKE: &str = r#"
import sys, zipfile
to = sys.argv[1]
for word in sys.argv[2:]:
    name, version, *requires = word.split("|")
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {r}\n" for r in requires)
    files = {
        f"{name}.py": f"version = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(f"{to}/{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
"#;

/// A package whose build waits for a file: pip is busy as long as the test wants.
const SLOW: &str = r#"
import io, sys, tarfile
to, gate = sys.argv[1:]
backend = f"""
import os, time, zipfile
def build_wheel(to, settings=None, metadata=None):
    open({gate!r} + ".reached", "w").close()
    while not os.path.exists({gate!r}):
        time.sleep(0.02)
    name = "slow-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(to, name), "w") as wheel:
        wheel.writestr("slow.py", "version = '1.0'")
        wheel.writestr("slow-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: slow\\nVersion: 1.0\\n")
        wheel.writestr("slow-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("slow-1.0.dist-info/RECORD", "slow.py,,\\nslow-1.0.dist-info/METADATA,,\\nslow-1.0.dist-info/WHEEL,,\\nslow-1.0.dist-info/RECORD,,\\n")
    return name
"""
files = {
    "pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n",
    "backend.py": backend,
    "PKG-INFO": "Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n",
}
with tarfile.open(f"{to}/slow-1.0.tar.gz", "w:gz") as archive:
    for name, text in files.items():
        entry = tarfile.TarInfo(f"slow-1.0/{name}")
        entry.size = len(text.encode())
        archive.addfile(entry, io.BytesIO(text.encode()))
"#;

struct Pythons {
    home: Home,
    wheels: PathBuf,
}

impl Pythons {
    /// `None`: this machine has no Python that makes environments.
    fn new(wheels: &[&str]) -> Option<Self> {
        let can = Command::new("python3").args(["-I", "-c", "import venv, ensurepip"]).stderr(Stdio::null()).status();
        if !can.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no python3 with venv and ensurepip on this machine");
            return None;
        }
        let home = Home::new();
        let dir = home.root().with_file_name("wheels");
        fs::create_dir(&dir).expect("wheels");
        let pythons = Self { home, wheels: dir };
        pythons.python(MAKE, wheels);
        Some(pythons)
    }

    fn python(&self, program: &str, args: &[&str]) {
        let made = Command::new("python3").args(["-c", program]).arg(&self.wheels).args(args).status();
        assert!(made.expect("python3").success());
    }

    /// A workflow of one task with these annotations, which runs a line of Python.
    fn flow(&self, name: &str, annotations: &str, program: &str) -> String {
        let text = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  name: {name}\n  annotations:\n{annotations}spec:\n  entrypoint: a\n  templates:\n  - name: a\n    script:\n      image: python\n      command: [python]\n      source: |\n        {program}\n"
        );
        self.home.file(&format!("{name}.yaml"), &text)
    }

    fn wanting(&self, name: &str, requirements: &str, program: &str) -> String {
        self.flow(name, &format!("    towpath.dev/python-requirements: \"{requirements}\"\n"), program)
    }

    fn command(&self, args: &[&str], wheels: bool) -> Command {
        let mut command = self.home.command(args);
        command.env("PIP_NO_INDEX", "1").env("TOWPATH_NO_UV", "1").env_remove("PIP_FIND_LINKS");
        if wheels {
            command.env("PIP_FIND_LINKS", &self.wheels);
        }
        command
    }

    fn run(&self, args: &[&str], wheels: bool) -> Ran {
        let output = self.command(args, wheels).output().expect("towpath");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    fn list(&self) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.home.ok(&["env", "list", "-o", "json"])).expect("JSON")
    }
}

#[test]
fn an_environment_is_locked_by_digest_built_once_and_needs_no_network_again() {
    let Some(pythons) = Pythons::new(&["aaa|1.0|bbb>=1", "bbb|1.5"]) else { return };
    let file = pythons.wanting("first", "aaa", "import aaa, bbb; print(aaa.version, bbb.version)");
    let ran = pythons.run(&["run", &file], true);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(pythons.home.ok(&["logs", "first"]).contains("1.0 1.5"));
    let lock = pythons.home.events("EnvironmentLocked")[0]["EnvironmentLocked"]["lock"].to_string();
    assert!(lock.contains("aaa==1.0 --hash=sha256:") && lock.contains("bbb==1.5 --hash=sha256:"), "{lock}");
    // No index, no wheels: what is there is enough, also for another run and another holder.
    pythons.home.kill_holder();
    let file = pythons.wanting("second", "aaa", "import bbb; print(bbb.__file__)");
    let ran = pythons.run(&["run", &file], false);
    assert_eq!(ran.code, 0, "{ran:?}");
    let [one] = &pythons.list()[..] else { panic!("one environment") };
    assert_eq!((&one["runs"], &one["state"]), (&serde_json::json!(["second", "first"]), &"ready".into()), "{one}");
    assert!(one["bytes"].as_u64().expect("bytes") > 100_000 && one["packages"].as_array().expect("list").len() == 2);
    let shown = pythons.home.ok(&["env", "show", &one["key"].as_str().expect("key")[..6]]);
    assert!(shown.contains("Requirements: aaa") && shown.contains("bbb==1.5 --hash=sha256:"), "{shown}");
    assert!(pythons.home.ok(&["env", "list"]).contains("second, first"));
}

#[test]
fn another_content_than_the_lock_says_is_not_installed() {
    let Some(pythons) = Pythons::new(&["aaa|1.0"]) else { return };
    let file = pythons.wanting("w", "aaa==1.0", "import aaa");
    let ran = pythons.run(&["run", &file], true);
    assert_eq!(ran.code, 0, "{ran:?}");
    // The environment is lost, its lock is not, and the wheel is another one of the same name.
    let one = pythons.list()[0].clone();
    fs::remove_dir_all(one["path"].as_str().expect("path")).expect("removed");
    pythons.python(MAKE, &["aaa|1.0|bbb"]);
    let ran = pythons.run(&["run", &file, "--name", "again"], true);
    assert!(ran.code == 1 && ran.err.contains("HASH"), "{ran:?}");
}

#[test]
fn two_runs_at_once_build_one_environment() {
    let Some(pythons) = Pythons::new(&["aaa|1.0"]) else { return };
    let files = ["one", "two"].map(|name| pythons.wanting(name, "aaa", "import aaa; print(aaa.__file__)"));
    let spawn = |file: &String| pythons.command(&["run", file], true).stdout(Stdio::piped()).spawn().expect("towpath");
    let children: Vec<_> = files.iter().map(spawn).collect();
    let said: Vec<String> = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().expect("towpath");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).expect("UTF-8")
        })
        .collect();
    let built = said.iter().map(|text| text.matches("building the Python environment").count()).sum::<usize>();
    assert_eq!(built, 1, "{said:?}");
    assert_eq!(pythons.list().len(), 1);
}

#[test]
fn a_build_that_is_killed_is_made_again_and_a_needed_environment_is_not_removed() {
    let Some(pythons) = Pythons::new(&[]) else { return };
    let gate = pythons.home.root().with_file_name("gate");
    let gate_text = gate.to_str().expect("UTF-8");
    pythons.python(SLOW, &[gate_text]);
    let file = pythons.wanting("w", "slow", "import slow; print('slow', slow.version)");
    let ran = pythons.run(&["run", &file, "--no-watch"], true);
    assert_eq!(ran.code, 0, "{ran:?}");
    let reached = PathBuf::from(format!("{gate_text}.reached"));
    wait("pip at work", || reached.exists().then_some(()));
    // Everything dies: the holder, and pip with what it started.
    pythons.home.kill_holder();
    for pid in builders(pythons.home.root().to_str().expect("UTF-8")) {
        crate::harness::signal(pid, rustix::process::Signal::KILL);
    }
    wait("their end", || builders(pythons.home.root().to_str().expect("UTF-8")).is_empty().then_some(()));
    fs::write(&gate, "").expect("gate");
    let ran = pythons.run(&["resume", "w"], true);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(pythons.home.ok(&["logs", "w"]).contains("slow 1.0"));

    let held = pythons.wanting("held", "slow", "import time; print('begun', flush=True); time.sleep(600)");
    assert_eq!(pythons.run(&["run", &held, "--no-watch"], false).code, 0);
    pythons.home.wait_for_log("held", "begun");
    let key = pythons.list()[0]["key"].as_str().expect("key")[..8].to_string();
    let ran = pythons.home.run(&["env", "rm", &key]);
    assert!(ran.code != 0 && ran.err.contains("is needed by held, which has not ended"), "{ran:?}");
    pythons.home.ok(&["terminate", "held"]);
    wait("its end", || (pythons.home.run(&["get", "held"]).out.contains("State:       cancelled")).then_some(()));
    assert_eq!(pythons.home.ok(&["env", "rm", &key]), format!("{key} removed\n"));
    assert!(pythons.list().is_empty());
    let ran = pythons.home.run(&["env", "show", &key]);
    assert!(ran.code == 2 && ran.err.contains("`towpath env list`"), "{ran:?}");
}

/// Processes that work in the environments of a home.
fn builders(home: &str) -> Vec<i32> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let environments = format!("{home}/environments");
    pids.filter(|pid| {
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&read("cmdline")).contains(&environments)
            || String::from_utf8_lossy(&read("environ")).contains(&format!("PIP_CACHE_DIR={home}"))
    })
    .collect()
}

#[test]
fn what_cannot_be_built_is_told_by_package_and_line() {
    let Some(pythons) = Pythons::new(&["aaa|1.0|bbb<2", "bbb|1.5", "bbb|2.1"]) else { return };
    let file = pythons.wanting("conflict", "aaa\\nbbb==2.1", "import aaa");
    let ran = pythons.run(&["run", &file], true);
    let said = "aaa 1.0 (line 1) needs bbb<2, but bbb==2.1 is asked for (python-requirements line 2)";
    assert!(ran.code == 1 && ran.err.contains(said), "{ran:?}");
    let file = pythons.wanting("missing", "nosuch==7", "import nosuch");
    let ran = pythons.run(&["run", &file], true);
    assert!(ran.code == 1 && ran.err.contains("failed at nosuch==7"), "{ran:?}");
    let file = pythons.flow(
        "conda",
        "    towpath.dev/python-requirements: |\n      dependencies:\n        - numpy=1.26\n",
        "1",
    );
    let ran = pythons.run(&["run", &file], true);
    assert!(ran.code == 2 && ran.err.contains("E0803") && ran.err.contains("numpy==1.26.*"), "{ran:?}");
}

#[test]
fn another_interpreter_is_taken_where_it_is_installed() {
    let Some(pythons) = Pythons::new(&[]) else { return };
    let file = pythons.flow("none", "    towpath.dev/python-version: \"3.99\"\n", "1");
    let ran = pythons.run(&["run", &file], true);
    assert!(ran.code == 1 && ran.err.contains("no Python here satisfies `python==3.99`; there is: 3."), "{ran:?}");
    assert!(ran.err.contains("uv python install 3.99"), "{ran:?}");
    let own = Command::new("python3").args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).output();
    let own = String::from_utf8(own.expect("python3").stdout).expect("UTF-8").trim().to_string();
    // The error tells what there is.
    let there = ran.err.split("there is: ").nth(1).expect("a list").split(". Install").next().expect("its end");
    let minor = |text: &str| text.trim().split('.').take(2).collect::<Vec<_>>().join(".");
    let usable = |version: &String| {
        *version != own
            && version.split('.').nth(1).is_some_and(|minor| minor.parse::<u32>().is_ok_and(|minor| minor >= 9))
    };
    let Some(other) = there.split(", ").map(minor).find(usable) else {
        return eprintln!("skipped: no other Python on this machine ({there})");
    };
    let file = pythons.flow(
        "other",
        &format!("    towpath.dev/python-version: \"{other}\"\n"),
        "import sys; print('%d.%d' % sys.version_info[:2])",
    );
    let ran = pythons.run(&["run", &file], true);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(pythons.home.ok(&["logs", "other"]).contains(&format!("other: {other}")), "{other}");
    assert_eq!(node(&pythons.home.object(), "other")["phase"], "Succeeded");
    // The same by the tag of an image, without an environment and without a notice.
    let text = fs::read_to_string(&file)
        .expect("the workflow")
        .replace("image: python\n", &format!("image: python:{other}-slim\n"));
    let annotation = format!("    towpath.dev/python-version: \"{other}\"\n");
    let file = pythons.home.file(
        "tag.yaml",
        &text.replace("  annotations:\n", "").replace(&annotation, "").replace("name: other", "name: tag"),
    );
    let ran = pythons.run(&["run", &file], true);
    assert!(ran.code == 0 && !format!("{}{}", ran.out, ran.err).contains("asks for Python"), "{ran:?}");
    assert!(pythons.home.ok(&["logs", "tag"]).contains(&format!("tag: {other}")), "{other}");
}
