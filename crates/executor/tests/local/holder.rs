//! The life of holder and runner: either goes, comes back, or is killed.

use crate::harness::{Test, World, has_input, is_alive, kill, number_in, until};
use executor::{Executor, ExecutorEvent};
use model::Exit;
use model::attempt::Profile::{Standard, Trusted};
use std::path::Path;

pub const TESTS: &[Test] = &[
    ("a_holder_that_comes_back_re_attaches", a_holder_that_comes_back_re_attaches),
    ("outcomes_are_kept_while_there_is_no_holder", outcomes_are_kept_while_there_is_no_holder),
    ("an_idle_runner_leaves_with_its_holder", an_idle_runner_leaves_with_its_holder),
    ("attempts_die_with_their_runner", attempts_die_with_their_runner),
    ("an_outcome_outlives_the_runner_that_told_it", an_outcome_outlives_the_runner_that_told_it),
    ("another_epoch_is_lost", another_epoch_is_lost),
    ("a_kill_before_the_launch_wins", a_kill_before_the_launch_wins),
    ("a_repeated_launch_starts_nothing", a_repeated_launch_starts_nothing),
];

/// What needs a sandbox, or processes that cannot get away. Without them it would be done to the machine itself.
pub const GUARDED: &[Test] = &[
    ("what_escaped_a_dead_runner_is_swept", what_escaped_a_dead_runner_is_swept),
    ("an_attempt_that_nobody_wants_is_forgotten_at_its_end", an_attempt_that_nobody_wants_is_forgotten_at_its_end),
    ("a_killed_init_is_a_lost_attempt", a_killed_init_is_a_lost_attempt),
];

fn a_holder_that_comes_back_re_attaches() {
    let mut world = World::new();
    let (go, pid) = (world.path("go"), world.path("pid"));
    let launch = world.sh(Trusted, &format!("echo $$ > {pid}; while [ ! -e {go} ]; do sleep 0.01; done; echo done"));
    world.launch(&launch);
    until("the task", || number_in(Path::new(&pid)).is_some());
    let epoch = world.epoch.clone();
    world.close();
    world.open();
    assert_eq!(world.epoch, epoch);
    assert_eq!(world.known, std::slice::from_ref(&launch.key));
    world.launch(&launch);
    std::fs::write(&go, "").expect("go");
    let outcome = world.ended(&launch.key);
    assert_eq!((outcome.exit, outcome.result.as_deref()), (Exit::Exited(0), Some("done")));
}

fn outcomes_are_kept_while_there_is_no_holder() {
    let mut world = World::new();
    let (go, here) = (world.path("go"), world.path("here"));
    let launch =
        world.sh(Trusted, &format!("touch {here}; while [ ! -e {go} ]; do sleep 0.01; done; echo done; exit 4"));
    world.launch(&launch);
    until("the task", || Path::new(&here).exists());
    let runner = world.runner_pid();
    let epoch = world.epoch.clone();
    world.close();
    std::fs::write(&go, "").expect("go");
    until("the runner has left", || !is_alive(runner));
    world.open();
    assert_ne!(world.epoch, epoch);
    assert_eq!(world.known, std::slice::from_ref(&launch.key));
    // Placed in the old epoch, and known all the same.
    world.local().launch(launch.clone(), &epoch, false);
    let outcome = world.ended(&launch.key);
    assert_eq!((outcome.exit, outcome.result.as_deref()), (Exit::Exited(4), Some("done")));
    world.local().acknowledge(&launch.key);
    world.local().flush();
    let outcomes = world.home().join("outcomes");
    until("it is forgotten", || std::fs::read_dir(&outcomes).expect("outcomes").count() == 0);
}

fn an_idle_runner_leaves_with_its_holder() {
    let mut world = World::new();
    let runner = world.runner_pid();
    world.close();
    until("the runner has left", || !is_alive(runner));
    assert!(!world.home().join("runner.sock").exists());
}

fn attempts_die_with_their_runner() {
    let mut world = World::new();
    let mut launches = Vec::new();
    for profile in [Trusted, Standard] {
        let launch = world.sh(profile, "echo started; exec sleep 1000");
        world.launch(&launch);
        world.started(&launch.key);
        launches.push(launch);
    }
    let runner = world.runner_pid();
    let children = std::fs::read_to_string(format!("/proc/{runner}/task/{runner}/children")).expect("children");
    let children: Vec<i32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    assert_eq!(children.len(), 2);
    kill(runner, 9);
    world.wait("the loss", |event| matches!(event, ExecutorEvent::Disconnected).then_some(()));
    world.wait_connected();
    for launch in &launches {
        assert!(matches!(world.ended(&launch.key).exit, Exit::Lost(_)));
    }
    until("all are dead", || !children.iter().any(|pid| is_alive(*pid)));
}

fn what_escaped_a_dead_runner_is_swept() {
    let mut world = World::new();
    let pid = world.path("pid");
    let launch = world.sh(Trusted, &format!("setsid sh -c 'echo $$ > {pid}; exec sleep 1000' & sleep 1000"));
    world.launch(&launch);
    until("the daemon", || number_in(Path::new(&pid)).is_some());
    let daemon = number_in(Path::new(&pid)).expect("pid");
    kill(world.runner_pid(), 9);
    world.wait("the loss", |event| matches!(event, ExecutorEvent::Disconnected).then_some(()));
    world.wait_connected();
    until("it is swept", || !is_alive(daemon));
}

fn an_outcome_outlives_the_runner_that_told_it() {
    let mut world = World::new();
    let launch = world.sh(Trusted, "exit 4");
    assert_eq!(world.run(&launch).exit, Exit::Exited(4));
    kill(world.runner_pid(), 9);
    world.wait("the loss", |event| matches!(event, ExecutorEvent::Disconnected).then_some(()));
    world.wait_connected();
    assert_eq!(world.known, std::slice::from_ref(&launch.key));
    assert_eq!(world.run(&launch).exit, Exit::Exited(4));
}

fn an_attempt_that_nobody_wants_is_forgotten_at_its_end() {
    let mut world = World::new();
    let launch = world.sh(Standard, "echo started; sleep 1000");
    world.launch(&launch);
    world.started(&launch.key);
    world.close();
    world.open();
    assert_eq!(world.known, std::slice::from_ref(&launch.key));
    // A run that is not there any more: its attempt is not launched again, so that there is nobody to take its outcome.
    world.local().kill(&launch.key, 0, Exit::Cancelled);
    world.local().acknowledge(&launch.key);
    world.local().flush();
    let scratch = executor::home::Home::new(&world.home()).scratch(&launch.key);
    until("its directory is removed", || !scratch.exists());
    world.close();
    world.open();
    assert_eq!(world.known, []);
}

fn a_killed_init_is_a_lost_attempt() {
    let mut world = World::new();
    let launch = world.sh(Standard, "echo started; sleep 1000");
    world.launch(&launch);
    world.started(&launch.key);
    let runner = world.runner_pid();
    let children = std::fs::read_to_string(format!("/proc/{runner}/task/{runner}/children")).expect("children");
    kill(children.trim().parse().expect("one child"), 9);
    assert!(matches!(world.ended(&launch.key).exit, Exit::Lost(_)));
}

fn another_epoch_is_lost() {
    let mut world = World::new();
    let launch = world.sh(Standard, "true");
    world.local().launch(launch.clone(), &model::input::Epoch("another".into()), false);
    assert!(matches!(world.ended(&launch.key).exit, Exit::Lost(_)));
}

fn a_kill_before_the_launch_wins() {
    let mut world = World::new();
    let file = world.path("ran");
    let launch = world.sh(Trusted, &format!("touch {file}"));
    world.local().kill(&launch.key, 30, Exit::Cancelled);
    assert_eq!(world.run(&launch).exit, Exit::Cancelled);
    assert!(!Path::new(&file).exists());
}

fn a_repeated_launch_starts_nothing() {
    let mut world = World::new();
    let file = world.path("count");
    let mut launch = world.sh(Trusted, &format!("echo x >> {file}"));
    has_input(&mut launch, "unused", &world.path("unused"), model::Content::Raw("x".into()));
    world.launch(&launch);
    world.launch(&launch);
    let first = world.ended(&launch.key);
    // After its end it is told again.
    assert_eq!(world.run(&launch), first);
    assert_eq!(std::fs::read_to_string(&file).expect("file"), "x\n");
}
