//! Names that say nothing about what is inside: no crate, module, folder or file has one.
//! It must never be lenient: a thing that has no better name has no reason to be a thing.

use super::Finding;
use super::rust::masked;
use super::tree::Tree;
use regex::Regex;

const DRAWERS: &[&str] = &["utils", "util", "common", "helpers", "helper", "shared", "misc", "types"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let finding = |path: &str, line: usize, name: &str| Finding {
        path: path.to_owned(),
        line,
        rule: "name",
        text: format!("`{name}` says nothing: name it after what it knows"),
    };
    for file in tree.files() {
        let stems = file.path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        if let Some(name) = stems.into_iter().find(|stem| DRAWERS.contains(stem)) {
            findings.push(finding(&file.path, 0, name));
        }
    }
    let module = Regex::new(r"\bmod\s+(\w+)").expect("a constant");
    for file in tree.rust() {
        for (at, line) in masked(&file.text).lines().enumerate() {
            if let Some(name) = module.captures(line).map(|captured| captured[1].to_owned())
                && DRAWERS.contains(&name.as_str())
            {
                findings.push(finding(&file.path, at + 1, &name));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawers_are_found() {
        let tree = Tree::planted(&[
            ("crates/a/src/utils.rs", ""),
            ("crates/common/src/lib.rs", ""),
            ("crates/a/src/lib.rs", "pub(crate) mod helpers {}\n"),
            ("crates/a/src/utilisation.rs", "mod commons;"),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|finding| (finding.path, finding.line)).collect();
        let expected = [("crates/a/src/utils.rs", 0), ("crates/common/src/lib.rs", 0), ("crates/a/src/lib.rs", 1)];
        assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
    }
}
