//! How an environment is made: by uv where there is one, else by pip. First the lock, then exactly what the lock says.
//! It must never install what has another digest than the lock says.

use super::{COMPLETE, RECIPE, Site, Workshop, kept, lock, packages, words};
use crate::home::at;
use crate::local::command::Interpreter;
use crate::variables::is_of_installers;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// The first pip with `--report`.
const PIP_WITH_REPORT: (u32, u32) = (22, 2);
/// Lines of a tool's errors that are kept.
const LINES_MAX: usize = 400;
const LINE_CHARS_MAX: usize = 400;
/// Where a Python has no `ensurepip`.
const REMEDY: &str =
    "this Python cannot make environments: install its venv module (Debian, Ubuntu: apt install python3-venv)";

pub(super) struct Build<'a> {
    pub site: &'a Site,
    pub workshop: Workshop<'a>,
    pub interpreter: &'a Interpreter,
    pub flock: &'a File,
}

impl Build<'_> {
    pub fn run(&self, wanted: &[String]) -> Result<(), String> {
        let fail = |error: io::Error| format!("python environment: {error}");
        if let Some(bad) = wanted.iter().find(|line| line.contains('\n')) {
            return Err(format!("python requirement {bad:?} has more than one line"));
        }
        // What a killed build left.
        crate::local::scratch::remove(&self.site.dir);
        let requirements = self.site.flock.with_extension("in");
        let lines: Vec<&str> = packages(wanted).collect();
        fs::write(&requirements, lines.join("\n") + "\n").map_err(|error| fail(at(&requirements, error)))?;
        let written: Vec<&str> = wanted.iter().map(String::as_str).collect();
        if uv() {
            self.with_uv(&requirements, &written)?
        } else {
            self.with_pip(&requirements, &written)?
        }
        if !artifacts::sync_file_system(&self.site.dir).map_err(fail)? {
            rustix::fs::sync();
        }
        let made = kept::Made::now(RECIPE, wanted, self.interpreter);
        fs::write(self.site.dir.join(COMPLETE), serde_json::to_vec(&made).unwrap_or_default()).map_err(fail)?;
        let _ = fs::remove_file(&requirements);
        Ok(())
    }

    fn with_uv(&self, requirements: &Path, wanted: &[&str]) -> Result<(), String> {
        let python = self.interpreter.path.as_os_str();
        if !self.site.lock.exists() {
            let half = self.site.lock.with_extension("half");
            let mut compile = Command::new("uv");
            compile
                .args(["pip", "compile", "--generate-hashes", "--no-header", "--no-annotate", "--python"])
                .arg(python);
            self.tool(compile.arg("--output-file").arg(&half).arg(requirements), wanted)?;
            self.keep_lock(&half)?;
        }
        let mut venv = Command::new("uv");
        self.tool(venv.args(["venv", "--seed", "--python"]).arg(python).arg(&self.site.dir), wanted)?;
        let mut sync = Command::new("uv");
        sync.args(["pip", "install", "--no-deps"]).args(self.digests()?).arg("--python");
        self.tool(sync.arg(self.site.dir.join("bin/python")).arg("-r").arg(&self.site.lock), wanted)
    }

    fn with_pip(&self, requirements: &Path, wanted: &[&str]) -> Result<(), String> {
        let mut venv = Command::new(&self.interpreter.path);
        self.tool(venv.args(["-I", "-m", "venv"]).arg(&self.site.dir), wanted).map_err(|why| {
            let no_pip = why.contains("ensurepip") || why.contains("No module named venv");
            if no_pip { REMEDY.to_string() } else { why }
        })?;
        let half = self.site.lock.with_extension("half");
        if !self.site.lock.exists() && self.pip_version() >= PIP_WITH_REPORT {
            let report = self.site.lock.with_extension("json");
            let mut resolve = self.pip();
            resolve.args(["install", "--progress-bar", "off", "--dry-run", "--ignore-installed", "--report"]);
            self.tool(resolve.arg(&report).arg("-r").arg(requirements), wanted)?;
            let text = fs::read(&report).map_err(|error| at(&report, error).to_string())?;
            let lock = lock::of_report(&text).ok_or("pip's report of what it would install cannot be read")?;
            fs::write(&half, lock).map_err(|error| at(&half, error).to_string())?;
            let _ = fs::remove_file(&report);
            self.keep_lock(&half)?;
        }
        let mut install = self.pip();
        install.args(["install", "--progress-bar", "off"]);
        if self.site.lock.exists() {
            install.arg("--no-deps").args(self.digests()?);
            return self.tool(install.arg("-r").arg(&self.site.lock), wanted);
        }
        (self.workshop.tell)("the pip of this Python cannot tell digests: what is installed is locked by version only");
        self.tool(install.arg("-r").arg(requirements), wanted)?;
        let frozen = self.pip().arg("freeze").stdin(Stdio::null()).output();
        let frozen = frozen.map_err(|error| format!("pip freeze: {error}"))?;
        fs::write(&half, frozen.stdout).map_err(|error| at(&half, error).to_string())?;
        self.keep_lock(&half)
    }

    fn pip(&self) -> Command {
        let mut command = Command::new(self.site.dir.join("bin/python"));
        command.args(["-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-color"]);
        command
    }

    /// The option that refuses other digests; without it where a package has none (a repository, a directory), which is told.
    fn digests(&self) -> Result<Option<&'static str>, String> {
        let text = fs::read_to_string(&self.site.lock).map_err(|error| at(&self.site.lock, error).to_string())?;
        let without = lock::without_digest(&text);
        if without.is_empty() {
            // Pip refuses the option for an empty list of requirements.
            return Ok(text.contains("--hash=").then_some("--require-hashes"));
        }
        (self.workshop.tell)(&format!("no digest is known of {}: it is locked by version only", without.join(", ")));
        Ok(None)
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
    fn tool(&self, command: &mut Command, wanted: &[&str]) -> Result<(), String> {
        let name = tool_name(command);
        let fail = |error: io::Error| format!("python environment: {name}: {error}");
        let stdin = self.flock.try_clone().map_err(fail)?;
        for variable in ["PYTHONHOME", "PYTHONPATH"] {
            command.env_remove(variable);
        }
        // The settings of the command that started the run, not those of whoever started this process.
        let ours = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in ours.filter(|name| is_of_installers(name)) {
            command.env_remove(name);
        }
        let theirs = self.workshop.variables.0.iter().filter(|(name, _)| is_of_installers(name));
        command.envs(theirs.map(|(name, value)| (name, value)));
        for variable in ["PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV"] {
            command.env_remove(variable);
        }
        command
            .env("PIP_CACHE_DIR", self.workshop.home.cache().join("pip"))
            .env("UV_CACHE_DIR", self.workshop.home.cache().join("uv"));
        command.env("PYTHONUNBUFFERED", "1").current_dir(self.workshop.home.root());
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(fail)?;
        let errors = child.stderr.take().map(|pipe| thread::spawn(move || last_lines(pipe)));
        let mut said = Vec::new();
        for line in child.stdout.take().into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n')) {
            let line = shortened(&line.map_err(fail)?);
            (self.workshop.tell)(&line);
            said.push(line);
        }
        let status = child.wait().map_err(fail)?;
        let errors = errors.and_then(|thread| thread.join().ok()).unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        Err(words::failure(&name, &said, &errors, wanted))
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
        if lines.len() > 2 * LINES_MAX {
            lines.drain(..LINES_MAX);
        }
    }
    lines
}

fn shortened(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end().chars().take(LINE_CHARS_MAX).collect()
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
