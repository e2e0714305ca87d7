//! What the pure crates must never name: files, network, processes, threads, clocks, chance, an order that changes.
//! It must never look at tests: they may read tables from a disk.

use super::Finding;
use super::rust::{lines_before_tests, masked};
use super::tree::Tree;
use regex::Regex;

const PURE: &[&str] = &["model", "engine", "views", "expr", "spec"];

const FORBIDDEN: &[&str] = &[
    r"\bstd::(?:fs|net|process|thread)\b",
    r"\bstd::\{[^}]*\b(?:fs|net|process|thread)\b",
    r"\bSystemTime\b",
    r"\bInstant::now\b",
    r"\bHash(?:Map|Set)\b",
    r"\brand::",
    r"\btokio\b",
];

/// Crates that only an impure one needs.
const FORBIDDEN_DEPENDENCIES: &[&str] =
    &["rand", "fastrand", "getrandom", "tokio", "async-std", "mio", "rusqlite", "rustix"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let finding = |path: &str, line, text| Finding { path: path.to_owned(), line, rule: "purity", text };
    let patterns: Vec<Regex> = FORBIDDEN.iter().map(|pattern| Regex::new(pattern).expect("a constant")).collect();
    let mut findings = Vec::new();
    for name in PURE {
        let folder = format!("crates/{name}/src/");
        for file in tree.rust_sources().filter(|file| file.path.starts_with(&folder)) {
            let code = masked(&file.text);
            let tests_from = lines_before_tests(&code);
            let code: Vec<&str> = code.lines().take(tests_from).collect();
            let code = code.join("\n");
            for found in patterns.iter().flat_map(|pattern| pattern.find_iter(&code)) {
                let line = 1 + code[..found.start()].matches('\n').count();
                findings.push(finding(&file.path, line, format!("`{}` in a pure crate", found.as_str())));
            }
        }
        let manifest = format!("crates/{name}/Cargo.toml");
        let parsed: toml::Table = tree.text(&manifest).unwrap_or_default().parse().unwrap_or_default();
        let dependencies = parsed.get("dependencies").and_then(toml::Value::as_table);
        for used in dependencies.into_iter().flat_map(toml::Table::keys) {
            if FORBIDDEN_DEPENDENCIES.contains(&used.as_str()) {
                findings.push(finding(&manifest, 0, format!("a pure crate depends on `{used}`")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(path: &str, text: &str) -> usize {
        check(&Tree::planted(&[(path, text)])).len()
    }

    #[test]
    fn each_impurity_is_found() {
        for text in [
            "use std::fs::File;",
            "std::net::TcpStream::connect(a)",
            "use std::{\n    io,\n    process,\n};",
            "std::thread::spawn(f)",
            "SystemTime::now()",
            "Instant::now()",
            "HashMap::new()",
            "rand::random()",
            "async { tokio::spawn(f) }",
        ] {
            assert_eq!(planted("crates/engine/src/x.rs", text), 1, "{text}");
            assert_eq!(planted("crates/driver/src/x.rs", text), 0, "{text}");
        }
        assert_eq!(planted("crates/spec/Cargo.toml", "[dependencies]\ntokio.workspace = true"), 1);
    }

    #[test]
    fn comments_strings_and_tests_may_speak_of_it() {
        let text =
            "// HashMap\nlet a = \"std::fs\";\nlet operand = 1;\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(planted("crates/engine/src/x.rs", text), 0);
    }
}
