//! From source to value: compile, run, and what an expression names.
//! It must never know templates, tags or workflows.

use std::sync::Arc;

use super::environment::Environment;
use super::eval::{Machine, Stop};
use super::{ast, check, lexer, parser, paths};
use crate::context::{Budget, Context};
use crate::value::{Scope, Value};

/// When an expression failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before it ran: syntax, unknown names, types.
    Compile,
    /// While it ran.
    Run,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalError {
    pub stage: Stage,
    /// Upstream's text, with `(line:column)` at its end.
    pub message: String,
    /// Where, in characters from the start of the source.
    pub offset: Option<usize>,
}

impl std::fmt::Display for EvalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EvalError {}

impl EvalError {
    /// The message with the line of the source that it is about and a mark below, as upstream prints it.
    pub fn with_snippet(&self, source: &str) -> String {
        let Some(offset) = self.offset else { return self.message.clone() };
        let mut before = source.chars().take(offset).collect::<Vec<_>>();
        let column = before.iter().rev().take_while(|c| **c != '\n').count();
        before.truncate(offset - column);
        let line: String = source.chars().skip(before.len()).take_while(|c| *c != '\n').collect();
        format!("{}\n | {line}\n | {}^", self.message, ".".repeat(column))
    }
}

/// A checked expression; runs any number of times.
pub struct Program {
    tree: ast::Tree,
    source: Arc<str>,
}

/// Parses and checks an expression against the names and types of an environment.
///
/// # Errors
/// Of stage `Compile`.
pub fn compile(source: &str, environment: &Environment, context: &Context) -> Result<Program, EvalError> {
    let fault = |message: String, offset: usize| error(Stage::Compile, source, message, offset);
    if source.len() > context.source_max {
        return Err(fault("expression is too long".to_owned(), 0));
    }
    let overrides = |name: &str| environment.all().contains_key(name);
    let tree = parser::parse(source, &overrides, context.depth_max).map_err(|(text, at)| fault(text, at))?;
    check::check(&tree, environment).map_err(|(text, at)| fault(text, at))?;
    fold(&tree).map_err(|(text, at)| fault(text, at))?;
    Ok(Program { tree, source: source.into() })
}

/// What upstream's constant folding refuses.
fn fold(tree: &ast::Tree) -> Result<(), lexer::Fault> {
    for (id, node) in tree.all() {
        if let ast::Node::Binary(ast::Binary::Modulo, _, left, right) = node
            && let (ast::Node::Int(_), ast::Node::Int(0)) = (tree.node(*left), tree.node(*right))
        {
            return Err(("integer divide by zero".to_owned(), tree.offset(id)));
        }
    }
    Ok(())
}

impl Program {
    /// Runs the expression.
    ///
    /// # Errors
    /// Of stage `Run`.
    pub fn run(&self, environment: &Environment, context: &Context) -> Result<Value, EvalError> {
        let budget = Budget::new(context);
        let mut machine = Machine::new(&self.tree, environment, &budget);
        match machine.eval(self.tree.root) {
            Ok(value) => Ok(value),
            Err(Stop::Short) => Ok(Value::Null),
            Err(Stop::Fault { message, at }) => Err(error(Stage::Run, &self.source, message, self.tree.offset(at))),
        }
    }
}

/// Compiles and runs an expression.
///
/// # Errors
/// The stage tells whether it was wrong before it ran.
pub fn evaluate(source: &str, variables: &dyn Scope, context: &Context) -> Result<Value, EvalError> {
    let environment = Environment::new(variables);
    compile(source, &environment, context)?.run(&environment, context)
}

/// The dotted paths of the variables that an expression mentions (`steps['a-b'].outputs.result` is
/// `steps.a-b.outputs.result`), sorted, each once; for lint and for finding dependencies.
///
/// # Errors
/// If the expression cannot be parsed.
pub fn identifiers(source: &str) -> Result<Vec<String>, EvalError> {
    let context = Context::default();
    let tree = parser::parse(source, &|_| false, context.depth_max)
        .map_err(|(message, at)| error(Stage::Compile, source, message, at))?;
    let mut found = paths::mentioned(&tree);
    found.sort();
    found.dedup();
    Ok(found)
}

/// The variables in the text that the environment does not have, in the order of the text, each as far as its path
/// is missing (`steps.q` of `steps.q.outputs.result`). What comes after `?.` is not missing.
///
/// # Errors
/// If the expression cannot be parsed.
pub fn missing(source: &str, environment: &Environment, context: &Context) -> Result<Vec<String>, EvalError> {
    let overrides = |name: &str| environment.all().contains_key(name);
    let tree = parser::parse(source, &overrides, context.depth_max)
        .map_err(|(message, at)| error(Stage::Compile, source, message, at))?;
    let mut required = paths::required(&tree);
    required.sort();
    let mut found = Vec::new();
    for (_, path) in required {
        if environment.has(&path) {
            continue;
        }
        let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
        let prefix = ends.map(|end| &path[..end]).find(|prefix| !environment.has(prefix));
        found.push(prefix.unwrap_or(&path).to_owned());
    }
    Ok(found)
}

fn error(stage: Stage, source: &str, message: String, offset: usize) -> EvalError {
    if source.is_empty() {
        return EvalError { stage, message, offset: None };
    }
    let (mut line, mut column) = (1, 1);
    for c in source.chars().take(offset) {
        if c == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    EvalError { stage, message: format!("{message} ({line}:{column})"), offset: Some(offset) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn run(source: &str) -> Result<Value, EvalError> {
        evaluate(source, &BTreeMap::new(), &Context::default())
    }

    fn fails(source: &str) -> String {
        run(source).unwrap_err().message
    }

    #[test]
    fn evaluates() {
        assert_eq!(run("map([1,2,3], # * 2) | sum()").unwrap(), Value::Int(12));
        assert_eq!(run("let x = {a: 1}; x?.b?.c ?? 'none'").unwrap(), Value::str("none"));
        assert_eq!(run("7 / 2").unwrap(), Value::Float(3.5));
        assert_eq!(run("int(7 / 0)").unwrap(), Value::Int(i64::MIN));
        assert_eq!(run("[1] == [1.0]").unwrap(), Value::Bool(true));
        assert_eq!(run("{a: 1} == {a: 1.0}").unwrap(), Value::Bool(false));
    }

    #[test]
    fn limits_are_errors() {
        for source in [
            "(".repeat(20_000),
            "1".to_owned() + &"+1".repeat(20_000),
            "-".repeat(20_000) + "1",
            "[".repeat(20_000),
            "a".to_owned() + &"[0]".repeat(20_000),
            "a".to_owned() + &".b".repeat(20_000),
            "true ? ".repeat(20_000) + "1",
            "1..10000000".to_owned(),
            "repeat('a', 1000000000)".to_owned(),
            "sprig.repeat(1000000000, 'a')".to_owned(),
            "map(1..1000, map(1..1000, map(1..1000, #)))".to_owned(),
            "reduce(1..100000, [#acc], [])".to_owned(),
            "reduce(1..100, #acc + #acc, 'aaaaaaaaaaaaaaaaaaaaaaaa')".to_owned(),
            "let a = 'x'; ".repeat(2000),
            "sprig.untilStep(0, 100000000, 1)".to_owned(),
            "sprig.seq(100000000)".to_owned(),
        ] {
            assert!(run(&source).is_err(), "{:.40}", source);
        }
    }

    #[test]
    fn long_chains_work() {
        let sum = "1".to_owned() + &"+1".repeat(2000);
        assert_eq!(run(&sum).unwrap(), Value::Int(2001));
        let all = "true".to_owned() + &" && true".repeat(2000);
        assert_eq!(run(&all).unwrap(), Value::Bool(true));
    }

    #[test]
    fn limits_hold_on_a_small_stack() {
        let worker = std::thread::Builder::new().stack_size(2 << 20).spawn(|| {
            limits_are_errors();
            let context = Context::default();
            for depth in 1..context.depth_max + 5 {
                for (open, middle, close) in [
                    ("(", "1", ")"),
                    ("[", "1", "]"),
                    ("{a:", "1", "}"),
                    ("map([1],", "#", ")"),
                    ("-", "1", ""),
                    ("string(", "1", ")"),
                    ("if true {", "1", "} else {2}"),
                    ("true ? ", "1", " : 2"),
                ] {
                    let _ = run(&(open.repeat(depth) + middle + &close.repeat(depth)));
                }
            }
        });
        worker.unwrap().join().unwrap();
    }

    #[test]
    fn messages_have_places() {
        assert_eq!(fails("1 +"), "unexpected token EOF (1:3)");
        assert_eq!(fails(""), "unexpected token EOF");
        assert_eq!(fails("1 +\n nope"), "unknown name nope (2:2)");
        assert_eq!(fails("[1,2][5]"), "index out of range: 5 (array length is 2) (1:6)");
    }

    #[test]
    fn longer_names_win() {
        let scope: BTreeMap<String, Value> =
            [("a".to_owned(), "1".into()), ("a.b".to_owned(), "2".into())].into_iter().collect();
        assert_eq!(evaluate("a.b", &scope, &Context::default()).unwrap(), Value::str("2"));
    }

    #[test]
    fn finds_identifiers() {
        let found = identifiers("steps['a-b'].outputs.result == x ? inputs?.parameters.p : map(y, .z)").unwrap();
        assert_eq!(found, ["inputs.parameters.p", "steps.a-b.outputs.result", "x", "y"]);
    }
}
