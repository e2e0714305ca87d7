//! The text of a condition into tokens, and which token may follow which.
//! It must never know what a condition means.

use std::sync::Arc;

use crate::gofmt;
use crate::goregex;
use crate::time::Zone;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Unknown,
    Prefix,
    Numeric,
    Boolean,
    String,
    Pattern,
    Time,
    Variable,
    Accessor,
    Separator,
    Comparator,
    LogicalOp,
    Modifier,
    Clause,
    ClauseClose,
    Ternary,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Unknown => "UNKNOWN",
            Kind::Prefix => "PREFIX",
            Kind::Numeric => "NUMERIC",
            Kind::Boolean => "BOOLEAN",
            Kind::String => "STRING",
            Kind::Pattern => "PATTERN",
            Kind::Time => "TIME",
            Kind::Variable => "VARIABLE",
            Kind::Accessor => "ACCESSOR",
            Kind::Separator => "SEPARATOR",
            Kind::Comparator => "COMPARATOR",
            Kind::LogicalOp => "LOGICALOP",
            Kind::Modifier => "MODIFIER",
            Kind::Clause => "CLAUSE",
            Kind::ClauseClose => "CLAUSE_CLOSE",
            Kind::Ternary => "TERNARY",
        }
    }

    /// Kinds that may follow, and whether the text may end here.
    fn follows(self) -> (&'static [Kind], bool) {
        use Kind::{
            Accessor, Boolean, Clause, ClauseClose, Comparator, LogicalOp, Modifier, Numeric, Pattern, Prefix,
            Separator, String, Ternary, Time, Variable,
        };
        match self {
            Kind::Unknown => (&[Prefix, Numeric, Boolean, Variable, Pattern, Accessor, String, Time, Clause], false),
            Clause => {
                (&[Prefix, Numeric, Boolean, Variable, Pattern, Accessor, String, Time, Clause, ClauseClose], false)
            }
            ClauseClose => (
                &[
                    Comparator,
                    Modifier,
                    Numeric,
                    Boolean,
                    Variable,
                    String,
                    Pattern,
                    Time,
                    Clause,
                    ClauseClose,
                    LogicalOp,
                    Ternary,
                    Separator,
                ],
                true,
            ),
            Numeric | Boolean | String | Variable => {
                (&[Modifier, Comparator, LogicalOp, ClauseClose, Ternary, Separator], true)
            }
            Time | Pattern => (&[Modifier, Comparator, LogicalOp, ClauseClose, Separator], true),
            Modifier => (&[Prefix, Numeric, Variable, Accessor, String, Boolean, Clause, ClauseClose], false),
            Comparator => {
                (&[Prefix, Numeric, Boolean, Variable, Accessor, String, Time, Clause, ClauseClose, Pattern], false)
            }
            LogicalOp => (&[Prefix, Numeric, Boolean, Variable, Accessor, String, Time, Clause, ClauseClose], false),
            Prefix => (&[Numeric, Boolean, Variable, Accessor, Clause, ClauseClose], false),
            Ternary => (&[Prefix, Numeric, Boolean, String, Time, Variable, Accessor, Clause, Separator], false),
            Accessor => (&[Clause, Modifier, Comparator, LogicalOp, ClauseClose, Ternary, Separator], true),
            Separator => (&[Prefix, Numeric, Boolean, String, Time, Variable, Accessor, Clause], false),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub kind: Kind,
    /// The symbol, the word or the string; of an accessor the whole of it.
    pub text: Arc<str>,
    /// Of numbers and times (seconds since the epoch).
    pub number: f64,
    pub pattern: Option<regex::Regex>,
}

impl Token {
    fn new(kind: Kind, text: impl Into<Arc<str>>) -> Token {
        Token { kind, text: text.into(), number: 0.0, pattern: None }
    }

    /// The value as `%v` prints it in messages.
    fn shown(&self) -> String {
        match self.kind {
            Kind::Numeric => gofmt::float(self.number),
            Kind::Clause => "40".to_owned(),
            Kind::ClauseClose => "41".to_owned(),
            Kind::Accessor => format!("[{}]", self.text.replace('.', " ")),
            _ => self.text.to_string(),
        }
    }
}

pub(super) fn lex(text: &str, tokens_max: usize) -> Result<Vec<Token>, String> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0 };
    let mut tokens: Vec<Token> = Vec::new();
    let mut state = Kind::Unknown;
    while let Some(token) = lexer.token(state)? {
        state = token.kind;
        tokens.push(token);
        if tokens.len() > tokens_max {
            return Err("expression is too long".to_owned());
        }
    }
    let mut open = 0i64;
    for token in &tokens {
        match token.kind {
            Kind::Clause => open += 1,
            Kind::ClauseClose => open -= 1,
            _ => {}
        }
    }
    if open == 0 { Ok(tokens) } else { Err("Unbalanced parenthesis".to_owned()) }
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
}

fn is_numeric(c: char) -> bool {
    c.is_numeric() && c.is_ascii_digit() || c == '.'
}

fn is_word(c: char) -> bool {
    c.is_alphabetic() || c.is_numeric() || c == '_' || c == '.'
}

fn is_quote(c: char) -> bool {
    c == '\'' || c == '"'
}

fn is_symbol(c: char) -> bool {
    !(c.is_alphabetic() || c.is_numeric() || "()[]".contains(c) || is_quote(c))
}

impl Lexer {
    fn token(&mut self, state: Kind) -> Result<Option<Token>, String> {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        let Some(&c) = self.chars.get(self.at) else { return Ok(None) };
        if is_numeric(c) {
            return self.number().map(Some);
        }
        match c {
            ',' => return Ok(Some(self.single(Kind::Separator, ","))),
            '(' => return Ok(Some(self.single(Kind::Clause, "("))),
            ')' => return Ok(Some(self.single(Kind::ClauseClose, ")"))),
            '[' => {
                self.at += 1;
                let name = self.until(|c| c == ']').ok_or("Unclosed parameter bracket")?;
                return Ok(Some(Token::new(Kind::Variable, name)));
            }
            c if c.is_alphabetic() => return self.word().map(Some),
            c if is_quote(c) => {
                self.at += 1;
                let text = self.until(is_quote).ok_or("Unclosed string literal")?;
                return Ok(Some(match parse_time(&text) {
                    Some((unix, shown)) => Token { number: unix, ..Token::new(Kind::Time, shown) },
                    None => Token::new(Kind::String, text),
                }));
            }
            _ => {}
        }
        let symbol = self.run(is_symbol);
        let kind = symbol_kind(&symbol, state).ok_or_else(|| format!("Invalid token: '{symbol}'"))?;
        Ok(Some(Token::new(kind, symbol)))
    }

    fn single(&mut self, kind: Kind, text: &str) -> Token {
        self.at += 1;
        Token::new(kind, text)
    }

    /// Reads while it fits; a backslash takes the next character as it is, white space ends it.
    fn run(&mut self, fits: impl Fn(char) -> bool) -> String {
        let mut out = String::new();
        while let Some(&c) = self.chars.get(self.at) {
            if c.is_whitespace() && !out.is_empty() {
                break;
            }
            if c == '\\' {
                self.at += 1;
                if let Some(&escaped) = self.chars.get(self.at) {
                    out.push(escaped);
                    self.at += 1;
                }
                continue;
            }
            if !fits(c) {
                break;
            }
            out.push(c);
            self.at += 1;
        }
        out
    }

    /// Reads to a terminator and past it.
    fn until(&mut self, ends: impl Fn(char) -> bool) -> Option<String> {
        let mut out = String::new();
        while let Some(&c) = self.chars.get(self.at) {
            self.at += 1;
            if c == '\\' {
                if let Some(&escaped) = self.chars.get(self.at) {
                    out.push(escaped);
                    self.at += 1;
                }
                continue;
            }
            if ends(c) {
                return Some(out);
            }
            out.push(c);
        }
        None
    }

    fn number(&mut self) -> Result<Token, String> {
        let hex = self.chars[self.at] == '0'
            && self.chars.get(self.at + 1) == Some(&'x')
            && self.chars.get(self.at + 2).is_some();
        let number = if hex {
            self.at += 2;
            let digits = self.run(|c| c.is_ascii_hexdigit());
            u64::from_str_radix(&digits, 16).map_err(|_| format!("Unable to parse hex value '{digits}' to uint64\n"))?
                as f64
        } else {
            let digits = self.run(is_numeric);
            crate::lang::parse_float(&digits)
                .ok_or_else(|| format!("Unable to parse numeric value '{digits}' to float64\n"))?
        };
        Ok(Token { number, ..Token::new(Kind::Numeric, "") })
    }

    fn word(&mut self) -> Result<Token, String> {
        let word = self.run(is_word);
        Ok(match word.as_str() {
            "true" | "false" => Token::new(Kind::Boolean, word),
            "in" | "IN" => Token::new(Kind::Comparator, "in"),
            _ if word.find('.').is_some_and(|at| at > 0) => {
                if word.ends_with('.') {
                    return Err(format!("Hanging accessor on token '{word}'"));
                }
                for part in word.split('.').skip(1) {
                    let lower = part.chars().next().is_some_and(|c| c.to_uppercase().next() != Some(c));
                    if lower {
                        return Err(format!("Unable to access unexported field '{part}' in token '{word}'"));
                    }
                }
                Token::new(Kind::Accessor, word)
            }
            _ => Token::new(Kind::Variable, word),
        })
    }
}

fn symbol_kind(symbol: &str, state: Kind) -> Option<Kind> {
    if state.follows().0.contains(&Kind::Prefix) && matches!(symbol, "-" | "!" | "~") {
        return Some(Kind::Prefix);
    }
    match symbol {
        "+" | "-" | "*" | "/" | "%" | "**" | "&" | "|" | "^" | ">>" | "<<" => Some(Kind::Modifier),
        "&&" | "||" => Some(Kind::LogicalOp),
        "==" | "!=" | ">" | ">=" | "<" | "<=" | "=~" | "!~" => Some(Kind::Comparator),
        "?" | ":" | "??" => Some(Kind::Ternary),
        _ => None,
    }
}

/// Quoted strings that look like a time are numbers.
fn parse_time(text: &str) -> Option<(f64, String)> {
    const LAYOUTS: [&str; 14] = [
        "Mon Jan _2 15:04:05 2006",
        "Mon Jan _2 15:04:05 MST 2006",
        "Mon Jan 02 15:04:05 -0700 2006",
        "3:04PM",
        "2006-01-02T15:04:05Z07:00",
        "2006-01-02T15:04:05.999999999Z07:00",
        "2006-01-02",
        "2006-01-02 15:04",
        "2006-01-02 15:04:05",
        "2006-01-02 15:04:05-07:00",
        "2006-01-02T15Z0700",
        "2006-01-02T15:04Z0700",
        "2006-01-02T15:04:05Z0700",
        "2006-01-02T15:04:05.999999999Z0700",
    ];
    let time = LAYOUTS.iter().find_map(|layout| gofmt::parse_time(layout, text, &Zone::Utc).ok())?;
    Some((time.unix as f64, time.to_text()))
}

/// Checks which token follows which.
pub(super) fn check(tokens: &[Token]) -> Result<(), String> {
    let mut state = Kind::Unknown;
    let mut last: Option<&Token> = None;
    for token in tokens {
        if !state.follows().0.contains(&token.kind) {
            let shown = last.map_or_else(|| "<nil>".to_owned(), Token::shown);
            if state == Kind::Variable && token.kind == Kind::Clause {
                return Err(format!("Undefined function {shown}"));
            }
            return Err(format!(
                "Cannot transition token types from {} [{shown}] to {} [{}]",
                state.name(),
                token.kind.name(),
                token.shown()
            ));
        }
        state = token.kind;
        last = Some(token);
    }
    if state.follows().1 { Ok(()) } else { Err("Unexpected end of expression".to_owned()) }
}

/// A string on the right of `=~` is a regular expression.
pub(super) fn compile_patterns(tokens: &mut [Token]) -> Result<(), String> {
    for index in 1..tokens.len() {
        let matching = tokens[index - 1].kind == Kind::Comparator && matches!(&*tokens[index - 1].text, "=~" | "!~");
        if matching && tokens[index].kind == Kind::String {
            tokens[index].pattern = Some(goregex::compile(&tokens[index].text)?);
            tokens[index].kind = Kind::Pattern;
        }
    }
    Ok(())
}

/// Argo has no variables here: bare words are strings.
pub(super) fn words_to_strings(tokens: &mut [Token]) {
    for token in tokens {
        if token.kind == Kind::Variable {
            token.kind = Kind::String;
        }
    }
}
