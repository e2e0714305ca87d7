//! Functions that look at the words of a string: cases, initials, wrapping.
//! It must never know values other than its arguments.

use super::arguments::{bytes, int, text};
use crate::context::Budget;
use crate::lang::{lower_char as lower, upper_char as upper};
use crate::value::Value;

pub(super) fn run(name: &str, args: &[Value], budget: &Budget<'_>) -> Result<Value, String> {
    let first = text(args, 0);
    Ok(match name {
        "title" => title(&first).into(),
        "untitle" => untitle(&first).into(),
        "nospace" => nospace(bytes(args, 0), &first).into(),
        "initials" => initials(bytes(args, 0)).into(),
        "swapcase" => swap_case(&first).into(),
        "snakecase" => connect(&first, '_').into(),
        "kebabcase" => connect(&first, '-').into(),
        "camelcase" => pascal(&first).into(),
        "wrap" => return wrap(bytes(args, 1), int(args, 0), "\n", false, budget),
        _ => {
            let separator = text(args, 1);
            let separator = if separator.is_empty() { "\n" } else { &*separator };
            return wrap(bytes(args, 2), int(args, 0), separator, true, budget);
        }
    })
}

/// `strings.Title`.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut previous = ' ';
    for c in text.chars() {
        if is_separator(previous) {
            out.push(upper(c))
        } else {
            out.push(c)
        }
        previous = c;
    }
    out
}

fn is_separator(c: char) -> bool {
    if c.is_ascii() {
        return !(c.is_ascii_alphanumeric() || c == '_');
    }
    !c.is_alphanumeric() && c.is_whitespace()
}

fn untitle(text: &str) -> String {
    let mut next = true;
    text.chars()
        .map(|c| {
            let made = if next && !c.is_whitespace() { lower(c) } else { c };
            next = c.is_whitespace();
            made
        })
        .collect()
}

fn swap_case(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            c if c.is_uppercase() => lower(c),
            c if c.is_lowercase() => upper(c),
            c => c,
        })
        .collect()
}

/// `unicode.IsSpace` of a byte taken as a character.
fn byte_is_space(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | b' ' | 0x85 | 0xa0)
}

/// goutils works on bytes and writes each as a character of its own, unless nothing was removed.
fn nospace(bytes: &[u8], text: &str) -> String {
    if !bytes.iter().any(|byte| byte_is_space(*byte)) {
        return text.to_owned();
    }
    bytes.iter().filter(|byte| !byte_is_space(**byte)).map(|byte| char::from(*byte)).collect()
}

fn initials(bytes: &[u8]) -> String {
    let mut gap = true;
    let mut out = String::new();
    for &byte in bytes {
        if byte_is_space(byte) {
            gap = true;
        } else if gap {
            out.push(char::from(byte));
            gap = false;
        }
    }
    out
}

/// What a word is to xstrings.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Upper,
    Alphabet,
    Number,
    Connector,
    Punctuation,
    Other,
}

fn class(c: char) -> Word {
    if matches!(c, '-' | '_') || c.is_whitespace() {
        Word::Connector
    } else if c.is_uppercase() {
        Word::Upper
    } else if c.is_numeric() {
        Word::Number
    } else if c.is_alphabetic() {
        Word::Alphabet
    } else if c.is_ascii_punctuation() && !"$+<=>^`|~".contains(c) {
        Word::Punctuation
    } else {
        Word::Other
    }
}

/// Cuts a text into words: `HTTPServer2` is `HTTP`, `Server`, `2`; the kind is that of the first letter.
fn words(text: &str) -> Vec<(Word, String)> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let start = at;
        let kind = class(chars[at]);
        while at < chars.len() && class(chars[at]) == kind {
            at += 1;
        }
        if kind == Word::Upper && at < chars.len() && class(chars[at]) == Word::Alphabet {
            // The last capital belongs to the letters after it.
            if at - start > 1 {
                at -= 1;
            } else {
                while at < chars.len() && class(chars[at]) == Word::Alphabet {
                    at += 1;
                }
            }
        }
        found.push((kind, chars[start..at].iter().collect()));
    }
    found
}

/// xstrings' `ToSnakeCase` and `ToKebabCase`: words are lowered and joined. A number stays with the word before it
/// unless letters follow it directly.
fn connect(text: &str, connector: char) -> String {
    let words = words(text);
    let mut out = String::new();
    let put = |out: &mut String, (kind, word): &(Word, String)| {
        out.extend(word.chars().map(|c| if *kind == Word::Connector { connector } else { lower(c) }));
    };
    let silent = |kind: Option<Word>| matches!(kind, None | Some(Word::Connector | Word::Punctuation));
    let kind_at = |index: usize| words.get(index).map(|(kind, _)| *kind);
    let mut at = 0;
    while at < words.len() {
        put(&mut out, &words[at]);
        let kind = words[at].0;
        at += 1;
        if matches!(kind, Word::Connector | Word::Punctuation) {
            continue;
        }
        if kind != Word::Number && kind_at(at) == Some(Word::Number) {
            if kind_at(at + 1) == Some(Word::Alphabet) {
                out.push(connector);
            }
            put(&mut out, &words[at]);
            at += 1;
            if kind_at(at) != Some(Word::Alphabet) {
                if !silent(kind_at(at)) {
                    out.push(connector);
                }
                continue;
            }
        } else if kind != Word::Number {
            if !silent(kind_at(at)) {
                out.push(connector);
            }
            continue;
        }
        while matches!(kind_at(at), Some(Word::Alphabet | Word::Number)) {
            put(&mut out, &words[at]);
            at += 1;
        }
        if !silent(kind_at(at)) {
            out.push(connector);
        }
    }
    out
}

/// xstrings' `ToPascalCase`: a connector before a word goes, and the word is raised.
fn pascal(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let kind_at = |index: usize| chars.get(index).map(|c| class(*c));
    let leading = chars.iter().take_while(|c| class(**c) == Word::Connector).count();
    let mut out: String = chars[..leading].iter().collect();
    let mut raise = true;
    for (index, &c) in chars.iter().enumerate().skip(leading) {
        match class(c) {
            Word::Connector => {
                if matches!(kind_at(index + 1), None | Some(Word::Connector)) {
                    out.push(c);
                }
                raise = true;
            }
            _ if raise => {
                out.push(upper(c));
                raise = false;
            }
            Word::Upper => {
                let inside = index.checked_sub(1).and_then(kind_at) == Some(Word::Upper);
                let ends = kind_at(index + 1) == Some(Word::Alphabet);
                out.push(if inside && !ends { lower(c) } else { c });
            }
            _ => out.push(c),
        }
    }
    out
}

/// goutils' `WrapCustom`, which counts bytes.
fn wrap(text: &[u8], width: i64, separator: &str, cut_words: bool, budget: &Budget<'_>) -> Result<Value, String> {
    let width = usize::try_from(width.max(1)).unwrap_or(usize::MAX);
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    let add = |out: &mut Vec<u8>, part: &[u8]| {
        out.extend_from_slice(part);
        out.extend_from_slice(separator.as_bytes());
        budget.bytes(part.len() + separator.len())
    };
    while text.len() - at > width {
        if text[at] == b' ' {
            at += 1;
            continue;
        }
        let end = at + width;
        if let Some(space) = text[at..=end].iter().rposition(|byte| *byte == b' ') {
            add(&mut out, &text[at..at + space])?;
            at += space + 1;
        } else if cut_words {
            add(&mut out, &text[at..end])?;
            at = end;
        } else if let Some(space) = text[end..].iter().position(|byte| *byte == b' ') {
            add(&mut out, &text[at..end + space])?;
            at = end + space + 1;
        } else {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
    Ok(Value::from_bytes(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found() {
        for (text, snake) in [
            ("FirstName", "first_name"),
            ("NoHTTPS", "no_https"),
            ("http2xx", "http_2xx"),
            ("HTTP20xOK", "http_20x_ok"),
            ("Duration2m3s", "duration_2m3s"),
            ("Bld4Floor3rd", "bld4_floor_3rd"),
            ("HTTPServer2", "http_server2"),
            ("a.b.c", "a.b.c"),
        ] {
            assert_eq!(connect(text, '_'), snake);
        }
        assert_eq!(pascal("_complex__case_"), "_Complex_Case_");
        assert_eq!(pascal("GOLANG_IS_GREAT"), "GolangIsGreat");
    }
}
