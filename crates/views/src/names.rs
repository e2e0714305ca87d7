//! Messages for people: where Argo's text holds the id of a node, the name that the user wrote.
//! It must never change what the Workflow object tells: its messages stay upstream's.

use crate::history::History;
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::cell::OnceCell;
use model::NodeId;
use model::ids::argo_node_id;

const BEFORE: &str = "child '";
const AFTER: &str = "' failed";

/// The nodes of a run by Argo's id, looked up only where a message needs it.
pub struct Names<'a> {
    history: &'a History,
    by_id: OnceCell<BTreeMap<String, NodeId>>,
}

impl<'a> Names<'a> {
    pub fn of(history: &'a History) -> Self {
        Self { history, by_id: OnceCell::new() }
    }

    /// The text, `child 'ID' failed` with the display name of the child.
    pub fn tell<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some((start, rest)) = text.split_once(BEFORE) else { return text.into() };
        let Some((id, end)) = rest.split_once(AFTER) else { return text.into() };
        match self.by_id().get(id) {
            Some(node) => format!("{start}{BEFORE}{}{AFTER}{end}", self.history.node(*node).display_name).into(),
            None => text.into(),
        }
    }

    fn by_id(&self) -> &BTreeMap<String, NodeId> {
        let run = self.history.name();
        self.by_id.get_or_init(|| self.history.current().map(|node| (argo_node_id(run, &node.name), node.id)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use model::event::{NodeAdded, Placement, Recorded};
    use model::{Event, NodeKind, Phase, Time};

    #[test]
    fn a_failed_child_is_called_as_it_was_written() {
        let added = NodeAdded {
            node: NodeId(0),
            name: "r[0].train".into(),
            display_name: "train".into(),
            kind: NodeKind::Pod,
            phase: Phase::Running,
            message: String::new(),
            template: None,
            boundary: None,
            place: Placement::Root,
            site: None,
            inputs: Default::default(),
            retried: false,
            hooked: false,
        };
        let history = History::fold(&[Recorded { at: Time(0), event: Event::NodeAdded(Box::new(added)) }]);
        let names = Names::of(&history);
        let id = argo_node_id(history.name(), "r[0].train");
        assert_eq!(names.tell(&format!("child '{id}' failed")), "child 'train' failed");
        assert_eq!(names.tell("child 'other' failed"), "child 'other' failed");
        assert_eq!(names.tell("exit code 1"), "exit code 1");
    }
}
