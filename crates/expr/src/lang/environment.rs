//! What an expression sees: variables by their dotted names as nested maps, Argo's functions and `sprig`.
//! It must never know an expression.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::signature;
use super::ty::Ty;
use crate::sprig;
use crate::value::{Dict, Func, Scope, Value};

/// The variables and functions that an expression sees.
#[derive(Clone)]
pub struct Environment {
    all: Arc<Dict>,
}

impl Environment {
    /// Expands dotted names into nested maps and adds Argo's functions and `sprig`.
    pub fn new(variables: &dyn Scope) -> Self {
        let mut all = expand(variables.all());
        for name in ["asInt", "asFloat", "toJson", "jsonpath"] {
            all.insert(name.into(), Value::Func(Func::Env(name)));
        }
        all.insert("sprig".into(), sprig::map());
        Environment { all: Arc::new(all) }
    }

    pub(crate) fn all(&self) -> &Arc<Dict> {
        &self.all
    }

    pub(crate) fn type_of(&self, name: &str) -> Option<Ty> {
        match self.all.get(name)? {
            Value::Func(Func::Env(function)) => signature::environment(function).map(|(_, sig)| Ty::Func(sig)),
            value => Some(Ty::of(value)),
        }
    }

    /// True if this dotted path leads to something, nil included.
    pub(crate) fn has(&self, path: &str) -> bool {
        let mut at: &Dict = &self.all;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            match at.get(part) {
                None => return false,
                Some(_) if parts.peek().is_none() => return true,
                Some(Value::Map(inner)) => at = inner,
                Some(_) => return false,
            }
        }
        false
    }
}

/// Levels of nesting that the dots of one name may make.
const PARTS_MAX: usize = 32;

/// Turns `a.b.c` into nested maps. If one name is the beginning of another, the longer one wins.
fn expand(variables: Vec<(String, Value)>) -> Dict {
    let mut sorted: Vec<(String, Value)> = variables;
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut root = Branch::default();
    for (name, value) in sorted {
        root.insert(&name, value);
    }
    root.into_dict()
}

/// A map under construction.
#[derive(Default)]
struct Branch {
    leaf: Option<Value>,
    children: BTreeMap<Arc<str>, Branch>,
}

impl Branch {
    fn insert(&mut self, name: &str, value: Value) {
        let mut at = self;
        for part in name.splitn(PARTS_MAX, '.') {
            at = at.children.entry(part.into()).or_default();
        }
        at.leaf = Some(value);
    }

    fn into_dict(self) -> Dict {
        self.children
            .into_iter()
            .filter_map(|(name, branch)| {
                if branch.children.is_empty() {
                    branch.leaf.map(|value| (name, value))
                } else {
                    Some((name, Value::map(branch.into_dict())))
                }
            })
            .collect()
    }
}
