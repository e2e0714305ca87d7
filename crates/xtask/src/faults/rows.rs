//! The rows: numbers and names are those of the fault matrix, each with the checks that inject the fault.
//! It must never hold a check of its own: what is checked stands in the test, the simulator or the kill rounds that it names.

/// A row of the matrix.
pub struct Row {
    pub number: u8,
    pub fault: &'static str,
    pub checks: &'static [Check],
}

/// One way in which a fault is injected and its row is checked.
pub struct Check {
    pub injection: &'static str,
    pub how: How,
    /// Rounds in `cargo xtask test --all`; 0: not there.
    pub short: u64,
    pub long: u64,
}

#[derive(Clone, Copy, Debug)]
pub enum How {
    Test {
        program: Program,
        name: &'static str,
    },
    /// Seeds in which this fault is always on, whatever else was drawn.
    Simulator {
        fault: &'static str,
    },
    /// `cargo xtask kill`.
    Kills,
}

/// A test program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    pub package: &'static str,
    /// "": the tests inside the library.
    pub target: &'static str,
    pub own_harness: bool,
    /// What is driven.
    place: &'static str,
}

impl How {
    pub fn place(&self) -> &'static str {
        match self {
            Self::Test { program, .. } => program.place,
            Self::Simulator { .. } => "sim",
            Self::Kills => "real binary",
        }
    }
}

const fn program(package: &'static str, target: &'static str, place: &'static str) -> Program {
    Program { package, target, own_harness: false, place }
}

const E2E: Program = program("e2e", "it", "real binary");
const STORE: Program = program("store", "store", "store");
const STORE_INSIDE: Program = program("store", "", "store");
const POWER: Program = program("store", "power", "store");
const ASLEEP: Program = program("driver", "asleep", "pump");
const ARTIFACTS: Program = program("artifacts", "store", "artifacts");
const LOGS: Program = program("artifacts", "log", "artifacts");
const RUNNER: Program = Program { own_harness: true, ..program("executor", "local", "real runner") };
const POINTS: &str = "points::a_crash_at_any_persistence_point_loses_nothing";
const SPEC: Program = program("spec", "limits", "spec");

/// More than any of the workflows has.
const POINTS_ALL: u64 = 5_000;

const fn test(program: Program, name: &'static str, injection: &'static str, short: u64, long: u64) -> Check {
    Check { injection, how: How::Test { program, name }, short, long }
}

const fn seeds(fault: &'static str, injection: &'static str, short: u64, long: u64) -> Check {
    Check { injection, how: How::Simulator { fault }, short, long }
}

pub const ROWS: &[Row] = &[
    Row {
        number: 1,
        fault: "kill -9 of the control plane",
        checks: &[
            Check {
                injection: "SIGKILL of a random process of ours at a random moment",
                how: How::Kills,
                short: 10,
                long: 1_000,
            },
            seeds("holder-crash", "the holder dies between any two of its steps", 300, 20_000),
            test(
                E2E,
                "durability::a_killed_holder_loses_nothing_and_resume_goes_on",
                "SIGKILL of the holder, resume",
                1,
                5,
            ),
        ],
    },
    Row {
        number: 2,
        fault: "crash at every persistence point",
        checks: &[
            test(
                E2E,
                POINTS,
                "SIGKILL of whoever makes the Nth write, sync, rename, removal, message, fork or signal; 12 workflows",
                2,
                POINTS_ALL,
            ),
            seeds("crash-in-step", "the holder dies within what a step wants done", 300, 20_000),
            seeds("crash-at-commit", "the holder dies as a group is committed, before or after", 300, 20_000),
        ],
    },
    Row {
        number: 3,
        fault: "recovery size",
        checks: &[test(
            E2E,
            "pressure::a_killed_holder_takes_many_attempts_over_again",
            "SIGKILL of a holder with 150 attempts outstanding",
            1,
            3,
        )],
    },
    Row {
        number: 4,
        fault: "SIGSTOP of the leader, SIGCONT",
        checks: &[
            seeds("pause", "the holder is stopped for up to a minute while its world goes on", 300, 20_000),
            test(
                E2E,
                "asleep::a_holder_that_was_stopped_goes_on_and_stays_the_only_one",
                "SIGSTOP of the holder while a task ends and others ask",
                1,
                5,
            ),
        ],
    },
    Row {
        number: 5,
        fault: "SIGKILL of the executor",
        checks: &[
            test(E2E, "durability::what_a_killed_runner_had_is_lost_and_runs_again", "SIGKILL of the runner", 1, 10),
            seeds("runner-crash", "the runner dies at any moment", 300, 20_000),
        ],
    },
    Row {
        number: 6,
        fault: "SIGKILL of the task only",
        checks: &[
            test(RUNNER, "exit_codes_and_signals", "SIGKILL of a task's process by itself", 1, 20),
            seeds("stray-kill", "tasks are killed by somebody else", 200, 10_000),
        ],
    },
    Row {
        number: 7,
        fault: "SIGKILL of the supervisor",
        checks: &[
            test(RUNNER, "a_killed_init_is_a_lost_attempt", "SIGKILL of the sandbox's init", 1, 20),
            test(RUNNER, "attempts_die_with_their_runner", "SIGKILL of the runner; census of its processes", 1, 20),
            test(RUNNER, "what_escaped_a_dead_runner_is_swept", "SIGKILL of the runner; a daemon of the task's", 1, 20),
        ],
    },
    Row {
        number: 8,
        fault: "task forks a daemon",
        checks: &[test(RUNNER, "daemons_die_with_their_task", "setsid, nohup, double fork", 1, 20)],
    },
    Row {
        number: 9,
        fault: "task ignores SIGTERM",
        checks: &[
            test(RUNNER, "a_task_that_ignores_sigterm_is_killed_after_the_grace_time", "trap '' TERM", 1, 20),
            test(E2E, "stopping::ctrl_c_twice_ends_it_at_once", "trap '' TERM, a second Ctrl-C", 1, 10),
            seeds("task-ignores-term", "tasks ignore SIGTERM", 200, 10_000),
        ],
    },
    Row {
        number: 10,
        fault: "OOM kill of the task",
        checks: &[test(RUNNER, "a_task_over_its_memory_limit_is_told_as_oom", "memory limit of the cgroup", 1, 20)],
    },
    Row {
        number: 11,
        fault: "OOM pressure on the control plane",
        checks: &[test(
            E2E,
            "pressure::a_holder_with_little_memory_goes_on",
            "a memory group of 256 MiB around all processes; rounds are nodes of the run",
            500,
            10_000,
        )],
    },
    Row {
        number: 12,
        fault: "ENOSPC on the volume of the store",
        checks: &[
            test(STORE, "a_full_disk_refuses_and_goes_on_when_there_is_space", "a tmpfs of 512 KiB", 1, 10),
            test(STORE, "on_a_full_disk_what_is_urgent_goes_through", "a tmpfs of 2 MiB", 1, 10),
            test(
                E2E,
                "faults::work_goes_on_when_a_full_disk_has_space_again",
                "a tmpfs of 8 MiB filled while a task runs",
                1,
                5,
            ),
            test(E2E, "faults::on_a_full_disk_runs_can_be_ended_resumed_and_deleted", "a tmpfs of 12 MiB, full", 0, 2),
            seeds("disk-full", "appends are refused for a while", 300, 20_000),
        ],
    },
    Row {
        number: 13,
        fault: "ENOSPC on the artifacts, midway",
        checks: &[test(ARTIFACTS, "a_full_disk_leaves_nothing_half_written", "a small tmpfs", 1, 20)],
    },
    Row {
        number: 14,
        fault: "ENOSPC on the volume of the logs",
        checks: &[test(LOGS, "a_full_disk_costs_output_and_is_told", "a small tmpfs", 1, 20)],
    },
    Row {
        number: 15,
        fault: "no inodes left",
        checks: &[test(
            E2E,
            "pressure::without_inodes_things_end_in_words_and_work_later",
            "tmpfs with nr_inodes=400, filled while a task runs",
            1,
            3,
        )],
    },
    Row {
        number: 16,
        fault: "fsync fails once",
        checks: &[
            test(STORE_INSIDE, "worker::tests::after_a_failed_sync_nothing_is_written", "the WAL's sync fails", 1, 20),
            test(
                E2E,
                "calls::a_sync_that_fails_loses_nothing_that_was_acknowledged",
                "EIO of the Nth fsync, fdatasync or syncfs, FULL and NORMAL",
                4,
                1_000,
            ),
        ],
    },
    Row {
        number: 17,
        fault: "write fails, short write, EINTR",
        checks: &[
            test(
                E2E,
                "calls::a_write_that_fails_or_is_short_loses_nothing_that_was_acknowledged",
                "EIO, ENOSPC, EINTR or half of the Nth write",
                3,
                1_000,
            ),
            test(
                E2E,
                "calls::a_change_of_a_directory_that_fails_loses_nothing_that_was_acknowledged",
                "EIO of the Nth rename, removal, mkdir or ftruncate",
                4,
                1_000,
            ),
        ],
    },
    Row {
        number: 18,
        fault: "torn and reordered writes",
        checks: &[test(
            POWER,
            "what_was_acknowledged_survives_a_power_cut",
            "a VFS that drops, tears and reorders what was not synced; FULL and NORMAL",
            100,
            10_000,
        )],
    },
    Row {
        number: 19,
        fault: "bit flip in the store, truncated WAL",
        checks: &[
            test(STORE, "flipped_bits_are_told_or_harmless", "400 single bits of the file flipped", 1, 3),
            test(STORE, "a_truncated_store_is_told", "the file cut at six places", 1, 3),
            test(
                E2E,
                "damage::a_log_that_cannot_be_read_is_told_and_the_other_runs_go_on",
                "rows of a log changed",
                1,
                3,
            ),
        ],
    },
    Row {
        number: 20,
        fault: "corrupt artifact or log",
        checks: &[
            test(ARTIFACTS, "damage_is_found_and_told", "bytes of blobs and trees changed", 1, 20),
            test(
                ARTIFACTS,
                "what_another_boot_stored_is_verified_once_before_it_is_used",
                "blobs torn, another boot id",
                1,
                20,
            ),
            test(RUNNER, "an_input_that_a_power_cut_tore_is_not_given_to_a_task", "an input truncated", 1, 10),
            test(LOGS, "a_torn_record_waits_for_its_rest", "a segment cut within a record", 1, 20),
        ],
    },
    Row {
        number: 29,
        fault: "the wall clock jumps",
        checks: &[seeds("clock-jump", "up to 24 hours, forwards and backwards", 300, 20_000)],
    },
    Row {
        number: 30,
        fault: "sleep of the machine",
        checks: &[
            test(
                ASLEEP,
                "ten_minutes_asleep_strike_no_deadline",
                "ten minutes on a fake clock: suspended, stopped, clock set",
                1,
                1,
            ),
            test(
                E2E,
                "asleep::time_asleep_does_not_count_towards_timeouts",
                "SIGSTOP of holder, runner and tasks; deadlines of task and run",
                1,
                3,
            ),
        ],
    },
    Row {
        number: 31,
        fault: "duplicate delivery",
        checks: &[
            seeds("duplicate", "reports, wishes and frames arrive twice", 300, 20_000),
            test(RUNNER, "a_repeated_launch_starts_nothing", "the same launch twice", 1, 20),
        ],
    },
    Row {
        number: 32,
        fault: "late completion of an older attempt",
        checks: &[
            test(RUNNER, "another_epoch_is_lost", "a launch of another epoch", 1, 20),
            test(
                RUNNER,
                "an_outcome_outlives_the_runner_that_told_it",
                "an outcome told again by the next runner",
                1,
                20,
            ),
            seeds("disconnect", "outcomes arrive after the connection broke, once more", 300, 20_000),
        ],
    },
    Row {
        number: 39,
        fault: "poison workflows",
        checks: &[test(
            E2E,
            "pressure::poison_workflows_hurt_nobody_else",
            "documents of 16 kinds, while another run goes on",
            32,
            1_000,
        )],
    },
    Row {
        number: 40,
        fault: "giants",
        checks: &[
            test(SPEC, "large_files_are_refused_in_bounded_time", "files beyond the limit", 1, 3),
            test(SPEC, "many_faults_and_long_chains_stay_linear", "long chains", 1, 3),
            test(
                E2E,
                "pressure::giants_are_refused_or_handled_within_bounds",
                "66 MB refused, 50 MB read; wide and deep",
                1,
                2,
            ),
        ],
    },
    Row {
        number: 42,
        fault: "SIGTERM drain",
        checks: &[test(
            E2E,
            "asleep::sigterm_ends_the_holder_at_once_and_no_task",
            "SIGTERM of the holder while a task runs",
            1,
            5,
        )],
    },
];
