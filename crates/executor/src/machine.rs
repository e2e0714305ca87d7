//! What this machine has: cpus, memory, GPUs, and which of the sandbox's building blocks.
//! It must never change anything: what the runner really gets is in its notices.

use crate::runner;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What admission counts with, and what people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Cpus that this process may use.
    pub cpus: u32,
    /// Memory that this process may use: the machine's, or its cgroup's limit.
    pub memory_bytes: u64,
    /// Real ones, or `TOWPATH_GPUS`.
    pub gpus: u32,
    pub gpu_maker: GpuMaker,
    pub cgroup: CgroupVersion,
    pub namespaces: NamespaceKind,
    pub overlay: bool,
}

/// Whose devices they are: it says by which variable they are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuMaker {
    /// Also where there are none, or they are made up.
    Nvidia,
    Amd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    V1,
    V2,
    /// None that we may write.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceKind {
    Root,
    User,
    None,
}

/// Looks at this machine.
pub fn machine() -> Machine {
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let (gpus, gpu_maker) = gpus();
    Machine {
        cpus,
        memory_bytes: memory_bytes(),
        gpus,
        gpu_maker,
        cgroup: cgroup(),
        namespaces: namespaces(),
        overlay: fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.contains("\toverlay\n")),
    }
}

/// What this build does not give on any machine: one line each, nothing in the usual build on Linux.
pub fn lacking() -> &'static [&'static str] {
    runner::LACKING
}

fn memory_bytes() -> u64 {
    let total = runner::memory_bytes().unwrap_or(1 << 30);
    // In a container the limit of the whole is seen at the root of the hierarchy.
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let limit = limits.iter().find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    limit.map_or(total, |limit| total.min(limit))
}

fn gpus() -> (u32, GpuMaker) {
    if let Some(made_up) = std::env::var("TOWPATH_GPUS").ok().and_then(|text| text.trim().parse().ok()) {
        return (made_up, GpuMaker::Nvidia);
    }
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let cards = fs::read_dir("/proc/driver/nvidia/gpus").map(Iterator::count).unwrap_or(0);
    if cards > 0 {
        return (count(cards), GpuMaker::Nvidia);
    }
    // Under WSL there is a device and no driver to look at.
    if ["/dev/dxg", "/dev/nvidiactl"].iter().any(|path| Path::new(path).exists())
        && let Ok(output) = Command::new("nvidia-smi").arg("-L").stdin(Stdio::null()).stderr(Stdio::null()).output()
        && output.status.success()
    {
        let listed = String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with("GPU ")).count();
        return (count(listed), GpuMaker::Nvidia);
    }
    // Cpus are nodes of this topology as well, without a GPU's id.
    let nodes = fs::read_dir("/sys/class/kfd/kfd/topology/nodes").into_iter().flatten().flatten();
    let ids = nodes.filter_map(|node| fs::read_to_string(node.path().join("gpu_id")).ok());
    let cards = ids.filter(|id| id.trim().parse::<u64>().is_ok_and(|id| id != 0)).count();
    (count(cards), if cards > 0 { GpuMaker::Amd } else { GpuMaker::Nvidia })
}

fn cgroup() -> CgroupVersion {
    let writable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    if !lacking().is_empty() {
        return CgroupVersion::None;
    }
    if writable(Path::new("/sys/fs/cgroup/memory")) {
        return CgroupVersion::V1;
    }
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let base = Path::new("/sys/fs/cgroup");
    let memory = fs::read_to_string(base.join("cgroup.controllers")).is_ok_and(|text| text.contains("memory"));
    if memory && (writable(&base.join(path)) || writable(base)) { CgroupVersion::V2 } else { CgroupVersion::None }
}

fn namespaces() -> NamespaceKind {
    let forbidden = std::env::var_os("TOWPATH_NO_NAMESPACES").is_some_and(|value| value == "1");
    if forbidden || !lacking().is_empty() {
        return NamespaceKind::None;
    }
    if rustix::process::geteuid().is_root() && has_admin() {
        return NamespaceKind::Root;
    }
    let setting = |path: &str| fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u64>().ok());
    let refused = setting("/proc/sys/kernel/unprivileged_userns_clone") == Some(0)
        || setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1)
        || setting("/proc/sys/user/max_user_namespaces").unwrap_or(0) == 0;
    if refused { NamespaceKind::None } else { NamespaceKind::User }
}

fn has_admin() -> bool {
    const SYS_ADMIN: u64 = 21;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    effective.is_some_and(|mask| mask >> SYS_ADMIN & 1 == 1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_has_something() {
        let machine = super::machine();
        assert!(machine.cpus >= 1 && machine.memory_bytes > 1 << 20);
    }
}
