//! Text that tasks and documents wrote, made harmless for a terminal. Colours are added afterwards.
//! It must never let through what moves a cursor, names a window or answers a program.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text with its control characters (C0, DEL, C1, and those that turn the direction of writing) shown as escapes.
pub fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, is_control)
}

/// The same of a text of several lines.
pub fn plain_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_control(c))
}

fn escaped(text: &str, bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&bad) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if bad(c) { escape(c, &mut out) } else { out.push(c) }
    }
    out.into()
}

fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `\n`, `\x1b`, `\u{202e}`.
fn escape(c: char, out: &mut String) {
    let _ = match c {
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        c if u32::from(c) < 0x100 => write!(out, "\\x{:02x}", u32::from(c)),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    };
}

/// A line of a log for a terminal: colours (SGR) stay, and end with the line; other controls are escaped.
pub fn with_colors(line: &str) -> Cow<'_, str> {
    if !line.contains(|c| c != '\t' && is_control(c)) {
        return line.into();
    }
    let (mut out, mut rest, mut colored) = (String::with_capacity(line.len() + 8), line, false);
    while let Some(c) = rest.chars().next() {
        let length = match sgr(rest) {
            Some(length) => {
                out.push_str(&rest[..length]);
                colored = true;
                length
            }
            None => {
                if c != '\t' && is_control(c) {
                    escape(c, &mut out)
                } else {
                    out.push(c)
                }
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    if colored {
        out.push_str("\x1b[0m");
    }
    out.into()
}

/// Bytes of the SGR sequence (ESC [ … m) that a text begins with.
pub fn sgr(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let length = parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    parameters[length..].starts_with('m').then_some(2 + length + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_are_shown_and_nothing_else_is_changed() {
        assert_eq!(plain("träin (0:a) ✔"), "träin (0:a) ✔");
        assert_eq!(plain("a\x1b]0;own\x07b\x1b[2J\r\n\t"), "a\\x1b]0;own\\x07b\\x1b[2J\\r\\n\\t");
        assert_eq!(plain("\u{9b}2J\u{7f}\u{202e}x"), "\\x9b2J\\x7f\\u{202e}x");
        assert_eq!(plain_lines("a\nb\x1bc"), "a\nb\\x1bc");
    }

    #[test]
    fn of_a_line_only_colours_stay() {
        assert_eq!(with_colors("plain\ttext"), "plain\ttext");
        assert_eq!(with_colors("\x1b[1;31mred\x1b[m x"), "\x1b[1;31mred\x1b[m x\x1b[0m");
        assert_eq!(with_colors("a\x1b[2Jb\x1b[31"), "a\\x1b[2Jb\\x1b[31");
        assert_eq!(with_colors("\x1b]52;c;aGk=\x07\x1b\x1b[0m"), "\\x1b]52;c;aGk=\\x07\\x1b\x1b[0m\x1b[0m");
    }
}
