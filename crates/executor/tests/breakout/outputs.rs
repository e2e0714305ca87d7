//! Outputs that are not what they seem: the collector must not follow them out of the sandbox, hang, or fall.

use crate::harness::{Test, World, artifact, has_volume, settle, until, wants_artifact, wants_parameter};
use executor::Executor;
use model::attempt::{Outcome, Profile::Standard};
use model::{Content, Exit};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

pub const TESTS: &[Test] = &[
    ("an_output_that_links_into_the_home_is_not_followed", an_output_that_links_into_the_home_is_not_followed),
    (
        "an_output_that_links_to_a_file_of_others_is_not_followed",
        an_output_that_links_to_a_file_of_others_is_not_followed,
    ),
    ("links_in_a_directory_stay_links", links_in_a_directory_stay_links),
    ("an_output_that_is_no_file_is_refused", an_output_that_is_no_file_is_refused),
    ("an_output_in_a_linked_directory_is_the_tasks", an_output_in_a_linked_directory_is_the_tasks),
    ("a_link_that_leads_to_itself_ends", a_link_that_leads_to_itself_ends),
    ("names_with_line_breaks_are_names", names_with_line_breaks_are_names),
    ("a_name_in_a_message_does_not_command_the_terminal", a_name_in_a_message_does_not_command_the_terminal),
    ("a_setuid_program_is_stored_without_its_power", a_setuid_program_is_stored_without_its_power),
    ("outputs_of_one_file_are_two", outputs_of_one_file_are_two),
    ("a_very_deep_directory_harms_nobody", a_very_deep_directory_harms_nobody),
    ("a_very_deep_directory_that_is_left_harms_nobody", a_very_deep_directory_that_is_left_harms_nobody),
    ("a_volume_is_not_left_by_a_link", a_volume_is_not_left_by_a_link),
    (
        "an_output_in_the_shared_cache_is_not_swapped_for_a_link",
        an_output_in_the_shared_cache_is_not_swapped_for_a_link,
    ),
];

/// Runs a command whose output artifact is `/out`, in a sandbox of its own and in one that is used again.
fn outcomes(world: &mut World, command: &str) -> Vec<Outcome> {
    let mut found = Vec::new();
    for _ in 0..2 {
        let mut launch = world.sh(Standard, command);
        wants_artifact(&mut launch, "out", "/out");
        let outcome = world.run(&launch);
        assert!(matches!(outcome.exit, Exit::Exited(0)), "{outcome:?} {}", world.log(&launch.key));
        found.push(outcome);
        settle(world);
    }
    found
}

fn refused(world: &mut World, command: &str) {
    for outcome in outcomes(world, command) {
        assert!(outcome.artifacts.is_empty() && outcome.collect_error.is_some(), "{command}: {outcome:?}");
    }
}

fn an_output_that_links_into_the_home_is_not_followed() {
    let mut world = World::new();
    let home = world.home().to_string_lossy().into_owned();
    let secret = world.home().join("variables/secret");
    std::fs::create_dir_all(secret.parent().expect("parent")).expect("dir");
    std::fs::write(&secret, "secret").expect("secret");
    std::os::unix::fs::symlink(world.home(), world.dir.path().join("alias")).expect("alias");
    let alias = world.path("alias");
    for target in [format!("{home}/variables/secret"), home, format!("{alias}/variables/secret"), alias] {
        refused(&mut world, &format!("ln -s {target} /out"));
        refused(&mut world, &format!("ln -s {target} /tmp/a; ln -s /tmp/a /out"));
        let up = "../".repeat(30);
        refused(&mut world, &format!("ln -s {up}{target} /out"));
    }
}

fn an_output_that_links_to_a_file_of_others_is_not_followed() {
    let mut world = World::new();
    let inside = std::path::Path::new("/tmp").join(world.dir.path().file_name().expect("name"));
    std::fs::write(&inside, "secret").expect("a file in the machine's /tmp");
    for target in ["/proc/1/environ", "/proc/self/environ", "/proc/1/root/etc/passwd", "/dev/shm/x", "/sys/kernel"] {
        refused(&mut world, &format!("ln -s {target} /out"));
    }
    refused(&mut world, &format!("ln -s {} /out", inside.display()));
    std::fs::remove_file(&inside).expect("removed");
    if !rustix::process::geteuid().is_root() {
        refused(&mut world, "ln -s /etc/shadow /out");
    }
}

fn links_in_a_directory_stay_links() {
    let mut world = World::new();
    for outcome in outcomes(&mut world, "mkdir /out; ln -s /etc /out/etc; ln -s ../../../../etc/passwd /out/passwd") {
        let Content::Tree(tree) = &artifact(&outcome, "out").content else { panic!("{outcome:?}") };
        let tree = world.store.tree_path(tree);
        for name in ["etc", "passwd"] {
            assert!(std::fs::symlink_metadata(tree.join(name)).expect(name).is_symlink(), "{name}");
        }
    }
}

fn an_output_that_is_no_file_is_refused() {
    let mut world = World::new();
    for command in [
        "mkfifo /out",
        "mkdir /out; mkfifo /out/fifo",
        "ln -s /dev/zero /out",
        "ln -s /dev/stdin /out",
        "mkfifo /tmp/f; ln -s /tmp/f /out",
        "/usr/bin/python3 -ISc \"import socket; socket.socket(socket.AF_UNIX).bind('/out')\"",
    ] {
        refused(&mut world, command);
    }
    for command in ["mkfifo /value", "ln -s /dev/zero /value", "mkdir /value", "ln -s /proc/kmsg /value"] {
        let mut launch = world.sh(Standard, command);
        wants_parameter(&mut launch, "value", "/value");
        let outcome = world.run(&launch);
        assert!(outcome.parameters.is_empty() && outcome.collect_error.is_some(), "{command}: {outcome:?}");
    }
}

fn an_output_in_a_linked_directory_is_the_tasks() {
    let mut world = World::new();
    let dir = world.path("of-the-machine");
    std::fs::create_dir(&dir).expect("dir");
    std::fs::write(world.dir.path().join("of-the-machine/out"), "the machine's").expect("file");
    let mut launch = world.sh(Standard, &format!("ln -s {dir} /linked; echo the task\\'s > {dir}/out"));
    wants_artifact(&mut launch, "out", "/linked/out");
    wants_parameter(&mut launch, "value", "/linked/out");
    let outcome = world.run(&launch);
    assert_eq!(crate::harness::parameter(&outcome, "value"), "the task's");
    let Content::Blob(blob) = &artifact(&outcome, "out").content else { panic!("{outcome:?}") };
    assert_eq!(std::fs::read_to_string(world.store.blob_path(blob)).expect("blob"), "the task's\n");
    assert_eq!(std::fs::read_to_string(format!("{dir}/out")).expect("file"), "the machine's");
}

fn a_link_that_leads_to_itself_ends() {
    let mut world = World::new();
    for command in ["ln -s out /out", "ln -s /b /out; ln -s /out /b", "ln -s /out/out /out"] {
        refused(&mut world, command);
    }
}

fn names_with_line_breaks_are_names() {
    let mut world = World::new();
    let command = "mkdir /out; cd /out; touch \"$(printf 'a\\nb')\" \"$(printf '\\001\\377')\" '...' ' ' './-rf'; mkdir \"$(printf 'd\\n..')\"";
    for outcome in outcomes(&mut world, command) {
        let Content::Tree(tree) = &artifact(&outcome, "out").content else { panic!("{outcome:?}") };
        let names = std::fs::read_dir(world.store.tree_path(tree)).expect("tree").count();
        assert_eq!(names, 6);
        // Read back from its manifest, and compared with what lies there.
        world.store.verify(&Content::Tree(*tree)).expect("as it was stored");
    }
}

fn a_name_in_a_message_does_not_command_the_terminal() {
    let mut world = World::new();
    let command = "cd /tmp; touch \"$(printf 'red\\033[31m')\" \"$(printf 'line\\nbreak')\"";
    for outcome in outcomes(&mut world, command) {
        let message = outcome.collect_error.expect("there is no /out");
        assert!(message.contains("red") && !message.chars().any(char::is_control), "{message:?}");
    }
}

fn a_setuid_program_is_stored_without_its_power() {
    let mut world = World::new();
    for outcome in outcomes(&mut world, "mkdir /out; cp /bin/true /out/su; chmod 6755 /out/su; chmod 7777 /out") {
        let Content::Tree(tree) = &artifact(&outcome, "out").content else { panic!("{outcome:?}") };
        let tree = world.store.tree_path(tree);
        for path in [tree.clone(), tree.join("su")] {
            let mode = std::fs::metadata(&path).expect("stored").mode();
            assert_eq!(mode & 0o7222, 0, "{}: {mode:o}", path.display());
        }
    }
    for outcome in outcomes(&mut world, "cp /bin/true /out; chmod 6755 /out") {
        let Content::Blob(blob) = &artifact(&outcome, "out").content else { panic!("{outcome:?}") };
        let mode = std::fs::metadata(world.store.blob_path(blob)).expect("stored").mode();
        assert_eq!(mode & 0o7222, 0, "{mode:o}");
    }
    // What is not stored lies where nobody else gets.
    let attempts = executor::home::Home::new(&world.home()).attempts();
    executor::home::Home::new(&world.home()).make_private();
    assert_eq!(std::fs::metadata(attempts).expect("attempts").permissions().mode() & 0o077, 0);
}

fn outputs_of_one_file_are_two() {
    let mut world = World::new();
    let mut launch = world.sh(Standard, "mkdir /out; echo x > /out/a; ln /out/a /out/b; ln /out/a /tmp/c");
    wants_artifact(&mut launch, "out", "/out");
    wants_artifact(&mut launch, "c", "/tmp/c");
    let outcome = world.run(&launch);
    let Content::Tree(tree) = &artifact(&outcome, "out").content else { panic!("{outcome:?}") };
    let tree = world.store.tree_path(tree);
    for name in ["a", "b"] {
        assert_eq!(std::fs::metadata(tree.join(name)).expect(name).nlink(), 1);
    }
}

/// Makes a directory below itself again and again, from within, so that no path is too long.
const DEEP: &str = "/usr/bin/python3 -ISc \"import os\nos.makedirs('WHERE', exist_ok=True)\nos.chdir('WHERE')\nfor _ in range(DEPTH):\n os.mkdir('d')\n os.chdir('d')\nopen('bottom', 'w').close()\"";

fn a_very_deep_directory_harms_nobody() {
    let mut world = World::new();
    let runner = world.runner_pid();
    refused(&mut world, &DEEP.replace("WHERE", "/out").replace("DEPTH", "3000"));
    let launch = world.sh(Standard, "echo still here");
    assert_eq!(world.output(&launch), "still here");
    assert_eq!(world.runner_pid(), runner);
}

fn a_very_deep_directory_that_is_left_harms_nobody() {
    let mut world = World::new();
    let runner = world.runner_pid();
    settle(&mut world);
    let launch = world.sh(Standard, &DEEP.replace("WHERE", "/tmp").replace("DEPTH", "9000"));
    assert_eq!(world.run(&launch).exit, Exit::Exited(0), "{}", world.log(&launch.key));
    world.local().acknowledge(&launch.key);
    world.local().flush();
    let scratch: PathBuf = executor::home::Home::new(&world.home()).scratch(&launch.key);
    until("its directory is removed", || !scratch.exists());
    let launch = world.sh(Standard, "echo still here");
    assert_eq!(world.output(&launch), "still here");
    assert_eq!(world.runner_pid(), runner);
}

fn a_volume_is_not_left_by_a_link() {
    let mut world = World::new();
    let mut launch = world
        .sh(Standard, "ln -s /etc/passwd /vol/link; ln -s ../../../../.. /vol/up; rmdir /vol || rm -rf /vol; true");
    has_volume(&mut launch, "v", "/vol");
    wants_artifact(&mut launch, "out", "/vol/up/runner.lock");
    let outcome = world.run(&launch);
    assert!(outcome.artifacts.is_empty() && outcome.collect_error.is_some(), "{outcome:?}");
}

/// Exchanges the directory `d` of the shared cache for a link to WHERE, again and again, at once each time.
const SWAP: &str = "/usr/bin/python3 -ISc \"import ctypes, os
os.makedirs('/towpath/cache/d/sub', exist_ok=True)
for name in ['x', 'sub/x']:
 open('/towpath/cache/d/' + name, 'w').write('a task')
os.symlink('WHERE', '/towpath/cache/e')
libc = ctypes.CDLL(None, use_errno=True)
print('started', flush=True)
while True:
 for _ in range(2):
  assert libc.renameat2(-100, b'/towpath/cache/d', -100, b'/towpath/cache/e', 2) == 0, ctypes.get_errno()\"";

fn an_output_in_the_shared_cache_is_not_swapped_for_a_link() {
    let mut world = World::new();
    let secret = world.home().join("variables");
    std::fs::create_dir_all(secret.join("sub")).expect("dir");
    for name in ["x", "sub/x"] {
        std::fs::write(secret.join(name), "secret").expect("secret");
    }
    let swapper = world.sh(Standard, &SWAP.replace("WHERE", &secret.to_string_lossy()));
    world.launch(&swapper);
    world.started(&swapper.key);
    let mut collected = [0; 3];
    for _ in 0..150 {
        let mut launch = world.sh(Standard, "true");
        wants_artifact(&mut launch, "file", "/towpath/cache/d/x");
        wants_artifact(&mut launch, "dir", "/towpath/cache/d/sub");
        wants_parameter(&mut launch, "value", "/towpath/cache/d/x");
        let outcome = world.run(&launch);
        for stored in &outcome.artifacts {
            let Some(stored) = &stored.artifact else { panic!("{outcome:?}") };
            let (at, path) = match &stored.content {
                Content::Blob(blob) => (0, world.store.blob_path(blob)),
                Content::Tree(tree) => (1, world.store.tree_path(tree).join("x")),
                _ => panic!("{outcome:?}"),
            };
            assert_eq!(std::fs::read_to_string(path).expect("stored"), "a task");
            collected[at] += 1;
        }
        for value in &outcome.parameters {
            assert_eq!(value.value, "a task");
            collected[2] += 1;
        }
        world.local().acknowledge(&launch.key);
    }
    world.local().kill(&swapper.key, 0, Exit::Cancelled);
    world.ended(&swapper.key);
    assert!(collected.iter().all(|count| *count > 0), "the swapper let nothing be collected: {collected:?}");
}
