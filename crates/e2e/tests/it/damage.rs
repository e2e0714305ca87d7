//! A home with a log that cannot be read: it is told, by name, and the other runs go on.

use crate::harness::{Home, scripts, wait};
use std::process::{Command, Stdio};

/// Does SQL to the log of a run. False: this machine's Python has no SQLite that is new enough.
fn damage(home: &Home, run: &str, sql: &str) -> bool {
    const PROGRAM: &str = "import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
log, = db.execute('SELECT l.log FROM logs l JOIN rows_runs r ON r.id = l.id WHERE r.name = ?', (sys.argv[2],)).fetchone()
for statement in sys.argv[3].split(';'):
    db.execute(statement, {'log': log} if ':log' in statement else {})
db.commit()
";
    let store = home.root().join("store.db");
    let mut python = Command::new("python3");
    python.args(["-c", PROGRAM]).arg(store).args([run, sql]).stdin(Stdio::null());
    let Ok(output) = python.output() else { return false };
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || err.contains("malformed") || err.contains("no module"), "{err}");
    output.status.success()
}

const FIRST_GONE: &str = "DELETE FROM entries WHERE log = :log AND seq = 0";
/// As if nothing had ever been there.
const BEGINS_LATE: &str = "DELETE FROM entries WHERE log = :log AND seq = 0;\
     UPDATE entries SET seq = seq - 1000000 WHERE log = :log;\
     UPDATE entries SET seq = seq + 999999 WHERE log = :log;\
     UPDATE logs SET length = length - 1 WHERE log = :log";
const CUT: &str = "UPDATE entries SET body = substr(body, 1, length(body) - 5) WHERE log = :log AND seq = 2";
const NEWER: &str = "UPDATE logs SET version = 99 WHERE log = :log";

#[test]
fn a_log_that_cannot_be_read_is_told_and_the_other_runs_go_on() {
    let home = Home::new();
    let kinds = [("first-gone", FIRST_GONE), ("begins-late", BEGINS_LATE), ("cut", CUT), ("newer", NEWER)];
    let gate = home.root().with_file_name("gate");
    let waits = format!("echo began\nwhile ! test -e {}; do sleep 0.05; done\necho passed", gate.display());
    for (name, _) in kinds.iter().chain(&[("sound", "")]) {
        let text = scripts(&format!("name: {name}"), &[("a", "", waits.as_str())]);
        let file = home.file(&format!("{name}.yaml"), &text);
        home.ok(&["run", &file, "--profile", "trusted", "--no-watch", "-j", "8"]);
        home.wait_for_log(name, "began");
    }
    home.kill_holder();
    for (name, sql) in kinds {
        if !damage(&home, name, sql) {
            return eprintln!("skipped: python3 has no SQLite that reads this store");
        }
    }
    let id_of = |name: &str| {
        let list = home.ok(&["list", "-o", "json"]);
        let runs: serde_json::Value = serde_json::from_str(&list).expect("JSON");
        let of_name = |run: &&serde_json::Value| run["name"] == name;
        runs.as_array().expect("runs").iter().find(of_name).expect("the run")["id"].as_str().expect("id").to_string()
    };
    let tells = |args: &[&str], name: &str| {
        let ran = home.run(args);
        assert_eq!(ran.code, 3, "{args:?}: {ran:?}");
        assert!(!ran.err.contains("panicked"), "{args:?}: {ran:?}");
        assert!(ran.err.contains(&format!("run {}", id_of(name))), "{args:?}: {ran:?}");
    };
    for (name, _) in kinds {
        for command in ["get", "events", "explain", "resume", "logs"] {
            tells(&[command, name], name);
        }
    }
    // The holder that comes now leaves them alone, and goes on with the other one.
    std::fs::write(&gate, "").expect("gate");
    // (Its only task may have ended before it was resumed.)
    home.ok(&["resume", "sound"]);
    assert!(home.ok(&["get", "sound"]).contains("succeeded"));
    for (name, _) in kinds {
        tells(&["resume", name], name);
        let stopped = home.run(&["stop", name]);
        assert!(stopped.code != 0 && stopped.err.contains("run "), "{stopped:?}");
    }
    let other = home.file("other.yaml", &scripts("name: other", &[("a", "", "echo hi")]));
    home.ok(&["run", &other]);
    let told = std::fs::read_to_string(home.root().join("holder.log")).expect("what the holder said");
    assert!(!told.contains("panicked"), "{told}");
    for (name, _) in kinds {
        assert!(told.contains(&id_of(name)), "{name}: {told}");
        home.ok(&["delete", name]);
    }
    let left = home.ok(&["list"]);
    assert!(left.contains("other") && left.contains("sound") && !left.contains("begins-late"), "{left}");
    wait("the end of the holder", || home.processes("__holder").is_empty().then_some(()));
}
