//! The map and the country: what ARCHITECTURE.md names exists, and each crate says what it must never know.
//! It must never judge what the words say.

use super::Finding;
use super::tree::Tree;
use regex::Regex;

const BOOK: &str = "ARCHITECTURE.md";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = dead_paths(tree);
    for name in tree.crates() {
        let heads = ["lib.rs", "main.rs"].map(|file| format!("crates/{name}/src/{file}"));
        let Some(path) = heads.into_iter().find(|path| tree.exists(path)) else { continue };
        let text = tree.text(&path).unwrap_or_default();
        let head: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        if !head.join("\n").contains("never") {
            let text = "begin with `//!` lines: what the crate is, and what it must never know".to_owned();
            findings.push(Finding { path, line: 1, rule: "crate head", text });
        }
    }
    findings
}

/// Paths into `crates/` that ARCHITECTURE.md names and the tree lacks.
fn dead_paths(tree: &Tree) -> Vec<Finding> {
    let path = Regex::new(r"\bcrates/[A-Za-z0-9_./-]*[A-Za-z0-9_/-]").expect("a constant");
    let mut findings = Vec::new();
    for (at, line) in tree.text(BOOK).unwrap_or_default().lines().enumerate() {
        for named in path.find_iter(line).filter(|named| !tree.exists(named.as_str())) {
            let text = format!("there is no {}", named.as_str());
            findings.push(Finding { path: BOOK.to_owned(), line: at + 1, rule: "dead path", text });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(book: &str, head: &str) -> Vec<&'static str> {
        let tree = Tree::planted(&[(BOOK, book), ("crates/a/Cargo.toml", ""), ("crates/a/src/lib.rs", head)]);
        check(&tree).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_dead_path_is_found() {
        let head = "//! A thing.\n//! It must never know.\n";
        assert!(planted("see `crates/a/src/lib.rs`, `crates/a` and crates/.", head).is_empty());
        assert_eq!(planted("see crates/a/src/gone.rs.", head), ["dead path"]);
    }

    #[test]
    fn a_head_without_its_prohibition_is_found() {
        assert_eq!(planted("", "//! A thing.\n\n// never\n"), ["crate head"]);
        assert_eq!(planted("", "use x;\n//! never\n"), ["crate head"]);
    }
}
