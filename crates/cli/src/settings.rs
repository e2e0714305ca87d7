//! Settings: `towpath.toml` up the directory tree, then the XDG config directory, overridden by the environment, then by flags.
//! It must never create a file.

use crate::exit_codes::Fault;
use model::attempt::Profile;
use std::path::{Path, PathBuf};
use store::Durability;

const FILE: &str = "towpath.toml";
const KEYS: [&str; 5] = ["home", "jobs", "profile", "durability", "keep"];

#[derive(Debug)]
pub struct Settings {
    pub home: PathBuf,
    /// Attempts of a run at once.
    pub jobs: Option<u32>,
    pub profile: Option<Profile>,
    pub durability: Durability,
    /// How long what tasks wrote and did not declare is kept.
    pub keep_s: u64,
}

#[derive(Debug, Default)]
struct Found {
    home: Option<PathBuf>,
    jobs: Option<u32>,
    profile: Option<Profile>,
    durability: Option<Durability>,
    keep_s: Option<u64>,
}

impl Settings {
    /// `home`: the flag.
    ///
    /// # Errors
    /// A file that is no TOML or has unknown keys; a value that is none.
    pub fn load(home: Option<&Path>) -> Result<Self, Fault> {
        let mut found = Found::default();
        for file in files() {
            found.add(&file)?;
        }
        let of_environment = std::env::var_os("TOWPATH_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = home.map(Path::to_path_buf).or(of_environment).or(found.home).or_else(default_home);
        let home =
            home.ok_or_else(|| Fault::usage("no home: neither TOWPATH_HOME nor HOME is set; give one with --home"))?;
        let home = std::path::absolute(&home).map_err(Fault::machine)?;
        Ok(Self {
            home,
            jobs: found.jobs,
            profile: found.profile,
            durability: found.durability.unwrap_or(Durability::Normal),
            keep_s: found.keep_s.unwrap_or(u64::from(model::limits::KEEP_HOURS) * 3600),
        })
    }
}

/// Nearest first: what was found is not overridden.
fn files() -> Vec<PathBuf> {
    let here = std::env::current_dir().unwrap_or_default();
    let nearest = here.ancestors().map(|dir| dir.join(FILE)).find(|file| file.is_file());
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let config = config.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    let of_user = config.map(|dir| dir.join("towpath").join("config.toml")).filter(|file| file.is_file());
    nearest.into_iter().chain(of_user).collect()
}

fn default_home() -> Option<PathBuf> {
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let data = data.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share")));
    data.map(|dir| dir.join("towpath"))
}

impl Found {
    fn add(&mut self, file: &Path) -> Result<(), Fault> {
        let at = |what: String| Fault::usage(format!("{}: {what}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| at(error.to_string()))?;
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| at(error.to_string()))?;
        for (key, value) in &table {
            let wrong = |wanted: &str| at(format!("'{key}' is {wanted}, not a {} like this", value.type_str()));
            match key.as_str() {
                "home" => {
                    let path = value.as_str().ok_or_else(|| wrong("a path"))?;
                    let base = file.parent().unwrap_or(Path::new("."));
                    self.home.get_or_insert_with(|| base.join(path));
                }
                "jobs" => {
                    let jobs = value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
                    self.jobs = self.jobs.or(Some(jobs.ok_or_else(|| wrong("a number from 1 on"))?));
                }
                "profile" => {
                    let profile = value
                        .as_str()
                        .and_then(profile)
                        .ok_or_else(|| wrong("\"trusted\", \"standard\" or \"strict\""))?;
                    self.profile = self.profile.or(Some(profile));
                }
                "durability" => {
                    let durability = match value.as_str() {
                        Some("normal") => Durability::Normal,
                        Some("full") => Durability::Full,
                        _ => return Err(wrong("\"normal\" or \"full\"")),
                    };
                    self.durability = self.durability.or(Some(durability));
                }
                "keep" => {
                    let us = value.as_str().and_then(|text| engine::retry::duration_us(text).ok());
                    let seconds = us.and_then(|us| u64::try_from(us / model::Time::SECOND_US).ok());
                    self.keep_s = self.keep_s.or(Some(seconds.ok_or_else(|| wrong("a duration like \"24h\""))?));
                }
                _ => {
                    let near = crate::runs::nearest(key, KEYS.iter().copied());
                    let help = near.map_or_else(
                        || format!("there is: {}", KEYS.join(", ")),
                        |near| format!("did you mean '{near}'?"),
                    );
                    return Err(at(format!("unknown key '{key}'; {help}")));
                }
            }
        }
        Ok(())
    }
}

/// A profile by its name on the command line.
pub fn profile(name: &str) -> Option<Profile> {
    match name {
        "trusted" => Some(Profile::Trusted),
        "standard" => Some(Profile::Standard),
        "strict" => Some(Profile::Strict),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(text: &str) -> Result<Found, Fault> {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join(FILE);
        std::fs::write(&file, text).expect("file");
        let mut found = Found::default();
        found.add(&file).map(|()| found)
    }

    #[test]
    fn keys_are_read_and_unknown_ones_are_faults() {
        let found = add("jobs = 3\nprofile = \"trusted\"\nkeep = \"90m\"\n").expect("settings");
        assert_eq!((found.jobs, found.profile, found.keep_s), (Some(3), Some(Profile::Trusted), Some(5400)));
        assert!(add("keep = 24\n").is_err() && add("keep = \"-1h\"\n").is_err());
        let fault = add("job = 3\n").expect_err("unknown");
        assert!(fault.text.ends_with("unknown key 'job'; did you mean 'jobs'?"), "{}", fault.text);
        assert!(add("jobs = 0\n").is_err() && add("profile = \"open\"\n").is_err());
    }
}
