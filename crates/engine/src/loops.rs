//! Loops: what `withItems`, `withParam` and `withSequence` run over, and what each child is called and given (upstream
//! `expandTask`, `processItem`, `expandSequence`).
//! It must never scan an item for tags: items are data. (Only the text of `withItems` is scanned, before it becomes items.)

use crate::json::Json;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use expr::{Value, gofmt};
use model::Text;
use model::event::Items;
use model::plan::{Sequence, With};

/// One item of a loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What `{{item}}` is.
    pub text: String,
    /// What stands in the child's name, parentheses removed.
    pub label: String,
    /// What `{{item.KEY}}` is, for maps.
    pub fields: BTreeMap<String, String>,
}

/// Resolves what a loop runs over. `resolve` substitutes tags in a text of the document.
pub fn open(with: &With, resolve: &dyn Fn(&Text) -> Result<String, String>) -> Result<Items, String> {
    match with {
        With::Items(items) => items.iter().map(resolve).collect::<Result<_, _>>().map(Items::List),
        With::Param(text) => list(&resolve(text)?).map(Items::List),
        With::Sequence(sequence) => open_sequence(sequence, resolve),
    }
}

/// The items of a `withParam` value.
fn list(value: &str) -> Result<Vec<String>, String> {
    let fails = |reason: String| format!("withParam value could not be parsed as a JSON list: {value}: {reason}");
    let kind = match Json::parse(value).map_err(fails)? {
        Json::List(items) => return Ok(items.iter().map(Json::to_text).collect()),
        Json::Null => return Ok(Vec::new()),
        Json::Map(_) => "object",
        Json::Text(..) => "string",
        Json::Number(_) => "number",
        Json::Bool(_) => "bool",
    };
    Err(fails(format!("json: cannot unmarshal {kind} into Go value of type []v1alpha1.Item")))
}

fn open_sequence(sequence: &Sequence, resolve: &dyn Fn(&Text) -> Result<String, String>) -> Result<Items, String> {
    let number = |text: &Option<Text>| text.as_ref().map(|t| atoi(&resolve(t)?)).transpose();
    let (count, start, end) = (number(&sequence.count)?, number(&sequence.start)?, number(&sequence.end)?);
    let format = sequence.format.clone();
    let first = start.unwrap_or(0);
    let last = match (count, end) {
        (_, Some(end)) => end,
        (Some(0), _) => return Ok(Items::Sequence { first, step: 1, count: 0, format }),
        (Some(count), _) => first.saturating_add(count).saturating_sub(1),
        (None, None) => return Err("neither end nor count was specified in withSequence".to_string()),
    };
    let count = u32::try_from(last.abs_diff(first).saturating_add(1))
        .ok()
        .filter(|count| *count < model::limits::NODES_MAX)
        .ok_or_else(|| format!("a loop of more than {} items", model::limits::NODES_MAX))?;
    if count > 0 {
        Json::parse(&format!("\"{}\"", numbered(first, &format)))?;
    }
    Ok(Items::Sequence { first, step: if first <= last { 1 } else { -1 }, count, format })
}

/// `strconv.Atoi`, with its error text.
pub(crate) fn atoi(text: &str) -> Result<i64, String> {
    let fails = |reason: &str| format!("strconv.Atoi: parsing {}: {reason}", gofmt::quote(text));
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(fails("invalid syntax"));
    }
    text.parse().map_err(|_| fails("value out of range"))
}

/// The item with this index. Precondition: `index < items.len()`.
pub fn item(items: &Items, index: u32) -> Item {
    match items {
        Items::List(list) => match Json::parse(&list[index as usize]) {
            Ok(json) => of_json(&json),
            // The text of an item that is no JSON is the item.
            Err(_) => of_text(&list[index as usize]),
        },
        Items::Sequence { first, step, format, .. } if format.is_empty() => {
            let text = (first + step * i64::from(index)).to_string();
            Item { label: text.clone(), text, fields: BTreeMap::new() }
        }
        Items::Sequence { first, step, format, .. } => {
            let text = numbered(first + step * i64::from(index), format);
            // Upstream puts the text between quotes and reads it as JSON.
            Json::parse(&format!("\"{text}\"")).map_or_else(|_| of_text(&text), |json| of_json(&json))
        }
    }
}

fn numbered(number: i64, format: &str) -> String {
    if format.is_empty() { number.to_string() } else { gofmt::sprintf(format, &[Value::Int(number)]) }
}

fn of_text(text: &str) -> Item {
    Item { text: text.into(), label: without_parentheses(text), fields: BTreeMap::new() }
}

fn of_json(json: &Json) -> Item {
    let label = match json {
        Json::Map(entries) => {
            let pairs: Vec<_> = entries.iter().map(|(key, value)| format!("{key}:{}", printed(value))).collect();
            pairs.join(",")
        }
        Json::List(items) => format!("[{}]", items.iter().map(printed).collect::<Vec<_>>().join(" ")),
        Json::Null => "[]".to_string(),
        other => printed(other),
    };
    let text = match json {
        Json::Text(text, _) => text.clone(),
        // A number that no float holds is nothing.
        Json::Number(number) if number.parse::<f64>().is_ok_and(f64::is_infinite) => String::new(),
        other => other.to_text(),
    };
    let fields = match json {
        Json::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), printed(value))).collect(),
        _ => BTreeMap::new(),
    };
    Item { text, label: without_parentheses(&label), fields }
}

/// Go's `%v` of an `Item`: its JSON, a string without the quotes.
fn printed(json: &Json) -> String {
    match json {
        Json::Text(..) => {
            let quoted = json.to_text();
            if !quoted.contains('\\') {
                return quoted[1..quoted.len() - 1].into();
            }
            let inside = &quoted[1..quoted.len() - 1];
            inside.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&")
        }
        other => other.to_text(),
    }
}

fn without_parentheses(text: &str) -> String {
    if text.contains(['(', ')']) { text.replace(['(', ')'], "") } else { text.into() }
}

/// The name of a loop's child: `name(INDEX:LABEL)`.
pub fn child_name(task: &str, index: u32, label: &str) -> String {
    [task, "(", &index.to_string(), ":", label, ")"].concat()
}

/// What stands in the name of the child of this item. Precondition: `index < items.len()`.
pub(crate) fn label(items: &Items, index: u32) -> String {
    match items {
        Items::Sequence { first, step, format, .. } if format.is_empty() => {
            (first + step * i64::from(index)).to_string()
        }
        _ => item(items, index).label,
    }
}
