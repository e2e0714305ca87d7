//! What a loop costs the engine alone: seconds of one cpu, and bytes of memory a node at the highest, of a run whose every event is encoded.
//! It must never assert a figure: it prints `SECONDS BYTES NODES`. `cargo run --release -p engine --example million -- 1000000 [output]`
//!
//! With `output` each child has an output of 8 bytes, and the run's output is all of them.

use engine::{Draft, State, decide};
use model::attempt::Profile;
use model::input::{Epoch, Report, ReportKind, Stamped};
use model::node::Parameter;
use model::record::Source;
use model::{Command, Exit, Input, NodeId, Outcome, RunId, RunRecord, Time};
use std::collections::VecDeque;

const OUTPUT: &str = "
    outputs: {parameters: [{name: o, valueFrom: {path: /tmp/o}}]}";

fn main() {
    let mut words = std::env::args().skip(1);
    let size: u32 = words.next().and_then(|word| word.parse().ok()).unwrap_or(1_000_000);
    let output = words.next().is_some_and(|word| word == "output");
    let record = record(size, output);
    let before = kibibytes("VmRSS:");
    let begun = cpu_seconds();
    let mut run = Run { state: State::default(), waiting: VecDeque::new(), encoded: 0 };
    run.give(Input::Submit(Box::new(record)));
    while let Some(node) = run.waiting.pop_front() {
        run.report(node, ReportKind::Placed(Epoch("e".into()), Vec::new()));
        let mut outcome = Outcome::bare(Exit::Exited(0), Time(2));
        if output {
            outcome.parameters.push(Parameter { name: "o".into(), value: format!("{:08}", node.0) });
        }
        run.report(node, ReportKind::Ended(Box::new(outcome)));
    }
    let seconds = cpu_seconds() - begun;
    assert!(run.state.is_ended() && run.encoded > 0, "the run is stuck");
    let nodes = run.state.nodes().len();
    let bytes = (kibibytes("VmHWM:") - before) as f64 * 1024.0 / nodes as f64;
    println!("{seconds:.3} {bytes:.0} {nodes}");
}

struct Run {
    state: State,
    /// Leaves that want a place.
    waiting: VecDeque<NodeId>,
    /// Bytes of events.
    encoded: usize,
}

impl Run {
    fn report(&mut self, node: NodeId, what: ReportKind) {
        self.give(Input::Reports(vec![Report { node, n: 0, what }]));
    }

    fn give(&mut self, input: Input) {
        let mut draft = Draft::new(&mut self.state, Time(1));
        decide(&mut draft, &Stamped { at: Time(1), seed: 0, input }).expect("a sound input");
        let decided = draft.finish();
        for event in &decided.events {
            // As the driver does.
            let mut entry = Vec::with_capacity(256);
            serde_json::to_writer(&mut entry, event).expect("an event");
            self.encoded += entry.len();
        }
        for held in decided.commands {
            if let Command::Place(place) = held.command {
                self.waiting.push_back(place.key.node);
            }
        }
    }
}

fn record(size: u32, output: bool) -> RunRecord {
    let (of_leaf, of_main) = if output {
        (
            OUTPUT,
            "
    outputs: {parameters: [{name: all, valueFrom: {parameter: \"{{tasks.t.outputs.parameters.o}}\"}}]}",
        )
    } else {
        ("", "")
    };
    let text = format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: million}}
spec:
  entrypoint: main
  templates:
  - name: main{of_main}
    dag: {{tasks: [{{name: t, template: leaf, withSequence: {{count: \"{size}\"}}}}]}}
  - name: leaf{of_leaf}
    container: {{image: i, command: [run]}}
"
    );
    let files = [spec::SourceFile { name: "million.yaml".into(), text }];
    let plan = spec::compile(&files, &spec::Options::default()).plans.remove(0);
    RunRecord {
        id: RunId("uid".into()),
        name: "million".into(),
        plan,
        parameters: Vec::new(),
        artifacts: Vec::new(),
        created_at: Time(1),
        version: "1".into(),
        trigger: "million".into(),
        profile: Profile::Standard,
        source: Source::default(),
        environments: Vec::new(),
        jobs: None,
    }
}

/// Seconds that this process had a cpu.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let ns: f64 = text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0.0);
    ns / 1e9
}

/// A line of the process's status.
fn kibibytes(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
