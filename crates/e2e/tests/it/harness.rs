//! A home in a temporary directory, commands on it, and its processes.
//! It must never touch a process of another home.

use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Nothing that a test waits for takes longer, on a busy machine in a debug build.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The binary, built once with the profile and in the target directory of this test.
pub fn bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        let test = std::env::current_exe().expect("this executable");
        let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--package", "cli"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if profile.file_name() == Some(OsStr::new("release")) {
            cargo.arg("--release");
        }
        cargo.env("CARGO_TARGET_DIR", profile.parent().expect("target"));
        if !cfg!(feature = "portable") {
            assert!(cargo.status().expect("cargo").success(), "the binary does not build");
            return profile.join("towpath");
        }
        // Under a name of its own: the other build's is what everybody else finds.
        cargo.args(["--features", "portable"]);
        assert!(cargo.status().expect("cargo").success(), "the portable binary does not build");
        let portable = profile.join("towpath-portable");
        let _ = fs::remove_file(&portable);
        fs::copy(profile.join("towpath"), &portable).expect("a copy of the binary");
        portable
    })
}

/// A home, and a directory for workflow files.
pub struct Home {
    dir: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A command that goes on; what it prints is read line by line.
pub struct Going {
    pub child: Child,
    out: BufReader<ChildStdout>,
}

impl Home {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("towpath-e2e-").tempdir().expect("a directory");
        fs::create_dir(dir.path().join("flow")).expect("flow");
        Self { dir }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// Writes a workflow file and answers its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join("flow").join(name);
        fs::write(&path, text).expect("file");
        path.to_str().expect("UTF-8").to_string()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(bin());
        command.args(args).env("TOWPATH_HOME", self.root()).env_remove("TOWPATH_ATTEMPT").env("NO_COLOR", "1");
        command.current_dir(self.dir.path().join("flow")).stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).output().expect("towpath"))
    }

    /// As `run`, with variables.
    pub fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = self.command(args);
        command.envs(variables.iter().copied());
        Ran::of(command.output().expect("towpath"))
    }

    /// Runs a command that must succeed, and answers what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.out
    }

    pub fn with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("towpath");
        child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("input");
        Ran::of(child.wait_with_output().expect("towpath"))
    }

    pub fn start(&self, args: &[&str]) -> Going {
        let mut child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("towpath");
        let out = BufReader::new(child.stdout.take().expect("stdout"));
        Going { child, out }
    }

    /// The Workflow object of the latest run.
    pub fn object(&self) -> Value {
        serde_json::from_str(&self.ok(&["get", "@", "-o", "json"])).expect("JSON")
    }

    /// Phase of the node with this display name.
    pub fn phase(&self, display_name: &str) -> String {
        node(&self.object(), display_name)["phase"].as_str().expect("phase").to_string()
    }

    /// Events of the latest run of one kind.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        let lines = self.ok(&["events", "@", "-o", "json"]);
        let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["event"].clone());
        events.filter(|event| event.get(kind).is_some() || event == kind).collect()
    }

    /// Waits until the logs of a run hold a text.
    pub fn wait_for_log(&self, run: &str, text: &str) {
        wait(&format!("'{text}' in the logs of {run}"), || {
            let ran = self.run(&["logs", run]);
            ran.out.contains(text).then_some(())
        });
    }

    /// Processes of this home of one kind: `__holder` or `__runner`.
    pub fn processes(&self, kind: &str) -> Vec<i32> {
        self.processes_of(&self.root(), kind)
    }

    /// The same of another home.
    pub fn processes_of(&self, root: &Path, kind: &str) -> Vec<i32> {
        let home = format!("TOWPATH_HOME={}", root.display());
        let has = |path: PathBuf, text: &str| {
            fs::read(path).is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|word| word == text.as_bytes()))
        };
        let pids = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            let dir = PathBuf::from(format!("/proc/{pid}"));
            has(dir.join("cmdline"), kind) && has(dir.join("environ"), &home)
        })
        .collect()
    }

    /// SIGKILL for the holder.
    pub fn kill_holder(&self) {
        let holders = self.processes("__holder");
        assert_eq!(holders.len(), 1, "one holder");
        signal(holders[0], rustix::process::Signal::KILL);
        wait("the end of the holder", || self.processes("__holder").is_empty().then_some(()));
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for kind in ["__holder", "__runner"] {
            self.processes(kind).into_iter().for_each(|pid| signal(pid, rustix::process::Signal::KILL));
        }
        let end = Instant::now() + Duration::from_secs(5);
        while !(self.processes("__holder").is_empty() && self.processes("__runner").is_empty()) && Instant::now() < end
        {
            std::thread::yield_now();
        }
    }
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Going {
    /// Reads what it prints up to a line with this text.
    pub fn wait_for(&mut self, text: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.out.read_line(&mut line).expect("output"), 0, "it ended before it printed '{text}'");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Its exit code at its end.
    pub fn end(mut self) -> i32 {
        let mut line = String::new();
        while self.out.read_line(&mut line).expect("output") > 0 {}
        self.child.wait().expect("towpath").code().unwrap_or(-1)
    }

    pub fn signal(&self, signal_number: rustix::process::Signal) {
        signal(self.child.id() as i32, signal_number);
    }
}

pub fn signal(pid: i32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // It may have ended just now.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Asks again until there is an answer.
pub fn wait<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "no {what} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The node with this display name in a Workflow object.
pub fn node<'a>(object: &'a Value, display_name: &str) -> &'a Value {
    let nodes = object["status"]["nodes"].as_object().expect("nodes");
    nodes.values().find(|node| node["displayName"] == display_name).unwrap_or_else(|| panic!("no node {display_name}"))
}

/// A workflow whose entrypoint is a DAG of shell scripts: (task, what it depends on, script).
pub fn scripts(name: &str, tasks: &[(&str, &str, &str)]) -> String {
    let mut text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata:\n  {name}\nspec:\n  entrypoint: main\n  templates:\n  - name: main\n    dag:\n      tasks:\n"
    );
    for (task, depends, _) in tasks {
        text.push_str(&format!("      - {{name: {task}, template: {task}, depends: \"{depends}\"}}\n"));
    }
    for (task, _, script) in tasks {
        text.push_str(&format!(
            "  - name: {task}\n    script:\n      image: busybox\n      command: [sh]\n      source: |\n"
        ));
        script.lines().for_each(|line| text.push_str(&format!("        {line}\n")));
    }
    text
}
