//! The sandbox: what a task sees, what it cannot reach, what it cannot change.

use crate::harness::{Test, World, has_input, has_volume, kill, parameter, wants_artifact, wants_parameter};
use model::Content;
use model::Exit;
use model::attempt::Profile::Standard;

pub const TESTS: &[Test] = &[
    ("writes_stay_in_the_sandbox", writes_stay_in_the_sandbox),
    ("two_attempts_do_not_see_each_others_files", two_attempts_do_not_see_each_others_files),
    ("the_home_is_hidden", the_home_is_hidden),
    ("the_machine_cannot_be_changed", the_machine_cannot_be_changed),
    ("a_task_sees_only_its_processes", a_task_sees_only_its_processes),
    ("devices_are_there", devices_are_there),
    ("an_input_tree_is_private", an_input_tree_is_private),
    ("the_source_is_the_directory_and_stays_as_it_was", the_source_is_the_directory_and_stays_as_it_was),
    ("a_missing_directory_is_made", a_missing_directory_is_made),
    ("nothing_is_left_mounted", nothing_is_left_mounted),
    (
        "a_runner_that_died_while_it_tried_a_sandbox_costs_nothing",
        a_runner_that_died_while_it_tried_a_sandbox_costs_nothing,
    ),
];

fn writes_stay_in_the_sandbox() {
    let mut world = World::new();
    let (file, kept) = (world.path("written"), world.path("kept"));
    std::fs::write(&kept, "before").expect("file");
    let launch = world.sh(
        Standard,
        &format!("echo x > {file}; echo y > {kept}; rm -rf /etc/passwd; cat {file} {kept}; ls /etc/passwd"),
    );
    let outcome = world.run(&launch);
    assert_eq!((outcome.exit, outcome.result.as_deref()), (Exit::Exited(2), Some("x\ny")));
    assert!(!std::path::Path::new(&file).exists() && std::path::Path::new("/etc/passwd").exists());
    assert_eq!(std::fs::read_to_string(&kept).expect("file"), "before");
}

/// What an overlay leaves that was not unmounted in order.
fn a_runner_that_died_while_it_tried_a_sandbox_costs_nothing() {
    let mut world = World::new();
    world.close();
    kill(world.runner_pid(), 9);
    std::fs::create_dir_all(world.home().join("sandbox.probe/work/work/incompat/volatile/dirty")).expect("leftovers");
    world.open();
    let file = world.path("written");
    let launch = world.sh(Standard, &format!("echo x > {file}"));
    assert_eq!(world.run(&launch).exit, Exit::Exited(0));
    assert!(!std::path::Path::new(&file).exists(), "it ran without a sandbox");
}

fn two_attempts_do_not_see_each_others_files() {
    let mut world = World::new();
    let (shared, meet) = (world.path("meet"), "/towpath/cache/meet");
    // They meet in the shared cache, so that both have written before either reads.
    let command = |me: &str, other: &str| {
        format!(
            "echo {me} > /tmp/out; echo {me} > /data.txt; mkdir -p {meet}; touch {meet}/{me}; \
             while [ ! -e {meet}/{other} ]; do sleep 0.01; done; cat /tmp/out /data.txt"
        )
    };
    let (a, b) = (world.sh(Standard, &command("a", "b")), world.sh(Standard, &command("b", "a")));
    world.launch(&a);
    world.launch(&b);
    assert_eq!(world.ended(&a.key).result.as_deref(), Some("a\na"), "{shared}");
    assert_eq!(world.ended(&b.key).result.as_deref(), Some("b\nb"));
}

fn the_home_is_hidden() {
    let mut world = World::new();
    let home = world.home().to_string_lossy().into_owned();
    let launch = world.sh(
        Standard,
        &format!("ls -A {home} | wc -l; touch {home}/x 2>/dev/null || echo refused; echo ${{TOWPATH_HOME-unset}}"),
    );
    assert_eq!(world.output(&launch), "0\nrefused\nunset");
}

fn the_machine_cannot_be_changed() {
    let mut world = World::new();
    let command = "\
        echo 1 > /proc/sys/kernel/sysrq && echo sysctl\n\
        echo b > /proc/sysrq-trigger && echo sysrq\n\
        mkdir /sys/fs/cgroup/x && echo cgroup\n\
        mount -t tmpfs none /mnt && echo mount\n\
        mknod /disk b 8 0 && echo mknod\n\
        hostname x && echo hostname\n\
        rm -f /dev/null && echo device\n\
        echo x > /dev/new && echo device\n\
        echo end";
    let launch = world.sh(Standard, &format!("({command}) 2>/dev/null; true"));
    let seen = world.output(&launch);
    assert!(seen.ends_with("end"));
    for word in ["sysctl", "sysrq", "cgroup", "mount", "mknod", "hostname", "device"] {
        assert!(!seen.contains(word), "{word} worked");
    }
}

fn a_task_sees_only_its_processes() {
    let mut world = World::new();
    let launch = world.sh(Standard, "ls /proc | grep -c '^[0-9]'; cat /proc/1/environ 2>/dev/null | wc -c");
    let output = world.output(&launch);
    let count: u32 = output.lines().next().and_then(|line| line.parse().ok()).expect("a number");
    assert!(count <= 5, "{output}");
}

fn devices_are_there() {
    let mut world = World::new();
    let launch = world.sh(
        Standard,
        "echo x > /dev/null && head -c 3 /dev/zero | wc -c && head -c 1 /dev/urandom | wc -c && echo y > /dev/shm/z && \
         cat /dev/shm/z && ls /dev/fd/ | grep -c 0 && ls /dev | grep -c -E '^(vda|sda|mem|kmsg)$'; true",
    );
    assert_eq!(world.output(&launch), "3\n1\ny\n1\n0");
    let pty = world.sh(Standard, "script -qc 'echo tty' /dev/null | tr -d '\\r'; umount /dev 2>/dev/null; true");
    assert!(world.output(&pty).starts_with("tty"));
}

fn an_input_tree_is_private() {
    let mut world = World::new();
    let tree = world.dir.path().join("tree");
    std::fs::create_dir_all(tree.join("sub")).expect("dir");
    std::fs::write(tree.join("a"), "original").expect("file");
    std::fs::write(tree.join("sub/b"), "original").expect("file");
    let (digest, _) = world.store.copy_tree(&tree, &|_, _| true).expect("stored");
    let mut launch = world.sh(
        Standard,
        "cat /in/a; echo changed > /in/a; rm -r /in/sub; echo new > /in/c; cat /in/a; ls /in; cat /in/c > /value",
    );
    has_input(&mut launch, "tree", "/in", Content::Tree(digest));
    has_input(&mut launch, "raw", "/etc/deep/er/raw.txt", Content::Raw("raw text".into()));
    wants_parameter(&mut launch, "value", "/value");
    wants_artifact(&mut launch, "again", "/in");
    let outcome = world.run(&launch);
    assert_eq!(outcome.result.as_deref(), Some("originalchanged\na\nc"), "{outcome:?}");
    assert_eq!(parameter(&outcome, "value"), "new");
    assert_eq!(std::fs::read_to_string(world.store.tree_path(&digest).join("a")).expect("a"), "original");
    assert!(world.store.tree_path(&digest).join("sub/b").exists());
    let Content::Tree(again) = &crate::harness::artifact(&outcome, "again").content else { panic!("{outcome:?}") };
    let mut names: Vec<_> =
        std::fs::read_dir(world.store.tree_path(again)).expect("tree").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "c"]);
}

fn the_source_is_the_directory_and_stays_as_it_was() {
    let mut world = World::new();
    let source = world.dir.path().join("flow");
    std::fs::create_dir_all(&source).expect("dir");
    std::fs::write(source.join("train.py"), "print('hi')").expect("file");
    let (digest, _) = world.store.copy_tree(&source, &|_, _| true).expect("stored");
    let mut launch = world.sh(Standard, "pwd; ls; touch x && echo written");
    launch.source = Some(digest);
    assert_eq!(world.output(&launch), "/towpath/source\ntrain.py\nwritten");
    assert!(!world.store.tree_path(&digest).join("x").exists());
}

fn a_missing_directory_is_made() {
    let mut world = World::new();
    let mut launch = world.sh(Standard, "pwd; touch here; ls");
    launch.working_dir = Some("/job/dir".into());
    has_volume(&mut launch, "v", "/job/dir/vol");
    assert_eq!(world.output(&launch), "/job/dir\nhere\nvol");
}

fn nothing_is_left_mounted() {
    let mut world = World::new();
    let launch = world.sh(Standard, "true");
    assert_eq!(world.run(&launch).exit, Exit::Exited(0));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    assert!(!mounts.contains(&*world.home().to_string_lossy()), "{mounts}");
}
