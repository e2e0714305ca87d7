//! The rules of ARCHITECTURE.md and STYLE.md that a machine can check. `cargo xtask tidy` prints every breach of one.
//! A rule must never read a file by itself: it sees the `Tree`, so that its test can plant a breach.

mod edges;
mod exempt;
mod map;
mod names;
mod promises;
mod purity;
mod rust;
mod size;
mod tree;
mod words;

use crate::checkout;
use crate::flags::Flags;
use anyhow::Result;
use tree::Tree;

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// From the root of the checkout.
    pub path: String,
    /// Counted from 1; 0 where the whole file is meant.
    pub line: usize,
    pub rule: &'static str,
    pub text: String,
}

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[Rule] =
    &[edges::check, map::check, names::check, promises::check, purity::check, size::check, words::check];

pub fn main(flags: &mut Flags) -> Result<bool> {
    flags.finish()?;
    let tree = Tree::read(&checkout::root())?;
    let findings = findings(&tree);
    for finding in &findings {
        let Finding { path, line, rule, text } = finding;
        match line {
            0 => println!("{path}: {rule}: {text}"),
            _ => println!("{path}:{line}: {rule}: {text}"),
        }
    }
    println!("tidy: {} files, {} findings", tree.files().len(), findings.len());
    Ok(findings.is_empty())
}

/// Every breach that no exemption covers, and every exemption that covers nothing.
fn findings(tree: &Tree) -> Vec<Finding> {
    let all = RULES.iter().flat_map(|rule| rule(tree)).collect();
    let mut left = exempt::apply(all);
    left.sort();
    left
}
