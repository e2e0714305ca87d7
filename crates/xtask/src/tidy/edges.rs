//! Which crate may use which: the manifests against the table in ARCHITECTURE.md.
//! It must never allow an edge that the table does not: the table is the law, this is its reader.
//!
//! The table is the fenced block `crates` in ARCHITECTURE.md, one line a crate: `name: may use | dev: tests may use`.

use super::Finding;
use super::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

const BOOK: &str = "ARCHITECTURE.md";
const RULE: &str = "crate edge";

/// What a crate may use.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    pub normal: BTreeSet<String>,
    pub dev: BTreeSet<String>,
}

/// The table of ARCHITECTURE.md.
pub fn table(tree: &Tree) -> Result<BTreeMap<String, Allowed>, String> {
    let text = tree.text(BOOK).ok_or("there is no ARCHITECTURE.md")?;
    let block = text.split("\n```crates\n").nth(1).and_then(|rest| rest.split("\n```").next());
    let block = block.ok_or("there is no fenced block `crates`")?;
    let mut table = BTreeMap::new();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        let (name, uses) = line.split_once(':').ok_or_else(|| format!("no colon in {line:?}"))?;
        let (normal, dev) = uses.split_once("| dev:").unwrap_or((uses, ""));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        table.insert(name.trim().to_owned(), Allowed { normal: words(normal), dev: words(dev) });
    }
    Ok(table)
}

pub fn check(tree: &Tree) -> Vec<Finding> {
    let finding = |path: String, text: String| Finding { path, line: 0, rule: RULE, text };
    let table = match table(tree) {
        Ok(table) => table,
        Err(fault) => return vec![finding(BOOK.to_owned(), fault)],
    };
    let crates: BTreeSet<&str> = tree.crates().into_iter().collect();
    let mut findings = Vec::new();
    for name in table.keys().filter(|name| !crates.contains(name.as_str())) {
        findings.push(finding(BOOK.to_owned(), format!("the table names `{name}`, which is not in crates/")));
    }
    for name in &crates {
        let path = format!("crates/{name}/Cargo.toml");
        let Some(allowed) = table.get(*name) else {
            findings.push(finding(path, format!("{BOOK} does not name `{name}` in its table")));
            continue;
        };
        match used(tree.text(&path).unwrap_or_default(), &crates) {
            Err(fault) => findings.push(finding(path, fault)),
            Ok(used) => {
                for other in used.normal.difference(&allowed.normal) {
                    findings.push(finding(path.clone(), format!("`{name}` may not use `{other}`")));
                }
                let tests_may: BTreeSet<String> = allowed.normal.union(&allowed.dev).cloned().collect();
                for other in used.dev.difference(&tests_may) {
                    findings.push(finding(path.clone(), format!("tests of `{name}` may not use `{other}`")));
                }
            }
        }
    }
    findings
}

/// What a manifest uses, of our own crates.
fn used(manifest: &str, crates: &BTreeSet<&str>) -> Result<Allowed, String> {
    let manifest: toml::Table = manifest.parse().map_err(|fault| format!("is not TOML: {fault}"))?;
    let mut used = Allowed::default();
    collect(&manifest, crates, &mut used);
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        for target in targets.values().filter_map(toml::Value::as_table) {
            collect(target, crates, &mut used);
        }
    }
    Ok(used)
}

fn collect(section: &toml::Table, crates: &BTreeSet<&str>, used: &mut Allowed) {
    for key in ["dependencies", "build-dependencies", "dev-dependencies"] {
        let Some(dependencies) = section.get(key).and_then(toml::Value::as_table) else { continue };
        let into = if key == "dev-dependencies" { &mut used.dev } else { &mut used.normal };
        for (name, value) in dependencies {
            let real = value.get("package").and_then(toml::Value::as_str).unwrap_or(name);
            if crates.contains(real) {
                into.insert(real.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "text\n```crates\nmodel:\nengine: model | dev: spec\nspec: model\n```\n";

    fn planted(engine: &str, table: &str) -> Vec<String> {
        let tree = Tree::planted(&[
            (BOOK, table),
            ("crates/model/Cargo.toml", "[package]\nname = \"model\""),
            ("crates/spec/Cargo.toml", "[dependencies]\nmodel.workspace = true"),
            ("crates/engine/Cargo.toml", engine),
        ]);
        check(&tree).into_iter().map(|finding| finding.text).collect()
    }

    #[test]
    fn an_edge_that_the_table_lacks_is_found() {
        assert!(
            planted("[dependencies]\nmodel.workspace = true\n[dev-dependencies]\nspec.workspace = true", TABLE)
                .is_empty()
        );
        assert_eq!(planted("[dependencies]\nspec.workspace = true", TABLE), ["`engine` may not use `spec`"]);
        assert_eq!(
            planted("[target.'cfg(unix)'.dependencies]\nx = { package = \"spec\", path = \"y\" }", TABLE),
            ["`engine` may not use `spec`"]
        );
        let crossed = TABLE.replace(" | dev: spec", "");
        assert_eq!(
            planted("[dev-dependencies]\nspec.workspace = true", &crossed),
            ["tests of `engine` may not use `spec`"]
        );
    }

    #[test]
    fn table_and_crates_name_each_other() {
        let gone = TABLE.replace("spec: model", "spec: model\nghost: model");
        assert_eq!(planted("", &gone), ["the table names `ghost`, which is not in crates/"]);
        let missing = TABLE.replace("\nspec: model\n", "\n");
        assert_eq!(planted("", &missing), ["ARCHITECTURE.md does not name `spec` in its table"]);
        assert_eq!(planted("", "no block"), ["there is no fenced block `crates`"]);
    }
}
