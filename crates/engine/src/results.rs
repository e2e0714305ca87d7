//! Whose standard output is wanted: a call site's result is kept where a text of the calling template refers to it (upstream
//! `hasOutputResultRef`).
//! It must never look at values: only at what the document says.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use model::plan::{Arguments, Body, OutputSource, Task, Template, With};

/// The texts of the call sites of a steps or DAG template.
pub(crate) fn texts(template: &Template) -> Vec<&str> {
    let mut texts: Vec<&str> = Vec::new();
    match &template.body {
        Body::Steps(groups) => groups.iter().flatten().for_each(|task| of_task(task, &mut texts)),
        Body::Dag(dag) => dag.tasks.iter().for_each(|task| of_task(task, &mut texts)),
        _ => {}
    }
    texts
}

/// Names of the call sites of a steps or DAG template whose result is referred to somewhere in it.
pub(crate) fn wanted(template: &Template) -> BTreeSet<String> {
    if !matches!(template.body, Body::Steps(_) | Body::Dag(_)) {
        return BTreeSet::new();
    }
    let mut texts = texts(template);
    for parameter in &template.outputs.parameters {
        match &parameter.source {
            OutputSource::Parameter(text) | OutputSource::Value(text) => texts.push(&text.0),
            OutputSource::Expression(source) => texts.push(source),
            OutputSource::Path(_) | OutputSource::Supplied => {}
        }
    }
    for artifact in &template.outputs.artifacts {
        texts.extend(artifact.from_expression.as_deref());
    }
    texts.iter().flat_map(|text| names(text)).collect()
}

fn of_task<'a>(task: &'a Task, texts: &mut Vec<&'a str>) {
    of_arguments(&task.arguments, texts);
    texts.extend(task.when.as_ref().map(|when| when.as_str()));
    for hook in &task.hooks {
        of_arguments(&hook.arguments, texts);
        texts.extend(hook.expression.as_deref());
    }
    match &task.with {
        Some(With::Param(text)) => texts.push(&text.0),
        Some(With::Items(items)) => texts.extend(items.iter().map(|item| item.as_str())),
        Some(With::Sequence(sequence)) => {
            let bounds = [&sequence.count, &sequence.start, &sequence.end];
            texts.extend(bounds.into_iter().flatten().map(|text| text.as_str()));
        }
        None => {}
    }
}

fn of_arguments<'a>(arguments: &'a Arguments, texts: &mut Vec<&'a str>) {
    for parameter in &arguments.parameters {
        texts.extend(parameter.value.as_ref().map(|value| value.as_str()));
        texts.extend(parameter.expression.as_deref());
    }
    for artifact in &arguments.artifacts {
        texts.extend(artifact.from_expression.as_deref());
        if let Some(model::plan::Location::Raw(text)) = &artifact.location {
            texts.push(&text.0);
        }
    }
}

/// The names before `.outputs.result`: `steps.NAME`, `tasks['NAME']`.
fn names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices(".outputs.result") {
        let before = &text[..at];
        let name = match before.strip_suffix("']").or_else(|| before.strip_suffix("\"]")) {
            Some(quoted) => quoted.rsplit(['\'', '"']).next().unwrap_or_default(),
            None => before
                .rsplit(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
                .next()
                .unwrap_or_default(),
        };
        names.push(name.to_string());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings() {
        let text =
            "{{steps.a-b.outputs.result}} {{=tasks['c d'].outputs.result + steps.e.outputs.result}} steps.f.outputs";
        assert_eq!(names(text), ["a-b", "c d", "e"]);
    }
}
