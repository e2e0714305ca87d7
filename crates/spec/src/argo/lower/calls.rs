//! Steps and DAGs: call sites, what they call, with what, when, how often.
//! It must never expand a loop or a `depends`.

use super::Lowering;
use crate::argo::definition::Reference;
use crate::argo::view::{Word, field, flag, int_or_text, items, text, word, words};
use crate::yaml::{Node, to_json_plain};
use model::Text;
use model::plan::{Arguments, ContinueOn, Dag, Hook, Scope, Sequence, Target, Task, With};
use std::rc::Rc;

impl Lowering<'_> {
    pub(super) fn steps(&mut self, groups: &[Rc<Node>], scope: &Scope) -> Vec<Vec<Task>> {
        let group = |group: &Rc<Node>, this: &mut Self| {
            let steps = group.sequence().unwrap_or_default();
            steps.iter().map(|step| this.task(step, scope)).collect()
        };
        groups.iter().map(|node| group(node, self)).collect()
    }

    pub(super) fn dag(&mut self, node: &Node, scope: &Scope) -> Dag {
        let mut tasks = Vec::new();
        for node in items(node, "tasks") {
            let mut task = self.task(node, scope);
            let dependencies = words(node, "dependencies");
            task.depends = text(node, "depends");
            if task.depends.is_empty() && !dependencies.is_empty() {
                let names: Vec<String> = dependencies.into_iter().map(|w| w.text).collect();
                task.depends = names.join(" && ");
                task.from_dependencies = true;
            }
            tasks.push(task);
        }
        Dag { tasks, target: Text(text(node, "target")), fail_fast: flag(node, "failFast").unwrap_or(true) }
    }

    fn task(&mut self, node: &Node, scope: &Scope) -> Task {
        let arguments = self.arguments(field(node, "arguments"));
        Task {
            name: text(node, "name"),
            target: self.target(node, scope),
            arguments,
            when: word(node, "when").map(|w| Text(w.text)),
            with: self.with(node),
            continue_on: continue_on(node),
            depends: String::new(),
            from_dependencies: false,
            hooks: self.hooks(node, scope),
        }
    }

    /// `hooks` and `onExit` of a workflow, step or task; of two exit hooks that among `hooks` counts. (Upstream: `GetExitHook`.)
    pub(super) fn hooks(&mut self, node: &Node, scope: &Scope) -> Vec<Hook> {
        let entries = field(node, "hooks").and_then(|hooks| hooks.mapping()).unwrap_or_default();
        let mut hooks = Vec::new();
        for entry in entries {
            hooks.push(Hook {
                name: entry.key.key_text().unwrap_or_default().to_owned(),
                target: self.target(&entry.value, scope),
                arguments: self.arguments(field(&entry.value, "arguments")),
                expression: word(&entry.value, "expression").map(|w| w.text),
            });
        }
        if let Some(name) = word(node, "onExit").filter(|_| !hooks.iter().any(Hook::is_exit)) {
            let target = match self.named(scope, &name.text) {
                Some(id) => Target::Template(id),
                None => Target::Named(Text(name.text)),
            };
            let arguments = Arguments::default();
            hooks.push(Hook { name: "exit".to_owned(), target, arguments, expression: None });
        }
        hooks.sort_by(|a, b| a.name.cmp(&b.name));
        hooks
    }

    fn target(&mut self, node: &Node, scope: &Scope) -> Target {
        if let Some(inline) = field(node, "inline") {
            return Target::Template(self.enqueue(scope, Rc::clone(inline)));
        }
        let (scope, name) = match Reference::read(node) {
            Some(reference) => (reference.scope(), reference.template.text),
            None => (scope.clone(), text(node, "template")),
        };
        match self.named(&scope, &name) {
            Some(id) => Target::Template(id),
            // Either it is known only at run time, or a diagnostic says that there is none.
            None => Target::Named(Text(name)),
        }
    }

    fn with(&mut self, node: &Node) -> Option<With> {
        if let Some(list) = field(node, "withItems") {
            let mut texts = Vec::new();
            for item in list.sequence().unwrap_or_default() {
                match to_json_plain(item) {
                    Ok(json) => texts.push(Text(json)),
                    Err(error) => self.faults.error("E0203", error.span, error.message, error.help),
                }
            }
            return Some(With::Items(texts));
        }
        if let Some(param) = word(node, "withParam").filter(|param| !param.text.is_empty()) {
            return Some(With::Param(Text(param.text)));
        }
        let sequence = field(node, "withSequence")?;
        let number = |key| int_or_text(sequence, key).map(|w: Word| Text(w.text));
        Some(With::Sequence(Sequence {
            count: number("count"),
            start: number("start"),
            end: number("end"),
            format: text(sequence, "format"),
        }))
    }
}

fn continue_on(node: &Node) -> ContinueOn {
    let Some(node) = field(node, "continueOn") else { return ContinueOn::default() };
    ContinueOn { error: flag(node, "error").unwrap_or_default(), failed: flag(node, "failed").unwrap_or_default() }
}
