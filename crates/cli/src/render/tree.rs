//! The tree of a run's nodes as lines: step groups are dissolved, long loops and what lies very deep are counted.
//! It must never cost more for a large run than what changed: `Index` is kept up beside the history.

use super::depths::{Deep, Depths};
use super::plain::plain;
use super::time::duration;
use super::used::used;
use model::{NodeId, NodeKind, Phase, Time};
use std::collections::BTreeSet;
use views::{History, Names, NodeView};

/// Groups with more children are counted; only what runs or failed is shown of them.
const CHILDREN_MAX: usize = 10;
/// Of a counted group: running and failed children that are shown.
const SHOWN_MAX: usize = 3;

/// Children and counts of every node, kept up event by event.
#[derive(Default)]
pub struct Index {
    nodes: Vec<Below>,
    phases: Vec<Phase>,
    depths: Depths,
    /// As the history's.
    reopened: u32,
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
    /// What is done without a fault is only counted.
    Open,
}

/// How lines look.
#[derive(Clone, Copy)]
pub struct Look {
    pub detail: Detail,
    pub color: bool,
    /// What leaves used.
    pub used: bool,
    /// For nodes that have not ended.
    pub now: Time,
}

impl Index {
    /// Takes over what is new in the history since the last time. `touched`: nodes whose phase may have changed.
    pub fn update(&mut self, history: &History, touched: impl IntoIterator<Item = NodeId>) {
        if self.reopened != history.reopened {
            // What hung somewhere may hang nowhere now.
            *self = Self { reopened: history.reopened, ..Self::default() };
        }
        for node in history.nodes.iter().skip(self.nodes.len()) {
            self.nodes.push(Below::default());
            self.phases.push(Phase::Pending);
            self.depths.add(history, node);
            if let Some(parent) = history.container(node).filter(|_| !node.is_reset) {
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
        self.depths.ended(node);
        let Some(parent) = history.container(node).filter(|_| !node.is_reset) else { return };
        let below = &mut self.nodes[parent.index()];
        below.active.remove(&node.id);
        match node.phase {
            Phase::Failed | Phase::Error => below.failed.push(node.id),
            Phase::Succeeded => below.succeeded += 1,
            _ => below.skipped += 1,
        }
    }
}

/// The lines below (and with) the root.
pub fn lines(history: &History, index: &Index, look: Look) -> Vec<String> {
    let mut out = Vec::new();
    if !history.nodes.is_empty() {
        let drawing = Drawing { history, index, look, names: Names::of(history) };
        drawing.branch(NodeId::ROOT, "", "", &mut out);
    }
    out
}

/// One drawing of the tree.
struct Drawing<'a> {
    history: &'a History,
    index: &'a Index,
    look: Look,
    names: Names<'a>,
}

impl Drawing<'_> {
    fn branch(&self, id: NodeId, lead: &str, below: &str, out: &mut Vec<String>) {
        let Self { history, index, look, .. } = self;
        let node = history.node(id);
        out.push(format!("{lead}{}", self.line(node)));
        let rows = match index.depths.below(id) {
            _ if !is_open(node, look.detail) => Vec::new(),
            Some(deep) => deep_rows(history, &index.depths, id, deep, look.detail),
            None => rows(history, index, id, look.detail),
        };
        let count = rows.len();
        for (at, row) in rows.into_iter().enumerate() {
            let (tick, stem) = if at + 1 == count { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let (tick, stem) = (format!("{below}{tick}"), format!("{below}{stem}"));
            match row {
                Row::Node(child) => self.branch(child, &tick, &stem, out),
                Row::Deep(child) => {
                    let level = format!("{}:", index.depths.level(child));
                    let line = self.line(history.node(child));
                    out.push(format!("{tick}{} {line}", paint(look.color, "2", &level)));
                }
                Row::Count(text) => out.push(format!("{tick}{}", paint(look.color, "2", &text))),
            }
        }
    }

    /// One node: sign, name, phase where it is not plain, duration, message.
    fn line(&self, node: &NodeView) -> String {
        let look = self.look;
        let (sign, tint) = sign(node.phase);
        let name = plain(if node.id == NodeId::ROOT { self.history.name() } else { &node.display_name });
        let mut text = format!("{} {name}", paint(look.color, tint, sign));
        if !matches!(node.phase, Phase::Succeeded | Phase::Running) {
            text.push_str(&format!("  {}", paint(look.color, tint, node.phase.as_str())));
        }
        if let Some(spent) = spent(node, look.now) {
            text.push_str(&format!("  {}", paint(look.color, "2", &spent)));
        }
        if look.used
            && let Some(used) = used(self.history, node)
        {
            text.push_str(&format!("  {}", paint(look.color, "2", &used)));
        }
        if !node.message.is_empty() {
            let message = self.names.tell(&node.message);
            let first = plain(message.lines().next().unwrap_or_default());
            text.push_str(&format!("  {}", paint(look.color, "2", &first)));
        }
        text
    }
}

/// A retry is opened only while it is of interest: one try that succeeded is the node itself.
fn is_open(node: &NodeView, detail: Detail) -> bool {
    match detail {
        Detail::All | Detail::Loops => {
            node.kind != NodeKind::Retry || node.phase != Phase::Succeeded || detail == Detail::All
        }
        Detail::Closed | Detail::Open => !matches!(node.phase, Phase::Succeeded | Phase::Skipped | Phase::Omitted),
    }
}

/// What stands below a node: nodes, and counts of what is not shown.
enum Row {
    Node(NodeId),
    /// One that lies further below, with its level; not opened.
    Deep(NodeId),
    Count(String),
}

/// The children as they are to be shown.
fn rows(history: &History, index: &Index, id: NodeId, detail: Detail) -> Vec<Row> {
    let mut rows = all_rows(history, index, id, detail);
    if detail == Detail::Open {
        let is_done = |row: &Row| match row {
            Row::Node(id) => matches!(history.node(*id).phase, Phase::Succeeded | Phase::Skipped | Phase::Omitted),
            Row::Deep(_) | Row::Count(_) => false,
        };
        let before = rows.len();
        rows.retain(|row| !is_done(row));
        if rows.len() < before {
            rows.insert(0, Row::Count(format!("{} done", before - rows.len())));
        }
    }
    rows
}

/// What stands for everything below a node where that lies too deep to be indented: how much it is, and what runs or failed of it.
fn deep_rows(history: &History, depths: &Depths, id: NodeId, deep: &Deep, detail: Detail) -> Vec<Row> {
    if detail == Detail::All {
        let is_shown = |node: &&NodeView| depths.top_of(node.id) == Some(id) && node.kind != NodeKind::StepGroup;
        return history.current().filter(is_shown).map(|node| Row::Deep(node.id)).collect();
    }
    let counts = told(&[
        (deep.succeeded as usize, "succeeded"),
        (deep.failed.len(), "failed"),
        (deep.skipped as usize, "skipped"),
        (deep.active.len(), "under way"),
    ]);
    let running = deep.active.iter().filter(|id| history.node(**id).phase == Phase::Running);
    let mut rows = vec![Row::Count(format!("… {} levels below: {counts}", deep.levels))];
    rows.extend(deep.failed.iter().take(SHOWN_MAX).chain(running.take(SHOWN_MAX)).map(|id| Row::Deep(*id)));
    rows
}

fn told(counts: &[(usize, &str)]) -> String {
    let told: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    told.join(", ")
}

/// The children; those of step groups stand in the place of their group.
fn all_rows(history: &History, index: &Index, id: NodeId, detail: Detail) -> Vec<Row> {
    let below = &index.nodes[id.index()];
    let is_group = |id: &NodeId| history.node(*id).kind == NodeKind::StepGroup;
    if history.node(id).kind == NodeKind::Steps {
        let groups = below.children.iter();
        let inside =
            |id: &NodeId| if is_group(id) { all_rows(history, index, *id, detail) } else { vec![Row::Node(*id)] };
        return groups.flat_map(inside).collect();
    }
    // The tasks of a DAG are all shown, however many: they have been written by hand.
    if detail == Detail::All || below.children.len() <= CHILDREN_MAX || history.node(id).kind == NodeKind::Dag {
        return below.children.iter().map(|id| Row::Node(*id)).collect();
    }
    let running = below.active.iter().filter(|id| history.node(**id).phase == Phase::Running);
    let mut shown: Vec<NodeId> = below.failed.iter().take(SHOWN_MAX).chain(running.take(SHOWN_MAX)).copied().collect();
    shown.sort_unstable();
    let mut rows: Vec<Row> = shown.into_iter().map(Row::Node).collect();
    rows.push(Row::Count(count(history, below, id)));
    rows
}

/// `9 succeeded, 1 failed, 2 under way of 1000`, after the name of the step.
fn count(history: &History, below: &Below, id: NodeId) -> String {
    let counts = [
        (below.succeeded as usize, "succeeded"),
        (below.failed.len(), "failed"),
        (below.skipped as usize, "skipped"),
        (below.active.len(), "under way"),
    ];
    let told = told(&counts);
    let first = below.children.first().map_or("", |id| &*history.node(*id).display_name);
    let name = plain(first.split_once('(').map_or(first, |(name, _)| name));
    let items = history.node(id).items as usize;
    let of = if items > below.children.len() { format!(" of {items}") } else { String::new() };
    format!("{name} × {}: {told}{of}", below.children.len())
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

#[cfg(test)]
mod tests {
    use super::*;
    use model::Event;
    use model::event::{Items, LoopOpened, NodeAdded, NodeEnded, Placement, Recorded};
    use model::{Outputs, TemplateId};

    fn added(node: u32, name: &str, kind: NodeKind, place: Placement, phase: Phase) -> Recorded {
        let added = NodeAdded {
            node: NodeId(node),
            name: format!("r.{name}"),
            display_name: name.into(),
            kind,
            phase,
            message: String::new(),
            template: Some(TemplateId(0)),
            boundary: (node > 0).then_some(NodeId::ROOT),
            place,
            site: None,
            inputs: Default::default(),
            retried: false,
            hooked: false,
        };
        Recorded { at: Time(0), event: Event::NodeAdded(Box::new(added)) }
    }

    fn ended(node: u32, phase: Phase) -> Recorded {
        let ended = NodeEnded { node: NodeId(node), phase, message: String::new(), outputs: Outputs::default() };
        Recorded { at: Time(0), event: Event::NodeEnded(Box::new(ended)) }
    }

    /// Steps: a loop of `count`, of which the second failed and the last runs, then one plain step.
    fn run(count: u32) -> Vec<Recorded> {
        let under = |id| Placement::Under(NodeId(id));
        let mut events = vec![
            added(0, "r", NodeKind::Steps, Placement::Root, Phase::Running),
            added(1, "[0]", NodeKind::StepGroup, under(0), Phase::Running),
        ];
        let items = Items::Sequence { first: 0, step: 1, count, format: String::new() };
        events.push(Recorded {
            at: Time(0),
            event: Event::LoopOpened(Box::new(LoopOpened { node: NodeId(1), task: 0, items })),
        });
        for index in 0..count {
            events.push(added(2 + index, &format!("a({index}:{index})"), NodeKind::Pod, under(1), Phase::Running));
        }
        for index in 0..count - 1 {
            events.push(ended(2 + index, if index == 1 { Phase::Failed } else { Phase::Succeeded }));
        }
        events.push(added(2 + count, "[1]", NodeKind::StepGroup, Placement::After(vec![NodeId(1)]), Phase::Running));
        events.push(added(3 + count, "b", NodeKind::Pod, under(2 + count), Phase::Pending));
        events
    }

    fn drawn(events: &[Recorded], detail: Detail) -> Vec<String> {
        let (mut history, mut index) = (History::default(), Index::default());
        for event in events {
            history.apply(event);
            let touched = match &event.event {
                Event::NodeEnded(ended) => Some(ended.node),
                _ => None,
            };
            index.update(&history, touched);
        }
        let lines = lines(&history, &index, Look { detail, color: false, used: false, now: Time(0) });
        lines.iter().map(|line| line.replace("  0.0s", "")).collect()
    }

    #[test]
    fn a_long_loop_is_counted_and_what_matters_of_it_is_shown() {
        let shown = drawn(&run(20), Detail::Loops);
        assert_eq!(
            shown,
            [
                "● ",
                "├─ ✖ a(1:1)  Failed",
                "├─ ● a(19:19)",
                "├─ a × 20: 18 succeeded, 1 failed, 1 under way",
                "└─ ◷ b  Pending"
            ]
        );
        assert_eq!(drawn(&run(20), Detail::All).len(), 22);
        assert_eq!(drawn(&run(5), Detail::Loops).len(), 7);
    }

    /// Steps that call themselves so often; each level has a task before that, which succeeded, and the last one runs.
    fn recursion(levels: u32) -> Vec<Recorded> {
        let under = |id| Placement::Under(NodeId(id));
        let mut events = vec![added(0, "r", NodeKind::Steps, Placement::Root, Phase::Running)];
        for level in 0..levels {
            let at = 4 * level;
            events.push(added(at + 1, "[0]", NodeKind::StepGroup, under(at), Phase::Running));
            events.push(added(at + 2, "do", NodeKind::Pod, under(at + 1), Phase::Running));
            if level + 1 < levels {
                events.push(ended(at + 2, Phase::Succeeded));
                let after = Placement::After(vec![NodeId(at + 1)]);
                let mut group = added(at + 3, "[1]", NodeKind::StepGroup, after, Phase::Running);
                let Event::NodeAdded(added_group) = &mut group.event else { panic!("a node") };
                added_group.boundary = Some(NodeId(at));
                events.push(group);
                events.push(added(at + 4, "again", NodeKind::Steps, under(at + 3), Phase::Running));
            }
        }
        events
    }

    #[test]
    fn ten_thousand_levels_are_told_in_a_few_lines_and_all_of_them_without_indentation() {
        let events = recursion(10_000);
        let shown = drawn(&events, Detail::Loops);
        assert_eq!(shown.len(), 2 * 16 + 3);
        let stem = " ".repeat(3 * 15);
        assert_eq!(
            shown[31..],
            [
                format!("{stem}├─ ✔ do"),
                format!("{stem}└─ ● again"),
                format!("{stem}   ├─ … 9984 levels below: 9983 succeeded, 1 under way"),
                format!("{stem}   └─ 10000: ● do"),
            ]
        );
        let all = drawn(&events, Detail::All);
        assert_eq!(all.len(), 20_000);
        assert!(all.iter().all(|line| line.chars().count() < 80));
        // A few levels more than that are indented.
        let few = drawn(&recursion(24), Detail::Loops);
        assert_eq!((few.len(), few[47].trim_start()), (48, "└─ ● do"));
    }

    #[test]
    fn what_a_task_wrote_does_not_reach_the_terminal_raw() {
        let mut events = run(1);
        if let Event::NodeAdded(added) = &mut events[0].event {
            added.message = "stat /tmp/\x1b]0;x\x07: no such file".into();
        }
        let bad = "b\x1b[2J\u{9b}";
        events.push(added(5, bad, NodeKind::Pod, Placement::Under(NodeId(3)), Phase::Failed));
        let shown = drawn(&events, Detail::All).join("\n");
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        assert!(shown.contains("b\\x1b[2J\\x9b") && shown.contains("/tmp/\\x1b]0;x\\x07: no such file"), "{shown}");
    }

    #[test]
    fn on_a_small_screen_what_is_done_is_counted() {
        assert_eq!(
            drawn(&run(5), Detail::Open),
            ["● ", "├─ 3 done", "├─ ✖ a(1:1)  Failed", "├─ ● a(4:4)", "└─ ◷ b  Pending"]
        );
    }
}
