//! Where the layers of an attempt's sandbox lie, and what each stands for.
//! It must never make any of them.

use std::path::{Path, PathBuf};

/// Where a sandbox shows what is ours: `home`, `source`, `cache`, `bin`.
pub const INSIDE: &str = "/towpath";

/// The directory below `scratch` with the layers (`upper`, `work`) of a host mount.
pub fn layer_of(scratch: &Path, point: &Path) -> PathBuf {
    scratch.join("mounts").join(point.to_string_lossy().replace('%', "%25").replace('/', "%2F"))
}

/// The mount point that a name made by `layer_of` stands for.
pub fn point_of(name: &str) -> PathBuf {
    PathBuf::from(name.replace("%2F", "/").replace("%25", "%"))
}

/// The directory below `scratch` with the layers of the bind number `index`.
pub fn bind_layer(scratch: &Path, index: usize) -> PathBuf {
    scratch.join(format!("in-{index}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_survives_its_name() {
        for point in ["/data", "/a/b%2Fc d"] {
            let layer = layer_of(Path::new("/s"), Path::new(point));
            assert_eq!(layer.parent(), Some(Path::new("/s/mounts")));
            let name = layer.file_name().expect("name").to_string_lossy().into_owned();
            assert_eq!(point_of(&name), Path::new(point));
        }
    }
}
