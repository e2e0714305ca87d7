//! Doors to single rules, for tables that ask a rule without a run around it.
//! It must never hold a rule: each function calls the one that the run machine calls.

use crate::arguments::{self, Argument, give};
use crate::globals;
use crate::loops;
use crate::scope::{Scope, Strictness, output_paths, resolve};
use crate::sites;
use crate::state::State;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use expr::Value;
use model::plan::{Arguments, Task, Template};
use model::{RunRecord, Text, node};

/// A child of a loop: its name, its `when` and its arguments, tags resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    pub name: String,
    pub when: String,
    pub values: Vec<(String, String)>,
}

fn scope<'a>(state: &'a State, vars: &BTreeMap<String, Value>) -> Scope<'a> {
    let locals = vars.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Scope { locals, ..Scope::global(state) }
}

/// The children of a loop (upstream `expandTask`).
pub fn expand(task: &Task, vars: &BTreeMap<String, Value>) -> Result<Vec<Child>, String> {
    let state = State::default();
    if !task.is_loop() {
        let scope = scope(&state, vars);
        let when = task.when.as_ref().map(|when| when.0.clone()).unwrap_or_default();
        let values = values(give(&task.arguments, &scope, Strictness::Lenient)?);
        return Ok(alloc::vec![Child { name: task.name.clone(), when, values }]);
    }
    let items = sites::open_with(task, &scope(&state, vars))?;
    let child = |index| {
        let item = loops::item(&items, index);
        let name = loops::child_name(&task.name, index, &item.label);
        let scope = Scope { item: Some(&item), ..scope(&state, vars) };
        let strictness = if sites::is_plainly_false(task) { Strictness::Lenient } else { Strictness::Strict };
        let given = give(&task.arguments, &scope, strictness)?;
        let mut values = values(given.clone());
        // What is absent stays as it is written.
        let absent = given.parameters.iter().filter(|(_, argument)| *argument == Argument::Absent);
        let written = |name: &str| task.arguments.parameters.iter().find(|p| p.name == name)?.value.as_ref();
        values.extend(absent.filter_map(|(name, _)| Some((name.clone(), written(name)?.0.clone()))));
        let when = task.when.as_ref().map(|when| resolve(when, &scope, Strictness::Strict)).transpose()?;
        Ok(Child { name, when: when.unwrap_or_default(), values })
    };
    (0..items.len()).map(child).collect()
}

fn values(given: arguments::Given) -> Vec<(String, String)> {
    let values = given.parameters.into_iter().filter_map(|(name, argument)| match argument {
        Argument::Value(value) => Some((name, value)),
        Argument::Absent | Argument::Nothing => None,
    });
    values.collect()
}

/// Inputs bound to arguments, and a text of the template resolved with them (upstream `ProcessArgs`).
pub fn bind(
    template: &Template,
    arguments: &Arguments,
    vars: &BTreeMap<String, Value>,
    texts: &[&str],
) -> Result<(node::Inputs, Vec<String>), String> {
    let state = State::default();
    let given = give(arguments, &scope(&state, vars), Strictness::Lenient)?;
    let inputs = arguments::bind(template, &given, &mut scope(&state, vars))?;
    let mut scope = Scope { inputs: Some(&inputs), ..scope(&state, vars) };
    scope.locals.extend(output_paths(template));
    let resolved: Result<Vec<_>, _> =
        texts.iter().map(|text| resolve(&Text::new(*text), &scope, Strictness::Lenient)).collect();
    let resolved = resolved?;
    Ok((inputs, resolved))
}

/// Every `workflow.*` of a run.
pub fn workflow_variables(record: &RunRecord) -> BTreeMap<String, String> {
    globals::of(record).into_iter().map(|(name, value)| (name, value.to_text())).collect()
}
