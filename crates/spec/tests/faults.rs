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
