//! Where a store may lie.
//! It must never open the database's file: closing it would drop the locks that SQLite holds in this process.

use crate::error::StoreError;
use std::path::Path;

/// An error if `path`, or the nearest directory above it that exists, is on a network file system: locks and shared
/// memory do not work there. FUSE is let through: it is local as often as not.
pub fn refuse_network_file_system(path: &Path) -> Result<(), StoreError> {
    let Some(existing) = path.ancestors().find(|dir| dir.exists()) else { return Ok(()) };
    match network_kind(existing) {
        Some(kind) => Err(StoreError::NetworkFileSystem { path: existing.to_owned(), kind }),
        None => Ok(()),
    }
}

#[cfg(target_os = "linux")]
fn network_kind(path: &Path) -> Option<&'static str> {
    rustix::fs::statfs(path).ok().and_then(|stat| kind_of_magic(stat.f_type as u32))
}

#[cfg(not(target_os = "linux"))]
fn network_kind(_: &Path) -> Option<&'static str> {
    None
}

/// The magic numbers of statfs(2) and linux/magic.h.
#[cfg(target_os = "linux")]
fn kind_of_magic(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x0102_1997 => "9p",
        0x00c3_6400 => "Ceph",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "BeeGFS",
        0x564c => "NCP",
        0x7375_7245 => "Coda",
        0x7461_636f => "OCFS2",
        0x0116_1970 => "GFS2",
        0x786f_4256 => "a VirtualBox shared folder",
        _ => return None,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn local_disks_pass_and_network_disks_do_not() {
        let dir = tempfile::tempdir().unwrap();
        refuse_network_file_system(&dir.path().join("not/yet/there")).unwrap();
        assert_eq!(kind_of_magic(0x6969), Some("NFS"));
        assert_eq!(kind_of_magic(0xff53_4d42), Some("SMB"));
        // ext4, tmpfs, overlay.
        assert!([0xef53, 0x0102_1994, 0x794c_7630].iter().all(|magic| kind_of_magic(*magic).is_none()));
    }
}
