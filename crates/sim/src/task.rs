//! The processes of tasks: what each does is drawn from the seed and its node, so that it does not depend on what happened elsewhere.
//! It must never know the engine.

use crate::build::CALLS;
use crate::options::{MS, Options};
use crate::rng::Rng;
use model::input::Call;
use model::node::Parameter;
use model::{AttemptKey, Exit, Plan, Time};
use std::collections::BTreeSet;

/// A process that lives.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub script: Script,
    pub started_at: Time,
    /// Grows whenever the planned end of the process changes; ends planned before are void.
    pub version: u32,
    pub issued: BTreeSet<usize>,
    pub returned: BTreeSet<usize>,
}

/// What a process does.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub exit: Exit,
    pub work_us: i64,
    pub hangs: bool,
    pub ignores_term: bool,
    pub dynamic: bool,
    pub calls: Vec<Call>,
    /// Sends all calls at once.
    pub parallel: bool,
}

pub(crate) fn script(seed: u64, options: &Options, plan: Option<&Plan>, template: &str, key: &AttemptKey) -> Script {
    // The outcome is the node's, so that a retried attempt of a deterministic program does the same; how long it takes is not.
    let mut of_node = Rng::named(seed, &format!("{}/{}", key.run, key.node.0));
    let mut of_attempt = Rng::named(seed, &key.to_string());
    let exit = if of_node.per_mille(options.task_fails) { failure(&mut of_node) } else { Exit::Exited(0) };
    let parallel = of_node.flip();
    let declared = plan.and_then(|plan| plan.templates.iter().find(|t| t.name == template));
    let calls = declared.and_then(|t| t.annotations.get(CALLS)).map_or(Vec::new(), |names| {
        let diverges = key.n > 0 && of_attempt.per_mille(options.diverge);
        calls(key, names, diverges)
    });
    Script {
        exit,
        work_us: of_attempt.skewed(options.task_us.0, options.task_us.1),
        hangs: of_attempt.per_mille(options.task_hangs),
        ignores_term: of_node.per_mille(options.task_ignores_term),
        dynamic: declared.is_some_and(|t| t.annotations.contains_key(CALLS)),
        calls,
        parallel,
    }
}

fn failure(rng: &mut Rng) -> Exit {
    match rng.below(6) {
        0 => Exit::Signalled(11),
        1 => Exit::Oom,
        2 => Exit::NotStarted("failed to find name in PATH: exec: \"work\"".into()),
        _ => Exit::Exited(rng.between(1, 5) as i32),
    }
}

fn calls(key: &AttemptKey, names: &str, diverges: bool) -> Vec<Call> {
    let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
    let call = |index: usize| {
        let counter = names[..index].iter().filter(|name| **name == names[index]).count() as u32;
        let argument = if diverges && index == 0 { "other".to_string() } else { index.to_string() };
        Call {
            parent: key.node,
            n: key.n,
            name: names[index].to_string(),
            counter,
            fingerprint: format!("{}:{argument}", names[index]),
            template: names[index].to_string(),
            arguments: vec![Parameter { name: "x".into(), value: argument }],
        }
    };
    (0..names.len()).map(call).collect()
}

impl Process {
    pub fn new(script: Script, started_at: Time) -> Self {
        Self { script, started_at, version: 0, issued: BTreeSet::new(), returned: BTreeSet::new() }
    }

    /// Calls that may be sent now and were not.
    pub fn next_calls(&mut self) -> Vec<usize> {
        let all = 0..self.script.calls.len();
        let due: Vec<usize> = if self.script.parallel {
            all.filter(|index| !self.issued.contains(index)).collect()
        } else {
            all.take(self.returned.len() + 1).filter(|index| !self.issued.contains(index)).collect()
        };
        self.issued.extend(due.iter().copied());
        due
    }

    pub fn is_waiting(&self) -> bool {
        self.returned.len() < self.script.calls.len()
    }

    /// How long until the process is gone after SIGTERM or SIGKILL.
    pub fn dying_us(rng: &mut Rng) -> i64 {
        rng.skewed(100, 40 * MS)
    }
}
