use super::*;
use crate::handwritten;
use engine::{Draft, State, decide};
use model::attempt::{Outcome, Profile};
use model::input::{Report, ReportKind, Stamped};
use model::record::RunRecord;
use model::{Exit, Input, NodeId, RunId, Time};

/// A run that the real engine decides.
struct History {
    state: State,
    log: Vec<Recorded>,
}

impl History {
    fn of(plan: u64) -> Self {
        let record = RunRecord {
            id: RunId("r".into()),
            name: "r".into(),
            plan: handwritten::plan(plan),
            parameters: Vec::new(),
            artifacts: Vec::new(),
            created_at: Time(1),
            version: "test".into(),
            trigger: "test".into(),
            profile: Profile::Standard,
            source: Default::default(),
            environments: Vec::new(),
            jobs: None,
        };
        let mut history = Self { state: State::default(), log: Vec::new() };
        history.take(Input::Submit(Box::new(record)));
        history
    }

    fn take(&mut self, input: Input) {
        let at = Time(1 + self.log.len() as i64);
        let mut draft = Draft::new(&mut self.state, at);
        decide(&mut draft, &Stamped { at, seed: 0, input }).expect("admissible");
        self.log.extend(draft.finish().events);
    }

    fn report(&mut self, node: u32, n: u32, what: ReportKind) {
        self.take(Input::Reports(vec![Report { node: NodeId(node), n, what }]));
    }

    fn runs(&mut self, node: u32, n: u32, epoch: &str, exit: Exit) {
        self.report(node, n, ReportKind::Placed(Epoch(epoch.into()), Vec::new()));
        self.report(node, n, ReportKind::Ended(Box::new(Outcome::bare(exit, Time(5)))));
    }
}

/// A leaf whose first attempt was lost.
fn lost_once() -> Vec<Recorded> {
    let mut history = History::of(0);
    history.runs(0, 0, "e1", Exit::Lost("gone".into()));
    history.runs(0, 1, "e2", Exit::Exited(0));
    history.log
}

fn start(n: u32, epoch: &str) -> Start {
    Start { key: AttemptKey { run: RunId("r".into()), node: NodeId(0), n }, epoch: Epoch(epoch.into()) }
}

fn invariants(log: &[Recorded], starts: &[Start]) -> Vec<&'static str> {
    let mut found: Vec<&str> = check(log, starts).into_iter().map(|violation| violation.invariant).collect();
    found.dedup();
    found
}

fn position(log: &[Recorded], kind: &str, which: usize) -> usize {
    let mut of_kind = log.iter().enumerate().filter(|(_, recorded)| recorded.event.kind() == kind);
    of_kind.nth(which).map(|(position, _)| position).expect("an event of this kind")
}

#[test]
fn a_sound_history_holds() {
    let log = lost_once();
    assert_eq!(check(&log, &[start(0, "e1"), start(1, "e2")]), []);
    assert_eq!(check_over(&log), []);
    for length in 0..log.len() {
        assert_eq!(check(&log[..length], &[]), [], "the first {length} events");
        assert_ne!(check_over(&log[..length]), [], "the first {length} events are no whole run");
    }
}

#[test]
fn processes_that_the_log_does_not_explain_are_found() {
    let log = lost_once();
    assert_eq!(invariants(&log, &[start(0, "e1"), start(0, "e1")]), ["I3"]);
    assert_eq!(invariants(&log, &[start(0, "e2")]), ["I3"]);
    assert_eq!(invariants(&log, &[start(2, "e2")]), ["durable-first"]);
}

#[test]
fn a_repeated_missing_or_moved_event_is_found() {
    let log = lost_once();
    for position in 0..log.len() {
        let mut twice = log.clone();
        twice.insert(position, log[position].clone());
        assert_ne!(check(&twice, &[]), [], "{} twice", log[position].event.kind());
        let mut without = log.clone();
        without.remove(position);
        let found = [check(&without, &[]), check_over(&without)].concat();
        assert_ne!(found, [], "without {} at {position}", log[position].event.kind());
    }
    let mut backwards = log;
    backwards[2].at = Time(0);
    assert_eq!(invariants(&backwards, &[]), ["I8"]);
}

#[test]
fn a_success_that_runs_again_is_found() {
    let mut log = lost_once();
    let ended = position(&log, "AttemptEnded", 0);
    let Event::AttemptEnded(first) = &mut log[ended].event else { panic!("an AttemptEnded") };
    first.exit = Exit::Exited(0);
    assert_eq!(invariants(&log, &[]), ["I2"]);
}

#[test]
fn an_attempt_number_used_twice_is_found() {
    let mut log = lost_once();
    let added = position(&log, "AttemptAdded", 0);
    let Event::AttemptAdded { n, .. } = &mut log[added].event else { panic!("an AttemptAdded") };
    *n = 0;
    assert!(invariants(&log, &[]).contains(&"I3"));
}

#[test]
fn a_try_beyond_the_limit_and_a_loop_that_is_too_wide_are_found() {
    // Two at a time, and each is tried three times at most: the same log under a stricter plan.
    let mut history = History::of(4);
    for node in [3, 5] {
        history.runs(node, 0, "e", Exit::Exited(1));
    }
    assert_eq!(check(&history.log, &[]), []);
    let stricter = |change: &dyn Fn(&mut model::Plan)| {
        let mut log = history.log.clone();
        let Event::RunCreated(record) = &mut log[0].event else { panic!("RunCreated") };
        change(&mut record.plan);
        check(&log, &[]).into_iter().map(|violation| violation.invariant).collect::<Vec<_>>()
    };
    let none = crate::build::retry(0, None);
    assert!(stricter(&|plan| plan.templates[0].retry = Some(none.clone())).contains(&"policy"));
    assert!(stricter(&|plan| plan.templates[1].parallelism = Some(1)).contains(&"I9"));
    assert!(stricter(&|plan| plan.parallelism = Some(1)).contains(&"I9"));
}
