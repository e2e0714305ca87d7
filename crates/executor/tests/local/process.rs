//! Processes: exit codes, signals, limits, deadlines, what is left behind, output.

use crate::harness::{Test, World, is_alive, number_in, until};
use executor::Executor;
use model::Exit;
use model::attempt::Profile::{Standard, Trusted};
use std::path::Path;

pub const TESTS: &[Test] = &[
    ("exit_codes_and_signals", exit_codes_and_signals),
    ("output_goes_to_the_log_and_the_result", output_goes_to_the_log_and_the_result),
    ("a_large_output_is_capped_and_does_not_stop_the_task", a_large_output_is_capped_and_does_not_stop_the_task),
    ("a_task_over_its_memory_limit_is_told_as_oom", a_task_over_its_memory_limit_is_told_as_oom),
    ("usage_is_counted", usage_is_counted),
    ("a_deadline_ends_a_task", a_deadline_ends_a_task),
    (
        "a_task_that_ignores_sigterm_is_killed_after_the_grace_time",
        a_task_that_ignores_sigterm_is_killed_after_the_grace_time,
    ),
    ("sigterm_reaches_the_task_which_may_clean_up", sigterm_reaches_the_task_which_may_clean_up),
    ("daemons_die_with_their_task", daemons_die_with_their_task),
    ("a_pipe_kept_open_does_not_delay_the_end", a_pipe_kept_open_does_not_delay_the_end),
    ("what_cannot_be_started_says_why", what_cannot_be_started_says_why),
    ("a_script_is_given_as_a_file", a_script_is_given_as_a_file),
    ("applets_stand_for_their_images", applets_stand_for_their_images),
];

/// What needs a sandbox, or processes that cannot get away. Without them it would be done to the machine itself.
pub const GUARDED: &[Test] = &[
    ("daemons_in_other_sessions_die_with_their_task", daemons_in_other_sessions_die_with_their_task),
    ("the_environment_of_a_task", the_environment_of_a_task),
];

fn exit_codes_and_signals() {
    let mut world = World::new();
    for profile in [Trusted, Standard] {
        for (command, exit) in [
            ("true", Exit::Exited(0)),
            ("exit 3", Exit::Exited(3)),
            ("kill -TERM $$", Exit::Signalled(15)),
            ("kill -KILL $$", Exit::Signalled(9)),
        ] {
            let launch = world.sh(profile, command);
            let outcome = world.run(&launch);
            assert_eq!(outcome.exit, exit, "{profile:?}: {command}: {}", world.log(&launch.key));
            assert!(outcome.started_at.expect("started") <= outcome.ended_at);
        }
    }
}

fn output_goes_to_the_log_and_the_result() {
    let mut world = World::new();
    for profile in [Trusted, Standard] {
        let launch = world.sh(profile, "echo one; echo bad >&2; printf 'two\\n\\n'");
        let outcome = world.run(&launch);
        assert_eq!(outcome.result.as_deref(), Some("one\ntwo\n"));
        let log = world.log(&launch.key);
        let mut lines: Vec<&str> = log.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["e bad", "o ", "o one", "o two"]);
        assert!(outcome.usage.memory_peak_bytes > 0);
    }
}

fn a_large_output_is_capped_and_does_not_stop_the_task() {
    let mut world = World::new();
    // 100 MB without a newline, then many lines, then noise.
    let command = "head -c 100000000 /dev/zero; echo; seq 1 200000; head -c 5000000 /dev/urandom; echo; echo end";
    let launch = world.sh(Standard, command);
    let outcome = world.run(&launch);
    assert_eq!(outcome.exit, Exit::Exited(0));
    assert!(outcome.result.expect("result").ends_with("\nend"));
    assert!(artifacts::log::tail(&world.log_path(&launch.key), None, 1).expect("log")[0].text == b"end");
    let rss = std::fs::read_to_string(format!("/proc/{}/status", world.runner_pid())).expect("status");
    let peak =
        rss.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    assert!(peak.expect("peak") < 40_000, "{peak:?} kB");
}

fn a_task_over_its_memory_limit_is_told_as_oom() {
    let mut world = World::new();
    for profile in [Trusted, Standard] {
        let mut launch = world.sh(profile, "head -c 300000000 /dev/zero | tail -c 200000000 | wc -c; exit 9");
        launch.limits.memory_bytes = Some(64 << 20);
        let outcome = world.run(&launch);
        if executor::machine().cgroup == executor::machine::CgroupVersion::None {
            // RLIMIT_DATA: an allocation fails instead.
            assert_eq!(outcome.exit, Exit::Exited(9));
            continue;
        }
        assert_eq!(outcome.exit, Exit::Oom, "{profile:?}: {}", world.log(&launch.key));
        assert!(outcome.usage.memory_peak_bytes > 32 << 20, "{:?}", outcome.usage);
        let mut modest = world.sh(profile, "head -c 1000000 /dev/zero | wc -c");
        modest.limits.memory_bytes = Some(64 << 20);
        modest.limits.cpu_millis = Some(1500);
        assert_eq!(world.output(&modest), "1000000");
    }
    let runner = world.runner_pid();
    world.close();
    until("the runner has left", || !is_alive(runner));
    let ours = format!("towpath-{}", executor::home::Home::new(&world.home()).hash());
    assert_eq!(find_dir(Path::new("/sys/fs/cgroup"), &ours), None);
}

fn find_dir(dir: &Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()))
        .find_map(|entry| if entry.file_name() == name { Some(entry.path()) } else { find_dir(&entry.path(), name) })
}

fn usage_is_counted() {
    let mut world = World::new();
    for profile in [Trusted, Standard] {
        let launch = world.sh(profile, "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done");
        let outcome = world.run(&launch);
        assert!(outcome.usage.cpu_us > 5_000, "{profile:?} {:?}", outcome.usage);
    }
}

fn a_deadline_ends_a_task() {
    let mut world = World::new();
    for profile in [Trusted, Standard] {
        let mut launch = world.sh(profile, "echo begun; sleep 1000");
        launch.deadline_s = Some(1);
        let outcome = world.run(&launch);
        assert_eq!(outcome.exit, Exit::Deadline);
        assert_eq!(outcome.result.as_deref(), Some("begun"));
    }
}

fn a_task_that_ignores_sigterm_is_killed_after_the_grace_time() {
    let mut world = World::new();
    for profile in [Trusted, Standard] {
        let launch = world.sh(profile, "trap '' TERM; echo ready; while :; do sleep 0.05; done");
        world.launch(&launch);
        let log = world.log_path(&launch.key);
        until("the trap", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("ready")));
        world.local().kill(&launch.key, 1, Exit::Cancelled);
        let outcome = world.ended(&launch.key);
        assert_eq!(outcome.exit, Exit::Cancelled);
    }
}

fn sigterm_reaches_the_task_which_may_clean_up() {
    let mut world = World::new();
    for profile in [Trusted, Standard] {
        let launch = world.sh(profile, "trap 'echo cleaned; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
        world.launch(&launch);
        let log = world.log_path(&launch.key);
        until("the trap", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("ready")));
        world.local().kill(&launch.key, 30, Exit::Cancelled);
        let outcome = world.ended(&launch.key);
        assert_eq!((outcome.exit, outcome.result.as_deref()), (Exit::Cancelled, Some("ready\ncleaned")));
    }
}

fn daemons_die_with_their_task() {
    daemons_die(&[(Trusted, ""), (Trusted, "nohup")]);
}

fn daemons_in_other_sessions_die_with_their_task() {
    daemons_die(&[(Trusted, "setsid"), (Standard, "setsid")]);
}

fn daemons_die(cases: &[(model::attempt::Profile, &str)]) {
    let mut world = World::new();
    for &(profile, how) in cases {
        let pid_file = world.path(&format!("daemon-{how}"));
        let volume = world.path("unused");
        let command = format!(
            "({how} sh -c 'echo $$ > {pid_file}; sleep 1000' >/dev/null 2>&1 &) ; while [ ! -s {pid_file} ]; do sleep 0.01; done; ps -e 2>/dev/null | wc -l"
        );
        let launch = world.sh(profile, &command);
        assert_eq!(world.run(&launch).exit, Exit::Exited(0), "{volume}");
        if profile == Trusted {
            let pid = number_in(Path::new(&pid_file)).expect("a pid");
            until("the end of the daemon", || !is_alive(pid));
        }
        let environ = format!("TOWPATH_ATTEMPT={}", launch.key);
        until("an empty machine", || !any_process_has(&environ));
    }
}

fn any_process_has(variable: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .map(|entry| std::fs::read(entry.path().join("environ")).unwrap_or_default())
        .any(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes()))
}

fn a_pipe_kept_open_does_not_delay_the_end() {
    let mut world = World::new();
    for profile in [Trusted, Standard] {
        let launch = world.sh(profile, "setsid sleep 1000 & echo done");
        let outcome = world.run(&launch);
        assert_eq!((outcome.exit, outcome.result.as_deref()), (Exit::Exited(0), Some("done")));
    }
}

fn what_cannot_be_started_says_why() {
    let mut world = World::new();
    for profile in [Trusted, Standard] {
        let mut not_found = world.sh(profile, "");
        not_found.command = vec!["no-such-program".into()];
        let text = "failed to find name in PATH: exec: \"no-such-program\": executable file not found in $PATH; the image \
                    busybox itself was not run";
        assert_eq!(world.run(&not_found).exit, Exit::NotStarted(text.into()));
        assert!(world.log(&not_found.key).contains("no-such-program"));
        let mut no_file = world.sh(profile, "");
        no_file.command = vec!["/no/such/file".into()];
        let text = "failed to find name in PATH: exec: \"/no/such/file\": stat /no/such/file: no such file or directory; the \
                    image busybox itself was not run";
        assert_eq!(world.run(&no_file).exit, Exit::NotStarted(text.into()));
    }
    let mut unknown = world.sh(Standard, "");
    unknown.image = "quay.io/acme/model:v1".into();
    unknown.command = Vec::new();
    assert!(matches!(world.run(&unknown).exit, Exit::NotStarted(why) if why.contains("images.toml")));
}

fn a_script_is_given_as_a_file() {
    let mut world = World::new();
    for profile in [Trusted, Standard] {
        let mut launch = world.sh(profile, "");
        launch.command = vec!["sh".into()];
        launch.args = Vec::new();
        launch.script = Some("echo \"$0\" | sed 's/.*script$/script/'\necho '{{not a tag}}'\n".into());
        assert_eq!(world.output(&launch), "script\n{{not a tag}}");
    }
}

fn applets_stand_for_their_images() {
    let mut world = World::new();
    for profile in [Trusted, Standard] {
        let mut say = world.sh(profile, "");
        (say.image, say.command, say.args) =
            ("argoproj/argosay:v2".into(), Vec::new(), vec!["echo".into(), "hi".into()]);
        assert_eq!(world.output(&say), "hi");
        let mut cow = world.sh(profile, "cowsay moo");
        cow.image = "docker/whalesay".into();
        assert!(world.output(&cow).contains("moo"));
    }
}

fn the_environment_of_a_task() {
    let mut world = World::new();
    for profile in [Trusted, Standard] {
        let mut launch =
            world.sh(profile, "echo $TOWPATH_RUN $TOWPATH_NODE $A $OMP_NUM_THREADS; echo $TOWPATH_ATTEMPT");
        launch.env.push(("A".into(), "b c".into()));
        launch.requests.cpu_millis = Some(2000);
        let expected = format!("test {} b c 2\n{}", launch.node_name, launch.key);
        assert_eq!(world.output(&launch), expected);
    }
    let launch = world.sh(Standard, "cd ~ && pwd && touch x && echo $XDG_CACHE_HOME && touch $XDG_CACHE_HOME/shared");
    assert_eq!(world.output(&launch), "/towpath/home\n/towpath/cache");
    assert!(world.home().join("cache/shared").exists());
}
