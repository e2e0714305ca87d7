//! What tasks wrote and no output declares, for people: a few names, a count, and how to get at them.
//! It must never show more of it than helps.

use super::plain::plain;
use super::summary::quoted;
use super::time::bytes;
use model::attempt::Written;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use views::{History, NodeView};

/// Names that a line shows.
const NAMES_MAX: usize = 3;
/// Nodes that are shown.
const NODES_MAX: usize = 10;

/// `3 files (12.0 MiB): /model.bin, /log.txt and 1 more`.
pub fn names(written: &Written) -> String {
    let shown = &written.files[..written.files.len().min(NAMES_MAX)];
    let rest = written.count.saturating_sub(shown.len() as u64);
    let names = shown.iter().map(|file| plain(&file.path).into_owned()).collect::<Vec<_>>().join(", ");
    let least = if written.more { "more than " } else { "" };
    let files = if written.count == 1 { "file" } else { "files" };
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{least}{} {files} ({}): {names}{more}", written.count, bytes(written.bytes))
}

/// The command that copies the largest of them here.
pub fn command(history: &History, node: &NodeView, written: &Written) -> String {
    let path = written.files.first().map_or("/PATH", |file| file.path.as_str());
    let called_so = history.current().filter(|other| other.display_name == node.display_name).count();
    let name = if called_so == 1 { &node.display_name } else { &node.name };
    format!("towpath cp {} .", quoted(&format!("{}:{name}:{path}", history.name())))
}

/// The section of `get`. `kept`: attempts whose files are still there.
pub fn section(history: &History, kept: &BTreeSet<(u32, u32)>, out: &mut String) {
    let wrote = history.current().filter_map(|node| node.written().map(|written| (node, written)));
    let wrote: Vec<(&NodeView, &Written)> = wrote.collect();
    if wrote.is_empty() {
        return;
    }
    out.push_str("\nWritten and not declared:\n");
    for (node, written) in wrote.iter().take(NODES_MAX) {
        let _ = writeln!(out, "  {}  {}", plain(&node.display_name), names(written));
    }
    if wrote.len() > NODES_MAX {
        let rest = wrote.len() - NODES_MAX;
        let _ = writeln!(out, "  and {rest} more tasks: towpath get {} -o json", history.name());
    }
    let is_kept = |node: &NodeView| node.attempts.iter().any(|attempt| kept.contains(&(node.id.0, attempt.n)));
    let _ = match wrote.iter().find(|(node, _)| is_kept(node)) {
        Some((node, written)) => writeln!(out, "  kept for a day: {}", command(history, node, written)),
        None => writeln!(out, "  not kept any more"),
    };
}
