//! Golden logs: what earlier builds wrote is read by this one, and folds to the same nodes. A folder a version of the events.
//! To add one: `towpath events RUN -o json` into the newest folder, and `WRITE_HISTORIES=1 cargo test -p driver` for its nodes.

use driver::encode::{decode, encode};
use std::fs;
use std::path::{Path, PathBuf};
use views::History;

fn logs() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("histories");
    let versions = fs::read_dir(root).expect("histories").map(|entry| entry.expect("folder").path());
    let files =
        versions.flat_map(|folder| fs::read_dir(folder).expect("folder")).map(|entry| entry.expect("file").path());
    let mut logs: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).collect();
    logs.sort();
    logs
}

/// The run's end and each node, a line each.
fn told(history: &History) -> String {
    let mut told = format!("run {} {:?}\n", history.phase.map_or("", model::RunPhase::as_str), history.message);
    for node in &history.nodes {
        let exits: Vec<String> = node.attempts.iter().map(|attempt| format!("{:?}", attempt.exit)).collect();
        let (kind, phase) = (node.kind.as_str(), node.phase.as_str());
        told.push_str(&format!("{} {kind} {phase} {:?} {}\n", node.name, node.message, exits.join(" ")));
    }
    told
}

#[test]
fn logs_of_earlier_builds_are_read() {
    let logs = logs();
    assert!(logs.len() >= 3, "the golden logs are gone");
    for path in logs {
        let lines = fs::read(&path).expect("log");
        let entries: Vec<Vec<u8>> =
            lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
        let events = decode("golden", 0, &entries).expect("an old log is read by every later build");
        let state = engine::fold(&events);
        assert!(state.is_ended(), "{}", path.display());
        assert_eq!(engine::outstanding(&state), [model::Command::Ended], "{}", path.display());
        let history = History::fold(&events);
        let nodes = path.with_extension("nodes");
        if std::env::var_os("WRITE_HISTORIES").is_some() {
            fs::write(&nodes, told(&history)).expect("write");
        }
        assert_eq!(told(&history), fs::read_to_string(&nodes).expect("nodes"), "{}", path.display());
        let again: Vec<Vec<u8>> = events.iter().map(|event| encode(event).expect("encode")).collect();
        assert_eq!(decode("golden", 0, &again).expect("decode"), events, "{}", path.display());
    }
}
