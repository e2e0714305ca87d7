//! What a power cut may have damaged: everything that was stored before the machine last started and was not looked at since.
//! It must never judge content: it only says what has to be looked at.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Since when things in a store were stored by the kernel that runs now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Boot {
    since: SystemTime,
}

/// This kernel's life; "" where the system does not tell: then nothing is ever suspected.
pub(crate) fn id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

impl Boot {
    /// Looks at what the store at `root` has recorded, and records another boot from now on. A store without a record is new.
    pub fn of(root: &Path, id: &str) -> Self {
        let path = root.join("boot");
        let recorded = fs::read_to_string(&path).ok();
        let of_record = recorded.as_deref().and_then(|text| {
            let (known, since) = text.trim().split_once(' ')?;
            Some((known, UNIX_EPOCH + Duration::from_micros(since.parse().ok()?)))
        });
        match of_record {
            Some((known, since)) if known == id => Self { since },
            _ if id.is_empty() => Self { since: UNIX_EPOCH },
            // A record that is torn was written before the power cut as well.
            _ => {
                let since = if recorded.is_some() { SystemTime::now() } else { UNIX_EPOCH };
                let micros = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
                let new = path.with_extension(format!("new-{}", std::process::id()));
                // Without a record everything is suspect again at the next open: slower, not wrong.
                let _ = fs::write(&new, format!("{id} {micros}\n")).and_then(|()| fs::rename(&new, &path));
                Self { since }
            }
        }
    }

    /// Whether what lies at `path` has to be looked at before it is used.
    pub fn suspects(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).is_ok_and(|at| at < self.since)
    }
}
