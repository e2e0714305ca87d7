//! A run without a world around it: inputs go in, and after each one everything is checked that holds for every log.
//! It must never know what a test is about.

use engine::{Decided, Draft, State, decide, evolve, fold, outstanding};
use model::attempt::Profile;
use model::event::Recorded;
use model::input::Stamped;
use model::node::Parameter;
use model::record::Source;
use model::{Command, Input, Plan, Refusal, RunId, RunRecord, Time};
use std::collections::BTreeSet;

/// When every run begins: 2023-11-14T22:13:20Z.
pub const START: Time = Time(1_700_000_000 * Time::SECOND_US);

pub struct Run {
    pub state: State,
    pub log: Vec<Recorded>,
    pub now: Time,
    /// What has been asked of the world so far, in short.
    issued: BTreeSet<String>,
}

impl Run {
    pub fn new() -> Self {
        Self { state: State::default(), log: Vec::new(), now: START, issued: BTreeSet::new() }
    }

    /// Gives one input. Panics where something does not hold that has to hold for every input.
    pub fn input(&mut self, input: &Input) -> Result<Decided, Refusal> {
        let before = self.state.clone();
        let mut draft = Draft::new(&mut self.state, self.now);
        let answer = decide(&mut draft, &Stamped { at: self.now, seed: 0, input: input.clone() });
        let decided = draft.finish();
        if let Err(refusal) = answer {
            assert!(decided == Decided::default(), "a refused input left events or commands: {refusal}");
            assert!(before == self.state, "a refused input changed the state: {refusal}");
            return Err(refusal);
        }
        self.log.extend(decided.events.iter().cloned());
        self.issued.extend(decided.commands.iter().filter_map(|held| duty(&held.command)));
        self.check_folds(before, &decided);
        self.check_commands(&decided);
        if let Err(differs) = self.state.check() {
            panic!("an index of the state is not what the nodes say: {differs}");
        }
        Ok(decided)
    }

    /// Goes on with the folded log, as after a restart.
    pub fn restart(&mut self) {
        let owed = outstanding(&self.state);
        self.state = fold(&self.log);
        assert_eq!(owed, outstanding(&self.state), "a restart owes other commands");
    }

    fn check_folds(&self, before: State, decided: &Decided) {
        assert!(fold(&self.log) == self.state, "the folded log is not the state");
        let mut continued = before;
        for event in &decided.events {
            evolve(&mut continued, event);
            // A log may have been cut off anywhere: what is owed then is told all the same.
            _ = outstanding(&continued);
        }
        assert!(continued == self.state, "a fold in two parts is not the state");
        assert!(self.log.is_sorted_by_key(|recorded| recorded.at), "time runs backwards");
    }

    fn check_commands(&self, decided: &Decided) {
        let owed = outstanding(&self.state);
        assert_eq!(owed, outstanding(&self.state), "the same state owes different things");
        for command in &owed {
            if let Some(duty) = duty(command) {
                assert!(self.issued.contains(&duty), "{duty} is owed, but was never asked for");
            }
            if let Command::Place(model::command::Place { key, .. }) = command {
                self.check_open(key);
            }
            if let Command::Launch { launch, .. } = command {
                self.check_open(&launch.key);
            }
        }
        assert!(decided.commands.iter().all(|held| held.after <= decided.events.len()));
        assert!(decided.commands.is_sorted_by_key(|held| held.after), "commands out of the order of their events");
    }

    fn check_open(&self, key: &model::AttemptKey) {
        let attempt = match &self.state.nodes()[key.node.index()].body {
            engine::Body::Leaf(attempt) => attempt,
            other => panic!("{key} is no leaf: {other:?}"),
        };
        assert!(attempt.n == key.n && !attempt.ended, "{key} is not the open attempt: {attempt:?}");
    }
}

/// What a command asks for, without how it is asked. `None`: it may be told again under another number.
fn duty(command: &Command) -> Option<String> {
    Some(match command {
        Command::Place(place) => format!("place {}", place.key),
        Command::Launch { launch, epoch } => format!("launch {} in {}", launch.key, epoch.0),
        Command::Kill { key, .. } => format!("kill {key}"),
        Command::WakeAt(at) => format!("wake at {}", at.0),
        Command::Acquire { node, .. } => format!("acquire for {node:?}"),
        // After a restart nobody holds what no log says.
        Command::Return { .. } | Command::Release { .. } => return None,
        Command::Ended => "the end".to_string(),
    })
}

/// The record of a run of `plan`, called as the plan is.
pub fn record(plan: Plan, parameters: Vec<Parameter>) -> RunRecord {
    RunRecord {
        id: RunId("uid".into()),
        name: plan.metadata.name.clone(),
        plan,
        parameters,
        artifacts: Vec::new(),
        created_at: START,
        version: "1".into(),
        trigger: "test".into(),
        profile: Profile::Standard,
        source: Source::default(),
        environments: Vec::new(),
        jobs: None,
    }
}
