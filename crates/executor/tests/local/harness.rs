//! A small test runner, and a world with a home and a local executor in it.

use executor::{Catalogue, Executor, ExecutorEvent, Local, LocalSettings};
use model::attempt::{Amounts, InputFile, Launch, Mount, Outcome, Profile, Wanted, WantedArtifact, WantedParameter};
use model::input::Epoch;
use model::{ArtifactRef, AttemptKey, Content, Exit, NodeId, RunId};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

pub type Test = (&'static str, fn());

/// A test that is made from a table's row.
pub struct Case {
    pub name: &'static str,
    pub test: Box<dyn Fn() + Send + Sync>,
}

/// How long a test waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn cases(suites: &[&[Test]]) -> Vec<Case> {
    let tests = suites.iter().flat_map(|suite| suite.iter().copied());
    tests.map(|(name, test)| Case { name, test: Box::new(test) }).collect()
}

/// Set for the process that runs the tests as another user.
const ANOTHER_USER: &str = "TOWPATH_TEST_AS_NOBODY";

/// Runs the tests whose name holds one of the words; if we are root, then as `nobody` too.
pub fn run_as_all(args: &[String], threads: usize, cases: &[Case]) -> ExitCode {
    if args.iter().any(|arg| arg == "--list") {
        cases.iter().for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let is_root = rustix::process::geteuid().is_root();
    // Tasks that are not held by a sandbox do nothing as root.
    let passed = (is_root && !executor::lacking().is_empty()) || run(args, threads, cases);
    if !is_root {
        return if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let passed_as_nobody = run_as_nobody(args);
    if passed && passed_as_nobody { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(args: &[String], threads: usize, cases: &[Case]) -> bool {
    let words: Vec<&str> = args.iter().filter(|arg| !arg.starts_with('-')).map(String::as_str).collect();
    let is_wanted = |case: &&Case| words.is_empty() || words.iter().any(|word| case.name.contains(word));
    let who = if std::env::var_os(ANOTHER_USER).is_some() { " (as nobody)" } else { "" };
    let wanted: Vec<&Case> = cases.iter().filter(is_wanted).collect();
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(Case { name, test }) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = Instant::now();
            let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
            let word = if passed { "ok" } else { "FAILED" };
            println!("test {name}{who} ... {word} ({} ms)", start.elapsed().as_millis());
            if !passed {
                failed.lock().expect("no panic while it is held").push(*name);
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().expect("no panic while it is held");
    println!("{} run{who}, {} failed {failed:?}", wanted.len(), failed.len());
    failed.is_empty()
}

/// This program again, from a place that everybody may enter, as a user who may do nothing.
fn run_as_nobody(args: &[String]) -> bool {
    let dir = tempfile::Builder::new().prefix("towpath-nobody-").tempdir_in("/var/tmp").expect("a directory");
    let program = dir.path().join("tests");
    std::fs::copy(std::env::current_exe().expect("this program"), &program).expect("a copy of it");
    let home = dir.path().join("home");
    std::fs::create_dir(&home).expect("a home");
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).expect("nobody's home");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("open");
    let mut command = std::process::Command::new(&program);
    command.args(args).current_dir("/").uid(NOBODY).gid(NOBODY).env("HOME", &home).env(ANOTHER_USER, "1");
    // Root's programs need not be others'.
    command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.env_remove("XDG_RUNTIME_DIR").env_remove("XDG_CACHE_HOME").env_remove("XDG_DATA_HOME");
    command.status().expect("started as nobody").success()
}

/// `nobody` and `nogroup` of Debian; a number is enough for the kernel.
const NOBODY: u32 = 65534;

/// Runs tasks until one was in the sandbox of the one before, and answers that sandbox's name.
pub fn settle(world: &mut World) -> String {
    let mut last = String::new();
    for _ in 0..200 {
        let launch = world.sh(Profile::Standard, WHERE);
        let name = world.output(&launch);
        if name == last {
            return name;
        }
        last = name;
    }
    panic!("200 tasks, and each had another sandbox");
}

/// The name of the sandbox that a task is in.
pub const WHERE: &str = "readlink /proc/self/ns/pid";

pub struct World {
    pub dir: tempfile::TempDir,
    pub store: artifacts::Store,
    local: Option<Local>,
    events: Receiver<ExecutorEvent>,
    seen: Vec<ExecutorEvent>,
    pub epoch: Epoch,
    pub known: Vec<AttemptKey>,
    next: u32,
    run: RunId,
}

impl World {
    pub fn new() -> Self {
        // Not below /tmp, which every sandbox has its own of.
        let dir = tempfile::Builder::new().prefix("towpath-executor-").tempdir_in("/var/tmp").expect("a directory");
        std::fs::create_dir_all(dir.path().join("home")).expect("a home");
        let store = artifacts::Store::open(&dir.path().join("home/artifacts")).expect("a store");
        let (_, events) = channel();
        let name = dir.path().file_name().expect("name").to_string_lossy().into_owned();
        let mut world = Self {
            dir,
            store,
            local: None,
            events,
            seen: Vec::new(),
            epoch: Epoch(String::new()),
            known: Vec::new(),
            next: 0,
            run: RunId(name),
        };
        world.open();
        world
    }

    /// A holder begins.
    pub fn open(&mut self) {
        let home = self.home();
        let images = Catalogue::load(&home.join("images.toml")).expect("images");
        let program = std::env::current_exe().expect("this program");
        let settings = LocalSettings {
            home,
            runner: vec![program.into(), "__runner".into()],
            artifacts: self.store.clone(),
            images,
            keep: Duration::from_secs(3600),
        };
        let (sender, events) = channel();
        let tell = move |event| {
            // A world that has ended does not listen.
            let _ = sender.send(event);
        };
        self.local = Some(Local::start(settings, Box::new(tell)).expect("executor"));
        self.events = events;
        self.seen.clear();
        self.wait_connected();
    }

    /// The holder is gone, as after kill -9: nothing is told to the runner.
    pub fn close(&mut self) {
        self.local = None;
    }

    pub fn wait_connected(&mut self) {
        let (epoch, known) = self.wait("a runner", |event| match event {
            ExecutorEvent::Connected { epoch, known, .. } => Some((epoch.clone(), known.clone())),
            _ => None,
        });
        self.epoch = epoch;
        self.known = known;
    }

    pub fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub fn local(&self) -> &Local {
        self.local.as_ref().expect("a holder")
    }

    pub fn wait<T>(&mut self, what: &str, wanted: impl Fn(&ExecutorEvent) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.iter().position(|event| wanted(event).is_some()) {
                return wanted(&self.seen.remove(at)).expect("wanted");
            }
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) => self.seen.push(event),
                Err(_) => panic!("{what} did not come; seen: {:?}", self.seen),
            }
        }
    }

    pub fn seen(&self) -> &[ExecutorEvent] {
        &self.seen
    }

    /// A launch of a shell command.
    pub fn sh(&mut self, profile: Profile, command: &str) -> Launch {
        self.next += 1;
        Launch {
            secrets: Vec::new(),
            key: AttemptKey { run: self.run.clone(), node: NodeId(self.next), n: 0 },
            run_name: "test".into(),
            node_name: format!("test.n{}", self.next),
            template: "t".into(),
            image: "busybox".into(),
            command: vec!["/bin/sh".into(), "-c".into()],
            args: vec![command.into()],
            script: None,
            working_dir: None,
            env: Vec::new(),
            mounts: Vec::new(),
            inputs: Vec::new(),
            outputs: Wanted { result: true, ..Wanted::default() },
            requests: Amounts::default(),
            limits: Amounts::default(),
            gpus: Vec::new(),
            deadline_s: None,
            timeout_s: None,
            grace_s: 30,
            python_requirements: Vec::new(),
            profile,
            source: None,
            directory: Some(self.dir.path().to_string_lossy().into_owned()),
            collects: None,
        }
    }

    pub fn launch(&self, launch: &Launch) {
        self.local().launch(launch.clone(), &self.epoch, false);
        self.local().flush();
    }

    /// Waits for the word `started`, which the task prints first.
    pub fn started(&self, key: &AttemptKey) {
        until("the start", || self.log_path(key).exists() && self.log(key).contains("started"));
    }

    pub fn ended(&mut self, key: &AttemptKey) -> Outcome {
        self.wait("the end", |event| match event {
            ExecutorEvent::Ended { key: ended, outcome } if ended == key => Some(outcome.clone()),
            _ => None,
        })
    }

    pub fn run(&mut self, launch: &Launch) -> Outcome {
        self.launch(launch);
        self.ended(&launch.key)
    }

    /// Runs it and expects exit code 0; answers its standard output.
    pub fn output(&mut self, launch: &Launch) -> String {
        let outcome = self.run(launch);
        assert_eq!(outcome.exit, Exit::Exited(0), "{outcome:?}\n{}", self.log(&launch.key));
        outcome.result.expect("a result")
    }

    pub fn log_path(&self, key: &AttemptKey) -> PathBuf {
        executor::home::Home::new(&self.home()).log(key)
    }

    /// The log as "o text" and "e text" lines.
    pub fn log(&self, key: &AttemptKey) -> String {
        use artifacts::log::{Reader, Stream};
        let records = Reader::open(&self.log_path(key)).read_more().unwrap_or_default();
        let letter = |stream| match stream {
            Stream::Out => 'o',
            Stream::Err => 'e',
            Stream::Note => '!',
        };
        records.iter().map(|r| format!("{} {}\n", letter(r.stream), String::from_utf8_lossy(&r.text))).collect()
    }

    pub fn runner_pid(&self) -> i32 {
        self.epoch.0.rsplit('/').next().and_then(|pid| pid.parse().ok()).expect("a pid in the epoch")
    }

    /// A file outside of the home, for tasks without a sandbox to talk by.
    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let pid = self.runner_pid();
        self.local = None;
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        // It may have left already, and its number be somebody else's.
        if command.windows(8).any(|word| word == b"__runner") {
            kill(pid, 9);
        }
        // Overlays of a user namespace leave directories without permissions, and some tasks very deep ones.
        executor::remove_directory(self.dir.path());
    }
}

pub fn kill(pid: i32, signal: i32) {
    let _ = std::process::Command::new("/bin/kill").args([format!("-{signal}"), pid.to_string()]).output();
}

pub fn wants_parameter(launch: &mut Launch, name: &str, path: &str) {
    launch.outputs.parameters.push(WantedParameter { name: name.into(), path: path.into(), default: None });
}

pub fn wants_artifact(launch: &mut Launch, name: &str, path: &str) {
    launch.outputs.artifacts.push(WantedArtifact { name: name.into(), path: path.into(), optional: false });
}

pub fn has_input(launch: &mut Launch, name: &str, path: &str, content: Content) {
    let artifact = ArtifactRef { content, bytes: 1, metadata: BTreeMap::new() };
    launch.inputs.push(InputFile {
        name: name.into(),
        path: path.into(),
        artifact,
        sub_path: String::new(),
        mode: None,
        recurse_mode: false,
    });
}

pub fn has_volume(launch: &mut Launch, volume: &str, path: &str) {
    launch.mounts.push(Mount {
        volume: volume.into(),
        path: path.into(),
        sub_path: String::new(),
        read_only: false,
        source: Default::default(),
    });
}

pub fn artifact<'a>(outcome: &'a Outcome, name: &str) -> &'a ArtifactRef {
    let found = outcome.artifacts.iter().find(|a| a.name == name).and_then(|a| a.artifact.as_ref());
    found.unwrap_or_else(|| panic!("no artifact {name} in {outcome:?}"))
}

pub fn parameter<'a>(outcome: &'a Outcome, name: &str) -> &'a str {
    let found = outcome.parameters.iter().find(|p| p.name == name);
    found.map_or_else(|| panic!("no parameter {name} in {outcome:?}"), |p| &p.value)
}

#[allow(dead_code, reason = "used by some of the test programs")]
/// Runs one test again in a process whose system calls fail as on a machine that does not have them: "landlock" or "namespaces".
/// True in that process.
pub fn is_without(what: &str, test: &str) -> bool {
    const MARK: &str = "TOWPATH_TEST_WITHOUT";
    if std::env::var(MARK).is_ok_and(|without| without == what) {
        return true;
    }
    let me = std::env::current_exe().expect("this program");
    let status = std::process::Command::new("/usr/bin/python3")
        .args(["-ISc", FORBID, what])
        .arg(me)
        .arg(test)
        .env(MARK, what)
        .env(ANOTHER_USER, "1")
        .status();
    assert!(status.expect("python3").success(), "{test} without {what}");
    false
}

#[allow(dead_code, reason = "used by some of the test programs")]
/// A seccomp program, laid around what follows: no Landlock at all, or no new namespace of any kind.
const FORBID: &str = r#"
import ctypes, os, platform, struct, sys
what, program = sys.argv[1], sys.argv[2:]
arm = platform.machine() == 'aarch64'
LD, JEQ, JSET, RET = 0x20, 0x15, 0x45, 0x06
def refuse(error): return (RET, 0, 0, 0x50000 | error)
ALLOW = (RET, 0, 0, 0x7fff0000)
steps = [(LD, 0, 0, 0)]
if what == 'landlock':
    steps += [(JEQ, 0, 1, 444), refuse(38)]
else:
    clone, unshare = (220, 97) if arm else (56, 272)
    steps += [(JEQ, 0, 1, unshare), refuse(1), (JEQ, 0, 1, 435), refuse(38)]
    steps += [(JEQ, 0, 4, clone), (LD, 0, 0, 16), (JSET, 0, 1, 0x7e020000), refuse(1), ALLOW]
steps += [ALLOW]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
class Program(ctypes.Structure): _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]
c = ctypes.CDLL(None, use_errno=True)
c.prctl(38, 1, 0, 0, 0)
made = c.prctl(22, 2, ctypes.byref(Program(len(steps), ctypes.addressof(code))), 0, 0)
if made: sys.exit('no seccomp: %d' % ctypes.get_errno())
os.execv(program[0], program)
"#;

/// Waits until it holds; what is waited for has no event.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come to be");
        std::thread::yield_now();
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

pub fn number_in(path: &Path) -> Option<i32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
