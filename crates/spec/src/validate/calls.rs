//! Steps and DAGs: names, targets, loops, dependencies, and what each call site can refer to.
//! It must never evaluate a condition.

use super::names::{self, Rule};
use super::outputs::is_parameter;
use super::scope::{Names, simple};
use super::template::Type;
use super::{Job, Validator, arguments, depends, later};
use crate::argo::definition::{Reference, template_names};
use crate::argo::view::{
    Word, artifacts, field, flag, int_or_text, items, key_span, parameters, string, text, word, words,
};
use crate::suggest;
use crate::yaml::{Node, Value};
use model::plan::Scope;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The template that a call site invokes.
enum Callee {
    Known(Rc<Node>),
    /// Named by a tag.
    Later,
    /// There is none, which is told.
    Missing,
}

impl Callee {
    fn node(&self) -> Option<&Rc<Node>> {
        match self {
            Self::Known(node) => Some(node),
            _ => None,
        }
    }
}

impl Validator<'_> {
    pub(super) fn steps(&mut self, job: &Job, scope: &mut Names) {
        let mut seen = BTreeMap::new();
        for group in items(&job.node, "steps") {
            let group = group.sequence().unwrap_or_default();
            self.sibling_conditions(group);
            for step in group {
                self.step_name(step, job, &mut seen);
                self.step(step, job, scope);
            }
        }
    }

    /// A name with tags is judged with the values that are known; upstream runs it, here it is not supported yet.
    fn step_name(&mut self, step: &Node, job: &Job, seen: &mut BTreeMap<String, u32>) {
        let Some(name) = word(step, "name").filter(|name| !simple(&name.text).is_empty()) else {
            return names::one(step, "step", Rule::Field, seen, self.faults);
        };
        let known = super::with_all_values(&name.text, &self.values, &job.node);
        if Rule::Field.accepts(&known) {
            let help = Some(format!("write the name: `{known}`"));
            self.faults.error("E0210", name.span, "a name with tags is not supported yet", help);
        } else {
            let help = Some("use letters, digits and `-`".to_owned());
            self.faults.error("E0304", name.span, format!("`{}` cannot be the name of a step", name.text), help);
        }
    }

    fn step(&mut self, step: &Rc<Node>, job: &Job, scope: &mut Names) {
        let prefix = format!("steps.{}", text(step, "name"));
        scope.add(format!("{prefix}.status"));
        self.items(step, scope);
        arguments::check(step, false, &|_| None, self.faults);
        let callee = self.callee(step, job);
        if let Some(template) = callee.node() {
            self.exported(step, template, &job.scope, scope);
        }
        if has_exit_hook(step) {
            self.outputs_of(&callee, &prefix, scope, Aggregate::No);
        }
        self.hooks(step);
        let own = inline_inputs(step);
        self.resolve_tags_with(step, scope, &|tag| own.resolves(tag));
        self.outputs_of(&callee, &prefix, scope, Aggregate::of(step));
        self.supplied(step, &callee);
    }

    /// Upstream hangs where a condition waits for a step that starts at the same time.
    fn sibling_conditions(&mut self, group: &[Rc<Node>]) {
        for step in group {
            let Some(when) = word(step, "when") else { continue };
            let own = text(step, "name");
            for other in group.iter().map(|other| text(other, "name")).filter(|name| !name.is_empty() && *name != own) {
                let reads = simple(&when.text).iter().any(|tag| tag.trim().starts_with(&format!("steps.{other}.")));
                if reads {
                    let message = format!("the condition reads `{other}`, which starts at the same time");
                    let help = Some(format!("put `{own}` into a later group (a new `- -`)"));
                    self.faults.error("E0506", when.span, message, help);
                }
            }
        }
    }

    pub(super) fn dag(&mut self, job: &Job, scope: &mut Names) {
        let Some(dag) = field(&job.node, "dag") else { return };
        let tasks = items(dag, "tasks");
        if tasks.is_empty() {
            let help = Some("add a task under `tasks`".to_owned());
            self.faults.error("E0508", key_span(&job.node, "dag"), "the dag has no task", help);
            return;
        }
        names::check(tasks, "task", Rule::Field, self.faults);
        let graph = Graph::of(tasks);
        self.dependencies(tasks, &graph);
        self.mixtures(tasks);
        let mut callees = BTreeMap::new();
        for task in tasks {
            let name = text(task, "name");
            let callee = self.callee(task, job);
            if let Some(template) = callee.node() {
                self.exported(task, template, &job.scope, scope);
            }
            self.outputs_of(&callee, &format!("tasks.{name}"), scope, Aggregate::of(task));
            callees.insert(name, callee);
        }
        self.targets(dag, job, scope);
        for task in tasks {
            self.task(task, scope, &graph, &callees);
        }
    }

    fn task(&mut self, task: &Rc<Node>, scope: &mut Names, graph: &Graph, callees: &BTreeMap<String, Callee>) {
        let name = text(task, "name");
        if field(task, "hooks").is_some() {
            scope.add(format!("tasks.{name}.status"));
        }
        let mut own = inline_inputs(task);
        self.items(task, &mut own);
        let status = |tag: &str| {
            let other = tag.strip_prefix("tasks.").and_then(|rest| rest.strip_suffix(".status"));
            other.is_some_and(|other| graph.precedes(other, &name))
        };
        self.resolve_tags_with(task, scope, &|tag| own.resolves(tag) || status(tag));
        arguments::check(task, false, &|_| None, self.faults);
        self.argument_dependencies(task, &name, graph);
        later::condition(task, self.faults);
        if let Some(callee) = callees.get(&name) {
            self.supplied(task, callee);
        }
    }

    /// An argument that is another task's output needs that task to run before.
    fn argument_dependencies(&mut self, task: &Node, name: &str, graph: &Graph) {
        let value = |node: &Rc<Node>, key| word(node, key);
        let parameters = parameters(task, "arguments").iter().filter_map(|p| value(p, "value"));
        let artifacts = artifacts(task, "arguments").iter().filter_map(|a| value(a, "from"));
        for source in parameters.chain(artifacts) {
            let Some(rest) = source.text.strip_prefix("{{tasks.") else { continue };
            let other = rest.split('.').next().unwrap_or_default();
            if !graph.precedes(other, name) {
                let message = format!("this needs `{other}`, which need not have run before");
                let help = Some(format!("add `{other}` to the dependencies"));
                self.faults.error("E0509", source.span, message, help);
            }
        }
    }

    fn dependencies(&mut self, tasks: &[Rc<Node>], graph: &Graph) {
        let known: BTreeMap<String, &Rc<Node>> = tasks.iter().map(|task| (text(task, "name"), task)).collect();
        for task in tasks {
            let name = text(task, "name");
            let span = word(task, "depends").map_or_else(|| key_span(task, "dependencies"), |w| w.span);
            for mention in depends::mentions(&depends::expression(task)) {
                if !known.contains_key(&mention.task) {
                    let place = place_of(task, &mention.task).unwrap_or(span);
                    let help =
                        suggest::help(&mention.task, known.keys().map(String::as_str), "name a task of this dag");
                    let message = format!("`{name}` depends on `{}`, which is no task here", mention.task);
                    self.faults.error("E0502", place, message, Some(help));
                }
                if let Some(result) = &mention.result
                    && !depends::RESULTS.contains(&result.as_str())
                {
                    let help = suggest::help(result, depends::RESULTS, "");
                    let message = format!("a task cannot end `{result}`");
                    self.faults.error("E0503", span, message, Some(help));
                }
            }
            for (other, of_items) in depends::dependencies(task) {
                if of_items && known.get(&other).is_some_and(|node| !is_loop(node)) {
                    let message = format!("`{other}` is no loop, so AnySucceeded and AllFailed do not apply");
                    let help = Some(format!("write `{other}.Succeeded` or `{other}.Failed`"));
                    self.faults.error("E0503", span, message, help);
                }
            }
        }
        if let Some(cycle) = graph.cycle() {
            let first = tasks.iter().find(|node| Some(&text(node, "name")) == cycle.first());
            let span = first.map_or(tasks[0].span, |node| word(node, "name").map_or(node.span, |w| w.span));
            let message = format!("these tasks wait for each other: {}", cycle.join(" -> "));
            self.faults.error("E0501", span, message, Some("remove one of the dependencies".to_owned()));
        }
    }

    /// `depends` goes with neither `dependencies` nor `continueOn`, and no name begins with a digit.
    fn mixtures(&mut self, tasks: &[Rc<Node>]) {
        let uses_depends = tasks.iter().any(|task| word(task, "depends").is_some());
        for task in tasks {
            let has_dependencies = !items(task, "dependencies").is_empty();
            if uses_depends && has_dependencies {
                let message = "a dag uses either `depends` or `dependencies`";
                let names: Vec<String> = words(task, "dependencies").into_iter().map(|w| w.text).collect();
                let help = Some(format!("write `depends: {}`", names.join(" && ")));
                self.faults.error("E0504", key_span(task, "dependencies"), message, help);
            }
            if uses_depends && field(task, "continueOn").is_some() {
                let message = "`continueOn` does not go with `depends`";
                let help = Some("write `task.Failed` or `task.Errored` in the `depends` of what follows".to_owned());
                self.faults.error("E0504", key_span(task, "continueOn"), message, help);
            }
            let name = word(task, "name");
            if let Some(name) = name.filter(|w| w.text.starts_with(|c: char| c.is_ascii_digit()))
                && (uses_depends || has_dependencies)
            {
                let message = "in a dag with dependencies no name begins with a digit";
                self.faults.error("E0304", name.span, message, Some(format!("write `t{}`", name.text)));
            }
        }
    }

    fn targets(&mut self, dag: &Node, job: &Job, scope: &Names) {
        let Some(node) = field(dag, "target") else { return };
        self.resolve_tags(node, scope);
        let target = super::with_values(&string(node).unwrap_or_default(), &self.values, &job.node);
        let known = crate::argo::view::names(items(dag, "tasks"));
        for name in target.split(' ').filter(|_| !target.is_empty()) {
            if !is_parameter(name) && !known.iter().any(|task| task == name) {
                let help = suggest::help(name, known.iter().map(String::as_str), "name a task of this dag");
                self.faults.error("E0507", node.span, format!("the target `{name}` is no task here"), Some(help));
            }
        }
    }

    /// A loop: one source, of the right form; what an item brings into scope.
    fn items(&mut self, call: &Node, scope: &mut Names) {
        later::source(call, self.faults);
        let list = field(call, "withItems").and_then(|node| node.sequence()).unwrap_or_default();
        let param = word(call, "withParam").filter(|param| !param.text.is_empty());
        let sequence = field(call, "withSequence");
        let sources = usize::from(!list.is_empty()) + usize::from(param.is_some()) + usize::from(sequence.is_some());
        if sources > 1 {
            let help = Some("keep one of withItems, withParam, withSequence".to_owned());
            self.faults.error("E0505", call.span, "a loop has one source", help);
            return;
        }
        for item in list {
            match &item.value {
                Value::Scalar(_) | Value::Alias(_) => scope.add("item"),
                Value::Sequence(inner) => (0..inner.len()).for_each(|i| scope.add(format!("item.[{i}]"))),
                Value::Mapping(entries) => {
                    entries.iter().for_each(|e| scope.add(format!("item.{}", e.key.key_text().unwrap_or_default())));
                }
            }
        }
        scope.any_item |= param.is_some();
        if let Some(sequence) = sequence
            && let (Some(_), Some(end)) = (int_or_text(sequence, "count"), int_or_text(sequence, "end"))
        {
            let help = Some("remove one of them".to_owned());
            self.faults.error("E0505", end.span, "`withSequence` has either `count` or `end`", help);
        }
    }

    /// Finds the template of a call site, queues it, and tells where there is none.
    fn callee(&mut self, call: &Rc<Node>, job: &Job) -> Callee {
        if let Some(inline) = field(call, "inline") {
            self.enqueue_inline(&job.scope, inline);
            return Callee::Known(Rc::clone(inline));
        }
        let name = word(call, "template");
        let Some(reference) = Reference::read(call) else {
            let Some(name) = name else {
                let span = word(call, "name").map_or(call.span, |w| w.span);
                let help = Some("add `template`, `templateRef` or `inline`".to_owned());
                self.faults.error("E0302", span, format!("`{}` calls no template", text(call, "name")), help);
                return Callee::Missing;
            };
            return self.local_callee(&name, job);
        };
        if let Some(name) = name {
            let help = Some("remove one of them".to_owned());
            self.faults.error("E0302", name.span, "`template` does not go with `templateRef`", help);
            return Callee::Missing;
        }
        self.referenced(&reference)
    }

    fn enqueue_inline(&mut self, scope: &Scope, node: &Rc<Node>) {
        // An inline template may bear a name, which is no one's.
        self.queue.push_back(Job { scope: scope.clone(), node: Rc::clone(node) });
    }

    /// Tags of workflow parameters are replaced first, where their values are known.
    fn local_callee(&mut self, name: &Word, job: &Job) -> Callee {
        let name = &Word { text: self.values.replaced(&name.text), span: name.span };
        let found = self.index(&job.scope).and_then(|index| index.get(&name.text)).cloned();
        match found {
            Some(node) => {
                self.enqueue(&job.scope, &node);
                Callee::Known(node)
            }
            None if self.mode.named_by_tag && name.text.contains("{{") => Callee::Later,
            None => {
                self.unknown_template(&job.scope, &name.text, name.span);
                Callee::Missing
            }
        }
    }

    fn referenced(&mut self, written: &Reference) -> Callee {
        let known = |word: &Word| Word { text: self.values.replaced(&word.text), span: word.span };
        let reference = &Reference { name: known(&written.name), template: known(&written.template), ..*written };
        let Reference { name, template, .. } = reference;
        for (word, key) in [(name, "name"), (template, "template")] {
            if word.text.is_empty() {
                let help = Some(format!("add `{key}`"));
                self.faults.error("E0302", word.span, format!("the reference has no `{key}`"), help);
                return Callee::Missing;
            }
        }
        let has_tags = |word: &&Word| !simple(&word.text).is_empty();
        if [name, template].iter().any(has_tags) {
            self.late_reference(written);
            return Callee::Later;
        }
        let scope = reference.scope();
        let Some(definition) = self.library.find(&scope) else {
            let message = format!("there is no {} `{}`", super::scope_words(&scope), name.text);
            self.faults.error("E0306", name.span, message, Some(self.library.help(&scope)));
            return Callee::Missing;
        };
        let Some(node) = definition.templates.get(&template.text).cloned() else {
            let names = template_names(&definition.spec);
            let help = suggest::help(&template.text, names.iter().map(String::as_str), "it has no templates");
            let message = format!("`{}` has no template `{}`", name.text, template.text);
            self.faults.error("E0302", template.span, message, Some(help));
            return Callee::Missing;
        };
        if [&written.name, &written.template].iter().any(has_tags) {
            self.late_reference(written);
        }
        self.enqueue(&scope, &node);
        Callee::Known(node)
    }

    /// A plan can be run with other values than those it was compiled with.
    fn late_reference(&mut self, written: &Reference) {
        let word = [&written.name, &written.template].into_iter().find(|word| !simple(&word.text).is_empty());
        if let Some(word) = word.filter(|_| self.mode.named_by_tag) {
            let message = "a reference that is known only at run time is not supported yet";
            let help = Some("write the name of the template".to_owned());
            self.faults.error("E0210", word.span, message, help);
        }
    }

    fn supplied(&mut self, call: &Node, callee: &Callee) {
        let Some(template) = callee.node() else { return };
        let place = word(call, "name").map_or(call.span, |w| w.span);
        arguments::supplied(template, call, &|_| false, place, self.faults);
        arguments::superfluous(template, call, self.faults);
    }

    /// What later steps can read of a call.
    fn outputs_of(&mut self, callee: &Callee, prefix: &str, scope: &mut Names, aggregate: Aggregate) {
        for name in ["id", "startedAt", "finishedAt", "hostNodeName"] {
            scope.add(format!("{prefix}.{name}"));
        }
        let Some(node) = callee.node() else {
            if self.mode.named_by_tag || matches!(callee, Callee::Missing) {
                scope.open(prefix);
            }
            return;
        };
        let kinds: Vec<Type> = Type::all(node).into_iter().map(|(kind, _)| kind).collect();
        if flag(node, "daemon").unwrap_or_default() {
            scope.add(format!("{prefix}.ip"));
        }
        let has_result = kinds.iter().any(|kind| match kind {
            Type::Container | Type::Script | Type::Data | Type::Http | Type::Plugin => true,
            Type::ContainerSet => has_main(node),
            _ => false,
        });
        if has_result || (aggregate == Aggregate::Yes && kinds.contains(&Type::ContainerSet)) {
            scope.add(format!("{prefix}.outputs.result"));
            scope.add(format!("{prefix}.exitCode"));
        }
        if aggregate == Aggregate::Yes {
            scope.add(format!("{prefix}.outputs.parameters"));
        }
        for (section, list) in [("parameters", parameters(node, "outputs")), ("artifacts", artifacts(node, "outputs"))]
        {
            for output in list {
                scope.add(format!("{prefix}.outputs.{section}.{}", text(output, "name")));
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Yes,
    No,
}

impl Aggregate {
    /// Loops over a list aggregate their outputs.
    fn of(call: &Node) -> Self {
        let list =
            !items(call, "withItems").is_empty() || word(call, "withParam").is_some_and(|param| !param.text.is_empty());
        if list { Self::Yes } else { Self::No }
    }
}

fn is_loop(call: &Node) -> bool {
    Aggregate::of(call) == Aggregate::Yes || field(call, "withSequence").is_some()
}

fn has_exit_hook(call: &Node) -> bool {
    word(call, "onExit").is_some() || field(call, "hooks").is_some_and(|hooks| hooks.get("exit").is_some())
}

fn has_main(template: &Node) -> bool {
    let set = field(template, "containerSet");
    set.is_some_and(|set| items(set, "containers").iter().any(|c| text(c, "name") == "main"))
}

/// The inputs of an inline template, which its call site can name.
fn inline_inputs(call: &Node) -> Names {
    let mut names = Names::default();
    if let Some(inline) = field(call, "inline") {
        for input in parameters(inline, "inputs") {
            names.add(format!("inputs.parameters.{}", text(input, "name")));
        }
    }
    names
}

/// Where a dependency is written, if it is an item of `dependencies`.
fn place_of(task: &Node, name: &str) -> Option<crate::Span> {
    words(task, "dependencies").into_iter().find(|w| w.text == name).map(|w| w.span)
}

/// Who depends on whom.
struct Graph {
    edges: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn of(tasks: &[Rc<Node>]) -> Self {
        let one = |task: &Rc<Node>| (text(task, "name"), depends::dependencies(task).into_keys().collect());
        Self { edges: tasks.iter().map(one).collect() }
    }

    fn before(&self, task: &str) -> &[String] {
        self.edges.get(task).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether `task` waits for `other`, directly or not.
    fn precedes(&self, other: &str, task: &str) -> bool {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = vec![task];
        while let Some(task) = open.pop() {
            let before = self.before(task);
            if before.iter().any(|name| name == other) {
                return true;
            }
            open.extend(before.iter().map(String::as_str).filter(|name| seen.insert(name)));
        }
        false
    }

    /// A cycle, its first task repeated at its end.
    fn cycle(&self) -> Option<Vec<String>> {
        let mut finished: BTreeSet<&str> = BTreeSet::new();
        for start in self.edges.keys() {
            if finished.contains(start.as_str()) {
                continue;
            }
            // Each entry: a task and how many of its edges were followed.
            let mut path: Vec<(&str, usize)> = vec![(start, 0)];
            let mut on_path: BTreeSet<&str> = BTreeSet::from([start.as_str()]);
            while let Some((task, next)) = path.last_mut() {
                let task: &str = task;
                let before = self.before(task).get(*next);
                *next += 1;
                let Some(before) = before else {
                    finished.insert(task);
                    on_path.remove(task);
                    path.pop();
                    continue;
                };
                if on_path.contains(before.as_str()) {
                    let from = path.iter().position(|(task, _)| task == before).unwrap_or_default();
                    let mut cycle: Vec<String> = path[from..].iter().map(|(task, _)| (*task).to_owned()).collect();
                    cycle.push(before.clone());
                    return Some(cycle);
                }
                if !finished.contains(before.as_str()) && self.edges.contains_key(before) {
                    on_path.insert(before);
                    path.push((before, 0));
                }
            }
        }
        None
    }
}
