//! What lies in a home: artifacts against their digests, and what nobody needs any more.
//! It must never change anything, nor know more of the layout than README and docs tell.

use std::fs;
use std::path::{Path, PathBuf};

/// Blobs and trees whose content is not what their name says.
pub fn damaged_artifacts(home: &Path) -> Vec<String> {
    let artifacts = home.join("artifacts");
    let mut wrong = Vec::new();
    for shard in entries(&artifacts.join("blobs")) {
        for blob in entries(&shard) {
            if digest(&blob) != name(&blob) {
                wrong.push(format!("{} holds something else", blob.display()));
            }
        }
    }
    for tree in entries(&artifacts.join("trees")) {
        let manifest = tree.join("manifest");
        if digest(&manifest) != name(&tree) {
            wrong.push(format!("{} holds something else", manifest.display()));
        }
        // `f DIGEST BYTES PATH`, an x behind the f where it may be executed.
        for line in fs::read_to_string(&manifest).unwrap_or_default().lines().filter(|line| line.starts_with('f')) {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let file = tree.join("tree").join(words[3]);
            if digest(&file) != words[1] {
                wrong.push(format!("{} holds something else", file.display()));
            }
        }
    }
    wrong
}

/// What a home at rest should not hold.
pub fn leftovers(home: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for dir in ["artifacts/tmp", "attempts.trash", "outcomes", "variables", "sandboxes"] {
        found.extend(entries(&home.join(dir)));
    }
    for run in entries(&home.join("attempts")) {
        found.extend(entries(&run));
    }
    found.extend(entries(home).into_iter().filter(|path| {
        let name = name(path);
        name.ends_with(".half") || name.contains(".new-") || name.ends_with(".sock")
    }));
    found.into_iter().map(|path| path.display().to_string()).collect()
}

fn digest(path: &Path) -> String {
    fs::read(path).map_or_else(|error| error.to_string(), |bytes| blake3::hash(&bytes).to_hex().to_string())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
