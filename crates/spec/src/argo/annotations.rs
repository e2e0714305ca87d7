//! What Towpath adds to Argo's documents: annotations under `towpath.dev/`.
//! It must never change what an annotation of Argo's means.

use super::faults::Faults;
use super::view::{Word, field, pairs};
use crate::suggest;
use crate::yaml::Node;

const PREFIX: &str = "towpath.dev/";
const KNOWN: [&str; 4] = ["at-most-once", "dynamic", "python-requirements", "source"];

/// The additions of one workflow or template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    pub python_requirements: Vec<String>,
    pub at_most_once: Option<bool>,
    pub dynamic: Option<bool>,
}

impl Additions {
    /// Reads the annotations of a workflow's root, or of a template (`metadata.annotations` and `annotations`).
    pub fn read(node: &Node, faults: &mut Faults) -> Self {
        let mut additions = Self::default();
        let mut found = field(node, "metadata").map(|inner| pairs(inner, "annotations")).unwrap_or_default();
        found.extend(pairs(node, "annotations"));
        for (name, value) in &found {
            if let Some(key) = name.text.strip_prefix(PREFIX) {
                additions.take(key, name, value, faults);
            }
        }
        additions
    }

    fn take(&mut self, key: &str, name: &Word, value: &Word, faults: &mut Faults) {
        match key {
            "python-requirements" => {
                let lines = value.text.split(['\n', ',']).map(str::trim);
                self.python_requirements =
                    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect();
            }
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
