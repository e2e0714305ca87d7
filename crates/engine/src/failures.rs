//! `workflow.failures`: what failed before the exit handler began, as upstream quotes it.
//! It must never tell of the exit handler's own nodes.

use crate::globals::rfc3339;
use crate::state::State;
use alloc::string::String;
use expr::write_string;
use model::{NodeId, NodeKind};

/// A JSON list as a Go string literal (upstream: `strconv.Quote`, so that it can stand inside a JSON text).
pub(crate) fn quoted(state: &State) -> String {
    let mut out = String::new();
    write_string(&list(state), false, &mut out);
    out
}

fn list(state: &State) -> String {
    let until = state.exit.map_or(state.nodes.len(), NodeId::index);
    let run = &state.record().name;
    let mut out = String::new();
    for (index, node) in state.nodes.iter().enumerate().take(until) {
        if !node.phase.is_failed_or_error() || node.is_reset {
            continue;
        }
        let id = NodeId(index as u32);
        let template = state.template_of(id).map_or("", |template| template.name.as_str());
        let name = state.name(id);
        let pod = if node.kind == NodeKind::Pod {
            model::ids::argo_pod_name(run, &name, template)
        } else {
            model::ids::argo_node_id(run, &name)
        };
        out.push_str(if out.is_empty() { "[{" } else { ",{" });
        let finished = node.ended_at.map(rfc3339).unwrap_or_default();
        let fields = [
            ("displayName", &*state.display_name(id)),
            ("message", &*node.message),
            ("templateName", template),
            ("phase", node.phase.as_str()),
            ("podName", &pod),
            ("finishedAt", &finished),
        ];
        for (i, (name, value)) in fields.into_iter().enumerate() {
            out.push_str(if i == 0 { "" } else { "," });
            write_string(name, true, &mut out);
            out.push(':');
            write_string(value, true, &mut out);
        }
        out.push('}');
    }
    if out.is_empty() { String::from("null") } else { out + "]" }
}
