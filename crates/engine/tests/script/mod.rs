//! Scripts: their text, their commands, and what these print. It must never know a rule of the engine.
//!
//! A node is named in full or without the run's name: `.a`, `[0].a`, `wf` for the root. Several reports on one line, with ` ; ` between
//! them, arrive together. Commands:
//!
//! - `submit [-p NAME=VALUE]…`, `stop`, `terminate`, `resume`, `environment NAME,NAME`
//! - `approve [NODE] [-p NAME=VALUE]…`; `locked [NODE]`: the locks that the node, or the run, waits for are its own
//! - `place [NODE…]`: places are granted, without names to all leaves that wait
//! - `end NODE|all WHAT…`: `exit=N` (0 where nothing is said), `signal=N`, `oom`, `deadline`, `cancelled`, `not-started=WHY`,
//!   `collect-error=WHY`, `result=TEXT`, `param NAME=VALUE`, `artifact NAME`; a leaf that waits is placed first, but for `unplaced`
//! - `lost NODE [WHY]`, `stale NODE n=N WHAT…` (an outcome of that attempt, as it is), `placed NODE n=N` (the same of a place)
//! - `drain`: ends all leaves with exit 0 and lets all timers pass, until nothing is open
//! - `at +5s`: time passes; `wake [+10s]`: and a timer is due (without a span: at the next one)
//! - `call NODE NAME#COUNTER [fp=TEXT] [template=NAME] [n=N] [-p NAME=VALUE]…`, `call-unknown` and `reports-unknown`: by
//!   and about a node that is not there
//! - `edit OLD NEW`: the plan's text is another from here on, in the plan of the next `reopen`; `reopen [gone]`: the ended run goes on by
//!   it, and what its attempts wrote is still there, or not
//! - `again`: the last input once more; where it is not refused it must change nothing
//! - `epoch NAME`: places from now on are of this epoch; `restart`: the log is folded, and the run goes on with the fold
//! - `show`, `owes`, `commands`, `events`, `explain NODE`, `launch NODE`: print the nodes, what is owed, what the last input released,
//!   what it recorded, why a node does not run, what its attempt is launched with; `brief`: at the end, only count the nodes

mod plan;
mod render;
mod words;

use crate::coverage::Coverage;
use crate::driving::{self, Run};
use engine::{Body, Decided, outstanding};
use model::input::{Approve, Call, Epoch, Reopen, Report, ReportKind, Shutdown};
use model::node::Parameter;
use model::record::EnvironmentLock;
use model::{Command, Exit, Input, NodeId, NodeKind, Outcome};
use std::collections::BTreeSet;
use words::{numbered, outcome, parameters, words};

pub struct Case {
    pub name: String,
    pub line: usize,
    /// Everything up to the expectation, as written.
    pub head: String,
    plan: String,
    script: Vec<String>,
    pub expect: Vec<String>,
}

/// The cases of a file. What stands before the first is left out, so files begin with a case.
pub fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut part = "";
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("== ") {
            let (name, plan) = (name.to_string(), String::new());
            let head = format!("{line}\n");
            cases.push(Case { name, line: index + 1, head, plan, script: Vec::new(), expect: Vec::new() });
            part = "";
            continue;
        }
        let before = cases.len().checked_sub(2).map(|before| cases[before].plan.clone());
        let Some(case) = cases.last_mut() else { continue };
        if part != "expect" {
            case.head += &format!("{line}\n");
        }
        match (line, part) {
            ("plan:", _) => part = "plan",
            ("plan: as before", _) => case.plan = before.unwrap_or_default(),
            ("script:", _) => part = "script",
            ("expect:", _) => part = "expect",
            (_, "plan") => case.plan += &format!("{line}\n"),
            (_, "script") if !line.trim().is_empty() && !line.starts_with('#') => case.script.push(line.trim().into()),
            (_, "expect") if !line.trim().is_empty() => case.expect.push(line.trim_end().into()),
            _ => {}
        }
    }
    cases
}

/// Plays a case: what its commands printed, then the run and its nodes.
pub fn run(case: &Case, coverage: &mut Coverage) -> Vec<String> {
    let plan = match plan::of(&case.plan) {
        Ok(plan) => plan,
        Err(faults) => return vec![format!("the plan is refused: {faults}")],
    };
    let mut player = Player {
        plan,
        text: case.plan.clone(),
        run: Run::new(),
        epoch: "e1".into(),
        last: None,
        decided: Decided::default(),
        printed: Vec::new(),
        brief: false,
        coverage,
    };
    for line in &case.script {
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| player.play(line)));
        let fault = match played {
            Ok(Ok(())) => continue,
            Ok(Err(fault)) => fault,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                text.or(panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default()
            }
        };
        player.printed.push(format!("BROKEN at `{line}`: {fault}"));
        return player.printed;
    }
    player.coverage.log(&player.run.log);
    let mut lines = player.printed;
    lines.extend(if player.brief { render::brief(&player.run) } else { render::whole(&player.run) });
    lines
}

struct Player<'a> {
    plan: model::Plan,
    /// What the plan is written in, edited.
    text: String,
    run: Run,
    epoch: String,
    last: Option<Input>,
    decided: Decided,
    printed: Vec<String>,
    brief: bool,
    coverage: &'a mut Coverage,
}

/// Waves that `drain` plays at most.
const WAVES_MAX: usize = 500;

/// A node that no run of a script has.
const UNKNOWN: NodeId = NodeId(1_000_000);

impl Player<'_> {
    fn play(&mut self, line: &str) -> Result<(), String> {
        let words = words(line)?;
        let (verb, rest) = words.split_first().ok_or("an empty line")?;
        match verb.as_str() {
            "submit" => {
                let record = driving::record(self.plan.clone(), parameters(rest)?);
                self.give(Input::Submit(Box::new(record)))
            }
            "stop" => self.give(Input::Shutdown { strategy: Shutdown::Stop, by: "cli:ada".into() }),
            "terminate" => self.give(Input::Shutdown { strategy: Shutdown::Terminate, by: "cli:ada".into() }),
            "approve" => self.approve(rest)?,
            "locked" => {
                let node = if rest.is_empty() { None } else { Some(self.node(rest.first())?) };
                self.give(Input::Locked { node });
            }
            "resume" => self.give(Input::Resume { by: "cli:ada".into() }),
            "edit" => {
                let [old, new] = rest else { return Err("edit OLD NEW".into()) };
                if !self.text.contains(old.as_str()) {
                    return Err(format!("the plan has no {old}"));
                }
                self.text = self.text.replace(old.as_str(), new);
            }
            "reopen" => self.reopen(rest)?,
            "environment" => self.environment(rest)?,
            "place" => self.place(rest)?,
            "end" | "lost" | "stale" | "placed" => self.reports(&words)?,
            "drain" => self.drain()?,
            "at" => self.pass(rest)?,
            "wake" => {
                match rest.is_empty() {
                    true => self.run.now = engine::next_wake(&self.run.state).ok_or("no timer is set")?,
                    false => self.pass(rest)?,
                }
                self.give(Input::Woke);
            }
            "slept" => {
                let before = self.run.now;
                self.pass(rest)?;
                let us = self.run.now.since_us(before);
                self.give(Input::Slept { us });
            }
            "call" => self.call(rest)?,
            "call-unknown" => self.call_unknown(),
            "reports-unknown" => self.reports_unknown(),
            "again" => self.again()?,
            "epoch" => self.epoch = rest.first().ok_or("which epoch?")?.clone(),
            "restart" => self.run.restart(),
            "brief" => self.brief = true,
            _ => self.print(verb, rest)?,
        }
        Ok(())
    }

    fn print(&mut self, verb: &str, rest: &[String]) -> Result<(), String> {
        let short = |command: &Command| render::command(&self.run, command);
        let lines: Vec<String> = match verb {
            "show" => render::whole(&self.run).iter().map(|line| format!("show: {line}")).collect(),
            "owes" => {
                let owed: Vec<String> = outstanding(&self.run.state).iter().map(short).collect();
                vec![format!("owes: {}", if owed.is_empty() { "nothing".into() } else { owed.join("; ") })]
            }
            "commands" => self
                .decided
                .commands
                .iter()
                .map(|h| format!("released after {}: {}", h.after, short(&h.command)))
                .collect(),
            "events" => {
                let kinds: Vec<&str> = self.decided.events.iter().map(|recorded| recorded.event.kind()).collect();
                vec![format!("events: {}", if kinds.is_empty() { "none".into() } else { kinds.join(" ") })]
            }
            "explain" => {
                let id = self.node(rest.first())?;
                let reason = engine::explain(&self.run.state, id);
                self.coverage.reason(&reason);
                vec![format!("explain: {}", reason.line(&self.run.state.name(id)))]
            }
            "launch" => {
                let id = self.node(rest.first())?;
                let owed = outstanding(&self.run.state);
                let launch = owed.iter().find_map(|command| match command {
                    Command::Launch { launch, .. } if launch.key.node == id => Some(launch),
                    _ => None,
                });
                let launch = launch.ok_or("no launch of it is owed")?;
                vec![format!("launch: {} {}", render::bare(&launch.node_name), render::launch(launch))]
            }
            _ => return Err("no such command".into()),
        };
        self.printed.extend(lines);
        Ok(())
    }

    /// Gives an input; a refusal is printed.
    fn give(&mut self, input: Input) {
        self.coverage.input(&self.run.state, &self.run.log, &input);
        match self.run.input(&input) {
            Ok(decided) => {
                self.coverage.commands(&decided, &outstanding(&self.run.state));
                self.decided = decided;
            }
            Err(refusal) => {
                self.coverage.refusal(&refusal);
                self.printed.push(format!("refused: {refusal}"));
                self.decided = Decided::default();
            }
        }
        self.last = Some(input);
    }

    fn again(&mut self) -> Result<(), String> {
        let last = self.last.clone().ok_or("there was no input")?;
        let length = self.run.log.len();
        self.give(last);
        if self.run.log.len() == length { Ok(()) } else { Err("the repeated input changed something".into()) }
    }

    fn reopen(&mut self, rest: &[String]) -> Result<(), String> {
        let plan = plan::of(&self.text)?;
        let all = (0..self.run.state.nodes().len() as u32).flat_map(|node| (0..9).map(move |n| (node, n)));
        let kept = if rest.is_empty() { all.collect() } else { BTreeSet::new() };
        self.give(Input::Reopen(Box::new(Reopen { by: "cli:ada".into(), plan, kept })));
        Ok(())
    }

    fn pass(&mut self, rest: &[String]) -> Result<(), String> {
        let span = rest.first().ok_or("how long?")?;
        let us = engine::retry::duration_us(span.trim_start_matches('+'))?;
        self.run.now = self.run.now.plus_us(us);
        Ok(())
    }

    fn environment(&mut self, rest: &[String]) -> Result<(), String> {
        let names = rest.first().ok_or("which packages?")?;
        let requirements = names.split(',').map(String::from).collect();
        let lock = EnvironmentLock { requirements, interpreter: "3.12".into(), lock: "…".into() };
        self.give(Input::Environment(Box::new(lock)));
        Ok(())
    }

    fn approve(&mut self, rest: &[String]) -> Result<(), String> {
        let node = rest.first().filter(|word| *word != "-p").map(|name| self.node(Some(name))).transpose()?;
        self.give(Input::Approve(Approve { by: "cli:ada".into(), node, parameters: parameters(rest)? }));
        Ok(())
    }

    fn node(&self, name: Option<&String>) -> Result<NodeId, String> {
        let name = name.ok_or("which node?")?;
        if self.run.state.nodes().is_empty() {
            return Err("there are no nodes".into());
        }
        let root = self.run.state.name(NodeId::ROOT);
        let full = if name.starts_with(['.', '[', '(']) { format!("{root}{name}") } else { name.clone() };
        let ids = 0..self.run.state.nodes().len() as u32;
        let index = ids.rev().find(|id| self.run.state.name(NodeId(*id)) == *full);
        index.map(NodeId).ok_or_else(|| format!("no node {full}"))
    }

    fn n_of(&self, id: NodeId) -> u32 {
        match &self.run.state.nodes()[id.index()].body {
            Body::Leaf(attempt) => attempt.n,
            _ => 0,
        }
    }

    fn waits(&self, id: NodeId) -> bool {
        let node = &self.run.state.nodes()[id.index()];
        matches!(&node.body, Body::Leaf(attempt) if attempt.epoch.is_none()) && !node.phase.is_fulfilled()
    }

    fn leaves(&self, of: impl Fn(&engine::Node) -> bool) -> Vec<NodeId> {
        let nodes = self.run.state.nodes().iter().enumerate();
        let open =
            nodes.filter(|(_, node)| matches!(node.body, Body::Leaf(_)) && !node.phase.is_fulfilled() && of(node));
        open.map(|(index, _)| NodeId(index as u32)).collect()
    }

    fn place(&mut self, rest: &[String]) -> Result<(), String> {
        let named: Result<Vec<NodeId>, String> = rest.iter().map(|name| self.node(Some(name))).collect();
        let mut ids = named?;
        if rest.is_empty() {
            ids = self.leaves(|_| true).into_iter().filter(|id| self.waits(*id)).collect();
        }
        self.grant(&ids);
        Ok(())
    }

    fn grant(&mut self, ids: &[NodeId]) {
        let placed = |id: &NodeId| {
            let what = ReportKind::Placed(Epoch(self.epoch.clone()), Vec::new());
            Report { node: *id, n: self.n_of(*id), what }
        };
        let reports: Vec<Report> = ids.iter().map(placed).collect();
        if !reports.is_empty() {
            self.give(Input::Reports(reports));
        }
    }

    /// `end`, `lost`, `stale`, `placed`, with ` ; ` between them.
    fn reports(&mut self, words: &[String]) -> Result<(), String> {
        let (mut reports, mut unplaced) = (Vec::new(), Vec::new());
        for report in words.split(|word| word == ";") {
            let (verb, rest) = report.split_first().ok_or("an empty report")?;
            let (name, rest) = rest.split_first().ok_or("which node?")?;
            let ids = match (verb.as_str(), name.as_str()) {
                ("end", "all") => self.leaves(|_| true),
                _ => vec![self.node(Some(name))?],
            };
            for id in ids {
                let (n, rest) = numbered(rest, self.n_of(id))?;
                let what = match verb.as_str() {
                    "placed" => ReportKind::Placed(Epoch(self.epoch.clone()), Vec::new()),
                    "lost" => ReportKind::Ended(Box::new(words::lost(&rest, self.run.now))),
                    "end" | "stale" => ReportKind::Ended(Box::new(outcome(&rest, self.run.now)?)),
                    _ => return Err(format!("no such report: {verb}")),
                };
                if matches!(verb.as_str(), "end" | "lost") && self.waits(id) && !rest.contains(&"unplaced".into()) {
                    unplaced.push(id);
                }
                reports.push(Report { node: id, n, what });
            }
        }
        self.grant(&unplaced);
        self.give(Input::Reports(reports));
        Ok(())
    }

    fn drain(&mut self) -> Result<(), String> {
        for _ in 0..WAVES_MAX {
            if !self.leaves(|_| true).is_empty() {
                self.reports(&["end".into(), "all".into()])?;
            } else if let Some(at) = engine::next_wake(&self.run.state) {
                self.run.now = at.max(self.run.now);
                self.give(Input::Woke);
            } else {
                let waits = |node: &engine::Node| node.kind == NodeKind::Suspend && !node.phase.is_fulfilled();
                let over = self.run.state.is_ended() || self.run.state.nodes().iter().any(waits);
                return if over {
                    Ok(())
                } else {
                    Err("the run is stuck: nothing is open, and it has not ended".into())
                };
            }
        }
        Err(format!("something is still open after {WAVES_MAX} waves"))
    }

    /// Reports of all kinds about a node that no run has.
    fn reports_unknown(&mut self) {
        let ended = |exit: Exit| ReportKind::Ended(Box::new(Outcome::bare(exit, self.run.now)));
        let kinds = [
            ReportKind::Placed(Epoch("e".into()), Vec::new()),
            ended(Exit::Exited(0)),
            ended(Exit::Lost("gone".into())),
        ];
        self.give(Input::Reports(kinds.map(|what| Report { node: UNKNOWN, n: 0, what }).into()));
    }

    /// A call by a node that no run has.
    fn call_unknown(&mut self) {
        let (name, fingerprint, template) = ("train".into(), "fp".into(), "leaf".into());
        let parent = UNKNOWN;
        self.give(Input::Call(Call { parent, n: 0, name, counter: 0, fingerprint, template, arguments: Vec::new() }));
    }

    fn call(&mut self, rest: &[String]) -> Result<(), String> {
        let parent = self.node(rest.first())?;
        let (name, counter) = rest.get(1).and_then(|call| call.split_once('#')).ok_or("NAME#COUNTER?")?;
        let value = |key: &str| rest.iter().find_map(|word| word.strip_prefix(key)).map(String::from);
        let template = value("template=").unwrap_or_else(|| "leaf".into());
        let arguments: Vec<Parameter> = parameters(rest)?;
        let (n, _) = numbered(&rest[2..], self.n_of(parent))?;
        let fingerprint = value("fp=").unwrap_or_else(|| format!("{template} {arguments:?}"));
        let counter = counter.parse().map_err(|_| "the counter is no number")?;
        self.give(Input::Call(Call { parent, n, name: name.into(), counter, fingerprint, template, arguments }));
        Ok(())
    }
}
