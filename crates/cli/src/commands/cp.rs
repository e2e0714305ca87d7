//! `cp`: files that a task wrote, declared or not, out of a run.
//! It must never change what is kept, nor leave something half-written at the destination.

use super::nodes;
use crate::exit_codes::{Done, Fault, unread};
use crate::render::plain::plain;
use crate::render::time::bytes;
use crate::runs::{Runs, nearest};
use crate::wire::Place;
use clap::Args;
use executor::kept::{Files, Thing};
use model::attempt::Profile;
use model::node::NamedArtifact;
use model::{AttemptKey, Content, NodeKind};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use views::{History, NodeView};

mod put;

/// Copy files that a task wrote, declared or not, out of a run
#[derive(Args)]
#[command(before_help = "Example: towpath cp @:train:/model.bin .")]
pub struct CpArgs {
    /// RUN:NODE:/PATH as the task named it, or RUN:NODE:NAME of an output artifact; RUN may be @
    #[arg(value_name = "RUN:NODE:PATH")]
    what: String,
    /// A directory, a new name, or - for standard output
    #[arg(value_name = "DEST")]
    to: String,
    /// Replace what is at the destination
    #[arg(short, long)]
    force: bool,
}

pub fn run(args: &CpArgs, place: &Place) -> Done {
    let Some((run, rest)) = args.what.split_once(':') else {
        return Err(Fault::usage(format!("'{}' names no node; write RUN:NODE:/PATH", args.what)));
    };
    let runs = Runs::open(place)?;
    let history = runs.history(&runs.find(run)?.id)?;
    let (node, path) = node_and_path(&history, rest)?;
    let source = Source::find(place, &history, node, path)?;
    if args.to == "-" {
        source.print()?;
        return Ok(ExitCode::SUCCESS);
    }
    let to = put::destination(&args.to, &source.name, args.force)?;
    let left_out = put::whole(&to, args.force, |temporary| source.fetch(temporary))?;
    let size = if to.is_file() { fs::metadata(&to).map_or(0, |m| m.len()) } else { 0 };
    let size = if to.is_file() { format!(" ({})", bytes(size)) } else { String::new() };
    unread(writeln!(io::stdout(), "{} → {}{size}", plain(path), plain(&to.to_string_lossy())))?;
    if left_out > 0 {
        let text = format!("notice: left out {left_out} things that are neither file, directory nor link");
        unread(writeln!(io::stderr(), "{text}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The node and the path in `NODE:PATH`; both may have colons.
fn node_and_path<'a, 'b>(history: &'a History, text: &'b str) -> Result<(&'a NodeView, &'b str), Fault> {
    let splits = text.rmatch_indices(':').map(|(at, _)| (&text[..at], &text[at + 1..]));
    for (node, path) in splits {
        if let Ok(node) = nodes::find(history, node) {
            let node = last_try(history, node);
            return if path.is_empty() { Err(no_path(history, node)) } else { Ok((node, path)) };
        }
    }
    // What is wrong with the node that was probably meant.
    let named = text.split_once(":/").or_else(|| text.rsplit_once(':')).map_or(text, |(node, _)| node);
    let node = nodes::find(history, named)?;
    Err(no_path(history, last_try(history, node)))
}

fn no_path(history: &History, node: &NodeView) -> Fault {
    let example = node.written().and_then(|written| written.files.first()).map_or("/PATH", |file| file.path.as_str());
    let (run, node) = (history.name(), &*node.display_name);
    Fault::usage(format!("name what to copy as well: {run}:{node}:{example}"))
}

/// What is asked of a Retry node is asked of its last try.
fn last_try<'a>(history: &'a History, node: &'a NodeView) -> &'a NodeView {
    if node.kind != NodeKind::Retry {
        return node;
    }
    history.current().rev().find(|try_| history.container(try_) == Some(node.id)).unwrap_or(node)
}

/// What is to be copied.
struct Source {
    /// What it is called at the destination, where that is a directory.
    name: String,
    from: From,
    /// Declared outputs below a directory: (path below it, content).
    declared: Vec<(PathBuf, Content)>,
    store: artifacts::Store,
}

enum From {
    /// Something in the store, or a part of a directory there.
    Stored(Content, PathBuf),
    /// A file or a directory that is kept.
    Kept(Box<Files>, String, Option<PathBuf>),
    /// A directory of which only declared outputs are left.
    Nothing,
}

impl Source {
    fn find(place: &Place, history: &History, node: &NodeView, path: &str) -> Result<Self, Fault> {
        let store = place.artifacts()?;
        let there = node.outputs.artifacts.iter().filter_map(|named| Some((named, &named.artifact.as_ref()?.content)));
        let there: Vec<(&NamedArtifact, &Content)> = there.collect();
        let own_name = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_string();
        let stored = |name: &str, content: &Content, below: &Path| {
            let from = From::Stored(content.clone(), below.to_path_buf());
            Ok(Self { name: own_name(name), from, declared: Vec::new(), store: store.clone() })
        };
        if let Some((named, content)) = there.iter().find(|(named, _)| named.name == path) {
            let name = if named.path.is_empty() { &named.name } else { &named.path };
            return stored(name, content, Path::new(""));
        }
        let below = |(named, content): &(&NamedArtifact, &Content)| {
            let below = Path::new(path).strip_prefix(&named.path).ok().filter(|_| !named.path.is_empty())?;
            Some((below.to_path_buf(), (*content).clone()))
        };
        if let Some((below, content)) = there.iter().find_map(below) {
            return stored(path, &content, &below);
        }
        if !node.is_leaf() {
            return Err(no_leaf(history, node, path));
        }
        let inside = |(named, content): &(&NamedArtifact, &Content)| {
            let below = Path::new(&named.path).strip_prefix(path).ok()?;
            Some((below.to_path_buf(), (*content).clone()))
        };
        let declared: Vec<_> = there.iter().filter_map(inside).collect();
        let from = match kept(place, history, node, path)? {
            Some(from) => from,
            None if !declared.is_empty() => From::Nothing,
            None => return Err(missing(place, history, node, path)),
        };
        let name = own_name(path);
        let name = if name.is_empty() { node.display_name.to_string() } else { name };
        Ok(Self { name, from, declared, store })
    }

    /// A file's bytes on standard output.
    fn print(&self) -> Result<(), Fault> {
        let directory = || Fault::usage(format!("{} is a directory; standard output takes a file", self.name));
        let path = match &self.from {
            From::Kept(_, _, Some(file)) => file.clone(),
            From::Kept(_, _, None) | From::Nothing => return Err(directory()),
            From::Stored(Content::Blob(digest), _) => self.store.blob_path(digest),
            From::Stored(Content::Tree(digest), below) => part(&self.store.tree_path(digest), below)?,
            From::Stored(Content::Raw(text), _) => return Ok(io::stdout().write_all(text.as_bytes())?),
            From::Stored(Content::Uri(_) | Content::Parts(_), _) => return Err(directory()),
        };
        let open = || if path.is_dir() { None } else { Some(fs::File::open(&path)) };
        let mut file = open().ok_or_else(directory)?.map_err(|error| unreadable(&self.name, &error))?;
        io::copy(&mut file, &mut io::stdout().lock())?;
        Ok(())
    }

    /// Lays a copy at `to`, which is not there. Answers how many things were left out.
    fn fetch(&self, to: &Path) -> Result<u64, Fault> {
        let wrong = |error: io::Error| unreadable(&self.name, &error);
        let left_out = match &self.from {
            From::Stored(content @ Content::Tree(digest), below) if !below.as_os_str().is_empty() => {
                if !self.store.contains(content) {
                    return Err(unreadable(&self.name, &io::ErrorKind::NotFound.into()));
                }
                copy_part(&part(&self.store.tree_path(digest), below)?, to).map_err(wrong)?;
                0
            }
            From::Stored(content, _) => {
                self.store.materialise(content, to).map_err(Fault::machine)?;
                0
            }
            From::Kept(files, path, _) => files.copy(path, to).map_err(wrong)?,
            From::Nothing => {
                fs::create_dir(to).map_err(wrong)?;
                0
            }
        };
        for (below, content) in &self.declared {
            self.store.materialise(content, &to.join(below)).map_err(Fault::machine)?;
        }
        Ok(left_out)
    }
}

fn unreadable(name: &str, error: &io::Error) -> Fault {
    Fault::machine(format!("{name} cannot be copied: {error}"))
}

/// A part of a stored directory; links are not followed out of it.
fn part(tree: &Path, below: &Path) -> Result<PathBuf, Fault> {
    let mut at = tree.to_path_buf();
    for name in below.components() {
        let is_directory = fs::symlink_metadata(&at).is_ok_and(|kind| kind.is_dir());
        let Component::Normal(name) = name else { return Err(Fault::usage("a path has no `..` in it")) };
        at.push(name);
        if !is_directory || fs::symlink_metadata(&at).is_err() {
            return Err(Fault::usage(format!("the output has no {}", below.display())));
        }
    }
    Ok(at)
}

/// A copy that its owner may change.
fn copy_part(from: &Path, to: &Path) -> io::Result<()> {
    let kind = fs::symlink_metadata(from)?;
    if kind.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if kind.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_part(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    fs::copy(from, to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(kind.permissions().mode() & 0o777 | 0o200))
}

fn no_leaf(history: &History, node: &NodeView, path: &str) -> Fault {
    let leaves: Vec<&str> = nodes::leaves(history, Some(node)).iter().take(8).map(|leaf| &*leaf.display_name).collect();
    let tasks = if leaves.is_empty() {
        String::new()
    } else {
        format!("; files are those of its tasks: {}", leaves.join(", "))
    };
    Fault::usage(format!("{} is a {} and has no output '{path}'{tasks}", node.name, node.kind.as_str()))
}

/// What is kept of the node's attempts at this path, of the last that has something kept.
fn kept(place: &Place, history: &History, node: &NodeView, path: &str) -> Result<Option<From>, Fault> {
    let Some(files) = files(place, history, node) else { return Ok(None) };
    match files.look(path).map_err(Fault::machine)? {
        None => Ok(None),
        Some(Thing::OfMachine) => {
            Err(Fault::usage(format!("{path} is there, and {} did not write it: it is this machine's own", node.name)))
        }
        Some(Thing::File(real)) => Ok(Some(From::Kept(Box::new(files), path.into(), Some(real)))),
        Some(Thing::Directory) => Ok(Some(From::Kept(Box::new(files), path.into(), None))),
    }
}

fn files(place: &Place, history: &History, node: &NodeView) -> Option<Files> {
    let run = history.record.as_deref()?.id.clone();
    let of = |n: u32| Files::of(place.home.executor(), &AttemptKey { run: run.clone(), node: node.id, n });
    node.attempts.iter().rev().find_map(|attempt| of(attempt.n))
}

/// Why there is nothing at the path.
fn missing(place: &Place, history: &History, node: &NodeView, path: &str) -> Fault {
    let name = &node.name;
    if !node.phase.is_fulfilled() {
        return Fault::usage(format!("{name} has not ended; what it writes can be copied then"));
    }
    if history.record.as_deref().is_some_and(|record| record.profile == Profile::Trusted) {
        return Fault::usage(format!(
            "{name} ran without a sandbox (profile trusted): what it wrote is where it wrote it; its output artifacts can be copied by name"
        ));
    }
    let attempts = node.attempts.iter().rev();
    let Some(written) = attempts.filter_map(|attempt| attempt.written.as_deref()).next() else {
        return Fault::usage(format!("{name} has no {path}: it wrote nothing but its declared outputs"));
    };
    if files(place, history, node).is_none() {
        return Fault::usage(format!(
            "what {name} wrote was kept for a day at most, while there was room, and is gone; it had {}",
            crate::render::written::names(written)
        ));
    }
    let names = || written.files.iter().map(|file| file.path.as_str());
    let alike = names().find(|other| other.rsplit('/').next() == path.rsplit('/').next());
    let near = alike.or_else(|| nearest(path, names()));
    let help = near.map_or_else(
        || format!("it wrote {}", crate::render::written::names(written)),
        |near| format!("did you mean {near}?"),
    );
    Fault::usage(format!("{name} wrote no {path}; {help}"))
}
