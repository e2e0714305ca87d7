//! What the pump owes to a worker that comes back, and to a run whose log did not follow. The events are those of a golden log
//! up to the start of its first attempt.

use driver::encode::decode;
use driver::pump::{Denied, Folded, In, Out, Pump, WINDOW_US};
use engine::admission::Capacity;
use model::event::Recorded;
use model::input::{Epoch, Shutdown};
use model::{AttemptKey, Event, Exit, Input, Outcome, Refusal, RunId, Time};

struct World {
    pump: Pump,
    run: RunId,
    key: AttemptKey,
    epoch: Epoch,
    events: Vec<Recorded>,
}

impl World {
    /// A run with one attempt that was started, in memory.
    fn new() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/histories/v1/stopped.jsonl");
        let log = std::fs::read(path).expect("a log");
        let entries: Vec<Vec<u8>> = log.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        let entries = entries.strip_suffix(&[Vec::new()]).unwrap_or(&entries);
        let mut events = decode("golden", 0, entries).expect("events");
        let start = events.iter().position(|recorded| matches!(recorded.event, Event::AttemptStarted { .. }));
        events.truncate(start.expect("an attempt") + 1);
        let Event::RunCreated(record) = &events[0].event else { panic!("a log begins with its run") };
        let run = record.id.clone();
        let Some(Recorded { event: Event::AttemptStarted { node, n, epoch, .. }, .. }) = events.last() else {
            panic!("cut")
        };
        let (key, epoch) = (AttemptKey { run: run.clone(), node: *node, n: *n }, epoch.clone());
        let capacity = Capacity { slots: 2, cpu_millis: 2000, memory_bytes: 1 << 30, gpus: 0 };
        let mut world = Self { pump: Pump::new(capacity, WINDOW_US), run, key, epoch, events };
        let load = world.load();
        world.step(vec![load]);
        world
    }

    fn step(&mut self, inputs: Vec<In>) -> Vec<Out> {
        let now = self.events.last().map_or(Time(0), |recorded| recorded.at);
        self.pump.step(now, 1, inputs)
    }

    fn load(&self) -> In {
        In::Load { run: self.run.clone(), log: Box::new(Folded::of(&self.events)), resumed: true }
    }

    fn connected(&self, epoch: Epoch, known: &[&AttemptKey]) -> In {
        In::Connected { epoch, known: known.iter().map(|key| (*key).clone()).collect() }
    }

    fn ended(&self) -> In {
        In::Ended { key: self.key.clone(), outcome: Box::new(Outcome::bare(Exit::Exited(0), Time(1))) }
    }

    fn terminate(&self) -> In {
        let input = Input::Shutdown { strategy: Shutdown::Terminate, by: "test".into() };
        In::Wish { ticket: 7, run: self.run.clone(), input }
    }
}

fn batch(outs: &[Out]) -> Option<u64> {
    outs.iter().find_map(|out| match out {
        Out::Append(batch) => Some(batch.id),
        _ => None,
    })
}

fn launches(outs: &[Out], wanted: &AttemptKey) -> usize {
    outs.iter().filter(|out| matches!(out, Out::Launch { launch, .. } if launch.key == *wanted)).count()
}

fn acknowledges(outs: &[Out], wanted: &AttemptKey) -> bool {
    outs.iter().any(|out| matches!(out, Out::Acknowledge(key) if key == wanted))
}

#[test]
fn a_worker_is_told_what_it_knows() {
    let mut world = World::new();
    let key = world.key.clone();
    // Another life of the worker, which kept the outcome: only with the launch can it collect the outputs.
    let connected = world.connected(Epoch("another".into()), &[&key]);
    let outs = world.step(vec![connected]);
    assert_eq!(launches(&outs, &key), 1, "{outs:?}");
    // A run that is loaded later finds it known as well.
    let load = world.load();
    let outs = world.step(vec![load]);
    assert_eq!(launches(&outs, &key), 1, "{outs:?}");
}

#[test]
fn what_arrives_for_a_run_that_is_read_again_waits_for_it() {
    let mut world = World::new();
    let key = world.key.clone();
    let connected = world.connected(world.epoch.clone(), &[&key]);
    world.step(vec![connected]);
    let shutdown = world.terminate();
    let first = batch(&world.step(vec![shutdown])).expect("a batch");
    // The log does not follow, and in the same step the attempt ends and a worker connects.
    let inputs = vec![
        In::NotCommitted(first, "full".into()),
        world.ended(),
        world.connected(world.epoch.clone(), &[&key]),
        world.terminate(),
    ];
    let outs = world.step(inputs);
    assert!(matches!(
        &outs[..],
        [Out::Answer { .. }, Out::Reload(_), Out::Answer { result: Err(Denied::Store(_)), .. }]
    ));
    let load = world.load();
    let outs = world.step(vec![load]);
    let second = batch(&outs).expect("the outcome's batch");
    assert!(!acknowledges(&outs, &key), "{outs:?}");
    let outs = world.step(vec![In::Committed(second)]);
    assert!(acknowledges(&outs, &key), "{outs:?}");
}

#[test]
fn an_outcome_that_was_in_the_log_before_is_acknowledged_after_the_reload() {
    let mut world = World::new();
    let key = world.key.clone();
    let connected = world.connected(world.epoch.clone(), &[&key]);
    world.step(vec![connected]);
    let ended = world.ended();
    let outs = world.step(vec![ended]);
    let Some(Out::Append(appended)) = outs.iter().find(|out| matches!(out, Out::Append(_))) else { panic!("{outs:?}") };
    let (id, events) = (appended.id, appended.appends[0].events.clone());
    // The store said no, and the batch is there all the same.
    world.step(vec![In::NotCommitted(id, "unsure".into())]);
    world.events.extend(events);
    let load = world.load();
    let outs = world.step(vec![load]);
    assert!(acknowledges(&outs, &key), "{outs:?}");
}

#[test]
fn a_run_that_was_never_created_is_gone_after_the_reload() {
    let mut world = World::new();
    let connected = world.connected(world.epoch.clone(), &[]);
    world.step(vec![connected]);
    let shutdown = world.terminate();
    let first = batch(&world.step(vec![shutdown])).expect("a batch");
    world.step(vec![In::NotCommitted(first, "full".into())]);
    let outs = {
        let run = world.run.clone();
        let shutdown = world.terminate();
        world.step(vec![In::Load { run, log: Box::default(), resumed: true }, shutdown])
    };
    assert!(matches!(&outs[..], [Out::Answer { result: Err(Denied::Refused(Refusal::NoRun)), .. }]), "{outs:?}");
}

/// Who waits for such an attempt waits for ever.
#[test]
fn what_runs_of_a_run_that_cannot_be_read_is_disowned() {
    let mut world = World::new();
    let other = AttemptKey { run: RunId("newer".into()), ..world.key.clone() };
    let disowns = |outs: &[Out]| outs.iter().any(|out| matches!(out, Out::Disown(key) if *key == other));
    let touches = |outs: &[Out]| outs.iter().any(|out| matches!(out, Out::Kill { key, .. } if *key == other));
    let unreadable = In::Unreadable { run: other.run.clone(), why: "written by a newer version".into() };
    let (epoch, key) = (world.epoch.clone(), world.key.clone());
    // Known before the worker is, and after.
    world.step(vec![unreadable.clone()]);
    let outs = world.step(vec![world.connected(epoch.clone(), &[&other, &key])]);
    assert!(disowns(&outs) && !touches(&outs) && !acknowledges(&outs, &other), "{outs:?}");
    let mut world = World::new();
    let load = In::Load { run: other.run.clone(), log: Box::new(Folded::of(&[])), resumed: false };
    let outs = world.step(vec![unreadable.clone(), load.clone(), world.connected(epoch, &[&key])]);
    assert!(!disowns(&outs), "{outs:?}");
    let mut world = World::new();
    world.step(vec![In::Connected { epoch: world.epoch.clone(), known: vec![other.clone()] }]);
    assert!(disowns(&world.step(vec![unreadable])));
}

/// Whether it has ended is what is being read.
#[test]
fn reopening_a_run_that_waits_to_be_read_again_is_refused_for_that_reason() {
    let mut world = World::new();
    let (outs, epoch) = (vec![world.terminate()], world.epoch.clone());
    let connected = world.connected(epoch, &[]);
    world.step(vec![connected]);
    let batch = batch(&world.step(outs)).expect("the shutdown is recorded");
    world.step(vec![In::NotCommitted(batch, "the disk is full".into())]);
    let Event::RunCreated(record) = &world.events[0].event else { panic!("a log begins with its run") };
    let wish = model::input::Reopen { by: "test".into(), plan: record.plan.clone(), kept: Default::default() };
    let log = Box::new(Folded::of(&world.events));
    let reopen = In::Reopen { ticket: 9, run: world.run.clone(), log, wish: Box::new(wish) };
    let outs = world.step(vec![reopen]);
    let why = outs.iter().find_map(|out| match out {
        Out::Answer { ticket: 9, result: Err(Denied::Store(why)) } => Some(why),
        _ => None,
    });
    assert!(why.is_some_and(|why| why.contains("try again in a moment")), "{outs:?}");
}
