//! Homes that cannot be written: read-only, full, or not there.

use crate::harness::{Home, Ran, bin, scripts, wait};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

#[test]
fn a_home_that_cannot_be_made_is_a_clear_error() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("name: w", &[("a", "", "echo hi")]));
    // Below a file nobody, not even root, can make a directory.
    let inside = format!("{file}/home");
    let ran = home.run(&["run", &file, "--home", &inside]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains(&inside) && ran.err.contains("--home"), "{}", ran.err);
}

/// A small file system of its own, in a mount namespace of its own.
const TINY: &str = "mount -t tmpfs -o $OPTIONS tmpfs $TOWPATH_HOME && ";

/// Runs a shell script with the home on a small file system of its own. `None`: this machine does not let us.
fn on_tiny_disk(home: &Home, size: &str, script: &str) -> Option<Ran> {
    on_file_system(home, &format!("size={size}"), script)
}

/// The same with these options of tmpfs.
pub fn on_file_system(home: &Home, options: &str, script: &str) -> Option<Ran> {
    std::fs::create_dir_all(home.root()).expect("home");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--map-root-user", "--", "sh", "-c", &format!("{TINY}{script}")]);
    if rustix::process::geteuid().is_root() {
        command = Command::new("unshare");
        command.args(["--mount", "--", "sh", "-c", &format!("{TINY}{script}")]);
    }
    command.env("TOWPATH_HOME", home.root()).env("OPTIONS", options).env("BIN", bin()).env("NO_COLOR", "1");
    let output = command.stdin(Stdio::null()).output().ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let ran = Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) };
    let refused = ran.err.contains("unshare:") || ran.err.contains("mount:");
    (!refused).then_some(ran)
}

#[test]
fn a_read_only_home_can_be_read_and_says_why_it_cannot_run() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("generateName: w-", &[("a", "", "echo hi")]));
    let script = format!(
        "$BIN run {file} --name before >/dev/null && sleep 5 && mount -o remount,ro $TOWPATH_HOME && $BIN get before && $BIN run {file}; echo code=$?"
    );
    let Some(ran) = on_tiny_disk(&home, "20m", &script) else {
        return eprintln!("skipped: no mount namespaces on this machine");
    };
    assert!(ran.out.contains("Name:        before"), "{ran:?}");
    assert!(ran.out.contains("code=3"), "{ran:?}");
    assert!(ran.err.to_lowercase().contains("read-only") && ran.err.contains("--home"), "{ran:?}");
}

#[test]
fn work_goes_on_when_a_full_disk_has_space_again() {
    let home = Home::new();
    let tasks = [("a", "", "echo began\nsleep 2\necho done"), ("b", "a", "echo after")];
    let file = home.file("w.yaml", &scripts("name: w", &tasks));
    // The disk is filled while the task runs, and freed when the store has refused to write.
    let script = format!(
        "$BIN run {file} >$TOWPATH_HOME.out 2>&1 & run=$!
         until grep -q Running $TOWPATH_HOME.out 2>/dev/null; do sleep 0.05; done
         dd if=/dev/zero of=$TOWPATH_HOME/ballast bs=4k >/dev/null 2>&1
         for i in $(seq 1 400); do grep -q 'no space' $TOWPATH_HOME.out && break; sleep 0.05; done
         rm $TOWPATH_HOME/ballast
         wait $run; echo code=$?; cat $TOWPATH_HOME.out; $BIN logs w"
    );
    let Some(ran) = on_tiny_disk(&home, "8m", &script) else {
        return eprintln!("skipped: no mount namespaces on this machine");
    };
    assert!(ran.out.contains("no space left"), "{ran:?}");
    assert!(ran.out.contains("code=0"), "{ran:?}");
    assert!(ran.out.contains("w.b: after"), "{ran:?}");
}

#[test]
fn a_full_disk_refuses_a_new_run_and_takes_it_later() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("generateName: w-", &[("a", "", "echo hi")]));
    let stdin = "cat $FILE | $BIN run - --name";
    let script = format!(
        "FILE={file}; {stdin} first >/dev/null; echo first=$?
         dd if=/dev/zero of=$TOWPATH_HOME/ballast bs=4k >/dev/null 2>&1
         {stdin} second; echo second=$?
         $BIN get first >/dev/null; echo reading=$?
         rm $TOWPATH_HOME/ballast; {stdin} second >/dev/null; echo again=$?"
    );
    let Some(ran) = on_tiny_disk(&home, "8m", &script) else {
        return eprintln!("skipped: no mount namespaces on this machine");
    };
    for wanted in ["first=0", "second=3", "reading=0", "again=0"] {
        assert!(ran.out.contains(wanted), "{wanted}: {ran:?}");
    }
    assert!(ran.err.to_lowercase().contains("no space left"), "{ran:?}");
}

#[test]
fn on_a_full_disk_runs_can_be_ended_resumed_and_deleted() {
    let home = Home::new();
    let short = home.file("short.yaml", &scripts("name: short", &[("a", "", "echo hi")]));
    let long = home.file("long.yaml", &scripts("generateName: long-", &[("a", "", "echo began\nsleep 600")]));
    // A task that ends while the disk is full takes its run out of memory again and again.
    let ends = [("a", "", "echo began\nuntil test -e $GATE; do sleep 0.1; done"), ("b", "a", "sleep 600")];
    let ends = home.file("ends.yaml", &scripts("name: ends", &ends));
    let holder = "for p in /proc/[0-9]*; do if grep -qzx __holder $p/cmdline && grep -qz \"^TOWPATH_HOME=$TOWPATH_HOME\" $p/environ; then echo ${p#/proc/}; fi; done 2>/dev/null";
    let script = format!(
        "export GATE=$TOWPATH_HOME.gate
         full() {{ dd if=/dev/zero of=$TOWPATH_HOME/ballast-$1 bs=4k >/dev/null 2>&1; }}
         until_logs() {{ for i in $(seq 1 400); do $BIN logs $1 2>/dev/null | grep -q $2 && break; sleep 0.05; done; }}
         until_ended() {{ for i in $(seq 1 400); do $BIN get $1 2>/dev/null | grep -q 'with strategy' && break; sleep 0.05; done
                          $BIN get $1 | grep -q 'with strategy'; echo ended-$1=$?; }}
         holder() {{ {holder}; }}
         $BIN run {short} >/dev/null
         for name in x y z; do $BIN run {long} --name $name --profile trusted -j 8 --no-watch >/dev/null; until_logs $name began; done
         $BIN run {ends} --profile trusted --no-watch >/dev/null; until_logs ends began
         full 1
         touch $GATE; sleep 2; full 2
         $BIN terminate ends; echo terminate-ends=$?; until_ended ends
         $BIN terminate x; echo terminate=$?; until_ended x
         full 3
         $BIN stop y; echo stop=$?; until_ended y
         full 4
         $BIN delete short; echo delete=$?
         full 5
         kill -9 $(holder); while test -n \"$(holder)\"; do sleep 0.05; done
         $BIN resume z --no-watch; echo resume=$?
         $BIN terminate z; echo terminate-z=$?; until_ended z
         rm $TOWPATH_HOME/ballast-*
         $BIN run {short} >/dev/null; echo again=$?; wc -c <$TOWPATH_HOME/reserve"
    );
    let Some(ran) = on_tiny_disk(&home, "12m", &script) else {
        return eprintln!("skipped: no mount namespaces on this machine");
    };
    for wanted in ["terminate-ends=0", "ended-ends=0", "terminate=0", "ended-x=0", "stop=0", "ended-y=0", "delete=0"] {
        assert!(ran.out.contains(wanted), "{wanted}: {ran:?}");
    }
    for wanted in ["resume=0", "terminate-z=0", "ended-z=0", "again=0"] {
        assert!(ran.out.contains(wanted), "{wanted}: {ran:?}");
    }
}

#[test]
fn a_store_that_is_no_store_is_refused() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("name: w", &[("a", "", "echo hi")]));
    std::fs::create_dir(home.root()).expect("home");
    std::fs::write(home.root().join("store.db"), "these are no pages of a database, whatever one does\n".repeat(100))
        .expect("file");
    let ran = home.run(&["run", &file]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("store.db"), "{}", ran.err);
    assert_eq!(home.run(&["list"]).code, 3);
    wait("no holder", || home.processes("__holder").is_empty().then_some(()));
}

#[test]
fn a_home_with_a_long_path_works_all_the_same() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("generateName: w-", &[("a", "", "echo hi")]));
    let long = home.root().join("d".repeat(60)).join("e".repeat(60));
    let mut command = home.command(&["run", &file]);
    let output = command.env("TOWPATH_HOME", &long).output().expect("towpath");
    assert!(output.status.success(), "{output:?}");
    assert!(!long.join("engine.sock").exists(), "a socket's path has at most 108 bytes");
    let mut command = home.command(&["logs", "@", "a"]);
    let output = command.env("TOWPATH_HOME", &long).output().expect("towpath");
    assert_eq!(output.stdout, b"hi\n");
    wait("the end of the holder", || home.processes_of(&long, "__holder").is_empty().then_some(()));
}

#[test]
fn a_client_of_another_protocol_is_told_ours_and_let_go() {
    let home = Home::new();
    let file = home.file("w.yaml", &scripts("name: w", &[("a", "", "sleep 1")]));
    home.ok(&["run", &file, "--no-watch"]);
    let told = |protocol: u32| {
        let mut stream = UnixStream::connect(home.root().join("engine.sock")).expect("the holder's socket");
        let greeting = format!(r#"{{"protocol":{protocol},"build":"9.9.9"}}"#);
        stream.write_all(&(greeting.len() as u32).to_le_bytes()).expect("length");
        stream.write_all(greeting.as_bytes()).expect("greeting");
        // A newer client knows by the answer whether it can go on; whoever it is, there is an answer.
        if protocol > 1 {
            stream.shutdown(std::net::Shutdown::Write).expect("no more to say");
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("until it hangs up");
        String::from_utf8_lossy(&answer[4..]).into_owned()
    };
    // One too old is hung up on.
    let ours = told(1);
    assert!(ours.starts_with(r#"{"protocol":"#) && ours.contains(r#","build":"#) && ours.ends_with('}'), "{ours}");
    assert!(!ours.starts_with(r#"{"protocol":1,"#), "{ours}");
    assert_eq!(told(99), ours);
    // Noise does not hurt it either.
    let mut stream = UnixStream::connect(home.root().join("engine.sock")).expect("the holder's socket");
    stream.write_all(&[0xff; 64]).expect("noise");
    assert!(home.ok(&["resume", "w"]).contains("Succeeded"));
}
