//! The engine's text scripts (`scripts/*.txt`): a plan, scripted reports, and the nodes, phases and messages that follow.
//! It must never hold an expectation: those stand in the scripts. `UPDATE_SCRIPTS=1` rewrites them by what the engine does.
//!
//! A case is a heading `== name`, then three parts. `plan:` is Argo YAML; without `apiVersion` it is the `spec` of a workflow called
//! `wf` whose entrypoint is `main`, and a few leaves (`script/plan.rs`) are added to its templates. `plan: as before` takes the plan
//! of the case before. `script:` has one command a line (`script/mod.rs`), `expect:` what they print and then the run and its nodes.

mod coverage;
mod driving;
mod script;

use coverage::Coverage;
use script::Case;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts");

#[test]
fn scripts() {
    let update = std::env::var_os("UPDATE_SCRIPTS").is_some();
    let mut coverage = Coverage::default();
    let (mut cases, mut wrong) = (0, String::new());
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let parsed = script::parse(&text);
        assert!(!parsed.is_empty(), "{}: no case", path.display());
        let mut rewritten = String::new();
        for case in &parsed {
            cases += 1;
            let got = script::run(case, &mut coverage);
            judge(&path, case, &got, &mut wrong);
            let _ = write!(rewritten, "{}{}\n\n", case.head, got.join("\n"));
        }
        if update && rewritten.trim_end() != text.trim_end() {
            std::fs::write(&path, rewritten.trim_end().to_string() + "\n").unwrap_or_else(|error| panic!("{error}"));
        }
    }
    let (table, gaps) = coverage.report();
    println!("{cases} cases\n{table}");
    assert!(wrong.is_empty() || update, "{wrong}");
    assert!(gaps.is_empty(), "{table}\n{gaps}");
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(Path::new(FOLDER)).unwrap_or_else(|error| panic!("{FOLDER}: {error}"));
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    files
}

fn judge(path: &Path, case: &Case, got: &[String], wrong: &mut String) {
    if case.expect == got {
        return;
    }
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let _ = writeln!(wrong, "\n{file}:{}: {}", case.line, case.name);
    case.expect.iter().filter(|line| !got.contains(line)).for_each(|line| {
        let _ = writeln!(wrong, "  - {line}");
    });
    got.iter().filter(|line| !case.expect.contains(line)).for_each(|line| {
        let _ = writeln!(wrong, "  + {line}");
    });
    if case.expect.iter().all(|line| got.contains(line)) && got.iter().all(|line| case.expect.contains(line)) {
        let _ = writeln!(wrong, "  the order of the lines differs; got:\n    {}", got.join("\n    "));
    }
}
