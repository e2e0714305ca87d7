//! Secrets of an attempt: opened when it is staged, from what the command that started the run sent along.
//! It must never write a value into a message.

use crate::variables::Variables;
use model::attempt::{Launch, Mount};
use model::plan::VolumeSource;

pub(crate) use crate::variables::is_secret;
use crate::variables::{secret, secrets};

/// Shorter values are not masked: they would blacken every line.
const MASKED_BYTES_MIN: usize = 4;

/// The Secrets of one attempt.
pub(crate) struct Secrets {
    /// Variables and their values.
    pub env: Vec<(String, String)>,
    /// What may not be seen in what the attempt prints.
    pub values: Vec<String>,
}

impl Secrets {
    /// # Errors
    /// A Secret, or a key of one, that did not come with the run.
    pub fn of(launch: &Launch, variables: &Variables) -> Result<Self, String> {
        let mut env = Vec::new();
        for (name, wanted) in &launch.secrets {
            if wanted.key.is_empty() {
                env.extend(
                    secrets(variables, &wanted.name).map(|(key, value)| (format!("{name}{key}"), value.to_owned())),
                );
                continue;
            }
            match secret(variables, &wanted.name, &wanted.key) {
                Some(value) => env.push((name.clone(), value.to_owned())),
                None if wanted.optional => {}
                None => return Err(missing(&wanted.name, &wanted.key)),
            }
        }
        let mut values: Vec<String> = env.iter().map(|(_, value)| value.clone()).collect();
        for mount in &launch.mounts {
            if matches!(mount.source, VolumeSource::Secret { .. }) {
                values.extend(files(mount, variables)?.into_iter().map(|(_, value)| value));
            }
        }
        values.retain(|value| value.len() >= MASKED_BYTES_MIN);
        Ok(Self { env, values })
    }
}

/// Names and contents of the files of a volume.
///
/// # Errors
/// A Secret, or a key of one, that did not come with the run.
pub(crate) fn files(mount: &Mount, variables: &Variables) -> Result<Vec<(String, String)>, String> {
    match &mount.source {
        VolumeSource::Files(files) => Ok(files.iter().map(|(name, text)| (name.clone(), text.clone())).collect()),
        VolumeSource::Secret { name, items, optional } => {
            let all = secrets(variables, name).map(|(key, value)| (key.to_owned(), value.to_owned()));
            if items.is_empty() {
                let all: Vec<(String, String)> = all.collect();
                let there = !all.is_empty() || *optional;
                return if there { Ok(all) } else { Err(missing(name, "")) };
            }
            let mut files = Vec::new();
            for (key, path) in items {
                match secret(variables, name, key) {
                    Some(value) => files.push((path.clone(), value.to_owned())),
                    None if *optional => {}
                    None => return Err(missing(name, key)),
                }
            }
            Ok(files)
        }
        _ => Ok(Vec::new()),
    }
}

fn missing(name: &str, key: &str) -> String {
    let what =
        if key.is_empty() { format!("the Secret {name}") } else { format!("the key {key} of the Secret {name}") };
    format!("{what} did not come with the run: start it again, with the file that defines the Secret")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(items: &[(&str, &str)], optional: bool) -> Mount {
        let items = items.iter().map(|(key, path)| ((*key).into(), (*path).into())).collect();
        let source = VolumeSource::Secret { name: "s".into(), items, optional };
        Mount { volume: "v".into(), path: "/s".into(), sub_path: String::new(), read_only: true, source }
    }

    #[test]
    fn a_secret_is_found_by_name_and_key_and_a_missing_one_is_named() {
        let mut variables = Variables(vec![("PATH".into(), "/bin".into())]);
        crate::variables::add_secret(&mut variables, "s", "key", "open sesame");
        crate::variables::add_secret(&mut variables, "s2", "key", "other");
        let all = files(&mount(&[], false), &variables);
        assert_eq!(all, Ok(vec![("key".into(), "open sesame".into())]));
        assert_eq!(files(&mount(&[("key", "a/b")], false), &variables), Ok(vec![("a/b".into(), "open sesame".into())]));
        let missing = files(&mount(&[("no", "a")], false), &variables).expect_err("there is none");
        assert!(missing.starts_with("the key no of the Secret s") && !missing.contains("sesame"), "{missing}");
        assert_eq!(files(&mount(&[("no", "a")], true), &variables), Ok(Vec::new()));
        // Where the environment is replaced, the Secrets stay.
        let mut replaced = Variables::default();
        crate::variables::take_secrets(&mut replaced, &variables);
        assert_eq!(secret(&replaced, "s", "key"), Some("open sesame"));
        assert!(is_secret(&replaced.0[0].0) && replaced.0.len() == 2);
    }
}
