//! Names of things. Inside a run everything is a dense number; outside, a run is known by its id.
//! It must never know how an id is chosen: ids enter the engine as data.

use alloc::format;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A run's key for ever: a UUID version 7 as text (Argo's `metadata.uid`). Its name may be used again, the id never.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

/// A node of one run: its index in the order of creation. Argo's FNV name is only a name, never a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

/// A template of one plan: its index in `Plan::templates`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TemplateId(pub u32);

impl NodeId {
    /// The root node: the invocation of the entrypoint.
    pub const ROOT: Self = Self(0);

    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl TemplateId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One launch of a leaf node. `n` grows only when an attempt was lost or its node reopened, and is never used again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    pub run: RunId,
    pub node: NodeId,
    pub n: u32,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for AttemptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.run, self.node.0, self.n)
    }
}

/// Argo's node id: the workflow's name for the root, else `<workflow>-<FNV-1a 32 of the node's name>`
/// (`Workflow.NodeID`).
pub fn argo_node_id(workflow: &str, node: &str) -> String {
    if workflow == node { workflow.into() } else { format!("{workflow}-{}", fnv32a(node.as_bytes())) }
}

/// Argo's pod name, version 2: `<workflow>-<template>-<hash>`, the prefix cut so that the whole has at most 253 bytes
/// (`util.GeneratePodName`). For a leaf at the root the hash still stands.
pub fn argo_pod_name(workflow: &str, node: &str, template: &str) -> String {
    let prefix = if workflow == node {
        return workflow.into();
    } else if template.is_empty() {
        String::from(workflow)
    } else {
        format!("{workflow}-{template}")
    };
    let hash = fnv32a(node.as_bytes());
    format!("{}-{hash}", cut(&prefix, POD_PREFIX_BYTES_MAX))
}

const POD_PREFIX_BYTES_MAX: usize = 253 - 10 - 1;

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// FNV-1a, 32 bit (<http://www.isthe.com/chongo/tech/comp/fnv/>).
pub fn fnv32a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
