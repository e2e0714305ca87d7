//! What a seed turns on: the faults, how often they come, how slow things are, who the clients are (swarm testing).
//! It must never be changed after it was drawn: it is printed with the seed.

use crate::rng::Rng;
use model::Time;
use std::fmt;

pub const MS: i64 = 1000;
pub const SECOND: i64 = Time::SECOND_US;

/// Spans in microseconds; means of 0 and chances of 0 turn a fault off.
#[derive(Clone, Debug)]
pub struct Options {
    pub runs: usize,
    pub slots: u32,
    pub cpu_millis: u64,
    /// The holder goes on by itself after a restart (`towpath server`).
    pub server: bool,
    pub commit_us: (i64, i64),
    pub link_us: (i64, i64),
    /// Staging and collecting.
    pub disk_work_us: (i64, i64),
    /// How long the holder lets its inbox fill.
    pub batching_us: i64,
    /// Attempts that will have a place within this time are handed to the runner ahead.
    pub window_us: i64,
    /// Mean times between faults.
    pub holder_crash_us: i64,
    pub runner_crash_us: i64,
    pub reboot_us: i64,
    pub disconnect_us: i64,
    pub disk_full_us: i64,
    pub clock_jump_us: i64,
    pub pause_us: i64,
    pub stray_kill_us: i64,
    /// Chances in a thousand: of a crash in the middle of what a step wants done, ...
    pub crash_in_step: u32,
    /// ... of a crash when a group is being committed, ...
    pub crash_at_commit: u32,
    /// ... of a repeated report, wish or frame, ...
    pub duplicate: u32,
    /// ... of an environment that cannot be built, of an attempt that cannot be staged.
    pub stage_fails: u32,
    /// The run is stopped, terminated.
    pub stop: u32,
    pub terminate: u32,
    /// A replayed call that asks for something else.
    pub diverge: u32,
    /// Crash once more at the end of the faults.
    pub crash_last: bool,
    /// How long the faults last.
    pub safety_us: i64,
    /// A task fails, hangs, ignores SIGTERM.
    pub task_fails: u32,
    pub task_hangs: u32,
    pub task_ignores_term: u32,
    pub task_us: (i64, i64),
}

impl Options {
    pub fn draw(rng: &mut Rng) -> Self {
        let mut mean =
            |on: u32, low: i64, high: i64| if rng.per_mille(on) { rng.between(low, high) * SECOND } else { 0 };
        let holder_crash_us = mean(550, 3, 30);
        let runner_crash_us = mean(350, 5, 40);
        let reboot_us = mean(150, 10, 60);
        let disconnect_us = mean(350, 3, 30);
        let disk_full_us = mean(300, 5, 30);
        let clock_jump_us = mean(300, 5, 40);
        let pause_us = mean(250, 5, 40);
        let stray_kill_us = mean(250, 3, 30);
        let mut chance =
            |on: u32, low: i64, high: i64| if rng.per_mille(on) { rng.between(low, high) as u32 } else { 0 };
        let (crash_in_step, crash_at_commit) = (chance(250, 2, 25), chance(250, 2, 25));
        let (duplicate, stage_fails) = (chance(400, 10, 300), chance(250, 5, 80));
        let (stop, terminate, diverge) = (chance(300, 100, 900), chance(300, 100, 900), chance(400, 50, 400));
        let (task_fails, task_hangs, task_ignores_term) =
            (chance(700, 20, 350), chance(350, 5, 80), chance(400, 50, 900));
        let slow = rng.per_mille(300);
        Self {
            runs: rng.between(1, 3) as usize,
            slots: rng.between(1, 6) as u32,
            cpu_millis: rng.between(1, 8) as u64 * 1000,
            server: rng.per_mille(350),
            commit_us: if slow { (MS, 900 * MS) } else { (100, 20 * MS) },
            link_us: if rng.per_mille(300) { (100, 800 * MS) } else { (50, 3 * MS) },
            disk_work_us: if rng.per_mille(250) { (MS, 3 * SECOND) } else { (100, 30 * MS) },
            batching_us: *rng.pick(&[10, MS, 50 * MS]),
            window_us: *rng.pick(&[0, 200 * MS, 30 * SECOND]),
            holder_crash_us,
            runner_crash_us,
            reboot_us,
            disconnect_us,
            disk_full_us,
            clock_jump_us,
            pause_us,
            stray_kill_us,
            crash_in_step,
            crash_at_commit,
            duplicate,
            stage_fails,
            stop,
            terminate,
            diverge,
            crash_last: rng.flip(),
            safety_us: rng.between(10, 90) * SECOND,
            task_fails,
            task_hangs,
            task_ignores_term,
            task_us: if rng.flip() { (MS, 400 * MS) } else { (10 * MS, 12 * SECOND) },
        }
    }
}

/// What can be made sure of in every seed, whatever else was drawn.
pub const FAULTS: [&str; 12] = [
    "holder-crash",
    "runner-crash",
    "reboot",
    "disconnect",
    "disk-full",
    "clock-jump",
    "pause",
    "stray-kill",
    "crash-in-step",
    "crash-at-commit",
    "duplicate",
    "task-ignores-term",
];

impl Options {
    /// Turns one of `FAULTS` on where it was not drawn. False: there is no such fault.
    pub fn turn_on(&mut self, fault: &str) -> bool {
        let (mean, chance) = match fault {
            "holder-crash" => (Some(&mut self.holder_crash_us), None),
            "runner-crash" => (Some(&mut self.runner_crash_us), None),
            "reboot" => (Some(&mut self.reboot_us), None),
            "disconnect" => (Some(&mut self.disconnect_us), None),
            "disk-full" => (Some(&mut self.disk_full_us), None),
            "clock-jump" => (Some(&mut self.clock_jump_us), None),
            "pause" => (Some(&mut self.pause_us), None),
            "stray-kill" => (Some(&mut self.stray_kill_us), None),
            "crash-in-step" => (None, Some((&mut self.crash_in_step, 12))),
            "crash-at-commit" => (None, Some((&mut self.crash_at_commit, 12))),
            "duplicate" => (None, Some((&mut self.duplicate, 150))),
            "task-ignores-term" => (None, Some((&mut self.task_ignores_term, 500))),
            _ => return false,
        };
        if let Some(mean) = mean.filter(|mean| **mean == 0) {
            *mean = 8 * SECOND;
        }
        if let Some((chance, on)) = chance.filter(|(chance, _)| **chance == 0) {
            *chance = on;
        }
        true
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut on = Vec::new();
        for (name, us) in [
            ("holder-crash", self.holder_crash_us),
            ("runner-crash", self.runner_crash_us),
            ("reboot", self.reboot_us),
            ("disconnect", self.disconnect_us),
            ("disk-full", self.disk_full_us),
            ("clock-jump", self.clock_jump_us),
            ("pause", self.pause_us),
            ("stray-kill", self.stray_kill_us),
        ] {
            if us > 0 {
                on.push(format!("{name}/{}s", us / SECOND));
            }
        }
        for (name, chance) in [
            ("crash-in-step", self.crash_in_step),
            ("crash-at-commit", self.crash_at_commit),
            ("duplicate", self.duplicate),
            ("stage-fails", self.stage_fails),
            ("stop", self.stop),
            ("terminate", self.terminate),
            ("diverge", self.diverge),
            ("task-fails", self.task_fails),
            ("task-hangs", self.task_hangs),
            ("task-ignores-term", self.task_ignores_term),
        ] {
            if chance > 0 {
                on.push(format!("{name} {chance}\u{2030}"));
            }
        }
        write!(
            f,
            "{} runs, {} slots, {} cpus, {}, faults for {} s, commit {:?} us, link {:?} us, staging {:?} us, tasks {:?} us, \
             batching {} us, ahead {} ms{}: {}",
            self.runs,
            self.slots,
            self.cpu_millis / 1000,
            if self.server { "server" } else { "holder on demand" },
            self.safety_us / SECOND,
            self.commit_us,
            self.link_us,
            self.disk_work_us,
            self.task_us,
            self.batching_us,
            self.window_us / MS,
            if self.crash_last { ", a last crash" } else { "" },
            if on.is_empty() { "no faults".to_string() } else { on.join(", ") }
        )
    }
}
