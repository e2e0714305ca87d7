//! A tree as the JSON text that sigs.k8s.io/yaml prints of it: sorted keys, Go's floats, HTML-safe strings.
//! It must never know what a document means.

use super::YamlError;
use super::node::{Node, Value};
use super::number::float_json;
use super::resolve::{Resolved, resolve};
use expr::write_string;

/// The JSON of an expanded tree, exactly as upstream's `YAMLToJSON`.
pub fn to_json(node: &Node) -> Result<String, YamlError> {
    let mut out = String::new();
    write(node, &mut out, true)?;
    Ok(out)
}

/// The same with `<`, `>` and `&` as they are, so that tags in strings stay readable.
pub fn to_json_plain(node: &Node) -> Result<String, YamlError> {
    let mut out = String::new();
    write(node, &mut out, false)?;
    Ok(out)
}

fn write(node: &Node, out: &mut String, html: bool) -> Result<(), YamlError> {
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
                Resolved::String(text) => write_string(&text, html, out),
            }
            Ok(())
        }
        Value::Sequence(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out, html)?;
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
                write_string(key, html, out);
                out.push(':');
                write(value, out, html)?;
            }
            out.push('}');
            Ok(())
        }
        Value::Alias(target) => write(target, out, html),
    }
}
