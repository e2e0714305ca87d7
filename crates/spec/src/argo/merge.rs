//! Putting documents over one another: a workflow over the template that it refers to, a template over the defaults.
//! It must never know which fields are supported.

use super::view::{field, text};
use crate::yaml::{Entry, Node, Value};
use std::rc::Rc;

/// Lists whose items have a name by which they are merged; other lists are replaced as a whole.
const NAMED_LISTS: [&str; 6] = ["parameters", "artifacts", "volumes", "env", "templates", "imagePullSecrets"];

/// The fields that say what a template is.
pub const TEMPLATE_TYPES: [&str; 10] =
    ["container", "containerSet", "dag", "data", "http", "plugin", "resource", "script", "steps", "suspend"];

/// `over` on top of `under`: Kubernetes' strategic merge, as far as Argo's objects use it.
pub fn merged(over: &Rc<Node>, under: &Rc<Node>) -> Rc<Node> {
    let (Some(upper), Some(lower)) = (over.mapping(), under.mapping()) else {
        return if over.is_null() { Rc::clone(under) } else { Rc::clone(over) };
    };
    let mut entries: Vec<Entry> = Vec::with_capacity(upper.len() + lower.len());
    for entry in upper {
        let key = entry.key.key_text().unwrap_or_default();
        let value = match field(under, key) {
            Some(below) if NAMED_LISTS.contains(&key) => by_name(&entry.value, below),
            Some(below) => merged(&entry.value, below),
            None => Rc::clone(&entry.value),
        };
        entries.push(Entry { key: Rc::clone(&entry.key), value });
    }
    for entry in lower {
        if over.get(entry.key.key_text().unwrap_or_default()).is_none() {
            entries.push(entry.clone());
        }
    }
    Rc::new(Node { span: over.span, value: Value::Mapping(entries) })
}

/// A template over `templateDefaults`, whose fields for other types of template do not count.
pub fn with_defaults(template: &Rc<Node>, defaults: Option<&Rc<Node>>) -> Rc<Node> {
    let Some(defaults) = defaults else { return Rc::clone(template) };
    let kept = defaults.mapping().unwrap_or_default().iter().filter(|entry| {
        let key = entry.key.key_text().unwrap_or_default();
        key != "name" && (!TEMPLATE_TYPES.contains(&key) || field(template, key).is_some())
    });
    let kept = Rc::new(Node { span: defaults.span, value: Value::Mapping(kept.cloned().collect()) });
    merged(template, &kept)
}

/// Items of `over` in their order, each over its namesake, then what only `under` has.
fn by_name(over: &Rc<Node>, under: &Rc<Node>) -> Rc<Node> {
    let (Some(upper), Some(lower)) = (over.sequence(), under.sequence()) else { return merged(over, under) };
    let namesake =
        |list: &[Rc<Node>], item: &Node| list.iter().find(|other| text(other, "name") == text(item, "name")).cloned();
    let mut items: Vec<Rc<Node>> = upper
        .iter()
        .map(|item| namesake(lower, item).map_or_else(|| Rc::clone(item), |below| merged_item(item, &below)))
        .collect();
    items.extend(lower.iter().filter(|item| namesake(upper, item).is_none()).cloned());
    Rc::new(Node { span: over.span, value: Value::Sequence(items) })
}

/// A value given above replaces where the value below comes from, and the other way round.
fn merged_item(over: &Rc<Node>, under: &Rc<Node>) -> Rc<Node> {
    let item = merged(over, under);
    let hidden = match (field(over, "value").is_some(), field(over, "valueFrom").is_some()) {
        (true, false) => "valueFrom",
        (false, true) => "value",
        _ => return item,
    };
    let entries = item.mapping().unwrap_or_default().iter();
    let entries = entries.filter(|entry| entry.key.key_text() != Some(hidden)).cloned().collect();
    Rc::new(Node { span: item.span, value: Value::Mapping(entries) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{load_first, to_json};

    fn node(text: &str) -> Rc<Node> {
        load_first(text).ok().flatten().expect("a document").root
    }

    #[test]
    fn parameters_are_merged_by_name_and_the_upper_one_wins() {
        let over = node("arguments: {parameters: [{name: b, value: 2}]}");
        let under = node("arguments: {parameters: [{name: a, value: 1}, {name: b, value: 1, enum: [1, 2]}]}");
        let json = to_json(&merged(&over, &under)).unwrap_or_default();
        assert_eq!(
            json,
            r#"{"arguments":{"parameters":[{"enum":[1,2],"name":"b","value":2},{"name":"a","value":1}]}}"#
        );
    }

    #[test]
    fn defaults_of_another_type_of_template_do_not_count() {
        let template = node("{name: t, script: {source: x}}");
        let defaults = node("{timeout: 5s, container: {image: a}, script: {image: b}}");
        let json = to_json(&with_defaults(&template, Some(&defaults))).unwrap_or_default();
        assert_eq!(json, r#"{"name":"t","script":{"image":"b","source":"x"},"timeout":"5s"}"#);
    }
}
