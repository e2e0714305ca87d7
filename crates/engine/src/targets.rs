//! The targets of a DAG: the tasks that it is run for (`dag.target`, else all that nothing depends on).
//! It must never fail: unknown names are refused by the front end.

use crate::scope::{Scope, Strictness, resolve};
use alloc::vec::Vec;
use model::NodeId;

/// Indices of the target tasks of the DAG node, in the order in which they are named.
pub(crate) fn of(scope: &Scope<'_>, dag: NodeId) -> Vec<u32> {
    let (Some(body), Some(graph)) = (scope.state.dag_of(dag), scope.state.graph_of(dag)) else { return Vec::new() };
    let text = resolve(&body.target, scope, Strictness::Lenient).unwrap_or_default();
    let named: Vec<u32> = text.split_whitespace().filter_map(|name| graph.index.get(name).copied()).collect();
    if named.is_empty() { graph.leaves() } else { named }
}
