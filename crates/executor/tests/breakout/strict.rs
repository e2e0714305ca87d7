//! Profile `strict`: what it adds to the sandbox. Each refusal is shown beside `standard`, where the same gets through.

use crate::harness::{Test, World, artifact, has_input, is_without, parameter, wants_artifact, wants_parameter};
use crate::scene::Scene;
use crate::scene::Script::{Python, Sh};
use executor::ExecutorEvent;
use model::attempt::Profile::{Standard, Strict};
use model::{Content, Exit};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

pub const TESTS: &[Test] = &[
    ("strict_has_no_network", strict_has_no_network),
    ("strict_has_a_loopback_of_its_own", strict_has_a_loopback_of_its_own),
    ("strict_does_not_reach_abstract_sockets", strict_does_not_reach_abstract_sockets),
    ("strict_refuses_dangerous_calls", strict_refuses_dangerous_calls),
    ("strict_does_not_read_files_of_others", strict_does_not_read_files_of_others),
    ("strict_has_no_file_of_others_collected", strict_has_no_file_of_others_collected),
    ("strict_does_not_write_beside_its_own", strict_does_not_write_beside_its_own),
    ("strict_runs_what_standard_runs", strict_runs_what_standard_runs),
    ("strict_refuses_an_output_in_the_root", strict_refuses_an_output_in_the_root),
    ("strict_opens_nothing_beside_an_output", strict_opens_nothing_beside_an_output),
    ("strict_refuses_an_output_of_the_system", strict_refuses_an_output_of_the_system),
    ("strict_without_landlock_says_so", strict_without_landlock_says_so),
    ("strict_without_namespaces_is_refused", strict_without_namespaces_is_refused),
];

fn strict_has_no_network() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("address").port();
    let mut scene = Scene::new();
    for (profile, through) in [(Standard, true), (Strict, false)] {
        let mut launch = scene.launch(
            profile,
            Python(
                "attempt('connect', lambda: socket.create_connection(('127.0.0.1', int(E['PORT'])), 5))\n\
                 names = [name for _, name in socket.if_nameindex() if name != 'lo']\n\
                 if names: through(names)",
            ),
        );
        launch.env.push(("PORT".into(), port.to_string()));
        assert_eq!(scene.attempt(&launch).is_some(), through, "{profile:?}");
    }
}

fn strict_has_a_loopback_of_its_own() {
    let mut scene = Scene::new();
    // Under `standard` as well; two of them at once would fight for the port.
    let launch = scene.launch(
        Strict,
        Python(
            "server = socket.create_server(('127.0.0.1', 80))\nclient = socket.create_connection(('127.0.0.1', 80))\n\
             client.sendall(b'hello')\nif server.accept()[0].recv(5) != b'hello': through('nothing came')",
        ),
    );
    assert_eq!(scene.attempt(&launch), None);
}

fn strict_does_not_reach_abstract_sockets() {
    let mut scene = Scene::new();
    let name = scene.world.dir.path().file_name().expect("name").to_string_lossy().into_owned();
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let _listener = UnixListener::bind_addr(&address).expect("a listener");
    for (profile, through) in [(Standard, true), (Strict, false)] {
        let mut launch = scene.launch(
            profile,
            Python("attempt('abstract', lambda: socket.socket(socket.AF_UNIX).connect('\\0' + E['NAME']))"),
        );
        launch.env.push(("NAME".into(), name.clone()));
        assert_eq!(scene.attempt(&launch).is_some(), through, "{profile:?}");
    }
}

fn strict_refuses_dangerous_calls() {
    let mut scene = Scene::new();
    let calls = [
        "refused('ptrace', system(101, 117, 0, 0, 0, 0))",
        "refused('io_uring', system(425, 425, 0, 0))",
        "refused('process_vm_readv', system(310, 270, os.getpid(), 0, 0, 0, 0, 0))",
        "refused('kcmp', system(312, 272, os.getpid(), os.getpid(), 1, 0, 0))",
        "refused('chroot', system(161, 51, b'/tmp'))",
        "attempt('vsock', lambda: socket.socket(40, socket.SOCK_STREAM)) if os.path.exists('/proc/sys/net/vsock') else through()",
        "attempt('packet', lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET))",
        "if 'NoNewPrivs:\\t1' not in open('/proc/self/status').read(): through('privileges')",
    ];
    let mut is_tried = 0;
    for call in calls {
        let launch = scene.launch(Standard, Python(call));
        // Where the machine refuses it anyway there is nothing to see.
        is_tried += u32::from(scene.attempt(&launch).is_some());
        let launch = scene.launch(Strict, Python(call.split(" if os.path").next().expect("the call")));
        assert_eq!(scene.attempt(&launch), None, "{call}");
    }
    assert!(is_tried >= 5, "only {is_tried} get through under standard");
}

fn strict_does_not_read_files_of_others() {
    let mut scene = Scene::new();
    let script =
        Sh("cat $VICTIM | grep -q before && echo through; ls $HOST_DIR | grep -q victim && echo through; true");
    for (profile, through) in [(Standard, true), (Strict, false)] {
        let launch = scene.launch(profile, script);
        assert_eq!(scene.attempt(&launch).is_some(), through, "{profile:?}");
    }
}

fn strict_does_not_write_beside_its_own() {
    let mut scene = Scene::new();
    let script = Sh("for at in / /etc /usr /var/lib; do (echo x > $at/new$$) && echo through $at; done\n\
                     rm -f /etc/passwd && echo through; chmod 777 /nothing; mkdir /new$$ && echo through");
    for (profile, through) in [(Standard, true), (Strict, false)] {
        let launch = scene.launch(profile, script);
        assert_eq!(scene.attempt(&launch).is_some(), through, "{profile:?}");
    }
}

fn strict_runs_what_standard_runs() {
    let mut world = World::new();
    let source = world.dir.path().join("flow");
    std::fs::create_dir_all(&source).expect("dir");
    std::fs::write(source.join("train.py"), "print(open('data').read())").expect("file");
    std::fs::write(source.join("data"), "42").expect("file");
    let (digest, _) = world.store.copy_tree(&source, &|_, _| true).expect("stored");
    for _ in 0..2 {
        let mut launch = world.sh(
            Strict,
            "set -e; /usr/bin/python3 train.py; echo here > here; cat here; cat /in/tree/data /in/raw\n\
             echo x > /dev/shm/x; echo x > /tmp/x; mv /tmp/x /tmp/y; mkdir -p \"$HOME/d\"; echo v > /out/deep/value\n\
             mkdir /out/deep/dir; ln -s /etc /out/deep/dir/link; echo f > /out/deep/dir/f; cat /out/deep/dir/f > /dev/null\n\
             echo x > $TOWPATH_NOTHING/dev/stdout; grep -c . /etc/passwd > /dev/null; head -c 1 /dev/urandom > /dev/null",
        );
        launch.source = Some(digest);
        has_input(&mut launch, "tree", "/in/tree", Content::Tree(digest));
        has_input(&mut launch, "raw", "/in/raw", Content::Raw("raw".into()));
        wants_parameter(&mut launch, "value", "/out/deep/value");
        wants_artifact(&mut launch, "dir", "/out/deep/dir");
        let outcome = world.run(&launch);
        assert_eq!(outcome.exit, Exit::Exited(0), "{outcome:?} {}", world.log(&launch.key));
        assert_eq!(outcome.result.as_deref(), Some("42\nhere\n42rawx"));
        assert_eq!(parameter(&outcome, "value"), "v");
        assert!(matches!(artifact(&outcome, "dir").content, Content::Tree(_)));
    }
}

fn strict_refuses_an_output_in_the_root() {
    let mut world = World::new();
    let mut launch = world.sh(Strict, "true");
    wants_artifact(&mut launch, "out", "/out");
    let Exit::NotStarted(why) = world.run(&launch).exit else { panic!("it was started") };
    assert!(why.contains("/out") && why.contains("/tmp"), "{why}");
}

fn strict_without_landlock_says_so() {
    if !is_without("landlock", "strict_without_landlock_says_so") {
        return;
    }
    let mut world = World::new();
    let launch = world.sh(Strict, "echo ran");
    assert_eq!(world.output(&launch), "ran");
    let noticed =
        |event: &ExecutorEvent| matches!(event, ExecutorEvent::Notice { text, .. } if text.contains("Landlock"));
    assert!(world.seen().iter().any(noticed), "{:?}", world.seen());
}

fn strict_without_namespaces_is_refused() {
    if !is_without("namespaces", "strict_without_namespaces_is_refused") {
        return;
    }
    let mut world = World::new();
    let launch = world.sh(Strict, "echo ran");
    let Exit::NotStarted(why) = world.run(&launch).exit else { panic!("it was started") };
    assert!(why.contains("profile strict"), "{why}");
}

/// What the task may not read, its link does not have us read.
fn strict_has_no_file_of_others_collected() {
    let mut world = World::new();
    let secret = world.dir.path().join("secret");
    std::fs::write(&secret, "secret").expect("a file of others");
    for (profile, through) in [(Standard, true), (Strict, false)] {
        let command = format!("mkdir -p /tmp/out && ln -s {} /tmp/out/link && exec true", secret.display());
        let mut launch = world.sh(profile, &command);
        wants_artifact(&mut launch, "out", "/tmp/out/link");
        let outcome = world.run(&launch);
        assert_eq!(outcome.exit, Exit::Exited(0), "{outcome:?}");
        assert_eq!(outcome.artifacts.is_empty(), !through, "{profile:?}: {outcome:?}");
        assert_eq!(outcome.collect_error.is_some(), !through, "{profile:?}: {outcome:?}");
    }
}

fn strict_opens_nothing_beside_an_output() {
    let mut world = World::new();
    let dir = world.path("shared");
    std::fs::create_dir_all(format!("{dir}/old/deep")).expect("directories of others");
    for file in ["victim", "old/deep/victim"] {
        std::fs::write(format!("{dir}/{file}"), "before").expect("a file of others");
    }
    let command = format!(
        "cat {dir}/victim {dir}/old/deep/victim && echo through; ls {dir} | grep victim && echo through\n\
         echo mine > {dir}/value; mkdir -p {dir}/old/new/model; echo m > {dir}/old/new/model/m; echo u > {dir}/undeclared"
    );
    for (profile, through) in [(Standard, true), (Strict, false)] {
        let mut launch = world.sh(profile, &command);
        wants_parameter(&mut launch, "value", &format!("{dir}/value"));
        wants_artifact(&mut launch, "model", &format!("{dir}/old/new/model"));
        wants_artifact(&mut launch, "old", &format!("{dir}/old/deep"));
        let outcome = world.run(&launch);
        assert_eq!(outcome.exit, Exit::Exited(0), "{profile:?} {outcome:?} {}", world.log(&launch.key));
        assert_eq!(world.log(&launch.key).contains("through"), through, "{profile:?} {}", world.log(&launch.key));
        assert_eq!(parameter(&outcome, "value"), "mine");
        let read = |name: &str, file: &str| {
            let Content::Tree(tree) = &artifact(&outcome, name).content else { panic!("{outcome:?}") };
            std::fs::read_to_string(world.store.tree_path(tree).join(file)).ok()
        };
        assert_eq!(read("model", "m").as_deref(), Some("m\n"));
        // The directory is declared, and under strict none of what others have in it.
        assert_eq!(read("old", "victim").as_deref(), through.then_some("before"));
        // What it wrote beside them is told as ever.
        let written = outcome.written.as_ref().map(|written| format!("{written:?}")).unwrap_or_default();
        assert!(written.contains("undeclared"), "{profile:?} {outcome:?}");
        assert!(!std::path::Path::new(&format!("{dir}/value")).exists());
    }
}

fn strict_refuses_an_output_of_the_system() {
    let mut world = World::new();
    for path in ["/etc/out", "/usr/share/../lib/out", "/var/out"] {
        let mut launch = world.sh(Strict, "true");
        wants_artifact(&mut launch, "out", path);
        let Exit::NotStarted(why) = world.run(&launch).exit else { panic!("{path}: it was started") };
        assert!(why.contains("directory of the machine") && why.contains("/tmp"), "{why}");
    }
    // What the machine does not have is the task's own.
    let mut launch = world.sh(Strict, "echo x > /opt/towpath-ml/model");
    wants_parameter(&mut launch, "out", "/opt/towpath-ml/model");
    let outcome = world.run(&launch);
    assert_eq!((&outcome.exit, parameter(&outcome, "out")), (&Exit::Exited(0), "x"));
    assert!(!std::path::Path::new("/opt/towpath-ml").exists());
}
