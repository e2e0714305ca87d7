//! Another Python than the machine's `python3`: the entry `python==3.11` of requirements, and which interpreters are installed.
//! It must never install one.

use crate::local::command::{Interpreter, Python};
use std::fs;
use std::path::{Path, PathBuf};

/// A version as numbers: `3.11.7`.
type Version = Vec<u32>;

/// Which interpreters will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    text: String,
    bounds: Vec<(Bound, Version)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// All that begin with it.
    Is,
    IsNot,
    AtLeast,
    AtMost,
    Above,
    Below,
    /// `~=3.10`: 3.10 and later, below 4.
    Compatible,
}

const BOUNDS: [(&str, Bound); 8] = [
    ("===", Bound::Is),
    ("==", Bound::Is),
    ("!=", Bound::IsNot),
    (">=", Bound::AtLeast),
    ("<=", Bound::AtMost),
    ("~=", Bound::Compatible),
    (">", Bound::Above),
    ("<", Bound::Below),
];

impl Wish {
    /// `None`: the requirement is of a package.
    pub fn of_requirement(line: &str) -> Option<Result<Self, String>> {
        let line = line.split(" #").next().unwrap_or_default().trim();
        let rest = line.strip_prefix("python").or_else(|| line.strip_prefix("Python"))?.trim_start();
        let is_it = rest.is_empty() || rest.starts_with(['=', '!', '<', '>', '~']);
        is_it.then(|| Self::parse(rest).ok_or_else(|| bad(line)))
    }

    /// All versions that begin so: the tag of an image.
    pub fn version(text: &str) -> Option<Self> {
        Self::parse(&format!("=={text}"))
    }

    fn parse(text: &str) -> Option<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let bounds = parts.map(|part| {
            let (sign, bound) = BOUNDS.iter().find(|(sign, _)| part.starts_with(sign))?;
            Some((*bound, numbers(part[sign.len()..].trim().trim_end_matches(".*"))?))
        });
        Some(Self { text: text.into(), bounds: bounds.collect::<Option<Vec<_>>>()? })
    }

    pub fn admits(&self, version: &str) -> bool {
        let Some(version) = numbers(version) else { return false };
        self.bounds.iter().all(|(bound, than)| {
            let begins = version.starts_with(than);
            match bound {
                Bound::Is => begins,
                Bound::IsNot => !begins,
                Bound::AtLeast => version >= *than,
                Bound::AtMost => version <= *than || begins,
                Bound::Above => version > *than && !begins,
                Bound::Below => version < *than,
                Bound::Compatible => {
                    version >= *than && version.starts_with(&than[..than.len().saturating_sub(1).max(1)])
                }
            }
        })
    }
}

fn bad(line: &str) -> String {
    format!("`{line}` names no version of Python: write `python==3.11` or `python>=3.10`")
}

fn numbers(text: &str) -> Option<Version> {
    text.split('.').map(|number| number.parse().ok()).collect()
}

/// The Python that stands for an image: of the version of its tag where one is installed, else the machine's own.
///
/// # Errors
/// There is none at all.
pub(crate) fn of_image(python: &Python, image: &str) -> Result<Interpreter, String> {
    let Some(wish) = crate::images::tagged_version(image).and_then(Wish::version) else { return python.find() };
    python.of_tag(&wish.text, || match python.find() {
        Ok(own) if wish.admits(&own.version) => Ok(own),
        own => newest(python, &wish).map_or(own, Ok),
    })
}

/// The machine's own if it will do, else the newest installed one that does.
///
/// # Errors
/// None does: those that are there, and how to install one.
pub(super) fn find(python: &Python, wish: &Wish) -> Result<Interpreter, String> {
    let own = python.find();
    if own.as_ref().is_ok_and(|own| wish.admits(&own.version)) {
        return own;
    }
    python.remembered(&wish.text, || newest(python, wish).ok_or_else(|| missing(python, wish, own.ok())))
}

/// The newest installed one that will do.
fn newest(python: &Python, wish: &Wish) -> Option<Interpreter> {
    let paths = installed().into_iter().filter(|path| may_be(path, wish));
    let admitted = paths.filter_map(|path| python.at(&path)).filter(|one| wish.admits(&one.version));
    admitted.max_by_key(|one| numbers(&one.version))
}

fn missing(python: &Python, wish: &Wish, own: Option<Interpreter>) -> String {
    let others = installed().into_iter().filter_map(|path| python.at(&path));
    let mut found: Vec<(Option<Version>, String)> = own
        .into_iter()
        .chain(others)
        .map(|one| (numbers(&one.version), format!("{} ({})", one.version, one.path.display())))
        .collect();
    found.sort();
    found.dedup_by(|a, b| a.0 == b.0);
    let there: Vec<String> = found.into_iter().map(|(_, text)| text).collect();
    let there = if there.is_empty() { "none".into() } else { there.join(", ") };
    let version = wish
        .bounds
        .first()
        .map_or_else(|| "3".into(), |(_, version)| version.iter().map(u32::to_string).collect::<Vec<_>>().join("."));
    format!(
        "no Python here satisfies `python{}`; there is: {there}. Install one (`uv python install {version}`, `pyenv install \
         {version}`, or your system's packages), or change the version that the workflow asks for",
        wish.text
    )
}

/// What the name says: `python3.11`, `3.11.7/bin/python3`, `cpython-3.11.7-linux-x86_64-gnu/bin/python3`. Only those are started.
fn may_be(path: &Path, wish: &Wish) -> bool {
    let text = path.to_string_lossy();
    let in_directory = text.trim_end_matches("/bin/python3").rsplit('/').next().unwrap_or_default();
    let named = match text.rsplit('/').next().and_then(|name| name.strip_prefix("python")).filter(|v| v.contains('.')) {
        Some(version) => version,
        None => in_directory.split('-').find(|word| word.contains('.')).unwrap_or_default(),
    };
    let Some(named) = numbers(named) else { return true };
    wish.bounds.iter().all(|(bound, than)| match bound {
        Bound::Is => named.iter().zip(than).all(|(a, b)| a == b),
        _ => true,
    })
}

/// Programs that are Pythons by their names and places: on PATH, and those of pyenv, uv, asdf and mise.
fn installed() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let home = variable("HOME").unwrap_or_default();
    let data = variable("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share"));
    let managed = [
        variable("PYENV_ROOT").unwrap_or_else(|| home.join(".pyenv")).join("versions"),
        variable("UV_PYTHON_INSTALL_DIR").unwrap_or_else(|| data.join("uv/python")),
        home.join(".asdf/installs/python"),
        data.join("mise/installs/python"),
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/bin", "/usr/local/bin"].map(PathBuf::from));
    let mut found: Vec<PathBuf> = Vec::new();
    for dir in managed {
        found
            .extend(entries(&dir).into_iter().map(|version| version.join("bin/python3")).filter(|path| path.is_file()));
    }
    for dir in dirs {
        let named = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            let version = name.and_then(|name| name.strip_prefix("python3."));
            version.is_some_and(|version| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()))
        };
        found.extend(entries(&dir).into_iter().filter(named));
    }
    found.sort();
    found.dedup();
    found
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(line: &str) -> Wish {
        Wish::of_requirement(line).expect("a Python").expect("a version")
    }

    #[test]
    fn an_entry_for_the_interpreter_is_told_from_packages() {
        for package in ["python-dateutil", "pythonnet==3", "python3-x", "six", ""] {
            assert_eq!(Wish::of_requirement(package), None, "{package}");
        }
        let error = Wish::of_requirement("python=3.11").expect("a Python").expect_err("conda's spelling");
        assert!(error.contains("python==3.11"), "{error}");
        assert_eq!(wish("python").bounds, []);
    }

    #[test]
    fn versions_are_compared_by_number() {
        for (line, yes, no) in [
            ("python==3.11", "3.11.7", "3.12.1"),
            ("python == 3.1.*", "3.1.4", "3.11.0"),
            ("python>=3.10", "3.10.0", "3.9.18"),
            ("python>=3.9,<3.12", "3.11.9", "3.12.0"),
            ("python~=3.10", "3.13.0", "3.9.1"),
            ("python~=3.10.2", "3.10.13", "3.11.0"),
            ("python>3.10", "3.11.0", "3.10.13"),
            ("python<=3.10", "3.10.13", "3.11.0"),
            ("python!=3.12", "3.11.7", "3.12.1"),
        ] {
            assert!(wish(line).admits(yes) && !wish(line).admits(no), "{line}");
        }
    }

    #[test]
    fn only_what_may_be_it_is_started() {
        let wish = wish("python==3.11");
        for (path, may) in [
            ("/usr/bin/python3.11", true),
            ("/usr/bin/python3.9", false),
            ("/h/.pyenv/versions/3.11.7/bin/python3", true),
            ("/h/.pyenv/versions/3.12.1/bin/python3", false),
            ("/h/.local/share/uv/python/cpython-3.11.9-linux-x86_64-gnu/bin/python3", true),
            ("/h/.local/share/uv/python/cpython-3.10.1-linux-x86_64-gnu/bin/python3", false),
            ("/h/.pyenv/versions/mine/bin/python3", true),
        ] {
            assert_eq!(may_be(Path::new(path), &wish), may, "{path}");
        }
    }

    #[test]
    fn what_is_not_installed_is_told_with_what_is() {
        let error = find(&Python::default(), &wish("python==3.99")).expect_err("nobody has it");
        assert!(error.starts_with("no Python here satisfies `python==3.99`; there is: "), "{error}");
        assert!(error.contains("uv python install 3.99"), "{error}");
    }
}
