//! The root of a sandbox: the machine's files under private overlays, devices, and what an attempt is given (DESIGN §5).
//! It must never be laid by a process that goes on to do anything else than be the sandbox's init.

use super::layers;
use super::mounts::{self, HostMount};
use super::sandbox::Sandboxes;
use super::sys::{self, Namespaces};
use model::runner::{Bind, BindKind};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

impl Sandboxes {
    /// Turns the calling process's namespaces into a sandbox.
    pub(super) fn build(&self, scratch: &Path, binds: &[Bind]) -> Result<(), String> {
        if self.kind == Namespaces::User {
            map_user()?;
        }
        rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .map_err(|error| format!("making mounts private: {error}"))?;
        let root = self.base.join("root");
        match self.kind {
            Namespaces::Root => {
                let lower = [self.base.join("layer"), PathBuf::from("/")];
                overlay(&lower, &scratch.join("upper"), &scratch.join("work"), &root, self.kind)?;
            }
            Namespaces::User => {
                make_base(&self.base, self.kind)?;
                self.overlay_each_directory(scratch, &root)?;
            }
        }
        let mut laid = self.clone_mounts(scratch, binds)?;
        enter(&root)?;
        // /dev, /tmp and the like first, what the attempt is given last, over the hidden home.
        let (given, own) = (laid.split_off(laid.len() - binds.len()), laid);
        own.into_iter().try_for_each(|(mount, to)| lay(mount.as_fd(), &to))?;
        self.system_mounts()?;
        self.hide_home(|| given.into_iter().try_for_each(|(mount, to)| lay(mount.as_fd(), &to)))
    }

    /// In a user namespace an overlay on `/` itself is refused, one for each directory in it is not.
    fn overlay_each_directory(&self, scratch: &Path, root: &Path) -> Result<(), String> {
        let top = scratch.join("root");
        fs::create_dir_all(&top).map_err(|error| format!("{}: {error}", top.display()))?;
        rustix::mount::mount_bind(&top, root).map_err(|error| format!("{}: {error}", top.display()))?;
        let entries = fs::read_dir("/").map_err(|error| format!("/: {error}"))?;
        for entry in entries.flatten() {
            let (name, from, to) = (entry.file_name(), entry.path(), root.join(entry.file_name()));
            let Ok(kind) = entry.file_type() else { continue };
            if matches!(name.to_str(), Some("proc" | "sys" | "dev" | "tmp")) {
                continue;
            }
            if kind.is_symlink() {
                let _ = fs::read_link(&from).and_then(|target| symlink(target, &to));
            } else if kind.is_dir() {
                fs::create_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
                let (upper, work) = (scratch.join("upper").join(&name), scratch.join("work").join(&name));
                if overlay(std::slice::from_ref(&from), &upper, &work, &to, self.kind).is_err() {
                    let _ = clone_mount(&from, true, true).and_then(|mount| move_to(mount.as_fd(), &to));
                }
            }
        }
        for directory in ["proc", "sys", "dev", "tmp"] {
            fs::create_dir_all(root.join(directory)).map_err(|error| format!("{directory}: {error}"))?;
        }
        for ours in ["towpath", "argo"] {
            let (from, to) = (self.base.join("layer").join(ours), root.join(ours));
            fs::create_dir_all(&to).map_err(|error| format!("{ours}: {error}"))?;
            overlay(&[from], &scratch.join("upper").join(ours), &scratch.join("work").join(ours), &to, self.kind)?;
        }
        Ok(())
    }

    /// Copies of mounts that are laid into the sandbox after the change of root, when the paths they came from are gone.
    fn clone_mounts(&self, scratch: &Path, binds: &[Bind]) -> Result<Vec<(OwnedFd, PathBuf)>, String> {
        let mut laid = Vec::with_capacity(binds.len() + 2);
        // Shared by all sandboxes, so nobody may add or remove a node; a device is written to all the same.
        laid.push((clone_mount(&self.base.join("dev"), true, self.kind == Namespaces::User)?, PathBuf::from("/dev")));
        let tmp = scratch.join("tmp");
        fs::create_dir_all(&tmp).map_err(|error| format!("{}: {error}", tmp.display()))?;
        let _ = rustix::fs::chmod(&tmp, Mode::from_raw_mode(0o1777));
        laid.push((clone_mount(&tmp, false, false)?, PathBuf::from("/tmp")));
        if self.kind == Namespaces::User {
            laid.push((clone_mount(Path::new("/sys"), true, true)?, PathBuf::from("/sys")));
            // Refused where no whole /proc is in sight any more, so before the change of root.
            let slot = self.base.join("slot");
            new_mount("proc", &slot, QUIET | MountFlags::RDONLY, None)?;
            laid.push((clone_mount(&slot, false, false)?, PathBuf::from("/proc")));
            let _ = rustix::mount::unmount(&slot, UnmountFlags::DETACH);
            for mount in mounts::user_mounts() {
                if let Ok(clone) = self.clone_host_mount(scratch, &mount) {
                    laid.push((clone, mount.point));
                }
            }
        } else {
            for mount in mounts::host_mounts(&self.home) {
                // A mount that cannot be shown is not shown: less is safe.
                if let Ok(clone) = self.clone_host_mount(scratch, &mount) {
                    laid.push((clone, mount.point));
                }
            }
        }
        for (index, bind) in binds.iter().enumerate() {
            laid.push((self.clone_bind(scratch, index, bind)?, PathBuf::from(&bind.to)));
        }
        Ok(laid)
    }

    fn clone_host_mount(&self, scratch: &Path, mount: &HostMount) -> Result<OwnedFd, String> {
        if !mount.disk {
            return clone_mount(&mount.point, true, false);
        }
        let own = layers::layer_of(scratch, &mount.point);
        let lower = std::slice::from_ref(&mount.point);
        self.clone_overlay(lower, &own).or_else(|_| clone_mount(&mount.point, true, false))
    }

    fn clone_bind(&self, scratch: &Path, index: usize, bind: &Bind) -> Result<OwnedFd, String> {
        let from = Path::new(&bind.from);
        match bind.how {
            BindKind::ReadOnly => clone_mount(from, true, false),
            BindKind::Writable => clone_mount(from, false, false),
            BindKind::Overlay => self.clone_overlay(&[from.to_path_buf()], &layers::bind_layer(scratch, index)),
        }
    }

    fn clone_overlay(&self, lower: &[PathBuf], own: &Path) -> Result<OwnedFd, String> {
        let slot = self.base.join("slot");
        overlay(lower, &own.join("upper"), &own.join("work"), &slot, self.kind)?;
        let clone = clone_mount(&slot, false, false);
        let _ = rustix::mount::unmount(&slot, UnmountFlags::DETACH);
        clone
    }

    fn system_mounts(&self) -> Result<(), String> {
        if self.kind == Namespaces::Root {
            // Read-only as a whole: modes of what is in it are the machine's, and root may change them.
            new_mount("proc", "/proc", QUIET | MountFlags::RDONLY, None)?;
            new_mount("sysfs", "/sys", QUIET | MountFlags::RDONLY, None)?;
        }
        Ok(())
    }

    /// Lays an empty directory over the home, then what is bound into the sandbox, perhaps into that directory.
    fn hide_home(&self, bind: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        // Below /tmp nothing of the machine is seen anyway.
        if self.home.starts_with("/tmp") || !self.home.is_dir() {
            bind()?;
            return self.device_mounts();
        }
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        new_mount("tmpfs", &self.home, flags, Some("size=256k,mode=755"))?;
        bind()?;
        let hidden = open_mount(&self.home, OpenTreeFlags::empty())?;
        sys::make_read_only(hidden.as_fd(), false).map_err(|error| format!("hiding the home: {error}"))?;
        self.device_mounts()
    }

    fn device_mounts(&self) -> Result<(), String> {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        new_mount("tmpfs", "/dev/shm", flags, Some("mode=1777"))?;
        // As in a container; without it, queues of an earlier task could not be seen.
        new_mount("mqueue", "/dev/mqueue", QUIET, None)?;
        let options = "newinstance,ptmxmode=0666,mode=620";
        new_mount("devpts", "/dev/pts", MountFlags::NOSUID | MountFlags::NOEXEC, Some(options))
    }
}

const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// The user is root inside, as in a container, and has no power over anything of others outside.
fn map_user() -> Result<(), String> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // The ids as seen from the parent namespace; ours read as "nobody" until they are mapped.
    let status = fs::read_to_string("/proc/self/status").map_err(|error| format!("/proc/self/status: {error}"))?;
    let id = |name: &str, seen: u32| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(seen)
    };
    let (user, group) = (id("Uid:", user), id("Gid:", group));
    let write = |file: &str, text: &str| fs::write(file, text).map_err(|error| format!("{file}: {error}"));
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {user} 1"))?;
    write("/proc/self/gid_map", &format!("0 {group} 1"))
}

/// Mounts and fills the file system that the parts of a sandbox are taken from.
pub(super) fn make_base(base: &Path, kind: Namespaces) -> Result<(), String> {
    new_mount("tmpfs", base, MountFlags::NOSUID, Some("size=4m,mode=755"))?;
    let layer = base.join("layer");
    for directory in ["root", "slot", "dev/pts", "dev/shm", "dev/mqueue", "layer/towpath/home", "layer/towpath/source"]
    {
        let path = base.join(directory);
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    for directory in ["towpath/cache", "towpath/bin", "argo/staging"] {
        let path = layer.join(directory);
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    fs::write(layer.join("towpath/bin/towpath"), "").map_err(|error| format!("towpath/bin: {error}"))?;
    devices(&base.join("dev"), kind)
}

const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Nodes that vendors add for accelerators; they are shown where they are.
const DEVICE_PREFIXES: [&str; 3] = ["nvidia", "dri", "kfd"];

fn devices(dev: &Path, kind: Namespaces) -> Result<(), String> {
    let fail = |name: &str, error: io::Error| format!("/dev/{name}: {error}");
    for (name, major, minor) in DEVICES {
        let path = dev.join(name);
        let (mode, node) = (Mode::from_raw_mode(0o666), rustix::fs::makedev(major, minor));
        let made = match kind {
            Namespaces::Root => rustix::fs::mknodat(CWD, &path, rustix::fs::FileType::CharacterDevice, mode, node)
                .and_then(|()| rustix::fs::chmod(&path, mode))
                .map_err(io::Error::from),
            Namespaces::User => bind_device(&Path::new("/dev").join(name), &path),
        };
        made.map_err(|error| fail(name, error))?;
    }
    for entry in fs::read_dir("/dev").into_iter().flatten().flatten() {
        let name = entry.file_name();
        if DEVICE_PREFIXES.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            // A device that cannot be shown is missed by the task, which says so.
            let _ = bind_device(&entry.path(), &dev.join(&name));
        }
    }
    let links = [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1")];
    for (name, target) in links.into_iter().chain([("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")]) {
        symlink(target, dev.join(name)).map_err(|error| fail(name, error))?;
    }
    Ok(())
}

fn bind_device(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?
    } else {
        drop(fs::File::create(to)?)
    }
    Ok(rustix::mount::mount_bind_recursive(from, to)?)
}

fn new_mount(kind: &str, at: impl AsRef<Path>, flags: MountFlags, options: Option<&str>) -> Result<(), String> {
    let options = options.map(|text| std::ffi::CString::new(text).unwrap_or_default());
    rustix::mount::mount(kind, at.as_ref(), kind, flags, options.as_deref())
        .map_err(|error| format!("{kind} on {}: {error}", at.as_ref().display()))
}

/// An overlay whose writes go to `upper`. They are not synced when it is unmounted: what is worth keeping is synced when it is
/// collected.
fn overlay(lower: &[PathBuf], upper: &Path, work: &Path, at: &Path, kind: Namespaces) -> Result<(), String> {
    for directory in [upper, work] {
        fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    let lower = lower.iter().map(|path| escaped(path)).collect::<Vec<_>>().join(":");
    let extra = if kind == Namespaces::User { "userxattr" } else { "redirect_dir=nofollow,metacopy=off" };
    let options = format!("lowerdir={lower},upperdir={},workdir={},volatile,{extra}", escaped(upper), escaped(work));
    new_mount("overlay", at, MountFlags::empty(), Some(&options))
}

fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "\\\\").replace(',', "\\,").replace(':', "\\:")
}

fn open_mount(path: &Path, flags: OpenTreeFlags) -> Result<OwnedFd, String> {
    rustix::mount::open_tree(CWD, path, flags | OpenTreeFlags::OPEN_TREE_CLOEXEC)
        .map_err(|error| format!("{}: {error}", path.display()))
}

pub(super) fn clone_mount(path: &Path, read_only: bool, recursive: bool) -> Result<OwnedFd, String> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE;
    let deep = clone | OpenTreeFlags::AT_RECURSIVE;
    // Locked mounts below (in a user namespace) cannot be left out.
    let shallow = if recursive { None } else { open_mount(path, clone).ok() };
    let is_deep = shallow.is_none();
    let mount = shallow.map_or_else(|| open_mount(path, deep), Ok)?;
    if read_only {
        sys::make_read_only(mount.as_fd(), is_deep)
            .map_err(|error| format!("read-only {}: {error}", path.display()))?;
    }
    Ok(mount)
}

fn move_to(mount: BorrowedFd<'_>, to: &Path) -> Result<(), String> {
    rustix::mount::move_mount(mount, "", CWD, to, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|error| format!("mounting {}: {error}", to.display()))
}

/// Lays a mount at a path of the sandbox, which is made if it is not there.
fn lay(mount: BorrowedFd<'_>, to: &Path) -> Result<(), String> {
    let fail = |error: io::Error| format!("mounting {}: {error}", to.display());
    if !to.exists() {
        let kind = rustix::fs::fstat(mount).map_err(|error| fail(error.into()))?.st_mode;
        if rustix::fs::FileType::from_raw_mode(kind).is_dir() {
            fs::create_dir_all(to).map_err(fail)?;
        } else {
            to.parent().map_or(Ok(()), fs::create_dir_all).map_err(fail)?;
            fs::File::create(to).map_err(fail)?;
        }
    }
    move_to(mount, to)
}

fn enter(root: &Path) -> Result<(), String> {
    let fail = |error: rustix::io::Errno| format!("changing the root: {error}");
    rustix::process::chdir(root).map_err(fail)?;
    rustix::process::pivot_root(".", ".").map_err(fail)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(fail)?;
    rustix::process::chdir("/").map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_separators_are_escaped_for_the_overlay() {
        assert_eq!(escaped(Path::new("/a,b:c\\d")), "/a\\,b\\:c\\\\d");
    }
}
