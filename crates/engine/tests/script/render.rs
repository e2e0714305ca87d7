//! A run as lines of text: its phase, its nodes, what is owed.
//! It must never leave out what a rule decided.

use crate::driving::{Run, START};
use engine::{Node, outstanding};
use model::node::{NamedArtifact, Parameter};
use model::{AttemptKey, Command, Event, NodeId, Outputs, Time};
use std::fmt::Write as _;

/// The run and its nodes, in the order of their creation.
pub fn whole(run: &Run) -> Vec<String> {
    let mut lines = vec![head(run)];
    let owed = outstanding(&run.state);
    for (index, node) in run.state.nodes().iter().enumerate() {
        let id = NodeId(index as u32);
        let duties = owed.iter().filter_map(|command| Some((key(command)?, command)));
        let mine = duties.filter(|(key, _)| key.node == id).map(|(_, command)| verb(command));
        lines.push(line(&run.state.name(id), node) + &mine.map(|verb| format!(" owes {verb}")).collect::<String>());
    }
    lines
}

/// The run, how many nodes it has, and what became of the last of them.
pub fn brief(run: &Run) -> Vec<String> {
    let nodes = run.state.nodes();
    let last =
        nodes.last().map(|node| format!("{} {}{}", node.kind.as_str(), node.phase.as_str(), quoted(&node.message)));
    vec![head(run), format!("{} nodes, the last: {}", nodes.len(), last.unwrap_or_default())]
}

fn head(run: &Run) -> String {
    let again = run.log.iter().rposition(|recorded| matches!(recorded.event, Event::RunReopened(_))).unwrap_or(0);
    let ended = run.log[again..].iter().find_map(|recorded| match &recorded.event {
        Event::RunEnded(end) => Some((end.phase, &end.message, &end.outputs)),
        _ => None,
    });
    match (ended, run.state.phase()) {
        (Some((phase, message, outputs)), _) => {
            format!("run {}{}{}", phase.as_str(), quoted(message), given_out(outputs))
        }
        (None, Some(phase)) => format!("run {}", phase.as_str()),
        (None, None) => "no run".to_string(),
    }
}

fn line(name: &str, node: &Node) -> String {
    let reset = if node.is_reset { "reset: " } else { "" };
    let mut line =
        format!("{reset}{} {} {}{}", bare(name), node.kind.as_str(), node.phase.as_str(), quoted(&node.message));
    let inputs = pairs(&node.inputs.parameters) + &artifacts(&node.inputs.artifacts);
    if !inputs.is_empty() {
        let _ = write!(line, " in{inputs}");
    }
    line + &node.outputs.as_ref().map(|kept| given_out(&kept.whole())).unwrap_or_default()
}

fn given_out(outputs: &Outputs) -> String {
    let mut out = String::new();
    if let Some(code) = outputs.exit_code {
        let _ = write!(out, " exit={code}");
    }
    if let Some(result) = &outputs.result {
        let _ = write!(out, " result={}", bare(result));
    }
    out += &(pairs(&outputs.parameters) + &artifacts(&outputs.artifacts));
    if out.is_empty() { out } else { format!(" out{out}") }
}

fn pairs(parameters: &[Parameter]) -> String {
    parameters.iter().map(|p| format!(" {}={}", p.name, bare(&p.value))).collect()
}

fn artifacts(artifacts: &[NamedArtifact]) -> String {
    let text = |named: &NamedArtifact| match &named.artifact {
        None => format!(" artifact {}=absent", named.name),
        Some(artifact) => {
            let at = artifact.metadata.get("subPath").map(|path| format!("/{path}")).unwrap_or_default();
            format!(" artifact {}={}{at}", named.name, bare(&format!("{:?}", artifact.content)))
        }
    };
    artifacts.iter().map(text).collect()
}

/// A text that is left as it is where no reader could mistake it.
pub fn bare(text: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\\');
    if !text.is_empty() && text.chars().all(plain) {
        text.into()
    } else {
        serde_json::to_string(text).unwrap_or_default()
    }
}

fn quoted(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" {}", serde_json::to_string(message).unwrap_or_default()) }
}

fn key(command: &Command) -> Option<&AttemptKey> {
    match command {
        Command::Place(place) => Some(&place.key),
        Command::Launch { launch, .. } => Some(&launch.key),
        Command::Kill { key, .. } => Some(key),
        Command::WakeAt(_)
        | Command::Return { .. }
        | Command::Acquire { .. }
        | Command::Release { .. }
        | Command::Ended => None,
    }
}

fn verb(command: &Command) -> String {
    match command {
        Command::Place(_) => "place".into(),
        Command::Launch { .. } => "launch".into(),
        Command::Kill { why, .. } => format!("kill({why:?})"),
        Command::WakeAt(at) => format!("wake {}", since_start(*at)),
        Command::Return { .. } => "return".into(),
        Command::Acquire { .. } => "acquire".into(),
        Command::Release { .. } => "release".into(),
        Command::Ended => "the end".into(),
    }
}

/// A command in short: what, of which node and attempt, and what the world is told.
pub fn command(run: &Run, command: &Command) -> String {
    let name = |id: NodeId| bare(&run.state.name(id));
    let attempt = key(command).map(|key| format!(" {}#{}", name(key.node), key.n)).unwrap_or_default();
    let verb = verb(command);
    match command {
        Command::Place(place) => {
            let mut line = format!("{verb}{attempt}");
            for (what, amount) in [
                ("cpu", place.requests.cpu_millis.map(|cpu| format!("{cpu}m"))),
                ("memory", place.requests.memory_bytes.map(|bytes| bytes.to_string())),
                ("gpus", place.requests.gpus.map(|gpus| gpus.to_string())),
                ("priority", (place.priority != 0).then(|| place.priority.to_string())),
                ("needs", (!place.python_requirements.is_empty()).then(|| place.python_requirements.join(","))),
            ] {
                line += &amount.map(|amount| format!(" {what}={amount}")).unwrap_or_default();
            }
            line
        }
        Command::Launch { epoch, .. } => format!("{verb}{attempt} in {}", epoch.0),
        Command::Return { parent, n, name: call, counter, child } => {
            format!("return {}#{n} {call}#{counter} {}", name(*parent), name(*child))
        }
        Command::Acquire { node, wants, .. } => {
            let wants: Vec<String> = wants.iter().map(|want| format!("{}/{}", want.name, want.limit)).collect();
            format!("acquire {} {}", node.map_or("the run".into(), name), wants.join(" "))
        }
        Command::Release { node } => format!("release {}", node.map_or("the run".into(), name)),
        Command::Kill { .. } | Command::WakeAt(_) | Command::Ended => format!("{verb}{attempt}"),
    }
}

/// What an attempt is launched with.
pub fn launch(launch: &model::Launch) -> String {
    let words: Vec<String> = launch.command.iter().chain(&launch.args).map(|word| bare(word)).collect();
    let mut line = words.join(" ");
    if let Some(script) = &launch.script {
        let _ = write!(line, " script={}", bare(script));
    }
    launch.env.iter().for_each(|(name, value)| {
        let _ = write!(line, " {name}={}", bare(value));
    });
    for (name, secret) in &launch.secrets {
        let _ = write!(line, " {name}<secret:{}/{}", secret.name, secret.key);
    }
    for input in &launch.inputs {
        let below = if input.sub_path.is_empty() { String::new() } else { format!("/{}", input.sub_path) };
        let _ = write!(line, " {}<{}{below}", input.path, bare(&format!("{:?}", input.artifact.content)));
    }
    for wanted in &launch.outputs.parameters {
        let default = wanted.default.as_ref().map(|default| format!("(default {})", bare(default))).unwrap_or_default();
        let _ = write!(line, " {}>{}{default}", wanted.path, wanted.name);
    }
    for wanted in &launch.outputs.artifacts {
        let _ = write!(line, " {}>{}{}", wanted.path, wanted.name, if wanted.optional { "?" } else { "" });
    }
    if launch.outputs.result {
        line += " stdout>result";
    }
    if let Some(from) = launch.collects {
        let _ = write!(line, " collects #{from}");
    }
    if let Some(seconds) = launch.deadline_s {
        let _ = write!(line, " deadline={seconds}s");
    }
    line
}

pub fn since_start(at: Time) -> String {
    let us = at.0 - START.0;
    if us % Time::SECOND_US == 0 { format!("+{}s", us / Time::SECOND_US) } else { format!("+{us}us") }
}
