//! Golden logs with every kind of damage that decodes: what the check lets pass can be folded, by the engine and for people.

use driver::encode::decode;
use driver::soundness::check;
use model::event::Recorded;
use model::{Event, NodeId, TemplateId};
use std::fs;
use std::path::Path;
use views::History;

fn logs() -> Vec<Vec<Recorded>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("histories/v1");
    let files = fs::read_dir(root).expect("histories").map(|entry| entry.expect("file").path());
    let logs = files.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    logs.map(|path| {
        let lines = fs::read(path).expect("log");
        let entries = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        decode("golden", 0, &entries.map(<[u8]>::to_vec).collect::<Vec<_>>()).expect("events")
    })
    .collect()
}

/// Everything that reads a log.
fn read(events: &[Recorded]) {
    let state = engine::fold(events);
    engine::outstanding(&state);
    (0..state.nodes().len()).for_each(|node| drop(engine::explain(&state, NodeId(node as u32))));
    let history = History::fold(events);
    serde_json::to_writer(std::io::sink(), &views::workflow(&history)).expect("an object");
    let mut row = views::rows::RunRow::default();
    events.iter().for_each(|event| row.apply(event));
    row.change();
}

/// Another node or template in place of the event's own.
fn misdirect(event: &mut Event, node: u32) {
    let id = NodeId(node);
    match event {
        Event::NodeAdded(added) => match node % 5 {
            0 => added.node = id,
            1 => added.boundary = Some(id),
            2 => added.place = model::event::Placement::Under(id),
            3 => added.template = Some(TemplateId(node)),
            _ => {
                if let Some(site) = &mut added.site {
                    (site.group, site.task) = (node, node);
                }
            }
        },
        Event::AttemptStarted { node, .. } | Event::AttemptAdded { node, .. } | Event::RetryDelayed { node, .. } => {
            *node = id;
        }
        Event::AttemptEnded(ended) => ended.node = id,
        Event::NodeEnded(ended) => ended.node = id,
        Event::LoopOpened(opened) => (opened.node, opened.task) = (id, node),
        Event::RunReopened(event) => match node % 4 {
            0 => event.open = vec![id],
            1 => event.open.push(id),
            2 => event.reset.truncate(node as usize % 3),
            _ => event.plan.templates.truncate(node as usize % 5),
        },
        Event::RunCreated(record) => record.plan.entrypoint = TemplateId(node),
        _ => {}
    }
}

#[test]
fn whatever_passes_the_check_can_be_folded() {
    let (mut passed, mut refused) = (0_u32, 0_u32);
    for log in logs() {
        assert_eq!(check(&log), Ok(()));
        let mut look = |damaged: &[Recorded]| match check(damaged) {
            Ok(()) => {
                passed += 1;
                read(damaged);
            }
            Err(unsound) => {
                assert!((unsound.number as usize) < damaged.len(), "{unsound:?}");
                refused += 1;
            }
        };
        for at in 0..log.len() {
            look(&log[..at]);
            let mut damaged = log.clone();
            damaged.remove(at);
            look(&damaged);
            let mut damaged = log.clone();
            damaged.insert(at, log[at].clone());
            look(&damaged);
            for other in [at + 1, at + 2, at + 7, 0] {
                let mut damaged = log.clone();
                damaged.swap(at, other.min(log.len() - 1));
                look(&damaged);
            }
            for node in (0..12).chain([u32::MAX - 1]) {
                let mut damaged = log.clone();
                misdirect(&mut damaged[at].event, node);
                look(&damaged);
            }
        }
    }
    assert!(passed > 100 && refused > 100, "{passed} passed, {refused} were refused");
}

#[test]
fn a_log_without_its_beginning_is_refused() {
    let log = &logs()[0];
    let error = check(&log[1..]).expect_err("it begins late");
    assert!(error.number == 0 && error.what.contains("RunCreated"), "{error:?}");
}
