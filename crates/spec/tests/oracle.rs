//! The oracle tables that are about text and its validity, counted row by row.

use std::path::PathBuf;

#[path = "."]
mod oracle {
    pub struct Row {
        #[allow(dead_code)]
        pub line: usize,
        pub text: String,
    }

    pub enum Verdict {
        Right,
        Wrong {
            expected: String,
            got: String,
        },
        #[allow(dead_code)]
        Deliberate(&'static str),
    }

    #[path = "../../xtask/src/oracle/yaml.rs"]
    pub mod yaml;

    #[path = "../../xtask/src/oracle/typed.rs"]
    pub mod typed;

    #[path = "../../xtask/src/oracle/validate.rs"]
    pub mod validate;
}

use oracle::{Row, Verdict};

/// The folder of recorded answers: `TOWPATH_CORPUS`, or `shared/corpus` beside the checkout.
fn corpus() -> Option<PathBuf> {
    if let Ok(path) = std::env::var("TOWPATH_CORPUS") {
        return Some(path.into());
    }
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|folder| folder.join("shared/corpus")).find(|path| path.is_dir())
}

/// Runs a table; fails below `at_least` right rows in a hundred.
fn run(table: &str, check: fn(&Row) -> Verdict, at_least: f64) {
    let Some(path) = corpus().map(|folder| folder.join("oracle").join(format!("{table}.jsonl"))) else {
        println!("{table}: skipped, there is no corpus beside this checkout");
        return;
    };
    let text = std::fs::read_to_string(&path).expect("the table is readable");
    let (mut right, mut deliberate, mut total) = (0, 0, 0);
    for (index, line) in text.lines().enumerate() {
        total += 1;
        match check(&Row { line: index + 1, text: line.to_owned() }) {
            Verdict::Right => right += 1,
            Verdict::Deliberate(_) => deliberate += 1,
            Verdict::Wrong { expected, got } => {
                let shown: String = line.chars().take(1500).collect();
                println!("{table}:{}\n   {shown}\n   expected {expected}\n   got      {got}", index + 1);
            }
        }
    }
    println!("{table}: {right}/{total}, {deliberate} deliberate");
    let share = f64::from(right) / f64::from(total - deliberate).max(1.0) * 100.0;
    assert!(share >= at_least, "{table}: {share:.1} % right, {at_least} % wanted");
}

#[test]
fn yaml() {
    run("yaml", oracle::yaml::check, 98.0);
}

#[test]
fn validate() {
    run("validate", oracle::validate::check, 99.0);
}

#[test]
fn typed() {
    run("typed", oracle::typed::check, 99.0);
}
