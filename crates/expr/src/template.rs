//! `{{name}}` and `{{=expression}}` in texts and in JSON documents, as Argo's `util/template` replaces them.
//! It must never know which variables exist when, and never looks for tags in a value it has put in.

use crate::context::Context;
use crate::gofmt;
use crate::json;
use crate::lang::{self, Environment};
use crate::value::{Scope, Value};

const OPEN: &str = "{{";
const CLOSE: &str = "}}";

/// Variables that get their value late: an expression that names one waits for it, even if it would make something
/// of nil (`sprig.int(retries)`, `workflow.status == 'x'`).
const LATE: [&str; 5] = ["item", "retries", "lastRetry", "workflow.status", "workflow.failures"];

/// What happens to a tag that has no value.
#[derive(Debug, Clone, Copy)]
pub enum Mode<'a> {
    /// It stays as it is.
    Lenient,
    /// It is an error.
    Strict,
    /// It is an error if it begins with one of these (`steps`, `tasks`), otherwise it stays.
    Prefixes(&'a [&'a str]),
}

impl Mode<'_> {
    /// True if a missing variable of this name is an error.
    fn demands(&self, name: &str) -> bool {
        match self {
            Mode::Lenient => false,
            Mode::Strict => true,
            Mode::Prefixes(prefixes) => prefixes
                .iter()
                .any(|prefix| name == *prefix || name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'))),
        }
    }

    fn is_strict(&self) -> bool {
        matches!(self, Mode::Strict)
    }

    fn is_lenient(&self) -> bool {
        matches!(self, Mode::Lenient)
    }
}

/// Why a text could not be replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// Upstream's text.
    pub message: String,
    /// A variable is missing, so it may work later (upstream's `IsMissingVariableErr`).
    pub missing: bool,
    /// What Go's JSON says of the text with the values put in, where it is no JSON any more.
    pub invalid: Option<String>,
}

impl TemplateError {
    fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        let missing = message.contains("failed to resolve {{")
            || message.contains(" is missing")
            || message.contains("variable not in env");
        TemplateError { message, missing, invalid: None }
    }
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TemplateError {}

/// What a tag is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagKind {
    /// `{{name}}`, trimmed.
    Simple(String),
    /// `{{=expression}}`, as written.
    Expression(String),
}

/// A tag and the bytes of the text it takes, braces included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub start: usize,
    pub end: usize,
    pub kind: TagKind,
}

/// The tags of a text. A tag ends at the first `}}`; of nested tags the innermost is given.
pub fn tags(text: &str) -> Vec<Tag> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find(OPEN).map(|found| at + found) {
        let Some(close) = text[open..].find(CLOSE).map(|found| open + found) else { break };
        let end = close + CLOSE.len();
        let body = &text[open + OPEN.len()..close];
        if let Some(expression) = body.strip_prefix('=') {
            found.push(Tag { start: open, end, kind: TagKind::Expression(expression.to_owned()) });
        } else {
            let inner = body.rfind(OPEN).map_or(0, |nested| nested + OPEN.len());
            let start = open + inner;
            found.push(Tag { start, end, kind: TagKind::Simple(body[inner..].trim().to_owned()) });
        }
        at = end;
    }
    found
}

/// Where a tag begins that has no end.
pub fn unclosed(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        let open = at + text[at..].find(OPEN)?;
        match text[open..].find(CLOSE) {
            Some(close) => at = open + close + CLOSE.len(),
            None => return Some(open),
        }
    }
}

/// True if a text has a tag, closed or not.
pub fn has_tags(text: &str) -> bool {
    text.contains(OPEN)
}

/// Replaces the tags of a string field. The result is the same as if the string had been marshalled to JSON,
/// replaced there and read back, which is what upstream does: a value with `\u{1}` fails in `{{v}}` (its
/// `strconv.Quote` is no JSON) and works in `{{=v}}`.
///
/// # Errors
/// Upstream's texts.
pub fn replace(text: &str, vars: &dyn Scope, mode: Mode<'_>, context: &Context) -> Result<String, TemplateError> {
    if !has_tags(text) {
        return Ok(text.to_owned());
    }
    let mut raw = String::with_capacity(text.len() + 2);
    json::write_string(text, true, &mut raw);
    let replaced = replace_json(&raw, vars, mode, context)?;
    match json::decode(&replaced, json::Numbers::Float) {
        Ok(Value::Str(text)) => Ok(text.to_string()),
        _ => Err(TemplateError::new("cannot finish template replacement because the result was invalid JSON")),
    }
}

/// Replaces the tags inside the strings of a JSON document.
///
/// # Errors
/// Upstream's texts.
pub fn replace_json(raw: &str, vars: &dyn Scope, mode: Mode<'_>, context: &Context) -> Result<String, TemplateError> {
    if !json::is_valid(raw) {
        return Err(TemplateError::new("cannot do template replacements with invalid JSON"));
    }
    let mut replacer = Replacer { vars, mode, context, environment: None, left: context.bytes_max };
    let replaced = replacer.run(raw)?;
    if !json::is_valid(&replaced) {
        let message = "cannot finish template replacement because the result was invalid JSON";
        let invalid = json::decode(&replaced, json::Numbers::Float).err();
        return Err(TemplateError { invalid, ..TemplateError::new(message) });
    }
    Ok(replaced)
}

struct Replacer<'a> {
    vars: &'a dyn Scope,
    mode: Mode<'a>,
    context: &'a Context,
    /// Built for the first expression only.
    environment: Option<Environment>,
    left: u64,
}

impl Replacer<'_> {
    fn run(&mut self, raw: &str) -> Result<String, TemplateError> {
        let mut out = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(open) = rest.find(OPEN) {
            out.push_str(&rest[..open]);
            let body = &rest[open + OPEN.len()..];
            let Some(close) = body.find(CLOSE) else {
                return Err(TemplateError::new(format!(
                    "Cannot find end tag={} in the template={} starting from {}",
                    gofmt::quote(CLOSE),
                    gofmt::quote(raw),
                    gofmt::quote(body)
                )));
            };
            let tag = &body[..close];
            rest = &body[close + CLOSE.len()..];
            let text = match tag.strip_prefix('=') {
                Some(expression) => self.expression(expression)?,
                None => self.simple(tag, &mut rest)?,
            };
            self.left = self.left.saturating_sub(text.len() as u64);
            if self.left == 0 {
                return Err(TemplateError::new(crate::context::MEMORY));
            }
            out.push_str(&text);
        }
        out.push_str(rest);
        Ok(out)
    }

    fn simple(&self, tag: &str, rest: &mut &str) -> Result<String, TemplateError> {
        match self.vars.get(tag.trim()) {
            Some(Value::Null) => Err(TemplateError::new(format!(
                "unable to substitute {{{{{tag}}}}}: output is an absent optional (skipped/omitted node with no default)"
            ))),
            Some(value) => match escaped(&value) {
                Some(text) => Ok(text),
                None => Err(TemplateError::new(format!("failed to resolve {{{{{tag}}}}} to string"))),
            },
            None => match self.nested(tag, rest)? {
                Some(text) => Ok(text),
                // Artifacts are resolved elsewhere, and later.
                None if self.mode.demands(tag.trim())
                    && (self.mode.is_strict() || !tag.contains(".outputs.artifacts.")) =>
                {
                    Err(TemplateError::new(format!("failed to resolve {{{{{tag}}}}}")))
                }
                None => Ok(format!("{{{{{tag}}}}}")),
            },
        }
    }

    /// `{{inputs.parameters.{{item}}}}`: the inner tag is replaced first. If what it makes is a variable, that is
    /// put in at once (upstream would find it when it scans the text again); otherwise the outer tag stays.
    fn nested(&self, tag: &str, rest: &mut &str) -> Result<Option<String>, TemplateError> {
        let Some(at) = tag.rfind(OPEN).filter(|at| *at > 0) else { return Ok(None) };
        let (prefix, inner) = (&tag[..at], &tag[at + OPEN.len()..]);
        let Some(value) = self.vars.get(inner) else { return Ok(None) };
        if matches!(value, Value::Null) {
            return Err(TemplateError::new(format!(
                "unable to substitute nested tag {{{{{tag}}}}}: {} is an absent optional",
                gofmt::quote(inner)
            )));
        }
        let Some(text) = escaped(&value) else { return Ok(None) };
        if let (Some(name), Some(after)) = (value.as_str(), rest.strip_prefix(CLOSE))
            && let Some(outer) = self.vars.get(&format!("{}{name}", prefix.trim_start()))
            && let Some(text) = escaped(&outer)
        {
            *rest = after;
            return Ok(Some(text));
        }
        Ok(Some(format!("{OPEN}{prefix}{text}")))
    }

    fn expression(&mut self, written: &str) -> Result<String, TemplateError> {
        let kept = || format!("{{{{={written}}}}}");
        let unquoted = match json::decode(&format!("\"{written}\""), json::Numbers::Float) {
            Ok(Value::Str(text)) => text,
            Ok(_) => return Ok(kept()),
            Err(_) if self.mode.is_lenient() => return Ok(kept()),
            Err(message) => {
                return Err(TemplateError::new(format!("failed to unmarshall JSON expression: {message}")));
            }
        };
        let environment = self.environment.get_or_insert_with(|| Environment::new(self.vars));
        let failed = |reason: String| TemplateError::new(format!("failed to evaluate expression: {reason}"));
        let missing = lang::missing(&unquoted, environment, self.context)
            .map_err(|error| failed(error.with_snippet(&unquoted)))?;
        let late = missing.iter().find(|name| LATE.contains(&name.as_str()));
        let program = lang::compile(&unquoted, environment, self.context);
        let error = match program.and_then(|program| program.run(environment, self.context)) {
            _ if late.is_some() => failed(String::new()),
            Ok(Value::Null) => {
                let shown = gofmt::quote(&unquoted);
                TemplateError::new(format!("failed to evaluate expression {shown}"))
            }
            Ok(value) => match json::encode(&value) {
                Ok(text) => return Ok(inside_string(&text)),
                Err(message) => TemplateError::new(format!("failed to marshal evaluated expression: {message}")),
            },
            Err(error) => failed(error.with_snippet(&unquoted)),
        };
        // A failure is put down to the first variable that is missing, if one is.
        match late.or(missing.first()) {
            Some(name) if self.mode.demands(name) => Err(failed(format!("{name} is missing"))),
            None if !self.mode.is_lenient() => Err(error),
            _ => Ok(kept()),
        }
    }
}

/// A string as `strconv.Quote` writes it, without the quotes; `None` if the value is no string.
fn escaped(value: &Value) -> Option<String> {
    let quoted = gofmt::quote_bytes(value.string_bytes()?);
    Some(quoted[1..quoted.len() - 1].to_owned())
}

/// Marshalled JSON as it stands inside a JSON string.
fn inside_string(text: &str) -> String {
    match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.to_owned(),
        None => {
            let quoted = gofmt::quote(text);
            quoted[1..quoted.len() - 1].to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn scope() -> BTreeMap<String, Value> {
        let pairs = [
            ("x", Value::str("1")),
            ("c", Value::str("\u{1}")),
            ("t", Value::str("{{x}}")),
            ("nul", Value::Null),
            ("inputs.parameters.1", Value::str("one")),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn run(text: &str, mode: Mode<'_>) -> Result<String, TemplateError> {
        replace(text, &scope(), mode, &Context::default())
    }

    #[test]
    fn replaces() {
        assert_eq!(run("a{{x}}b{{= x + 'z' }}", Mode::Strict).unwrap(), "a1b1z");
        assert_eq!(run("{{missing}}", Mode::Lenient).unwrap(), "{{missing}}");
        assert_eq!(run("{{={\"k\":[x]} }}", Mode::Strict).unwrap(), "{\"k\":[\"1\"]}");
        assert!(run("{{missing}}", Mode::Strict).unwrap_err().missing);
        assert!(!run("{{nul}}", Mode::Lenient).unwrap_err().missing);
        assert_eq!(run("{{=nul ?? 'd'}}", Mode::Strict).unwrap(), "d");
    }

    #[test]
    fn control_characters_pass_only_expressions() {
        assert!(run("{{c}}", Mode::Strict).is_err());
        assert_eq!(run("{{=c}}", Mode::Strict).unwrap(), "\u{1}");
    }

    #[test]
    fn values_are_never_scanned() {
        assert_eq!(run("{{t}}{{=t}}", Mode::Strict).unwrap(), "{{x}}{{x}}");
    }

    #[test]
    fn nested_tags_resolve_inside_out() {
        assert_eq!(run("{{inputs.parameters.{{x}}}}", Mode::Strict).unwrap(), "one");
        assert_eq!(run("{{inputs.other.{{x}}}}", Mode::Lenient).unwrap(), "{{inputs.other.1}}");
        assert_eq!(run("{{inputs.other.{{t}}}}", Mode::Lenient).unwrap(), "{{inputs.other.{{x}}}}");
    }

    #[test]
    fn finds_tags() {
        let kinds: Vec<TagKind> = tags("a{{ x }}{{=1}}{{a.{{b}}}}").into_iter().map(|tag| tag.kind).collect();
        let simple = |name: &str| TagKind::Simple(name.to_owned());
        assert_eq!(kinds, [simple("x"), TagKind::Expression("1".to_owned()), simple("b")]);
        assert!(tags("{{").is_empty() && has_tags("{{"));
        assert_eq!((unclosed("{{a}} {{b"), unclosed("{{a}}"), unclosed("a")), (Some(6), None, None));
    }
}
