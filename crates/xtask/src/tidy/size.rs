//! Files of at most 600 lines and functions of at most 70, tests apart.
//! It must never count what a test needs.

use super::Finding;
use super::rust::{functions, lines_before_tests, masked};
use super::tree::Tree;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust_sources() {
        let code = masked(&file.text);
        let lines = lines_before_tests(&code);
        if lines > FILE_LINES_MAX {
            let text = format!("{lines} lines before the tests, at most {FILE_LINES_MAX}: split it by what it knows");
            findings.push(Finding { path: file.path.clone(), line: 0, rule: "file size", text });
        }
        for function in functions(&code) {
            if function.line <= lines && function.lines > FUNCTION_LINES_MAX {
                let text = format!("`{}` has {} lines, at most {FUNCTION_LINES_MAX}", function.name, function.lines);
                findings.push(Finding { path: file.path.clone(), line: function.line, rule: "function size", text });
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(text: &str) -> Vec<&'static str> {
        check(&Tree::planted(&[("crates/a/src/x.rs", text)])).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(planted(&"const A: u8 = 0;\n".repeat(FILE_LINES_MAX + 1)), ["file size"]);
        assert!(planted(&"const A: u8 = 0;\n".repeat(FILE_LINES_MAX)).is_empty());
    }

    #[test]
    fn a_long_function_is_found_and_tests_are_exempt() {
        let long = format!("fn long() {{\n{}}}\n", "    a();\n".repeat(FUNCTION_LINES_MAX));
        assert_eq!(planted(&long), ["function size"]);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}{long}}}\n", "const A: u8 = 0;\n".repeat(FILE_LINES_MAX));
        assert!(planted(&tests).is_empty());
    }
}
