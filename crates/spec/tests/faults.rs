//! Faulty documents and the text that people get for them: `faults/*.yaml` beside `faults/*.txt`.
//! `TOWPATH_UPDATE=1` writes the texts anew.

use std::path::{Path, PathBuf};

fn rendered(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).expect("the document is readable");
    let files = [spec::SourceFile { name: name.clone(), text }];
    let compiled = spec::compile(&files, &spec::Options::default());
    let mut out = String::new();
    for diagnostic in &compiled.diagnostics {
        assert!(diagnostic.span.line > 0 && diagnostic.span.column > 0, "{diagnostic:?}");
        let told = diagnostic.severity == spec::Severity::Notice || diagnostic.help.is_some();
        assert!(told, "{name}: no remedy: {diagnostic:?}");
        out += &spec::render(diagnostic, &files, false);
        out.push('\n');
    }
    if compiled.has_errors() {
        assert!(compiled.plans.is_empty() || compiled.documents.len() > 1, "a faulty document gave a plan");
    }
    out
}

#[test]
fn every_fault_is_told_as_recorded() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let mut documents: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder of faults")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    documents.sort();
    assert!(documents.len() >= 25, "{} documents", documents.len());
    let update = std::env::var("TOWPATH_UPDATE").is_ok();
    let mut wrong = Vec::new();
    for document in documents {
        let got = rendered(&document);
        assert!(!got.is_empty(), "{} has no fault", document.display());
        let record = document.with_extension("txt");
        if update {
            std::fs::write(&record, &got).expect("the record is writable");
        } else if std::fs::read_to_string(&record).unwrap_or_default() != got {
            wrong.push(format!("{}:\n{got}", document.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn sources(folder: &Path, texts: &mut Vec<String>) {
    for path in std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            sources(&path, texts);
        } else if path.file_name().is_some_and(|name| name != "codes.rs") {
            texts.push(std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn every_code_is_listed_and_used() {
    let mut texts = Vec::new();
    sources(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    let all = texts.join("\n");
    let is_code = |text: &&str| {
        text.len() == 5 && text.starts_with(['E', 'W', 'N']) && text[1..].bytes().all(|b| b.is_ascii_digit())
    };
    let used: std::collections::BTreeSet<&str> = all.split('"').filter(is_code).collect();
    let listed: std::collections::BTreeSet<&str> = spec::CODES.iter().map(|(code, _)| *code).collect();
    assert_eq!(used, listed);
}
