//! Python environments: requirements are locked once, built once at their final path, and shared by tasks and runs (DESIGN §5).
//! It must never change an environment that is complete, nor take a half-built one for complete.
//!
//! `environments/KEY/` is the environment, `KEY.txt` its lock, `KEY.flock` is locked while it is built, also by the tool that
//! builds: a build that outlives its holder is waited for.

use crate::home::{Home, at};
use crate::local::command::{Interpreter, Python};
use model::record::EnvironmentLock;
use rustix::fs::FlockOperation;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// Written last.
const COMPLETE: &str = "towpath-complete";
/// Version of how environments are made; a new one makes new environments.
const RECIPE: &str = "1";
/// The first pip with `--report`.
const PIP_WITH_REPORT: (u32, u32) = (22, 2);
/// Lines of a tool that an error quotes.
const QUOTED_LINES_MAX: usize = 12;
const QUOTED_LINE_CHARS_MAX: usize = 400;
/// Where a Python has no `ensurepip`.
const REMEDY: &str =
    "this Python cannot make environments: install its venv module (Debian, Ubuntu: apt install python3-venv)";

/// What a tool says, for the person who waits.
pub(crate) type Tell<'a> = &'a dyn Fn(&str);

/// Locks and builds what is not there yet, and answers the lock.
///
/// # Errors
/// The package that failed and the tool's last lines, or the remedy.
pub(crate) fn prepare(
    home: &Home,
    python: &Python,
    wanted: &[String],
    tell: Tell<'_>,
) -> Result<EnvironmentLock, String> {
    ensure(home, python, wanted, tell)?;
    let interpreter = python.find()?;
    let path = Site::new(home, &interpreter, wanted).lock;
    let lock = fs::read_to_string(&path).map_err(|error| at(&path, error).to_string())?;
    Ok(EnvironmentLock { requirements: wanted.to_vec(), interpreter: interpreter.version, lock })
}

/// The directory of the environment, built if it is not there yet.
///
/// # Errors
/// As `prepare`.
pub(crate) fn ensure(home: &Home, python: &Python, wanted: &[String], tell: Tell<'_>) -> Result<PathBuf, String> {
    let interpreter = python.find()?;
    let site = Site::new(home, &interpreter, wanted);
    if site.is_complete() {
        return Ok(site.dir);
    }
    let flock = site.lock_out_others(tell).map_err(|error| format!("python environment: {error}"))?;
    if !site.is_complete() {
        tell(&format!("building the Python environment for {}", wanted.join(", ")));
        Build { site: &site, home, interpreter: &interpreter, flock: &flock, tell }.run(wanted)?;
        tell("the Python environment is ready");
    }
    Ok(site.dir)
}

/// Where the environment is or will be.
///
/// # Errors
/// There is no Python.
pub(crate) fn directory(home: &Home, python: &Python, wanted: &[String]) -> Result<PathBuf, String> {
    Ok(Site::new(home, &python.find()?, wanted).dir)
}

struct Site {
    dir: PathBuf,
    lock: PathBuf,
    flock: PathBuf,
}

impl Site {
    fn new(home: &Home, interpreter: &Interpreter, wanted: &[String]) -> Self {
        let mut sorted: Vec<&str> = wanted.iter().map(|line| line.trim()).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let fields = [RECIPE, &interpreter.version, &interpreter.platform, &interpreter.path.to_string_lossy()];
        let text = fields.into_iter().chain(sorted).collect::<Vec<_>>().join("\n");
        let key = blake3::hash(text.as_bytes()).to_hex()[..32].to_string();
        let file = |extension: &str| home.environments().join(format!("{key}.{extension}"));
        Self { dir: home.environments().join(&key), lock: file("txt"), flock: file("flock") }
    }

    fn is_complete(&self) -> bool {
        self.dir.join(COMPLETE).is_file()
    }

    fn lock_out_others(&self, tell: Tell<'_>) -> io::Result<File> {
        self.flock.parent().map_or(Ok(()), fs::create_dir_all)?;
        let open = || OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&self.flock);
        let file = open().map_err(|error| at(&self.flock, error))?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            tell("waiting for another process that builds the same Python environment");
            rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        }
        Ok(file)
    }
}

struct Build<'a> {
    site: &'a Site,
    home: &'a Home,
    interpreter: &'a Interpreter,
    flock: &'a File,
    tell: Tell<'a>,
}

impl Build<'_> {
    fn run(&self, wanted: &[String]) -> Result<(), String> {
        let fail = |error: io::Error| format!("python environment: {error}");
        if let Some(bad) = wanted.iter().find(|line| line.contains('\n')) {
            return Err(format!("python requirement {bad:?} has more than one line"));
        }
        // What a killed build left.
        crate::local::scratch::remove(&self.site.dir);
        let requirements = self.site.flock.with_extension("in");
        fs::write(&requirements, wanted.join("\n") + "\n").map_err(|error| fail(at(&requirements, error)))?;
        if uv() {
            self.with_uv(&requirements)?
        } else {
            self.with_pip(&requirements)?
        }
        let dir = File::open(&self.site.dir).map_err(fail)?;
        rustix::fs::syncfs(&dir).map_err(|error| fail(error.into()))?;
        fs::write(self.site.dir.join(COMPLETE), RECIPE).map_err(fail)?;
        let _ = fs::remove_file(&requirements);
        Ok(())
    }

    fn with_uv(&self, requirements: &Path) -> Result<(), String> {
        let python = self.interpreter.path.as_os_str();
        if !self.site.lock.exists() {
            let half = self.site.lock.with_extension("half");
            let mut compile = Command::new("uv");
            compile
                .args(["pip", "compile", "--generate-hashes", "--no-header", "--no-annotate", "--python"])
                .arg(python);
            self.tool(compile.arg("--output-file").arg(&half).arg(requirements))?;
            self.keep_lock(&half)?;
        }
        let mut venv = Command::new("uv");
        self.tool(venv.args(["venv", "--seed", "--python"]).arg(python).arg(&self.site.dir))?;
        let mut sync = Command::new("uv");
        sync.args(["pip", "install", "--no-deps", "--require-hashes", "--python"])
            .arg(self.site.dir.join("bin/python"));
        self.tool(sync.arg("-r").arg(&self.site.lock))
    }

    fn with_pip(&self, requirements: &Path) -> Result<(), String> {
        let mut venv = Command::new(&self.interpreter.path);
        self.tool(venv.args(["-I", "-m", "venv"]).arg(&self.site.dir)).map_err(|why| {
            let no_pip = why.contains("ensurepip") || why.contains("No module named venv");
            if no_pip { REMEDY.to_string() } else { why }
        })?;
        let pip = || {
            let mut command = Command::new(self.site.dir.join("bin/python"));
            command.args(["-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-color"]);
            command
        };
        if self.site.lock.exists() {
            let hashes = fs::read_to_string(&self.site.lock).is_ok_and(|text| text.contains("--hash="));
            let mut install = pip();
            install.args(["install", "--progress-bar", "off", "--no-deps"]).args(hashes.then_some("--require-hashes"));
            return self.tool(install.arg("-r").arg(&self.site.lock));
        }
        let half = self.site.lock.with_extension("half");
        let report = self.site.lock.with_extension("json");
        let mut install = pip();
        install.args(["install", "--progress-bar", "off", "-r"]).arg(requirements);
        if self.pip_version() >= PIP_WITH_REPORT {
            self.tool(install.arg("--report").arg(&report))?;
            let text = fs::read(&report).map_err(|error| at(&report, error).to_string())?;
            let lock = lock_of(&text).ok_or("pip's report of what it installed cannot be read")?;
            fs::write(&half, lock).map_err(|error| at(&half, error).to_string())?;
            let _ = fs::remove_file(&report);
        } else {
            self.tool(&mut install)?;
            let frozen = pip().arg("freeze").stdin(Stdio::null()).output();
            let frozen = frozen.map_err(|error| format!("pip freeze: {error}"))?;
            fs::write(&half, frozen.stdout).map_err(|error| at(&half, error).to_string())?;
        }
        self.keep_lock(&half)
    }

    fn pip_version(&self) -> (u32, u32) {
        let output = Command::new(self.site.dir.join("bin/python")).args(["-I", "-m", "pip", "--version"]).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let mut numbers = text.split_whitespace().nth(1).unwrap_or_default().split('.').map(|n| n.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }

    fn keep_lock(&self, half: &Path) -> Result<(), String> {
        fs::rename(half, &self.site.lock).map_err(|error| at(&self.site.lock, error).to_string())
    }

    /// Runs a tool and tells its lines. Its standard input is the locked file, so that the lock lasts as long as the tool.
    fn tool(&self, command: &mut Command) -> Result<(), String> {
        let name = tool_name(command);
        let fail = |error: io::Error| format!("python environment: {name}: {error}");
        let stdin = self.flock.try_clone().map_err(fail)?;
        for variable in ["PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"] {
            command.env_remove(variable);
        }
        command.env("PIP_CACHE_DIR", self.home.cache().join("pip")).env("UV_CACHE_DIR", self.home.cache().join("uv"));
        command.env("PYTHONUNBUFFERED", "1").current_dir(self.home.root());
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(fail)?;
        let errors = child.stderr.take().map(|pipe| thread::spawn(move || last_lines(pipe)));
        let mut said = Vec::new();
        for line in child.stdout.take().into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n')) {
            let line = shortened(&line.map_err(fail)?);
            (self.tell)(&line);
            said.push(line);
        }
        let status = child.wait().map_err(fail)?;
        let errors = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        Err(failure(&name, &said, &errors))
    }
}

fn tool_name(command: &Command) -> String {
    let words: Vec<String> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
    if command.get_program() == "uv" {
        return format!("uv {}", words.iter().take(2).cloned().collect::<Vec<_>>().join(" "));
    }
    let module = words.iter().position(|word| word == "-m").and_then(|at| words.get(at + 1));
    module.cloned().unwrap_or_else(|| "python".into())
}

fn last_lines(pipe: impl Read) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
        lines.push(shortened(&line));
        if lines.len() > 40 * QUOTED_LINES_MAX {
            lines.drain(..20 * QUOTED_LINES_MAX);
        }
    }
    lines
}

fn shortened(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end().chars().take(QUOTED_LINE_CHARS_MAX).collect()
}

/// The package that a tool was busy with, and its last words.
fn failure(tool: &str, said: &[String], errors: &[String]) -> String {
    // The tool's own words first; what it was busy with is a guess.
    const MARKS: [&str; 4] =
        ["satisfies the requirement ", "distribution found for ", "building wheel for ", "uninstallable requirement "];
    let after = |line: &String, mark: &str| Some(line.split_once(mark)?.1.split_whitespace().next()?.to_string());
    let named = errors.iter().find_map(|line| MARKS.iter().find_map(|mark| after(line, mark)));
    let busy = named.or_else(|| said.iter().rev().find_map(|line| after(line, "Collecting ")));
    let quoted: Vec<&String> = match errors.iter().filter(|line| line.starts_with("ERROR:")).collect::<Vec<_>>() {
        marked if marked.is_empty() => {
            errors.iter().chain(errors.is_empty().then_some(said).into_iter().flatten()).collect()
        }
        marked => marked,
    };
    let quoted: Vec<&str> = quoted.iter().map(|line| line.as_str()).filter(|line| !line.trim().is_empty()).collect();
    let quoted = quoted[quoted.len().saturating_sub(QUOTED_LINES_MAX)..].join("\n");
    let at = busy.map(|name| format!(" at {name}")).unwrap_or_default();
    format!("the Python environment cannot be built: {tool} failed{at}:\n{quoted}")
}

fn uv() -> bool {
    // The same answer for all tests of a machine: TOWPATH_NO_UV=1 takes pip.
    std::env::var_os("TOWPATH_NO_UV").is_none()
        && Command::new("uv")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
}

/// `name==version --hash=…` lines of pip's installation report, sorted.
fn lock_of(report: &[u8]) -> Option<String> {
    let report: serde_json::Value = serde_json::from_slice(report).ok()?;
    let mut lines = Vec::new();
    for item in report.get("install")?.as_array()? {
        let metadata = item.get("metadata")?;
        let (name, version) = (metadata.get("name")?.as_str()?, metadata.get("version")?.as_str()?);
        let info = item.get("download_info");
        let hashes = info.and_then(|info| info.get("archive_info")?.get("hashes")?.as_object());
        let hashes = hashes
            .into_iter()
            .flatten()
            .filter_map(|(kind, value)| Some(format!(" --hash={kind}:{}", value.as_str()?)));
        lines.push(format!("{}=={version}{}", name.to_lowercase(), hashes.collect::<String>()));
    }
    lines.sort();
    Some(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpreter() -> Interpreter {
        Interpreter { path: "/usr/bin/python3".into(), version: "3.11.2".into(), platform: "linux-x86_64".into() }
    }

    #[test]
    fn the_key_knows_neither_order_nor_repetition() {
        let home = Home::new(Path::new("/h"));
        let dir = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            Site::new(&home, &interpreter(), &wanted).dir
        };
        assert_eq!(dir(&["a==1", "b"]), dir(&["b", "a==1 ", "b"]));
        assert_ne!(dir(&["a==1"]), dir(&["a==2"]));
    }

    #[test]
    fn a_report_becomes_a_lock() {
        let report = br#"{"version": "1", "install": [
            {"metadata": {"name": "Six", "version": "1.16.0"},
             "download_info": {"url": "x", "archive_info": {"hash": "sha256=ab", "hashes": {"sha256": "ab"}}}},
            {"metadata": {"name": "attrs", "version": "23.1"}, "download_info": {"url": "x", "dir_info": {}}}]}"#;
        assert_eq!(lock_of(report).as_deref(), Some("attrs==23.1\nsix==1.16.0 --hash=sha256:ab\n"));
        assert_eq!(lock_of(b"{}"), None);
    }

    #[test]
    fn a_failure_names_the_package_and_quotes_the_tool() {
        let lines = |lines: &[&str]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
        let said = lines(&["Collecting six==9", "  Using cached x"]);
        let errors = lines(&["noise", "ERROR: No matching distribution found for nosuch==1", ""]);
        let text = failure("pip", &said, &errors);
        assert_eq!(
            text,
            "the Python environment cannot be built: pip failed at nosuch==1:\nERROR: No matching distribution found for nosuch==1"
        );
        let text = failure("pip", &said, &lines(&["error: metadata-generation-failed"]));
        assert!(text.contains("pip failed at six==9:\nerror: metadata-generation-failed"), "{text}");
    }

    #[test]
    fn a_killed_build_is_made_again_and_a_complete_one_is_not() {
        let dir = tempfile::tempdir().expect("dir");
        let home = Home::new(dir.path());
        let python = Python::default();
        // Without requirements nothing is fetched: only the environment itself is made.
        let wanted: Vec<String> = vec!["# nothing".into()];
        let path = directory(&home, &python, &wanted).expect("python3");
        fs::create_dir_all(path.join("lib")).expect("half");
        fs::write(path.join("lib/left-over"), "x").expect("half");
        let lock = prepare(&home, &python, &wanted, &|_| {}).expect("an environment");
        assert!(!path.join("lib/left-over").exists() && path.join("bin/python").exists());
        assert_eq!(lock.requirements, wanted);
        fs::write(path.join("kept"), "x").expect("mark");
        assert_eq!(ensure(&home, &python, &wanted, &|_| panic!("nothing to tell")).expect("there"), path);
        assert!(path.join("kept").exists());
    }
}
