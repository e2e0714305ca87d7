//! A tree as the JSON text that sigs.k8s.io/yaml prints of it: sorted keys, Go's floats, HTML-safe strings.
//! It must never know what a document means.

use super::YamlError;
use super::node::{Node, Value};
use super::number::float_json;
use super::resolve::{Resolved, resolve};

/// The JSON of an expanded tree, exactly as upstream's `YAMLToJSON`.
pub fn to_json(node: &Node) -> Result<String, YamlError> {
    let mut out = String::new();
    write(node, &mut out, quote)?;
    Ok(out)
}

/// The same with `<`, `>` and `&` as they are, so that tags in strings stay readable.
pub fn to_json_plain(node: &Node) -> Result<String, YamlError> {
    let mut out = String::new();
    write(node, &mut out, quote_plain)?;
    Ok(out)
}

type Quote = fn(&str, &mut String);

fn write(node: &Node, out: &mut String, quote: Quote) -> Result<(), YamlError> {
    match &node.value {
        Value::Scalar(scalar) => {
            match resolve(scalar).map_err(|message| YamlError::with_help(node.span, message, "remove the tag"))? {
                Resolved::Null => out.push_str("null"),
                Resolved::Bool(value) => out.push_str(if value { "true" } else { "false" }),
                Resolved::Int(value) => out.push_str(&value.to_string()),
                Resolved::Uint(value) => out.push_str(&value.to_string()),
                Resolved::Float(value) if value.is_finite() => out.push_str(&float_json(value)),
                Resolved::Float(_) => {
                    return Err(YamlError::with_help(node.span, "there is no such number in JSON", "quote it"));
                }
                Resolved::String(text) => quote(&text, out),
            }
            Ok(())
        }
        Value::Sequence(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out, quote)?;
            }
            out.push(']');
            Ok(())
        }
        Value::Mapping(entries) => {
            let mut sorted: Vec<_> = entries.iter().map(|e| (e.key.key_text().unwrap_or_default(), &e.value)).collect();
            sorted.sort_by(|a, b| a.0.cmp(b.0));
            out.push('{');
            for (i, (key, value)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                quote(key, out);
                out.push(':');
                write(value, out, quote)?;
            }
            out.push('}');
            Ok(())
        }
        Value::Alias(target) => write(target, out, quote),
    }
}

/// Appends `text` as a JSON string in the way of Go's `json.Marshal`.
pub fn quote(text: &str, out: &mut String) {
    quoted(text, out, true);
}

fn quote_plain(text: &str, out: &mut String) {
    quoted(text, out, false);
}

fn quoted(text: &str, out: &mut String, html_safe: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' if !html_safe => out.push(c),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
