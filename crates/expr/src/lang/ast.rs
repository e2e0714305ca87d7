//! The syntax tree of an expression, kept in one arena so that neither building nor dropping it recurses.
//! It must never know types or values of variables.

use std::sync::Arc;

/// Index of a node in its tree.
pub(crate) type Id = usize;

/// Operators between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Coalesce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unary {
    Not,
    Plus,
    Minus,
}

#[derive(Debug, Clone)]
pub(crate) enum Node {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Arc<str>),
    Bytes(Arc<[u8]>),
    Ident(Arc<str>),
    /// `#`, `#index`, `#acc`
    Pointer(Arc<str>),
    /// The text of the operator is kept: messages repeat `not` or `!` as written.
    Unary(Unary, &'static str, Id),
    Binary(Binary, &'static str, Id, Id),
    /// The extent of a `?.` short cut.
    Chain(Id),
    Member {
        node: Id,
        property: Id,
        optional: bool,
        method: bool,
    },
    Slice {
        node: Id,
        from: Option<Id>,
        to: Option<Id>,
    },
    Call {
        callee: Id,
        args: Vec<Id>,
    },
    Builtin {
        name: &'static str,
        args: Vec<Id>,
    },
    Predicate(Id),
    Let {
        name: Arc<str>,
        value: Id,
        body: Id,
    },
    Sequence(Vec<Id>),
    Conditional {
        cond: Id,
        yes: Id,
        no: Id,
    },
    Array(Vec<Id>),
    Map(Vec<(Id, Id)>),
}

/// A parsed expression.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    offsets: Vec<usize>,
    depths: Vec<usize>,
    pub root: Id,
}

/// Nodes that upstream allows in one expression.
pub(crate) const NODES_MAX: usize = 10_000;

impl Tree {
    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    /// Where the node stands, in characters of the source.
    pub fn offset(&self, id: Id) -> usize {
        self.offsets[id]
    }

    /// How many levels a recursive walk descends below a node; the left spine of binary operators counts as one,
    /// because walkers go down it in a loop.
    pub fn depth(&self, id: Id) -> usize {
        self.depths[id]
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn push(&mut self, node: Node, offset: usize) -> Id {
        let depth = self.depth_of(&node);
        self.nodes.push(node);
        self.offsets.push(offset);
        self.depths.push(depth);
        self.nodes.len() - 1
    }

    fn depth_of(&self, node: &Node) -> usize {
        let of = |id: &Id| self.depths[*id];
        let most = |ids: &[Id]| ids.iter().map(of).max().unwrap_or(0);
        match node {
            Node::Binary(_, _, left, right) => of(left).max(of(right) + 1).max(2),
            Node::Unary(_, _, inner) | Node::Chain(inner) | Node::Predicate(inner) => of(inner) + 1,
            Node::Member { node, property, .. } => of(node).max(of(property)) + 1,
            Node::Slice { node, from, to } => {
                of(node).max(from.as_ref().map_or(0, of)).max(to.as_ref().map_or(0, of)) + 1
            }
            Node::Call { callee, args } => of(callee).max(most(args)) + 1,
            Node::Builtin { args, .. } | Node::Sequence(args) | Node::Array(args) => most(args) + 1,
            Node::Let { value, body, .. } => of(value).max(of(body)) + 1,
            Node::Conditional { cond, yes, no } => of(cond).max(of(yes)).max(of(no)) + 1,
            Node::Map(pairs) => pairs.iter().map(|(key, value)| of(key).max(of(value))).max().unwrap_or(0) + 1,
            _ => 1,
        }
    }

    /// The operators of a left spine, innermost first: `a + b - c` gives `a` and `[+ b, - c]`.
    pub fn spine(&self, id: Id) -> (Id, Vec<Id>) {
        let mut nodes = Vec::new();
        let mut at = id;
        while let Node::Binary(_, _, left, _) = self.node(at) {
            nodes.push(at);
            at = *left;
        }
        nodes.reverse();
        (at, nodes)
    }

    /// Every node that belongs to the expression, in the order of parsing (rewriting leaves some unused).
    pub fn all(&self) -> impl Iterator<Item = (Id, &Node)> {
        let mut used = vec![false; self.nodes.len()];
        let mut open = vec![self.root];
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut used[id], true) {
                continue;
            }
            match self.node(id) {
                Node::Unary(_, _, inner) | Node::Chain(inner) | Node::Predicate(inner) => open.push(*inner),
                Node::Binary(_, _, left, right) => open.extend([*left, *right]),
                Node::Member { node, property, .. } => open.extend([*node, *property]),
                Node::Slice { node, from, to } => open.extend([Some(*node), *from, *to].into_iter().flatten()),
                Node::Call { callee, args } => {
                    open.push(*callee);
                    open.extend(args);
                }
                Node::Builtin { args, .. } | Node::Sequence(args) | Node::Array(args) => open.extend(args),
                Node::Let { value, body, .. } => open.extend([*value, *body]),
                Node::Conditional { cond, yes, no } => open.extend([*cond, *yes, *no]),
                Node::Map(pairs) => open.extend(pairs.iter().flat_map(|(key, value)| [*key, *value])),
                _ => {}
            }
        }
        self.nodes.iter().enumerate().filter(move |(id, _)| used[*id])
    }
}
