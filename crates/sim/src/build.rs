//! Short words for building plans in Rust: leaves, steps, tasks.
//! It must never make a choice: what a plan holds is its caller's.

use model::plan::{
    Backoff, Body, Dag, Inputs, Leaf, Metadata, OutputParameter, OutputSource, Outputs, PLAN_VERSION, Parameter, Plan,
    RetryStrategy, SEMANTICS, Scope, Target, Task, Template,
};
use model::{TemplateId, Text};

/// Annotation of a dynamic leaf: names of the templates that its process calls, separated by commas.
pub const CALLS: &str = "sim/calls";

/// A plan under construction.
pub struct Plans(pub Vec<Template>);

impl Plans {
    pub fn add(&mut self, template: Template) -> TemplateId {
        self.0.push(template);
        TemplateId(self.0.len() as u32 - 1)
    }

    pub fn plan(self, name: &str, entrypoint: TemplateId) -> Plan {
        Plan {
            version: PLAN_VERSION,
            semantics: SEMANTICS,
            metadata: Metadata { name: name.into(), ..Metadata::default() },
            entrypoint,
            arguments: Inputs::default(),
            templates: self.0,
            parallelism: None,
            active_deadline_s: None,
            shutdown: None,
            hooks: Vec::new(),
            config_maps: Default::default(),
            suspended: false,
            locks: Vec::new(),
            by_reference: false,
            priority: 0,
            service_account: String::new(),
            notices: Vec::new(),
        }
    }
}

pub fn text(text: &str) -> Text {
    Text::new(text)
}

fn template(name: &str, body: Body) -> Template {
    Template {
        name: name.into(),
        scope: Scope::Local,
        inputs: Inputs::default(),
        outputs: Outputs::default(),
        body,
        retry: None,
        parallelism: None,
        fail_fast: false,
        timeout: None,
        active_deadline: None,
        at_most_once: false,
        locks: Vec::new(),
        annotations: std::collections::BTreeMap::new(),
    }
}

/// A leaf with one input, `x`, and one output, `out`.
pub fn leaf(name: &str) -> Template {
    let leaf = Leaf {
        image: text("sim"),
        command: vec![text("work")],
        args: vec![text("{{inputs.parameters.x}}")],
        ..Leaf::default()
    };
    let mut template = template(name, Body::Leaf(leaf));
    let x = Parameter { name: "x".into(), default: Some(text("0")), ..Parameter::default() };
    template.inputs.parameters.push(x);
    template.outputs.parameters.push(output("out", OutputSource::Path(text("/out"))));
    template
}

pub fn output(name: &str, source: OutputSource) -> OutputParameter {
    OutputParameter { name: name.into(), source, default: None, global_name: String::new() }
}

/// A leaf whose process calls these templates.
pub fn dynamic(name: &str, callees: &[&str]) -> Template {
    let mut template = leaf(name);
    if let Body::Leaf(leaf) = &mut template.body {
        leaf.dynamic = true;
    }
    template.annotations.insert(CALLS.into(), callees.join(","));
    template
}

pub fn steps(name: &str, groups: Vec<Vec<Task>>) -> Template {
    template(name, Body::Steps(groups))
}

pub fn dag(name: &str, tasks: Vec<Task>) -> Template {
    template(name, Body::Dag(Dag { tasks, target: text(""), fail_fast: true }))
}

pub fn task(name: &str, target: TemplateId) -> Task {
    Task {
        name: name.into(),
        target: Target::Template(target),
        arguments: Inputs::default(),
        when: None,
        with: None,
        continue_on: model::plan::ContinueOn::default(),
        depends: String::new(),
        from_dependencies: false,
        hooks: Vec::new(),
    }
}

pub fn after(mut task: Task, depends: &str) -> Task {
    task.depends = depends.into();
    task
}

/// Gives `x`.
pub fn given(mut task: Task, value: &str) -> Task {
    let x = Parameter { name: "x".into(), value: Some(text(value)), ..Parameter::default() };
    task.arguments.parameters.push(x);
    task
}

pub fn retry(limit: u32, backoff_s: Option<u32>) -> RetryStrategy {
    let backoff = backoff_s.map(|seconds| Backoff {
        duration: text(&seconds.to_string()),
        factor: Some(text("2")),
        cap: text("60"),
        max_duration: text(""),
    });
    RetryStrategy { limit: Some(text(&limit.to_string())), policy: None, backoff, expression: None }
}
