//! Whose turn it is where there are no sandboxes: attempts of profile `standard` whose declared paths overlap run one after the
//! other (DESIGN §5).
//! It must never be written down: after a restart it is made again from the attempts that are launched again.

use super::layout::{absolute, plain};
use super::{Inner, Progressed, State};
use crate::ExecutorEvent;
use model::attempt::{Launch, Outcome, Profile};
use model::{AttemptKey, Exit};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Attempts and the paths that they declare.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Theirs, until they are acknowledged and what was laid for them is away.
    taken: BTreeMap<AttemptKey, Vec<PathBuf>>,
    /// In the order in which they came. One waits for those that have begun and for those before it.
    waiting: VecDeque<(AttemptKey, Vec<PathBuf>)>,
    /// They run since before this holder, which has not been told yet what they declare. Until then nobody begins.
    strangers: BTreeSet<AttemptKey>,
    /// Strangers of whom nobody will ever be told: they run, and nobody waits for them.
    disowned: BTreeSet<AttemptKey>,
}

impl Turns {
    /// What the runner has when the connection begins.
    pub fn meet(&mut self, strangers: BTreeSet<AttemptKey>) {
        self.strangers = strangers;
        self.disowned.clear();
    }

    fn disown(&mut self, key: &AttemptKey) {
        if self.strangers.remove(key) {
            self.disowned.insert(key.clone());
        }
    }

    /// An attempt that nobody has launched has ended.
    pub fn stranger_ended(&mut self, key: &AttemptKey) {
        self.disowned.remove(key);
    }

    /// Whom attempts of profile `standard` do not wait for, for a notice.
    pub fn unheeded(&self) -> Option<String> {
        let runs: BTreeSet<&str> = self.disowned.iter().map(|key| key.run.0.as_str()).collect();
        let runs = Vec::from_iter(runs);
        (!runs.is_empty()).then(|| {
            format!(
                "tasks of {} still run, without a sandbox, and their log cannot be read: this run does not wait for the paths that \
                 they write to",
                runs.join(" and of ")
            )
        })
    }

    /// An attempt runs already.
    fn runs(&mut self, key: AttemptKey, paths: Vec<PathBuf>) {
        self.strangers.remove(&key);
        self.disowned.remove(&key);
        self.taken.insert(key, paths);
    }

    fn has(&self, key: &AttemptKey) -> bool {
        self.taken.contains_key(key) || self.waiting.iter().any(|(waiting, _)| waiting == key)
    }

    fn wait(&mut self, key: AttemptKey, paths: Vec<PathBuf>) {
        self.waiting.push_back((key, paths));
    }

    fn gone(&mut self, key: &AttemptKey) {
        self.strangers.remove(key);
        self.disowned.remove(key);
        self.taken.remove(key);
        self.waiting.retain(|(waiting, _)| waiting != key);
    }

    /// Those whose turn it is now.
    fn next(&mut self) -> Vec<AttemptKey> {
        let mut found = Vec::new();
        if !self.strangers.is_empty() {
            return found;
        }
        let mut still: VecDeque<(AttemptKey, Vec<PathBuf>)> = VecDeque::new();
        for (key, paths) in std::mem::take(&mut self.waiting) {
            let before = self.taken.values().chain(still.iter().map(|(_, paths)| paths));
            if before.into_iter().any(|others| overlap(&paths, others)) {
                still.push_back((key, paths));
            } else {
                self.taken.insert(key.clone(), paths);
                found.push(key);
            }
        }
        self.waiting = still;
        found
    }
}

/// What a profile is not on this machine, for notices.
pub(super) fn weakened(profile: Profile, sandboxes: bool) -> Vec<String> {
    match profile {
        Profile::Standard if !sandboxes => vec![
            "profile standard runs as trusted: this machine makes no sandboxes; tasks that declare the same paths run one after \
             the other"
                .into(),
        ],
        Profile::Strict => crate::runner::missing_for_strict(),
        Profile::Standard | Profile::Trusted => Vec::new(),
    }
}

impl Inner {
    /// Where a new attempt begins: some have to wait, and are staged when their turn comes.
    pub(super) fn takes_turn(&self, state: &mut State, launch: &Launch, runs: bool, waits: bool) -> Progressed {
        let at = if runs { Progressed::Running } else { Progressed::Staging };
        let standard = launch.profile == Profile::Standard;
        let is_old = state.link.as_ref().is_some_and(|link| !link.holds_back());
        if waits && !runs && (is_old || !state.sandboxes && standard) {
            // It has no place yet, and those that have one must not wait for it; nor may the runner start it by itself.
            return Progressed::Held;
        }
        if state.sandboxes || !(runs || standard) {
            return at;
        }
        let directory = self.site(false).layout(launch, None).directory;
        let paths = if standard { declared(launch, &directory) } else { Vec::new() };
        if runs {
            state.turns.runs(launch.key.clone(), paths);
        } else {
            state.turns.wait(launch.key.clone(), paths);
        }
        let mut next = state.turns.next();
        let own = next.iter().position(|key| *key == launch.key).map(|at| next.remove(at));
        self.begin(state, next);
        if runs || own.is_some() { at } else { Progressed::Held }
    }

    /// An attempt has a place now.
    pub(super) fn start(&self, state: &mut State, key: &AttemptKey) {
        state.start(key);
        let held = state.attempts.get(key).filter(|attempt| matches!(attempt.at, Progressed::Held) && !attempt.waits);
        let Some(launch) = held.map(|attempt| Arc::clone(&attempt.launch)).filter(|_| !state.turns.has(key)) else {
            return;
        };
        let at = self.takes_turn(state, &launch, false, false);
        if let (Progressed::Staging, Some(attempt)) = (&at, state.attempts.get_mut(key)) {
            attempt.at = at;
            self.job(super::Job::Stage(key.clone()));
        }
    }

    /// An attempt that waits for its turn is killed. False: it does not wait.
    pub(super) fn gives_turn_up(&self, key: &AttemptKey, why: &Exit) -> bool {
        let Some(outcome) = self.state().give_turn_up(key, why) else { return false };
        (self.events)(ExecutorEvent::Ended { key: key.clone(), outcome });
        true
    }

    /// Nobody will say what it declares.
    pub(super) fn disown(&self, key: &AttemptKey) {
        let mut state = self.state();
        state.turns.disown(key);
        let next = state.turns.next();
        self.begin(&mut state, next);
    }

    /// An attempt is over, and what was laid for it is away.
    pub(super) fn leaves_turn(&self, key: &AttemptKey) {
        let mut state = self.state();
        if state.sandboxes {
            return;
        }
        state.turns.gone(key);
        let next = state.turns.next();
        self.begin(&mut state, next);
    }

    fn begin(&self, state: &mut State, next: Vec<AttemptKey>) {
        for key in next {
            let Some(attempt) = state.attempts.get_mut(&key) else { continue };
            if matches!(attempt.at, Progressed::Held) {
                attempt.at = Progressed::Staging;
                self.job(super::Job::Stage(key));
            }
        }
    }
}

impl State {
    /// Under one lock: between a look and an end its turn could come.
    fn give_turn_up(&mut self, key: &AttemptKey, why: &Exit) -> Option<Outcome> {
        let attempt = self.attempts.get_mut(key).filter(|attempt| matches!(attempt.at, Progressed::Held))?;
        let outcome = Outcome::bare(why.clone(), super::wall());
        attempt.at = Progressed::Done(Box::new(outcome.clone()));
        Some(outcome)
    }
}

/// Where an attempt reads or writes by its declaration: outputs, inputs and volumes, which without a sandbox are laid at these very
/// paths of the machine.
fn declared(launch: &Launch, directory: &str) -> Vec<PathBuf> {
    let parameters = launch.outputs.parameters.iter().map(|output| &output.path);
    let artifacts = launch.outputs.artifacts.iter().map(|output| &output.path);
    let inputs = launch.inputs.iter().map(|input| &input.path);
    let volumes = launch.mounts.iter().map(|mount| &mount.path);
    let all = parameters.chain(artifacts).chain(inputs).chain(volumes);
    all.filter(|path| !path.is_empty()).map(|path| plain(Path::new(&absolute(path, directory)))).collect()
}

fn overlap(ours: &[PathBuf], others: &[PathBuf]) -> bool {
    ours.iter().any(|our| others.iter().any(|other| our.starts_with(other) || other.starts_with(our)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{NodeId, RunId};

    const NOBODY: [u32; 0] = [];

    fn key(node: u32) -> AttemptKey {
        AttemptKey { run: RunId("r".into()), node: NodeId(node), n: 0 }
    }

    fn ask(turns: &mut Turns, node: u32, paths: &[&str]) -> Vec<u32> {
        turns.wait(key(node), paths.iter().map(|path| plain(Path::new(path))).collect());
        begun(turns)
    }

    fn leave(turns: &mut Turns, node: u32) -> Vec<u32> {
        turns.gone(&key(node));
        begun(turns)
    }

    fn begun(turns: &mut Turns) -> Vec<u32> {
        turns.next().iter().map(|key| key.node.0).collect()
    }

    #[test]
    fn overlapping_attempts_take_turns_in_their_order() {
        let mut turns = Turns::default();
        assert_eq!(ask(&mut turns, 1, &["/tmp/a", "/tmp/b/c"]), [1]);
        assert_eq!(ask(&mut turns, 2, &["/tmp/b"]), NOBODY, "above what the first has");
        assert_eq!(ask(&mut turns, 3, &["/tmp/bb", "/tmp/x/../c"]), [3]);
        assert_eq!(ask(&mut turns, 4, &["/tmp/./c/d"]), NOBODY, "below what the third has");
        assert_eq!(ask(&mut turns, 5, &["/tmp/b/z"]), NOBODY, "the second was here before");
        assert_eq!(ask(&mut turns, 6, &[]), [6], "who declares nothing waits for nobody");
        assert_eq!(leave(&mut turns, 3), [4]);
        assert_eq!(leave(&mut turns, 1), [2]);
        assert_eq!(leave(&mut turns, 2), [5]);
    }

    #[test]
    fn one_that_gives_up_lets_those_behind_it_pass() {
        let mut turns = Turns::default();
        assert_eq!(ask(&mut turns, 1, &["/a"]), [1]);
        assert_eq!(ask(&mut turns, 2, &["/a", "/b"]), NOBODY);
        assert_eq!(ask(&mut turns, 3, &["/b"]), NOBODY);
        assert_eq!(leave(&mut turns, 2), [3]);
    }

    #[test]
    fn nobody_begins_before_all_that_run_are_known() {
        let mut turns = Turns::default();
        turns.meet([key(1), key(2)].into());
        assert_eq!(ask(&mut turns, 3, &["/a"]), NOBODY);
        assert_eq!(ask(&mut turns, 4, &["/b"]), NOBODY);
        turns.runs(key(1), vec!["/a".into()]);
        assert_eq!(begun(&mut turns), NOBODY);
        assert_eq!(leave(&mut turns, 2), [4]);
        assert_eq!(leave(&mut turns, 1), [3]);
    }

    #[test]
    fn nobody_waits_for_one_of_whom_nobody_will_tell() {
        let mut turns = Turns::default();
        turns.meet([key(1)].into());
        assert_eq!(ask(&mut turns, 2, &["/a"]), NOBODY);
        turns.disown(&key(1));
        assert_eq!(begun(&mut turns), [2]);
        assert!(turns.unheeded().is_some_and(|text| text.contains("tasks of r ")));
        // Its run could be read after all.
        turns.runs(key(1), vec!["/b".into()]);
        assert_eq!((turns.unheeded(), ask(&mut turns, 3, &["/b"])), (None, NOBODY.to_vec()));
        // One that has begun is no stranger.
        turns.disown(&key(2));
        assert_eq!(turns.unheeded(), None);
    }
}
