//! The plan of a script: compiled from Argo YAML, with the short forms that scripts may use.
//! It must never change what a document means.

use model::Plan;
use model::plan::Body;
use spec::{Options, SourceFile, compile};

const HEAD: &str =
    "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: wf}\nspec:\n  entrypoint: main\n";

/// Leaves that every short plan has.
const LEAVES: &str = "
- {name: leaf, container: {image: i, command: [run]}}
- {name: take, inputs: {parameters: [{name: x}]}, container: {image: i, command: [run, '{{inputs.parameters.x}}']}}
- {name: give, outputs: {parameters: [{name: o, valueFrom: {path: /o}}]}, container: {image: i, command: [run]}}
- name: make
  outputs: {artifacts: [{name: a, path: /a}]}
  container: {image: i, command: [run]}
- name: load
  inputs: {artifacts: [{name: a, path: /in}]}
  container: {image: i, command: [run]}
- name: dyn
  metadata: {annotations: {towpath.dev/dynamic: 'true'}}
  container: {image: i, command: [run]}
";

/// What the front end does not let through: a workflow parameter without a value, and the body of templates of these names.
const NO_VALUE: &str = "<none>";
const PERSON: &str = "person";
const NOTHING: &str = "nothing";

/// The plan of a script's text. The error has all diagnostics.
pub fn of(text: &str) -> Result<Plan, String> {
    let whole = text.trim_start().starts_with("apiVersion:");
    let document = if whole { text.to_string() } else { short(text) };
    let files = [SourceFile { name: "plan.yaml".into(), text: document.clone() }];
    let compiled = compile(&files, &Options::default());
    let faults: Vec<String> = compiled.diagnostics.iter().map(|d| format!("{}: {}", d.span.line, d.message)).collect();
    let mut plan =
        compiled.plans.into_iter().next().ok_or_else(|| format!("no plan: {}\n{document}", faults.join("\n")))?;
    for parameter in plan.arguments.parameters.iter_mut().filter(|p| p.value.as_ref().is_some_and(|v| v.0 == NO_VALUE))
    {
        parameter.value = None;
    }
    for template in &mut plan.templates {
        match template.name.as_str() {
            PERSON => template.body = Body::Suspend { duration: None },
            NOTHING => template.body = Body::Missing,
            _ => {}
        }
    }
    Ok(plan)
}

fn short(text: &str) -> String {
    let indented = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    HEAD.to_string() + &indented(text) + &indented(LEAVES.trim())
}
