//! JSONPath as `evilmonkeyinc/jsonpath` v0.8.1 answers it.
//! It must never know where the JSON comes from.

mod apply;
mod script;
mod token;

use crate::context::{Budget, Context};
use crate::value::Value;

/// Bytes of a path.
const PATH_MAX: usize = 8 << 10;

/// The value that a path selects: one value, or a list if the path can select several.
///
/// # Errors
/// Upstream's texts.
pub fn query(json: &Value, path: &str) -> Result<Value, String> {
    let context = Context::default();
    query_within(json, path, &Budget::new(&context))
}

pub(crate) fn query_within(json: &Value, path: &str, budget: &Budget<'_>) -> Result<Value, String> {
    if path.len() > PATH_MAX {
        return Err("invalid JSONPath selector. too long".to_owned());
    }
    let tokens = token::parse(path).map_err(|reason| format!("invalid JSONPath selector '{path}' {reason}"))?;
    apply::select(json, &tokens, budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(json: &str, path: &str) -> Result<String, String> {
        query(&Value::from_json(json).unwrap(), path).map(|value| value.to_json())
    }

    const STORE: &str = r#"{"list":[{"k":"p","v":1},{"k":"q","v":2}],"n":null}"#;

    #[test]
    fn selects() {
        assert_eq!(run(STORE, "$.list[?(@.v>1)].k").unwrap(), "[\"q\"]");
        assert_eq!(run(STORE, "$.list[-1].v").unwrap(), "2");
        assert_eq!(run(STORE, "$..v").unwrap(), "[1,2]");
        assert_eq!(run(STORE, "$.list[(@.length-1)].k").unwrap(), "\"q\"");
    }

    #[test]
    fn errors() {
        assert_eq!(run(STORE, "$.zzz").unwrap_err(), "key: invalid token key 'zzz' not found");
        assert_eq!(
            run(STORE, "$[").unwrap_err(),
            "invalid JSONPath selector '$[' invalid token. '[' does not match any token format"
        );
        let nested = "$.list[?(".to_owned() + &"(".repeat(2000) + "@.v" + &")".repeat(2000) + "+1>1)].k";
        assert!(run(STORE, &nested).is_ok());
        assert!(run(STORE, &("$".to_owned() + &"..*".repeat(500))).is_err());
    }
}
