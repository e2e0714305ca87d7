//! What deciding costs: microseconds a node for runs of 1,000, 10,000 and 100,000 leaves, each placed and ended by itself.
//! It must never assert a time: it prints them. `cargo run --release -p engine --example scale`
//!
//! A case that takes longer than a minute is broken off, and its line says after how many leaves.

use engine::{Draft, State, decide};
use model::attempt::Profile;
use model::input::{Epoch, Report, ReportKind, Stamped};
use model::plan::{
    Body, Dag, Inputs, Leaf, Metadata, Outputs, PLAN_VERSION, Parameter, Plan, SEMANTICS, Scope, Sequence, Target,
    Task, Template, With,
};
use model::record::Source;
use model::{Command, Exit, Input, NodeId, Outcome, RunId, RunRecord, TemplateId, Text, Time};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

const SIZES: [u32; 3] = [1_000, 10_000, 100_000];
const PATIENCE: Duration = Duration::from_secs(60);
/// Tasks of one layer.
const WIDTH: u32 = 100;

/// A case: its name, and its plan for so many leaves.
type Case = (&'static str, fn(u32) -> Plan);

fn main() {
    let cases: [Case; 9] = [
        ("steps: one loop", |size| plan(Body::Steps(vec![vec![looped(size)]]), None)),
        ("steps: one loop, parallelism 10", |size| plan(Body::Steps(vec![vec![looped(size)]]), Some(10))),
        ("steps: one group of many", |size| plan(Body::Steps(vec![(0..size).map(single).collect()]), None)),
        ("DAG: one loop", |size| plan(dag(vec![looped(size)]), None)),
        ("DAG: one loop, parallelism 10", |size| plan(dag(vec![looped(size)]), Some(10))),
        ("DAG: layers of 100", |size| plan(dag((0..size).map(layered).collect()), None)),
        ("DAG: a chain", |size| plan(dag((0..size).map(chained).collect()), None)),
        ("DAG: a loop, timeouts", |size| timed(plan(dag(vec![looped(size)]), None))),
        ("DAG: many and one that waits for all", |size| plan(dag(joined(size)), None)),
    ];
    let only = std::env::args().nth(1).unwrap_or_default();
    println!("{:<40}{:>12}{:>12}{:>12}   us a node", "", SIZES[0], SIZES[1], SIZES[2]);
    for (name, plan) in cases.iter().filter(|(name, _)| name.contains(&only)) {
        let cells: Vec<String> = SIZES.iter().map(|size| format!("{:>12}", measure(plan(*size)))).collect();
        println!("{name:<40}{}", cells.concat());
    }
}

/// Microseconds a node, from the first input to the end of the run.
fn measure(plan: Plan) -> String {
    let (mut state, begun) = (State::default(), Instant::now());
    let mut waiting: VecDeque<NodeId> = VecDeque::new();
    give(&mut state, Input::Submit(Box::new(record(plan))), &mut waiting);
    let mut ended = 0;
    while let Some(node) = waiting.pop_front() {
        report(&mut state, node, ReportKind::Placed(Epoch("e".into()), Vec::new()), &mut waiting);
        let outcome = Outcome::bare(Exit::Exited(0), Time(2));
        report(&mut state, node, ReportKind::Ended(Box::new(outcome)), &mut waiting);
        ended += 1;
        if begun.elapsed() > PATIENCE {
            let us = begun.elapsed().as_micros() as f64 / f64::from(ended);
            return format!(">{us:.0} ({ended})");
        }
    }
    assert!(state.is_ended(), "the run is stuck");
    format!("{:.1}", begun.elapsed().as_micros() as f64 / state.nodes().len() as f64)
}

fn report(state: &mut State, node: NodeId, what: ReportKind, waiting: &mut VecDeque<NodeId>) {
    give(state, Input::Reports(vec![Report { node, n: 0, what }]), waiting);
}

fn give(state: &mut State, input: Input, waiting: &mut VecDeque<NodeId>) {
    let mut draft = Draft::new(state, Time(1));
    decide(&mut draft, &Stamped { at: Time(1), seed: 0, input }).expect("a sound input");
    let places = draft.finish().commands.into_iter().filter_map(|held| match held.command {
        Command::Place(place) => Some(place.key.node),
        _ => None,
    });
    waiting.extend(places);
}

fn record(plan: Plan) -> RunRecord {
    RunRecord {
        id: RunId("uid".into()),
        name: "scale".into(),
        plan,
        parameters: Vec::new(),
        artifacts: Vec::new(),
        created_at: Time(1),
        version: "1".into(),
        trigger: "scale".into(),
        profile: Profile::Standard,
        source: Source::default(),
        environments: Vec::new(),
        jobs: None,
    }
}

fn plan(body: Body, parallelism: Option<u32>) -> Plan {
    let leaf = Leaf { image: Text::new("i"), command: vec![Text::new("run")], ..Leaf::default() };
    Plan {
        version: PLAN_VERSION,
        semantics: SEMANTICS,
        metadata: Metadata { name: "scale".into(), ..Metadata::default() },
        entrypoint: TemplateId(1),
        arguments: Inputs::default(),
        templates: vec![template("leaf", Body::Leaf(leaf), None), template("main", body, parallelism)],
        parallelism,
        active_deadline_s: None,
        shutdown: None,
        hooks: Vec::new(),
        config_maps: Default::default(),
        suspended: false,
        locks: Vec::new(),
        by_reference: false,
        priority: 0,
        service_account: String::new(),
        notices: Vec::new(),
    }
}

fn template(name: &str, body: Body, parallelism: Option<u32>) -> Template {
    let x = Parameter { name: "x".into(), default: Some(Text::new("0")), ..Parameter::default() };
    Template {
        name: name.into(),
        scope: Scope::Local,
        inputs: Inputs { parameters: vec![x], artifacts: Vec::new() },
        outputs: Outputs::default(),
        body,
        retry: None,
        parallelism,
        fail_fast: true,
        timeout: None,
        active_deadline: None,
        at_most_once: false,
        locks: Vec::new(),
        annotations: BTreeMap::new(),
    }
}

fn timed(mut plan: Plan) -> Plan {
    plan.templates[0].timeout = Some(Text::new("1h"));
    plan
}

fn dag(tasks: Vec<Task>) -> Body {
    Body::Dag(Dag { tasks, target: Text::new(""), fail_fast: true })
}

fn task(name: String) -> Task {
    Task {
        name,
        target: Target::Template(TemplateId(0)),
        arguments: Inputs::default(),
        when: None,
        with: None,
        continue_on: model::plan::ContinueOn::default(),
        depends: String::new(),
        from_dependencies: false,
        hooks: Vec::new(),
    }
}

fn looped(size: u32) -> Task {
    let x = Parameter { name: "x".into(), value: Some(Text::new("{{item}}")), ..Parameter::default() };
    let mut task = task("each".into());
    task.arguments.parameters.push(x);
    task.with = Some(With::Sequence(Sequence { count: Some(Text::new(size.to_string())), ..Sequence::default() }));
    task
}

fn single(number: u32) -> Task {
    task(format!("t{number}"))
}

/// A task that depends on two of the layer before.
fn layered(number: u32) -> Task {
    let mut task = single(number);
    if number >= WIDTH {
        let before = number - number % WIDTH - WIDTH;
        task.depends = format!("t{} && t{}", before + number % WIDTH, before + (number + 1) % WIDTH);
    }
    task
}

fn chained(number: u32) -> Task {
    let mut task = single(number);
    if number > 0 {
        task.depends = format!("t{}", number - 1);
    }
    task
}

fn joined(size: u32) -> Vec<Task> {
    let mut tasks: Vec<Task> = (0..size).map(single).collect();
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    let depends = names.join(" && ");
    tasks.push(Task { depends, ..task("last".into()) });
    tasks
}
