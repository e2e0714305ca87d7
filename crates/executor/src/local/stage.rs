//! From a launch to a process that can be started: directories, inputs, command line and environment (DESIGN §5, §6).
//! It must never start anything, nor touch a file of the user's that was there before.

use super::command::{self, Python};
use super::layout::{COVERS, Layout, Site, is_of_system, outputs};
use super::secrets::{Secrets, is_secret};
use crate::environment::interpreter;
use crate::images::{self, APPLET, Catalogue};
use crate::machine::Machine;
use crate::resources;
use crate::runner::MARK;
use crate::runner::layers::INSIDE;
use crate::variables::{Variables, is_passed};
use model::attempt::{InputFile, Launch, Profile};
use model::limits::LOG_BYTES_MAX;
use model::runner::{Bind, BindKind, Spawn};
use model::{ArtifactRef, Content};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Argo's path of a script (`common.ExecutorScriptSourcePath`).
const SCRIPT: &str = "/argo/staging/script";

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A process that can be started, and what a person should know about it.
pub(crate) struct Staged {
    pub spawn: Spawn,
    /// There are files of the attempt's own, or will be.
    pub litter: bool,
    pub notices: Vec<String>,
}

/// What staging needs apart from the launch.
pub(crate) struct Stage<'a> {
    pub site: &'a Site,
    pub images: &'a Catalogue,
    pub python: &'a Python,
    /// The directory of the launch's Python environment.
    pub environment: Option<PathBuf>,
    /// What tasks of the run start from; a sandbox gets a part of it.
    pub variables: Arc<Variables>,
    pub machine: &'a Machine,
}

impl Stage<'_> {
    /// Makes the attempt's directories and answers how to start it.
    ///
    /// # Errors
    /// Why it cannot be started, in words for the node's message.
    pub fn stage(&self, launch: &Launch) -> Result<Staged, String> {
        if launch.profile == Profile::Strict && !self.site.sandboxes {
            return Err(super::NO_STRICT.into());
        }
        let layout = self.site.layout(launch, self.environment.as_deref());
        let resolved = self.images.resolve(&launch.image, &launch.command, &launch.args)?;
        make_dir(&self.site.home.logs(&launch.key.run))?;
        // Staged before, by a holder that died before the runner heard of it.
        super::scratch::remove(&layout.scratch);
        layout.empty.iter().try_for_each(|path| make_dir(path))?;
        let secrets = Secrets::of(launch, &self.variables)?;
        self.lay_files(launch, &layout)?;
        self.lay_inputs(launch, &layout)?;
        let mut notices = resolved.notices;
        notices.extend(resources::lowered(&launch.template, &launch.requests, self.machine));
        let mut argv = resolved.argv;
        let shims = self.shims(launch, &layout, &argv, resolved.python, &mut notices)?;
        let env = self.env(launch, &layout, shims.as_deref(), &secrets);
        self.find_command(launch, &layout, &mut argv, &env, resolved.python)?;
        if let Some(script) = &launch.script {
            argv.push(lay_script(&layout, script)?);
        }
        if !layout.sandboxed {
            lay_links(&layout)?;
        }
        let strict = launch.profile == Profile::Strict;
        let open = if strict { opened(launch, &layout, &argv[0])? } else { Vec::new() };
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let laid = fs::symlink_metadata(&layout.scratch).is_ok();
        let links = !layout.sandboxed && !layout.binds.is_empty();
        let spawn = Spawn {
            key: launch.key.clone(),
            argv,
            env,
            directory: layout.directory.clone(),
            profile: if layout.sandboxed { launch.profile } else { Profile::Trusted },
            open,
            binds: if layout.sandboxed { layout.binds.clone() } else { Vec::new() },
            scratch: text(&layout.scratch),
            laid,
            log: text(&self.site.home.log(&launch.key)),
            stdout: if launch.outputs.result { text(&self.site.stdout(&launch.key)) } else { String::new() },
            limits: launch.limits,
            waits: false,
            deadline_s: launch.deadline_s,
            timeout_s: launch.timeout_s,
            grace_s: launch.grace_s,
            log_bytes_max: LOG_BYTES_MAX,
            masked: secrets.values,
        };
        let wanted = &launch.outputs;
        let collects = wanted.result || !wanted.parameters.is_empty() || !wanted.artifacts.is_empty();
        Ok(Staged { spawn, litter: laid || links || collects, notices })
    }

    fn lay_inputs(&self, launch: &Launch, layout: &Layout) -> Result<(), String> {
        if let Some(tree) = launch.source {
            self.site
                .store
                .check(&Content::Tree(tree))
                .map_err(|why| format!("the run's copy of its source: {why}"))?;
        }
        for input in &launch.inputs {
            if let Content::Uri(uri) = &input.artifact.content {
                return Err(format!(
                    "input artifact \"{}\": {uri} cannot be fetched yet; only artifacts of this home and raw data can",
                    input.name
                ));
            }
            if !self.site.store.contains(&input.artifact.content) {
                return Err(format!("input artifact \"{}\" is not in the store of this home", input.name));
            }
            let checked = self.site.store.check(&input.artifact.content);
            checked.map_err(|why| format!("input artifact \"{}\": {why}", input.name))?;
        }
        for (index, to) in &layout.copies {
            let input = &launch.inputs[*index];
            lay_copy(&self.site.store, input, to).map_err(|why| format!("input artifact \"{}\": {why}", input.name))?;
        }
        Ok(())
    }

    /// Volumes with contents of their own: ConfigMaps and Secrets.
    fn lay_files(&self, launch: &Launch, layout: &Layout) -> Result<(), String> {
        for mount in &launch.mounts {
            let files = super::secrets::files(mount, &self.variables)?;
            let folder = self.site.volume(launch, mount, &layout.scratch);
            for (name, text) in files {
                let path =
                    folder.join(name.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect::<PathBuf>());
                make_dir(path.parent().unwrap_or(&folder))?;
                fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        Ok(())
    }

    /// A directory for the front of PATH with programs that the image has and this machine lacks or calls otherwise.
    fn shims(
        &self,
        launch: &Launch,
        layout: &Layout,
        argv: &[String],
        python: bool,
        notices: &mut Vec<String>,
    ) -> Result<Option<String>, String> {
        let mut shims: Vec<(String, Shim)> = Vec::new();
        let path = self.variables.0.iter().find(|(name, _)| name == "PATH");
        let path = path.map_or(DEFAULT_PATH, |(_, value)| value.as_str());
        if python && self.environment.is_none() {
            // Without a sandbox the user's own: that of her virtual environment, say.
            let of_user = |name| command::find(name, path, &layout.directory).ok().filter(|_| !layout.sandboxed);
            let found = ["python3", "python"].map(of_user);
            let host = match found.iter().flatten().next() {
                Some(program) => self.python.of(program, &layout.directory, &self.variables)?,
                None => interpreter::of_image(self.python, &launch.image)?,
            };
            notices.extend(images::other_version(&launch.image, &host.version));
            for name in ["python", "python3"].into_iter().filter(|name| of_user(name).is_none()) {
                shims.push((name.into(), Shim::Link(host.path.clone())));
            }
        }
        if argv.first().is_some_and(|name| name != APPLET) {
            for name in self.images.applets(&launch.image) {
                if command::find(&name, path, "/").is_err() {
                    shims.push((name.clone(), Shim::Applet(name)));
                }
            }
        }
        if shims.is_empty() {
            return Ok(None);
        }
        let (dir, inside) = if layout.sandboxed {
            (layout.scratch.join("upper/towpath/bin"), format!("{INSIDE}/bin"))
        } else {
            let dir = layout.scratch.join("bin");
            (dir.clone(), dir.to_string_lossy().into_owned())
        };
        make_dir(&dir)?;
        let program = self.site.program_inside(layout.sandboxed);
        for (name, shim) in shims {
            let path = dir.join(&name);
            let made = match shim {
                Shim::Link(target) => symlink(target, &path),
                Shim::Applet(applet) => write_script(&path, &applet_script(&program, &applet)),
            };
            made.map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(Some(inside))
    }

    fn env(&self, launch: &Launch, layout: &Layout, shims: Option<&str>, secrets: &Secrets) -> Vec<(String, String)> {
        let passed = self.variables.0.iter().filter(|(name, _)| !layout.sandboxed || is_passed(name));
        let passed = passed.filter(|(name, _)| !is_secret(name));
        let mut env: BTreeMap<String, String> = passed.cloned().collect();
        env.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
        let mut set = |name: &str, value: String| env.insert(name.into(), value);
        if !layout.sandboxed {
            set("PWD", layout.directory.clone());
            set("TOWPATH_HOME", self.site.home.root().to_string_lossy().into_owned());
        } else {
            set("HOME", format!("{INSIDE}/home"));
            set("XDG_CACHE_HOME", format!("{INSIDE}/cache"));
            for (name, below) in
                [("HF_HOME", "huggingface"), ("TORCH_HOME", "torch"), ("PIP_CACHE_DIR", "pip"), ("UV_CACHE_DIR", "uv")]
            {
                set(name, format!("{INSIDE}/cache/{below}"));
            }
        }
        for (name, value) in resources::variables(launch, self.machine, layout.sandboxed) {
            set(name, value);
        }
        env.extend(launch.env.iter().cloned());
        env.extend(secrets.env.iter().cloned());
        let environment = self.environment.as_ref().map(|dir| dir.join("bin").to_string_lossy().into_owned());
        for front in shims.map(str::to_string).into_iter().chain(environment) {
            let path = env.get("PATH").map(String::as_str).unwrap_or_default();
            let path = format!("{front}:{path}");
            env.insert("PATH".into(), path);
        }
        if let Some(dir) = &self.environment {
            env.insert("VIRTUAL_ENV".into(), dir.to_string_lossy().into_owned());
            env.remove("PYTHONHOME");
        }
        env.insert("TOWPATH_RUN".into(), launch.run_name.clone());
        env.insert("TOWPATH_NODE".into(), launch.node_name.clone());
        env.insert(MARK.into(), launch.key.to_string());
        if layout.sandboxed {
            env.remove("TOWPATH_HOME");
        }
        env.into_iter().collect()
    }

    /// Replaces the command by the path of its program.
    fn find_command(
        &self,
        launch: &Launch,
        layout: &Layout,
        argv: &mut Vec<String>,
        env: &[(String, String)],
        python: bool,
    ) -> Result<(), String> {
        if argv[0] == APPLET {
            let program = self.site.program_inside(layout.sandboxed).to_string_lossy().into_owned();
            let applet = argv.get(1).filter(|name| *name != "argosay").cloned();
            let words = [Some(program), Some("__argosay".into()), applet].into_iter().flatten();
            argv.splice(..argv.len().min(2), words);
            return Ok(());
        }
        let name = argv[0].clone();
        if name.contains('/') {
            return Ok(());
        }
        let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_str()).unwrap_or_default();
        let is_python = python && matches!(name.as_str(), "python" | "python3");
        if is_python && self.environment.is_none() && layout.sandboxed {
            argv[0] = interpreter::of_image(self.python, &launch.image)?.path.to_string_lossy().into_owned();
            return Ok(());
        }
        argv[0] = command::find(&name, path, &layout.directory).map_err(|why| not_found(&why, &launch.image))?;
        Ok(())
    }
}

enum Shim {
    Link(PathBuf),
    Applet(String),
}

/// Upstream's words, and what they do not say.
pub(crate) fn not_found(why: &str, image: &str) -> String {
    if image.is_empty() { why.into() } else { format!("{why}; the image {image} itself was not run") }
}

fn lay_copy(store: &artifacts::Store, input: &InputFile, to: &Path) -> Result<(), String> {
    let parent = to.parent().unwrap_or(to);
    make_dir(parent)?;
    let ArtifactRef { content, .. } = &input.artifact;
    if input.sub_path.is_empty() {
        store.materialise(content, to).map_err(|error| error.to_string())?;
    } else {
        let whole = to.with_extension("whole");
        store.materialise(content, &whole).map_err(|error| error.to_string())?;
        let part = whole.join(input.sub_path.trim_start_matches('/'));
        let inside = part.canonicalize().ok().filter(|real| real.starts_with(&whole));
        let inside = inside.ok_or_else(|| format!("there is no {} in it", input.sub_path))?;
        fs::rename(&inside, to).map_err(|error| format!("{}: {error}", input.sub_path))?;
        super::scratch::remove(&whole);
    }
    match input.mode {
        Some(mode) => set_mode(to, mode, input.recurse_mode).map_err(|error| format!("{}: {error}", to.display())),
        None => Ok(()),
    }
}

fn set_mode(path: &Path, mode: u32, recurse: bool) -> std::io::Result<()> {
    let kind = fs::symlink_metadata(path)?;
    if kind.is_symlink() {
        return Ok(());
    }
    if recurse && kind.is_dir() {
        for entry in fs::read_dir(path)? {
            set_mode(&entry?.path(), mode, true)?;
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o7777))
}

/// Writes the script where the task finds it and answers that path. In a sandbox it lies in the writable layer itself.
fn lay_script(layout: &Layout, text: &str) -> Result<String, String> {
    let (path, inside) = if layout.sandboxed {
        (layout.scratch.join("upper").join(&SCRIPT[1..]), SCRIPT.to_string())
    } else {
        let path = layout.scratch.join("script");
        (path.clone(), path.to_string_lossy().into_owned())
    };
    make_dir(path.parent().unwrap_or(&path))?;
    write_script(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(inside)
}

fn write_script(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn applet_script(program: &Path, applet: &str) -> String {
    let quoted = program.to_string_lossy().replace('\'', "'\\''");
    let applet = if applet == "argosay" { "" } else { applet };
    format!("#!/bin/sh\nexec '{quoted}' __argosay {applet} \"$@\"\n")
}

/// Without a sandbox, inputs and volumes are links at their paths, where nothing else may be.
fn lay_links(layout: &Layout) -> Result<(), String> {
    for Bind { from, to, how: _ } in &layout.binds {
        let (from, to) = (Path::new(from), Path::new(to));
        let ours = |target: PathBuf| target == from || (target.starts_with(attempts(layout)) && !target.exists());
        match fs::symlink_metadata(to) {
            // Left by an attempt that is gone.
            Ok(kind) if kind.is_symlink() && fs::read_link(to).is_ok_and(ours) => {
                fs::remove_file(to).map_err(|error| format!("{}: {error}", to.display()))?;
            }
            Ok(_) => {
                return Err(format!(
                    "{} exists on this machine and profile trusted does not touch it; use --profile standard, which shows \
                     the task its own",
                    to.display()
                ));
            }
            Err(_) => {}
        }
        make_dir(to.parent().unwrap_or(to))?;
        symlink(from, to).map_err(|error| format!("{}: {error}; use --profile standard", to.display()))?;
    }
    Ok(())
}

/// Removes the links of `lay_links`.
pub(crate) fn take_links_away(layout: &Layout) {
    for bind in layout.binds.iter().filter(|bind| bind.how != BindKind::Overlay) {
        if fs::read_link(&bind.to).is_ok_and(|target| target == Path::new(&bind.from)) {
            let _ = fs::remove_file(&bind.to);
        }
    }
}

fn attempts(layout: &Layout) -> &Path {
    layout.scratch.parent().and_then(Path::parent).unwrap_or(&layout.scratch)
}

fn make_dir(path: &Path) -> Result<(), String> {
    crate::home::make_dir(path).map_err(|error| error.to_string())
}

/// Directories that an attempt under `strict` may write in beside those that are bound: its own, and new ones of its outputs.
///
/// # Errors
/// An output that cannot be told from what others have beside it.
fn opened(launch: &Launch, layout: &Layout, program: &str) -> Result<Vec<String>, String> {
    let mut found = vec![layout.directory.clone()];
    for path in outputs(launch, &layout.directory) {
        let refuse = |why: &str| {
            Err(format!(
                "output {} {why}, where profile strict lets no task write; declare it below /tmp, say",
                path.display()
            ))
        };
        let Some(parent) = path.parent().filter(|parent| *parent != Path::new("/")) else {
            // A directory that the machine has, or that a task of ours always has.
            if !path.is_dir() {
                return refuse("lies directly in /");
            }
            found.push(path.to_string_lossy().into_owned());
            continue;
        };
        let cover = layout.binds.iter().find(|bind| {
            Path::new(&bind.from).starts_with(layout.scratch.join(COVERS)) && parent.starts_with(&bind.to)
        });
        if let Some(Bind { from, to, .. }) = cover {
            if Path::new(program).starts_with(to) {
                return refuse("lies beside the program of its own task");
            }
            // One that is there without a sandbox is there with it.
            let at = if path.is_dir() { &path } else { parent };
            make_dir(&Path::new(from).join(at.strip_prefix(to).unwrap_or(Path::new(""))))?;
        } else if is_of_system(parent) && parent.exists() {
            return refuse("lies in a directory of the machine's system");
        } else {
            found.push(parent.to_string_lossy().into_owned());
        }
    }
    found.retain(|path| path != "/");
    Ok(found)
}
