//! ConfigMaps and Secrets beside a workflow: their keys and values.
//! It must never put a Secret's value into a plan or a diagnostic.

use super::faults::Faults;
use super::view::{any_text, field};
use crate::yaml::Node;
use expr::base64;
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
        match base64::decode(text.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
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
