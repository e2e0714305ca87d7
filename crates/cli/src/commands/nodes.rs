//! Nodes of one run: found by the names that people know them by, and what they handed out.
//! It must never change anything.

use crate::exit_codes::Fault;
use crate::render::plain::plain;
use crate::render::time::bytes;
use crate::runs::nearest;
use model::Content;
use model::ids::argo_node_id;
use std::fmt::Write as _;
use views::{History, NodeView};

/// The node that is meant: by its name, its Argo id, its name without the run's, its display name if that is unique.
///
/// # Errors
/// None, or several: which.
pub fn find<'a>(history: &'a History, wanted: &str) -> Result<&'a NodeView, Fault> {
    let run = history.name();
    let full = |node: &&NodeView| {
        *node.name == *wanted
            || node.name.strip_prefix(run).and_then(|rest| rest.strip_prefix('.')) == Some(wanted)
            || argo_node_id(run, &node.name) == wanted
    };
    if let Some(node) = history.current().find(full) {
        return Ok(node);
    }
    let display: Vec<&NodeView> = history.current().filter(|node| *node.display_name == *wanted).collect();
    match display[..] {
        [node] => Ok(node),
        [] => {
            let names = history.current().flat_map(|node| [&*node.display_name, &*node.name]);
            let help = nearest(wanted, names).map_or_else(
                || format!("`towpath get {run}` shows what there is"),
                |near| format!("did you mean '{near}'?"),
            );
            Err(Fault::usage(format!("no node '{wanted}' in {run}; {help}")))
        }
        _ => {
            let names: Vec<&str> = display.iter().take(8).map(|node| &*node.name).collect();
            Err(Fault::usage(format!("'{wanted}' is the name of {} nodes: {}", display.len(), names.join(", "))))
        }
    }
}

/// Leaves at or below a node.
pub fn leaves<'a>(history: &'a History, top: Option<&NodeView>) -> Vec<&'a NodeView> {
    let mut inside = vec![top.is_none(); history.nodes.len()];
    if let Some(top) = top {
        inside[top.id.index()] = true;
    }
    // A container is always older than what it holds.
    for node in history.current() {
        if history.container(node).is_some_and(|id| inside[id.index()]) {
            inside[node.id.index()] = true;
        }
    }
    history.current().filter(|node| node.is_leaf() && inside[node.id.index()]).collect()
}

/// The artifacts that leaves handed out.
pub fn artifacts(history: &History, out: &mut String) {
    const MAX: usize = 20;
    let named = history.current().filter(|node| node.is_leaf());
    let mut all = named.flat_map(|node| node.outputs.artifacts.iter().map(move |artifact| (node, artifact)));
    let mut first = true;
    for (node, named) in all.by_ref().take(MAX) {
        let Some(artifact) = &named.artifact else { continue };
        let (Content::Blob(digest) | Content::Tree(digest)) = &artifact.content else { continue };
        let digest = digest.to_string();
        if std::mem::take(&mut first) {
            out.push_str("\nArtifacts:\n");
        }
        let name = format!("{}/{}", node.display_name, named.name);
        let _ = writeln!(out, "  {}  {}  {}", plain(&name), bytes(artifact.bytes), &digest[..12]);
    }
    let rest = all.count();
    if rest > 0 {
        let _ = writeln!(out, "  and {rest} more: towpath get {} -o json", history.name());
    }
}
