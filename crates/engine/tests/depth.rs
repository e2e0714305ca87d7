//! Templates that call themselves ten thousand times: what a level costs must not grow with its depth, and nothing may recurse by it.
//! It must never assert a time.

#[allow(dead_code, reason = "a run of ten thousand levels is not checked after each input")]
mod driving;

use engine::{Body, Draft, State, decide, fold, outstanding};
use model::event::Recorded;
use model::input::{Epoch, Reopen, Report, ReportKind, Shutdown, Stamped};
use model::node::Parameter;
use model::{Command, Event, Exit, Input, NodeId, Outcome, Plan, RunPhase, Time, limits};
use std::collections::{BTreeSet, VecDeque};

/// Nodes with longer names there are none.
const NAME_BYTES_MAX: usize = 2_000;

struct Run {
    state: State,
    log: Vec<Recorded>,
    /// Leaves that want a place.
    waiting: VecDeque<(NodeId, u32)>,
}

impl Run {
    fn begin(plan: &Plan, left: u32) -> Self {
        let mut run = Self { state: State::default(), log: Vec::new(), waiting: VecDeque::new() };
        let parameters = vec![Parameter { name: "left".into(), value: left.to_string() }];
        run.give(Input::Submit(Box::new(driving::record(plan.clone(), parameters))));
        run
    }

    fn give(&mut self, input: Input) {
        let mut draft = Draft::new(&mut self.state, Time(1));
        decide(&mut draft, &Stamped { at: Time(1), seed: 0, input }).expect("a sound input");
        let decided = draft.finish();
        self.log.extend(decided.events);
        for held in decided.commands {
            match held.command {
                Command::Place(place) => self.waiting.push_back((place.key.node, place.key.n)),
                Command::Launch { launch, .. } => assert!(launch.node_name.len() < NAME_BYTES_MAX),
                _ => {}
            }
        }
    }

    fn report(&mut self, (node, n): (NodeId, u32), what: ReportKind) {
        self.give(Input::Reports(vec![Report { node, n, what }]));
    }

    /// Lets every leaf end as `outcome` says of the how manieth.
    fn play(&mut self, outcome: impl Fn(usize) -> Outcome) {
        let mut count = 0;
        while let Some(leaf) = self.waiting.pop_front() {
            self.report(leaf, ReportKind::Placed(Epoch("e".into()), Vec::new()));
            self.report(leaf, ReportKind::Ended(Box::new(outcome(count))));
            count += 1;
        }
    }

    /// What holds of every run, however deep. Returns its phase.
    fn judge(&self) -> RunPhase {
        self.state.check().expect("sound indexes");
        assert!(fold(&self.log) == self.state, "the folded log is not the state");
        assert_eq!(outstanding(&self.state), [Command::Ended]);
        let mut names = BTreeSet::new();
        for event in &self.log {
            let bytes = serde_json::to_vec(event).expect("an event").len();
            // A run that is reopened names all its open nodes in one event.
            let one_node = !matches!(event.event, Event::RunCreated(_) | Event::RunReopened(_));
            assert!(bytes < 4 * NAME_BYTES_MAX || !one_node, "{bytes} bytes");
            if let Event::NodeAdded(added) = &event.event {
                assert!(names.insert(added.name.as_str()), "{} is the name of two nodes", added.name);
            }
        }
        self.state.phase().expect("it was created")
    }

    fn deepest(&self) -> u32 {
        self.state.nodes().iter().map(|node| node.depth).max().expect("a node")
    }

    /// Bytes of events that each of these nodes has brought, on the whole.
    fn bytes_a_node(&self, nodes: std::ops::Range<usize>) -> usize {
        let of = |event: &&Recorded| match &event.event {
            Event::NodeAdded(added) => nodes.contains(&added.node.index()),
            _ => false,
        };
        let bytes: usize =
            self.log.iter().filter(of).map(|event| serde_json::to_vec(event).expect("an event").len()).sum();
        bytes / nodes.len()
    }
}

fn well(_: usize) -> Outcome {
    Outcome::bare(Exit::Exited(0), Time(2))
}

fn plan(templates: &str) -> Plan {
    let text = format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: wf}}
spec:
  entrypoint: again
  arguments: {{parameters: [{{name: left, value: '0'}}]}}
  templates:
  - {{name: leaf, container: {{image: i, command: [run]}}}}
  - {{name: writes, outputs: {{parameters: [{{name: o, valueFrom: {{path: /o}}}}]}}, container: {{image: i, command: [run]}}}}
{templates}"
    );
    let files = [spec::SourceFile { name: "plan.yaml".into(), text }];
    let compiled = spec::compile(&files, &spec::Options::default());
    assert!(compiled.plans.len() == 1, "{:?}", compiled.diagnostics);
    compiled.plans.into_iter().next().expect("a plan")
}

/// The call that comes while there is something left.
const AGAIN: &str = "{name: again, template: again, when: '{{inputs.parameters.left}} > 0', \
     arguments: {parameters: [{name: left, value: '{{=asInt(inputs.parameters.left) - 1}}'}]}}";

const HEAD: &str = "  - name: again\n    inputs: {parameters: [{name: left, value: '{{workflow.parameters.left}}'}]}";

#[test]
fn steps_that_call_themselves_ten_thousand_times() {
    let plan = plan(&format!("{HEAD}\n    steps: [[{{name: do, template: leaf}}], [{AGAIN}]]\n"));
    let mut run = Run::begin(&plan, 10_000);
    run.play(well);
    assert_eq!(run.judge(), RunPhase::Succeeded);
    assert_eq!((run.state.nodes().len(), run.deepest()), (4 * 10_001 + 1, 10_001));
    let (early, late) = (run.bytes_a_node(1_000..2_000), run.bytes_a_node(39_000..40_000));
    assert!(late <= early + 10, "a node's event has {late} bytes, {early} before");
}

#[test]
fn a_dag_that_calls_itself_ten_thousand_times() {
    let plan = plan(&format!(
        "{HEAD}\n    dag: {{tasks: [{{name: do, template: leaf}}, {}]}}\n",
        AGAIN.replace("name: again,", "name: again, depends: do,")
    ));
    let mut run = Run::begin(&plan, 10_000);
    run.play(well);
    assert_eq!(run.judge(), RunPhase::Succeeded);
    assert_eq!((run.state.nodes().len(), run.deepest()), (2 * 10_001 + 1, 10_001));
}

/// Nothing runs in between: one decision makes all levels, and all of them end in it.
#[test]
fn ten_thousand_levels_come_and_go_in_one_decision() {
    for body in [format!("steps: [[{AGAIN}]]"), format!("dag: {{tasks: [{AGAIN}]}}")] {
        let run = Run::begin(&plan(&format!("{HEAD}\n    {body}\n")), 10_000);
        assert_eq!((run.judge(), run.deepest()), (RunPhase::Succeeded, 10_001), "{body}");
    }
}

#[test]
fn one_level_too_many_is_an_error_of_that_level() {
    let run = Run::begin(&plan("  - {name: again, steps: [[{name: a, template: again}]]}\n"), 0);
    assert_eq!((run.judge(), run.deepest()), (RunPhase::Failed, limits::TEMPLATE_DEPTH_MAX + 1));
    let last = run.state.nodes().last().expect("a node");
    assert!(last.message.starts_with("Maximum recursion depth exceeded"), "{}", last.message);
    assert_eq!(run.state.nodes().len() as u32, 2 * limits::TEMPLATE_DEPTH_MAX + 3);
}

/// The deepest comes first; what it hands out is handed up, level by level.
#[test]
fn a_value_comes_up_through_five_thousand_levels() {
    let plan = plan(&format!(
        "{HEAD}\n    outputs: {{parameters: [{{name: o, valueFrom: {{expression: \"steps['again'].status == 'Skipped' ? \
         steps['do'].outputs.parameters.o : steps['again'].outputs.parameters.o\"}}}}]}}\n    \
         steps: [[{{name: do, template: writes}}], [{AGAIN}]]\n"
    ));
    let mut run = Run::begin(&plan, 5_000);
    run.play(|count| {
        let mut outcome = well(count);
        outcome.parameters.push(Parameter { name: "o".into(), value: format!("value {count}") });
        outcome
    });
    assert_eq!(run.judge(), RunPhase::Succeeded);
    let Some(Event::RunEnded(end)) = run.log.last().map(|recorded| &recorded.event) else { panic!("an end") };
    assert_eq!(end.outputs.parameter("o"), Some("value 5000"));
}

#[test]
fn a_failure_at_the_bottom_fails_every_level() {
    let plan = plan(&format!("{HEAD}\n    steps: [[{{name: do, template: leaf}}], [{AGAIN}]]\n"));
    let mut run = Run::begin(&plan, 5_000);
    run.play(|count| Outcome::bare(Exit::Exited(i32::from(count == 5_000)), Time(2)));
    assert_eq!((run.judge(), run.deepest()), (RunPhase::Failed, 5_001));
}

#[test]
fn a_deep_run_is_stopped() {
    let plan = plan(&format!("{HEAD}\n    steps: [[{AGAIN}], [{{name: do, template: leaf}}]]\n"));
    let mut run = Run::begin(&plan, 10_000);
    assert_eq!(run.waiting.len(), 1, "the leaf of the level in which nothing is left");
    run.give(Input::Shutdown { strategy: Shutdown::Stop, by: "test".into() });
    assert_eq!((run.judge(), run.deepest()), (RunPhase::Failed, 10_001));
}

#[test]
fn a_deep_run_goes_on_after_an_output_was_missing() {
    let text = format!("{HEAD}\n    steps: [[{{name: do, template: writes}}], [{AGAIN}]]\n");
    let mut run = Run::begin(&plan(&text), 5_000);
    let written = |count: usize| {
        let mut outcome = well(count);
        outcome.parameters.push(Parameter { name: "o".into(), value: "v".into() });
        outcome
    };
    let missing = "failed to find the output parameter o".to_string();
    run.play(|count| match count {
        3_000 => Outcome { collect_error: Some(missing.clone()), ..well(count) },
        _ => written(count),
    });
    assert_eq!(run.judge(), RunPhase::Failed);
    let [node] = engine::missing_outputs(&run.state)[..] else { panic!("one node") };
    assert!(matches!(run.state.nodes()[node.index()].body, Body::Leaf(_)));
    let kept = [(node.0, 0)].into();
    run.give(Input::Reopen(Box::new(Reopen { by: "test".into(), plan: plan(&text), kept })));
    run.play(written);
    assert_eq!((run.judge(), run.deepest()), (RunPhase::Succeeded, 5_001));
}
