//! The start of a run: are its parameters complete and admitted, and which is its first node.
//! It must never look at anything but the record.

use crate::arguments::{Argument, Given};
use crate::draft::Draft;
use crate::globals;
use crate::invoke::{self, Call};
use crate::scope::{Scope, Strictness, resolve};
use crate::state::State;
use crate::stop;
use alloc::boxed::Box;
use alloc::vec::Vec;
use model::artifact::{ArtifactRef, Content};
use model::event::Placement;
use model::node::NamedArtifact;
use model::plan::Location;
use model::{Event, Phase, Refusal, RunRecord};

pub(crate) fn submit(draft: &mut Draft<'_>, record: &RunRecord) -> Result<(), Refusal> {
    if draft.state().is_created() {
        return Err(Refusal::Exists);
    }
    check_parameters(record)?;
    draft.emit(Event::RunCreated(Box::new(record.clone())));
    begin(draft);
    // The document may say that it is stopped (`spec.shutdown`).
    match record.plan.shutdown {
        Some(strategy) => stop::shut_down(draft, strategy, "the workflow"),
        None => Ok(()),
    }
}

/// Invokes the entrypoint, unless the run waits for a person or for its locks.
pub(crate) fn begin(draft: &mut Draft<'_>) {
    let state = draft.state();
    if state.waits_for_person || state.waits_for_locks || !state.nodes.is_empty() {
        return;
    }
    let (given, name, entrypoint) = (given(state), state.record().name.clone(), state.plan().entrypoint);
    let call = Call {
        name: name.clone(),
        display_name: name.clone(),
        template: Some(entrypoint),
        boundary: None,
        place: Placement::Root,
        site: None,
        retried: false,
        hooked: false,
    };
    match invoke::bind(state, entrypoint, &given, &name, 0) {
        Ok(inputs) => invoke::invoke(draft, call, inputs),
        Err(reason) => invoke::add_ended(draft, call, Phase::Error, reason),
    };
}

fn check_parameters(record: &RunRecord) -> Result<(), Refusal> {
    let declared = &record.plan.arguments.parameters;
    for given in &record.parameters {
        let Some(parameter) = declared.iter().find(|p| p.name == given.name) else {
            return Err(Refusal::UnknownParameter(given.name.clone()));
        };
        if !parameter.allowed.is_empty() && !parameter.allowed.contains(&given.value) {
            return Err(Refusal::NotAllowed(given.name.clone(), given.value.clone()));
        }
    }
    let missing = declared.iter().find(|parameter| {
        let given = record.parameters.iter().any(|p| p.name == parameter.name);
        !given && parameter.value.is_none() && parameter.default.is_none()
    });
    missing.map_or(Ok(()), |parameter| Err(Refusal::MissingParameter(parameter.name.clone())))
}

/// The workflow's arguments, as the root template is given them.
pub(crate) fn given(state: &State) -> Given {
    let record = state.record();
    let parameters = globals::parameters(record).into_iter().map(|p| (p.name, Argument::Value(p.value))).collect();
    let scope = Scope::global(state);
    let declared = record.plan.arguments.artifacts.iter().filter_map(|artifact| {
        let content = match artifact.location.as_ref()? {
            Location::Raw(text) => Content::Raw(resolve(text, &scope, Strictness::Lenient).ok()?),
            Location::Key(text) => Content::Uri(resolve(text, &scope, Strictness::Lenient).ok()?),
        };
        let artifact_ref = ArtifactRef { content, bytes: 0, metadata: Default::default() };
        Some(NamedArtifact { name: artifact.name.clone(), path: Default::default(), artifact: Some(artifact_ref) })
    });
    let own = record.artifacts.iter().cloned();
    let artifacts: Vec<_> = own.chain(declared).map(|named| (named.name.clone(), Some(Some(named)))).collect();
    Given { parameters, artifacts }
}
