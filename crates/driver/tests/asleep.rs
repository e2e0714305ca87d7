//! The machine sleeps for ten minutes, on clocks that the test holds: nothing that has a deadline fails for it.

use driver::pump::{In, Out, Pump};
use driver::steady::Steady;
use engine::admission::Capacity;
use model::event::Recorded;
use model::input::Epoch;
use model::{Event, Input, RunId, Time};

const S: i64 = Time::SECOND_US;

struct World {
    pump: Pump,
    steady: Steady,
    wall: i64,
    monotonic: i64,
    log: Vec<Recorded>,
}

impl World {
    /// Looks at the clocks after `busy` seconds of waiting, as the holder's loop does, and commits at once.
    fn look(&mut self, busy: i64) -> Vec<Out> {
        let us = self.steady.look(Time(self.wall), self.monotonic, busy * S);
        let inputs = if us > 0 { vec![In::Slept { us }] } else { Vec::new() };
        self.step(inputs)
    }

    fn step(&mut self, mut inputs: Vec<In>) -> Vec<Out> {
        let mut all = Vec::new();
        while !inputs.is_empty() || all.is_empty() {
            let outs = self.pump.step(self.steady.at(Time(self.wall)), 1, std::mem::take(&mut inputs));
            for out in &outs {
                if let Out::Append(batch) = out {
                    self.log.extend(batch.appends.iter().flat_map(|append| append.events.iter().cloned()));
                    inputs.push(In::Committed(batch.id));
                }
            }
            all.extend(outs);
            all.push(Out::Answer { ticket: 0, result: Ok(()) });
        }
        all
    }

    fn has(&self, wanted: fn(&Event) -> bool) -> bool {
        self.log.iter().any(|recorded| wanted(&recorded.event))
    }
}

/// The record of a golden log, with deadlines.
fn record() -> model::record::RunRecord {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/histories/v1/stopped.jsonl");
    let log = std::fs::read(path).expect("a log");
    let first = log.split(|byte| *byte == b'\n').next().expect("a line").to_vec();
    let events = driver::encode::decode("golden", 0, &[first]).expect("events");
    let Some(Recorded { event: Event::RunCreated(record), .. }) = events.into_iter().next() else {
        panic!("a log begins with its run")
    };
    let mut record = *record;
    record.plan.active_deadline_s = Some(60);
    record
}

#[test]
fn ten_minutes_asleep_strike_no_deadline() {
    // The machine was suspended, its processes were stopped, or its clock was set forward.
    for (wall, monotonic) in [(600, 0), (600, 600), (600, 1)] {
        let mut record = record();
        record.created_at = Time(1_000 * S);
        record.id = RunId("sleeps".into());
        let (run, start) = (record.id.clone(), Time(1_000 * S));
        let capacity = Capacity { slots: 2, cpu_millis: 2000, memory_bytes: 1 << 30, gpus: 0 };
        let mut world = World {
            pump: Pump::new(capacity, 0),
            steady: Steady::start(start, 0),
            wall: start.0,
            monotonic: 0,
            log: Vec::new(),
        };
        let submit = In::Wish { ticket: 1, run, input: Input::Submit(Box::new(record)) };
        world.step(vec![In::Connected { epoch: Epoch("e".into()), known: Vec::new() }, submit]);
        (world.wall, world.monotonic) = (world.wall + 10 * S, world.monotonic + 10 * S);
        world.look(10);
        (world.wall, world.monotonic) = (world.wall + (wall + 1) * S, world.monotonic + (monotonic + 1) * S);
        world.look(1);
        assert!(world.has(|event| matches!(event, Event::Slept { us } if *us >= 599 * S)), "{:?}", world.log.last());
        assert!(!world.has(|event| matches!(event, Event::DeadlineExceeded)), "{wall} {monotonic}");
        // Awake it strikes in its time: 60 s, of which 11 were over.
        for _ in 0..48 {
            (world.wall, world.monotonic) = (world.wall + S, world.monotonic + S);
            world.look(1);
        }
        assert!(!world.has(|event| matches!(event, Event::DeadlineExceeded)), "{wall} {monotonic}");
        for _ in 0..3 {
            (world.wall, world.monotonic) = (world.wall + S, world.monotonic + S);
            world.look(1);
        }
        assert!(world.has(|event| matches!(event, Event::DeadlineExceeded)), "{wall} {monotonic}");
    }
}

/// The client stamps its record by the wall clock, which may say another time than that of the runs.
#[test]
fn a_deadline_counts_in_the_time_of_the_runs_whatever_the_clients_clock_said() {
    for ahead in [-3600, 0, 3600] {
        let mut record = record();
        record.created_at = Time((10_000 + ahead) * S);
        record.id = RunId("stamped".into());
        let run = record.id.clone();
        let start = Time(10_000 * S);
        let capacity = Capacity { slots: 2, cpu_millis: 2000, memory_bytes: 1 << 30, gpus: 0 };
        let steady = Steady::start(start, 0);
        let mut world = World { pump: Pump::new(capacity, 0), steady, wall: start.0, monotonic: 0, log: Vec::new() };
        world.step(vec![In::Wish { ticket: 1, run, input: Input::Submit(Box::new(record)) }]);
        for second in 1..=61 {
            (world.wall, world.monotonic) = (world.wall + S, world.monotonic + S);
            world.look(1);
            let struck = world.has(|event| matches!(event, Event::DeadlineExceeded));
            assert_eq!(struck, second >= 60, "{ahead}: after {second} s");
        }
    }
}
