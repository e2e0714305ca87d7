//! The pairs of the coverage tables that no log of a script can have, each with the reason.
//! It must never name a pair that is merely tedious to reach.

/// Table, rows, columns (separated by spaces, `*` for all), reason. The first that fits counts.
pub const IMPOSSIBLE: &[(&str, &str, &str, &str)] = &[
    ("event in a run", "RunCreated", "running stopping ended", "a run is created once: Submit is refused"),
    (
        "event in a run",
        "NodeAdded AttemptStarted AttemptEnded AttemptAdded NodeEnded LoopOpened RetryDelayed EnvironmentLocked Approved \
         LocksGranted ShutdownRequested DeadlineExceeded Slept RunResumed RunReopened CallAdded RunEnded",
        "none",
        "the first event of a log is RunCreated: all inputs but Submit are refused",
    ),
    (
        "event in a run",
        "NodeAdded AttemptStarted AttemptAdded LoopOpened RetryDelayed CallAdded",
        "ended",
        "nothing starts in a run that has ended",
    ),
    ("event in a run", "Approved LocksGranted", "ended", "nothing waits in a run that has ended"),
    ("event in a run", "NodeEnded", "ended", "all nodes end before their run does"),
    (
        "event in a run",
        "ShutdownRequested RunResumed",
        "ended",
        "refused: nothing can be asked of a run that has ended",
    ),
    ("event in a run", "RunReopened", "running stopping", "refused: only an ended run can be reopened"),
    ("event in a run", "DeadlineExceeded Slept", "ended", "a run that has ended has no deadline"),
    ("event in a run", "RunEnded", "ended", "a run ends once, with its root"),
    (
        "event of a node",
        "NodeAdded",
        "waiting placed killed Steps StepGroup DAG TaskGroup Retry Suspend ended",
        "a node is added once: its number is the count of those before it",
    ),
    (
        "event of a node",
        "AttemptStarted AttemptEnded AttemptAdded NodeEnded LoopOpened RetryDelayed CallAdded",
        "absent",
        "only NodeAdded speaks of a node that is not there: others are decided from the state",
    ),
    (
        "event of a node",
        "AttemptStarted AttemptEnded AttemptAdded CallAdded",
        "Steps StepGroup DAG TaskGroup Retry Suspend ended",
        "only leaves have attempts, and one whose attempt has ended has no other",
    ),
    (
        "event of a node",
        "AttemptStarted",
        "placed killed",
        "an attempt is placed once, and not when its node has ended",
    ),
    ("event of a node", "AttemptAdded", "killed", "a node that has ended is not launched again"),
    ("event of a node", "CallAdded", "waiting killed", "refused: only a running attempt may call"),
    ("event of a node", "NodeEnded", "killed ended", "a node ends once"),
    (
        "event of a node",
        "LoopOpened",
        "waiting placed killed Steps DAG Retry Suspend ended",
        "a loop is opened in its StepGroup or TaskGroup, before any of its children ends",
    ),
    (
        "event of a node",
        "RetryDelayed",
        "waiting placed killed Steps StepGroup DAG TaskGroup Suspend ended",
        "only an open Retry node waits for its next try",
    ),
    ("node added", "Pod", "Running Succeeded Skipped Failed Error Omitted", "an attempt is waited for first"),
    ("node added", "StepGroup TaskGroup", "Pending", "groups have no locks to wait for"),
    (
        "node added",
        "Steps StepGroup DAG TaskGroup Retry Suspend",
        "Succeeded Skipped Failed Error Omitted",
        "it is open when it comes into being, and its end is an event of its own",
    ),
    ("node added", "Skipped", "Pending Running Succeeded Failed", "it never runs"),
    ("node ended", "Skipped", "*", "it has its last phase when it comes into being"),
    ("node ended", "*", "Skipped Omitted", "only nodes of the kind Skipped have these phases"),
    ("command", "Release", "owed", "after a restart nobody holds what no log says"),
    ("refusal", "TooManyNodes", "given", "it takes four million nodes"),
    ("reason", "Stopping", "told", "a leaf that waits ends in the moment in which the run is being stopped"),
];
