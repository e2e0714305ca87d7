//! Node ids and pod names.

use super::{Row, Verdict, of};
use serde_json::json;

pub fn check(row: &Row) -> Verdict {
    of(row, |row| {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let expected = json!([row["id"], row["pod_v2"]]);
        let (workflow, node) = (text("workflow"), text("node"));
        let got = json!([
            model::ids::argo_node_id(workflow, node),
            model::ids::argo_pod_name(workflow, node, text("template")),
        ]);
        (expected, got)
    })
}
