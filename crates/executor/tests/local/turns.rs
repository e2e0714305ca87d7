//! A machine that lets nobody make namespaces: `standard` runs as `trusted`, and attempts that declare the same paths take turns.

use crate::harness::{Test, World, is_without, number_in, parameter, until, wants_parameter};
use executor::{Executor, ExecutorEvent};
use model::Exit;
use model::attempt::Launch;
use model::attempt::Profile::{Standard, Trusted};
use std::path::Path;

pub const TESTS: &[Test] = &[
    ("without_namespaces_standard_runs_as_trusted", without_namespaces_standard_runs_as_trusted),
    ("without_namespaces_attempts_take_turns", without_namespaces_attempts_take_turns),
    ("without_namespaces_one_that_waits_is_cancelled", without_namespaces_one_that_waits_is_cancelled),
    ("without_namespaces_one_without_a_place_holds_up_nobody", without_namespaces_one_without_a_place_holds_up_nobody),
    ("without_namespaces_turns_outlive_the_holder", without_namespaces_turns_outlive_the_holder),
    ("without_namespaces_nobody_waits_for_a_run_that_cannot_be_read", nobody_waits_for_a_run_that_cannot_be_read),
];

fn without_namespaces_standard_runs_as_trusted() {
    if !is_without("namespaces", "without_namespaces_standard_runs_as_trusted") {
        return;
    }
    let mut world = World::new();
    let file = world.path("written");
    let launch = world.sh(Standard, &format!("echo x > {file}"));
    assert_eq!(world.run(&launch).exit, Exit::Exited(0));
    assert!(Path::new(&file).exists());
    let noticed =
        |event: &ExecutorEvent| matches!(event, ExecutorEvent::Notice { text, .. } if text.contains("runs as trusted"));
    assert!(world.seen().iter().any(noticed), "{:?}", world.seen());
}

/// An attempt that writes its name at a path that it declares, waits for `go`, and reads it again.
fn writer(world: &mut World, name: &str, path: &str) -> Launch {
    let (out, here, go) = (world.path(path), world.path(&format!("{name}-here")), world.path(&format!("{name}-go")));
    let command = format!("echo {name} > {out}; echo $$ > {here}; while [ ! -e {go} ]; do sleep 0.01; done; cat {out}");
    let mut launch = world.sh(Standard, &command);
    wants_parameter(&mut launch, "out", &out);
    launch
}

fn go(world: &World, name: &str) {
    std::fs::write(world.path(&format!("{name}-go")), "").expect("go");
}

fn is_here(world: &World, name: &str) -> bool {
    number_in(Path::new(&world.path(&format!("{name}-here")))).is_some()
}

fn ends(world: &mut World, launch: &Launch, name: &str) {
    let outcome = world.ended(&launch.key);
    assert_eq!((outcome.exit.clone(), outcome.result.as_deref()), (Exit::Exited(0), Some(name)), "{outcome:?}");
    assert_eq!(parameter(&outcome, "out"), name);
    world.local().acknowledge(&launch.key);
    world.local().flush();
}

/// What has begun by now has begun: an attempt that was launched after all of them has run.
fn settle(world: &mut World) {
    let launch = world.sh(Trusted, "true");
    assert_eq!(world.run(&launch).exit, Exit::Exited(0));
}

fn without_namespaces_attempts_take_turns() {
    if !is_without("namespaces", "without_namespaces_attempts_take_turns") {
        return;
    }
    let mut world = World::new();
    let first = writer(&mut world, "first", "shared");
    std::fs::create_dir(world.path("x")).expect("x");
    let second = writer(&mut world, "second", "./x/../shared");
    let third = writer(&mut world, "third", "shared");
    let other = writer(&mut world, "other", "elsewhere");
    for launch in [&first, &second, &third, &other] {
        world.launch(launch);
    }
    until("the first and the other run at once", || is_here(&world, "first") && is_here(&world, "other"));
    settle(&mut world);
    assert!(!is_here(&world, "second") && !is_here(&world, "third"));
    // Its end lets the second begin, and not the third, though that may go.
    go(&world, "third");
    go(&world, "first");
    ends(&mut world, &first, "first");
    until("the second", || is_here(&world, "second"));
    settle(&mut world);
    assert!(!is_here(&world, "third"));
    go(&world, "second");
    ends(&mut world, &second, "second");
    ends(&mut world, &third, "third");
    go(&world, "other");
    ends(&mut world, &other, "other");
}

fn without_namespaces_one_that_waits_is_cancelled() {
    if !is_without("namespaces", "without_namespaces_one_that_waits_is_cancelled") {
        return;
    }
    let mut world = World::new();
    let [first, second, third] = ["first", "second", "third"].map(|name| writer(&mut world, name, "shared"));
    for launch in [&first, &second, &third] {
        world.launch(launch);
    }
    until("the first", || is_here(&world, "first"));
    world.local().kill(&second.key, 30, Exit::Cancelled);
    // At once, while the first goes on.
    let outcome = world.ended(&second.key);
    assert_eq!((outcome.exit, outcome.started_at), (Exit::Cancelled, None));
    world.local().acknowledge(&second.key);
    go(&world, "first");
    go(&world, "third");
    ends(&mut world, &first, "first");
    ends(&mut world, &third, "third");
    assert!(!is_here(&world, "second"));
}

fn without_namespaces_one_without_a_place_holds_up_nobody() {
    if !is_without("namespaces", "without_namespaces_one_without_a_place_holds_up_nobody") {
        return;
    }
    let mut world = World::new();
    let [ahead, first, dropped] = ["ahead", "first", "dropped"].map(|name| writer(&mut world, name, "shared"));
    // Sent ahead, without places.
    world.local().launch(ahead.clone(), &world.epoch, true);
    world.local().launch(dropped.clone(), &world.epoch, true);
    world.launch(&first);
    until("the first", || is_here(&world, "first"));
    // It has a place now, and its turn when the first has ended.
    world.local().start(&ahead.key);
    world.local().kill(&dropped.key, 30, Exit::Cancelled);
    assert_eq!(world.ended(&dropped.key).exit, Exit::Cancelled);
    settle(&mut world);
    assert!(!is_here(&world, "ahead"));
    go(&world, "first");
    go(&world, "ahead");
    ends(&mut world, &first, "first");
    ends(&mut world, &ahead, "ahead");
}

fn without_namespaces_turns_outlive_the_holder() {
    if !is_without("namespaces", "without_namespaces_turns_outlive_the_holder") {
        return;
    }
    let mut world = World::new();
    let [first, second] = ["first", "second"].map(|name| writer(&mut world, name, "shared"));
    world.launch(&first);
    world.launch(&second);
    until("the first", || is_here(&world, "first"));
    world.close();
    world.open();
    assert_eq!(world.known, std::slice::from_ref(&first.key), "the runner was never told of the second");
    // The one that waited is asked for before the one that runs.
    go(&world, "second");
    world.launch(&second);
    // What is trusted is not held back.
    settle(&mut world);
    assert!(!is_here(&world, "second"));
    world.launch(&first);
    settle(&mut world);
    assert!(!is_here(&world, "second"));
    go(&world, "first");
    ends(&mut world, &first, "first");
    ends(&mut world, &second, "second");
}

fn nobody_waits_for_a_run_that_cannot_be_read() {
    if !is_without("namespaces", "without_namespaces_nobody_waits_for_a_run_that_cannot_be_read") {
        return;
    }
    let mut world = World::new();
    let (first, second) = (writer(&mut world, "first", "shared"), writer(&mut world, "second", "elsewhere"));
    world.launch(&first);
    until("the first", || is_here(&world, "first"));
    world.close();
    world.open();
    world.launch(&second);
    settle(&mut world);
    assert!(!is_here(&world, "second"), "the new holder has not been told what the first declares");
    world.local().disown(&first.key);
    until("the second", || is_here(&world, "second"));
    go(&world, "second");
    ends(&mut world, &second, "second");
    let told =
        |event: &ExecutorEvent| matches!(event, ExecutorEvent::Notice { text, .. } if text.contains("cannot be read"));
    assert!(world.seen().iter().any(told), "{:?}", world.seen());
    // What it ends with is kept for whoever can read its run.
    go(&world, "first");
    world.launch(&first);
    ends(&mut world, &first, "first");
}
