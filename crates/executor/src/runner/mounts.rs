//! The machine's mounts as a sandbox shows them.
//! It must never mount anything.

use std::path::{Path, PathBuf};

/// A mount of the machine other than `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMount {
    pub point: PathBuf,
    /// A directory on a local disk, or one with sockets: it gets an overlay of its own. Others are shown read-only.
    pub disk: bool,
}

/// File systems that an overlay can have as its lower layer and users keep their files on.
const DISKS: [&str; 6] = ["ext4", "ext3", "xfs", "btrfs", "zfs", "f2fs"];

/// What a sandbox makes for itself.
const OWN: [&str; 5] = ["/proc", "/sys", "/dev", "/tmp", "/towpath"];

/// The mounts that sandboxes show, those above others first.
pub fn host_mounts(home: &Path) -> Vec<HostMount> {
    parse(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(), home)
}

/// Directories that get an overlay of their own in a user namespace: what lies below directories of other users cannot be
/// copied up into an overlay that begins above them.
pub fn user_mounts() -> Vec<HostMount> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.components().count() > 2);
    let mut points: Vec<PathBuf> = [Some(PathBuf::from("/var/tmp")), home].into_iter().flatten().collect();
    points.dedup();
    points.retain(|point| point.is_dir() && !OWN.iter().any(|own| point.starts_with(own)));
    points.into_iter().map(|point| HostMount { point, disk: true }).collect()
}

/// Where no task has anything to write.
const SYSTEM: [&str; 3] = ["/boot", "/run", "/snap"];

/// Directories of `/` that a user namespace can show read-only only: an overlay over one with mounts below it is refused.
pub fn read_only_for_users() -> Vec<PathBuf> {
    tops_with_mounts(&std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

fn tops_with_mounts(mountinfo: &str) -> Vec<PathBuf> {
    let points =
        mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| PathBuf::from(unescaped(point)));
    let below = points.filter(|point| point.components().count() > 2);
    let mut tops: Vec<PathBuf> = below.map(|point| point.components().take(2).collect()).collect();
    tops.retain(|top| !OWN.iter().chain(&SYSTEM).any(|other| top == Path::new(other)));
    tops.sort();
    tops.dedup();
    tops
}

fn parse(mountinfo: &str, home: &Path) -> Vec<HostMount> {
    let mut mounts: Vec<HostMount> = Vec::new();
    for line in mountinfo.lines() {
        // "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw" (proc(5)).
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(kind)) = (left.split(' ').nth(4), right.split(' ').next()) else { continue };
        let point = PathBuf::from(unescaped(point));
        let own = point == Path::new("/") || OWN.iter().any(|own| point.starts_with(own)) || point.starts_with(home);
        if own {
            continue;
        }
        mounts.retain(|mount| mount.point != point);
        let disk = (DISKS.contains(&kind) || has_sockets(&point, kind)) && point.is_dir();
        mounts.push(HostMount { point, disk });
    }
    mounts
}

/// Where services have their sockets. Seen through an overlay they are there, and nobody can connect to them; a read-only mount
/// would not hinder that.
fn has_sockets(point: &Path, kind: &str) -> bool {
    kind == "tmpfs" && point.starts_with("/run")
}

/// Spaces and the like are written as three octal digits.
fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        out.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_and_ours_left_out() {
        let text = "\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
23 22 0:5 / /proc rw - proc proc rw
24 22 8:2 / /mnt/with\\040space ro shared:3 - nfs server:/x rw
25 22 8:3 / /h/sandbox rw - tmpfs tmpfs rw
26 22 8:4 / /etc/hostname rw - ext4 /dev/sda1 rw
";
        let mounts = parse(text, Path::new("/h"));
        let points: Vec<_> = mounts.iter().map(|m| (m.point.to_str().expect("text"), m.disk)).collect();
        assert_eq!(points, [("/mnt/with space", false), ("/etc/hostname", false)]);
    }

    #[test]
    fn sockets_of_services_are_seen_through_an_overlay() {
        assert!(has_sockets(Path::new("/run/user/1000"), "tmpfs") && has_sockets(Path::new("/run"), "tmpfs"));
        assert!(!has_sockets(Path::new("/run/docker/netns/x"), "nsfs") && !has_sockets(Path::new("/mnt/x"), "tmpfs"));
    }

    #[test]
    fn a_directory_with_mounts_below_it_is_found() {
        let text = "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /data rw - ext4 b rw\n3 1 0:5 / /proc/x rw - proc c rw\n\
                    4 1 8:3 / /var/lib/x rw - ext4 d rw\n5 1 8:3 / /var/y rw - ext4 d rw\n";
        assert_eq!(tops_with_mounts(text), [Path::new("/var")]);
    }
}
