//! The text of a path into tokens.
//! It must never know a document.

/// One step of a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Root,
    Current,
    Wildcard,
    Recursive,
    Length,
    Key(String),
    Index(i64),
    /// Start, end, step.
    Range(Bound, Bound, Bound),
    Union(Vec<Item>),
    Filter(String),
    Script(String),
}

/// A bound of a range.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bound {
    None,
    Number(i64),
    Script(String),
}

/// A member of a union.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    Key(String),
    Index(i64),
    Script(String),
}

pub(super) fn parse(path: &str) -> Result<Vec<Token>, String> {
    split(path)?.iter().map(|text| parse_one(text)).collect()
}

fn unexpected(text: &str, at: usize) -> String {
    format!("unexpected token '{text}' at index {at}")
}

/// Cuts a path into the texts of its tokens.
fn split(path: &str) -> Result<Vec<String>, String> {
    let chars: Vec<char> = path.chars().collect();
    match chars.first() {
        None => return Err(unexpected("", 0)),
        Some('$' | '@') => {}
        Some(c) => return Err(unexpected(&c.to_string(), 0)),
    }
    if let Some(c) = chars.get(1).filter(|c| **c != '.' && **c != '[') {
        return Err(unexpected(&c.to_string(), 1));
    }
    let mut found = vec![chars[0].to_string()];
    let mut held = String::new();
    let (mut opened, mut closed, mut brackets) = (0usize, 0usize, 0i32);
    for &c in &chars[1..] {
        held.push(c);
        if opened == 0 {
            brackets += i32::from(c == '(') - i32::from(c == ')');
            if brackets > 0 {
                continue;
            }
        }
        if held == "." {
            continue;
        }
        if held == ".." {
            found.push(std::mem::take(&mut held));
            continue;
        }
        if c == '[' {
            opened += 1;
            if opened > 1 || held == "[" || held == ".[" {
                continue;
            }
            held.pop();
            found.push(held.strip_prefix('.').unwrap_or(&held).to_owned());
            held = "[".to_owned();
            continue;
        }
        if opened > 0 {
            closed += usize::from(c == ']');
            if c == ']' && opened == closed {
                let token = std::mem::take(&mut held);
                found.push(token.strip_prefix('.').unwrap_or(&token).to_owned());
                (opened, closed) = (0, 0);
            }
        } else if c == '.' {
            held.pop();
            found.push(held.strip_prefix('.').unwrap_or(&held).to_owned());
            held = ".".to_owned();
        }
    }
    if !held.is_empty() {
        found.push(held.strip_prefix('.').unwrap_or(&held).to_owned());
    }
    // `$.a..` ends in a recursion without a token after it.
    Ok(found)
}

fn parse_one(text: &str) -> Result<Token, String> {
    let text = text.trim();
    let wrong = || format!("invalid token. '{text}' does not match any token format");
    match text {
        "" => return Err("invalid token. token string is empty".to_owned()),
        "$" => return Ok(Token::Root),
        "@" => return Ok(Token::Current),
        "*" => return Ok(Token::Wildcard),
        ".." => return Ok(Token::Recursive),
        "length" => return Ok(Token::Length),
        _ => {}
    }
    let Some(rest) = text.strip_prefix('[') else { return Ok(Token::Key(text.to_owned())) };
    let inner = rest.strip_suffix(']').map(str::trim).filter(|inner| !inner.is_empty()).ok_or_else(wrong)?;
    if inner == "*" {
        return Ok(Token::Wildcard);
    }
    if inner.starts_with('?') {
        let expression = inner.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')).ok_or_else(wrong)?;
        return Ok(Token::Filter(expression.trim().to_owned()));
    }
    subscript(inner).ok_or_else(wrong)
}

fn subscript(inner: &str) -> Option<Token> {
    let commas = cut(inner, ',');
    let colons = cut(inner, ':');
    if commas.len() > 1 {
        let items = commas.iter().map(|part| item(part)).collect::<Option<Vec<_>>>()?;
        return (colons.len() == 1).then_some(Token::Union(items));
    }
    if colons.len() > 1 {
        let mut bounds = colons.iter().map(|part| bound(part)).collect::<Option<Vec<_>>>()?;
        if bounds.len() > 3 {
            return None;
        }
        bounds.resize(3, Bound::None);
        let step = bounds.pop()?;
        let end = bounds.pop()?;
        return Some(Token::Range(bounds.pop()?, end, step));
    }
    Some(match item(inner)? {
        Item::Key(key) => Token::Key(key),
        Item::Index(index) => Token::Index(index),
        Item::Script(expression) => Token::Script(expression),
    })
}

/// Cuts at a separator that is in no quotes and brackets.
fn cut(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quote, mut depth) = (None, 0i32);
    let mut escaped = false;
    for c in text.chars() {
        if c == separator && quote.is_none() && depth == 0 {
            parts.push(String::new());
            continue;
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        if escaped {
            escaped = false;
            continue;
        }
        match c {
            '\\' => escaped = true,
            '\'' | '"' if depth == 0 => match quote {
                None => quote = Some(c),
                Some(open) if open == c => quote = None,
                Some(_) => {}
            },
            '(' | '[' if quote.is_none() => depth += 1,
            ')' | ']' if quote.is_none() => depth -= 1,
            _ => {}
        }
    }
    parts
}

fn script(text: &str) -> Option<String> {
    let inner = text.strip_prefix('(')?.strip_suffix(')')?;
    (!inner.is_empty()).then(|| inner.to_owned())
}

fn key(text: &str) -> Option<String> {
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            let escaped = format!("\\{quote}");
            return Some(inner.replace(&escaped, &quote.to_string()).replace("\\\\", "\\"));
        }
    }
    None
}

fn item(text: &str) -> Option<Item> {
    let text = text.trim();
    if let Some(expression) = script(text) {
        return Some(Item::Script(expression));
    }
    if let Some(key) = key(text) {
        return Some(Item::Key(key));
    }
    text.parse().ok().map(Item::Index)
}

fn bound(text: &str) -> Option<Bound> {
    let text = text.trim();
    if text.is_empty() {
        return Some(Bound::None);
    }
    match script(text) {
        Some(expression) => Some(Bound::Script(expression)),
        None => text.parse().ok().map(Bound::Number),
    }
}
