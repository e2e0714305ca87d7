//! Limits and usage by control groups, version 1 or 2, where we may write them (DESIGN §5).
//! It must never move a process that is not a task of ours.
//!
//! Only an attempt with limits gets a group of its own: moving a process into one costs a grace period of the kernel.

use model::attempt::Amounts;
use model::{AttemptKey, Usage};
use rustix::fd::OwnedFd;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Microseconds in which a cpu quota counts.
const PERIOD_US: u64 = 100_000;

/// What this machine offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroups {
    /// Our parent directories in the hierarchies of memory, cpu and cpuacct (the last two may be one).
    V1 { memory: PathBuf, cpu: Option<PathBuf>, cpuacct: Option<PathBuf> },
    /// Our parent directory.
    V2 { parent: PathBuf },
    /// Why not.
    None(String),
}

/// The group of one attempt.
#[derive(Debug)]
pub struct Cgroup {
    dirs: Vec<PathBuf>,
    v2: bool,
}

/// What a group knows about its attempt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    pub oom: bool,
    pub usage: Usage,
}

impl Cgroups {
    /// Looks for a hierarchy in which we may make groups. Nothing is made before the first attempt that needs it.
    pub fn find(home_hash: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let name = format!("towpath-{home_hash}");
        Self::v1(&mounts, &own, &name)
            .or_else(|| Self::v2(&mounts, &own, &name))
            .unwrap_or_else(|| Self::None("no memory cgroup of this machine is writable for us".into()))
    }

    fn v1(mounts: &str, own: &str, name: &str) -> Option<Self> {
        let parent = |controller: &str| {
            let has = |list: &str| list.split(',').any(|c| c == controller);
            let path = own.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                fields.next().filter(|list| has(list))?;
                fields.next()
            })?;
            let base = below_mount(mounts, "cgroup", path, has)?;
            rustix::fs::access(&base, rustix::fs::Access::WRITE_OK).ok()?;
            Some(base.join(name))
        };
        let memory = parent("memory")?;
        Some(Self::V1 { memory, cpu: parent("cpu"), cpuacct: parent("cpuacct") })
    }

    fn v2(mounts: &str, own: &str, name: &str) -> Option<Self> {
        let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        // Controllers cannot be handed down from a group that has processes, except from the root.
        [path, "/"].into_iter().find_map(|path| {
            let base = below_mount(mounts, "cgroup2", path, |_| true)?;
            let control = base.join("cgroup.subtree_control");
            let _ = fs::write(&control, "+memory +cpu").or_else(|_| fs::write(&control, "+memory"));
            let handed_down = fs::read_to_string(&control).ok()?;
            handed_down.split_whitespace().find(|controller| *controller == "memory")?;
            rustix::fs::access(&base, rustix::fs::Access::WRITE_OK).ok()?;
            let parent = base.join(name);
            Some(Self::V2 { parent })
        })
    }

    /// For a notice; `None` where limits are enforced.
    pub fn problem(&self) -> Option<String> {
        let Self::None(why) = self else { return None };
        Some(format!("cpu limits are not enforced and memory limits only by RLIMIT_DATA: {why}"))
    }

    /// Removes groups that an earlier runner left, with the processes in them.
    pub fn sweep(&self) {
        let mut parents = self.parents();
        parents.dedup();
        for parent in parents {
            for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    kill_members(&entry.path());
                    let _ = fs::remove_dir(entry.path());
                }
            }
        }
    }

    /// Removes our parents, unless an attempt is still in them.
    pub fn close(&self) {
        for parent in self.parents() {
            let _ = fs::remove_dir(parent);
        }
    }

    fn make_parents(&self) -> io::Result<()> {
        self.parents().into_iter().try_for_each(make)?;
        if let Self::V2 { parent } = self {
            let control = parent.join("cgroup.subtree_control");
            fs::write(&control, "+memory").map_err(|error| crate::home::at(&control, error))?;
            // Not delegated everywhere.
            let _ = fs::write(&control, "+cpu");
        }
        Ok(())
    }

    fn parents(&self) -> Vec<&Path> {
        match self {
            Self::V1 { memory, cpu, cpuacct } => {
                [Some(memory), cpu.as_ref(), cpuacct.as_ref()].into_iter().flatten().map(PathBuf::as_path).collect()
            }
            Self::V2 { parent } => vec![parent],
            Self::None(_) => Vec::new(),
        }
    }

    /// A group for an attempt with limits, and its opened `cgroup.procs`, by which the task joins. `None`: no limits, or no
    /// groups on this machine.
    ///
    /// # Errors
    /// A limit is refused; then there is no group.
    pub fn create(&self, key: &AttemptKey, limits: &Amounts) -> io::Result<Option<(Cgroup, Vec<OwnedFd>)>> {
        if limits.memory_bytes.is_none() && limits.cpu_millis.is_none() {
            return Ok(None);
        }
        let name = format!("{:08x}-{}-{}", model::ids::fnv32a(key.run.0.as_bytes()), key.node.0, key.n);
        let mut dirs: Vec<PathBuf> = self.parents().into_iter().map(|parent| parent.join(&name)).collect();
        dirs.dedup();
        if dirs.is_empty() {
            return Ok(None);
        }
        self.make_parents()?;
        let cgroup = Cgroup { dirs, v2: matches!(self, Self::V2 { .. }) };
        match cgroup.set_up(self, &name, limits) {
            Ok(procs) => Ok(Some((cgroup, procs))),
            Err(error) => {
                cgroup.remove();
                Err(error)
            }
        }
    }
}

impl Cgroup {
    fn set_up(&self, all: &Cgroups, name: &str, limits: &Amounts) -> io::Result<Vec<OwnedFd>> {
        for dir in &self.dirs {
            make(dir)?;
        }
        let write = |dir: &Path, file: &str, value: String| {
            let path = dir.join(file);
            fs::write(&path, value).map_err(|error| crate::home::at(&path, error))
        };
        match all {
            Cgroups::V1 { memory, cpu, .. } => {
                if let Some(bytes) = limits.memory_bytes {
                    let memory = memory.join(name);
                    write(&memory, "memory.limit_in_bytes", bytes.to_string())?;
                    // Absent without swap accounting.
                    let _ = write(&memory, "memory.memsw.limit_in_bytes", bytes.to_string());
                }
                if let (Some(millis), Some(cpu)) = (limits.cpu_millis, cpu) {
                    write(&cpu.join(name), "cpu.cfs_quota_us", quota_us(millis).to_string())?;
                }
            }
            Cgroups::V2 { parent } => {
                let dir = parent.join(name);
                if let Some(bytes) = limits.memory_bytes {
                    write(&dir, "memory.max", bytes.to_string())?;
                    let _ = write(&dir, "memory.swap.max", "0".into());
                    let _ = write(&dir, "memory.oom.group", "1".into());
                }
                if let Some(millis) = limits.cpu_millis {
                    // Absent where the cpu controller is not delegated.
                    let _ = write(&dir, "cpu.max", format!("{} {PERIOD_US}", quota_us(millis)));
                }
            }
            Cgroups::None(_) => {}
        }
        let open = |dir: &PathBuf| {
            let path = dir.join("cgroup.procs");
            fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .map(OwnedFd::from)
                .map_err(|error| crate::home::at(&path, error))
        };
        self.dirs.iter().map(open).collect()
    }

    /// What was used. After the end, before `remove`.
    pub fn account(&self) -> Account {
        let number = |file: &str| {
            self.dirs.iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok()?.trim().parse::<u64>().ok())
        };
        let field = |file: &str, name: &str| {
            self.dirs.iter().find_map(|dir| field_of(&fs::read_to_string(dir.join(file)).ok()?, name))
        };
        let (kills, peak, cpu_us) = if self.v2 {
            (field("memory.events", "oom_kill"), number("memory.peak"), field("cpu.stat", "usage_usec"))
        } else {
            let cpu_us = number("cpuacct.usage").map(|ns| ns / 1000);
            (field("memory.oom_control", "oom_kill"), number("memory.max_usage_in_bytes"), cpu_us)
        };
        let usage = Usage { cpu_us: cpu_us.unwrap_or(0), memory_peak_bytes: peak.unwrap_or(0) };
        Account { oom: kills.unwrap_or(0) > 0, usage }
    }

    /// Kills what is still in the group.
    pub fn kill(&self) {
        if let Some(dir) = self.dirs.first() {
            kill_members(dir);
        }
    }

    /// True when the group is gone; processes that are still dying keep it.
    pub fn remove(&self) -> bool {
        let gone = |dir: &PathBuf| match fs::remove_dir(dir) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        // All of them, even if the first is not gone.
        self.dirs.iter().filter(|dir| !gone(dir)).count() == 0
    }
}

fn quota_us(millis: u64) -> u64 {
    // The kernel's smallest quota is a millisecond.
    (millis.saturating_mul(PERIOD_US) / 1000).max(1000)
}

fn kill_members(dir: &Path) {
    if fs::write(dir.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    // Some rounds, against processes that fork while they are being killed.
    for _ in 0..20 {
        let members = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
        let members: Vec<i32> = members.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 1).collect();
        if members.is_empty() {
            return;
        }
        members.into_iter().for_each(|pid| super::sys::signal(pid, libc::SIGKILL));
    }
}

fn make(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(crate::home::at(dir, error)),
        _ => Ok(()),
    }
}

/// "name value" lines.
fn field_of(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().parse().ok())
}

/// The directory of the group `path` in the hierarchy of this type whose options have a wanted controller.
fn below_mount(mountinfo: &str, kind: &str, path: &str, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        if right.next()? != kind || !wanted(right.nth(1)?) {
            return None;
        }
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        // In a container the mount shows only a part of the hierarchy.
        let path = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        Some(Path::new(point).join(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 /docker/abc /cg2 rw - cgroup2 cgroup2 rw,nsdelegate
";

    #[test]
    fn the_directory_of_a_group_is_found() {
        let has = |name: &'static str| move |list: &str| list.split(',').any(|c| c == name);
        let find = |kind, path, name| below_mount(MOUNTS, kind, path, has(name));
        assert_eq!(find("cgroup", "/a/b", "memory"), Some("/sys/fs/cgroup/memory/a/b".into()));
        assert_eq!(find("cgroup", "/", "cpuacct"), Some("/sys/fs/cgroup/cpu,cpuacct/".into()));
        assert_eq!(find("cgroup", "/", "pids"), None);
        assert_eq!(below_mount(MOUNTS, "cgroup2", "/docker/abc/x", |_| true), Some("/cg2/x".into()));
    }

    #[test]
    fn fields_are_read() {
        assert_eq!(field_of("low 0\noom 3\noom_kill 2\n", "oom_kill"), Some(2));
        assert_eq!(field_of("usage_usec 12\n", "nr"), None);
    }

    #[test]
    fn a_tiny_quota_is_raised_to_what_the_kernel_takes() {
        assert_eq!((quota_us(500), quota_us(2_500), quota_us(1)), (50_000, 250_000, 1_000));
    }

    /// What the kernel would find in the files of a group: both versions, on directories that stand for hierarchies.
    #[test]
    fn limits_are_written_and_what_was_used_is_read_in_both_versions() {
        let dir = tempfile::tempdir().expect("dir");
        let at = |name: &str| dir.path().join(name);
        let key = AttemptKey { run: model::RunId("r".into()), node: model::NodeId(3), n: 1 };
        let limits = Amounts { cpu_millis: Some(1500), memory_bytes: Some(64 << 20), gpus: None };
        let group = format!("{:08x}-3-1", model::ids::fnv32a(b"r"));
        let read = |path: &str| {
            let (parent, file) = path.split_once('/').expect("a file of a hierarchy");
            fs::read_to_string(at(parent).join(&group).join(file)).expect(path)
        };
        let (v1, v2) = (
            Cgroups::V1 { memory: at("memory"), cpu: Some(at("cpu")), cpuacct: Some(at("cpu")) },
            Cgroups::V2 { parent: at("unified") },
        );
        for parent in ["memory", "cpu", "unified"] {
            fs::create_dir_all(at(parent).join(&group)).expect("group");
            fs::write(at(parent).join(&group).join("cgroup.procs"), "").expect("procs");
        }
        let (one, procs) = v1.create(&key, &limits).expect("made").expect("a group");
        assert_eq!(procs.len(), 2, "memory, and cpu with cpuacct");
        assert_eq!(read("memory/memory.limit_in_bytes"), "67108864");
        assert_eq!(read("cpu/cpu.cfs_quota_us"), "150000");
        let (two, procs) = v2.create(&key, &limits).expect("made").expect("a group");
        assert_eq!(procs.len(), 1);
        let files = ["memory.max", "memory.swap.max", "memory.oom.group", "cpu.max"];
        assert_eq!(files.map(|file| read(&format!("unified/{file}"))), ["67108864", "0", "1", "150000 100000"]);
        for (parent, file, text) in [
            ("memory", "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
            ("memory", "memory.max_usage_in_bytes", "67108864\n"),
            ("cpu", "cpuacct.usage", "2500000000\n"),
            ("unified", "memory.events", "low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\n"),
            ("unified", "memory.peak", "67108864\n"),
            ("unified", "cpu.stat", "usage_usec 2500000\nuser_usec 1\n"),
        ] {
            fs::write(at(parent).join(&group).join(file), text).expect("file");
        }
        for account in [one.account(), two.account()] {
            assert!(account.oom);
            assert_eq!((account.usage.cpu_us, account.usage.memory_peak_bytes), (2_500_000, 64 << 20));
        }
    }

    #[test]
    fn without_groups_it_is_said_and_nothing_is_made() {
        let none = Cgroups::None("no memory cgroup of this machine is writable for us".into());
        let key = AttemptKey { run: model::RunId("r".into()), node: model::NodeId(3), n: 1 };
        let limits = Amounts { memory_bytes: Some(1), ..Amounts::default() };
        assert!(none.create(&key, &limits).expect("nothing to do").is_none());
        let said = none.problem().expect("a notice");
        assert!(said.contains("cpu limits are not enforced and memory limits only by RLIMIT_DATA"), "{said}");
    }
}
