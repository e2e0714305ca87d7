//! What a node handed out, kept small: most have one short text, and all else in common with the node that ended before.
//! It must never change a value.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use model::Outputs;
use model::node::{NamedArtifact, Parameter};

/// The outputs of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// All of them, but that the sole text is empty.
    common: Arc<Outputs>,
    /// The sole text: the result of a node without parameters, or the value of the only parameter of one without a result.
    text: Option<Box<str>>,
}

impl Kept {
    /// `last`: what the last node had that was kept.
    pub(crate) fn of(outputs: &Outputs, last: &mut Arc<Outputs>) -> Self {
        let text = sole_text(outputs).map(Box::from);
        if !is_alike(outputs, last) {
            let mut common = outputs.clone();
            if let Some(text) = sole_text_mut(&mut common) {
                text.clear();
            }
            *last = Arc::new(common);
        }
        Self { common: last.clone(), text }
    }

    pub fn exit_code(&self) -> Option<i32> {
        self.common.exit_code
    }

    pub fn result(&self) -> Option<&str> {
        let result = self.common.result.as_deref()?;
        Some(self.text.as_deref().unwrap_or(result))
    }

    /// Names and values.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let parameters = self.common.parameters.iter();
        parameters.map(|Parameter { name, value }| (name.as_str(), self.text.as_deref().unwrap_or(value)))
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters().find_map(|(known, value)| (known == name).then_some(value))
    }

    pub fn artifacts(&self) -> &[NamedArtifact] {
        &self.common.artifacts
    }

    /// All of them as they were.
    pub fn whole(&self) -> Outputs {
        let mut outputs = (*self.common).clone();
        if let (Some(empty), Some(text)) = (sole_text_mut(&mut outputs), &self.text) {
            empty.push_str(text);
        }
        outputs
    }
}

impl From<&Outputs> for Kept {
    fn from(outputs: &Outputs) -> Self {
        Self::of(outputs, &mut Arc::default())
    }
}

fn sole_text(outputs: &Outputs) -> Option<&str> {
    match (&outputs.result, &outputs.parameters[..]) {
        (Some(result), []) => Some(result),
        (None, [parameter]) => Some(&parameter.value),
        _ => None,
    }
}

fn sole_text_mut(outputs: &mut Outputs) -> Option<&mut String> {
    match (&mut outputs.result, &mut outputs.parameters[..]) {
        (Some(result), []) => Some(result),
        (None, [parameter]) => Some(&mut parameter.value),
        _ => None,
    }
}

/// Whether outputs are what is kept, their sole text apart.
fn is_alike(outputs: &Outputs, kept: &Outputs) -> bool {
    let (has, had) = (sole_text(outputs), sole_text(kept));
    if has.is_none() {
        return outputs == kept;
    }
    had == Some("")
        && outputs.result.is_some() == kept.result.is_some()
        && outputs.parameters.iter().map(|p| &p.name).eq(kept.parameters.iter().map(|p| &p.name))
        && (outputs.exit_code, &outputs.artifacts, &outputs.globals) == (kept.exit_code, &kept.artifacts, &kept.globals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn outputs(result: Option<&str>, parameters: &[(&str, &str)]) -> Outputs {
        let parameter = |(name, value): &(&str, &str)| Parameter { name: (*name).into(), value: (*value).into() };
        let parameters = parameters.iter().map(parameter).collect();
        Outputs { result: result.map(String::from), exit_code: Some(0), parameters, ..Outputs::default() }
    }

    #[test]
    fn every_value_comes_back_whatever_came_before() {
        let all = [
            outputs(None, &[]),
            outputs(Some(""), &[]),
            outputs(Some("r"), &[]),
            outputs(None, &[("o", "v")]),
            outputs(None, &[("o", "")]),
            outputs(None, &[("p", "v")]),
            outputs(Some("r"), &[("o", "v")]),
            outputs(Some(""), &[("o", "")]),
            outputs(None, &[("o", "v"), ("p", "w")]),
            Outputs { exit_code: None, ..outputs(None, &[("o", "v")]) },
        ];
        for before in &all {
            for of in &all {
                let mut last = Arc::default();
                Kept::of(before, &mut last);
                let kept = Kept::of(of, &mut last);
                assert_eq!((kept.whole(), &kept), (of.clone(), &Kept::from(of)), "after {before:?}");
                assert_eq!((kept.result(), kept.exit_code()), (of.result.as_deref(), of.exit_code));
                let parameters: Vec<_> = of.parameters.iter().map(|p| (&*p.name, &*p.value)).collect();
                assert_eq!(kept.parameters().collect::<Vec<_>>(), parameters);
                assert_eq!(kept.parameter("o"), of.parameter("o"));
            }
        }
    }

    #[test]
    fn nodes_with_one_text_each_share_the_rest() {
        let mut last = Arc::default();
        let kept = [outputs(None, &[("o", "1")]), outputs(None, &[("o", "22")])];
        let kept: Vec<Kept> = kept.iter().map(|outputs| Kept::of(outputs, &mut last)).collect();
        assert!(Arc::ptr_eq(&kept[0].common, &kept[1].common));
    }
}
