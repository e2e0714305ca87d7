//! `retryStrategy`, of a template or of the workflow.
//! It must never decide whether there is another try.

use super::Lowering;
use crate::argo::view::{field, int_or_text, text, word};
use crate::suggest;
use crate::yaml::Node;
use model::Text;
use model::plan::{Backoff, RetryPolicy, RetryStrategy};

const POLICIES: [&str; 4] = ["Always", "OnFailure", "OnError", "OnTransientError"];

impl Lowering<'_> {
    pub(super) fn retry(&mut self, node: &Node) -> RetryStrategy {
        RetryStrategy {
            limit: int_or_text(node, "limit").map(|w| Text(w.text)),
            policy: self.policy(node),
            backoff: field(node, "backoff").map(|node| Backoff {
                duration: Text(text(node, "duration")),
                factor: int_or_text(node, "factor").map(|w| Text(w.text)),
                cap: Text(text(node, "cap")),
                max_duration: Text(text(node, "maxDuration")),
            }),
            expression: word(node, "expression").map(|w| w.text),
        }
    }

    fn policy(&mut self, node: &Node) -> Option<RetryPolicy> {
        let word = word(node, "retryPolicy")?;
        match word.text.as_str() {
            "Always" => Some(RetryPolicy::Always),
            "OnFailure" => Some(RetryPolicy::OnFailure),
            "OnError" => Some(RetryPolicy::OnError),
            "OnTransientError" => Some(RetryPolicy::OnTransientError),
            other => {
                let help = suggest::help(other, POLICIES, "remove it");
                self.faults.error("E0606", word.span, format!("there is no retry policy `{other}`"), Some(help));
                None
            }
        }
    }
}
