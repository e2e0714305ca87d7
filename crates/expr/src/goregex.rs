//! Go's regular expression syntax (RE2) on top of the `regex` crate, which is linear in time as well.
//! It must never know values.

use regex::{Regex, RegexBuilder};

use crate::gofmt;

/// Bytes of a pattern, and of the program it becomes.
const PATTERN_MAX: usize = 16 << 10;
const PROGRAM_MAX: usize = 2 << 20;

/// `regexp.Compile`.
///
/// # Errors
/// In the style of Go: ``error parsing regexp: …``.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_MAX {
        return Err("error parsing regexp: expression is too long".to_owned());
    }
    let translated = translate(pattern)?;
    RegexBuilder::new(&translated).size_limit(PROGRAM_MAX).nest_limit(100).build().map_err(|error| {
        let reason = reason(pattern, &error.to_string());
        format!("error parsing regexp: {reason}")
    })
}

/// What `regexp.MustCompile` panics with.
pub(crate) fn must_compile(pattern: &str) -> Result<Regex, String> {
    compile(pattern).map_err(|error| {
        let quoted = if pattern.contains('`') { gofmt::quote(pattern) } else { format!("`{pattern}`") };
        format!("regexp: Compile({quoted}): {error}")
    })
}

fn reason(pattern: &str, error: &str) -> String {
    if error.contains("unclosed group") {
        format!("missing closing ): `{pattern}`")
    } else if error.contains("unopened group") {
        format!("unexpected ): `{pattern}`")
    } else if error.contains("unclosed character class") {
        let at = pattern.find('[').unwrap_or(0);
        format!("missing closing ]: `{}`", &pattern[at..])
    } else if error.contains("repetition operator missing") {
        let at = pattern.find(['*', '+', '?']).unwrap_or(0);
        let operator: String = pattern[at..].chars().take(1).collect();
        format!("missing argument to repetition operator: `{operator}`")
    } else {
        format!("invalid expression: `{pattern}`")
    }
}

/// Rewrites what means something else in the `regex` crate: Go's `\d`, `\w`, `\s` and `\b` are ASCII, `[` inside a
/// class and a brace that is no repetition are literal, `\Q…\E` quotes.
fn translate(pattern: &str) -> Result<String, String> {
    let chars: Vec<char> = pattern.chars().collect();
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut at = 0;
    let mut class: Option<usize> = None;
    while at < chars.len() {
        let c = chars[at];
        match (c, class) {
            ('\\', _) => at += escape(&chars[at..], class.is_some(), &mut out)?,
            ('[', None) => {
                out.push('[');
                at += 1;
                if chars.get(at) == Some(&'^') {
                    out.push('^');
                    at += 1;
                }
                class = Some(at);
                if chars.get(at) == Some(&']') {
                    out.push_str("\\]");
                    at += 1;
                }
            }
            ('[', Some(_)) if chars.get(at + 1) == Some(&':') => {
                out.push('[');
                at += 1;
                while at < chars.len() && chars[at] != ']' {
                    out.push(chars[at]);
                    at += 1;
                }
                if at < chars.len() {
                    out.push(']');
                    at += 1;
                }
            }
            (']', Some(_)) => {
                class = None;
                out.push(']');
                at += 1;
            }
            ('[' | '&' | '~', Some(_)) => {
                out.push('\\');
                out.push(c);
                at += 1;
            }
            ('-', Some(start)) if at == start || chars.get(at + 1) == Some(&'-') => {
                out.push_str("\\-");
                at += 1;
            }
            ('{', None) if !is_repetition(&chars[at..]) => {
                out.push_str("\\{");
                at += 1;
            }
            ('(', None) if chars.get(at + 1) == Some(&'?') => {
                group(&chars[at + 1..])?;
                out.push('(');
                at += 1;
            }
            _ => {
                out.push(c);
                at += 1;
            }
        }
    }
    Ok(out)
}

/// Refuses flags and look-around that Go does not have; `chars` begin with the question mark.
fn group(chars: &[char]) -> Result<(), String> {
    let flags: String = chars.iter().take_while(|c| **c != ')' && **c != ':').collect();
    let named = flags.starts_with("?P<") || flags.starts_with("?<");
    if named || !flags.contains(['x', 'R', 'u', '=', '!']) {
        return Ok(());
    }
    let shown: String = flags.chars().take(2).collect();
    Err(format!("error parsing regexp: invalid or unsupported Perl syntax: `({shown}`"))
}

/// Writes one escape and tells how many characters it took.
fn escape(chars: &[char], in_class: bool, out: &mut String) -> Result<usize, String> {
    let Some(&c) = chars.get(1) else {
        return Err("error parsing regexp: trailing backslash at end of expression: ``".to_owned());
    };
    let text = match (c, in_class) {
        ('d', false) => "[0-9]",
        ('d', true) => "0-9",
        ('D', _) => "[^0-9]",
        ('w', false) => "[0-9A-Za-z_]",
        ('w', true) => "0-9A-Za-z_",
        ('W', _) => "[^0-9A-Za-z_]",
        ('s', false) => "[\\t\\n\\f\\r ]",
        ('s', true) => "\\t\\n\\f\\r ",
        ('S', _) => "[^\\t\\n\\f\\r ]",
        ('b', false) => "(?-u:\\b)",
        ('B', false) => "(?-u:\\B)",
        ('Q', false) => {
            let rest: String = chars[2..].iter().collect();
            let quoted = rest.split("\\E").next().unwrap_or_default();
            out.push_str(&regex::escape(quoted));
            let closed = rest.len() > quoted.len();
            return Ok(2 + quoted.chars().count() + if closed { 2 } else { 0 });
        }
        ('A' | 'z' | 'a' | 'f' | 't' | 'n' | 'r' | 'v' | 'p' | 'P' | 'x' | '0'..='7', _) => {
            if c.is_ascii_digit() {
                return octal(chars, out);
            }
            out.push('\\');
            out.push(c);
            return Ok(2);
        }
        (c, _) if c.is_ascii_alphanumeric() => {
            return Err(format!("error parsing regexp: invalid escape sequence: `\\{c}`"));
        }
        (c, _) => {
            if regex_syntax_punctuation(c) {
                out.push('\\');
            }
            out.push(c);
            return Ok(2);
        }
    };
    out.push_str(text);
    Ok(2)
}

/// Punctuation that the `regex` crate wants or allows to be escaped (`\<` and `\>` mean word edges there).
fn regex_syntax_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() && !matches!(c, '<' | '>')
}

fn octal(chars: &[char], out: &mut String) -> Result<usize, String> {
    let digits: String = chars[1..].iter().take(3).take_while(|c| ('0'..='7').contains(*c)).collect();
    if !digits.starts_with('0') && digits.len() < 2 {
        return Err(format!("error parsing regexp: invalid escape sequence: `\\{digits}`"));
    }
    let code = u32::from_str_radix(&digits, 8).unwrap_or(0);
    out.push_str(&format!("\\x{{{code:x}}}"));
    Ok(1 + digits.len())
}

/// True for `{n}`, `{n,}` and `{n,m}`.
fn is_repetition(chars: &[char]) -> bool {
    let Some(end) = chars.iter().position(|c| *c == '}') else { return false };
    let body: String = chars[1..end].iter().collect();
    let (from, to) = body.split_once(',').unwrap_or((&body, ""));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    !from.is_empty() && digits(from) && digits(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ascii() {
        assert!(!compile("^\\w$").unwrap().is_match("\u{e9}"));
        assert!(!compile("^\\d$").unwrap().is_match("\u{0663}"));
        assert!(compile("[[a]").unwrap().is_match("["));
        assert!(compile("[\\w-]+").unwrap().is_match("-"));
        assert!(compile("a{,2}").unwrap().is_match("a{,2}"));
        assert!(compile("\\Qa.b\\E+").unwrap().is_match("a.bb"));
        assert!(compile("\\<x").unwrap().is_match("<x"));
    }

    #[test]
    fn faults_read_as_in_go() {
        assert_eq!(compile("(").unwrap_err(), "error parsing regexp: missing closing ): `(`");
        assert_eq!(compile("*").unwrap_err(), "error parsing regexp: missing argument to repetition operator: `*`");
        assert!(compile("(?=a)").is_err());
        assert!(compile("\\").is_err());
        assert!(compile(&"(".repeat(10_000)).is_err());
        assert!(compile("((a{100}){100}){100}").is_err());
    }
}
