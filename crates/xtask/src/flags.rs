//! The words after the name of a chore: switches, `--name value` pairs, positional words.
//! It must never know what a flag means.

use anyhow::{Result, bail};
use std::str::FromStr;

/// Words not yet taken. A chore takes what it knows and ends with `finish`, which refuses the rest.
pub struct Flags(Vec<String>);

impl Flags {
    pub fn new(words: Vec<String>) -> Self {
        Self(words)
    }

    /// Takes a switch; true where it was given.
    pub fn switch(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|word| word != name);
        self.0.len() < before
    }

    /// Whether help is asked for.
    pub fn wants_help(&self) -> bool {
        self.0.iter().any(|word| word == "--help" || word == "-h")
    }

    /// Takes `name VALUE` or `name=VALUE`; the last one counts.
    pub fn value(&mut self, name: &str) -> Result<Option<String>> {
        let mut value = None;
        while let Some(at) =
            self.0.iter().position(|word| word == name || word.strip_prefix(name).is_some_and(|r| r.starts_with('=')))
        {
            let word = self.0.remove(at);
            value = match word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
                Some(joined) => Some(joined.to_owned()),
                None if at < self.0.len() => Some(self.0.remove(at)),
                None => bail!("{name} needs a value"),
            };
        }
        Ok(value)
    }

    /// As `value`, for numbers.
    pub fn number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.value(name)? else { return Ok(None) };
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => bail!("{name} needs a number, not {text:?}"),
        }
    }

    /// Takes the next word that is not a flag. Ask for it after all flags with values.
    pub fn positional(&mut self) -> Option<String> {
        let at = self.0.iter().position(|word| !word.starts_with("--"))?;
        Some(self.0.remove(at))
    }

    /// Refuses what nobody took.
    pub fn finish(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { bail!("unknown: {}", self.0.join(" ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> Flags {
        Flags::new(text.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn takes_switches_values_and_words() {
        let mut given = flags("dir --check --wrong 3 --table=when");
        assert!(given.switch("--check"));
        assert_eq!(given.number::<usize>("--wrong").unwrap(), Some(3));
        assert_eq!(given.value("--table").unwrap().as_deref(), Some("when"));
        assert_eq!(given.positional().as_deref(), Some("dir"));
        assert!(given.finish().is_ok());
    }

    #[test]
    fn refuses_what_is_wrong() {
        assert!(flags("--wrong x").number::<usize>("--wrong").is_err());
        assert!(flags("--wrong").value("--wrong").is_err());
        assert!(flags("--nonsense").finish().is_err());
    }
}
