//! The shape of documents: which fields an object has, of what type, and what becomes of each. One walk finds every
//! unknown field, every wrong type, and every field that is only accepted or not supported yet.
//! It must never know what a field means.

use super::faults::Faults;
use crate::diagnostic::Span;
use crate::suggest;
use crate::typed;
use crate::yaml::resolve::{Resolved, resolve};
use crate::yaml::{Node, Value, float_json};
use std::collections::BTreeSet;
use std::rc::Rc;

/// The type of a value, in Go's JSON terms. `null` is accepted for each.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    /// A string, number or boolean that becomes a string (`AnyString`).
    AnyText,
    Bool,
    Int,
    /// `intstr.IntOrString`: an integer of 32 bits, or a string.
    IntOrText,
    Number,
    /// A Kubernetes quantity.
    Quantity,
    Any,
    Object(&'static Object),
    List(&'static Kind),
    Map(&'static Kind),
}

/// A Go struct.
#[derive(Debug)]
pub struct Object {
    /// As users know it: "a template".
    pub name: &'static str,
    pub fields: &'static [Field],
}

#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub support: Support,
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It means here what it means upstream.
    Yes,
    /// It only places or dresses a pod: accepted, and told once a run.
    Notice,
    /// Not supported yet: nothing of the document runs.
    No,
    /// An old spelling, accepted with a warning that tells the new one.
    Old(&'static str),
}

pub const fn yes(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, support: Support::Yes }
}

pub const fn notice(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, support: Support::Notice }
}

pub const fn no(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, support: Support::No }
}

pub const fn old(name: &'static str, kind: Kind, new: &'static str) -> Field {
    Field { name, kind, support: Support::Old(new) }
}

/// Walks documents.
pub struct Checker<'a> {
    pub faults: &'a mut Faults,
    /// Paths of accepted fields, without list indices: `spec.templates.nodeSelector`.
    pub accepted: BTreeSet<String>,
    /// Refused fields: path and place of the key.
    pub refused: Vec<(String, Span)>,
    /// False: unknown fields are no faults (Go's lenient decoding).
    pub strict: bool,
    /// True: old spellings are unknown, as they are upstream.
    pub only_current: bool,
    json: bool,
    /// The value at hand is an item of the list at its path.
    in_list: bool,
}

impl<'a> Checker<'a> {
    pub fn new(faults: &'a mut Faults, strict: bool) -> Self {
        Self {
            faults,
            accepted: BTreeSet::new(),
            refused: Vec::new(),
            strict,
            only_current: false,
            json: false,
            in_list: false,
        }
    }

    pub fn check(&mut self, node: &Rc<Node>, kind: &Kind, path: &str) {
        let in_list = std::mem::take(&mut self.in_list);
        if node.is_null() {
            return;
        }
        match kind {
            Kind::Object(object) => self.object(node, object, path, in_list),
            Kind::List(item) => match node.sequence() {
                Some(items) => {
                    for node in items {
                        self.in_list = true;
                        self.check(node, item, path);
                    }
                    self.in_list = false;
                }
                None => self.wrong_type(node, path, in_list, "a list"),
            },
            Kind::Map(item) => match node.mapping() {
                Some(entries) => {
                    for entry in entries {
                        let path = format!("{path}.{}", entry.key.key_text().unwrap_or_default());
                        self.check(&entry.value, item, &path);
                    }
                }
                None => self.wrong_type(node, path, in_list, "a mapping"),
            },
            Kind::Any => {}
            _ => {
                let fault = scalar_fault(node, kind).or_else(|| json_fault(node, kind).filter(|_| self.json));
                if let Some(wanted) = fault {
                    self.wrong_type(node, path, in_list, wanted);
                }
            }
        }
    }

    /// The same for JSON, where a number that is too large is no text, and an integer is spelled as one.
    pub fn check_json(&mut self, node: &Rc<Node>, kind: &Kind) {
        self.json = true;
        self.check(node, kind, "");
    }

    fn object(&mut self, node: &Rc<Node>, object: &'static Object, path: &str, in_list: bool) {
        let Some(entries) = node.mapping() else {
            self.wrong_type(node, path, in_list, "a mapping");
            return;
        };
        for entry in entries {
            let key = entry.key.key_text().unwrap_or_default();
            let known =
                |field: &&Field| field.name == key && !(self.only_current && matches!(field.support, Support::Old(_)));
            let Some(field) = object.fields.iter().find(known) else {
                self.unknown(entry.key.span, key, object);
                continue;
            };
            let inner = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            self.check(&entry.value, &field.kind, &inner);
            match field.support {
                _ if is_empty(&entry.value, &field.kind) => {}
                Support::Yes => {}
                Support::Notice => {
                    self.accepted.insert(inner);
                }
                Support::No => self.refused.push((inner, entry.key.span)),
                Support::Old(new) => {
                    let message = format!("`{key}` is an old spelling");
                    self.faults.warning("W0201", entry.key.span, message, Some(format!("write `{new}`")));
                }
            }
        }
    }

    fn unknown(&mut self, span: Span, key: &str, object: &Object) {
        // Go rejects unknown keys of a step always.
        if !self.strict && object.name != "a step" {
            return;
        }
        let names = object.fields.iter().map(|field| field.name);
        let help = suggest::help(key, names, "remove it");
        self.faults.error("E0201", span, format!("{} has no field `{key}`", object.name), Some(help));
    }

    fn wrong_type(&mut self, node: &Node, path: &str, in_list: bool, wanted: &str) {
        let name = path.rsplit('.').next().unwrap_or(path);
        let scalar = node.scalar().map(|scalar| &*scalar.text);
        let help = match (wanted, scalar) {
            ("a string", Some(text)) => format!("quote it: \"{text}\""),
            (_, Some(text)) if text.contains("{{") => format!("this field takes no tag: write {wanted}"),
            ("a list", _) => format!("write the items below `{name}:`, each behind `- `"),
            ("a mapping", _) => format!("write `key: value` lines below `{name}:`"),
            _ => format!("write {wanted}"),
        };
        let item = if in_list { "an item of " } else { "" };
        let message = format!("{item}`{name}` must be {wanted}, not {}", node.kind_name());
        self.faults.error("E0202", node.span, message, Some(help));
    }
}

/// What a scalar should have been, if it is not.
fn scalar_fault(node: &Node, kind: &Kind) -> Option<&'static str> {
    let resolved = match &node.value {
        Value::Scalar(scalar) => resolve(scalar).ok()?,
        _ => Resolved::Null,
    };
    let is_scalar = node.scalar().is_some();
    let wanted = match kind {
        Kind::Text => (matches!(resolved, Resolved::String(_)), "a string"),
        // Upstream reads a collection as an empty string here; that is told where the value is used.
        Kind::AnyText => (true, "a string"),
        Kind::Bool => (matches!(resolved, Resolved::Bool(_)), "true or false"),
        Kind::Int => (integer(&resolved).is_some(), "an integer"),
        Kind::IntOrText => {
            let fits = integer(&resolved).is_some_and(|i| i32::try_from(i).is_ok());
            (fits || matches!(resolved, Resolved::String(_)), "an integer or a string")
        }
        Kind::Number => (matches!(resolved, Resolved::Int(_) | Resolved::Uint(_) | Resolved::Float(_)), "a number"),
        Kind::Quantity => (is_quantity(&resolved), "a quantity such as `500m` or `2Gi`"),
        _ => (true, ""),
    };
    (!(is_scalar && wanted.0 || matches!(kind, Kind::AnyText))).then_some(wanted.1)
}

fn json_fault(node: &Node, kind: &Kind) -> Option<&'static str> {
    let fits = match kind {
        Kind::AnyText => typed::any_string_of_json(node).is_ok(),
        Kind::IntOrText => typed::IntOrString::read(node).is_ok(),
        Kind::Int => node.scalar().is_none_or(|s| s.text.parse::<i64>().is_ok()),
        _ => true,
    };
    (!fits).then_some("a value of its type")
}

/// The integer that Go's JSON sees: `1.0` in YAML is `1` in JSON.
pub fn integer(resolved: &Resolved) -> Option<i64> {
    match resolved {
        Resolved::Int(value) => Some(*value),
        Resolved::Float(value) if value.is_finite() => float_json(*value).parse().ok(),
        _ => None,
    }
}

/// `^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$`, or a number, or text with tags.
fn is_quantity(resolved: &Resolved) -> bool {
    let text = match resolved {
        Resolved::Int(_) | Resolved::Uint(_) | Resolved::Float(_) => return true,
        Resolved::String(text) => text,
        _ => return false,
    };
    let rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    let suffix = rest[digits..].trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let suffix = suffix.strip_prefix(['+', '-']).unwrap_or(suffix);
    digits > 0 && suffix.bytes().all(|b| b.is_ascii_digit())
}

/// True where a field says nothing: `null`, false, "", `[]`, and `{}` of a map.
fn is_empty(node: &Node, kind: &Kind) -> bool {
    match &node.value {
        Value::Scalar(scalar) => {
            matches!(resolve(scalar), Ok(Resolved::Null | Resolved::Bool(false))) || scalar.text.is_empty()
        }
        Value::Sequence(items) => items.is_empty(),
        Value::Mapping(entries) => entries.is_empty() && matches!(kind, Kind::Map(_)),
        Value::Alias(_) => false,
    }
}
