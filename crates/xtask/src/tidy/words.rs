//! Words that have no place in the repository: paths of a machine, hosts of registries, disabled tests, unfinished code.
//! It must never be the place that breaks its own rule: the words are put together from halves.

use super::Finding;
use super::rust::masked;
use super::tree::Tree;
use regex::Regex;

/// A path or host, as it would stand in a text, and why it may not.
const ANYWHERE: &[(&str, &str)] = &[
    (concat!(r"(?:^|[^A-Za-z0-9_.}/-])/wo", r"rk/"), "a path of one machine"),
    (concat!("/var/", "tmp/"), "a path of one machine"),
    (concat!(r"crates\.", "io"), "the host of a registry"),
    (concat!(r"pypi\.", "org"), "the host of a registry"),
    (concat!(r"pythonhosted\.", "org"), "the host of a registry"),
    (concat!(r"registry\.npm", r"js\.org"), "the host of a registry"),
    (concat!(r"proxy\.golang\.", "org"), "the host of a registry"),
    (concat!(r"maven\.", r"apache\.org"), "the host of a registry"),
    (concat!(r"deb\.debian\.", "org"), "the host of a registry"),
];

const IN_CODE: &[(&str, &str)] = &[
    (r"#\[\s*ignore\b", "a test that does not run is no test"),
    (r"#\[\s*cfg_attr\([^\]]*\bignore\b", "a test that does not run is no test"),
    (r"\btodo!", "unfinished code"),
    (r"\bunimplemented!", "unfinished code"),
];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let compiled = |rules: &[(&str, &'static str)]| -> Vec<(Regex, &'static str)> {
        rules.iter().map(|(pattern, why)| (Regex::new(pattern).expect("a constant"), *why)).collect()
    };
    let (anywhere, in_code) = (compiled(ANYWHERE), compiled(IN_CODE));
    let mut findings = Vec::new();
    for file in tree.files().iter().filter(|file| !file.path.ends_with("Cargo.lock")) {
        search(&file.path, &file.text, &anywhere, &mut findings);
        if file.path.ends_with(".rs") {
            search(&file.path, &masked(&file.text), &in_code, &mut findings);
        }
    }
    findings
}

fn search(path: &str, text: &str, rules: &[(Regex, &'static str)], findings: &mut Vec<Finding>) {
    for (at, line) in text.lines().enumerate() {
        for (pattern, why) in rules {
            if let Some(found) = pattern.find(line) {
                let text = format!("`{}`: {why}", found.as_str().trim());
                findings.push(Finding { path: path.to_owned(), line: at + 1, rule: "word", text });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(path: &str, text: &str) -> usize {
        check(&Tree::planted(&[(path, text)])).len()
    }

    #[test]
    fn each_word_is_found() {
        for text in [
            concat!("see /wo", "rk/main"),
            concat!("/wo", "rk/main"),
            concat!("\"/var/", "tmp/x\""),
            concat!("https://crates.", "io/x"),
            concat!("pypi.", "org"),
        ] {
            assert_eq!(planted("docs/a.md", text), 1, "{text}");
            assert_eq!(planted("Cargo.lock", text), 0, "{text}");
        }
        for text in ["#[ignore]\nfn x() {}", "#[ignore = \"slow\"]", "#[cfg_attr(unix, ignore)]", "fn x() { todo!() }"]
        {
            assert_eq!(planted("crates/a/tests/a.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn what_only_looks_alike_is_not() {
        for text in
            [concat!("{upper}/wo", "rk/x"), concat!("a/wo", "rk/x"), "// #[ignore]", "let a = \"todo!\";", "/var/tmp"]
        {
            assert_eq!(planted("crates/a/src/a.rs", text), 0, "{text}");
        }
    }
}
