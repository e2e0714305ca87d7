//! The words of a script line: quoting, parameters, outcomes.
//! It must never look at a run.

use model::artifact::{ArtifactRef, Content, Digest};
use model::node::{NamedArtifact, Parameter};
use model::{Exit, Outcome, Time};

/// Splits a line at its spaces. A part in double quotes is JSON text, wherever it begins in a word.
pub fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut rest) = (Vec::new(), None::<String>, line);
    while let Some(c) = rest.chars().next() {
        if c == '"' {
            let end = closing(rest).ok_or("a quote is not closed")?;
            let text: String = serde_json::from_str(&rest[..=end]).map_err(|error| error.to_string())?;
            word.get_or_insert_default().push_str(&text);
            rest = &rest[end + 1..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            ' ' => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Where the quote that the text begins with is closed.
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().skip(1).find_map(|(at, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })
}

fn pair(text: &str) -> Result<Parameter, String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("NAME=VALUE? {text}"))?;
    Ok(Parameter { name: name.into(), value: value.into() })
}

/// All `-p NAME=VALUE`.
pub fn parameters(words: &[String]) -> Result<Vec<Parameter>, String> {
    words.windows(2).filter(|two| two[0] == "-p").map(|two| pair(&two[1])).collect()
}

/// Takes `n=N` out of the words.
pub fn numbered(words: &[String], otherwise: u32) -> Result<(u32, Vec<String>), String> {
    let number = words.iter().find_map(|word| word.strip_prefix("n="));
    let n = number.map_or(Ok(otherwise), |n| n.parse().map_err(|_| format!("n={n}")))?;
    Ok((n, words.iter().filter(|word| !word.starts_with("n=")).cloned().collect()))
}

pub fn lost(words: &[String], now: Time) -> Outcome {
    let why = words.iter().find(|word| *word != "unplaced").map_or("the machine restarted", String::as_str);
    Outcome::bare(Exit::Lost(why.into()), now)
}

/// An outcome by its words; exit 0 where nothing else is said.
pub fn outcome(words: &[String], now: Time) -> Result<Outcome, String> {
    let mut outcome = Outcome::bare(Exit::Exited(0), now);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<i32>().map_err(|_| format!("{word}: no number"));
        match key {
            "unplaced" => {}
            "exit" => outcome.exit = Exit::Exited(number()?),
            "signal" => outcome.exit = Exit::Signalled(number()?),
            "oom" => outcome.exit = Exit::Oom,
            "deadline" => outcome.exit = Exit::Deadline,
            "cancelled" => outcome.exit = Exit::Cancelled,
            "not-started" => outcome.exit = Exit::NotStarted(value.into()),
            "collect-error" => outcome.collect_error = Some(value.into()),
            "result" => outcome.result = Some(value.into()),
            "started" => outcome.started_at = Some(now),
            "param" => outcome.parameters.push(pair(words.next().ok_or("which parameter?")?)?),
            "artifact" => {
                let name = words.next().ok_or("which artifact?")?;
                let digest = Digest([outcome.artifacts.len() as u8; 32]);
                let artifact = Some(ArtifactRef { content: Content::Blob(digest), bytes: 1, metadata: [].into() });
                outcome.artifacts.push(NamedArtifact { name: name.clone(), path: format!("/{name}"), artifact });
            }
            _ => return Err(format!("no such outcome: {word}")),
        }
    }
    Ok(outcome)
}
