//! `when` conditions: govaluate's language, in which bare words are strings, as Argo evaluates it.
//! It must never know variables: the text comes after substitution.

mod eval;
mod lexer;
mod plan;

use crate::gofmt;
use crate::value::Value;

/// Tokens of one condition.
const TOKENS_MAX: usize = 20_000;

/// Evaluates the text of a condition; an empty one holds.
///
/// # Errors
/// Upstream's texts, which end up in messages of nodes.
pub fn evaluate(text: &str) -> Result<bool, String> {
    if text.is_empty() {
        return Ok(true);
    }
    let invalid = |reason: String| {
        let hint = if reason.contains("Invalid token") {
            " (hint: try wrapping the affected expression in quotes (\"))"
        } else {
            ""
        };
        format!("Invalid 'when' expression '{text}': {reason}{hint}")
    };
    let mut tokens = lexer::lex(text, TOKENS_MAX).map_err(invalid)?;
    lexer::check(&tokens).map_err(invalid)?;
    lexer::compile_patterns(&mut tokens).map_err(invalid)?;
    // The first plan happens before words become strings; it fails on the same texts as the second.
    lexer::words_to_strings(&mut tokens);
    let failed = |reason: String| format!("Failed to parse 'when' expression '{text}': {reason}");
    lexer::check(&tokens).map_err(failed)?;
    lexer::compile_patterns(&mut tokens).map_err(failed)?;
    let plan = plan::plan(&tokens).map_err(failed)?;
    let result =
        eval::evaluate(&plan).map_err(|reason| format!("Failed to evaluate 'when' expresion '{text}': {reason}"))?;
    match result {
        Value::Bool(result) => Ok(result),
        other => Err(format!("Expected boolean evaluation for '{text}'. Got {}", gofmt::value(&other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_strings() {
        assert_eq!(evaluate("foo != bar"), Ok(true));
        assert_eq!(evaluate("foo in (foo, bar) && 5 > 3"), Ok(true));
        assert_eq!(evaluate("'2024-01-02' == 1704153600"), Ok(true));
        assert_eq!(evaluate("2 ** 3 ** 2 == 64"), Ok(true));
        assert_eq!(evaluate(""), Ok(true));
    }

    #[test]
    fn errors_are_upstreams() {
        assert_eq!(
            evaluate("foo-bar == foo-bar").unwrap_err(),
            "Failed to evaluate 'when' expresion 'foo-bar == foo-bar': Value 'foo' cannot be used with the modifier \
             '-', it is not a number"
        );
        assert_eq!(
            evaluate("$a == b").unwrap_err(),
            "Invalid 'when' expression '$a == b': Invalid token: '$' (hint: try wrapping the affected expression in \
             quotes (\"))"
        );
    }

    #[test]
    fn limits_are_errors() {
        let worker = std::thread::Builder::new().stack_size(2 << 20).spawn(|| {
            for text in [
                "(".repeat(50_000),
                "(".repeat(5_000) + "true" + &")".repeat(5_000),
                "-".repeat(50_000),
                "- ".repeat(5_000) + "1",
                "true".to_owned() + &" && true".repeat(50_000),
                "1".to_owned() + &", 1".repeat(50_000),
            ] {
                assert!(evaluate(&text).is_err());
            }
            assert_eq!(evaluate(&("true".to_owned() + &" && true".repeat(5_000))), Ok(true));
        });
        worker.unwrap().join().unwrap();
    }
}
