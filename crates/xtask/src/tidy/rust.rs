//! Just enough of Rust's syntax to tell code from comments and strings, tests from the rest, and where functions end.
//! It must never try to understand more: what it cannot tell is the compiler's business.

/// The text with comments, strings and character literals blanked; line breaks and length (in bytes) are kept.
pub fn masked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' | b'b' | b'c' if !continues_word(bytes, at) => match raw_string_end(bytes, at) {
                Some(end) => end,
                None => at + 1,
            },
            b'\'' => char_end(bytes, at).unwrap_or(at + 1),
            _ => at + 1,
        };
        if end > at + 1 {
            blank(&mut out[at..end]);
        }
        at = end;
    }
    // Only whole tokens were blanked, each of them whole characters.
    String::from_utf8_lossy(&out).into_owned()
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

fn continues_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

/// Block comments nest.
fn block_comment_end(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `r"…"`, `r#"…"#`, `br"…"`, `cr"…"`: where it ends, if one begins here.
fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut inner = at;
    while matches!(bytes.get(inner), Some(b'b' | b'c')) && inner == at {
        inner += 1;
    }
    if bytes.get(inner) != Some(&b'r') {
        return None;
    }
    let hashes = bytes[inner + 1..].iter().take_while(|byte| **byte == b'#').count();
    let quote = inner + 1 + hashes;
    if bytes.get(quote) != Some(&b'"') {
        return None;
    }
    let mut closing = vec![b'"'];
    closing.resize(hashes + 1, b'#');
    let length = bytes[quote + 1..].windows(closing.len()).position(|window| window == closing);
    Some(length.map_or(bytes.len(), |length| quote + 1 + length + closing.len()))
}

/// A character literal, as against a lifetime.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = &bytes[at + 1..];
    match rest.first()? {
        b'\\' => rest.iter().skip(2).position(|byte| *byte == b'\'').map(|length| at + length + 4),
        _ => {
            let width = 1 + rest.iter().skip(1).take_while(|byte| **byte & 0xC0 == 0x80).count();
            (rest.get(width) == Some(&b'\'')).then_some(at + width + 2)
        }
    }
}

/// How many lines come before the tests of a file: before `#[cfg(test)]` in front of a module with a body.
pub fn lines_before_tests(masked: &str) -> usize {
    let lines: Vec<&str> = masked.lines().collect();
    let opens_module = |at: usize| {
        let next = lines[at + 1..].iter().find(|line| !line.trim().is_empty() && !line.trim().starts_with("#["));
        next.is_some_and(|line| line.contains("mod ") && line.trim_end().ends_with('{'))
    };
    (0..lines.len()).find(|at| lines[*at].trim() == "#[cfg(test)]" && opens_module(*at)).unwrap_or(lines.len())
}

/// A function: its name, its first line (counted from 1) and how many lines it has from `fn` to its closing brace.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

/// All functions with a body, nested ones too.
pub fn functions(masked: &str) -> Vec<Function> {
    let bytes = masked.as_bytes();
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(offset) = masked[from..].find("fn ") {
        let at = from + offset;
        from = at + 3;
        if continues_word(bytes, at) {
            continue;
        }
        let name: String =
            masked[from..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(bytes, from) {
            let line = 1 + masked[..at].matches('\n').count();
            found.push(Function { name, line, lines: 1 + masked[at..end].matches('\n').count() });
        }
    }
    found
}

/// Past the closing brace of the body, or `None` for a declaration without one.
fn body_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0;
    let mut opened = None;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' | b'{' => {
                if *byte == b'{' && depth == 0 && opened.is_none() {
                    opened = Some(at);
                }
                depth += 1;
            }
            b')' | b']' | b'}' => {
                depth -= 1;
                if depth == 0 && opened.is_some() {
                    return Some(at + 1);
                }
            }
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_what_is_not_code() {
        let text = r####"let a = "x\"fn"; // fn
let b = 'x'; let c: &'static str = r#"fn " y"#; /* fn /* fn */ fn */ let d = '\''; let e = b"fn"; let f = 'é'; end"####;
        let code = masked(text);
        assert_eq!(code.len(), text.len());
        assert!(!code.contains("fn") && !code.contains("é"), "{code}");
        assert!(code.contains("&'static str") && code.ends_with("end"), "{code}");
    }

    #[test]
    fn finds_functions_and_their_ends() {
        let text = "trait T {\n    fn declared(&self) -> [u8; 3];\n    fn given(&self) {\n        if a { b }\n    }\n}\ntype F = fn (u8);\nfn one() {}\n";
        let found = functions(&masked(text));
        let found: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(found, [("given", 3, 3), ("one", 8, 1)]);
    }

    #[test]
    fn tells_tests_from_the_rest() {
        assert_eq!(lines_before_tests("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
        assert_eq!(lines_before_tests("#[cfg(test)]\nmod tests;\nb\n#[cfg(test)]\nuse x;\n"), 5);
    }
}
