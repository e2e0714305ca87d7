//! Every example manifest of Argo is compiled: nothing panics, and what is refused is counted by reason.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn corpus() -> Option<PathBuf> {
    if let Ok(path) = std::env::var("TOWPATH_CORPUS") {
        return Some(path.into());
    }
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|folder| folder.join("shared/corpus")).find(|path| path.is_dir())
}

fn manifests(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            manifests(&path, found);
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json") {
            found.push(path);
        }
    }
    found.sort();
}

fn read(path: &Path, root: &Path) -> spec::SourceFile {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
    spec::SourceFile { name, text }
}

#[test]
fn every_example_is_compiled_or_refused_with_a_reason() {
    let Some(corpus) = corpus() else {
        println!("skipped: there is no corpus beside this checkout");
        return;
    };
    let root = corpus.join("argo-examples");
    let mut paths = Vec::new();
    manifests(&root, &mut paths);
    let sources: Vec<spec::SourceFile> = paths.iter().map(|path| read(path, &root)).collect();
    let is_template =
        |text: &str| text.contains("kind: WorkflowTemplate") || text.contains("kind: ClusterWorkflowTemplate");
    let library: Vec<spec::SourceFile> = sources.iter().filter(|s| is_template(&s.text)).cloned().collect();
    let (mut workflows, mut plans) = (0, 0);
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for source in &sources {
        let mut files = vec![source.clone()];
        files.extend(library.iter().filter(|other| other.name != source.name).cloned());
        let compiled = spec::compile(&files, &spec::Options::default());
        let own = |file: &str| file == source.name;
        workflows += compiled.documents.iter().filter(|d| d.kind == "Workflow" && own(&d.file)).count();
        let names: Vec<&str> = compiled.documents.iter().filter(|d| own(&d.file)).map(|d| d.name.as_str()).collect();
        let is_own = |plan: &&model::Plan| {
            let metadata = &plan.metadata;
            names.contains(&metadata.name.as_str()) || names.contains(&metadata.generate_name.as_str())
        };
        plans += compiled.plans.iter().filter(is_own).count();
        let mut of_this = BTreeMap::new();
        for d in compiled.diagnostics.iter().filter(|d| d.severity == spec::Severity::Error && own(&d.file)) {
            assert!(d.span.line > 0 && d.span.column > 0, "{d:?}");
            of_this.insert(format!("{} {}", d.code, d.message), d.clone());
        }
        for (reason, diagnostic) in of_this {
            if diagnostic.code != "E0210" {
                println!("{}", spec::render(&diagnostic, &files, false));
            }
            *reasons.entry(reason).or_default() += 1;
        }
    }
    let mut sorted: Vec<_> = reasons.into_iter().collect();
    sorted.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), reason.clone()));
    for (reason, count) in sorted {
        println!("{count:>4} {reason}");
    }
    println!("{plans} of {workflows} workflows give a plan");
    assert!(plans >= 100, "{plans} plans");
}

/// The node trees that upstream made: what they were made from has to compile, or to use what is not supported yet.
#[test]
fn every_tree_of_the_oracle_is_compiled_or_not_supported_yet() {
    let Some(path) = corpus().map(|folder| folder.join("oracle/tree.jsonl")).filter(|path| path.is_file()) else {
        println!("skipped: there is no corpus beside this checkout");
        return;
    };
    let text = std::fs::read_to_string(path).expect("the table is readable");
    let (mut compiled_rows, mut refused, mut deliberate, mut wrong) = (0, 0, 0, 0);
    for (index, line) in text.lines().enumerate() {
        let row: serde_json::Value = serde_json::from_str(line).expect("a row is JSON");
        let mut files =
            vec![spec::SourceFile { name: "w".into(), text: row["yaml"].as_str().unwrap_or_default().into() }];
        for (i, with) in row["with"].as_array().into_iter().flatten().enumerate() {
            files.push(spec::SourceFile { name: format!("t{i}"), text: with.as_str().unwrap_or_default().into() });
        }
        let compiled = spec::compile(&files, &spec::Options::default());
        let errors: Vec<_> =
            compiled.diagnostics.iter().filter(|d| d.severity == spec::Severity::Error && d.file == "w").collect();
        // What upstream refuses at the start has no nodes; what hangs there is refused here.
        let upstream_refuses = row["stuck"] == true || row["nodes"].as_object().is_none_or(|nodes| nodes.is_empty());
        if compiled.plans.len() == 1 && errors.is_empty() {
            compiled_rows += 1;
        } else if errors.iter().any(|d| d.code == "E0210") {
            refused += 1;
        } else if upstream_refuses {
            deliberate += 1;
        } else {
            wrong += 1;
            println!("tree:{}", index + 1);
            compiled.diagnostics.iter().for_each(|d| println!("{}", spec::render(d, &files, false)));
        }
    }
    println!(
        "tree: {compiled_rows} compile, {refused} not supported yet, {deliberate} refused as upstream refuses or hangs, {wrong} refused otherwise"
    );
    assert!(wrong <= 4, "{wrong} rows are refused for a reason that upstream does not know");
}
