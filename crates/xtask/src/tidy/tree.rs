//! The files of the checkout that belong to the repository: path and text.
//! It must never hold a rule.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::Command;

/// One text file.
#[derive(Clone, Debug)]
pub struct File {
    /// From the root, with `/`.
    pub path: String,
    pub text: String,
}

#[derive(Clone, Debug, Default)]
pub struct Tree(Vec<File>);

impl Tree {
    /// Every file that git tracks or would track. A file that is not text has an empty one.
    pub fn read(root: &Path) -> Result<Self> {
        let listing = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(root)
            .output()
            .context("cannot run git, which tells what belongs to the repository")?;
        if !listing.status.success() {
            bail!("git ls-files: {}", String::from_utf8_lossy(&listing.stderr).trim());
        }
        let names = String::from_utf8(listing.stdout).context("a file name is not UTF-8")?;
        let mut paths: Vec<&str> = names.split('\0').filter(|name| !name.is_empty()).collect();
        paths.sort_unstable();
        paths.dedup();
        let mut files = Vec::new();
        for path in paths {
            // Tracked and deleted, or a link to elsewhere.
            let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
            files.push(File { path: path.to_owned(), text: String::from_utf8(bytes).unwrap_or_default() });
        }
        Ok(Self(files))
    }

    #[cfg(test)]
    pub fn planted(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Self(files.iter().map(file).collect())
    }

    pub fn files(&self) -> &[File] {
        &self.0
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.0.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }

    /// Whether there is a file or a folder of that name.
    pub fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.0
            .iter()
            .any(|file| file.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    /// The folders of `crates/` that hold a manifest, by name.
    pub fn crates(&self) -> Vec<&str> {
        let name = |file: &'_ File| -> Option<(usize, usize)> {
            let inner = file.path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")?;
            (!inner.contains('/')).then_some((7, 7 + inner.len()))
        };
        self.0.iter().filter_map(|file| name(file).map(|(from, to)| &file.path[from..to])).collect()
    }

    /// Rust files, tests included.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.0.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// Rust files of the product: not those in a `tests` folder.
    pub fn rust_sources(&self) -> impl Iterator<Item = &File> {
        self.rust().filter(|file| !file.path.contains("/tests/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_crates_and_folders() {
        let tree = Tree::planted(&[
            ("crates/a/Cargo.toml", ""),
            ("crates/a/src/lib.rs", ""),
            ("crates/a/tests/t.rs", ""),
            ("crates/a/deep/Cargo.toml", ""),
        ]);
        assert_eq!(tree.crates(), ["a"]);
        assert!(tree.exists("crates/a/src/") && tree.exists("crates/a/src/lib.rs") && !tree.exists("crates/a/sr"));
        assert_eq!(tree.rust_sources().count(), 1);
    }
}
