//! Where things lie: the root of this checkout, and the folder of test data beside it.
//! It must never create or change anything.

use std::path::{Path, PathBuf};

/// The root of the checkout. Asked of cargo at run time: two checkouts may share a folder of built programs.
pub fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let manifest = Path::new(&manifest);
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// The folder of test data: `TOWPATH_CORPUS`, else `shared/corpus` beside the checkout. It may be absent.
pub fn corpus() -> PathBuf {
    match std::env::var_os("TOWPATH_CORPUS") {
        Some(folder) => folder.into(),
        None => beside("corpus"),
    }
}

/// `shared/<name>` beside the checkout.
pub fn beside(name: &str) -> PathBuf {
    let root = root();
    root.parent().unwrap_or(&root).join("shared").join(name)
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}
