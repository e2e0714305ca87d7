//! Tokens into a syntax tree: the grammar of expr-lang v1.17.8.
//! It must never know values, and of variables only the names.

use super::ast::{Binary, Id, NODES_MAX, Node, Tree, Unary};
use super::grammar::{Arg, binary, can_negate, is_comparison, predicate_args};
use super::lexer::{Fault, Kind, Token, lex};
use super::signature;

/// Parses a source. `overrides` tells whether the environment has a variable of a builtin's name.
pub(crate) fn parse(source: &str, overrides: &dyn Fn(&str) -> bool, depth_max: usize) -> Result<Tree, Fault> {
    let tokens = lex(source)?;
    let mut parser = Parser { tokens, at: 0, tree: Tree::default(), level: 0, depth_max, predicates: 0, overrides };
    let root = parser.sequence()?;
    if parser.current().kind != Kind::Eof {
        return parser.unexpected();
    }
    parser.tree.root = root;
    Ok(parser.tree)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    tree: Tree,
    level: usize,
    depth_max: usize,
    predicates: usize,
    overrides: &'a dyn Fn(&str) -> bool,
}

type Parsed = Result<Id, Fault>;

impl Parser<'_> {
    fn current(&self) -> &Token {
        // The last token is EOF and is never passed.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) -> Token {
        let token = self.current().clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    fn is(&self, kind: Kind, text: &str) -> bool {
        self.current().is(kind, text)
    }

    fn is_operator(&self, text: &str) -> bool {
        self.is(Kind::Operator, text)
    }

    fn is_bracket(&self, text: &str) -> bool {
        self.is(Kind::Bracket, text)
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, Fault> {
        Err((message.into(), self.current().offset))
    }

    fn unexpected<T>(&self) -> Result<T, Fault> {
        self.fail(format!("unexpected token {}", self.current().describe()))
    }

    fn expect(&mut self, kind: Kind, text: &str) -> Result<Token, Fault> {
        if self.is(kind, text) { Ok(self.advance()) } else { self.unexpected() }
    }

    fn expect_identifier(&mut self) -> Result<Token, Fault> {
        if self.current().kind == Kind::Identifier { Ok(self.advance()) } else { self.unexpected() }
    }

    fn push(&mut self, node: Node, offset: usize) -> Parsed {
        if self.tree.len() >= NODES_MAX {
            return Err(("compilation failed: expression exceeds maximum allowed nodes".to_owned(), offset));
        }
        let id = self.tree.push(node, offset);
        if self.tree.depth(id) > self.depth_max {
            return Err(("expression is nested too deeply".to_owned(), offset));
        }
        Ok(id)
    }

    fn sequence(&mut self) -> Parsed {
        let mut nodes = vec![self.expression(0)?];
        while self.is_operator(";") {
            self.advance();
            if self.current().kind == Kind::Eof || self.is_bracket(")") || self.is_bracket("}") {
                break;
            }
            nodes.push(self.expression(0)?);
        }
        if nodes.len() == 1 {
            return Ok(nodes[0]);
        }
        let offset = self.tree.offset(nodes[0]);
        self.push(Node::Sequence(nodes), offset)
    }

    fn expression(&mut self, precedence: u32) -> Parsed {
        self.level += 1;
        if self.level > self.depth_max {
            return self.fail("expression is nested too deeply");
        }
        let parsed = if precedence == 0 && self.is_operator("let") {
            self.declaration()
        } else if precedence == 0 && self.is_operator("if") {
            self.if_else()
        } else {
            self.operators(precedence)
        };
        self.level -= 1;
        parsed
    }

    fn operators(&mut self, precedence: u32) -> Parsed {
        let mut left = self.primary()?;
        let mut previous_coalesce = false;
        while self.current().kind == Kind::Operator {
            let mut token = self.current().clone();
            let mut negated = None;
            if token.text == "not" {
                let back = self.at;
                self.advance();
                let after = self.current().clone();
                if !can_negate(&after.text) {
                    return self.unexpected();
                }
                match binary(&after.text) {
                    Some((_, _, level)) if level >= precedence => {
                        negated = Some(after.offset);
                        token = after;
                    }
                    _ => {
                        self.at = back;
                        break;
                    }
                }
            }
            if token.text == "|" {
                if precedence > 0 {
                    break;
                }
                self.advance();
                let name = self.expect_identifier()?;
                left = self.call(name, vec![left], true)?;
                previous_coalesce = false;
                continue;
            }
            let Some((op, text, level)) = binary(&token.text).filter(|(_, _, level)| *level >= precedence) else {
                break;
            };
            self.advance();
            if previous_coalesce && op != Binary::Coalesce {
                let message = format!(
                    "Operator ({}) and coalesce expressions (??) cannot be mixed. Wrap either by parentheses.",
                    token.text
                );
                return Err((message, token.offset));
            }
            previous_coalesce = op == Binary::Coalesce;
            if is_comparison(op) {
                left = self.comparison(left, op, text, token.offset, level)?;
                continue;
            }
            let right = self.expression(if op == Binary::Power { level } else { level + 1 })?;
            left = self.push(Node::Binary(op, text, left, right), token.offset)?;
            if let Some(offset) = negated {
                left = self.push(Node::Unary(Unary::Not, "not", left), offset)?;
            }
        }
        if precedence == 0 { self.conditional(left) } else { Ok(left) }
    }

    /// `a < b < c` means `a < b && b < c`.
    fn comparison(&mut self, left: Id, op: Binary, text: &'static str, offset: usize, level: u32) -> Parsed {
        let (mut left, mut op, mut text, mut offset) = (left, op, text, offset);
        let mut root = None;
        loop {
            let right = self.expression(level + 1)?;
            let compared = self.push(Node::Binary(op, text, left, right), offset)?;
            let joined = match root {
                None => compared,
                Some(root) => self.push(Node::Binary(Binary::And, "&&", root, compared), offset)?,
            };
            root = Some(joined);
            left = right;
            if self.current().kind != Kind::Operator {
                return Ok(joined);
            }
            match binary(&self.current().text) {
                Some((next, next_text, _)) if is_comparison(next) => {
                    (op, text, offset) = (next, next_text, self.current().offset);
                }
                _ => return Ok(joined),
            }
            self.advance();
        }
    }

    fn declaration(&mut self) -> Parsed {
        self.expect(Kind::Operator, "let")?;
        let name = self.expect_identifier()?;
        self.expect(Kind::Operator, "=")?;
        let value = self.expression(0)?;
        self.expect(Kind::Operator, ";")?;
        let body = self.sequence()?;
        self.push(Node::Let { name: name.text.into(), value, body }, name.offset)
    }

    fn if_else(&mut self) -> Parsed {
        let offset = self.current().offset;
        self.advance();
        let cond = self.expression(0)?;
        let yes = self.braced()?;
        self.expect(Kind::Operator, "else")?;
        let no = if self.is_operator("if") { self.expression(0)? } else { self.braced()? };
        self.push(Node::Conditional { cond, yes, no }, offset)
    }

    fn braced(&mut self) -> Parsed {
        self.expect(Kind::Bracket, "{")?;
        let inner = self.sequence()?;
        self.expect(Kind::Bracket, "}")?;
        Ok(inner)
    }

    fn conditional(&mut self, node: Id) -> Parsed {
        let mut node = node;
        while self.is_operator("?") {
            let offset = self.current().offset;
            self.advance();
            let yes = if self.is_operator(":") { node } else { self.expression(0)? };
            self.expect(Kind::Operator, ":")?;
            let no = self.expression(0)?;
            node = self.push(Node::Conditional { cond: node, yes, no }, offset)?;
        }
        Ok(node)
    }

    fn primary(&mut self) -> Parsed {
        let token = self.current().clone();
        if token.kind == Kind::Operator {
            let unary = match token.text.as_str() {
                "not" => Some((Unary::Not, "not", 50)),
                "!" => Some((Unary::Not, "!", 50)),
                "-" => Some((Unary::Minus, "-", 90)),
                "+" => Some((Unary::Plus, "+", 90)),
                _ => None,
            };
            if let Some((op, text, level)) = unary {
                self.advance();
                let inner = self.expression(level)?;
                let node = self.push(Node::Unary(op, text, inner), token.offset)?;
                return self.postfix(node);
            }
        }
        if token.is(Kind::Bracket, "(") {
            self.advance();
            let inner = self.sequence()?;
            self.expect(Kind::Bracket, ")")?;
            return self.postfix(inner);
        }
        if self.predicates > 0 && (token.is(Kind::Operator, "#") || token.is(Kind::Operator, ".")) {
            let mut name = String::new();
            if token.text == "#" {
                self.advance();
                if self.current().kind == Kind::Identifier {
                    name = self.advance().text;
                }
            }
            let node = self.push(Node::Pointer(name.into()), token.offset)?;
            return self.postfix(node);
        }
        if token.is(Kind::Operator, "::") {
            self.advance();
            let name = self.expect_identifier()?;
            let node = self.call(name, Vec::new(), false)?;
            return self.postfix(node);
        }
        self.secondary(token)
    }

    fn secondary(&mut self, token: Token) -> Parsed {
        let node = match token.kind {
            Kind::Identifier => {
                self.advance();
                match token.text.as_str() {
                    "true" => return self.push(Node::Bool(true), token.offset),
                    "false" => return self.push(Node::Bool(false), token.offset),
                    "nil" => return self.push(Node::Nil, token.offset),
                    _ if self.is_bracket("(") => self.call(token, Vec::new(), true)?,
                    _ => self.push(Node::Ident(token.text.into()), token.offset)?,
                }
            }
            Kind::Number => {
                self.advance();
                return self.number(token);
            }
            Kind::String => {
                self.advance();
                self.push(Node::Str(token.text.into()), token.offset)?
            }
            Kind::Bytes => {
                self.advance();
                self.push(Node::Bytes(token.bytes.into()), token.offset)?
            }
            _ if token.is(Kind::Bracket, "[") => self.array(token.offset)?,
            _ if token.is(Kind::Bracket, "{") => self.map(token.offset)?,
            _ => return self.unexpected(),
        };
        self.postfix(node)
    }

    fn number(&mut self, token: Token) -> Parsed {
        let text = token.text.replace('_', "");
        let lower = text.to_lowercase();
        let radix = |digits: &str, base| i64::from_str_radix(digits, base).ok();
        let (parsed, name) = if let Some(digits) = lower.strip_prefix("0x") {
            (radix(digits, 16).map(Node::Int), "hex")
        } else if lower.contains(['.', 'e']) {
            let digits = lower.trim_end_matches('.');
            (digits.parse::<f64>().ok().filter(|f| f.is_finite()).map(Node::Float), "float")
        } else if let Some(digits) = lower.strip_prefix("0b") {
            (radix(digits, 2).map(Node::Int), "binary")
        } else if let Some(digits) = lower.strip_prefix("0o") {
            (radix(digits, 8).map(Node::Int), "octal")
        } else {
            (radix(&lower, 10).map(Node::Int), "integer")
        };
        match parsed {
            Some(node) => self.push(node, token.offset),
            None => {
                let (function, reason) =
                    if name == "float" { ("ParseFloat", "value out of range") } else { ("ParseInt", reason(&lower)) };
                let quoted = crate::gofmt::quote(&text);
                self.fail(format!("invalid {name} literal: strconv.{function}: parsing {quoted}: {reason}"))
            }
        }
    }

    fn call(&mut self, token: Token, args: Vec<Id>, check_overrides: bool) -> Parsed {
        let overridden = check_overrides && (self.overrides)(&token.text);
        if !overridden {
            if let Some((name, kinds)) = predicate_args(&token.text) {
                return self.predicate_call(name, kinds, args, token.offset);
            }
            if let Some(name) = signature::builtin(&token.text) {
                let args = self.arguments(args)?;
                return self.push(Node::Builtin { name, args }, token.offset);
            }
        }
        let callee = self.push(Node::Ident(token.text.into()), token.offset)?;
        let args = self.arguments(args)?;
        self.push(Node::Call { callee, args }, token.offset)
    }

    fn predicate_call(&mut self, name: &'static str, kinds: &[Arg], args: Vec<Id>, offset: usize) -> Parsed {
        self.expect(Kind::Bracket, "(")?;
        let mut args = args;
        let kinds = kinds.get(args.len()..).unwrap_or_default();
        for (index, kind) in kinds.iter().enumerate() {
            if self.is_bracket(")") {
                if matches!(kind, Arg::OptionalExpr | Arg::OptionalPredicate) {
                    break;
                }
                return self.fail(format!("expected at least {} arguments", kinds.len()));
            }
            if index > 0 {
                self.expect(Kind::Operator, ",")?;
                // A comma may follow the last argument.
                if self.is_bracket(")") && matches!(kind, Arg::OptionalExpr | Arg::OptionalPredicate) {
                    break;
                }
            }
            let arg = match kind {
                Arg::Expr | Arg::OptionalExpr => self.expression(0)?,
                Arg::Predicate | Arg::OptionalPredicate => self.predicate()?,
            };
            args.push(arg);
        }
        if self.is_operator(",") {
            self.advance();
        }
        self.expect(Kind::Bracket, ")")?;
        self.push(Node::Builtin { name, args }, offset)
    }

    fn predicate(&mut self) -> Parsed {
        let offset = self.current().offset;
        let braces = self.is_bracket("{");
        self.predicates += 1;
        let inner = if braces { self.braced() } else { self.expression(0) };
        self.predicates -= 1;
        let inner = inner?;
        self.push(Node::Predicate(inner), offset)
    }

    fn arguments(&mut self, args: Vec<Id>) -> Result<Vec<Id>, Fault> {
        let mut args = args;
        let given = args.len();
        self.expect(Kind::Bracket, "(")?;
        while !self.is_bracket(")") {
            if args.len() > given {
                self.expect(Kind::Operator, ",")?;
            }
            if self.is_bracket(")") {
                break;
            }
            args.push(self.expression(0)?);
        }
        self.expect(Kind::Bracket, ")")?;
        Ok(args)
    }

    fn array(&mut self, offset: usize) -> Parsed {
        self.advance();
        let mut nodes = Vec::new();
        while !self.is_bracket("]") {
            if !nodes.is_empty() {
                self.expect(Kind::Operator, ",")?;
                if self.is_bracket("]") {
                    break;
                }
            }
            nodes.push(self.expression(0)?);
        }
        self.expect(Kind::Bracket, "]")?;
        self.push(Node::Array(nodes), offset)
    }

    fn map(&mut self, offset: usize) -> Parsed {
        self.advance();
        let mut pairs = Vec::new();
        while !self.is_bracket("}") {
            if !pairs.is_empty() {
                self.expect(Kind::Operator, ",")?;
                if self.is_bracket("}") {
                    break;
                }
                if self.is_operator(",") {
                    return self.unexpected();
                }
            }
            let key = match self.current().kind {
                Kind::Number | Kind::String | Kind::Identifier => {
                    let text = self.advance().text;
                    self.push(Node::Str(text.into()), offset)?
                }
                _ if self.is_bracket("(") => self.expression(0)?,
                _ => {
                    return self.fail(format!(
                        "a map key must be a quoted string, a number, a identifier, or an expression enclosed in \
                         parentheses (unexpected token {})",
                        self.current().describe()
                    ));
                }
            };
            self.expect(Kind::Operator, ":")?;
            pairs.push((key, self.expression(0)?));
        }
        self.expect(Kind::Bracket, "}")?;
        self.push(Node::Map(pairs), offset)
    }

    fn postfix(&mut self, node: Id) -> Parsed {
        let mut node = node;
        loop {
            let token = self.current().clone();
            if token.kind == Kind::Operator && matches!(token.text.as_str(), "." | "?.") {
                let optional = token.text == "?.";
                self.advance();
                if optional && self.is_bracket("[") {
                    node = self.index(node, true)?;
                } else {
                    node = self.member(node, optional)?;
                }
            } else if token.is(Kind::Bracket, "[") {
                node = self.index(node, false)?;
            } else {
                return Ok(node);
            }
        }
    }

    fn unchained(&self, node: Id) -> (Id, bool) {
        match self.tree.node(node) {
            Node::Chain(inner) => (*inner, true),
            _ => (node, false),
        }
    }

    fn member(&mut self, node: Id, optional: bool) -> Parsed {
        if self.current().kind == Kind::Eof {
            return self.fail("unexpected end of expression");
        }
        let name = self.advance();
        let word = name.text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$') && !name.text.is_empty();
        if name.kind != Kind::Identifier && !(name.kind == Kind::Operator && word) {
            return self.fail("expected name");
        }
        let property = self.push(Node::Str(name.text.as_str().into()), name.offset)?;
        let (node, chained) = self.unchained(node);
        let method = self.is_bracket("(");
        let mut made = self.push(Node::Member { node, property, optional, method }, name.offset)?;
        if method {
            let args = self.arguments(Vec::new())?;
            made = self.push(Node::Call { callee: made, args }, name.offset)?;
        }
        if chained || optional { self.push(Node::Chain(made), name.offset) } else { Ok(made) }
    }

    fn index(&mut self, node: Id, optional: bool) -> Parsed {
        let offset = self.current().offset;
        self.advance();
        let from = if self.is_operator(":") { None } else { Some(self.expression(0)?) };
        if self.is_operator(":") {
            self.advance();
            let to = if self.is_bracket("]") { None } else { Some(self.expression(0)?) };
            self.expect(Kind::Bracket, "]")?;
            return self.push(Node::Slice { node, from, to }, offset);
        }
        self.expect(Kind::Bracket, "]")?;
        let Some(property) = from else { return self.unexpected() };
        let (node, chained) = self.unchained(node);
        let made = self.push(Node::Member { node, property, optional, method: false }, offset)?;
        if chained || optional { self.push(Node::Chain(made), offset) } else { Ok(made) }
    }
}

fn reason(digits: &str) -> &'static str {
    if digits.trim_start_matches(['0', 'x', 'o', 'b']).is_empty() { "invalid syntax" } else { "value out of range" }
}
