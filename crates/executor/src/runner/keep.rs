//! Outcomes on disk: kept from the loss of a holder until another one acknowledges them.
//! It must never lose one that it said it has: a file is synced, and its directory too.

use crate::home::{Home, at};
use model::AttemptKey;
use model::runner::Ended;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

/// Version of a file.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Kept {
    version: u32,
    key: AttemptKey,
    end: Ended,
}

pub struct Outcomes {
    dir: PathBuf,
}

impl Outcomes {
    pub fn new(home: &Home) -> Self {
        Self { dir: home.outcomes() }
    }

    /// # Errors
    /// The outcome may not survive; try again.
    pub fn persist(&self, key: &AttemptKey, end: &Ended) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let kept = Kept { version: VERSION, key: key.clone(), end: end.clone() };
        let (path, half) = (self.path(key), self.path(key).with_extension("half"));
        let write = || {
            let mut file = File::create(&half)?;
            file.write_all(&serde_json::to_vec(&kept)?)?;
            file.sync_all()?;
            fs::rename(&half, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().map_err(|error| at(&path, error))
    }

    pub fn forget(&self, key: &AttemptKey) {
        // One that comes back is acknowledged again.
        let _ = fs::remove_file(self.path(key));
    }

    /// What earlier runners left. Half-written files are removed; those of newer versions stay, and are named in the answer.
    pub fn load(&self) -> (Vec<(AttemptKey, Ended)>, Vec<String>) {
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "half") {
                let _ = fs::remove_file(&path);
                continue;
            }
            match fs::read(&path)
                .map_err(|e| e.to_string())
                .and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).map_err(|error| error.to_string()))
            {
                Ok(kept) if kept.version == VERSION => found.push((kept.key, kept.end)),
                Ok(kept) => problems.push(format!("{}: written by version {}", path.display(), kept.version)),
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        (found, problems)
    }

    fn path(&self, key: &AttemptKey) -> PathBuf {
        // The key itself is in the file; the name only has to be its own.
        let run = crate::home::safe_name(&key.run.0);
        self.dir.join(format!("{run}_{}-{}.json", key.node.0, key.n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Exit, NodeId, RunId, Time, Usage};

    #[test]
    fn an_outcome_is_there_until_forgotten() {
        let dir = tempfile::tempdir().expect("dir");
        let outcomes = Outcomes::new(&Home::new(dir.path()));
        let key = AttemptKey { run: RunId("r".into()), node: NodeId(1), n: 0 };
        let end =
            Ended { exit: Exit::Exited(3), started_at: None, ended_at: Time(5), usage: Usage::default(), kept: false };
        outcomes.persist(&key, &end).expect("persist");
        fs::write(dir.path().join("outcomes/x.half"), "{").expect("half");
        assert_eq!(outcomes.load(), (vec![(key.clone(), end)], Vec::new()));
        outcomes.forget(&key);
        assert_eq!(outcomes.load(), (Vec::new(), Vec::new()));
        assert_eq!(fs::read_dir(dir.path().join("outcomes")).expect("dir").count(), 0);
    }
}
