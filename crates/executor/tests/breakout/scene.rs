//! What attempts to break out aim at: a file, a process, sockets and the like of this machine, and whether they are as they were.

use crate::harness::{World, is_alive};
use model::Exit;
use model::attempt::{Launch, Profile};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What is printed by a script that got through where it should not.
const THROUGH: &str = "through";

pub struct Scene {
    pub world: World,
    sleeper: Child,
    _listeners: Vec<UnixListener>,
    /// Files outside of the world's directory.
    outside: Vec<PathBuf>,
    segment: Option<String>,
    before: Look,
}

/// What an attempt could have changed.
#[derive(Debug, PartialEq)]
struct Look {
    victim: Option<(String, u32, u32, u32, i64, Vec<u8>)>,
    names: Vec<String>,
    null: (u32, u32, i64),
    is_sleeper_alive: bool,
    is_runner_alive: bool,
    cpuinfo: u32,
}

/// In what language a script is.
#[derive(Clone, Copy)]
pub enum Script {
    Sh(&'static str),
    Python(&'static str),
}

impl Scene {
    pub fn new() -> Self {
        let world = World::new();
        let dir = world.dir.path();
        let victim = dir.join("victim");
        std::fs::write(&victim, "before").expect("victim");
        std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o640)).expect("mode");
        std::fs::create_dir(dir.join("mnt")).expect("mnt");
        symlink(world.home(), dir.join("alias")).expect("alias");
        let sleeper = Command::new("/bin/sleep").arg("1000").stdout(Stdio::null()).spawn().expect("sleep");
        let mark = dir.file_name().expect("name").to_string_lossy().into_owned();
        let sockets = [dir.join("socket"), Path::new("/run").join(&mark)];
        let listeners = sockets.iter().filter_map(|path| UnixListener::bind(path).ok()).collect();
        let mut outside = vec![sockets[1].clone()];
        for place in ["/dev/shm", "/tmp"] {
            let path = Path::new(place).join(&mark);
            std::fs::File::create(&path).and_then(|mut file| file.write_all(b"secret")).expect("a file outside");
            outside.push(path);
        }
        let before = Look::new(&world, sleeper.id() as i32);
        Self { world, sleeper, _listeners: listeners, outside, segment: segment(), before }
    }

    /// A launch of a script that knows what it aims at.
    pub fn launch(&mut self, profile: Profile, script: Script) -> Launch {
        let mut launch = match script {
            Script::Sh(text) => self.world.sh(profile, &format!("{SHELL}{text}\necho end")),
            Script::Python(text) => {
                let mut launch = self.world.sh(profile, "exec /usr/bin/python3 -ISc \"$CODE\"");
                launch.env.push(("CODE".into(), format!("{PYTHON}{text}\nprint('end')\n")));
                launch
            }
        };
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let outside = self.outside.iter().map(|path| text(path)).collect::<Vec<_>>();
        let values = [
            ("VICTIM", self.world.path("victim")),
            ("HOST_DIR", text(self.world.dir.path())),
            ("HOME_DIR", text(&self.world.home())),
            ("SOCKETS", format!("{} {}", self.world.path("socket"), outside[0])),
            ("HOST_SHM", outside[1].clone()),
            ("HOST_TMP", outside[2].clone()),
            ("SEGMENT", self.segment.clone().unwrap_or_default()),
            ("SLEEPER", self.sleeper.id().to_string()),
            ("RUNNER", self.world.runner_pid().to_string()),
            ("RUNNER_PROGRAM", text(&std::env::current_exe().expect("this program"))),
        ];
        launch.env.extend(values.map(|(name, value)| (name.to_owned(), value)));
        launch
    }

    /// Makes the attempt. How it got through, if it did.
    pub fn attempt(&mut self, launch: &Launch) -> Option<String> {
        let outcome = self.world.run(launch);
        let said = outcome.result.clone().unwrap_or_default();
        let log = self.world.log(&launch.key);
        if said.contains(THROUGH) {
            return Some(said);
        }
        let now = Look::new(&self.world, self.sleeper.id() as i32);
        if now != self.before {
            return Some(format!("{:?} became {now:?}", self.before));
        }
        assert_eq!(outcome.exit, Exit::Exited(0), "{outcome:?}\n{log}");
        assert!(said.ends_with("end"), "the script did not get to its end:\n{log}");
        None
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.sleeper.kill();
        let _ = self.sleeper.wait();
        for path in &self.outside {
            let _ = std::fs::remove_file(path);
        }
        if let Some(segment) = &self.segment {
            let _ = Command::new("ipcrm").args(["-m", segment]).stderr(Stdio::null()).status();
        }
    }
}

impl Look {
    fn new(world: &World, sleeper: i32) -> Self {
        let path = world.dir.path().join("victim");
        let victim = std::fs::read_to_string(&path).ok().and_then(|text| {
            let meta = std::fs::metadata(&path).ok()?;
            let mut names = vec![0; 256];
            let length = rustix::fs::listxattr(&path, &mut names[..]).unwrap_or(0);
            names.truncate(length);
            Some((text, meta.mode(), meta.uid(), meta.gid(), meta.mtime(), names))
        });
        let entries = std::fs::read_dir(world.dir.path()).expect("dir").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        let null = std::fs::metadata("/dev/null").expect("/dev/null");
        Self {
            victim,
            names,
            null: (null.mode(), null.uid(), null.ctime()),
            is_sleeper_alive: is_alive(sleeper),
            is_runner_alive: is_alive(world.runner_pid()),
            cpuinfo: std::fs::metadata("/proc/cpuinfo").map_or(0, |meta| meta.mode()),
        }
    }
}

/// A System V segment of the machine.
fn segment() -> Option<String> {
    let made = Command::new("ipcmk").args(["-M", "64"]).output().ok()?;
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    said.split_whitespace().last().map(String::from)
}

const SHELL: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; exec 2> /dev/null\n";

const PYTHON: &str = r#"
import ctypes, errno, fcntl, glob, os, platform, resource, socket, stat, struct, sys
c = ctypes.CDLL(None, use_errno=True)
c.syscall.restype = ctypes.c_long
arm = platform.machine() == 'aarch64'
E = os.environ
REFUSED = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS)
def through(*what):
    print('through', *what, flush=True)
def system(x86, a64, *args):
    ctypes.set_errno(0)
    args = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    got = c.syscall(ctypes.c_long(a64 if arm else x86), *args)
    return got, ctypes.get_errno()
# A call that has an error other than a refusal was not refused.
def refused(what, got, other=()):
    result, error = got
    if result >= 0 or error not in REFUSED + tuple(other):
        through(what, result, errno.errorcode.get(error, error))
def attempt(what, deed):
    try:
        deed()
    except (OSError, ValueError):
        return
    through(what)
"#;
