//! The documents that were given, by kind and name, so that references between them can be followed.
//! It must never look outside the given sources.

use super::data::Data;
use super::view::{Word, field, items, text, word};
use crate::diagnostic::Span;
use crate::suggest;
use crate::yaml::Node;
use model::plan::Scope;
use std::collections::BTreeMap;
use std::rc::Rc;

/// The templates of a spec by name; of two with one name the first counts.
#[derive(Clone, Debug, Default)]
pub struct Index(BTreeMap<String, Rc<Node>>);

impl Index {
    pub fn of(spec: &Node) -> Self {
        let mut index = BTreeMap::new();
        for template in items(spec, "templates") {
            index.entry(text(template, "name")).or_insert_with(|| Rc::clone(template));
        }
        Self(index)
    }

    pub fn get(&self, name: &str) -> Option<&Rc<Node>> {
        self.0.get(name)
    }
}

/// A document that defines a workflow or templates.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Index of its file among the sources.
    pub file: String,
    pub kind: Kind,
    pub name: String,
    pub root: Rc<Node>,
    pub spec: Rc<Node>,
    pub templates: Index,
    /// False: it has faults of its own, and nothing that refers to it can run.
    pub sound: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Workflow,
    WorkflowTemplate,
    ClusterWorkflowTemplate,
}

impl Definition {
    pub fn scope(&self) -> Scope {
        match self.kind {
            Kind::Workflow => Scope::Local,
            Kind::WorkflowTemplate => Scope::Namespaced(self.name.clone()),
            Kind::ClusterWorkflowTemplate => Scope::Cluster(self.name.clone()),
        }
    }
}

/// The names of a spec's templates.
pub fn template_names(spec: &Node) -> Vec<String> {
    super::view::names(items(spec, "templates"))
}

/// A reference to a template of another document.
#[derive(Clone, Debug)]
pub struct Reference {
    pub name: Word,
    pub template: Word,
    pub cluster: bool,
}

impl Reference {
    /// The `templateRef` of a call site.
    pub fn read(call: &Node) -> Option<Self> {
        let node = field(call, "templateRef")?;
        let part = |key| word(node, key).unwrap_or(Word { text: String::new(), span: node.span });
        let cluster = super::view::flag(node, "clusterScope").unwrap_or_default();
        Some(Self { name: part("name"), template: part("template"), cluster })
    }

    pub fn scope(&self) -> Scope {
        scope(&self.name.text, self.cluster)
    }
}

pub fn scope(name: &str, cluster: bool) -> Scope {
    if cluster { Scope::Cluster(name.to_owned()) } else { Scope::Namespaced(name.to_owned()) }
}

/// All definitions of all sources.
#[derive(Debug, Default)]
pub struct Library {
    pub definitions: Vec<Definition>,
    /// By name.
    pub config_maps: BTreeMap<String, Data>,
    pub secrets: BTreeMap<String, Data>,
}

impl Library {
    /// The document of WorkflowTemplates that `scope` names. (Local scopes are not in the library.)
    pub fn find(&self, scope: &Scope) -> Option<&Definition> {
        let (kind, name) = match scope {
            Scope::Local => return None,
            Scope::Namespaced(name) => (Kind::WorkflowTemplate, name),
            Scope::Cluster(name) => (Kind::ClusterWorkflowTemplate, name),
        };
        self.definitions.iter().find(|d| d.kind == kind && d.name == *name)
    }

    /// What to write instead of a reference that leads nowhere.
    pub fn help(&self, scope: &Scope) -> String {
        let (kind, other, name) = match scope {
            Scope::Cluster(name) => (Kind::ClusterWorkflowTemplate, Kind::WorkflowTemplate, name.as_str()),
            Scope::Namespaced(name) => (Kind::WorkflowTemplate, Kind::ClusterWorkflowTemplate, name.as_str()),
            Scope::Local => return String::new(),
        };
        if self.definitions.iter().any(|d| d.kind == other && d.name == name) {
            let wanted = kind == Kind::WorkflowTemplate;
            return format!("there is a template of this name with `clusterScope: {wanted}`");
        }
        let names = self.definitions.iter().filter(|d| d.kind == kind).map(|d| d.name.as_str());
        suggest::help(name, names, "give the file that defines it as well")
    }
}

/// A workflow with everything that its `workflowTemplateRef` brings.
#[derive(Clone, Debug)]
pub struct Effective {
    pub spec: Rc<Node>,
    pub templates: Index,
    /// The file in which its templates stand.
    pub template_file: String,
    /// Where it refers to a WorkflowTemplate.
    pub reference: Option<(Scope, Span)>,
}

impl Effective {
    /// `None`: the reference leads nowhere.
    pub fn of(definition: &Definition, library: &Library) -> Option<Self> {
        let own = || Self {
            spec: Rc::clone(&definition.spec),
            templates: definition.templates.clone(),
            template_file: definition.file.clone(),
            reference: None,
        };
        let Some(node) = field(&definition.spec, "workflowTemplateRef") else { return Some(own()) };
        let scope = scope(&text(node, "name"), super::view::flag(node, "clusterScope").unwrap_or_default());
        let below = library.find(&scope)?;
        let spec = super::merge::merged(&definition.spec, &below.spec);
        Some(Self {
            templates: Index::of(&spec),
            spec,
            template_file: below.file.clone(),
            reference: Some((scope, node.span)),
        })
    }
}
