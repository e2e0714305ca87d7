//! What a workflow asks of this machine and cannot have: told, because nothing is lowered in silence.
//! It must never change a request: that is the admission's.

use engine::quantity::{self, GPUS};
use executor::Machine;
use model::attempt::Amounts;
use model::plan::{Body, Leaf, Plan};

/// A notice for each template that asks for more than the machine has. Amounts behind tags are known only at run time: the
/// executor tells of those.
pub fn notices(plan: &Plan, machine: &Machine) -> Vec<String> {
    let leaves = plan.templates.iter().filter_map(|template| match &template.body {
        Body::Leaf(leaf) => Some((template.name.as_str(), leaf)),
        _ => None,
    });
    leaves.flat_map(|(name, leaf)| of_leaf(name, leaf, machine)).collect()
}

fn of_leaf(name: &str, leaf: &Leaf, machine: &Machine) -> Vec<String> {
    let mut asked = written(leaf);
    let devices = asked.gpus.take_if(|count| leaf.dynamic && *count > 0);
    let mut notices = executor::lowered(name, &asked, machine);
    notices.extend(devices.map(|_| {
        format!(
            "`{name}` is dynamic and gets no GPUs, because it gives its place back while it waits for its calls: ask for them in \
             the templates that it calls"
        )
    }));
    notices
}

/// What is written without tags.
fn written(leaf: &Leaf) -> Amounts {
    let asked = |resource: &str| {
        let text = leaf.resources.requests.get(resource).or_else(|| leaf.resources.limits.get(resource))?;
        if text.has_tags() { None } else { Some(text.as_str()) }
    };
    let gpus = GPUS.iter().filter_map(|name| quantity::whole(asked(name)?).ok()).reduce(u64::saturating_add);
    Amounts {
        cpu_millis: asked("cpu").and_then(|text| quantity::millis(text).ok()),
        memory_bytes: asked("memory").and_then(|text| quantity::whole(text).ok()),
        gpus: gpus.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
    }
}
