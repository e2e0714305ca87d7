//! The Plan: what a workflow means, whichever door it came by. It is stored with its run and never compiled again.
//! It must never know the syntax that it was written in, nor hold an `Option` that stands for a default of the language.

use crate::ids::TemplateId;
use crate::input::Shutdown;
use crate::text::Text;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Version of this shape. A newer one than the binary knows is refused.
pub const PLAN_VERSION: u32 = 1;
/// Number of the rule set that a new run is decided by; a rule whose meaning changes gets a new number.
pub const SEMANTICS: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub version: u32,
    pub semantics: u32,
    pub metadata: Metadata,
    /// The template that the root node invokes.
    pub entrypoint: TemplateId,
    /// `spec.arguments`: names, values, and what they may be.
    pub arguments: Arguments,
    pub templates: Vec<Template>,
    /// Leaves that may be active at once in the whole run (`spec.parallelism`).
    pub parallelism: Option<u32>,
    /// `spec.activeDeadlineSeconds`, from the start of the run.
    pub active_deadline_s: Option<i64>,
    pub priority: i32,
    pub service_account: String,
    /// `spec.shutdown`: the run is stopped as soon as it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<Shutdown>,
    /// `spec.hooks` and `spec.onExit`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// `spec.suspend`: nothing starts before a person lets it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub suspended: bool,
    /// `spec.synchronization`: nothing starts before the run has all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<Lock>,
    /// ConfigMaps that inputs of templates refer to: name, key, value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config_maps: BTreeMap<String, BTreeMap<String, String>>,
    /// The workflow consists of a `workflowTemplateRef`: Argo's status leaves its own name out of `templateScope` then.
    #[serde(default)]
    pub by_reference: bool,
    /// Accepted and without meaning here; told once a run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// `metadata.name`, or "" where only `generate_name` is given.
    pub name: String,
    pub generate_name: String,
    pub namespace: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Sections that the document has and that hold nothing (`labels`, `annotations`, `parameters`): upstream prints them as
    /// `{}` and `[]`, where it prints a section that is not there as `null`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blank: Vec<String>,
    /// `workflowMetadata`: what the run gets beside its own.
    #[serde(default, skip_serializing_if = "RunMetadata::is_empty")]
    pub of_runs: RunMetadata,
}

/// `spec.workflowMetadata`: labels and annotations that every run of the workflow gets; they win over its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunMetadata {
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// Labels whose value is an expr over `workflow.*`.
    pub labels_from: BTreeMap<String, String>,
}

impl RunMetadata {
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty() && self.labels_from.is_empty()
    }
}

/// Where a template's name is looked up, and how Argo's status spells it (`templateScope`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The workflow's own templates: `local/<run>`.
    Local,
    /// A WorkflowTemplate: `namespaced/<name>`.
    Namespaced(String),
    /// A ClusterWorkflowTemplate: `cluster/<name>`.
    Cluster(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// "" for an inline template.
    pub name: String,
    pub scope: Scope,
    pub inputs: Inputs,
    pub outputs: Outputs,
    pub body: Body,
    /// The template's own strategy, else the workflow's.
    pub retry: Option<RetryStrategy>,
    /// Children that may be active at once.
    pub parallelism: Option<u32>,
    /// `failFast` of the template (steps and DAGs: stop creating nodes after a failure). Argo's default: false.
    pub fail_fast: bool,
    /// `timeout`: a Go duration, counts pending time too.
    pub timeout: Option<Text>,
    /// `activeDeadlineSeconds` of a leaf: an integer, perhaps behind a tag.
    pub active_deadline: Option<Text>,
    /// `synchronization`: a node waits until it has all of them, and has them until it ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<Lock>,
    /// `towpath.dev/at-most-once`: a lost attempt is an Error instead of a new attempt.
    #[serde(default)]
    pub at_most_once: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    Leaf(Leaf),
    Steps(Vec<Vec<Task>>),
    Dag(Dag),
    /// `suspend`; `duration` as written. (The language's second part.)
    Suspend {
        duration: Option<Text>,
    },
    /// No template type: the node ends as Error.
    Missing,
}

/// A container or script template: one process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Leaf {
    pub image: Text,
    pub command: Vec<Text>,
    pub args: Vec<Text>,
    /// A script's text: given to the command as a file, whose path is appended as the last argument.
    pub source: Option<Text>,
    pub working_dir: Option<Text>,
    pub env: Vec<EnvVar>,
    pub mounts: Vec<VolumeMount>,
    pub resources: Resources,
    /// `towpath.dev/python-requirements` of template or workflow: one requirement an entry. Empty: no environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub python_requirements: Vec<String>,
    /// The body sends `Call`s: its children are requested at run time.
    #[serde(default)]
    pub dynamic: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    pub name: Text,
    pub value: Text,
    /// The value is data: its tags are none.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub literal: bool,
    /// The value is a Secret's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretKey>,
}

/// A key of a Secret; "": all of its keys, each a variable of its own, whose name begins with the variable's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretKey {
    pub name: String,
    pub key: String,
    pub optional: bool,
}

/// A key of a ConfigMap, perhaps behind tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRef {
    pub name: Text,
    pub key: Text,
    pub optional: bool,
}

/// What lies in a mounted volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeSource {
    /// An empty directory of the attempt.
    #[default]
    EmptyDir,
    /// A directory of the run (`volumeClaimTemplates`).
    Run,
    /// A directory of the home, by the name of its claim; perhaps behind tags.
    Home(String),
    /// Files with these contents (a ConfigMap).
    Files(BTreeMap<String, String>),
    /// Keys of a Secret as files: all of them, or (key, file).
    Secret { name: String, items: Vec<(String, String)>, optional: bool },
}

impl VolumeSource {
    pub fn is_empty_dir(&self) -> bool {
        *self == Self::EmptyDir
    }
}

/// A volume (of the template or the workflow) mounted into a leaf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    pub volume: String,
    pub path: Text,
    pub sub_path: Text,
    pub read_only: bool,
    #[serde(default, skip_serializing_if = "VolumeSource::is_empty_dir")]
    pub source: VolumeSource,
}

/// Requests admit, limits are enforced. Amounts as written (Kubernetes quantities), perhaps behind tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, Text>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Text>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dag {
    pub tasks: Vec<Task>,
    /// `target`: names separated by spaces; "" for all tasks that nothing depends on.
    pub target: Text,
    /// Argo's default: true.
    pub fail_fast: bool,
}

/// A call site: a step of a group or a task of a DAG.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub name: String,
    pub target: Target,
    pub arguments: Arguments,
    pub when: Option<Text>,
    pub with: Option<With>,
    pub continue_on: ContinueOn,
    /// DAG only. The document's `depends`, or `dependencies` joined by " && "; "" for a root task. Short names are not yet
    /// expanded: the rules are in `engine::depends`.
    pub depends: String,
    /// True where `depends` stems from `dependencies` (only then may `continue_on` count).
    pub from_dependencies: bool,
    /// `hooks` and `onExit`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
}

/// A mutex or a semaphore of the home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    pub kind: LockKind,
    /// "": the workflow's.
    pub namespace: String,
    /// Of the mutex, perhaps behind tags; of the semaphore's ConfigMap.
    pub name: Text,
    /// The semaphore's key; "" for a mutex.
    pub key: String,
    /// How many may have it at once.
    pub limit: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockKind {
    Mutex,
    Semaphore,
}

/// A lifecycle hook: a template that is invoked beside a node, or after it (`exit`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// `exit`, or a name of the document's own.
    pub name: String,
    pub target: Target,
    /// Empty: the workflow's own.
    pub arguments: Arguments,
    /// An expr without braces; `None` only for `exit`.
    pub expression: Option<String>,
}

impl Hook {
    /// Whether it runs after the end, and not as its expression says.
    pub fn is_exit(&self) -> bool {
        self.name == "exit"
    }
}

/// Which template a call site invokes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    Template(TemplateId),
    /// A name that is known only at run time, looked up in the calling template's scope.
    Named(Text),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContinueOn {
    pub error: bool,
    pub failed: bool,
}

/// A loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum With {
    /// `withItems`: each item as JSON text in the document's spelling of numbers; strings may hold tags.
    Items(Vec<Text>),
    /// `withParam`: text that becomes a JSON list.
    Param(Text),
    Sequence(Sequence),
}

/// `withSequence`: numbers as written, perhaps behind tags. Exactly one of `count` and `end` in a valid document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    pub count: Option<Text>,
    pub start: Option<Text>,
    pub end: Option<Text>,
    /// A printf format for one integer; "" for `%d`.
    pub format: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    pub parameters: Vec<Parameter>,
    pub artifacts: Vec<Artifact>,
}

/// Arguments have the shape of inputs: a name and what is bound to it.
pub type Arguments = Inputs;

/// An input parameter, an argument, or a workflow parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    pub name: String,
    pub value: Option<Text>,
    /// `default`.
    pub default: Option<Text>,
    /// `valueFrom.expression` (an expr without braces).
    pub expression: Option<String>,
    /// `valueFrom.configMapKeyRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<KeyRef>,
    /// `enum`: values that are admitted; empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// `description`, told by `{{workflow.parameters}}` and `--help`-like places.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// An input artifact or an artifact argument.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    pub name: String,
    /// Where a leaf finds it; "" for arguments and for inputs of steps and DAGs.
    pub path: Text,
    pub from: Option<Text>,
    /// `fromExpression` (an expr without braces).
    pub from_expression: Option<String>,
    pub location: Option<Location>,
    pub sub_path: Text,
    pub optional: bool,
    /// Permission bits to set on the file.
    pub mode: Option<u32>,
    pub recurse_mode: bool,
}

/// Where a document says that bytes lie or shall lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Location {
    Raw(Text),
    /// A key in the embedded default repository (key-only or the default S3 repository).
    Key(Text),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outputs {
    pub parameters: Vec<OutputParameter>,
    pub artifacts: Vec<OutputArtifact>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputParameter {
    pub name: String,
    pub source: OutputSource,
    /// `valueFrom.default`.
    pub default: Option<Text>,
    /// `globalName`, "" if none; it may have tags.
    pub global_name: String,
}

/// Where the value of an output parameter comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputSource {
    /// A file that the leaf writes; one trailing newline is removed.
    Path(Text),
    /// `valueFrom.parameter`: text with tags, for steps and DAGs.
    Parameter(Text),
    /// `valueFrom.expression`: an expr without braces, for steps and DAGs.
    Expression(String),
    /// A literal `value`.
    Value(Text),
    /// `valueFrom.supplied`: by the person who resumes a suspended node.
    Supplied,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputArtifact {
    pub name: String,
    /// Leaves: where it is written.
    pub path: Text,
    /// Steps and DAGs.
    pub from: Option<Text>,
    pub from_expression: Option<String>,
    pub location: Option<Location>,
    pub optional: bool,
    pub global_name: String,
}

/// `retryStrategy`. Numbers as written, perhaps behind tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryStrategy {
    /// Further tries after the first; `None`: without end.
    pub limit: Option<Text>,
    /// As written; `None` is OnFailure, or Always where an expression is given.
    pub policy: Option<RetryPolicy>,
    pub backoff: Option<Backoff>,
    /// An expr without braces.
    pub expression: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetryPolicy {
    Always,
    OnFailure,
    OnError,
    OnTransientError,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// A Go duration or whole seconds.
    pub duration: Text,
    pub factor: Option<Text>,
    pub cap: Text,
    pub max_duration: Text,
}

impl Plan {
    pub fn template(&self, id: TemplateId) -> &Template {
        &self.templates[id.index()]
    }

    /// The template called `name` in `scope`.
    pub fn find(&self, scope: &Scope, name: &str) -> Option<TemplateId> {
        let index = self.templates.iter().position(|t| t.name == name && t.scope == *scope)?;
        Some(TemplateId(index as u32))
    }
}

impl Task {
    /// A literal list without items is no loop: upstream runs such a call once, with `{{item}}` as it stands.
    pub fn is_loop(&self) -> bool {
        self.with.is_some() && !matches!(&self.with, Some(With::Items(items)) if items.is_empty())
    }
}

impl Body {
    pub fn is_leaf(&self) -> bool {
        matches!(self, Self::Leaf(_))
    }
}
