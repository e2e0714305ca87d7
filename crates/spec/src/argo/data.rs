//! ConfigMaps and Secrets beside a workflow: their keys and values.
//! It must never put a Secret's value into a plan or a diagnostic.

use super::faults::Faults;
use super::view::{any_text, field};
use crate::yaml::Node;
use std::collections::BTreeMap;

/// Keys and values of one document.
pub type Data = BTreeMap<String, String>;

/// `data` of a ConfigMap.
pub fn config_map(root: &Node) -> Data {
    entries(root, "data").map(|(key, value)| (key, any_text(value).unwrap_or_default())).collect()
}

/// `data` (base64) and `stringData` of a Secret.
pub fn secret(root: &Node, faults: &mut Faults) -> Data {
    let mut data = Data::new();
    for (key, value) in entries(root, "data") {
        let text = any_text(value).unwrap_or_default();
        match decode(&text).and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(text) => drop(data.insert(key, text)),
            None => {
                let help = Some("write it under `stringData` as it is, or encode it: `base64 -w0`".to_owned());
                faults.error("E0615", value.span, format!("the value of `{key}` is no text in base64"), help);
            }
        }
    }
    data.extend(entries(root, "stringData").map(|(key, value)| (key, any_text(value).unwrap_or_default())));
    data
}

fn entries<'n>(root: &'n Node, section: &str) -> impl Iterator<Item = (String, &'n Node)> {
    let entries = field(root, section).and_then(|map| map.mapping()).unwrap_or_default();
    entries.iter().map(|entry| (entry.key.key_text().unwrap_or_default().to_owned(), &*entry.value))
}

/// Standard base64, padded; white space between the letters does not count.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bits = 0_u32;
    let (mut held, mut bytes) = (0, Vec::new());
    let letters: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !letters.len().is_multiple_of(4) {
        return None;
    }
    let body = letters.iter().take_while(|letter| **letter != b'=').count();
    if letters.len() - body > 2 || letters[body..].iter().any(|letter| *letter != b'=') {
        return None;
    }
    for letter in &letters[..body] {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn base64_is_read_and_nothing_else() {
        assert_eq!(decode("UzAwcGVyU2VjcmV0\n").as_deref(), Some(&b"S00perSecret"[..]));
        assert_eq!(decode("YQ==").as_deref(), Some(&b"a"[..]));
        assert_eq!(decode("").as_deref(), Some(&b""[..]));
        for wrong in ["YQ", "Y===", "a=b=", "!!!!"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
