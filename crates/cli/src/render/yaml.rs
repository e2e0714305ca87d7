//! JSON values as YAML, in block style.
//! It must never write a text that a YAML reader takes for something else: every text in doubt is quoted as JSON quotes.

use serde_json::Value;

/// The document; it ends with a newline.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// Writes a value where a line begins (after `indent` blanks that stand there already, for the first).
fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    pad(indent, out);
                }
                out.push_str(&text(key));
                out.push(':');
                below(value, indent, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    pad(indent, out);
                }
                out.push_str("- ");
                match item {
                    Value::Object(map) if !map.is_empty() => block(item, indent + 2, out),
                    Value::Array(list) if !list.is_empty() => block(item, indent + 2, out),
                    _ => {
                        scalar(item, out);
                        out.push('\n');
                    }
                }
            }
        }
        _ => scalar(value, out),
    }
}

/// Writes the value of a key.
fn below(value: &Value, indent: usize, out: &mut String) {
    let deeper = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    if deeper {
        out.push('\n');
        // A list stands under its key, as kubectl writes it.
        let indent = if value.is_array() { indent } else { indent + 2 };
        pad(indent, out);
        block(value, indent, out);
    } else {
        out.push(' ');
        scalar(value, out);
        out.push('\n');
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(value: &Value, out: &mut String) {
    match value {
        Value::String(string) => out.push_str(&text(string)),
        other => out.push_str(&other.to_string()),
    }
}

/// Plain where no reader could be mistaken.
fn text(string: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./()[]{}' ,;+".contains(c);
    let letters_first = string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    const WORDS: [&str; 8] = ["true", "false", "yes", "no", "on", "off", "null", "y"];
    let word = WORDS.contains(&string.to_ascii_lowercase().as_str()) || string.eq_ignore_ascii_case("n");
    if letters_first && !word && !string.ends_with(' ') && string.chars().all(plain) {
        string.to_string()
    } else {
        Value::from(string).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_readable_and_nothing_is_mistaken() {
        let value = json!({
            "kind": "Workflow",
            "empty": {}, "none": [],
            "list": [{"name": "a", "value": "1"}, "x: y", ["p", 2]],
            "nested": {"on": "No", "when": "2026-01-02T03:04:05Z", "text": "two\nlines", "n": 1.5, "t": true, "z": null},
        });
        let expected = "kind: Workflow\nempty: {}\nnone: []\nlist:\n- name: a\n  value: \"1\"\n- \"x: y\"\n- - p\n  - 2\nnested:\n  \"on\": \"No\"\n  when: \"2026-01-02T03:04:05Z\"\n  text: \"two\\nlines\"\n  \"n\": 1.5\n  t: true\n  z: null\n";
        // Maps of serde_json are sorted or not, as it was built.
        let mut expected: Vec<&str> = expected.lines().collect();
        let yaml = to_yaml(&value);
        let mut lines: Vec<&str> = yaml.lines().collect();
        expected.sort_unstable();
        lines.sort_unstable();
        assert_eq!(lines, expected);
    }
}
