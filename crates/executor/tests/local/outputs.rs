//! Collecting outputs: values, files, directories, what is missing, links, and doing it twice.

use crate::harness::{Test, World, artifact, has_input, has_volume, parameter, wants_artifact, wants_parameter};
use executor::Executor;
use model::attempt::Profile::{Standard, Trusted};
use model::attempt::WantedParameter;
use model::{Content, Exit};

pub const TESTS: &[Test] = &[
    ("trusted_files_stay_where_they_are", trusted_files_stay_where_they_are),
    ("trusted_does_not_touch_what_exists", trusted_does_not_touch_what_exists),
];

/// What needs a sandbox, or processes that cannot get away. Without them it would be done to the machine itself.
pub const GUARDED: &[Test] = &[
    ("outputs_of_a_failed_task_are_collected", outputs_of_a_failed_task_are_collected),
    ("values_that_are_none", values_that_are_none),
    ("outputs_in_volumes_and_merged_directories", outputs_in_volumes_and_merged_directories),
    ("collecting_again_gives_the_same", collecting_again_gives_the_same),
    ("values_and_artifacts_are_collected", values_and_artifacts_are_collected),
    ("missing_outputs_name_what_was_written", missing_outputs_name_what_was_written),
    ("links_do_not_lead_out_of_the_sandbox", links_do_not_lead_out_of_the_sandbox),
    ("what_an_earlier_staging_left_does_not_matter", what_an_earlier_staging_left_does_not_matter),
    ("an_input_that_a_power_cut_tore_is_not_given_to_a_task", an_input_that_a_power_cut_tore_is_not_given_to_a_task),
    (
        "what_an_attempt_wrote_is_put_away_before_its_end_is_told",
        what_an_attempt_wrote_is_put_away_before_its_end_is_told,
    ),
    ("an_acknowledged_attempt_leaves_nothing", an_acknowledged_attempt_leaves_nothing),
];

fn text(world: &World, content: &Content) -> String {
    let Content::Blob(digest) = content else { panic!("{content:?}") };
    String::from_utf8(world.store.read_blob(digest, 1 << 20).expect("blob")).expect("text")
}

fn values_and_artifacts_are_collected() {
    let mut world = World::new();
    let mut launch = world.sh(
        Standard,
        "printf '42\\n\\n' > /tmp/value; echo root > /value; mkdir -p /out/model/deep; echo w > /out/model/deep/weights; \
         ln -s deep/weights /out/model/link; echo file > /out/file",
    );
    wants_parameter(&mut launch, "tmp", "/tmp/value");
    wants_parameter(&mut launch, "root", "/value");
    wants_artifact(&mut launch, "model", "/out/model");
    wants_artifact(&mut launch, "file", "/out/file");
    wants_artifact(&mut launch, "unchanged", "/etc/passwd");
    let outcome = world.run(&launch);
    assert_eq!((outcome.exit.clone(), outcome.collect_error.clone()), (Exit::Exited(0), None));
    assert_eq!((parameter(&outcome, "tmp"), parameter(&outcome, "root")), ("42\n", "root"));
    assert_eq!(text(&world, &artifact(&outcome, "file").content), "file\n");
    assert!(text(&world, &artifact(&outcome, "unchanged").content).contains("root:"));
    assert!(std::path::Path::new("/etc/passwd").exists());
    let model = artifact(&outcome, "model");
    let Content::Tree(digest) = &model.content else { panic!("{model:?}") };
    let tree = world.store.tree_path(digest);
    assert_eq!(std::fs::read_to_string(tree.join("link")).expect("link"), "w\n");
    assert_eq!(model.bytes, 2);
}

fn outputs_of_a_failed_task_are_collected() {
    let mut world = World::new();
    let mut launch = world.sh(Standard, "echo 7 > /tmp/v; exit 5");
    wants_parameter(&mut launch, "v", "/tmp/v");
    let outcome = world.run(&launch);
    assert_eq!((&outcome.exit, parameter(&outcome, "v")), (&Exit::Exited(5), "7"));
}

fn missing_outputs_name_what_was_written() {
    let mut world = World::new();
    let mut launch = world.sh(Standard, "mkdir /out; echo x > /out/modle.bin; echo y > /tmp/other");
    wants_artifact(&mut launch, "model", "/out/model.bin");
    wants_parameter(&mut launch, "v", "/tmp/v");
    launch.outputs.parameters.push(WantedParameter {
        name: "d".into(),
        path: "/tmp/d".into(),
        default: Some("dd".into()),
    });
    wants_artifact(&mut launch, "maybe", "/maybe");
    launch.outputs.artifacts[1].optional = true;
    let outcome = world.run(&launch);
    let error = outcome.collect_error.clone().expect("an error");
    assert!(error.contains("output artifact \"model\": stat /out/model.bin: no such file or directory"), "{error}");
    assert!(error.contains("output parameter \"v\": open /tmp/v: no such file or directory"), "{error}");
    assert!(error.contains("/out/modle.bin") && error.contains("/tmp/other"), "{error}");
    assert_eq!(parameter(&outcome, "d"), "dd");
    assert_eq!(outcome.artifacts[0].artifact, None);
}

fn values_that_are_none() {
    let mut world = World::new();
    let mut launch =
        world.sh(Standard, "head -c 1000002 /dev/zero > /tmp/large; printf '\\377' > /tmp/binary; mkdir /tmp/dir");
    for name in ["large", "binary", "dir"] {
        wants_parameter(&mut launch, name, &format!("/tmp/{name}"));
    }
    let error = world.run(&launch).collect_error.expect("an error");
    for words in ["/tmp/large has more than 1000000 bytes", "/tmp/binary is not UTF-8", "read /tmp/dir: is not a file"]
    {
        assert!(error.contains(words), "{error}");
    }
}

fn links_do_not_lead_out_of_the_sandbox() {
    let mut world = World::new();
    let secret = world.home().join("secret");
    std::fs::write(&secret, "secret").expect("file");
    let outside = world.path("outside");
    std::fs::write(&outside, "machine").expect("file");
    let command = format!(
        "ln -s {} /tmp/a; ln -s ../../../../../..{} /b; mkdir -p {}; ln -s / /tmp/up; echo mine > {outside}; ln -s {outside} /tmp/c; \
         ln -s /tmp/loop /tmp/loop; ln -s /towpath/home /h; echo home > /towpath/home/f",
        secret.display(),
        secret.display(),
        "/tmp/d"
    );
    let mut launch = world.sh(Standard, &command);
    for (name, path) in
        [("a", "/tmp/a"), ("b", "/b"), ("up", &*format!("/tmp/up{}", secret.display())), ("loop", "/tmp/loop")]
    {
        wants_parameter(&mut launch, name, path);
    }
    wants_parameter(&mut launch, "c", "/tmp/c");
    wants_parameter(&mut launch, "h", "/h/f");
    let outcome = world.run(&launch);
    assert_eq!((parameter(&outcome, "c"), parameter(&outcome, "h")), ("mine", "home"));
    assert_eq!(outcome.parameters.len(), 2, "{outcome:?}");
}

fn outputs_in_volumes_and_merged_directories() {
    let mut world = World::new();
    let mut launch = world.sh(Standard, "echo v > /out/vol/v; echo o > /out/o; mkdir /out/empty; rm /etc/hostname 2>/dev/null; echo e > /etc/extra.txt; test -e /out/in/raw");
    has_volume(&mut launch, "vol", "/out/vol");
    has_input(&mut launch, "raw", "/out/in/raw", Content::Raw("r".into()));
    wants_parameter(&mut launch, "v", "/out/vol/v");
    wants_artifact(&mut launch, "out", "/out");
    wants_artifact(&mut launch, "etc", "/etc/apt");
    let outcome = world.run(&launch);
    assert_eq!((outcome.exit.clone(), outcome.collect_error.clone()), (Exit::Exited(0), None));
    let Content::Tree(digest) = &artifact(&outcome, "out").content else { panic!("{outcome:?}") };
    let tree = world.store.tree_path(digest);
    for (path, content) in [("vol/v", "v\n"), ("o", "o\n"), ("in/raw", "r")] {
        assert_eq!(std::fs::read_to_string(tree.join(path)).expect(path), content);
    }
    assert!(tree.join("empty").is_dir());
}

fn collecting_again_gives_the_same() {
    let mut world = World::new();
    let mut launch = world.sh(Standard, "echo data > /tmp/a");
    wants_artifact(&mut launch, "a", "/tmp/a");
    let first = world.run(&launch);
    // The holder dies before it has appended; the next one launches again and gets the same.
    world.close();
    world.open();
    assert_eq!(world.run(&launch), first);
}

fn trusted_files_stay_where_they_are() {
    let mut world = World::new();
    let file = world.path("result.txt");
    let mut launch = world.sh(Trusted, "echo data > result.txt; pwd");
    wants_artifact(&mut launch, "file", "result.txt");
    wants_parameter(&mut launch, "value", &file);
    let outcome = world.run(&launch);
    assert_eq!((parameter(&outcome, "value"), outcome.collect_error.as_ref()), ("data", None));
    assert_eq!(text(&world, &artifact(&outcome, "file").content), "data\n");
    assert_eq!(std::fs::read_to_string(file).expect("still there"), "data\n");
}

fn trusted_does_not_touch_what_exists() {
    let mut world = World::new();
    let (there, fresh) = (world.path("there"), world.path("deep/fresh"));
    std::fs::write(&there, "mine").expect("file");
    let mut launch = world.sh(Trusted, "true");
    has_input(&mut launch, "x", &there, Content::Raw("other".into()));
    assert!(matches!(world.run(&launch).exit, Exit::NotStarted(why) if why.contains("--profile standard")));
    assert_eq!(std::fs::read_to_string(&there).expect("file"), "mine");
    let mut launch = world.sh(Trusted, &format!("cat {fresh}; echo more >> {fresh}"));
    has_input(&mut launch, "x", &fresh, Content::Raw("input".into()));
    has_volume(&mut launch, "v", &world.path("vol"));
    assert_eq!(world.output(&launch), "input");
    world.local().acknowledge(&launch.key);
    world.local().flush();
    crate::harness::until("the link is gone", || std::fs::symlink_metadata(&fresh).is_err());
}

fn an_acknowledged_attempt_leaves_nothing() {
    let mut world = World::new();
    let launch = world.sh(Standard, "mkdir -p /tmp/d/e; chmod 0 /tmp/d");
    world.run(&launch);
    let scratch = executor::home::Home::new(&world.home()).scratch(&launch.key);
    assert!(scratch.exists());
    world.local().acknowledge(&launch.key);
    world.local().flush();
    crate::harness::until("its directory is gone", || !scratch.exists());
}

fn what_an_attempt_wrote_is_put_away_before_its_end_is_told() {
    let mut world = World::new();
    let launch = world
        .sh(Standard, "echo x > /tmp/x; mkdir /tmp/d; echo yy > /tmp/d/y; chmod 0 /tmp/d; rm -r /tmp/x; mkdir /tmp/x");
    let outcome = world.run(&launch);
    let home = executor::home::Home::new(&world.home());
    let written = outcome.written.expect("something was written");
    assert_eq!((written.count, written.files[0].path.as_str(), written.bytes), (1, "/tmp/d/y", 3));
    assert!(!home.scratch(&launch.key).exists());
    let kept = executor::kept::Files::of(&home, &launch.key).expect("kept");
    assert!(matches!(kept.look("/tmp/d/y"), Ok(Some(executor::kept::Thing::File(_)))));
    // Told again, it is the same, though what was collected is gone from where it was.
    world.close();
    world.open();
    world.launch(&launch);
    assert_eq!(world.ended(&launch.key).written, Some(written));
}

fn what_an_earlier_staging_left_does_not_matter() {
    let mut world = World::new();
    let mut launch = world.sh(Standard, "cat /in; ls -A /tmp; test -e /stray && echo stray; true");
    has_input(&mut launch, "in", "/in", Content::Raw("input".into()));
    let scratch = executor::home::Home::new(&world.home()).scratch(&launch.key);
    for left in ["inputs/0", "tmp/stray", "upper/stray"] {
        let path = scratch.join(left);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("dir");
        std::fs::write(path, "left over").expect("file");
    }
    let outcome = world.run(&launch);
    assert_eq!(outcome.result.as_deref(), Some("input"), "{outcome:?}");
}

fn an_input_that_a_power_cut_tore_is_not_given_to_a_task() {
    let mut world = World::new();
    let (torn, whole) = (world.store.put_bytes(b"torn").expect("blob"), world.store.put_bytes(b"whole").expect("blob"));
    let path = world.store.blob_path(&torn);
    let stored_at = path.metadata().and_then(|metadata| metadata.modified()).expect("time");
    std::fs::remove_file(&path).expect("stored");
    std::fs::write(&path, [0; 4]).expect("zeros, as after a power cut");
    let file = std::fs::File::options().write(true).open(&path).expect("file");
    file.set_times(std::fs::FileTimes::new().set_modified(stored_at)).expect("time");
    // The machine starts again.
    world.close();
    world.store = artifacts::Store::open_in_boot(&world.home().join("artifacts"), "another boot").expect("a store");
    world.open();
    let mut launch = world.sh(Standard, "cat /in");
    has_input(&mut launch, "data", "/in", Content::Blob(torn));
    let outcome = world.run(&launch);
    let Exit::NotStarted(why) = &outcome.exit else { panic!("{outcome:?}") };
    assert!(why.contains("\"data\"") && why.contains("is damaged"), "{why}");
    let mut launch = world.sh(Standard, "cat /in");
    has_input(&mut launch, "data", "/in", Content::Blob(whole));
    assert_eq!(world.output(&launch), "whole");
}
