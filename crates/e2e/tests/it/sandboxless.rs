//! A machine that lets nobody make namespaces: here a seccomp program around all of Towpath refuses them.

use crate::harness::{Home, bin, node, scripts};
use std::process::{Command, Stdio};

const FORBID: &str = r#"
import ctypes, os, platform, struct, sys
program = sys.argv[1:]
arm = platform.machine() == 'aarch64'
LD, JEQ, JSET, RET = 0x20, 0x15, 0x45, 0x06
def refuse(error): return (RET, 0, 0, 0x50000 | error)
ALLOW = (RET, 0, 0, 0x7fff0000)
steps = [(LD, 0, 0, 0)]
clone, unshare = (220, 97) if arm else (56, 272)
steps += [(JEQ, 0, 1, unshare), refuse(1), (JEQ, 0, 1, 435), refuse(38)]
steps += [(JEQ, 0, 4, clone), (LD, 0, 0, 16), (JSET, 0, 1, 0x7e020000), refuse(1), ALLOW, ALLOW]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
class Program(ctypes.Structure): _fields_ = [('length', ctypes.c_ushort), ('code', ctypes.c_void_p)]
c = ctypes.CDLL(None, use_errno=True)
c.prctl(38, 1, 0, 0, 0)
made = c.prctl(22, 2, ctypes.byref(Program(len(steps), ctypes.addressof(code))), 0, 0)
if made: sys.exit('no seccomp: %d' % ctypes.get_errno())
os.execv(program[0], program)
"#;

fn without_namespaces(home: &Home, args: &[&str]) -> (i32, String) {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-ISc", FORBID]).arg(bin()).args(args).stdin(Stdio::null());
    command.env("TOWPATH_HOME", home.root()).env_remove("TOWPATH_ATTEMPT").env("NO_COLOR", "1");
    let ran = command.output().expect("python3");
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn where_namespaces_are_forbidden_tasks_of_one_path_take_turns_and_the_run_says_so() {
    let home = Home::new();
    let shared = tempfile::tempdir().expect("a directory");
    let dir = shared.path().display();
    // Each finds its own value, though all write the same path of the machine; `meet` and `met` can only end together.
    let writer = |name: &str| format!("echo {name} > {dir}/out\nsleep 0.2\ncat {dir}/out");
    let meeting = |me: &str, other: &str| {
        format!("touch {dir}/{me}\nwhile [ ! -e {dir}/{other} ]; do sleep 0.01; done\necho {me} > {dir}/{me}-out")
    };
    let (one, two, three) = (writer("one"), writer("two"), writer("three"));
    let (meet, met) = (meeting("meet", "met"), meeting("met", "meet"));
    let tasks = [
        ("one", &one, "out"),
        ("two", &two, "out"),
        ("three", &three, "out"),
        ("meet", &meet, "meet-out"),
        ("met", &met, "met-out"),
    ];
    let listed: Vec<(&str, &str, &str)> = tasks.iter().map(|(name, script, _)| (*name, "", script.as_str())).collect();
    let mut text = scripts("generateName: w-", &listed);
    for (name, _, out) in tasks {
        let head = format!("  - name: {name}\n");
        let outputs = format!("    outputs: {{parameters: [{{name: v, valueFrom: {{path: {dir}/{out}}}}}]}}\n");
        let at = text.rfind(&head).expect("the template") + head.len();
        text.insert_str(at, &outputs);
    }
    let file = home.file("w.yaml", &text);
    let (code, said) = without_namespaces(&home, &["run", &file, "-j", "5"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("runs as trusted") && said.contains("one after the other"), "{said}");
    let object = home.object();
    for name in ["one", "two", "three"] {
        assert_eq!(node(&object, name)["outputs"]["parameters"][0]["value"], name, "{object}");
    }
    // Nothing is silently dropped: what cannot be weakened is refused.
    let (code, said) = without_namespaces(&home, &["run", &file, "--profile", "strict"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("profile strict needs sandboxes"), "{said}");
}
