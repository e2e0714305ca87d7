//! What Towpath adds to Argo's documents: annotations under `towpath.dev/`.
//! It must never change what an annotation of Argo's means.

use super::faults::Faults;
use super::requirements;
use super::view::{Word, field, pairs};
use crate::suggest;
use crate::yaml::Node;

const PREFIX: &str = "towpath.dev/";
const PYTHON_VERSION: &str = "towpath.dev/python-version";
const KNOWN: [&str; 5] = ["at-most-once", "dynamic", "python-requirements", "python-version", "source"];

/// The additions of one workflow or template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    pub python_requirements: Vec<String>,
    pub python_version: Option<String>,
    pub at_most_once: Option<bool>,
    pub dynamic: Option<bool>,
}

impl Additions {
    /// What a template's environment is made of, where the workflow has these additions: the interpreter is one of the entries.
    pub fn requirements(&self, workflow: &Self) -> Vec<String> {
        let own = !self.python_requirements.is_empty();
        let mut lines = if own { &self.python_requirements } else { &workflow.python_requirements }.clone();
        let version = self.python_version.as_ref().or(workflow.python_version.as_ref());
        lines.splice(..0, version.map(|version| format!("python=={version}")));
        lines
    }

    /// Reads the annotations of a workflow's root, or of a template (`metadata.annotations` and `annotations`).
    pub fn read(node: &Node, faults: &mut Faults) -> Self {
        let mut additions = Self::default();
        let mut found = field(node, "metadata").map(|inner| pairs(inner, "annotations")).unwrap_or_default();
        found.extend(pairs(node, "annotations"));
        for (name, value) in &found {
            if name.text == PYTHON_VERSION {
                additions.python_version = version(name, value, faults);
            } else if let Some(key) = name.text.strip_prefix(PREFIX) {
                additions.take(key, name, value, faults);
            }
        }
        additions
    }

    fn take(&mut self, key: &str, name: &Word, value: &Word, faults: &mut Faults) {
        match key {
            "python-requirements" => match requirements::read(&value.text) {
                Ok(lines) => self.python_requirements = lines,
                Err(wrong) => {
                    let text = format!("`{}` {}", name.text, wrong.what);
                    faults.error(wrong.code, value.span, text, Some(wrong.instead));
                }
            },
            "at-most-once" => self.at_most_once = boolean(name, value, faults),
            "dynamic" => self.dynamic = boolean(name, value, faults),
            "source" => {}
            _ => {
                let help = suggest::help(key, KNOWN, "remove it");
                faults.error("E0801", name.span, format!("there is no annotation `{}`", name.text), Some(help));
            }
        }
    }
}

fn version(name: &Word, value: &Word, faults: &mut Faults) -> Option<String> {
    let text = value.text.trim().trim_start_matches("==");
    let is_version = text.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_version {
        let help = Some(
            "write a version such as \"3.11\"; bounds such as `python>=3.10` can stand in the requirements".into(),
        );
        faults.error("E0802", value.span, format!("`{}` must be a version of Python", name.text), help);
    }
    is_version.then(|| text.to_owned())
}

fn boolean(name: &Word, value: &Word, faults: &mut Faults) -> Option<bool> {
    match value.text.as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => {
            let help = Some("write \"true\" or \"false\"".to_owned());
            faults.error("E0802", value.span, format!("`{}` must be \"true\" or \"false\"", name.text), help);
            None
        }
    }
}
