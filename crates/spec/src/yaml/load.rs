//! Text to trees: granit-parser's events, put together without recursion and inside limits of depth, size and number.
//! It must never know what a document means.

use super::node::{Entry, Node, Scalar, Style, Value};
use super::{Duplicate, YamlError, expand, load_json};
use crate::diagnostic::Span;
use granit_parser::{Event, Parser, ScalarStyle, StructureStyle, Tag};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Nesting of collections. (Go's limit is 10,000; no workflow comes near either.)
pub const DEPTH_MAX: usize = 400;
/// Values in one document.
pub const NODES_MAX: usize = 4_000_000;
/// YAML's own limit for a key that stands before its colon on one line, in characters.
const SIMPLE_KEY_MAX: usize = 1024;

/// One document of a stream.
pub struct Document {
    pub root: Rc<Node>,
    /// Keys that are written twice; the last one won.
    pub duplicates: Vec<Duplicate>,
}

/// A line break of YAML 1.1 that the parser does not know.
const NEXT_LINE: char = '\u{85}';

/// Every document of `text`. Documents are told apart by lines that begin with `---`, as Argo does, so that a fault in
/// one does not hide the others. Documents without content are left out.
pub fn load(text: &str) -> Vec<Result<Document, YamlError>> {
    if text.len() > model::limits::SOURCE_BYTES_MAX {
        let message = format!("the file is larger than {} MiB", model::limits::SOURCE_BYTES_MAX >> 20);
        return vec![Err(YamlError::with_help(Span::at_start(), message, "split it, or pass data as artifacts"))];
    }
    // As long as the two bytes that stand for it, so that every place stays where it is.
    let unified = text.contains(NEXT_LINE).then(|| text.replace(NEXT_LINE, "\r\n"));
    let text = unified.as_deref().unwrap_or(text);
    // A JSON document is read as JSON: its numbers keep their spelling.
    if text.trim_start().starts_with('{')
        && let Ok(root) = load_json(text)
    {
        return vec![Ok(Document { root, duplicates: Vec::new() })];
    }
    let mut documents = Vec::new();
    for (start, line, chunk) in chunks(text) {
        match first_document(chunk, NODES_MAX) {
            Ok(None) => {}
            Ok(Some(root)) if root.is_null() => {}
            Ok(Some(root)) => documents.push(finish(&shifted(root, start, line))),
            Err(error) => documents.push(Err(YamlError { span: error.span.shifted(start, line), ..error })),
        }
    }
    documents
}

/// The first document of `text`, which is what Go's `yaml.Unmarshal` reads. `None`: there is nothing.
pub fn load_first(text: &str) -> Result<Option<Document>, YamlError> {
    first_document(&text.replace(NEXT_LINE, "\r\n"), NODES_MAX)?.map(|root| finish(&root)).transpose()
}

fn finish(root: &Rc<Node>) -> Result<Document, YamlError> {
    let (root, duplicates) = expand(root)?;
    Ok(Document { root, duplicates })
}

/// Byte offset, number of lines before, and text of each part between `---` lines.
fn chunks(text: &str) -> Vec<(usize, u32, &str)> {
    let mut found = Vec::new();
    let (mut start, mut start_line, mut line, mut has_content) = (0, 0, 0, false);
    let mut at = 0;
    for row in text.split_inclusive('\n') {
        let marker =
            row.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        // Directives and comments in front of `---` belong to the document behind it.
        if marker && has_content {
            found.push((start, start_line, &text[start..at]));
            (start, start_line) = (at, line);
            has_content = false;
        }
        let content = if marker { row[3..].trim() } else { row.trim() };
        has_content |= marker || !(content.is_empty() || content.starts_with(['#', '%']));
        at += row.len();
        line += 1;
    }
    found.push((start, start_line, &text[start..]));
    found
}

/// Moves every span of a tree; nodes that are shared stay shared.
fn shifted(root: Rc<Node>, bytes: usize, lines: u32) -> Rc<Node> {
    if bytes == 0 {
        return root;
    }
    shift(&root, bytes, lines, &mut BTreeMap::new())
}

fn shift(node: &Rc<Node>, bytes: usize, lines: u32, done: &mut BTreeMap<*const Node, Rc<Node>>) -> Rc<Node> {
    if let Some(found) = done.get(&Rc::as_ptr(node)) {
        return Rc::clone(found);
    }
    let value = match &node.value {
        Value::Scalar(scalar) => Value::Scalar(scalar.clone()),
        Value::Sequence(items) => Value::Sequence(items.iter().map(|item| shift(item, bytes, lines, done)).collect()),
        Value::Mapping(entries) => Value::Mapping(
            entries
                .iter()
                .map(|e| Entry { key: shift(&e.key, bytes, lines, done), value: shift(&e.value, bytes, lines, done) })
                .collect(),
        ),
        Value::Alias(target) => Value::Alias(shift(target, bytes, lines, done)),
    };
    let moved = Rc::new(Node { span: node.span.shifted(bytes, lines), value });
    // Only shared nodes are worth remembering.
    if Rc::strong_count(node) > 1 {
        done.insert(Rc::as_ptr(node), Rc::clone(&moved));
    }
    moved
}

/// A collection that is not closed yet.
enum Open {
    Sequence { span: Span, anchor: usize, flow: bool, height: usize, items: Vec<Rc<Node>> },
    Mapping { span: Span, anchor: usize, flow: bool, height: usize, entries: Vec<Entry>, key: Option<Rc<Node>> },
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    /// How many of `open` are within brackets.
    flow: usize,
    /// What each anchor names, and how many levels it has with its aliases followed.
    anchors: BTreeMap<usize, (Rc<Node>, usize)>,
    root: Option<Rc<Node>>,
    nodes: usize,
    nodes_max: usize,
}

fn first_document(text: &str, nodes_max: usize) -> Result<Option<Rc<Node>>, YamlError> {
    if let Some(error) = forbidden_character(text) {
        return Err(error);
    }
    let options = granit_parser::options! {
        emit_comments: false,
        bom_inside_document_as_content: true,
        block_scalar_eof_without_line_feed: true,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
        simple_key_max_lookahead: SIMPLE_KEY_MAX,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder { nodes_max, ..Builder::default() };
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| scan_error(&error))?;
        let span = convert(span, text);
        match event {
            Event::DocumentEnd | Event::StreamEnd => break,
            event => {
                builder.refuse_what_go_refuses(&event, span, text)?;
                builder.event(event, span)?;
            }
        }
    }
    if builder.root.is_none() && text.starts_with('\t') {
        return Err(tab(Span::at_start()));
    }
    Ok(builder.root)
}

impl Builder {
    /// granit-parser reads YAML 1.2; libyaml's port in Go does not.
    fn refuse_what_go_refuses(&mut self, event: &Event<'_>, span: Span, text: &str) -> Result<(), YamlError> {
        match event {
            Event::DocumentStart(_, Some(version)) if (version.major, version.minor) != (1, 1) => {
                return Err(YamlError::with_help(span, "only `%YAML 1.1` is known", "remove the directive"));
            }
            Event::Scalar(_, ScalarStyle::DoubleQuoted, ..) => wrong_escape(span, text)?,
            Event::SequenceStart(StructureStyle::Flow, ..) | Event::MappingStart(StructureStyle::Flow, ..) => {
                self.flow += 1;
                return Ok(());
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.flow = self.flow.saturating_sub(usize::from(self.flow > 0 && self.closes_flow()));
                return Ok(());
            }
            _ => {}
        }
        let is_node = matches!(event, Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..));
        if is_node && self.flow == 0 && follows_tab(&text[..span.start]) { Err(tab(span)) } else { Ok(()) }
    }

    fn closes_flow(&self) -> bool {
        matches!(self.open.last(), Some(Open::Sequence { flow: true, .. } | Open::Mapping { flow: true, .. }))
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                let scalar = Scalar { text: text.into(), style, tag: tag.as_deref().map(tag_name) };
                self.push(Node { span, value: Value::Scalar(scalar) }, anchor, 1)
            }
            Event::SequenceStart(style, anchor, _) => {
                let flow = style == StructureStyle::Flow;
                self.enter(Open::Sequence { span, anchor, flow, height: 0, items: Vec::new() })
            }
            Event::MappingStart(style, anchor, _) => {
                let flow = style == StructureStyle::Flow;
                self.enter(Open::Mapping { span, anchor, flow, height: 0, entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(id) => match self.anchors.get(&id) {
                // Every walk follows aliases: with them the tree may be no deeper than without.
                Some((_, height)) if self.open.len() + height > DEPTH_MAX => Err(too_deep(span)),
                Some((target, height)) => {
                    let (target, height) = (Rc::clone(target), *height);
                    self.push(Node { span, value: Value::Alias(target) }, 0, height)
                }
                None => {
                    Err(YamlError::with_help(span, "the value of this anchor contains itself", "write the value out"))
                }
            },
            _ => Ok(()),
        }
    }

    fn enter(&mut self, open: Open) -> Result<(), YamlError> {
        if self.open.len() >= DEPTH_MAX {
            let (Open::Sequence { span, .. } | Open::Mapping { span, .. }) = open;
            return Err(too_deep(span));
        }
        self.open.push(open);
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), YamlError> {
        match self.open.pop() {
            Some(Open::Sequence { span, anchor, items, height, .. }) => {
                self.push(Node { span: span.until(end), value: Value::Sequence(items) }, anchor, height + 1)
            }
            Some(Open::Mapping { span, anchor, entries, height, .. }) => {
                self.push(Node { span: span.until(end), value: Value::Mapping(entries) }, anchor, height + 1)
            }
            None => Ok(()),
        }
    }

    fn push(&mut self, node: Node, anchor: usize, levels: usize) -> Result<(), YamlError> {
        self.nodes += 1;
        if self.nodes > self.nodes_max {
            let message = format!("the document has more than {} values", self.nodes_max);
            return Err(YamlError::with_help(node.span, message, "split it, or pass data as artifacts"));
        }
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, (Rc::clone(&node), levels));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::Sequence { items, height, .. }) => {
                *height = levels.max(*height);
                items.push(node);
            }
            Some(Open::Mapping { entries, key, height, .. }) => {
                *height = levels.max(*height);
                match key.take() {
                    None => *key = Some(node),
                    Some(key) => entries.push(Entry { key, value: node }),
                }
            }
        }
        Ok(())
    }
}

/// A tab that stands where indentation or a token would.
fn follows_tab(before: &str) -> bool {
    let lead = before.trim_end_matches([' ', '\t']);
    before[lead.len()..].contains('\t') && (lead.is_empty() || lead.ends_with(['\n', '-', '?']))
}

fn tab(span: Span) -> YamlError {
    YamlError::with_help(span, "a tab cannot indent", "indent with spaces")
}

/// Escapes that JSON knows and goyaml does not: `\/` and halves of surrogate pairs.
fn wrong_escape(span: Span, text: &str) -> Result<(), YamlError> {
    let mut chars = text.get(span.start..span.end).unwrap_or_default().char_indices();
    while let Some((at, c)) = chars.next() {
        let rest = &text[span.start + at..span.end];
        let wrong = c == '\\' && (rest.starts_with("\\/") || is_surrogate(rest));
        if wrong {
            let place = Span::at_byte(text, span.start + at);
            return Err(YamlError::with_help(place, "unknown escape character", "write the character itself"));
        }
        if c == '\\' {
            chars.next();
        }
    }
    Ok(())
}

fn is_surrogate(escape: &str) -> bool {
    let digits = escape.strip_prefix("\\u").and_then(|rest| rest.get(..4));
    digits.and_then(|d| u32::from_str_radix(d, 16).ok()).is_some_and(|unit| (0xd800..0xe000).contains(&unit))
}

fn tag_name(tag: &Tag) -> Box<str> {
    match tag.suffix_in_namespace("tag:yaml.org,2002:") {
        Some(name) => name.into(),
        // `! text` is the tag that says nothing.
        None if tag.handle() == "!" && tag.suffix().is_empty() => "!".into(),
        None if tag.handle().is_empty() && tag.suffix() == "!" => "!".into(),
        None => format!("!{}{}", tag.handle(), tag.suffix()).into(),
    }
}

fn convert(span: granit_parser::Span, text: &str) -> Span {
    let start = span.start.byte_offset().unwrap_or(0).min(text.len());
    let mut end = span.end.byte_offset().unwrap_or(start).clamp(start, text.len());
    // Block scalars and collections end where the next thing begins; the excerpt shall not.
    let trimmed = text.get(start..end).map_or(0, |part| part.trim_end().len());
    if trimmed > 0 {
        end = start + trimmed;
    }
    Span { start, end, line: span.start.line() as u32, column: span.start.col() as u32 + 1 }
}

fn scan_error(error: &granit_parser::ScanError) -> YamlError {
    let mark = error.marker();
    let start = mark.byte_offset().unwrap_or(0);
    let span = Span { start, end: start + 1, line: mark.line() as u32, column: mark.col() as u32 + 1 };
    let message = error.info();
    if message.contains("nesting") || message.contains("recursion") {
        return too_deep(span);
    }
    let help = "look at the indentation and at unquoted `: `, `#`, `[`, `{`, `*`, `&` just before this place";
    YamlError::with_help(span, format!("this is not YAML: {message}"), help)
}

fn too_deep(span: Span) -> YamlError {
    YamlError::with_help(span, format!("values are nested more than {DEPTH_MAX} deep"), "flatten the document")
}

/// goyaml reads only printable characters.
fn forbidden_character(text: &str) -> Option<YamlError> {
    let is_control = |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{80}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
    let at = text.find(is_control)?;
    let span = Span::at_byte(text, at);
    Some(YamlError::with_help(span, "control characters are not allowed", "write it as an escape in double quotes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_values_is_limited() {
        assert!(first_document("[1, 2, 3]", 4).is_ok());
        let error = first_document("[1, 2, 3, 4]", 3).expect_err("too many");
        assert_eq!((error.message.as_str(), error.span.column), ("the document has more than 3 values", 11));
    }

    #[test]
    fn the_next_line_of_latin_1_breaks_lines() {
        let document = load_first("a: b\u{85}c: d").expect("YAML").expect("a document");
        let spans: Vec<(u32, usize)> =
            document.root.mapping().expect("a mapping").iter().map(|e| (e.key.span.line, e.key.span.start)).collect();
        assert_eq!(spans, [(1, 0), (2, 6)]);
    }

    #[test]
    fn documents_are_told_apart_and_keep_their_places() {
        let text = "# c\n%YAML 1.1\n---\na: 1\n---\n- b\n...\n---\n# nothing\n---\nc: {\n---\nd: 1\n";
        let found = load(text);
        let places: Vec<Option<u32>> = found.iter().map(|d| d.as_ref().ok().map(|d| d.root.span.line)).collect();
        assert_eq!(places, [Some(4), Some(6), None, Some(13)]);
    }

    #[test]
    fn spans_cover_what_they_name() {
        let text = "x: 1\n---\na:\n  - 'é'\n  - {b: c}\n";
        let found = load(text);
        let root = &found[1].as_ref().expect("a document").root;
        let list = root.get("a").expect("a");
        let item = &list.sequence().expect("a list")[1];
        assert_eq!(&text[item.span.start..item.span.end], "{b: c}");
        let value = item.get("b").expect("b");
        assert_eq!((&text[value.span.start..value.span.end], value.span.line, value.span.column), ("c", 5, 9));
    }
}
