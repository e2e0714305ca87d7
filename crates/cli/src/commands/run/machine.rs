//! What a workflow asks of this machine and cannot have: told, because nothing is lowered in silence.
//! It must never change a request: that is the admission's.

use engine::quantity;
use executor::Machine;
use model::plan::{Body, Leaf, Plan};

/// A notice for each template that asks for more than the machine has. Amounts behind tags are known only at run time.
pub fn notices(plan: &Plan, machine: &Machine) -> Vec<String> {
    let leaves = plan.templates.iter().filter_map(|template| match &template.body {
        Body::Leaf(leaf) => Some((template.name.as_str(), leaf)),
        _ => None,
    });
    leaves.flat_map(|(name, leaf)| of_leaf(name, leaf, machine)).collect()
}

fn of_leaf(name: &str, leaf: &Leaf, machine: &Machine) -> Vec<String> {
    let asked = |resource: &str| {
        let text = leaf.resources.requests.get(resource).or_else(|| leaf.resources.limits.get(resource))?;
        (!text.has_tags()).then_some(text.as_str())
    };
    let (cpus, gpus) = (u64::from(machine.cpus), u64::from(machine.gpus));
    let has = [
        ("cpu", cpus * 1000, format!("{cpus}")),
        ("memory", machine.memory_bytes.saturating_mul(1000), format!("{} MiB", machine.memory_bytes >> 20)),
        ("nvidia.com/gpu", gpus * 1000, format!("{gpus}")),
    ];
    let too_much = has.iter().filter_map(|(resource, millis, told)| {
        let text = asked(resource)?;
        let more = quantity::millis(text).is_ok_and(|asked| asked > *millis);
        more.then(|| {
            format!("`{name}` asks for {resource} {text}; this machine has {told}: the request is lowered to that")
        })
    });
    too_much.collect()
}
