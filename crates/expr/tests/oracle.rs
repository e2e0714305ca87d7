//! The oracle tables of this crate, with the counts that must not fall.
//! It must never know how an answer is found; the comparisons are those of `xtask oracle`.

use std::path::{Path, PathBuf};

/// What the comparisons of `xtask` expect around them.
#[path = "../../xtask/src/oracle"]
mod oracle {
    pub struct Row {
        #[expect(dead_code, reason = "xtask reports it")]
        pub line: usize,
        pub text: String,
    }

    pub enum Verdict {
        Right,
        Wrong { expected: String, got: String },
        Deliberate(&'static str),
    }

    pub mod expr;
    pub mod jsonpath;
    pub mod sprig;
    pub mod template;
    pub mod when;
}

use oracle::{Row, Verdict};

/// The folder of the tables: `TOWPATH_CORPUS`, or `shared/corpus` beside the repository.
fn corpus() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("TOWPATH_CORPUS") {
        return Some(PathBuf::from(folder).join("oracle")).filter(|folder| folder.is_dir());
    }
    let ancestors = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    ancestors.map(|folder| folder.join("shared/corpus/oracle")).find(|folder| folder.is_dir())
}

/// Runs a table; fails if fewer rows are right than recorded.
fn table(name: &str, floor: usize, check: fn(&Row) -> Verdict) {
    let Some(folder) = corpus() else {
        eprintln!("{name}: skipped, there is no corpus");
        return;
    };
    let text = std::fs::read_to_string(folder.join(format!("{name}.jsonl"))).expect("the table can be read");
    let (mut right, mut deliberate, mut total) = (0, 0, 0);
    let shown = std::env::var("ORACLE_SHOW").ok().and_then(|count| count.parse().ok()).unwrap_or(5usize);
    let mut wrong = 0;
    for (index, line) in text.lines().enumerate() {
        total += 1;
        match check(&Row { line: index + 1, text: line.to_owned() }) {
            Verdict::Right => right += 1,
            Verdict::Deliberate(reason) => {
                deliberate += 1;
                println!("{name}:{} differs on purpose: {reason}", index + 1);
            }
            Verdict::Wrong { expected, got } => {
                wrong += 1;
                if wrong <= shown {
                    println!("{name}:{}\n  expected {expected}\n  got      {got}", index + 1);
                }
            }
        }
    }
    println!("{name}: {right} of {total} right, {deliberate} deliberate");
    assert!(right >= floor, "{name}: {right} rows are right, {floor} were");
}

#[test]
fn expr() {
    table("expr", 3129, oracle::expr::check);
}

#[test]
fn sprig() {
    table("sprig", 2034, oracle::sprig::check);
}

#[test]
fn template() {
    table("template", 1212, oracle::template::check);
}

#[test]
fn when() {
    table("when", 1018, oracle::when::check);
}

#[test]
fn jsonpath() {
    table("jsonpath", 194, oracle::jsonpath::check);
}
