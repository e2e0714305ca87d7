//! The programs of two images that examples use and no machine has: `argosay` and `cowsay`.
//! It must never do more than the originals.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// `argosay` (docker.io/argoproj/argosay, version 2): `echo [MESSAGE [FILE]] | cat FILE… | sleep SECONDS | exit [CODE] |
/// assert_contains FILE TEXT | sh FILE`; without arguments it prints "hello argo". `cowsay` prints what it was given.
#[expect(clippy::print_stderr, reason = "a task's program: standard error is the task's")]
pub fn main(args: &[String]) -> ExitCode {
    match run(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> io::Result<u8> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        [] => say("hello argo\n")?,
        ["cowsay", ref words @ ..] => say(&format!("{}\n", words.join(" ")))?,
        ["echo"] => say("\n")?,
        ["echo", message] => say(&format!("{message}\n"))?,
        ["echo", message, file] => write(Path::new(file), &format!("{message}\n"))?,
        ["cat", ref files @ ..] => {
            for file in files {
                let content = fs::read(file).map_err(|error| crate::home::at(Path::new(file), error))?;
                io::stdout().write_all(&content)?;
            }
        }
        ["sleep", time] => std::thread::sleep(duration(time)?),
        ["exit"] => {}
        ["exit", code] => return code.parse().map_err(|_| bad(&format!("exit code {code}"))),
        ["assert_contains", file, text] => {
            let content = fs::read_to_string(file).map_err(|error| crate::home::at(Path::new(file), error))?;
            if !content.contains(text) {
                return Err(bad(&format!("{file} does not contain \"{text}\"")));
            }
        }
        ["sh", ref rest @ ..] => {
            let status = Command::new("sh").args(rest).status()?;
            return Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
        }
        [other, ..] => return Err(bad(&format!("usage: echo, cat, sleep, exit, assert_contains or sh, not {other}"))),
    }
    Ok(0)
}

fn say(text: &str) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())
}

fn write(file: &Path, message: &str) -> io::Result<()> {
    file.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(file, message).map_err(|error| crate::home::at(file, error))
}

/// Seconds, or a Go duration of one unit ("300ms", "2s", "1m").
fn duration(text: &str) -> io::Result<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let scale = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad(&format!("duration {text}"))),
    };
    let seconds = number.parse::<f64>().map_err(|_| bad(&format!("duration {text}")))? * scale;
    Duration::try_from_secs_f64(seconds).map_err(|_| bad(&format!("duration {text}")))
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argosay(args: &[&str]) -> io::Result<u8> {
        run(&args.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn files_and_exit_codes() {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("a/b");
        let file = file.to_str().expect("text");
        assert_eq!(argosay(&["echo", "hi there", file]).expect("echo"), 0);
        assert_eq!(fs::read_to_string(file).expect("file"), "hi there\n");
        assert_eq!(argosay(&["assert_contains", file, "there"]).expect("assert"), 0);
        assert!(argosay(&["assert_contains", file, "not"]).is_err());
        assert!(argosay(&["cat", "/nowhere"]).is_err());
        assert_eq!(argosay(&["exit", "7"]).expect("exit"), 7);
        assert!(argosay(&["dance"]).is_err());
    }

    #[test]
    fn durations() {
        assert_eq!(duration("300ms").expect("ms"), Duration::from_millis(300));
        assert_eq!(duration("2").expect("s"), Duration::from_secs(2));
        assert!(duration("2 fortnights").is_err());
    }
}
