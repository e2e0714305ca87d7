//! Argo's documents to Plans: reads all files, tells every fault, and compiles the workflows that have none.
//! It must never read a file or run anything.

pub mod annotations;
pub mod data;
pub mod definition;
pub mod faults;
pub(crate) mod fields;
mod fields_kubernetes;
pub(crate) mod known;
mod lower;
mod marshal;
pub mod merge;
mod remedy;
mod requirements;
pub mod schema;
pub mod view;

pub use marshal::{fits, remarshal};

use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::yaml::{self, Node};
use crate::{Compiled, DocumentInfo, Options, SourceFile, suggest};
use definition::{Definition, Effective, Index, Kind, Library};
use faults::Faults;
use schema::Checker;
use std::collections::BTreeSet;
use std::rc::Rc;
use view::{field, text, word};

/// Argo's documents that `run` does not read.
const OTHER_KINDS: [&str; 5] =
    ["CronWorkflow", "WorkflowArtifactGCTask", "WorkflowEventBinding", "WorkflowTaskResult", "WorkflowTaskSet"];
/// Kubernetes' documents that are read beside a workflow; of a claim only its name counts.
const DATA_KINDS: [&str; 3] = ["ConfigMap", "PersistentVolumeClaim", "Secret"];
const OWN_KINDS: [&str; 3] = ["Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate"];

/// Compiles every Workflow of the files. References are followed within the files only.
pub fn compile(files: &[SourceFile], options: &Options) -> Compiled {
    let mut reader = Reader::default();
    for file in files {
        reader.file(file);
    }
    let Reader { library, mut documents, mut diagnostics, notices } = reader;
    let library = check_definitions(library, options, &mut diagnostics);
    let mut plans = Vec::new();
    for (definition, accepted) in library.definitions.iter().zip(&notices) {
        if definition.kind != Kind::Workflow {
            continue;
        }
        let mut faults = Faults::new(&definition.file);
        let plan = Effective::of(definition, &library)
            .and_then(|effective| lower::plan(definition, &effective, &library, options, &mut faults));
        let sound = definition.sound && !faults.has_errors();
        for diagnostic in faults.list {
            if !diagnostics.contains(&diagnostic) {
                diagnostics.push(diagnostic);
            }
        }
        if let Some(mut plan) = plan.filter(|plan| sound && referenced_are_sound(plan, &library)) {
            plan.notices = notice_of(accepted, &plan, &library, &notices);
            plans.push(plan);
        }
    }
    diagnostics.iter_mut().for_each(|diagnostic| narrow(diagnostic, files));
    sort(&mut diagnostics, files);
    documents.sort_by_key(|d| (files.iter().position(|f| f.name == d.file), d.line));
    Compiled { plans, documents, secrets: library.secrets, diagnostics }
}

/// Points at the tag itself, where the text in which it stands is long.
fn narrow(diagnostic: &mut Diagnostic, files: &[SourceFile]) {
    let Some(file) = files.iter().find(|file| file.name == diagnostic.file) else { return };
    let span = diagnostic.span;
    let (Some(text), "E0401") = (file.text.get(span.start..span.end), diagnostic.code) else { return };
    let tag = diagnostic.message.split('`').nth(1).unwrap_or_default().trim_matches(['{', '}']);
    let found = text.match_indices(tag).find(|(at, _)| text[..*at].trim_end().ends_with("{{"));
    if let Some((at, _)) = found.filter(|_| !tag.is_empty()) {
        let open = text[..at].rfind("{{").unwrap_or(at);
        let end = text[at..].find("}}").map_or(at + tag.len(), |end| at + end + 2);
        let place = Span::at_byte(&file.text, span.start + open);
        diagnostic.span = Span { end: span.start + end, ..place };
    }
}

/// By file as given, then by place.
fn sort(diagnostics: &mut [Diagnostic], files: &[SourceFile]) {
    let place = |d: &Diagnostic| (files.iter().position(|f| f.name == d.file), d.span.start, d.severity, d.code);
    diagnostics.sort_by_key(place);
}

/// Faults of the definitions themselves; those with errors are marked.
fn check_definitions(library: Library, options: &Options, diagnostics: &mut Vec<Diagnostic>) -> Library {
    let mut library = library;
    let mut unsound = Vec::new();
    for (index, definition) in library.definitions.iter().enumerate() {
        let mut faults = Faults::new(&definition.file);
        crate::validate::object_name(definition, &mut faults);
        crate::validate::definition(definition, &library, &options.into(), &mut faults);
        if faults.has_errors() {
            unsound.push(index);
        }
        for diagnostic in faults.list {
            if !diagnostics.contains(&diagnostic) {
                diagnostics.push(diagnostic);
            }
        }
    }
    for index in unsound {
        library.definitions[index].sound = false;
    }
    library
}

/// False where a template that the plan embeds stands in a document with faults.
fn referenced_are_sound(plan: &model::Plan, library: &Library) -> bool {
    plan.templates.iter().all(|template| library.find(&template.scope).is_none_or(|definition| definition.sound))
}

/// One text that lists the fields which are accepted and do nothing here.
fn notice_of(own: &BTreeSet<String>, plan: &model::Plan, library: &Library, all: &[BTreeSet<String>]) -> Vec<String> {
    let mut fields = own.clone();
    for template in &plan.templates {
        let index = library.definitions.iter().position(|d| d.kind != Kind::Workflow && d.scope() == template.scope);
        fields.extend(index.into_iter().flat_map(|i| all[i].iter().cloned()));
    }
    if fields.is_empty() {
        return Vec::new();
    }
    let list: Vec<String> = fields.into_iter().collect();
    let text = format!("these fields only place or dress a pod and do nothing here: {}", list.join(", "));
    let classes = list.iter().any(|field| field.ends_with("riorityClassName"));
    let why = "a machine has no priority classes: `spec.priority` says whose turn it is among runs (docs/resources.md)";
    [Some(text), classes.then(|| why.to_owned())].into_iter().flatten().collect()
}

/// What is collected while the files are read.
#[derive(Default)]
struct Reader {
    library: Library,
    documents: Vec<DocumentInfo>,
    diagnostics: Vec<Diagnostic>,
    /// Accepted fields, one set a definition.
    notices: Vec<BTreeSet<String>>,
}

impl Reader {
    fn file(&mut self, file: &SourceFile) {
        let mut found = 0;
        for document in yaml::load(&file.text) {
            found += 1;
            let mut faults = Faults::new(&file.name);
            match document {
                Ok(document) => self.document(&document, &mut faults),
                Err(error) => faults.error("E0101", error.span, error.message, error.help),
            }
            self.diagnostics.append(&mut faults.list);
        }
        if found == 0 {
            let mut faults = Faults::new(&file.name);
            let help = Some("give a file with a Workflow".to_owned());
            faults.error("E0112", Span::at_start(), "the file holds no document", help);
            self.diagnostics.append(&mut faults.list);
        }
    }

    fn document(&mut self, document: &yaml::Document, faults: &mut Faults) {
        for duplicate in &document.duplicates {
            let help = Some(format!("it is already there in line {}", duplicate.first.line));
            faults.error("E0102", duplicate.span, format!("the key `{}` is there twice", duplicate.key), help);
        }
        let root = &document.root;
        let Some(kind) = kind_of(root, faults) else { return };
        let name = field(root, "metadata").map(|m| {
            let name = text(m, "name");
            if name.is_empty() { text(m, "generateName") } else { name }
        });
        let name = name.unwrap_or_default();
        let is_data = DATA_KINDS.contains(&kind.as_str());
        let is_read = is_data || OWN_KINDS.contains(&kind.as_str());
        match kind.as_str() {
            "ConfigMap" => drop(self.library.config_maps.insert(name.clone(), data::config_map(root))),
            "Secret" => drop(self.library.secrets.insert(name.clone(), data::secret(root, faults))),
            _ => {}
        }
        let info = DocumentInfo { kind: kind.clone(), name, file: faults.file.clone(), line: root.span.line, is_read };
        self.documents.push(info);
        if !is_read {
            let span = word(root, "kind").map_or(root.span, |w| w.span);
            let message = if OTHER_KINDS.contains(&kind.as_str()) {
                format!("{kind} documents are not read yet: nothing of this one is checked or run")
            } else {
                format!("{kind} is not one of Argo's kinds: nothing of this document is checked or run")
            };
            let help = Some(format!("the kinds that are read: {}", OWN_KINDS.join(", ")));
            faults.notice("N0113", span, message, help);
            if kind == "CronWorkflow" {
                check_cron(root, faults);
            }
            return;
        }
        if !is_data {
            self.definition(root, &kind, faults);
        }
    }

    fn definition(&mut self, root: &Rc<Node>, kind: &str, faults: &mut Faults) {
        let mut checker = Checker::new(faults, true);
        checker.check(root, &schema::Kind::Object(&fields::WORKFLOW), "");
        let (accepted, refused) = (checker.accepted, checker.refused);
        for (path, span) in refused {
            let name = path.rsplit('.').next().unwrap_or(&path);
            let help = Some(remedy::instead_of(&path).to_owned());
            faults.error("E0210", span, format!("`{name}` is not supported yet"), help);
        }
        let empty = Rc::new(Node { span: root.span, value: yaml::Value::Mapping(Vec::new()) });
        let kind = match kind {
            "Workflow" => Kind::Workflow,
            "WorkflowTemplate" => Kind::WorkflowTemplate,
            _ => Kind::ClusterWorkflowTemplate,
        };
        let spec = field(root, "spec").cloned().unwrap_or(empty);
        self.library.definitions.push(Definition {
            file: faults.file.clone(),
            templates: Index::of(&spec),
            kind,
            name: field(root, "metadata").map(|m| text(m, "name")).unwrap_or_default(),
            root: Rc::clone(root),
            spec,
            sound: !faults.has_errors(),
        });
        self.notices.push(accepted);
    }
}

/// A schedule is not run yet, but its old spellings are told.
fn check_cron(root: &Rc<Node>, faults: &mut Faults) {
    let mut own = Faults::new(&faults.file);
    Checker::new(&mut own, true).check(root, &schema::Kind::Object(&fields::CRON_WORKFLOW), "");
    faults.list.extend(own.list.into_iter().filter(|d| d.severity == Severity::Warning));
}

/// The kind of a document, if it is one that is known.
fn kind_of(root: &Rc<Node>, faults: &mut Faults) -> Option<String> {
    if root.mapping().is_none() {
        let help = Some("a document begins with `apiVersion: argoproj.io/v1alpha1`".to_owned());
        faults.error("E0110", root.span, format!("a document is a mapping, not {}", root.kind_name()), help);
        return None;
    }
    let Some(kind) = word(root, "kind") else {
        let help = Some("add `kind: Workflow`".to_owned());
        faults.error("E0111", first_line(root.span), "the document has no `kind`", help);
        return None;
    };
    let is_own = OWN_KINDS.contains(&kind.text.as_str());
    let is_argo = is_own || OTHER_KINDS.contains(&kind.text.as_str());
    let version = word(root, "apiVersion");
    let foreign = version.as_ref().is_some_and(|v| !v.text.starts_with("argoproj.io/"));
    if let Some(version) = version.filter(|v| is_argo && v.text != "argoproj.io/v1alpha1") {
        let help = Some("write `argoproj.io/v1alpha1`".to_owned());
        faults.error(
            "E0110",
            version.span,
            format!("there is no apiVersion `{}` of {}", version.text, kind.text),
            help,
        );
        return None;
    }
    if !is_argo && !foreign {
        let help = suggest::help(&kind.text, OWN_KINDS, "write `Workflow`");
        faults.error("E0110", kind.span, format!("there is no kind `{}`", kind.text), Some(help));
        return None;
    }
    Some(kind.text)
}

fn first_line(span: Span) -> Span {
    Span { end: span.start + 1, ..span }
}
