//! What the runner and the init of a sandbox give each other: a task's descriptors one way, a report of its end the other.
//! It must never know how either is made.

use super::program::{Stage, Status};
use rustix::fd::{BorrowedFd, OwnedFd};
use std::fs;
use std::io::Read;

/// The descriptors of a task.
pub struct TaskFds<'a> {
    pub stdin: BorrowedFd<'a>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    pub cgroups: &'a [OwnedFd],
    /// `RLIMIT_DATA`, where no cgroup enforces the memory limit.
    pub data_bytes_max: Option<u64>,
    /// `RLIMIT_NOFILE` of tasks, where ours is another.
    pub files_max: Option<libc::rlimit>,
}

/// What an init had to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Ended(Status),
    /// The task was not started: where, and the errno.
    NotStarted(Stage, i32),
    /// The sandbox could not be built: why.
    NoSandbox(String),
    /// The process that would have become the task was killed before.
    KilledBeforeExec,
    /// The init was killed.
    Nothing,
}

pub const NO_EXEC: &str = "killed before exec";

impl Report {
    /// Reads the report of an init that has ended.
    pub fn read(from: OwnedFd) -> Self {
        Self::parse(&read_report(from))
    }

    fn parse(said: &str) -> Self {
        let number = |text: &str| text.parse::<i32>().unwrap_or(-1);
        match said.split_once(' ') {
            _ if said == NO_EXEC => Self::KilledBeforeExec,
            Some(("exited", code)) => Self::Ended(Status::Exited(number(code))),
            Some(("signalled", signal)) => Self::Ended(Status::Signalled(number(signal))),
            Some(("failed", rest)) => match rest.split_once(' ') {
                Some(("sandbox:", why)) => Self::NoSandbox(why.into()),
                Some((stage, errno)) => Self::NotStarted(stage_of(stage), number(errno)),
                None => Self::NoSandbox(rest.into()),
            },
            _ => Self::Nothing,
        }
    }
}

fn stage_of(name: &str) -> Stage {
    match name {
        "clone" => Stage::Clone,
        "directory" => Stage::Directory,
        "exec" => Stage::Exec,
        _ => Stage::Setup,
    }
}

/// All that an init has said, once it has ended.
pub fn read_report(from: OwnedFd) -> String {
    let mut said = String::new();
    let _ = fs::File::from(from).take(64 << 10).read_to_string(&mut said);
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_back() {
        let cases = [
            ("exited 3", Report::Ended(Status::Exited(3))),
            ("signalled 9", Report::Ended(Status::Signalled(9))),
            ("failed exec 2", Report::NotStarted(Stage::Exec, 2)),
            ("failed sandbox: overlay on /: no", Report::NoSandbox("overlay on /: no".into())),
            (NO_EXEC, Report::KilledBeforeExec),
            ("", Report::Nothing),
        ];
        for (said, report) in cases {
            assert_eq!(Report::parse(said), report);
        }
    }
}
