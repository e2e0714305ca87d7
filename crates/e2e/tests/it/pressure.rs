//! A machine that has little: no inodes, little memory, many attempts at once, poison and giants among what it is given.
//! It must never need more than its budget of time: what is long has a short form, and `TOWPATH_FAULT_ROUNDS` makes it long.

use crate::faults::on_file_system;
use crate::harness::{Home, bin, scripts, wait};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How much is wanted of one that can be made longer.
fn amount(by_default: usize) -> usize {
    std::env::var("TOWPATH_FAULT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(by_default)
}

#[test]
fn without_inodes_things_end_in_words_and_work_later() {
    let home = Home::new();
    let tasks = [("a", "", "echo began\nsleep 2\necho done"), ("b", "a", "echo after")];
    let file = home.file("w.yaml", &scripts("name: w", &tasks));
    let short = home.file("short.yaml", &scripts("name: short", &[("a", "", "echo hi")]));
    // Inodes are taken while the task runs, and given back a moment later.
    let script = format!(
        "$BIN run {short} >/dev/null; echo first=$?
         $BIN run {file} >$TOWPATH_HOME.out 2>&1 & run=$!
         until $BIN logs w 2>/dev/null | grep -q began; do sleep 0.05; done
         mkdir $TOWPATH_HOME/many; n=0
         while echo > $TOWPATH_HOME/many/$n; do n=$((n+1)); done 2>/dev/null
         echo taken=$n; $BIN run {short} --name second >/dev/null 2>&1; echo second=$?
         sleep 3; rm -r $TOWPATH_HOME/many
         wait $run; cat $TOWPATH_HOME.out; $BIN resume w; echo code=$?; $BIN logs w
         $BIN run {short} --name third >/dev/null; echo third=$?"
    );
    let Some(ran) = on_file_system(&home, "size=40m,nr_inodes=400", &script) else {
        return eprintln!("skipped: no mount namespaces on this machine");
    };
    for wanted in ["first=0", "second=3", "third=0"] {
        assert!(ran.out.contains(wanted), "{wanted}: {ran:?}");
    }
    // What could not be started while there were none has ended as Error, with the reason.
    let told = ran.out.contains("Error") && ran.out.contains("No space left");
    assert!(ran.out.contains("w.b: after") || told, "{ran:?}");
    assert!(!ran.out.contains("taken=0") && !ran.err.contains("panicked"), "{ran:?}");
}

#[test]
fn a_killed_holder_takes_many_attempts_over_again() {
    let home = Home::new();
    let (many, gate) = (150, home.root().with_file_name("gate"));
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: many}}\nspec:\n  entrypoint: main\n  templates:\n  \
         - name: main\n    steps:\n    - - {{name: all, template: waits, withSequence: {{count: \"{many}\"}}}}\n  \
         - name: waits\n    container: {{image: busybox, command: [sh, -c, \"echo began; until test -e {}; do sleep 0.2; done\"]}}\n",
        gate.display()
    );
    let file = home.file("many.yaml", &text);
    home.ok(&["run", &file, "--no-watch", "--profile", "trusted", "-j", &many.to_string()]);
    wait("all attempts", || (home.events("AttemptStarted").len() == many).then_some(()));
    home.kill_holder();
    let begun = Instant::now();
    home.ok(&["resume", "many", "--no-watch"]);
    let took = begun.elapsed();
    fs::write(&gate, "").expect("gate");
    assert!(home.ok(&["resume", "many"]).contains("Succeeded"));
    let events = home.ok(&["events", "many", "-o", "json"]);
    let count = |kind: &str| events.matches(kind).count();
    assert_eq!((count("AttemptStarted"), count("AttemptEnded"), count("\"lost\"")), (many, many, 0));
    println!("{many} attempts were taken over in {took:?}");
}

/// A memory group (v1) that holds so much.
struct Group(PathBuf);

impl Group {
    fn new(bytes: u64) -> Option<Self> {
        let dir = Path::new("/sys/fs/cgroup/memory").join(format!("towpath-e2e-{}", std::process::id()));
        fs::create_dir(&dir).ok()?;
        let group = Self(dir);
        fs::write(group.0.join("memory.limit_in_bytes"), bytes.to_string()).ok()?;
        Some(group)
    }

    fn number(&self, file: &str) -> u64 {
        fs::read_to_string(self.0.join(file)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        wait("an empty group", || fs::remove_dir(&self.0).is_ok().then_some(()));
    }
}

#[test]
fn a_holder_with_little_memory_goes_on() {
    let nodes = amount(1_000);
    let Some(group) = Group::new(256 << 20) else {
        return println!("not run: no memory group (cgroup v1) can be made here");
    };
    {
        let home = Home::new();
        let text = format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: wide}}\nspec:\n  entrypoint: main\n  templates:\n  \
             - name: main\n    steps:\n    - - {{name: all, template: each, withSequence: {{count: \"{nodes}\"}}}}\n  \
             - name: each\n    container: {{image: busybox, command: [\"true\"]}}\n"
        );
        let file = home.file("wide.yaml", &text);
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > $GROUP/cgroup.procs && exec $BIN run $FILE"]);
        command.env("GROUP", &group.0).env("BIN", bin()).env("FILE", &file).env("TOWPATH_HOME", home.root());
        command.env_remove("TOWPATH_ATTEMPT").stdin(Stdio::null()).process_group(0);
        let output = command.output().expect("sh");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(home.phase("wide"), "Succeeded");
        let peak = group.number("memory.max_usage_in_bytes") >> 20;
        println!("{nodes} nodes within 256 MiB; at most {peak} MiB, files in memory included");
        println!("rounds made: {nodes}");
    }
}

/// Documents that nobody should write, from a number.
fn poison(number: usize) -> String {
    let head = format!("apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: poison-{number}}}\n");
    let one = |template: &str| format!("{head}spec:\n  entrypoint: main\n  templates:\n  - name: main\n{template}\n");
    let n = number / 16;
    match number % 16 {
        0 => one(&format!("    container: {{image: busybox, command: [\"{}\"]}}", "x".repeat(1 << (10 + n % 11)))),
        1 => format!("{head}spec: {}1{}\n", "[".repeat(100 + n * 400), "]".repeat(100 + n * 400)),
        // It calls itself until it may not.
        2 => one("    steps:\n    - - {name: again, template: main}"),
        3 => one("    steps:\n    - - {name: all, template: main, withSequence: {count: \"99999999999999999999\"}}"),
        4 => format!("{head}spec:\n  entrypoint: main\n  templates: &t\n  - name: main\n    steps: *t\n"),
        5 => one(&format!(
            "    container: {{image: busybox, command: [echo], args: [\"{{{{={}1{}}}}}\"]}}",
            "(".repeat(50 + n * 50),
            ")".repeat(50 + n * 50)
        )),
        6 => one("    container: {image: busybox, command: [echo], args: [\"{{=1/0}} {{=[1][7]}} {{=nil.x}}\"]}"),
        7 => one(
            "    retryStrategy: {limit: \"-9223372036854775808\", backoff: {duration: \"99999999999h\"}}\n    container: {image: busybox, command: [\"false\"]}",
        ),
        8 => one(
            "    activeDeadlineSeconds: -1\n    container: {image: busybox, command: [\"true\"], resources: {limits: {memory: \"-1\", cpu: 1e400}}}",
        ),
        9 => format!("{head}  labels: {{l: {}}}\nspec: {{}}\n", "y".repeat(1 << 20)).replace("}\n  labels", ", labels"),
        10 => one(
            "    dag: {tasks: [{name: a, template: main, depends: \"b\"}, {name: b, template: main, depends: \"a\"}]}",
        ),
        11 => one(&format!(
            "    dag: {{tasks: [{{name: a, template: main, depends: \"{}a{}\"}}]}}",
            "!(".repeat(10 + n * 100),
            ")".repeat(10 + n * 100)
        )),
        12 => one(
            "    container: {image: busybox, command: [sh, -c, \"head -c 3000000 /dev/urandom\"]}\n    outputs: {parameters: [{name: p, valueFrom: {path: /dev/zero}}]}",
        ),
        13 => {
            String::from_utf8_lossy(&(0..400 + n).map(|i| (i * 7 + number * 31) as u8).collect::<Vec<_>>()).into_owned()
        }
        14 => one(
            "    inputs: {artifacts: [{name: a, path: /etc, raw: {data: x}}, {name: b, path: ../../etc/passwd, raw: {data: x}}]}\n    container: {image: busybox, command: [\"true\"]}",
        ),
        _ => one(
            "    steps:\n    - - {name: a, template: main, when: \"{{=repeat('a', 999999999)}}\", withParam: \"{{=toJson(1..999999999)}}\"}",
        ),
    }
}

#[test]
fn poison_workflows_hurt_nobody_else() {
    let specs = amount(32);
    let home = Home::new();
    let gate = home.root().with_file_name("gate");
    let waits = format!("echo began\nuntil test -e {}; do sleep 0.05; done", gate.display());
    let sound = home.file("sound.yaml", &scripts("name: sound", &[("a", "", &*waits), ("b", "a", "echo after")]));
    home.ok(&["run", &sound, "--no-watch", "--profile", "trusted", "-j", "3"]);
    home.wait_for_log("sound", "began");
    let holders = home.processes("__holder");
    let mut slowest = Duration::ZERO;
    for number in 0..specs {
        let file = home.file("poison.yaml", &poison(number));
        let begun = Instant::now();
        let ran = home.run(&["run", &file, "--no-watch", "-j", "3"]);
        slowest = slowest.max(begun.elapsed());
        assert!((0..=3).contains(&ran.code) && !ran.err.contains("panicked"), "poison {number}: {ran:?}");
        // What it accepted is let run for a while, next to the others.
        if ran.code == 0 && number % 3 == 0 {
            let ended = home.run(&["terminate", &format!("poison-{number}")]);
            assert!(!ended.err.contains("panicked"), "poison {number}: {ended:?}");
        }
    }
    assert_eq!(home.processes("__holder"), holders, "the holder died of it");
    fs::write(&gate, "").expect("gate");
    assert!(home.ok(&["resume", "sound"]).contains("Succeeded"));
    let said = fs::read_to_string(home.root().join("holder.log")).unwrap_or_default();
    assert!(!said.contains("panicked"), "{said}");
    println!("the slowest was answered in {slowest:?}");
    println!("rounds made: {specs}");
}

/// Peak of resident memory of a process in bytes.
fn peak_of(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) << 10
}

#[test]
fn giants_are_refused_or_handled_within_bounds() {
    let scale = amount(1);
    let home = Home::new();
    let head = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {generateName: giant-}\nspec:\n  entrypoint: main\n  templates:\n";
    // Beyond the limit it is refused; below it is read, comments and all.
    let begun = Instant::now();
    let beyond = home.file("beyond.yaml", &"# too much\n".repeat(6 << 20));
    let ran = home.run(&["run", &beyond]);
    let took = begun.elapsed();
    assert!(ran.code == 2 && took < Duration::from_secs(5), "{took:?} {:?}", &ran.err[..ran.err.len().min(300)]);
    fs::remove_file(&beyond).expect("the big one");
    let comments = "# a comment that stands in the way\n".repeat((50 << 20) / 35);
    let big = home.file(
        "big.yaml",
        &format!("{comments}{head}  - name: main\n    container: {{image: busybox, command: [\"true\"]}}\n"),
    );
    assert!(fs::metadata(&big).expect("the big one").len() > 49 << 20);
    home.ok(&["run", &big]);
    fs::remove_file(&big).expect("the big one");
    // 100,000 of a loop, none of which has a process: what counts is what the holder makes of them.
    let (wide, deep) = if scale > 1 { (100_000, 10_000) } else { (10_000, 1_000) };
    let fan = home.file("fan.yaml", &format!(
        "{head}  - name: main\n    steps:\n    - - {{name: all, template: none, when: \"false\", withSequence: {{count: \"{wide}\"}}}}\n  - name: none\n    container: {{image: busybox, command: [\"true\"]}}\n"
    ));
    home.ok(&["run", &fan]);
    let mut chain = format!(
        "{head}  - name: none\n    container: {{image: busybox, command: [\"true\"]}}\n  - name: main\n    dag:\n      tasks:\n      - {{name: t0, template: none, when: \"false\"}}\n"
    );
    for n in 1..deep {
        chain.push_str(&format!("      - {{name: t{n}, template: none, when: \"false\", depends: t{}}}\n", n - 1));
    }
    let chain = home.file("chain.yaml", &chain);
    home.ok(&["run", &chain]);
    let peak: u64 = home.processes("__holder").into_iter().map(peak_of).max().unwrap_or(0);
    assert!(peak < 1 << 30, "{} MiB", peak >> 20);
    println!("66 MB refused in {took:?}; {wide} wide, {deep} deep: the holder had {} MiB at most", peak >> 20);
}
