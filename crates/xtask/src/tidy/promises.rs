//! What is said to be shown by a test is: the tests that docs/durability.md and the fault matrix name exist.
//! It must never judge whether a test shows what is said of it.

use super::Finding;
use super::tree::Tree;
use regex::Regex;

const BOOK: &str = "docs/durability.md";
const ROWS: &str = "crates/xtask/src/faults/rows.rs";

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let named = Regex::new(r"`(crates/[A-Za-z0-9_./-]+\.rs)::([a-z0-9_]+)`").expect("a constant");
    for (at, line) in tree.text(BOOK).unwrap_or_default().lines().enumerate() {
        let mut any = false;
        for captured in named.captures_iter(line) {
            any = true;
            let (path, test) = (&captured[1], &captured[2]);
            if !tree.text(path).is_some_and(|text| text.contains(&format!("fn {test}("))) {
                findings.push(finding(BOOK, at, format!("there is no {test} in {path}")));
            }
        }
        let is_row = line.starts_with("| ") && !line.starts_with("| what");
        if is_row && !any {
            findings.push(finding(BOOK, at, "a promise without the test that shows it".to_owned()));
        }
    }
    let of_matrix = Regex::new(r#""([a-z0-9_:]*[a-z0-9]+_[a-z0-9_]+)""#).expect("a constant");
    for (at, line) in tree.text(ROWS).unwrap_or_default().lines().enumerate() {
        for captured in of_matrix.captures_iter(line) {
            let test = captured[1].rsplit("::").next().unwrap_or_default();
            let wanted = format!("fn {test}(");
            if !tree.rust().any(|file| file.text.contains(&wanted)) {
                findings.push(finding(ROWS, at, format!("there is no test {test}")));
            }
        }
    }
    findings
}

fn finding(path: &str, at: usize, text: String) -> Finding {
    Finding { path: path.to_owned(), line: at + 1, rule: "promise", text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_gone_is_found() {
        let of = |book: &str, rows: &str| {
            let code = "#[test]\nfn it_holds() {}\n";
            let tree = Tree::planted(&[(BOOK, book), (ROWS, rows), ("crates/a/tests/a.rs", code)]);
            check(&tree).len()
        };
        assert_eq!(of("| x | `crates/a/tests/a.rs::it_holds` |\n", "test(A, \"a::it_holds\", \"how\")"), 0);
        assert_eq!(of("| x | `crates/a/tests/a.rs::it_held` |\n", ""), 1);
        assert_eq!(of("| x | nothing |\n", "test(A, \"it_held\", \"how\")"), 2);
    }
}
