//! Containers and scripts: one process, its environment, mounts and resources.
//! It must never know where the process will run.

use super::Lowering;
use crate::argo::annotations::Additions;
use crate::argo::view::{field, flag, items, names, text, word, words};
use crate::suggest;
use crate::yaml::Node;
use model::Text;
use model::plan::{Leaf, Scope, VolumeMount};

impl Lowering<'_> {
    pub(super) fn leaf(&mut self, container: &Node, template: &Node, scope: &Scope, additions: &Additions) -> Leaf {
        let texts = |key| words(container, key).into_iter().map(|w| Text(w.text)).collect();
        let requirements = additions.requirements(&self.additions);
        let is_script = field(template, "script").is_some() && field(template, "container").is_none();
        Leaf {
            image: Text(text(container, "image")),
            command: texts("command"),
            args: texts("args"),
            source: is_script.then(|| Text(text(container, "source"))),
            working_dir: word(container, "workingDir").map(|w| Text(w.text)),
            env: self.environment(container),
            mounts: self.mounts(container, template, scope),
            resources: self.resources(container, template),
            python_requirements: requirements,
            dynamic: additions.dynamic.or(self.additions.dynamic).unwrap_or_default(),
        }
    }

    fn mounts(&mut self, container: &Node, template: &Node, scope: &Scope) -> Vec<VolumeMount> {
        let mut known = names(items(template, "volumes"));
        if let Some(spec) = self.spec(scope) {
            known.extend(names(items(spec, "volumes")));
            known.extend(claims(spec));
        }
        // The workflow's own volumes are there for the templates of other documents, too.
        known.extend(names(items(&self.effective.spec, "volumes")));
        known.extend(claims(&self.effective.spec));
        let mut mounts = Vec::new();
        for node in items(container, "volumeMounts") {
            let volume = text(node, "name");
            if !volume.contains("{{") && !known.contains(&volume) {
                let span = word(node, "name").map_or(node.span, |w| w.span);
                let help = suggest::help(&volume, known.iter().map(String::as_str), "declare it under `volumes`");
                self.faults.error("E0608", span, format!("there is no volume `{volume}`"), Some(help));
            }
            let source = self.volume(&volume, template, scope);
            mounts.push(VolumeMount {
                source,
                volume,
                path: Text(text(node, "mountPath")),
                sub_path: Text(text(node, "subPath")),
                read_only: flag(node, "readOnly").unwrap_or_default(),
            });
        }
        mounts
    }
}

/// Names of the workflow's own claims.
pub(super) fn claims(spec: &Node) -> Vec<String> {
    items(spec, "volumeClaimTemplates").iter().filter_map(|c| field(c, "metadata").map(|m| text(m, "name"))).collect()
}
