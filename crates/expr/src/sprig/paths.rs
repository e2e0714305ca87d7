//! Paths as text; nothing is looked up.
//! It must never know a file system.

use super::arguments::text;
use crate::context::Budget;
use crate::value::Value;

pub(super) fn run(name: &str, args: &[Value], _budget: &Budget<'_>) -> Result<Value, String> {
    let path = text(args, 0);
    Ok(match name {
        "base" | "osBase" => base(&path).into(),
        "dir" | "osDir" => {
            let end = path.rfind('/').map_or(0, |at| at + 1);
            clean(&path[..end]).into()
        }
        "clean" | "osClean" => clean(&path).into(),
        "ext" | "osExt" => {
            let last = path.rfind('/').map_or(&*path, |at| &path[at..]);
            last.rfind('.').map_or("", |at| &last[at..]).into()
        }
        _ => path.starts_with('/').into(),
    })
}

fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return "/";
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

/// `path.Clean`.
fn clean(path: &str) -> String {
    if path.is_empty() {
        return ".".to_owned();
    }
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(".."),
            },
            name => parts.push(name),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}
