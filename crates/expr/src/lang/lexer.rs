//! Source text of an expression into tokens, as expr-lang v1.17.8 reads it.
//! It must never know what the tokens mean.

use crate::gofmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Identifier,
    Number,
    String,
    Bytes,
    Operator,
    Bracket,
    Eof,
}

#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub kind: Kind,
    /// The text; of a string its value.
    pub text: String,
    /// The value of a bytes literal.
    pub bytes: Vec<u8>,
    /// In characters from the start.
    pub offset: usize,
}

impl Token {
    pub fn is(&self, kind: Kind, text: &str) -> bool {
        self.kind == kind && self.text == text
    }

    /// As messages show it: `Operator(".")`, `EOF`.
    pub fn describe(&self) -> String {
        let name = match self.kind {
            Kind::Identifier => "Identifier",
            Kind::Number => "Number",
            Kind::String => "String",
            Kind::Bytes => "Bytes",
            Kind::Operator => "Operator",
            Kind::Bracket => "Bracket",
            Kind::Eof => "EOF",
        };
        if self.text.is_empty() { name.to_owned() } else { format!("{name}({})", gofmt::quote(&self.text)) }
    }
}

/// A message and where it applies, in characters.
pub(crate) type Fault = (String, usize);

const WORDS: [&str; 11] =
    ["not", "in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "if", "else"];

pub(crate) fn lex(source: &str) -> Result<Vec<Token>, Fault> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0, start: 0, tokens: Vec::new() };
    while lexer.step()? {}
    Ok(lexer.tokens)
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    start: usize,
    tokens: Vec<Token>,
}

fn is_word(c: char) -> bool {
    c == '_' || c == '$' || c.is_alphabetic() || c.is_numeric()
}

impl Lexer {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        if c.is_some() {
            self.at += 1;
        }
        c
    }

    fn accept(&mut self, valid: &str) -> bool {
        let found = self.peek().is_some_and(|c| valid.contains(c));
        if found {
            self.at += 1;
        }
        found
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn word(&self) -> String {
        self.chars[self.start..self.at].iter().collect()
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.word();
        self.emit_text(kind, text);
    }

    fn emit_text(&mut self, kind: Kind, text: String) {
        self.tokens.push(Token { kind, text, bytes: Vec::new(), offset: self.start });
        self.start = self.at;
    }

    fn fault<T>(&self, message: impl Into<String>) -> Result<T, Fault> {
        Err((message.into(), self.at.saturating_sub(1).max(self.start)))
    }

    /// Reads one token; false at the end.
    fn step(&mut self) -> Result<bool, Fault> {
        self.start = self.at;
        let Some(c) = self.next() else {
            self.emit_text(Kind::Eof, String::new());
            if let Some(last) = self.tokens.last_mut() {
                // Upstream points at the last character.
                last.offset = self.at.saturating_sub(1);
            }
            return Ok(false);
        };
        match c {
            ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{a0}' => {}
            '\'' | '"' => self.string(c)?,
            '`' => self.raw_string()?,
            '0'..='9' => {
                self.at -= 1;
                self.number()?;
            }
            '?' => {
                self.accept(".?");
                self.emit(Kind::Operator);
            }
            '/' => self.slash()?,
            '#' => self.pointer(),
            '|' => {
                self.accept("|");
                self.emit(Kind::Operator);
            }
            ':' => {
                self.accept(":");
                self.emit(Kind::Operator);
            }
            '(' | '[' | '{' | ')' | ']' | '}' => self.emit(Kind::Bracket),
            ',' | ';' | '%' | '+' | '-' | '^' => self.emit(Kind::Operator),
            '&' | '!' | '=' | '*' | '<' | '>' => {
                self.accept("&=*");
                self.emit(Kind::Operator);
            }
            '.' => self.dot()?,
            'b' | 'B' if matches!(self.peek(), Some('\'' | '"')) => self.bytes()?,
            c if is_word(c) => self.identifier(),
            c => return self.fault(format!("unrecognized character: U+{:04X} '{c}'", c as u32)),
        }
        Ok(true)
    }

    fn dot(&mut self) -> Result<(), Fault> {
        if self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.at = self.start;
            return self.number();
        }
        self.accept(".");
        self.emit(Kind::Operator);
        Ok(())
    }

    fn identifier(&mut self) {
        while self.peek().is_some_and(is_word) {
            self.at += 1;
        }
        let kind = if WORDS.contains(&self.word().as_str()) { Kind::Operator } else { Kind::Identifier };
        self.emit(kind);
    }

    fn pointer(&mut self) {
        self.accept("#");
        self.emit(Kind::Operator);
        while self.peek().is_some_and(is_word) {
            self.at += 1;
        }
        if self.at > self.start {
            self.emit(Kind::Identifier);
        }
    }

    fn slash(&mut self) -> Result<(), Fault> {
        if self.accept("/") {
            while self.next().is_some_and(|c| c != '\n') {}
        } else if self.accept("*") {
            loop {
                match self.next() {
                    None => return self.fault("unclosed comment"),
                    Some('*') if self.accept("/") => break,
                    Some(_) => {}
                }
            }
        } else {
            self.emit(Kind::Operator);
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        let end = self.at;
        if self.accept(".") {
            if self.peek() == Some('.') {
                // `1..2` is a range.
                self.at = end;
                self.emit(Kind::Number);
                return Ok(());
            }
            self.accept_run(digits);
        }
        if self.accept("eE") {
            self.accept("+-");
            self.accept_run(digits);
        }
        if self.peek().is_some_and(is_word) {
            self.at += 1;
            return self.fault(format!("bad number syntax: {}", gofmt::quote(&self.word())));
        }
        self.emit(Kind::Number);
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), Fault> {
        let text = self.quoted(quote, false)?;
        let text = String::from_utf8(text).unwrap_or_default();
        self.emit_text(Kind::String, text);
        Ok(())
    }

    fn bytes(&mut self) -> Result<(), Fault> {
        let Some(quote) = self.next() else { return Ok(()) };
        let bytes = self.quoted(quote, true)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.emit_text(Kind::Bytes, text);
        if let Some(last) = self.tokens.last_mut() {
            last.bytes = bytes;
        }
        Ok(())
    }

    fn raw_string(&mut self) -> Result<(), Fault> {
        let mut text = String::new();
        loop {
            match self.next() {
                None => return self.fault("literal not terminated"),
                // Two back quotes are one.
                Some('`') if self.accept("`") => text.push('`'),
                Some('`') => break,
                Some(c) => text.push(c),
            }
        }
        self.emit_text(Kind::String, text);
        Ok(())
    }

    fn quoted(&mut self, quote: char, binary: bool) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        let mut buffer = [0; 4];
        loop {
            match self.next() {
                None => return Err(("literal not terminated".to_owned(), self.at)),
                Some('\n') => return self.fault("literal not terminated"),
                Some(c) if c == quote => return Ok(out),
                Some('\\') => self.escape(quote, binary, &mut out)?,
                Some(c) => out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
            }
        }
    }

    fn escape(&mut self, quote: char, binary: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some(c) = self.next() else { return self.fault("literal not terminated") };
        let code = match c {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            '\\' => u32::from(b'\\'),
            c if c == quote => c as u32,
            '0'..='7' => {
                self.at -= 1;
                self.digits(8, 3)?
            }
            'x' => self.digits(16, 2)?,
            'u' if self.peek() == Some('{') && !binary => self.braced()?,
            'u' if !binary => self.digits(16, 4)?,
            'U' if !binary => self.digits(16, 8)?,
            _ => return self.fault("invalid char escape"),
        };
        if binary {
            out.push(u8::try_from(code).or_else(|_| self.fault("invalid char escape"))?);
            return Ok(());
        }
        // Half of a surrogate pair is no character, even if the other half follows.
        let decoded = char::from_u32(code).unwrap_or('\u{fffd}');
        out.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn braced(&mut self) -> Result<u32, Fault> {
        self.at += 1;
        let mut code = 0u32;
        let mut count = 0;
        loop {
            match self.next() {
                Some('}') if count > 0 => return Ok(code),
                Some(c) if c.is_ascii_hexdigit() && count < 6 => code = code * 16 + c.to_digit(16).unwrap_or(0),
                _ => return self.fault("invalid char escape"),
            }
            count += 1;
        }
    }

    fn digits(&mut self, base: u32, count: usize) -> Result<u32, Fault> {
        let mut code = 0u32;
        for _ in 0..count {
            match self.peek().and_then(|c| c.to_digit(base)) {
                Some(digit) => code = code.wrapping_mul(base).wrapping_add(digit),
                None => {
                    self.at += 1;
                    return self.fault("invalid char escape");
                }
            }
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tokens() {
        let texts: Vec<String> =
            lex("1..2 ?. #index not in b'x' 'a\\n\u{e9}'").unwrap().into_iter().map(|token| token.text).collect();
        assert_eq!(texts, ["1", "..", "2", "?.", "#", "index", "not", "in", "x", "a\n\u{e9}", ""]);
    }

    #[test]
    fn reports_faults() {
        assert_eq!(lex("\"\\'\"").unwrap_err().0, "invalid char escape");
        assert_eq!(lex("'abc").unwrap_err().0, "literal not terminated");
        assert_eq!(lex("0o8").unwrap_err().0, "bad number syntax: \"0o8\"");
        assert!(lex("/*").is_err());
        assert!(lex("'\\").is_err());
    }
}
