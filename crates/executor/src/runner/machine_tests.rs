use super::*;
use model::attempt::{Amounts, Profile};
use model::{NodeId, RunId};

struct World {
    machine: Machine,
    now: i64,
}

fn identity() -> Identity {
    Identity { epoch: Epoch("e".into()), build: "b".into(), notices: Vec::new(), sandboxes: true }
}

fn key(node: u32) -> AttemptKey {
    AttemptKey { run: RunId("r".into()), node: NodeId(node), n: 0 }
}

fn spawn(node: u32, deadline_s: Option<i64>) -> ToRunner {
    ToRunner::Spawn(Box::new(Spawn {
        key: key(node),
        argv: vec!["true".into()],
        env: Vec::new(),
        directory: "/".into(),
        profile: Profile::Trusted,
        binds: Vec::new(),
        open: Vec::new(),
        scratch: String::new(),
        laid: false,
        log: String::new(),
        stdout: String::new(),
        limits: Amounts::default(),
        waits: false,
        deadline_s,
        timeout_s: None,
        grace_s: 5,
        log_bytes_max: 1,
        masked: Vec::new(),
    }))
}

fn end(exit: Exit) -> Ended {
    Ended { exit, started_at: Some(Time(1)), ended_at: Time(2), usage: Usage::default(), kept: false }
}

impl World {
    fn new() -> Self {
        Self { machine: Machine::new(identity(), Vec::new()), now: 0 }
    }

    fn connected() -> Self {
        let mut world = Self::new();
        world.step(Input::HolderConnected);
        world.frame(ToRunner::Hello { protocol: RUNNER_PROTOCOL, build: "b".into() });
        world
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.machine.step(Now { at: Time(self.now), clock_us: self.now }, input, &mut out);
        out
    }

    fn frame(&mut self, frame: ToRunner) -> Vec<Output> {
        self.step(Input::Frame(frame))
    }

    fn exited(&mut self, node: u32, exit: Exit) -> Vec<Output> {
        self.step(Input::Exited { key: key(node), end: end(exit) })
    }

    fn tick_at(&mut self, seconds: i64) -> Vec<Output> {
        self.now = seconds * Time::SECOND_US;
        self.step(Input::Tick)
    }

    fn kill(&mut self, node: u32, grace_s: u32) -> Vec<Output> {
        self.frame(ToRunner::Kill { key: key(node), grace_s, reason: Exit::Cancelled })
    }
}

fn ended(node: u32, exit: Exit) -> Output {
    Output::Send(FromRunner::Ended { key: key(node), end: end(exit), next: None })
}

fn starts(out: &[Output]) -> usize {
    out.iter().filter(|o| matches!(o, Output::StartProcess(_))).count()
}

#[test]
fn a_known_key_starts_once_and_answers_its_outcome_until_acknowledged() {
    let mut world = World::connected();
    assert_eq!(starts(&world.frame(spawn(1, None))), 1);
    assert_eq!(world.frame(spawn(1, None)), []);
    assert_eq!(world.exited(1, Exit::Exited(0)), [ended(1, Exit::Exited(0))]);
    assert_eq!(world.frame(spawn(1, None)), [ended(1, Exit::Exited(0))]);
    assert_eq!(world.frame(ToRunner::Acknowledge { key: key(1) }), []);
    assert_eq!(world.machine.known().count(), 0);
}

#[test]
fn a_kill_before_its_launch_is_a_tombstone() {
    let mut world = World::connected();
    assert_eq!(world.kill(1, 5), []);
    let out = world.frame(spawn(1, None));
    assert!(matches!(&out[..], [Output::Send(FromRunner::Ended { end, .. })] if end.exit == Exit::Cancelled));
    assert_eq!(world.machine.running().count(), 0);
}

#[test]
fn sigterm_then_sigkill_after_the_grace_time() {
    let mut world = World::connected();
    world.frame(spawn(1, None));
    assert_eq!(world.kill(1, 5), [Output::Signal(key(1), Signal::Term)]);
    assert_eq!(world.machine.next_tick_us(), Some(5_000_000));
    assert_eq!(world.tick_at(4), []);
    assert_eq!(world.tick_at(5), [Output::Signal(key(1), Signal::Kill)]);
    assert_eq!(world.tick_at(9), []);
    assert_eq!(world.exited(1, Exit::Signalled(9)), [ended(1, Exit::Cancelled)]);
}

#[test]
fn a_second_kill_shortens_the_grace_time_and_keeps_the_reason() {
    let mut world = World::connected();
    world.frame(spawn(1, Some(1)));
    assert_eq!(world.tick_at(1), [Output::Signal(key(1), Signal::Term)]);
    assert_eq!(world.kill(1, 0), [Output::Signal(key(1), Signal::Kill)]);
    assert_eq!(world.kill(1, 0), []);
    assert_eq!(world.exited(1, Exit::Signalled(9)), [ended(1, Exit::Deadline)]);
}

#[test]
fn a_deadline_is_told_as_such() {
    let mut world = World::connected();
    world.frame(spawn(1, Some(3)));
    assert_eq!(world.machine.next_tick_us(), Some(3_000_000));
    assert_eq!(world.tick_at(3), [Output::Signal(key(1), Signal::Term)]);
    assert_eq!(world.exited(1, Exit::Signalled(15)), [ended(1, Exit::Deadline)]);
}

#[test]
fn without_a_holder_outcomes_are_persisted_and_the_last_end_is_the_runners() {
    let mut world = World::connected();
    world.frame(spawn(1, None));
    world.frame(spawn(2, None));
    world.exited(1, Exit::Exited(1));
    assert_eq!(world.step(Input::HolderLost), [Output::PersistOutcome(key(1), end(Exit::Exited(1)))]);
    assert_eq!(world.frame(spawn(3, None)), []);
    assert_eq!(
        world.exited(2, Exit::Exited(0)),
        [Output::PersistOutcome(key(2), end(Exit::Exited(0))), Output::ExitRunner]
    );
}

#[test]
fn a_holder_that_comes_back_is_told_what_it_missed() {
    let mut world = World::connected();
    world.frame(spawn(1, None));
    world.frame(spawn(2, None));
    world.step(Input::HolderLost);
    world.exited(1, Exit::Exited(0));
    world.step(Input::HolderConnected);
    let out = world.frame(ToRunner::Hello { protocol: RUNNER_PROTOCOL, build: "b".into() });
    assert!(matches!(&out[0], Output::Send(FromRunner::Hello { known, .. }) if *known == [key(1), key(2)]));
    assert_eq!(out[1..], [ended(1, Exit::Exited(0))]);
    assert_eq!(world.frame(ToRunner::Acknowledge { key: key(1) }), [Output::ForgetOutcome(key(1))]);
}

#[test]
fn an_idle_runner_stays_with_its_holder_and_leaves_without() {
    let mut world = World::connected();
    world.frame(spawn(1, None));
    assert_eq!(world.exited(1, Exit::Exited(0)), [ended(1, Exit::Exited(0))]);
    world.frame(ToRunner::Acknowledge { key: key(1) });
    assert_eq!(world.tick_at(1_000), []);
    assert_eq!(world.step(Input::HolderLost), [Output::ExitRunner]);
}

#[test]
fn the_protocol_is_the_smaller_of_both_and_one_too_old_is_refused_with_ours() {
    for (theirs, spoken) in [(RUNNER_PROTOCOL_MIN, RUNNER_PROTOCOL_MIN), (RUNNER_PROTOCOL + 1, RUNNER_PROTOCOL)] {
        let mut world = World::new();
        world.step(Input::HolderConnected);
        let out = world.frame(ToRunner::Hello { protocol: theirs, build: "b".into() });
        assert!(
            matches!(&out[..], [Output::Send(FromRunner::Hello { protocol, .. })] if *protocol == spoken),
            "{theirs}: {out:?}"
        );
        assert!(!world.frame(spawn(1, None)).contains(&Output::HangUp));
    }
    let mut world = World::new();
    world.step(Input::HolderConnected);
    let out = world.frame(ToRunner::Hello { protocol: RUNNER_PROTOCOL_MIN - 1, build: "b".into() });
    assert!(matches!(&out[..], [Output::Send(FromRunner::Hello { protocol: RUNNER_PROTOCOL, .. }), Output::HangUp]));
    assert_eq!(world.frame(spawn(1, None)), [Output::HangUp]);
}

#[test]
fn outcomes_of_an_earlier_runner_are_known() {
    let persisted = vec![(key(4), end(Exit::Exited(0)))];
    let mut machine = Machine::new(identity(), persisted);
    let now = Now { at: Time(0), clock_us: 0 };
    let mut out = Vec::new();
    machine.step(now, Input::HolderConnected, &mut out);
    machine.step(now, Input::Frame(ToRunner::Hello { protocol: RUNNER_PROTOCOL, build: "b".into() }), &mut out);
    assert_eq!(out[1..], [ended(4, Exit::Exited(0))]);
}

fn waiting(node: u32) -> ToRunner {
    let ToRunner::Spawn(mut spawn) = spawn(node, Some(7)) else { unreachable!("it spawns") };
    spawn.waits = true;
    ToRunner::Spawn(spawn)
}

fn started(outputs: &[Output]) -> Vec<u32> {
    let node = |output: &Output| match output {
        Output::StartProcess(spawn) => Some(spawn.key.node.0),
        _ => None,
    };
    outputs.iter().filter_map(node).collect()
}

#[test]
fn each_end_starts_the_next_that_waits_and_says_so() {
    let mut world = World::connected();
    assert_eq!(started(&world.frame(spawn(1, None))), [1]);
    for node in [4, 2, 3] {
        assert_eq!(world.frame(waiting(node)), [], "it has no place yet");
        assert_eq!(world.frame(waiting(node)), [], "told twice");
    }
    assert_eq!(world.machine.waiting(), 3);
    let outputs = world.exited(1, Exit::Exited(0));
    let told = FromRunner::Ended { key: key(1), end: end(Exit::Exited(0)), next: Some(key(4)) };
    assert_eq!((&outputs[0], started(&outputs)), (&Output::Send(told), vec![4]));
    assert_eq!(started(&world.frame(ToRunner::Start { key: key(3) })), [3], "another place is free");
    assert_eq!(world.frame(ToRunner::Start { key: key(3) }), [], "it runs");
    assert_eq!(started(&world.exited(4, Exit::Exited(1))), [2]);
    assert_eq!(started(&world.exited(2, Exit::Exited(0))), [] as [u32; 0]);
}

#[test]
fn the_deadline_of_one_that_waited_counts_from_its_start() {
    let mut world = World::connected();
    world.frame(spawn(1, None));
    world.frame(waiting(2));
    assert_eq!(world.tick_at(100), []);
    world.exited(1, Exit::Exited(0));
    assert_eq!(world.tick_at(106), []);
    assert_eq!(world.tick_at(107), [Output::Signal(key(2), Signal::Term)]);
}

/// What is left of `timeout` goes on while it waits.
#[test]
fn the_timeout_of_one_that_waits_counts_from_its_launch() {
    let mut world = World::connected();
    world.frame(spawn(1, None));
    for node in [2, 3] {
        let ToRunner::Spawn(mut spawn) = waiting(node) else { unreachable!("it spawns") };
        spawn.timeout_s = Some(10);
        world.frame(ToRunner::Spawn(spawn));
    }
    assert_eq!(world.machine.next_tick_us(), Some(10 * Time::SECOND_US));
    assert_eq!(world.tick_at(6), []);
    assert_eq!(started(&world.exited(1, Exit::Exited(0))), [2]);
    assert_eq!(world.tick_at(9), [], "its deadline would be after 13 s");
    let outputs = world.tick_at(10);
    assert_eq!(outputs[0], Output::Signal(key(2), Signal::Term));
    assert!(
        matches!(&outputs[1..], [Output::Send(FromRunner::Ended { key: other, end, next: None })]
            if *other == key(3) && end.exit == Exit::Deadline && end.started_at.is_none()),
        "{outputs:?}"
    );
    assert_eq!(started(&world.exited(2, Exit::Signalled(15))), [] as [u32; 0]);
}

#[test]
fn one_that_waits_is_killed_without_a_start_and_forgotten_without_a_holder() {
    let mut world = World::connected();
    world.frame(spawn(1, None));
    world.frame(waiting(2));
    world.frame(waiting(3));
    let outputs = world.kill(2, 5);
    assert!(matches!(&outputs[..], [Output::Send(FromRunner::Ended { end, next: None, .. })]
        if end.exit == Exit::Cancelled && end.started_at.is_none()));
    world.step(Input::HolderLost);
    assert_eq!(world.machine.known().collect::<Vec<_>>(), [&key(1), &key(2)]);
    assert_eq!(started(&world.exited(1, Exit::Exited(0))), [] as [u32; 0]);
}
