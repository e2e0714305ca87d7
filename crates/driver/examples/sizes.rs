//! What the control plane alone does: durable events a second, and how long a run with many attempts outstanding takes to come back.
//! It must never assert a figure: it prints one number. `cargo run --release -p driver --example sizes -- durable|recovery FOLDER`
//!
//! `durable`: events a second on SQLite under FULL, 100 writers that each wait for each of theirs, each with its row of the list of runs.
//! `recovery`: seconds from opening the store to the last of 10,000 launches that is owed again.

use driver::encode::{encode, read_log};
use driver::pump::{Folded, In, Out, Pump, WINDOW_US};
use engine::admission::Capacity;
use model::attempt::Profile;
use model::event::Recorded;
use model::input::Epoch;
use model::plan::{
    Body, Inputs, Leaf, Metadata, Outputs, PLAN_VERSION, Plan, SEMANTICS, Scope, Sequence, Target, Task, Template, With,
};
use model::record::Source;
use model::{Event, Input, RunId, RunRecord, TemplateId, Text, Time};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use store::{Append, Durability, LogId, StoreOpened};
use views::rows::{RunRow, TABLES};

const WAITERS: u64 = 100;
const TIME: Duration = Duration::from_secs(3);
const OUTSTANDING: u32 = 10_000;

fn main() {
    let mut words = std::env::args().skip(1);
    let (what, folder) = (words.next().unwrap_or_default(), words.next().unwrap_or_else(|| ".".into()));
    let store = Path::new(&folder).join("store.db");
    match what.as_str() {
        "durable" => println!("{:.0}", durable(&store)),
        "recovery" => println!("{:.3}", recovery(&store)),
        _ => eprintln!("durable or recovery?"),
    }
}

fn open(store: &Path, durability: Durability) -> StoreOpened {
    store::open(store, durability, &TABLES).expect("a store")
}

/// Events a second.
fn durable(store: &Path) -> f64 {
    let opened = open(store, Durability::Full);
    for table in TABLES {
        opened.writer.replace_table(table, Vec::new(), Box::new(|_| {}));
    }
    let begun = Instant::now();
    let total: u64 = std::thread::scope(|scope| {
        let waiters = (0..WAITERS).map(|number| {
            let writer = &opened.writer;
            scope.spawn(move || wait_for_each(writer, number, begun))
        });
        let waiters: Vec<_> = waiters.collect();
        waiters.into_iter().map(|waiter| waiter.join().expect("a waiter")).sum()
    });
    total as f64 / begun.elapsed().as_secs_f64()
}

/// One run's events: places granted to its attempts, one after the other.
fn wait_for_each(writer: &store::Writer, number: u64, begun: Instant) -> u64 {
    let record = record(&format!("run-{number}"), 1);
    let log = LogId::run(record.id.0.clone());
    let mut row = RunRow::default();
    let mut event = Event::RunCreated(Box::new(record));
    let mut count = 0;
    while begun.elapsed() < TIME {
        let recorded = Recorded { at: Time(count as i64), event };
        row.apply(&recorded);
        let (sender, done) = channel();
        let entries = vec![encode(&recorded).expect("an event")];
        let append = Append { log: log.clone(), expect: count, entries, rows: row.change().into_iter().collect() };
        writer.append(vec![append], Box::new(move |result| drop(sender.send(result))));
        done.recv().expect("an answer").expect("an append");
        count += 1;
        event = Event::RunResumed { by: "somebody".into() };
    }
    count
}

/// Seconds.
fn recovery(store: &Path) -> f64 {
    let run = RunId("many".into());
    let epoch = Epoch("e".into());
    begin(store, &run, &epoch);
    let begun = Instant::now();
    let opened = open(store, Durability::Normal);
    let mut log = Box::new(Folded::default());
    read_log(&opened.reader, &run, |event| log.apply(&event)).expect("a log");
    let mut pump = pump();
    let load = In::Load { run, log, resumed: true };
    let connected = In::Connected { epoch, known: Vec::new() };
    let mut out = pump.step(Time(10), 1, vec![load]);
    out.extend(pump.step(Time(11), 1, vec![connected]));
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(launches(&out), OUTSTANDING, "what is owed again");
    seconds
}

/// Writes the log of a run whose attempts have all been started.
fn begin(store: &Path, run: &RunId, epoch: &Epoch) {
    let opened = open(store, Durability::Normal);
    let mut pump = pump();
    let submit = Input::Submit(Box::new(record(&run.0, OUTSTANDING)));
    let connected = In::Connected { epoch: epoch.clone(), known: Vec::new() };
    let mut inputs = vec![connected, In::Wish { ticket: 1, run: run.clone(), input: submit }];
    let (mut launched, mut now) = (0, 1);
    while launched < OUTSTANDING {
        now += 1;
        let out = pump.step(Time(now), 1, std::mem::take(&mut inputs));
        launched += launches(&out);
        for batch in out.into_iter().filter_map(|out| if let Out::Append(batch) = out { Some(batch) } else { None }) {
            let append = |append: driver::pump::RunAppend| Append {
                log: LogId::run(append.run.0),
                expect: append.expect,
                entries: append.events.iter().map(|event| encode(event).expect("an event")).collect(),
                rows: Vec::new(),
            };
            let (sender, done) = channel();
            let appends = batch.appends.into_iter().map(append).collect();
            opened.writer.append(appends, Box::new(move |result| drop(sender.send(result))));
            done.recv().expect("an answer").expect("an append");
            inputs.push(In::Committed(batch.id));
        }
    }
    opened.writer.close();
}

fn pump() -> Pump {
    Pump::new(Capacity { slots: 2, cpu_millis: 2000, memory_bytes: 1 << 30, gpus: 0 }, WINDOW_US)
}

fn launches(out: &[Out]) -> u32 {
    out.iter().filter(|out| matches!(out, Out::Launch { .. })).count() as u32
}

/// A run with a loop of so many tasks, all at once.
fn record(name: &str, tasks: u32) -> RunRecord {
    let leaf = Leaf { image: Text::new("i"), command: vec![Text::new("run")], ..Leaf::default() };
    let count = Some(Text::new(tasks.to_string()));
    let task = Task {
        name: "each".into(),
        target: Target::Template(TemplateId(0)),
        arguments: Inputs::default(),
        when: None,
        with: Some(With::Sequence(Sequence { count, ..Sequence::default() })),
        continue_on: model::plan::ContinueOn::default(),
        depends: String::new(),
        from_dependencies: false,
        hooks: Vec::new(),
    };
    let plan = Plan {
        version: PLAN_VERSION,
        semantics: SEMANTICS,
        metadata: Metadata { name: name.into(), ..Metadata::default() },
        entrypoint: TemplateId(1),
        arguments: Inputs::default(),
        templates: vec![template("leaf", Body::Leaf(leaf)), template("main", Body::Steps(vec![vec![task]]))],
        parallelism: None,
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
    };
    RunRecord {
        id: RunId(name.into()),
        name: name.into(),
        plan,
        parameters: Vec::new(),
        artifacts: Vec::new(),
        created_at: Time(1),
        version: "1".into(),
        trigger: "sizes".into(),
        profile: Profile::Standard,
        source: Source::default(),
        environments: Vec::new(),
        jobs: Some(OUTSTANDING),
    }
}

fn template(name: &str, body: Body) -> Template {
    Template {
        name: name.into(),
        scope: Scope::Local,
        inputs: Inputs::default(),
        outputs: Outputs::default(),
        body,
        retry: None,
        parallelism: None,
        fail_fast: true,
        timeout: None,
        active_deadline: None,
        at_most_once: false,
        locks: Vec::new(),
        annotations: BTreeMap::new(),
    }
}
