//! How a template's inputs are bound to what a call site gives (upstream `common.ProcessArgs`).
//! It must never scan a bound value: once bound, it is data.

use crate::scope::{Scope, Strictness, evaluate, evaluate_artifact, resolve, sole_key};
use crate::state::State;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use expr::{Scope as _, Value};
use model::artifact::{ArtifactRef, Content};
use model::node::{Inputs, NamedArtifact, Parameter};
use model::plan::{Arguments, Artifact, Location, Parameter as Declared, Template};

/// A call site's arguments after its own tags were resolved.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Given {
    pub parameters: Vec<(String, Argument)>,
    /// `None`: named, without a word about where it comes from.
    pub artifacts: Vec<(String, Option<Option<NamedArtifact>>)>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Argument {
    Value(String),
    /// Solely a reference to an output that a skipped or omitted node does not have.
    Absent,
    /// Named without a value.
    Nothing,
}

/// Resolves the arguments of a call site in its scope.
pub(crate) fn give(arguments: &Arguments, scope: &Scope<'_>, strictness: Strictness) -> Result<Given, String> {
    let mut given = Given::default();
    for parameter in &arguments.parameters {
        given.parameters.push((parameter.name.clone(), argument(parameter, scope, strictness)?));
    }
    for artifact in &arguments.artifacts {
        given.artifacts.push((artifact.name.clone(), artifact_argument(artifact, scope)?));
    }
    Ok(given)
}

fn argument(parameter: &Declared, scope: &Scope<'_>, strictness: Strictness) -> Result<Argument, String> {
    if let Some(text) = &parameter.value {
        if let Some(key) = sole_key(text)
            && scope.get(&key) == Some(Value::Null)
        {
            if strictness == Strictness::Strict {
                let text = &text.0;
                return Err(format!(
                    "unable to substitute {text}: output is an absent optional (skipped/omitted node with no default)"
                ));
            }
            return Ok(Argument::Absent);
        }
        return resolve(text, scope, strictness).map(Argument::Value);
    }
    match &parameter.expression {
        Some(source) => Ok(match evaluate(source, scope)? {
            Value::Null => Argument::Absent,
            value => Argument::Value(value.to_text()),
        }),
        None => Ok(Argument::Nothing),
    }
}

/// An artifact argument; `None`: it says nothing about where it comes from.
fn artifact_argument(artifact: &Artifact, scope: &Scope<'_>) -> Result<Option<Option<NamedArtifact>>, String> {
    let found = if let Some(from) = &artifact.from {
        let key = sole_key(from).ok_or_else(|| format!("artifact {}: from must be one tag", artifact.name))?;
        scope.artifact(&key).ok_or_else(|| format!("failed to resolve {}", from.0))?
    } else if let Some(source) = &artifact.from_expression {
        evaluate_artifact(source, scope)?
    } else if let Some(location) = &artifact.location {
        Some(located(&artifact.name, location, scope)?)
    } else {
        return Ok(None);
    };
    match found {
        Some(named) => below(named, artifact, scope).map(|named| Some(Some(named))),
        None => Ok(Some(None)),
    }
}

/// The artifact as it is named here, with the sub-path that is meant.
fn below(mut named: NamedArtifact, artifact: &Artifact, scope: &Scope<'_>) -> Result<NamedArtifact, String> {
    named.name.clone_from(&artifact.name);
    named.path = String::new();
    let sub_path = resolve(&artifact.sub_path, scope, Strictness::Lenient)?;
    if let Some(reference) = named.artifact.as_mut()
        && !sub_path.is_empty()
    {
        reference.metadata.insert(SUB_PATH.to_string(), sub_path);
    }
    Ok(named)
}

/// Metadata key of a reference to a part of an artifact.
pub(crate) const SUB_PATH: &str = "subPath";

fn located(name: &str, location: &Location, scope: &Scope<'_>) -> Result<NamedArtifact, String> {
    let content = match location {
        Location::Raw(text) => Content::Raw(resolve(text, scope, Strictness::Lenient)?),
        Location::Key(key) => {
            let key = resolve(key, scope, Strictness::Lenient)?;
            if let Some(artifact) = stored(&key, scope.state) {
                return Ok(NamedArtifact { name: name.into(), path: String::new(), artifact: Some(artifact) });
            }
            Content::Uri(key)
        }
    };
    let artifact = Some(ArtifactRef { content, bytes: 0, metadata: Default::default() });
    Ok(NamedArtifact { name: name.into(), path: String::new(), artifact })
}

/// What this run stored under the key, under a key above it, or under keys below it.
fn stored(key: &str, state: &State) -> Option<ArtifactRef> {
    let key = key.trim_end_matches('/');
    if let Some(artifact) = state.keys.get(key) {
        return Some(artifact.clone());
    }
    let above = core::iter::successors(key.rsplit_once('/'), |(above, _)| above.rsplit_once('/'));
    if let Some((above, artifact)) = above.map(|(above, _)| above).find_map(|a| Some((a, state.keys.get(a)?))) {
        let mut artifact = artifact.clone();
        artifact.metadata.insert(SUB_PATH.to_string(), key[above.len() + 1..].to_string());
        return Some(artifact);
    }
    let prefix = format!("{key}/");
    let below = state.keys.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
    let parts: Vec<(String, ArtifactRef)> =
        below.map(|(key, a)| (key[prefix.len()..].to_string(), a.clone())).collect();
    if parts.is_empty() {
        return None;
    }
    let bytes = parts.iter().map(|(_, artifact)| artifact.bytes).sum();
    let content = Content::Parts(parts.into_iter().map(|(path, artifact)| (path, artifact.content)).collect());
    Some(ArtifactRef { content, bytes, metadata: Default::default() })
}

/// Binds the inputs of `template`. `callee` resolves the template's own texts (defaults, paths).
pub(crate) fn bind(template: &Template, given: &Given, callee: &mut Scope<'_>) -> Result<Inputs, String> {
    let mut inputs = Inputs::default();
    for declared in &template.inputs.parameters {
        let value = parameter(declared, given, callee)?;
        callee.locals.push((format!("inputs.parameters.{}", declared.name), Value::str(&*value)));
        inputs.parameters.push(Parameter { name: declared.name.clone(), value });
    }
    for declared in &template.inputs.artifacts {
        inputs.artifacts.push(artifact(declared, given, callee)?);
    }
    Ok(inputs)
}

fn parameter(declared: &Declared, given: &Given, callee: &Scope<'_>) -> Result<String, String> {
    let name = &declared.name;
    let own = |text: &Option<model::Text>| text.as_ref().map(|t| resolve(t, callee, Strictness::Lenient)).transpose();
    let argument = given.parameters.iter().find(|(given, _)| given == name).map(|(_, argument)| argument);
    match argument {
        Some(Argument::Value(value)) => return Ok(value.clone()),
        Some(Argument::Absent) => {
            let fallback = own(&declared.default)?.or(own(&declared.value)?);
            return fallback.ok_or_else(|| {
                format!(
                    "inputs.parameters.{name}: argument references an absent optional (skipped/omitted node output with no default)"
                )
            });
        }
        Some(Argument::Nothing) => return Err(format!("inputs.parameters.{name} was not supplied")),
        None => {}
    }
    let own = own(&declared.value)?.or(configured(declared, callee)?).or(own(&declared.default)?);
    own.ok_or_else(|| format!("inputs.parameters.{name} was not supplied"))
}

/// What a ConfigMap says: data, whose tags are none.
fn configured(declared: &Declared, callee: &Scope<'_>) -> Result<Option<String>, String> {
    let Some(key) = &declared.config_map else { return Ok(None) };
    let text = |text| resolve(text, callee, Strictness::Lenient);
    let (map, entry) = (text(&key.name)?, text(&key.key)?);
    let found = callee.state.record.as_ref().and_then(|record| record.plan.config_maps.get(&map)?.get(&entry));
    if found.is_none() && !key.optional && declared.default.is_none() {
        let name = &declared.name;
        return Err(format!("failed to retrieve inputs.parameters.{name} from ConfigMap: {map} has no key '{entry}'"));
    }
    Ok(found.cloned().or(key.optional.then(String::new)))
}

fn artifact(declared: &Artifact, given: &Given, callee: &Scope<'_>) -> Result<NamedArtifact, String> {
    let path = resolve(&declared.path, callee, Strictness::Lenient)?;
    let found = given.artifacts.iter().find(|(name, _)| *name == declared.name).map(|(_, found)| found.clone());
    let found = match (found, &declared.location) {
        (Some(None), Some(location)) => Some(located(&declared.name, location, callee)?),
        (Some(None), None) if declared.optional => None,
        (Some(None), None) => return Err(format!("inputs.artifacts.{} missing location information", declared.name)),
        (Some(Some(found)), _) => found,
        (None, Some(location)) => Some(located(&declared.name, location, callee)?),
        (None, None) => None,
    };
    match found {
        Some(named) => {
            let named = below_declared(named, declared, callee)?;
            Ok(NamedArtifact { path, ..named })
        }
        None if declared.optional => Ok(NamedArtifact { name: declared.name.clone(), path, artifact: None }),
        None => Err(format!("inputs.artifacts.{} was not supplied", declared.name)),
    }
}

fn below_declared(named: NamedArtifact, declared: &Artifact, callee: &Scope<'_>) -> Result<NamedArtifact, String> {
    let kept = named.artifact.as_ref().and_then(|a| a.metadata.get(SUB_PATH).cloned());
    let mut named = below(named, declared, callee)?;
    if let (Some(kept), Some(reference)) = (kept, named.artifact.as_mut()) {
        reference.metadata.entry(SUB_PATH.to_string()).or_insert(kept);
    }
    Ok(named)
}
