use super::*;
use std::path::Path;

fn interpreter() -> Interpreter {
    Interpreter { path: "/usr/bin/python3".into(), version: "3.11.2".into(), platform: "linux-x86_64".into() }
}

fn list(wanted: &[&str]) -> Vec<String> {
    wanted.iter().map(ToString::to_string).collect()
}

#[test]
fn the_key_knows_neither_order_nor_repetition_nor_how_the_interpreter_was_asked_for() {
    let home = Home::new(Path::new("/h"));
    let dir = |wanted: &[&str]| Site::new(&home, &interpreter(), &list(wanted)).dir;
    assert_eq!(dir(&["a==1", "b"]), dir(&["b", "a==1 ", "b", "python==3.11"]));
    assert_ne!(dir(&["a==1"]), dir(&["a==2"]));
}

#[test]
fn a_killed_build_is_made_again_and_a_complete_one_is_not() {
    let dir = tempfile::tempdir().expect("dir");
    let home = Home::new(dir.path());
    let (python, variables) = (Python::default(), Variables::default());
    // Without requirements nothing is fetched: only the environment itself is made.
    let wanted = list(&["# nothing"]);
    let path = directory(&home, &python, &wanted).expect("python3");
    fs::create_dir_all(path.join("lib")).expect("half");
    fs::write(path.join("lib/left-over"), "x").expect("half");
    let workshop = Workshop { home: &home, python: &python, variables: &variables, tell: &|_| {} };
    let lock = workshop.prepare(&RunId("r".into()), &wanted).expect("an environment");
    assert!(!path.join("lib/left-over").exists() && path.join("bin/python").exists());
    assert_eq!(lock.requirements, wanted);
    fs::write(path.join("kept"), "x").expect("mark");
    let silent = Workshop { tell: &|_| panic!("nothing to tell"), ..workshop };
    assert_eq!(silent.ensure(&wanted).expect("there"), path);
    assert!(path.join("kept").exists());
    workshop.prepare(&RunId("r".into()), &wanted).expect("again");

    let kept = kept::list(&home);
    let [one] = &kept[..] else { panic!("one environment, not {}", kept.len()) };
    let made = one.made.as_ref().expect("complete");
    assert_eq!((&one.runs, &made.requirements), (&vec![RunId("r".into())], &wanted));
    assert!(one.bytes > 1000 && made.python.starts_with('3'));
    kept::remove(&home, &one.key, false).expect("removed");
    assert!(kept::list(&home).is_empty() && !path.exists());
}
