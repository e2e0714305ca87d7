//! Parameters given on the command line and in files.
//! It must never know which parameters a workflow has.

use crate::commands::sources::unreadable;
use crate::exit_codes::Fault;
use model::node::Parameter;
use serde_json::Value;

/// `NAME=VALUE` words over the mapping in a file.
///
/// # Errors
/// A word without `=`; a file that is no mapping.
pub fn read(words: &[String], file: Option<&str>) -> Result<Vec<Parameter>, Fault> {
    let mut parameters = match file {
        Some(file) => of_file(file)?,
        None => Vec::new(),
    };
    for word in words {
        let (name, value) = word
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Fault::usage(format!("'{word}' is no parameter; write -p NAME=VALUE")))?;
        put(&mut parameters, name, value.to_string());
    }
    Ok(parameters)
}

fn put(parameters: &mut Vec<Parameter>, name: &str, value: String) {
    match parameters.iter_mut().find(|parameter| parameter.name == name) {
        Some(known) => known.value = value,
        None => parameters.push(Parameter { name: name.into(), value }),
    }
}

fn of_file(file: &str) -> Result<Vec<Parameter>, Fault> {
    let wrong = |what: &dyn std::fmt::Display| Fault::usage(format!("{file}: {what}"));
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    let document = spec::yaml::load_first(&text).map_err(|error| wrong(&error))?;
    let Some(document) = document else { return Ok(Vec::new()) };
    let json = spec::yaml::to_json(&document.root).map_err(|error| wrong(&error))?;
    let value: Value = serde_json::from_str(&json).map_err(|error| wrong(&error))?;
    let Value::Object(map) = value else {
        return Err(wrong(&"a parameter file is a mapping of names to values"));
    };
    let mut parameters = Vec::new();
    for (name, value) in map {
        // Numbers as they were written stay so as far as JSON keeps them; lists and mappings become JSON text.
        let text = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        put(&mut parameters, &name, text);
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(parameters: &[Parameter]) -> Vec<(&str, &str)> {
        parameters.iter().map(|p| (p.name.as_str(), p.value.as_str())).collect()
    }

    #[test]
    fn words_win_over_the_file() {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("p.yaml");
        std::fs::write(&file, "a: 1\nb: two words\nlist: [1, x]\nok: true\n").expect("file");
        let words = ["b=3=4".to_string(), "c=".to_string()];
        let parameters = read(&words, file.to_str()).expect("parameters");
        assert_eq!(pairs(&parameters), [("a", "1"), ("b", "3=4"), ("list", "[1,\"x\"]"), ("ok", "true"), ("c", "")]);
        assert!(read(&["x".to_string()], None).is_err() && read(&["=x".to_string()], None).is_err());
    }
}
