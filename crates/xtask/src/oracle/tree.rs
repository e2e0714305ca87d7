//! Whole node trees: the engine driven as the real controller was, every leaf that exists ending in the next round.

use super::{Row, Verdict, of};
use engine::{Draft, State, decide, evolve};
use model::attempt::Profile;
use model::event::Recorded;
use model::input::{Report, ReportKind, Stamped};
use model::node::Parameter;
use model::record::Source;
use model::{Event, Exit, Input, NodeId, Outcome, RunId, RunRecord, Time};
use regex::Regex;
use serde_json::{Value, json};
use spec::{Options, Severity, SourceFile, compile};
use views::History;

pub fn check(row: &Row) -> Verdict {
    let parsed: Value = serde_json::from_str(&row.text).unwrap_or_default();
    let compiled = compile(&files(&parsed), &Options::default());
    let mut errors = compiled.diagnostics.iter().filter(|d| d.severity == Severity::Error).peekable();
    if errors.peek().is_some() && errors.all(|error| error.code == "E0506") {
        return Verdict::Deliberate("upstream hangs on a `when` that reads a sibling of its own group; we refuse it");
    }
    of(row, |row| (expected(row), got(row)))
}

fn expected(row: &Value) -> Value {
    if row["message"].as_str().is_some_and(|message| message.starts_with("invalid spec")) {
        return json!("refused");
    }
    let mut nodes = row["nodes"].clone();
    for node in nodes.as_array_mut().into_iter().flatten() {
        if let Some(entries) = node.as_object_mut() {
            entries.retain(|_, value| {
                !matches!(value, Value::Null) && *value != "" && *value != json!([]) && *value != json!({})
            });
        }
    }
    json!({ "phase": row["phase"], "message": row["message"], "waves": row["waves"], "nodes": nodes })
}

fn files(row: &Value) -> Vec<SourceFile> {
    let file =
        |name: &str, text: &Value| SourceFile { name: name.into(), text: text.as_str().unwrap_or_default().into() };
    let mut files = vec![file("row.yaml", &row["yaml"])];
    files.extend(row["with"].as_array().into_iter().flatten().map(|with| file("with.yaml", with)));
    files
}

fn got(row: &Value) -> Value {
    let compiled = compile(&files(row), &Options::default());
    let Some(plan) = compiled.plans.into_iter().next() else { return json!("refused") };
    let record = RunRecord {
        id: RunId("uid".into()),
        name: plan.metadata.name.clone(),
        plan,
        parameters: Vec::new(),
        artifacts: Vec::new(),
        created_at: Time(0),
        version: String::new(),
        trigger: String::new(),
        profile: Profile::Standard,
        source: Source::default(),
        environments: Vec::new(),
        jobs: None,
    };
    let mut run = Run::default();
    run.input(Input::Submit(Box::new(record)));
    let outcomes = outcomes(&row["outcomes"]);
    let mut waves = Vec::new();
    while let Some(wave) = run.wave(&outcomes) {
        waves.push(wave);
    }
    run.answer(waves)
}

struct Scripted {
    matches: Regex,
    exit: i32,
    result: Option<String>,
    parameters: Vec<Parameter>,
}

fn outcomes(written: &Value) -> Vec<Scripted> {
    let one = |o: &Value| {
        let parameters = o["parameters"].as_object().into_iter().flatten();
        Some(Scripted {
            matches: Regex::new(o["match"].as_str()?).ok()?,
            exit: if o["phase"] == "Failed" { o["exitCode"].as_i64().unwrap_or(1) as i32 } else { 0 },
            result: o["result"].as_str().map(String::from),
            parameters: parameters
                .map(|(name, value)| Parameter { name: name.clone(), value: value.as_str().unwrap_or_default().into() })
                .collect(),
        })
    };
    written.as_array().into_iter().flatten().filter_map(one).collect()
}

#[derive(Default)]
struct Run {
    state: State,
    log: Vec<Recorded>,
    now: i64,
}

impl Run {
    fn input(&mut self, input: Input) {
        self.now += Time::SECOND_US;
        let mut draft = Draft::new(&mut self.state, Time(self.now));
        if decide(&mut draft, &Stamped { at: Time(self.now), seed: 0, input }).is_ok() {
            self.log.extend(draft.finish().events);
        }
        while self.grant() {}
        let folded = engine::fold(&self.log);
        assert!(folded == self.state, "the folded log is not the state");
        let mut again = engine::fold(&self.log[..self.log.len() / 2]);
        self.log[self.log.len() / 2..].iter().for_each(|event| evolve(&mut again, event));
        assert!(again == self.state, "a fold in two parts is not the state");
    }

    /// Gives locks to those whose turn it is, and forgets those of nodes that have ended.
    fn grant(&mut self) -> bool {
        let key = |node| engine::locks::Key { run: RunId("uid".into()), node };
        let mut locks = engine::locks::Locks::default();
        engine::held_locks(&self.state).iter().for_each(|(node, wants)| locks.hold(key(*node), wants));
        for command in engine::outstanding(&self.state) {
            if let model::Command::Acquire { node, wants, priority, created_at } = command {
                locks.wish(key(node), &wants, priority, created_at);
            }
        }
        let granted = locks.grant();
        for key in &granted {
            let stamped = Stamped { at: Time(self.now), seed: 0, input: Input::Locked { node: key.node } };
            let mut draft = Draft::new(&mut self.state, Time(self.now));
            if decide(&mut draft, &stamped).is_ok() {
                self.log.extend(draft.finish().events);
            }
        }
        !granted.is_empty()
    }

    /// Ends every leaf that exists. `None`: there is none.
    fn wave(&mut self, outcomes: &[Scripted]) -> Option<Vec<String>> {
        let open = |(index, node): (usize, &engine::Node)| {
            let leaf =
                matches!(node.body, engine::Body::Leaf(_)) && !node.phase.is_fulfilled() && !node.waits_for_locks;
            let id = NodeId(index as u32);
            leaf.then(|| (id, self.state.name(id).into_owned()))
        };
        let leaves: Vec<(NodeId, String)> = self.state.nodes().iter().enumerate().filter_map(open).collect();
        if leaves.is_empty() || self.log.iter().any(|r| matches!(r.event, Event::RunEnded(_))) {
            return None;
        }
        // As recorded: no reconcile saw them running.
        let ended = |(node, name): &(NodeId, String)| {
            let scripted = outcomes.iter().find(|o| o.matches.is_match(name));
            let mut outcome = Outcome::bare(Exit::Exited(scripted.map_or(0, |o| o.exit)), Time(self.now));
            outcome.result = scripted.and_then(|o| o.result.clone());
            outcome.parameters = scripted.map(|o| o.parameters.clone()).unwrap_or_default();
            Report { node: *node, n: 0, what: ReportKind::Ended(Box::new(outcome)) }
        };
        let reports = leaves.iter().map(ended).collect();
        self.input(Input::Reports(reports));
        let mut names: Vec<String> = leaves.into_iter().map(|(_, name)| name).collect();
        names.sort();
        Some(names)
    }

    fn answer(&self, waves: Vec<Vec<String>>) -> Value {
        let history = History::fold(&self.log);
        let Some(workflow) = views::workflow(&history) else { return json!("no run") };
        let status = serde_json::to_value(&workflow.status).unwrap_or_default();
        let named = |id: &Value| status["nodes"][id.as_str().unwrap_or_default()]["name"].clone();
        let list = |ids: &Value| {
            let mut names: Vec<String> =
                ids.as_array().into_iter().flatten().filter_map(|id| named(id).as_str().map(String::from)).collect();
            names.sort();
            json!(names)
        };
        let mut nodes: Vec<Value> = Vec::new();
        for node in status["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values()) {
            let values = |list: &Value| -> Value {
                let of = |p: &Value| Some((p["name"].as_str()?.to_string(), p["value"].clone()));
                Value::Object(list.as_array().into_iter().flatten().filter_map(of).collect())
            };
            let mut entry = json!({
                "name": node["name"], "displayName": node["displayName"], "type": node["type"], "phase": node["phase"],
                "message": node["message"], "template": node["templateName"], "boundary": named(&node["boundaryID"]),
                "children": list(&node["children"]), "outbound": list(&node["outboundNodes"]),
                "inputs": values(&node["inputs"]["parameters"]), "outputs": values(&node["outputs"]["parameters"]),
                "result": node["outputs"]["result"], "exitCode": node["outputs"]["exitCode"], "progress": node["progress"],
                "templateRef": template_ref(&node["templateRef"]),
                "flag": flag(&node["nodeFlag"]),
            });
            if let Some(entries) = entry.as_object_mut() {
                entries.retain(|_, value| {
                    !matches!(value, Value::Null) && *value != "" && *value != json!([]) && *value != json!({})
                });
            }
            nodes.push(entry);
        }
        nodes.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
        let message = status["message"].as_str().unwrap_or_default();
        json!({ "phase": status["phase"], "message": message, "waves": waves, "nodes": nodes })
    }
}

fn flag(flags: &Value) -> Value {
    let set = ["retried", "hooked"].into_iter().find(|name| flags[name] == true);
    set.map_or(Value::Null, |name| json!(name))
}

fn template_ref(reference: &Value) -> Value {
    match (reference["name"].as_str(), reference["template"].as_str()) {
        (Some(name), Some(template)) => json!(format!("{name}/{template}")),
        _ => Value::Null,
    }
}
