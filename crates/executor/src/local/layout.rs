//! What is laid where for an attempt: the mounts of its sandbox, as a function of the launch alone, so that staging, running
//! and collecting agree without writing anything down.
//! It must never look at the disk.

use crate::home::Home;
use crate::runner::layers::{self, INSIDE};
use model::attempt::{Launch, Mount, Profile};
use model::plan::VolumeSource;
use model::runner::{Bind, BindKind};
use model::{AttemptKey, Content};
use std::path::{Component, Path, PathBuf};

/// Files of this size and larger are shown to a task where they are, read-only; smaller ones are copied and writable.
const COPY_BYTES_MAX: u64 = 64 << 20;

/// Paths of a home and of the executor's settings that layouts are made from.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub home: Home,
    pub store: artifacts::Store,
    /// Our own binary.
    pub program: PathBuf,
    /// The runner makes sandboxes.
    pub sandboxes: bool,
}

/// Where machines keep programs, and what these need.
pub(crate) const SYSTEM: [&str; 15] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix",
    "/gnu",
    "/var/lib",
    "/var/cache",
    "/proc",
    "/sys",
];
/// A task's own, in every sandbox. What is read-only in there stays so.
pub(crate) const OWN: [&str; 4] = ["/dev", "/tmp", "/towpath", "/argo"];

/// The layout of one attempt.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub scratch: PathBuf,
    /// Apart from the machine: paths of the task are paths of its sandbox.
    pub sandboxed: bool,
    /// The task could read nothing of the machine's but what programs need: what is no output of its own is none.
    pub strict: bool,
    pub binds: Vec<Bind>,
    /// Inside.
    pub directory: String,
    /// Inputs that are copied into the scratch directory before the start: (index of the input, where).
    pub copies: Vec<(usize, PathBuf)>,
    /// Empty directories to make.
    pub empty: Vec<PathBuf>,
}

/// Where the source snapshot lies inside a sandbox: the working directory of every task that sets none. It stands in for the
/// image's own.
pub(crate) const SOURCE: &str = "/towpath/source";

impl Site {
    pub fn scratch(&self, key: &AttemptKey) -> PathBuf {
        self.home.scratch(key)
    }

    /// Standard output alone. Not in the scratch directory, which many attempts do not need.
    pub fn stdout(&self, key: &AttemptKey) -> PathBuf {
        let mut name = self.home.log(key).into_os_string();
        name.push(".stdout");
        name.into()
    }

    pub fn sandboxed(&self, launch: &Launch) -> bool {
        launch.profile != Profile::Trusted && self.sandboxes
    }

    /// Our binary as a task sees it: in a sandbox it may lie under what is hidden.
    pub fn program_inside(&self, sandboxed: bool) -> PathBuf {
        if sandboxed && self.program_is_hidden() {
            return Path::new(INSIDE).join("bin/towpath");
        }
        self.program.clone()
    }

    fn program_is_hidden(&self) -> bool {
        self.program.starts_with("/tmp") || self.program.starts_with(self.home.root())
    }

    /// `environment`: the directory of the attempt's Python environment, if it has one.
    pub fn layout(&self, launch: &Launch, environment: Option<&Path>) -> Layout {
        let sandboxed = self.sandboxed(launch);
        let strict = sandboxed && launch.profile == Profile::Strict;
        let scratch = self.scratch(&launch.key);
        let directory = self.directory(launch, sandboxed);
        let mut layout =
            Layout { scratch, sandboxed, strict, binds: Vec::new(), directory, copies: Vec::new(), empty: Vec::new() };
        if strict {
            layout.cover(launch);
        }
        if sandboxed {
            self.fixed_binds(launch, environment, &mut layout.binds);
        }
        for mount in &launch.mounts {
            let from = self.volume(launch, mount, &layout.scratch);
            let from = from.join(relative(&mount.sub_path));
            let how = if mount.read_only { BindKind::ReadOnly } else { BindKind::Writable };
            layout.empty.push(from.clone());
            layout.bind(&from, &mount.path, how);
        }
        for (index, input) in launch.inputs.iter().enumerate() {
            let private = layout.scratch.join("inputs").join(index.to_string());
            let whole = input.sub_path.is_empty() && input.mode.is_none() && !input.recurse_mode;
            match &input.artifact.content {
                Content::Tree(digest)
                    if sandboxed && input.mode.is_none() && self.is_directory(digest, &input.sub_path) =>
                {
                    let from = self.store.tree_path(digest).join(relative(&input.sub_path));
                    layout.bind(&from, &input.path, BindKind::Overlay);
                }
                Content::Blob(digest) if sandboxed && whole && input.artifact.bytes > COPY_BYTES_MAX => {
                    layout.bind(&self.store.blob_path(digest), &input.path, BindKind::ReadOnly);
                }
                _ => {
                    layout.copies.push((index, private.clone()));
                    layout.bind(&private, &input.path, BindKind::Writable);
                }
            }
        }
        layout
    }

    /// Where the volume of a mount lies: with the attempt, with its run, or with the home.
    pub fn volume(&self, launch: &Launch, mount: &Mount, scratch: &Path) -> PathBuf {
        match &mount.source {
            VolumeSource::Run => self.home.volumes(&launch.key.run).join(crate::home::safe_name(&mount.volume)),
            VolumeSource::Home(claim) => self.home.claims().join(crate::home::safe_name(claim)),
            _ => scratch.join("volumes").join(crate::home::safe_name(&mount.volume)),
        }
    }

    /// Whether what is meant of a tree is a directory: a file cannot be the lower layer of an overlay.
    fn is_directory(&self, digest: &model::Digest, sub_path: &str) -> bool {
        sub_path.is_empty() || self.store.tree_path(digest).join(relative(sub_path)).is_dir()
    }

    fn directory(&self, launch: &Launch, sandboxed: bool) -> String {
        if let Some(directory) = launch.working_dir.as_ref().filter(|directory| !directory.is_empty()) {
            return directory.clone();
        }
        if sandboxed {
            return if launch.source.is_some() { SOURCE.into() } else { "/".into() };
        }
        let snapshot = launch.source.as_ref().map(|digest| self.store.tree_path(digest).to_string_lossy().into_owned());
        launch.directory.clone().or(snapshot).unwrap_or_else(|| "/".into())
    }

    fn fixed_binds(&self, launch: &Launch, environment: Option<&Path>, binds: &mut Vec<Bind>) {
        let mut push = |from: &Path, to: &Path, how| binds.push(bind(from, &to.to_string_lossy(), how));
        push(&self.home.cache(), &Path::new(INSIDE).join("cache"), BindKind::Writable);
        if let Some(digest) = &launch.source {
            // Writable for the task, never written through: images have a working directory that can be written.
            push(&self.store.tree_path(digest), Path::new(SOURCE), BindKind::Overlay);
        }
        if let Some(directory) = environment {
            push(directory, directory, BindKind::ReadOnly);
        }
        if self.program_is_hidden() {
            push(&self.program, &Path::new(INSIDE).join("bin/towpath"), BindKind::ReadOnly);
        }
    }
}

impl Layout {
    /// Where what `bind` number `index` shows is written: the directory and whether it is the attempt's own.
    pub fn bind_layer(&self, index: usize) -> PathBuf {
        layers::bind_layer(&self.scratch, index)
    }

    /// Under `strict`, the directories of outputs are the attempt's own, and empty: what others have beside an output is not shown.
    fn cover(&mut self, launch: &Launch) {
        for (index, parent) in covered(launch, &self.directory).iter().enumerate() {
            let from = self.scratch.join(COVERS).join(index.to_string());
            self.empty.push(from.clone());
            self.bind(&from, &parent.to_string_lossy(), BindKind::Writable);
        }
    }

    fn bind(&mut self, from: &Path, to: &str, how: BindKind) {
        self.binds.push(bind(from, &absolute(to, &self.directory), how));
    }
}

fn bind(from: &Path, to: &str, how: BindKind) -> Bind {
    Bind { from: from.to_string_lossy().into_owned(), to: to.into(), how }
}

/// Where `cover` has the directories that it lays, below the scratch directory.
pub(crate) const COVERS: &str = "covers";

/// The directories of outputs that are neither the attempt's own anyway nor the machine's system: outer ones alone.
fn covered(launch: &Launch, directory: &str) -> Vec<PathBuf> {
    let given = launch.mounts.iter().map(|mount| &mount.path).chain(launch.inputs.iter().map(|input| &input.path));
    let mut own: Vec<PathBuf> = given.map(|path| plain(Path::new(&absolute(path, directory)))).collect();
    own.extend(OWN.iter().map(PathBuf::from));
    own.extend((directory != "/").then(|| plain(Path::new(directory))));
    let mut parents: Vec<PathBuf> =
        outputs(launch, directory).iter().filter_map(|path| path.parent()).map(Path::to_path_buf).collect();
    parents.sort();
    let mut found: Vec<PathBuf> = Vec::new();
    for parent in parents {
        let is_own = own.iter().chain(&found).any(|own| parent.starts_with(own));
        if !is_own && !is_of_system(&parent) {
            found.push(parent);
        }
    }
    found
}

/// What would be missed if it were covered.
pub(crate) fn is_of_system(path: &Path) -> bool {
    SYSTEM.iter().any(|system| path.starts_with(system) || Path::new(system).starts_with(path))
}

/// The paths of an attempt's outputs in its sandbox.
pub(crate) fn outputs(launch: &Launch, directory: &str) -> Vec<PathBuf> {
    let parameters = launch.outputs.parameters.iter().map(|output| &output.path);
    let all = parameters.chain(launch.outputs.artifacts.iter().map(|output| &output.path));
    all.map(|path| plain(Path::new(&absolute(path, directory)))).collect()
}

/// Without `.` and `..`.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// A path of a task as an absolute one.
pub(crate) fn absolute(path: &str, directory: &str) -> String {
    if path.starts_with('/') { path.into() } else { format!("{}/{path}", directory.trim_end_matches('/')) }
}

/// A path below something: it cannot leave it.
fn relative(path: &str) -> PathBuf {
    path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sub_paths_stay_below() {
        assert_eq!(relative("../../a/./b/"), Path::new("a/b"));
        assert_eq!(absolute("out/x", "/towpath/source"), "/towpath/source/out/x");
        assert_eq!(absolute("/x", "/y"), "/x");
    }
}
