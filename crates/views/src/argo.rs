//! Argo's Workflow object with its `status`, as `-o json` prints it and the compatible API will serve it.
//! It must never hold a rule: names, phases and messages are the events'.

use crate::edges::Edges;
use crate::history::{History, NodeView};
use crate::progress;
use crate::stamp::rfc3339;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use model::artifact::Content;
use model::attempt::Written;
use model::ids::argo_node_id;
use model::node::{Inputs, NamedArtifact, Outputs, Parameter};
use model::plan::{Body, Scope, Template};
use model::{NodeId, NodeKind};
use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Workflow<'a> {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub metadata: Metadata,
    pub spec: Spec,
    pub status: Status<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub creation_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What of the spec is told again: the entrypoint and the arguments in force.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    pub entrypoint: String,
    pub arguments: Parameters,
}

#[derive(Debug, Default, Serialize)]
pub struct Parameters {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status<'a> {
    pub phase: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    pub progress: String,
    #[serde(skip_serializing_if = "ArgoOutputs::is_empty")]
    pub outputs: ArgoOutputs,
    pub nodes: Nodes<'a>,
}

/// The nodes by their ids: each is made while it is written, and let go again. There may be hundreds of thousands.
#[derive(Debug)]
pub struct Nodes<'a> {
    history: &'a History,
    run: &'a str,
    /// What stands behind `local/`.
    scope: &'a str,
    edges: Edges,
    progress: Vec<progress::Progress>,
    /// In the order of their ids; of several with the same, the last.
    order: Vec<NodeId>,
}

impl Serialize for Nodes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.order.iter().map(|id| (self.id(*id), self.node(self.history.node(*id)))))
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArgoNode {
    pub id: String,
    pub name: String,
    pub display_name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub phase: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
    pub template_scope: String,
    #[serde(rename = "boundaryID", skip_serializing_if = "Option::is_none")]
    pub boundary_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outbound_nodes: Vec<String>,
    #[serde(skip_serializing_if = "ArgoInputs::is_empty")]
    pub inputs: ArgoInputs,
    #[serde(skip_serializing_if = "ArgoOutputs::is_empty")]
    pub outputs: ArgoOutputs,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_flag: Option<NodeFlag>,
    /// Ours: what the last attempt used, and its limits as they are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Used>,
    /// Ours: what was written and not declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Written>,
}

/// What an attempt used.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Used {
    pub cpu_seconds: f64,
    pub memory_peak_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_limit: Option<String>,
}

/// A call by `templateRef`: Argo tells the reference instead of the name.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRef {
    pub name: String,
    pub template: String,
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub cluster_scope: bool,
}

#[derive(Debug, Serialize)]
pub struct NodeFlag {
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub hooked: bool,
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub retried: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct ArgoInputs {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArgoArtifact>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ArgoOutputs {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArgoArtifact>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<String>,
}

/// An artifact; where its bytes are is told in our own words.
#[derive(Debug, Serialize)]
pub struct ArgoArtifact {
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<Raw>,
}

#[derive(Debug, Serialize)]
pub struct Raw {
    pub data: String,
}

impl ArgoInputs {
    fn is_empty(&self) -> bool {
        self.parameters.is_empty() && self.artifacts.is_empty()
    }
}

impl ArgoOutputs {
    fn is_empty(&self) -> bool {
        self.parameters.is_empty() && self.artifacts.is_empty() && self.result.is_none() && self.exit_code.is_none()
    }
}

/// The Workflow object of a run; `None` before it was created.
pub fn workflow(history: &History) -> Option<Workflow<'_>> {
    let record = history.record.as_deref()?;
    let plan = &record.plan;
    let mut labels = plan.metadata.labels.clone();
    labels.extend(plan.metadata.of_runs.labels.clone());
    let mut annotations = plan.metadata.annotations.clone();
    annotations.extend(plan.metadata.of_runs.annotations.clone());
    let phase = history.phase.map_or("", model::RunPhase::as_str).to_string();
    labels.insert("workflows.argoproj.io/phase".into(), phase.clone());
    if history.ended_at.is_some() {
        labels.insert("workflows.argoproj.io/completed".into(), "true".into());
    }
    Some(Workflow {
        api_version: "argoproj.io/v1alpha1",
        kind: "Workflow",
        metadata: Metadata {
            name: record.name.clone(),
            namespace: plan.metadata.namespace.clone(),
            uid: record.id.0.clone(),
            creation_timestamp: rfc3339(record.created_at),
            labels,
            annotations,
        },
        spec: Spec {
            entrypoint: plan.template(plan.entrypoint).name.clone(),
            arguments: Parameters { parameters: parameters(record) },
        },
        status: Status {
            phase,
            message: history.message.clone(),
            started_at: history.started_at.map(rfc3339),
            finished_at: history.ended_at.map(rfc3339),
            progress: {
                let (done, all) = progress::of_run(history);
                format!("{done}/{all}")
            },
            outputs: outputs(&history.globals),
            nodes: Nodes::of(history, &record.name, if plan.by_reference { "" } else { &record.name }),
        },
    })
}

/// The parameters in force: given at the start, else the document's.
fn parameters(record: &model::RunRecord) -> Vec<Parameter> {
    let declared = record.plan.arguments.parameters.iter().map(|p| {
        let given = record.parameters.iter().find(|given| given.name == p.name).map(|given| given.value.clone());
        let own = || p.value.as_ref().or(p.default.as_ref()).map(|text| text.0.clone());
        Parameter { name: p.name.clone(), value: given.or_else(own).unwrap_or_default() }
    });
    declared.collect()
}

fn text((done, all): progress::Progress) -> Option<String> {
    (all > 0).then(|| format!("{done}/{all}"))
}

impl<'a> Nodes<'a> {
    fn of(history: &'a History, run: &'a str, scope: &'a str) -> Self {
        let edges = Edges::of(history);
        let progress = progress::of_nodes(history, &edges);
        let ids: BTreeMap<String, NodeId> =
            history.current().map(|node| (argo_node_id(run, &node.name), node.id)).collect();
        Self { history, run, scope, edges, progress, order: ids.into_values().collect() }
    }

    fn id(&self, id: NodeId) -> String {
        argo_node_id(self.run, &self.history.node(id).name)
    }

    fn ids(&self, ids: &[NodeId]) -> Vec<String> {
        ids.iter().map(|id| self.id(*id)).collect()
    }

    fn node(&self, node: &NodeView) -> ArgoNode {
        let template = self.history.template(node);
        let boundary = node.boundary.and_then(|id| self.history.template(self.history.node(id)));
        let own = template.map_or(&Scope::Local, |template| &template.scope);
        let calling = boundary.map_or(own, |boundary| &boundary.scope);
        let template_scope = match calling {
            Scope::Local => format!("local/{}", self.scope),
            Scope::Namespaced(name) => format!("namespaced/{name}"),
            Scope::Cluster(name) => format!("cluster/{name}"),
        };
        let named = template.filter(|t| !t.name.is_empty() && node.kind != NodeKind::StepGroup);
        let reference = |name: &String, template: &String, cluster_scope| TemplateRef {
            name: name.clone(),
            template: template.clone(),
            cluster_scope,
        };
        let (name, template_ref) = match (named, own) {
            (Some(t), Scope::Namespaced(scope)) if own != calling => (None, Some(reference(scope, &t.name, false))),
            (Some(t), Scope::Cluster(scope)) if own != calling => (None, Some(reference(scope, &t.name, true))),
            (named, _) => (named.map(|t| t.name.clone()), None),
        };
        ArgoNode {
            id: self.id(node.id),
            name: node.name.to_string(),
            display_name: node.display_name.to_string(),
            kind: node.kind.as_str(),
            phase: node.phase.as_str(),
            message: node.message.clone(),
            template_name: name,
            template_ref,
            template_scope,
            boundary_id: node.boundary.map(|id| self.id(id)),
            children: self.ids(&self.edges.children[node.id.index()]),
            outbound_nodes: self.ids(&self.edges.outbound(self.history, node)),
            inputs: inputs(&node.inputs),
            outputs: outputs(&node.outputs),
            progress: text(self.progress[node.id.index()]),
            started_at: node.started_at.map(rfc3339),
            finished_at: node.ended_at.map(rfc3339),
            node_flag: (node.retried || node.hooked).then_some(NodeFlag { hooked: node.hooked, retried: node.retried }),
            used: used(node, template),
            written: node.written().cloned(),
        }
    }
}

/// `None` while nothing is known.
fn used(node: &NodeView, template: Option<&Template>) -> Option<Used> {
    let usage = node.attempts.last()?.usage;
    let limit = |name: &str| match &template?.body {
        Body::Leaf(leaf) => leaf.resources.limits.get(name).map(|text| text.as_str().to_string()),
        _ => None,
    };
    (usage.cpu_us > 0 || usage.memory_peak_bytes > 0).then(|| Used {
        cpu_seconds: usage.cpu_us as f64 / 1e6,
        memory_peak_bytes: usage.memory_peak_bytes,
        memory_limit: limit("memory"),
        cpu_limit: limit("cpu"),
    })
}

fn inputs(inputs: &Inputs) -> ArgoInputs {
    ArgoInputs { parameters: inputs.parameters.clone(), artifacts: inputs.artifacts.iter().map(artifact).collect() }
}

fn outputs(outputs: &Outputs) -> ArgoOutputs {
    let there = outputs.artifacts.iter().filter(|named| named.artifact.is_some());
    ArgoOutputs {
        parameters: outputs.parameters.clone(),
        artifacts: there.map(artifact).collect(),
        result: outputs.result.clone(),
        exit_code: outputs.exit_code.map(|code| code.to_string()),
    }
}

fn artifact(named: &NamedArtifact) -> ArgoArtifact {
    let content = named.artifact.as_ref().map(|artifact| &artifact.content);
    ArgoArtifact {
        name: named.name.clone(),
        path: named.path.clone(),
        digest: match content {
            Some(Content::Blob(digest) | Content::Tree(digest)) => Some(digest.to_string()),
            _ => None,
        },
        raw: match content {
            Some(Content::Raw(data)) => Some(Raw { data: data.clone() }),
            _ => None,
        },
    }
}
