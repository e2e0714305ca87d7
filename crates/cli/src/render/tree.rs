//! The tree of a run's nodes as lines: step groups are dissolved, long loops are counted.
//! It must never cost more for a large run than what changed: `Index` is kept up beside the history.

use super::time::duration;
use model::{NodeId, NodeKind, Phase, Time};
use std::collections::BTreeSet;
use views::{History, NodeView};

/// Groups with more children are counted; only what runs or failed is shown of them.
const CHILDREN_MAX: usize = 10;
/// Of a counted group: running and failed children that are shown.
const SHOWN_MAX: usize = 3;

/// Children and counts of every node, kept up event by event.
#[derive(Default)]
pub struct Index {
    nodes: Vec<Below>,
    phases: Vec<Phase>,
}

#[derive(Clone, Default)]
struct Below {
    children: Vec<NodeId>,
    active: BTreeSet<NodeId>,
    failed: Vec<NodeId>,
    succeeded: u32,
    skipped: u32,
}

/// How much of the tree is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Everything, long loops too.
    All,
    /// Long loops are counted.
    Loops,
    /// What succeeded is not opened.
    Closed,
}

/// How lines look.
#[derive(Clone, Copy)]
pub struct Look {
    pub detail: Detail,
    pub color: bool,
    /// For nodes that have not ended.
    pub now: Time,
}

impl Index {
    /// Takes over what is new in the history since the last time. `touched`: nodes whose phase may have changed.
    pub fn update(&mut self, history: &History, touched: impl IntoIterator<Item = NodeId>) {
        for node in history.nodes.iter().skip(self.nodes.len()) {
            self.nodes.push(Below::default());
            self.phases.push(Phase::Pending);
            if let Some(parent) = history.container(node) {
                let below = &mut self.nodes[parent.index()];
                below.children.push(node.id);
                below.active.insert(node.id);
            }
            self.touch(history, node);
        }
        for id in touched {
            if let Some(node) = history.nodes.get(id.index()) {
                self.touch(history, node);
            }
        }
    }

    fn touch(&mut self, history: &History, node: &NodeView) {
        let before = std::mem::replace(&mut self.phases[node.id.index()], node.phase);
        if before == node.phase || !node.phase.is_fulfilled() {
            return;
        }
        let Some(parent) = history.container(node) else { return };
        let below = &mut self.nodes[parent.index()];
        below.active.remove(&node.id);
        match node.phase {
            Phase::Failed | Phase::Error => below.failed.push(node.id),
            Phase::Succeeded => below.succeeded += 1,
            _ => below.skipped += 1,
        }
    }

    /// Children as they are shown: those of step groups stand in the place of their group.
    fn shown(&self, history: &History, id: NodeId) -> Vec<NodeId> {
        let mut shown = Vec::new();
        for child in &self.nodes[id.index()].children {
            if history.node(*child).kind == NodeKind::StepGroup {
                shown.extend(self.nodes[child.index()].children.iter().copied());
            } else {
                shown.push(*child);
            }
        }
        shown
    }

    fn size(&self, history: &History, id: NodeId) -> usize {
        let children = &self.nodes[id.index()].children;
        let groups = children.iter().filter(|child| history.node(**child).kind == NodeKind::StepGroup);
        children.len() + groups.map(|group| self.nodes[group.index()].children.len()).sum::<usize>()
    }
}

/// The lines below (and with) the root.
pub fn lines(history: &History, index: &Index, look: Look) -> Vec<String> {
    let mut out = Vec::new();
    if !history.nodes.is_empty() {
        branch(history, index, look, NodeId::ROOT, "", "", &mut out);
    }
    out
}

fn branch(history: &History, index: &Index, look: Look, id: NodeId, lead: &str, below: &str, out: &mut Vec<String>) {
    let node = history.node(id);
    out.push(format!("{lead}{}", line(history, node, look)));
    let children = if is_open(node, look.detail) { Rows::of(history, index, id, look.detail) } else { Rows::default() };
    let count = children.nodes.len();
    for (at, child) in children.nodes.into_iter().enumerate() {
        let last = at + 1 == count && children.rest.is_none();
        let (tick, stem) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        branch(history, index, look, child, &format!("{below}{tick}"), &format!("{below}{stem}"), out);
    }
    if let Some(rest) = children.rest {
        out.push(format!("{below}└─ {}", paint(look.color, "2", &rest)));
    }
}

/// A retry is opened only while it is of interest: one try that succeeded is the node itself.
fn is_open(node: &NodeView, detail: Detail) -> bool {
    match detail {
        Detail::All | Detail::Loops => node.kind != NodeKind::Retry || node.phase != Phase::Succeeded || detail == Detail::All,
        Detail::Closed => !matches!(node.phase, Phase::Succeeded | Phase::Skipped | Phase::Omitted),
    }
}

/// What is shown below a node, and the count of what is not.
#[derive(Default)]
struct Rows {
    nodes: Vec<NodeId>,
    rest: Option<String>,
}

impl Rows {
    fn of(history: &History, index: &Index, id: NodeId, detail: Detail) -> Self {
        if detail == Detail::All || index.size(history, id) <= CHILDREN_MAX {
            return Self { nodes: index.shown(history, id), rest: None };
        }
        let children = &index.nodes[id.index()].children;
        let groups = children.iter().filter(|child| history.node(**child).kind == NodeKind::StepGroup);
        let parts: Vec<&Below> = std::iter::once(id).chain(groups.copied()).map(|id| &index.nodes[id.index()]).collect();
        let is_group = |id: &NodeId| history.node(*id).kind == NodeKind::StepGroup;
        let some = |of: &dyn Fn(&Below) -> Vec<NodeId>| -> Vec<NodeId> {
            let found = parts.iter().flat_map(|below| of(below)).filter(|id| !is_group(id));
            found.take(SHOWN_MAX).collect()
        };
        let mut nodes = some(&|below| below.failed.iter().take(SHOWN_MAX + 1).copied().collect());
        let running = |below: &Below| -> Vec<NodeId> {
            let running = below.active.iter().filter(|id| history.node(**id).phase == Phase::Running);
            running.take(SHOWN_MAX + 1).copied().collect()
        };
        nodes.extend(some(&running));
        nodes.sort_unstable();
        // Groups count among the children of their steps node; their own end says nothing here.
        let sum = |count: fn(&Below) -> usize| parts.iter().map(|below| count(below)).sum::<usize>();
        let groups_done = children.iter().filter(|id| is_group(id) && history.node(**id).phase == Phase::Succeeded).count();
        let groups_open = children.iter().filter(|id| is_group(id) && !history.node(**id).phase.is_fulfilled()).count();
        let counts = [
            (sum(|b| b.succeeded as usize) - groups_done, "succeeded"),
            (sum(|b| b.failed.len()), "failed"),
            (sum(|b| b.skipped as usize), "skipped"),
            (sum(|b| b.active.len()) - groups_open, "under way"),
        ];
        let told: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        let opened = parts.iter().map(|_| 0).sum::<usize>() + history.node(id).items as usize;
        let of = if opened > 0 { format!(" of {opened}") } else { String::new() };
        Self { nodes, rest: Some(format!("{}{of}", told.join(", "))) }
    }
}

/// One node: sign, name, phase where it is not plain, duration, message.
fn line(history: &History, node: &NodeView, look: Look) -> String {
    let (sign, tint) = sign(node.phase);
    let name = if node.id == NodeId::ROOT { history.name() } else { &node.display_name };
    let mut text = format!("{} {name}", paint(look.color, tint, sign));
    if !matches!(node.phase, Phase::Succeeded | Phase::Running) {
        text.push_str(&format!("  {}", paint(look.color, tint, node.phase.as_str())));
    }
    if let Some(spent) = spent(node, look.now) {
        text.push_str(&format!("  {}", paint(look.color, "2", &spent)));
    }
    if !node.message.is_empty() {
        let first = node.message.lines().next().unwrap_or_default();
        text.push_str(&format!("  {}", paint(look.color, "2", first)));
    }
    text
}

/// How long a node ran, or runs.
pub fn spent(node: &NodeView, now: Time) -> Option<String> {
    let started = node.started_at?;
    if matches!(node.phase, Phase::Skipped | Phase::Omitted | Phase::Pending) {
        return None;
    }
    Some(duration(node.ended_at.unwrap_or(now).since_us(started)))
}

fn sign(phase: Phase) -> (&'static str, &'static str) {
    match phase {
        Phase::Succeeded => ("✔", "32"),
        Phase::Failed => ("✖", "31"),
        Phase::Error => ("⚠", "31"),
        Phase::Running => ("●", "36"),
        Phase::Pending => ("◷", "33"),
        Phase::Skipped | Phase::Omitted => ("○", "2"),
    }
}

/// Text in a colour (SGR code), or plain.
pub fn paint(color: bool, code: &str, text: &str) -> String {
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
}
