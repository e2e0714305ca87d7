//! Outputs of steps and DAGs, made of what their children handed out (upstream `getTemplateOutputsFromScope`).
//! It must never be asked before all children have ended.

use crate::scope::{Reach, Scope, Strictness, evaluate, evaluate_artifact, resolve, sole_key};
use crate::state::State;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use expr::{Scope as _, Value};
use model::node::{Global, NamedArtifact, Parameter};
use model::plan::{OutputArtifact, OutputParameter, OutputSource, Template};
use model::{NodeId, Outputs, Text};

/// The outputs of a steps or DAG node. The error is the node's message.
pub(crate) fn of_boundary(state: &State, id: NodeId, template: &Template) -> Result<Outputs, String> {
    let scope = Scope::of_site(state, id, Reach::All, None);
    let mut outputs = Outputs::default();
    for parameter in &template.outputs.parameters {
        if let Some(value) = parameter_value(parameter, &scope)? {
            outputs.parameters.push(Parameter { name: parameter.name.clone(), value });
        }
    }
    for artifact in &template.outputs.artifacts {
        if let Some(named) = artifact_value(artifact, &scope)? {
            outputs.artifacts.push(named);
        }
    }
    outputs.globals = globals(template, &scope, &outputs);
    Ok(outputs)
}

/// Which of a node's outputs the whole run sees (upstream `addOutputsToGlobalScope`): those that are there and have a
/// `globalName`.
pub(crate) fn globals(template: &Template, scope: &Scope<'_>, outputs: &Outputs) -> Vec<Global> {
    let global = |name: &str, of: &str, is_artifact| {
        let name = resolve(&Text::new(name), scope, Strictness::Lenient).ok()?;
        Some(Global { name, of: of.into(), is_artifact })
    };
    let parameters = template.outputs.parameters.iter().filter(|declared| outputs.parameter(&declared.name).is_some());
    let parameters = parameters.map(|declared| (&declared.global_name, &declared.name, false));
    let there = |name: &str| outputs.artifacts.iter().any(|named| named.name == name && named.artifact.is_some());
    let artifacts = template.outputs.artifacts.iter().filter(|declared| there(&declared.name));
    let artifacts = artifacts.map(|declared| (&declared.global_name, &declared.name, true));
    let named = parameters.chain(artifacts).filter(|(name, _, _)| !name.is_empty());
    named.filter_map(|(name, of, is_artifact)| global(name, of, is_artifact)).collect()
}

fn parameter_value(parameter: &OutputParameter, scope: &Scope<'_>) -> Result<Option<String>, String> {
    let default = || parameter.default.as_ref().map(|text| resolve(text, scope, Strictness::Lenient)).transpose();
    let value = match &parameter.source {
        OutputSource::Parameter(text) => match sole_key(text).map(|key| scope.get(&key)) {
            Some(Some(Value::Null) | None) => None,
            _ => Some(resolve(text, scope, Strictness::Siblings)?),
        },
        OutputSource::Expression(source) => match evaluate(source, scope) {
            Ok(Value::Null) => None,
            Ok(value) => Some(value.to_text()),
            Err(_) if parameter.default.is_some() => None,
            Err(reason) => return Err(reason),
        },
        OutputSource::Value(text) => Some(resolve(text, scope, Strictness::Lenient)?),
        OutputSource::Path(_) | OutputSource::Supplied => None,
    };
    match (value, default()?) {
        (Some(value), _) | (None, Some(value)) => Ok(Some(value)),
        (None, None) => Err(format!("failed to resolve output parameter {}: it has no value", parameter.name)),
    }
}

fn artifact_value(artifact: &OutputArtifact, scope: &Scope<'_>) -> Result<Option<NamedArtifact>, String> {
    let found = if let Some(from) = &artifact.from {
        sole_key(from).and_then(|key| scope.artifact(&key)).flatten()
    } else if let Some(source) = &artifact.from_expression {
        evaluate_artifact(source, scope)?
    } else {
        None
    };
    match found {
        Some(named) => Ok(Some(NamedArtifact { name: artifact.name.clone(), path: String::new(), ..named })),
        None if artifact.optional => Ok(None),
        None => Err(format!("failed to resolve output artifact {}: it is not there", artifact.name)),
    }
}
