//! Sandboxes that are used again: one that was left clean is, one that was not is never.
//! It must hold for root, and as another user, whose sandboxes are in user namespaces.

use crate::harness::{Test, WHERE, World, kill, parameter, settle, until, wants_parameter};
use executor::Executor;
use model::Exit;
use model::attempt::Profile::{Standard, Trusted};

pub const TESTS: &[Test] = &[
    ("a_clean_sandbox_is_used_again", a_clean_sandbox_is_used_again),
    ("outputs_of_a_used_sandbox_are_collected", outputs_of_a_used_sandbox_are_collected),
    ("another_run_has_other_sandboxes", another_run_has_other_sandboxes),
    ("signals_in_a_used_sandbox_are_told_as_such", signals_in_a_used_sandbox_are_told_as_such),
    ("a_killed_init_of_a_used_sandbox_is_a_lost_attempt", a_killed_init_of_a_used_sandbox_is_a_lost_attempt),
    ("no_layers_are_left", no_layers_are_left),
    ("no_descriptor_reaches_a_task", no_descriptor_reaches_a_task),
    ("what_tasks_in_sandboxes_may_not_do_is_no_others_loss", what_tasks_in_sandboxes_may_not_do_is_no_others_loss),
    ("what_cannot_be_started_in_a_used_sandbox_says_why", what_cannot_be_started_in_a_used_sandbox_says_why),
    ("a_kill_at_once_ends_a_task_that_is_just_being_started", a_kill_at_once_ends_a_task_that_is_just_being_started),
    ("what_was_left_running_is_counted", what_was_left_running_is_counted),
];

fn a_clean_sandbox_is_used_again() {
    let mut world = World::new();
    let first = settle(&mut world);
    for _ in 0..5 {
        let launch = world.sh(Standard, WHERE);
        assert_eq!(world.output(&launch), first);
    }
}

fn outputs_of_a_used_sandbox_are_collected() {
    let mut world = World::new();
    settle(&mut world);
    for n in 0..3 {
        let mut launch = world.sh(Standard, &format!("echo {n} > /tmp/value; echo said {n}"));
        wants_parameter(&mut launch, "value", "/tmp/value");
        let outcome = world.run(&launch);
        assert_eq!(parameter(&outcome, "value"), n.to_string());
        assert_eq!(outcome.result, Some(format!("said {n}")));
    }
    let mut launch = world.sh(Standard, "true");
    wants_parameter(&mut launch, "value", "/tmp/value");
    let problem = world.run(&launch).collect_error.expect("an earlier task's file is not this one's");
    assert!(problem.contains("no such file"), "{problem}");
}

fn another_run_has_other_sandboxes() {
    let mut world = World::new();
    let ours = settle(&mut world);
    let mut launch = world.sh(Standard, WHERE);
    launch.key.run = model::RunId("another".into());
    assert_ne!(world.output(&launch), ours);
    let launch = world.sh(Standard, WHERE);
    assert_eq!(world.output(&launch), ours);
}

fn signals_in_a_used_sandbox_are_told_as_such() {
    let mut world = World::new();
    settle(&mut world);
    let launch = world.sh(Standard, "kill -9 $$");
    assert_eq!(world.run(&launch).exit, Exit::Signalled(9));
    settle(&mut world);
    let launch = world.sh(Standard, "trap 'exit 3' TERM; echo started; while true; do sleep 0.01; done");
    world.launch(&launch);
    world.started(&launch.key);
    world.local().kill(&launch.key, 30, Exit::Cancelled);
    assert_eq!(world.ended(&launch.key).exit, Exit::Cancelled);
    settle(&mut world);
    let mut launch = world.sh(Standard, "trap '' TERM; echo started; while true; do sleep 0.01; done");
    launch.deadline_s = Some(1);
    launch.grace_s = 0;
    assert_eq!(world.run(&launch).exit, Exit::Deadline);
}

/// The runner's own thread is confined with the first task in a sandbox of the pool.
fn what_tasks_in_sandboxes_may_not_do_is_no_others_loss() {
    const POWER: &str = "grep -E '^(CapBnd|CapEff|Seccomp):' /proc/self/status";
    let mut world = World::new();
    let launch = world.sh(Trusted, POWER);
    let whole = world.output(&launch);
    assert_eq!(whole, std::fs::read_to_string("/proc/self/status").map_or_else(|_| String::new(), |own| of(&own)));
    settle(&mut world);
    for _ in 0..3 {
        let launch = world.sh(Trusted, POWER);
        assert_eq!(world.output(&launch), whole);
        let launch = world.sh(Standard, POWER);
        let confined = world.output(&launch);
        assert!(confined.contains("00000000a00425fb\nSeccomp:\t2"), "{confined}");
        assert_ne!(confined, whole);
    }
}

fn of(status: &str) -> String {
    let wanted = |line: &&str| ["CapBnd:", "CapEff:", "Seccomp:"].iter().any(|name| line.starts_with(name));
    status.lines().filter(wanted).collect::<Vec<_>>().join("\n")
}

fn what_cannot_be_started_in_a_used_sandbox_says_why() {
    let mut world = World::new();
    settle(&mut world);
    for _ in 0..3 {
        let mut no_file = world.sh(Standard, "");
        no_file.command = vec!["/no/such/file".into()];
        let text = "failed to find name in PATH: exec: \"/no/such/file\": stat /no/such/file: no such file or directory; the \
                    image busybox itself was not run";
        assert_eq!(world.run(&no_file).exit, Exit::NotStarted(text.into()));
        assert!(world.log(&no_file.key).contains("/no/such/file"));
        let mut elsewhere = world.sh(Standard, "pwd");
        elsewhere.working_dir = Some("/srv/new/directory".into());
        let outcome = world.run(&elsewhere);
        assert_eq!((outcome.exit, outcome.result.as_deref()), (Exit::Exited(0), Some("/srv/new/directory")));
        let launch = world.sh(Standard, "echo fine");
        assert_eq!(world.output(&launch), "fine");
    }
}

fn a_kill_at_once_ends_a_task_that_is_just_being_started() {
    let mut world = World::new();
    settle(&mut world);
    for round in 0..60 {
        let profile = if round % 2 == 0 { Standard } else { Trusted };
        let launch = world.sh(profile, "sleep 1000");
        world.launch(&launch);
        world.local().kill(&launch.key, if round % 3 == 0 { 0 } else { 30 }, Exit::Cancelled);
        assert_eq!(world.ended(&launch.key).exit, Exit::Cancelled);
    }
}

fn a_killed_init_of_a_used_sandbox_is_a_lost_attempt() {
    let mut world = World::new();
    settle(&mut world);
    let launch = world.sh(Standard, &format!("{WHERE}; echo started; sleep 1000"));
    world.launch(&launch);
    world.started(&launch.key);
    let sandbox = world.log(&launch.key).lines().next().expect("a line").trim_start_matches("o ").to_owned();
    let runner = world.runner_pid();
    let children = std::fs::read_to_string(format!("/proc/{runner}/task/{runner}/children")).expect("children");
    let is_init = |pid: &&str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let inside = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        let space = std::fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap_or_default();
        inside.split_whitespace().last() == Some("1") && space.to_string_lossy() == sandbox
    };
    let init = children.split_whitespace().find(is_init).expect("the sandbox's init");
    kill(init.parse().expect("a pid"), 9);
    let outcome = world.ended(&launch.key);
    assert!(matches!(outcome.exit, Exit::Lost(_)), "{:?}", outcome.exit);
    settle(&mut world);
}

fn no_layers_are_left() {
    let mut world = World::new();
    settle(&mut world);
    for command in ["true", "echo x > /tmp/x"] {
        let launch = world.sh(Standard, command);
        world.run(&launch);
        world.local().acknowledge(&launch.key);
        world.local().flush();
        let scratch = executor::home::Home::new(&world.home()).scratch(&launch.key);
        until("its directory is removed", || !scratch.exists());
    }
    let layers = executor::home::Home::new(&world.home()).sandboxes();
    world.close();
    until("the layers are removed", || !layers.exists());
}

fn no_descriptor_reaches_a_task() {
    let open = std::fs::File::open("/").expect("a directory");
    rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).expect("open across exec");
    let mut world = World::new();
    for profile in [Trusted, Standard, Standard] {
        settle(&mut world);
        // The last one is that of the list itself.
        let launch = world.sh(profile, "exec ls /proc/self/fd");
        assert_eq!(world.output(&launch), "0\n1\n2\n3", "{profile:?}");
    }
}

fn what_was_left_running_is_counted() {
    let mut world = World::new();
    settle(&mut world);
    // What it uses is told by its own clock, however busy the machine is; the task sleeps, and ends when the sandbox's init has
    // buried it.
    let orphan = "import os, time\nopen('/tmp/pid', 'w').write(str(os.getpid()))\nfifo = open('/tmp/fifo', 'w')\nwhile time.process_time() < 0.3: pass";
    let command = format!(
        "mkfifo /tmp/fifo; (setsid /usr/bin/python3 -ISc \"{orphan}\" &) ; read nothing < /tmp/fifo\n\
         while kill -0 $(cat /tmp/pid) 2> /dev/null; do :; done"
    );
    let launch = world.sh(Standard, &command);
    let outcome = world.run(&launch);
    assert_eq!(outcome.exit, Exit::Exited(0), "{}", world.log(&launch.key));
    assert!(outcome.usage.cpu_us >= 300_000, "{outcome:?}");
}
