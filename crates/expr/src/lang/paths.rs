//! Which variables an expression names, read off its syntax tree.
//! It must never know types or values.

use std::sync::Arc;

use super::ast::{Id, Node, Tree};

/// The dotted paths of variables that a tree mentions: `steps['a-b'].outputs.x` is `steps.a-b.outputs.x`.
pub(crate) fn mentioned(tree: &Tree) -> Vec<String> {
    let mut inner = vec![false; tree.len()];
    for (_, node) in tree.all() {
        match node {
            Node::Member { node: base, property, .. } if matches!(tree.node(*property), Node::Str(_)) => {
                inner[*base] = true;
            }
            Node::Chain(base) => inner[*base] = true,
            _ => {}
        }
    }
    tree.all().filter(|(id, _)| !inner[*id]).filter_map(|(id, _)| path_of(tree, id)).collect()
}

/// The dotted path a node spells, if it is a variable or a constant member of one.
fn path_of(tree: &Tree, id: Id) -> Option<String> {
    let mut parts: Vec<Arc<str>> = Vec::new();
    let mut at = id;
    loop {
        match tree.node(at) {
            Node::Ident(name) => {
                parts.push(name.clone());
                parts.reverse();
                return Some(parts.join("."));
            }
            Node::Member { node, property, .. } => match tree.node(*property) {
                Node::Str(name) => {
                    parts.push(name.clone());
                    at = *node;
                }
                _ => return None,
            },
            Node::Chain(inner) => at = *inner,
            _ => return None,
        }
    }
}

/// The paths that must exist: variables and the constant members on them up to a `?.`, whose own operand may be
/// missing unless it is a variable. Each comes with the offset where it begins.
pub(crate) fn required(tree: &Tree) -> Vec<(usize, String)> {
    let mut declared = Vec::new();
    let mut continued = vec![false; tree.len()];
    let mut tolerated = vec![false; tree.len()];
    for (_, node) in tree.all() {
        match node {
            Node::Let { name, .. } => declared.push(name.clone()),
            Node::Member { node: base, optional: true, .. } => tolerated[*base] = true,
            Node::Member { node: base, property, .. } => {
                continued[*base] = matches!(tree.node(*property), Node::Str(_));
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    for (id, _) in tree.all() {
        if continued[id] {
            continue;
        }
        let Some((start, mut parts)) = required_path(tree, id) else { continue };
        if tolerated[id] && parts.len() > 1 {
            parts.pop();
        }
        if declared.contains(&parts[0]) {
            continue;
        }
        if &*parts[0] == "$env" {
            parts.truncate(1);
        }
        found.push((tree.offset(start), parts.join(".")));
    }
    found
}

fn required_path(tree: &Tree, id: Id) -> Option<(Id, Vec<Arc<str>>)> {
    let mut parts: Vec<Arc<str>> = Vec::new();
    let mut at = id;
    loop {
        match tree.node(at) {
            Node::Ident(name) => {
                parts.push(name.clone());
                parts.reverse();
                return Some((at, parts));
            }
            Node::Member { node, property, optional: false, .. } => {
                let Node::Str(name) = tree.node(*property) else { return None };
                parts.push(name.clone());
                at = *node;
            }
            _ => return None,
        }
    }
}
