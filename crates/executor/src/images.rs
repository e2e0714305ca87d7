//! The image catalogue: what stands for an image on this machine, where nothing is unpacked or pulled.
//! It must never start anything, nor pretend that an image was run.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Word that an entry's command begins with when it means a program of our own binary.
pub const APPLET: &str = "@towpath";

const BUILT_IN: &str = r#"
[[image]]
match = "argoproj/argosay"
command = ["@towpath", "argosay"]
commands = { argosay = ["@towpath", "argosay"], "/argosay" = ["@towpath", "argosay"], cowsay = ["@towpath", "cowsay"] }
known = true

[[image]]
match = "docker/whalesay"
command = ["/bin/bash"]
commands = { cowsay = ["@towpath", "cowsay"] }
known = true

[[image]]
match = "rancher/cowsay"
command = ["@towpath", "cowsay"]
commands = { cowsay = ["@towpath", "cowsay"] }
known = true

[[image]]
match = "python"
command = ["python3"]
python = true
known = true

[[image]]
match = "node"
command = ["node"]
known = true

[[image]]
match = "bash"
command = ["bash"]
known = true

[[image]]
match = "busybox"
command = ["sh"]
known = true

[[image]]
match = "alpine"
command = ["/bin/sh"]
known = true

[[image]]
match = "debian"
command = ["bash"]
known = true

[[image]]
match = "ubuntu"
command = ["/bin/bash"]
known = true
"#;

/// What images mean. The home's entries come before the built-in ones; the first that matches counts.
#[derive(Clone, Debug)]
pub struct Catalogue {
    entries: Vec<Entry>,
    file: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// A repository with or without registry and tag; `*` stands for anything.
    #[serde(rename = "match")]
    pattern: String,
    /// Used where a template has no command: the image's entrypoint.
    #[serde(default)]
    command: Vec<String>,
    /// What commands of the image are called on this machine.
    #[serde(default)]
    commands: BTreeMap<String, Vec<String>>,
    /// `python` and `python3` are the machine's Python 3.
    #[serde(default)]
    python: bool,
    /// The machine's own files stand for the image's without a notice.
    #[serde(default)]
    known: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    image: Vec<Entry>,
}

/// What to run in the place of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub argv: Vec<String>,
    /// `python` may be found as `python3`.
    pub python: bool,
    pub notices: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("{path}: {error}")]
    Read { path: PathBuf, error: io::Error },
    #[error("{path}: {error}")]
    Syntax { path: PathBuf, error: Box<toml::de::Error> },
}

impl Catalogue {
    /// Reads `images.toml` (no file: only the built-in entries).
    ///
    /// # Errors
    /// The file cannot be read, or is not a catalogue: unknown keys are faults.
    pub fn load(file: &Path) -> Result<Self, CatalogueError> {
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(CatalogueError::Read { path: file.into(), error }),
        };
        let syntax = |error| CatalogueError::Syntax { path: file.into(), error: Box::new(error) };
        let mut entries = toml::from_str::<File>(&text).map_err(syntax)?.image;
        entries.extend(toml::from_str::<File>(BUILT_IN).map_err(syntax)?.image);
        Ok(Self { entries, file: file.into() })
    }

    /// The command line for a container of `image`.
    ///
    /// # Errors
    /// There is no command, and nobody said what the image's is: the text names the setting.
    pub fn resolve(&self, image: &str, command: &[String], args: &[String]) -> Result<Resolved, String> {
        let entry = self.find(image);
        let mut command = command.to_vec();
        if command.is_empty() {
            command = entry.map(|entry| entry.command.clone()).unwrap_or_default();
        }
        if command.is_empty() {
            return Err(format!(
                "image {image} is not run on this machine, so its entrypoint is not known: give the template a command, or \
                 add to {}:\n[[image]]\nmatch = \"{}\"\ncommand = [\"…\"]",
                self.file.display(),
                repository(image),
            ));
        }
        let mut argv = command;
        argv.extend_from_slice(args);
        let replaced = entry.and_then(|entry| entry.commands.get(&argv[0]));
        if let Some(other) = replaced {
            argv.splice(..1, other.iter().cloned());
        }
        let notices = match entry {
            Some(entry) if entry.known => Vec::new(),
            _ if image.is_empty() => Vec::new(),
            _ => vec![format!(
                "image {image} itself is not run on this machine: its commands use the machine's own programs"
            )],
        };
        Ok(Resolved { argv, python: entry.is_some_and(|entry| entry.python), notices })
    }

    /// Whether the machine's Python stands for the image's.
    pub fn is_python(&self, image: &str) -> bool {
        self.find(image).is_some_and(|entry| entry.python)
    }

    fn find(&self, image: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| matches(&entry.pattern, image))
    }

    /// Programs of our own that stand for commands of the image.
    pub fn applets(&self, image: &str) -> Vec<String> {
        let entry = self.find(image);
        let commands = entry.map(|entry| entry.commands.iter()).into_iter().flatten();
        let ours =
            commands.filter(|(name, words)| !name.contains('/') && words.first().is_some_and(|word| word == APPLET));
        ours.map(|(name, _)| name.clone()).collect()
    }
}

/// The version that a tag like `3.11-slim` asks for.
pub fn tagged_version(image: &str) -> Option<&str> {
    let (_, tag) = without_digest(image).rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
    let end = tag.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(tag.len());
    let version = tag[..end].trim_end_matches('.');
    (!version.is_empty()).then_some(version)
}

/// The notice for a Python image whose version is not the machine's.
pub fn other_version(image: &str, host: &str) -> Option<String> {
    let wanted = tagged_version(image)?;
    let same = wanted.split('.').zip(host.split('.')).all(|(a, b)| a == b);
    (!same).then(|| format!("image {image} asks for Python {wanted}; this machine's Python {host} is used"))
}

fn without_digest(image: &str) -> &str {
    image.split_once('@').map_or(image, |(name, _)| name)
}

/// The image without registry default, tag and digest.
fn repository(image: &str) -> &str {
    let name = without_digest(image);
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => name,
    };
    ["docker.io/library/", "index.docker.io/library/", "docker.io/", "library/"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

fn matches(pattern: &str, image: &str) -> bool {
    let name = without_digest(image);
    glob(pattern, repository(image)) || glob(pattern, name)
}

fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    if rest.is_empty() {
        return true;
    }
    (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| glob(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(image: &str, command: &[&str], args: &[&str]) -> Result<Resolved, String> {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let catalogue = Catalogue::load(Path::new("/nowhere/images.toml")).expect("built in");
        catalogue.resolve(image, &owned(command), &owned(args))
    }

    #[test]
    fn entrypoints_of_known_images() {
        assert_eq!(
            resolve("argoproj/argosay:v2", &[], &["echo", "hi"]).expect("argosay").argv[..2],
            [APPLET, "argosay"]
        );
        assert_eq!(resolve("docker.io/library/python:3.11", &[], &["-V"]).expect("python").argv, ["python3", "-V"]);
        assert_eq!(resolve("quay.io/x/y", &["echo"], &["a"]).expect("command").argv, ["echo", "a"]);
        assert_eq!(
            resolve("docker/whalesay:latest", &["cowsay"], &["hi"]).expect("cow").argv,
            [APPLET, "cowsay", "hi"]
        );
    }

    #[test]
    fn an_unknown_image_needs_a_command_and_gets_a_notice() {
        let error = resolve("quay.io/acme/train:v3", &[], &["x"]).expect_err("refused");
        assert!(error.contains("/nowhere/images.toml") && error.contains("match = \"quay.io/acme/train\""), "{error}");
        assert_eq!(resolve("quay.io/acme/train:v3", &["sh"], &[]).expect("command").notices.len(), 1);
        assert_eq!(resolve("alpine:3.7", &["sh"], &[]).expect("command").notices, Vec::<String>::new());
    }

    #[test]
    fn versions_of_tags() {
        assert_eq!(tagged_version("python:3.11-slim"), Some("3.11"));
        assert_eq!(tagged_version("python:alpine3.6"), None);
        assert_eq!(tagged_version("localhost:5000/python"), None);
        assert_eq!(other_version("python:3.11", "3.11.7"), None);
        assert!(other_version("python:3.9", "3.11.7").is_some_and(|text| text.contains("3.9")));
    }

    #[test]
    fn patterns() {
        assert!(matches("quay.io/acme/*", "quay.io/acme/a:v1") && matches("*/train:v?", "x/train:v?"));
        assert!(!matches("python", "python-extras:1") && matches("python:3*", "python:3.11"));
    }
}
