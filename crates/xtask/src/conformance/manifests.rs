//! Which manifests can be compared with which records, and what has to be given beside them.
//! It must never run anything.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One record and the manifest that it was made from.
#[derive(Clone, Debug)]
pub struct Case {
    /// As in `table.tsv`.
    pub file: String,
    pub manifest: PathBuf,
    /// WorkflowTemplates that the manifest refers to, directly or not.
    pub templates: Vec<PathBuf>,
    pub expected: Value,
}

/// What there is to compare, and what is left out with the reason.
#[derive(Debug, Default)]
pub struct Cases {
    pub cases: Vec<Case>,
    pub left_out: Vec<(String, String)>,
}

/// Reads both folders. `only` selects by a part of the file's name.
pub fn read(manifests: &Path, golden: &Path, only: Option<&str>) -> Result<Cases> {
    let doubts = doubts(golden)?;
    let templates = template_files(manifests)?;
    let mut found = Cases::default();
    let mut records: Vec<PathBuf> = std::fs::read_dir(golden)
        .with_context(|| format!("cannot list {}", golden.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    records.sort();
    for record in records.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let stem = record.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let file = stem.replace("__", "/");
        if only.is_some_and(|part| !file.contains(part)) {
            continue;
        }
        let text = std::fs::read_to_string(record).with_context(|| format!("cannot read {}", record.display()))?;
        let objects: Vec<Value> = serde_json::from_str(&text)
            .with_context(|| format!("{} is not a list of JSON objects", record.display()))?;
        let manifest = manifests.join(file.strip_prefix("examples/").unwrap_or(&file));
        match (doubts.get(&file), objects.as_slice()) {
            (Some(why), _) => found.left_out.push((file, why.clone())),
            (None, [one]) if one["ended"] == false => found.left_out.push((file, "never ends".to_owned())),
            (None, [one]) => match std::fs::read_to_string(&manifest) {
                Ok(text) => {
                    let templates = needed(&text, &manifest, &templates);
                    found.cases.push(Case { file, manifest, templates, expected: one.clone() });
                }
                Err(error) => found.left_out.push((file, format!("its manifest cannot be read: {error}"))),
            },
            (None, several) => found.left_out.push((file, format!("{} workflows in one file", several.len()))),
        }
    }
    Ok(found)
}

/// File → why its record cannot be trusted node by node (`table.tsv`).
fn doubts(golden: &Path) -> Result<BTreeMap<String, String>> {
    let path = golden.join("table.tsv");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut doubts = BTreeMap::new();
    for line in text.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        if let [file, _, _, "no", why, ..] = columns.as_slice() {
            doubts.insert((*file).to_owned(), (*why).to_owned());
        }
    }
    Ok(doubts)
}

/// Files that hold WorkflowTemplates or ConfigMaps and nothing that would run, with their text.
fn template_files(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml")
                && let Ok(text) = std::fs::read_to_string(&path)
                && holds_only_templates(&text)
            {
                found.push((path, text));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn holds_only_templates(text: &str) -> bool {
    let kinds: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("kind:")).map(str::trim).collect();
    !kinds.is_empty()
        && kinds.iter().all(|kind| matches!(*kind, "WorkflowTemplate" | "ClusterWorkflowTemplate" | "ConfigMap"))
}

/// The names that documents of a file give themselves (`metadata.name`, the first `  name:` after `metadata:`).
fn defined(text: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let mut in_metadata = false;
    for line in text.lines() {
        if !line.starts_with(' ') {
            in_metadata = line.starts_with("metadata:");
        } else if in_metadata && let Some(name) = line.strip_prefix("  name:") {
            names.insert(name.trim().trim_matches(['"', '\'']));
        }
    }
    names
}

/// The template files that a text refers to by the name of one of their documents, and those that they refer to.
fn needed(text: &str, manifest: &Path, templates: &[(PathBuf, String)]) -> Vec<PathBuf> {
    let refers = |text: &str, file: &str| {
        let names = defined(file);
        let named = text.lines().filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("name:"));
        named.map(|name| name.trim().trim_matches(['"', '\''])).any(|name| names.contains(name))
    };
    let references = ["templateRef:", "workflowTemplateRef:", "configMapKeyRef:"];
    let has_reference = |text: &str| references.iter().any(|reference| text.contains(reference));
    let mut taken: Vec<PathBuf> = Vec::new();
    let mut texts: Vec<&str> = vec![text];
    while let Some(text) = texts.pop() {
        for (path, file) in templates.iter().filter(|_| has_reference(text)) {
            if path != manifest && !taken.contains(path) && refers(text, file) {
                taken.push(path.clone());
                texts.push(file);
            }
        }
    }
    // What was there while the records were made, and is among no example.
    if ["my-config", "my-secret"].iter().any(|name| text.contains(&format!("ame: {name}"))) {
        taken.push(crate::checkout::root().join("crates/xtask/src/conformance/given.yaml"));
    }
    taken.sort();
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATES: &str = "kind: WorkflowTemplate\nmetadata:\n  name: greet\nspec:\n  templates: []\n";
    const USER: &str = "kind: Workflow\nspec:\n  templates:\n  - steps:\n    - - templateRef:\n          name: greet\n";

    #[test]
    fn templates_are_found_by_what_refers_to_them() {
        let chain =
            "kind: WorkflowTemplate\nmetadata:\n  name: other\nspec:\n  workflowTemplateRef:\n    name: greet\n";
        let files = [("a".into(), TEMPLATES.to_owned()), ("b".into(), chain.to_owned())];
        assert_eq!(needed(USER, Path::new("u"), &files), [PathBuf::from("a")]);
        let far = USER.replace("greet", "other");
        assert_eq!(needed(&far, Path::new("u"), &files), [PathBuf::from("a"), PathBuf::from("b")]);
        assert!(needed("kind: Workflow\nmetadata:\n  name: greet\n", Path::new("u"), &files).is_empty());
    }

    #[test]
    fn a_file_that_would_run_is_no_template_file() {
        assert!(holds_only_templates(TEMPLATES) && !holds_only_templates(USER) && !holds_only_templates("a: b"));
    }

    #[test]
    fn doubtful_endless_and_double_records_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write(
            "table.tsv",
            "file\texpected\tgot\ttrustworthy\twhy\nexamples/r.yaml\ta\tb\tno\trandom\nexamples/a.yaml\ta\tb\tyes\t\n",
        );
        for (name, text) in [
            ("r", r#"[{"ended": true}]"#),
            ("a", r#"[{"ended": true}]"#),
            ("e", r#"[{"ended": false}]"#),
            ("two", r#"[{"ended": true}, {"ended": true}]"#),
            ("gone", r#"[{"ended": true}]"#),
        ] {
            write(&format!("examples__{name}.yaml.json"), text);
        }
        write("a.yaml", USER);
        let found = read(folder.path(), folder.path(), None).unwrap();
        assert_eq!(found.cases.iter().map(|case| case.file.as_str()).collect::<Vec<_>>(), ["examples/a.yaml"]);
        let left: Vec<&str> = found.left_out.iter().map(|(file, _)| file.as_str()).collect();
        assert_eq!(left, ["examples/e.yaml", "examples/gone.yaml", "examples/r.yaml", "examples/two.yaml"]);
    }

    #[test]
    fn the_examples_find_their_templates() {
        let corpus = crate::checkout::corpus();
        let (manifests, golden) = (corpus.join("argo-examples"), corpus.join("golden"));
        if !manifests.is_dir() || !golden.is_dir() {
            println!("skipped: there is no folder {} or {}", manifests.display(), golden.display());
            return;
        }
        let found = read(&manifests, &golden, None).unwrap();
        let templates = |file: &str| found.cases.iter().find(|case| case.file == file).unwrap().templates.clone();
        let library = manifests.join("workflow-template/templates.yaml");
        assert_eq!(templates("examples/workflow-template/steps.yaml"), [library]);
        assert!(templates("examples/steps.yaml").is_empty());
    }
}
