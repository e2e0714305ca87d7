use super::*;
use alloc::string::ToString;
use alloc::vec;
use model::NodeId;

const GIB: u64 = 1 << 30;

fn machine(slots: u32, gpus: u32) -> Admission {
    let cpu_millis = u64::from(slots) * ONE_CPU;
    Admission::new(Capacity { slots, cpu_millis, memory_bytes: u64::from(slots) * GIB, gpus })
}

fn run(name: &str) -> RunId {
    RunId(name.to_string())
}

fn of(name: &str, node: u32) -> Place {
    let key = AttemptKey { run: run(name), node: NodeId(node), n: 0 };
    Place { key, requests: Amounts::default(), priority: 0, python_requirements: Vec::new() }
}

fn cpus(name: &str, node: u32, cpus: u64) -> Place {
    let requests = Amounts { cpu_millis: Some(cpus * ONE_CPU), ..Amounts::default() };
    Place { requests, ..of(name, node) }
}

fn gpus(name: &str, node: u32, gpus: u32) -> Place {
    let requests = Amounts { gpus: Some(gpus), ..Amounts::default() };
    Place { requests, ..of(name, node) }
}

fn urgent(place: Place, priority: i32) -> Place {
    Place { priority, ..place }
}

fn granted(admission: &mut Admission) -> Vec<u32> {
    admission.grant().into_iter().map(|grant| grant.key.node.0).collect()
}

const NOBODY: [u32; 0] = [];

#[test]
fn higher_priority_goes_first_then_age_and_what_is_too_large_is_lowered() {
    let mut admission = machine(2, 0);
    admission.wish(&of("a", 1));
    admission.wish(&cpus("a", 2, 9));
    admission.wish(&urgent(of("b", 3), 5));
    admission.wish(&urgent(of("b", 3), 5));
    assert_eq!(granted(&mut admission), [3, 1]);
    assert_eq!(granted(&mut admission), NOBODY);
    admission.release(&of("b", 3).key);
    assert_eq!(granted(&mut admission), NOBODY, "the large one needs the whole machine");
    admission.release(&of("a", 1).key);
    assert_eq!(granted(&mut admission), [2]);
}

#[test]
fn a_run_of_one_task_is_not_kept_waiting_by_a_run_of_ten_thousand() {
    for slots in [1, 2, 8] {
        let mut admission = machine(slots, 0);
        (0..10_000).for_each(|node| admission.wish(&of("wide", node)));
        assert_eq!(admission.grant().len(), slots as usize);
        admission.wish(&of("small", 77_777));
        admission.release(&of("wide", 0).key);
        assert_eq!(granted(&mut admission), [77_777], "{slots} slots");
    }
}

#[test]
fn two_runs_share_the_machine_whoever_came_first() {
    let mut admission = machine(4, 0);
    (0..100).for_each(|node| admission.wish(&of("first", node)));
    assert_eq!(admission.grant().len(), 4);
    (0..100).for_each(|node| admission.wish(&of("second", node)));
    let mut running: Vec<AttemptKey> = (0..4).map(|node| of("first", node).key).collect();
    for _ in 0..20 {
        admission.release(&running.remove(0));
        running.extend(admission.grant().into_iter().map(|grant| grant.key));
    }
    assert_eq!(running.iter().filter(|key| key.run == run("first")).count(), 2);
}

#[test]
fn on_one_place_runs_take_turns_and_a_stream_of_new_runs_starves_nobody() {
    let mut admission = machine(1, 0);
    (0..10).for_each(|node| admission.wish(&of("old", node)));
    let mut running = admission.grant().remove(0).key;
    let mut served = Vec::new();
    for new in 0..12 {
        admission.wish(&of(&alloc::format!("new-{new}"), 100 + new));
        admission.release(&running);
        running = admission.grant().remove(0).key;
        served.push(running.run == run("old"));
    }
    assert!(!served[0], "the new one goes first");
    assert!(served.iter().filter(|old| **old).count() >= 3, "{served:?}");
    assert!(served.iter().filter(|old| !**old).count() >= 6, "{served:?}");
}

#[test]
fn a_large_one_is_not_starved_by_a_stream_of_small_ones() {
    let mut admission = machine(4, 0);
    (0..4).for_each(|node| admission.wish(&of("small", node)));
    assert_eq!(granted(&mut admission), [0, 1, 2, 3]);
    admission.wish(&cpus("large", 1000, 4));
    for node in 4..50 {
        admission.wish(&of("small", node));
    }
    for node in 0..4 {
        admission.release(&of("small", node).key);
        let expected: &[u32] = if node == 3 { &[1000] } else { &[] };
        assert_eq!(granted(&mut admission), expected, "after {node}");
    }
}

#[test]
fn others_may_overtake_with_what_is_beside_the_one_that_waits() {
    let mut admission = machine(4, 1);
    admission.wish(&gpus("a", 1, 1));
    assert_eq!(granted(&mut admission), [1]);
    admission.wish(&gpus("a", 2, 1));
    (10..20).for_each(|node| admission.wish(&of("a", node)));
    assert_eq!(granted(&mut admission), [10, 11, 12], "three cpus are free");
    assert_eq!(admission.held_for(), Some(&gpus("a", 2, 1).key));
    admission.release(&of("a", 10).key);
    assert_eq!(
        granted(&mut admission),
        [13],
        "the fourth cpu is that of the first, and then of the one that waits for the GPU"
    );
    admission.release(&of("a", 1).key);
    assert_eq!(granted(&mut admission), [2]);

    let mut admission = machine(4, 0);
    admission.wish(&cpus("a", 1, 2));
    assert_eq!(granted(&mut admission), [1]);
    admission.wish(&cpus("a", 2, 3));
    (10..20).for_each(|node| admission.wish(&of("b", node)));
    assert_eq!(granted(&mut admission), [10, 11]);
    admission.release(&of("b", 10).key);
    assert_eq!(admission.grant().len(), 1);
    admission.release(&of("b", 11).key);
    admission.release(&of("b", 12).key);
    let again = granted(&mut admission);
    assert_eq!((again.len(), admission.held_for()), (1, Some(&of("a", 2).key)), "one cpu is beside the three");
    admission.release(&of("a", 1).key);
    assert_eq!(granted(&mut admission), [2]);
}

#[test]
fn a_higher_priority_does_not_wait_for_the_one_that_is_held_for() {
    let mut admission = machine(2, 0);
    admission.wish(&of("a", 1));
    assert_eq!(granted(&mut admission), [1]);
    admission.wish(&cpus("b", 2, 2));
    assert_eq!(granted(&mut admission), NOBODY);
    assert_eq!(admission.held_for(), Some(&of("b", 2).key));
    admission.wish(&of("c", 3));
    assert_eq!(granted(&mut admission), NOBODY, "the same priority waits behind it");
    admission.wish(&urgent(of("d", 4), 1));
    assert_eq!(granted(&mut admission), [4]);
    admission.release(&of("a", 1).key);
    admission.release(&of("d", 4).key);
    assert_eq!(granted(&mut admission), [2]);
    admission.release(&of("b", 2).key);
    assert_eq!(granted(&mut admission), [3]);
}

#[test]
fn who_is_held_for_is_not_kept_out_by_the_places_of_its_own_run() {
    let mut admission = machine(4, 0);
    admission.set_jobs(&run("a"), Some(1));
    admission.wish(&of("b", 1));
    assert_eq!(granted(&mut admission), [1]);
    admission.wish(&cpus("a", 2, 4));
    (10..13).for_each(|node| admission.wish(&of("a", node)));
    assert_eq!(granted(&mut admission), NOBODY);
    admission.release(&of("b", 1).key);
    assert_eq!(granted(&mut admission), [2]);
}

#[test]
fn a_run_has_at_most_the_places_it_wants_and_does_not_hold_up_others() {
    let mut admission = machine(2, 0);
    admission.set_jobs(&run("a"), Some(1));
    (1..4).for_each(|node| admission.wish(&of("a", node)));
    (11..14).for_each(|node| admission.wish(&of("b", node)));
    assert_eq!(granted(&mut admission), [1, 11]);
    admission.release(&of("b", 11).key);
    assert_eq!(granted(&mut admission), [12]);
    admission.release(&of("a", 1).key);
    assert_eq!(granted(&mut admission), [2]);
}

#[test]
fn a_run_that_wants_more_places_than_there_are_makes_them_while_it_wants_any() {
    let mut admission = machine(2, 0);
    admission.set_jobs(&run("a"), Some(4));
    (11..14).for_each(|node| admission.wish(&of("b", node)));
    assert_eq!(granted(&mut admission), [11, 12], "a run that wants nothing changes nothing");
    (1..6).for_each(|node| admission.wish(&of("a", node)));
    assert_eq!(granted(&mut admission), [1, 2], "four for both, and not more than its two for the other");
    (1..6).for_each(|node| admission.release(&of("a", node).key));
    admission.release(&of("b", 11).key);
    assert_eq!(granted(&mut admission), [13]);
}

fn devices(admission: &mut Admission) -> Vec<Vec<u32>> {
    admission.grant().into_iter().map(|grant| grant.gpus).collect()
}

#[test]
fn devices_are_packed_and_no_two_attempts_have_the_same() {
    let mut admission = machine(8, 4);
    admission.wish(&gpus("a", 1, 1));
    admission.wish(&gpus("a", 2, 2));
    admission.wish(&gpus("a", 3, 1));
    admission.wish(&of("a", 4));
    admission.wish(&gpus("a", 5, 1));
    assert_eq!(devices(&mut admission), [vec![0], vec![1, 2], vec![3], vec![]]);
    admission.release(&of("a", 1).key);
    assert_eq!(devices(&mut admission), [vec![0]]);
    admission.release(&of("a", 2).key);
    admission.release(&of("a", 5).key);
    // 0, 1 and 2 are free, 3 is not: one device from the only gap, then two neighbours of what is left.
    admission.wish(&gpus("a", 6, 9));
    assert_eq!(devices(&mut admission), [] as [Vec<u32>; 0], "lowered to four, and three are free");
    admission.release(&of("a", 6).key);
    admission.wish(&gpus("a", 7, 2));
    assert_eq!(devices(&mut admission), [[0, 1]]);
}

#[test]
fn a_small_gap_is_used_before_a_large_one() {
    let mut admission = machine(8, 8);
    (0..8).for_each(|node| admission.wish(&gpus("a", node, 1)));
    assert_eq!(admission.grant().len(), 8);
    for node in [0, 1, 2, 4] {
        admission.release(&of("a", node).key);
    }
    admission.wish(&gpus("a", 10, 1));
    assert_eq!(devices(&mut admission), [[4]]);
    admission.wish(&gpus("a", 11, 3));
    assert_eq!(devices(&mut admission), [[0, 1, 2]]);
}

#[test]
fn devices_of_running_attempts_are_theirs_after_a_restart() {
    let mut admission = machine(4, 3);
    let running = gpus("a", 1, 1);
    admission.occupy(&running.key, &running.requests, &[1]);
    admission.occupy(&running.key, &running.requests, &[1]);
    admission.wish(&gpus("a", 2, 1));
    admission.wish(&gpus("a", 3, 1));
    admission.wish(&gpus("a", 4, 1));
    assert_eq!(devices(&mut admission), [[0], [2]]);
    let holders: Vec<_> = admission.holders().map(|(_, part, _)| (part.slots, part.gpus)).collect();
    assert_eq!(holders, [(3, 3)]);
    admission.release(&running.key);
    assert_eq!(devices(&mut admission), [[1]]);
}

struct Chance(u64);

impl Chance {
    fn draw(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn any(chance: &mut Chance, runs: u64, nodes: u64) -> Place {
    let mut place = of(["a", "b", "c", "d"][chance.draw(runs) as usize], chance.draw(nodes) as u32);
    place.requests = Amounts {
        cpu_millis: [None, Some(500), Some(3000), Some(0)][chance.draw(4) as usize],
        memory_bytes: [None, Some(GIB), Some(3 * GIB)][chance.draw(3) as usize],
        gpus: [None, None, Some(1), Some(2)][chance.draw(4) as usize],
    };
    place
}

/// What is redundant, from what is not.
fn check(admission: &Admission) {
    let total = admission.placed.values().fold(Part::default(), |sum, placed| sum.plus(&placed.part));
    assert_eq!(total, admission.used);
    let of_runs = admission.runs.values().fold(Part::default(), |sum, of_run| sum.plus(&of_run.holds));
    assert_eq!(of_runs, admission.used);
    let turns: BTreeMap<Turn, RunId> =
        admission.runs.iter().filter_map(|(run, of_run)| Some((of_run.turn(&admission.own)?, run.clone()))).collect();
    assert_eq!(turns, admission.turns);
    assert_eq!(admission.runs.values().flat_map(OfRun::waiting).count(), admission.wishes.len());
    if let Some(held) = &admission.held {
        let parts = held.overtakers.iter().map(|key| admission.placed[key].part);
        assert_eq!(parts.fold(Part::default(), |sum, part| sum.plus(&part)), held.overtaken);
    }
    let mut devices: Vec<u32> = admission.placed.values().flat_map(|placed| placed.gpus.iter().copied()).collect();
    let all = devices.len();
    devices.sort_unstable();
    devices.dedup();
    assert_eq!(devices.len(), all, "a device has two owners");
}

#[test]
fn what_is_redundant_agrees_and_the_machine_is_never_overbooked() {
    let mut chance = Chance(7);
    let mut admission = machine(4, 3);
    for _ in 0..20_000 {
        let mut place = any(&mut chance, 4, 12);
        place.priority = chance.draw(2) as i32;
        match chance.draw(12) {
            0..6 => admission.wish(&place),
            6..10 => admission.release(&place.key),
            10 => admission.set_jobs(&place.key.run, Some(1 + chance.draw(6) as u32)),
            _ if chance.draw(4) == 0 => admission.forget(&place.key.run),
            _ => {}
        }
        let before = admission.capacity();
        let grants = admission.grant();
        check(&admission);
        if !grants.is_empty() {
            assert!(admission.used.is_within(&before), "{:?} of {before:?}", admission.used);
        }
        assert!(admission.grant().is_empty(), "all that can be granted is granted at once");
    }
}

/// Liveness: whatever comes after it, a wish of the highest priority there is starts after a bounded number of ends.
#[test]
fn every_wish_is_granted_while_others_come_without_end() {
    for seed in 1..40 {
        let mut chance = Chance(seed);
        let mut admission = machine(4, 2);
        let mut running: Vec<AttemptKey> = Vec::new();
        let mut waiting: BTreeMap<AttemptKey, u64> = BTreeMap::new();
        for step in 0..4_000_u64 {
            // More comes than can be served, so that a queue grows; the marked ones must come through all the same.
            let mut place = any(&mut chance, 3, 1);
            place.key.node = NodeId(step as u32);
            if step % 200 == 7 {
                place.key.run = run("marked");
                waiting.insert(place.key.clone(), step);
            }
            admission.wish(&place);
            if !running.is_empty() && chance.draw(3) > 0 {
                let ended = running.swap_remove(chance.draw(running.len() as u64) as usize);
                admission.release(&ended);
            }
            for grant in admission.grant() {
                if let Some(since) = waiting.remove(&grant.key) {
                    assert!(step - since < 150, "{} waited {} steps (seed {seed})", grant.key, step - since);
                }
                running.push(grant.key);
            }
        }
        assert!(waiting.len() <= 1, "{waiting:?} (seed {seed})");
    }
}

#[test]
fn the_next_places_are_promised_to_a_run_that_is_alone_and_whose_attempts_are_alike() {
    let mut admission = machine(2, 0);
    (1..8).for_each(|node| admission.wish(&of("a", node)));
    assert_eq!(promised(&mut admission, 3), [], "nothing runs whose end would be room");
    assert_eq!(granted(&mut admission), [1, 2]);
    let nodes = |keys: Vec<AttemptKey>| keys.into_iter().map(|key| key.node.0).collect::<Vec<_>>();
    assert_eq!(nodes(promised(&mut admission, 3)), [3, 4, 5]);
    assert_eq!(nodes(promised(&mut admission, 3)), [] as [u32; 0], "three have the promise");
    assert_eq!(nodes(admission.promote()), [] as [u32; 0], "there is no room");
    admission.pass(&of("a", 1).key, &of("a", 4).key);
    admission.release(&of("a", 1).key);
    assert_eq!(nodes(admission.promote()), [] as [u32; 0], "its place was passed on");
    admission.release(&of("a", 2).key);
    assert_eq!(nodes(admission.promote()), [3]);
    admission.wish(&of("b", 11));
    assert_eq!(nodes(promised(&mut admission, 3)), [] as [u32; 0], "another run wants places");
    admission.release(&of("a", 3).key);
    assert_eq!(
        (nodes(admission.promote()), granted(&mut admission)),
        (vec![5], vec![]),
        "what was promised comes first"
    );
    admission.release(&of("a", 4).key);
    assert_eq!(granted(&mut admission), [11], "then whose turn it is");
}

#[test]
fn a_larger_one_is_not_promised_the_place_of_a_smaller_one() {
    let mut admission = machine(2, 0);
    admission.wish(&cpus("a", 1, 1));
    admission.wish(&cpus("a", 2, 2));
    assert_eq!(granted(&mut admission), [1]);
    assert_eq!(promised(&mut admission, 3), []);
}

#[test]
fn of_attempts_that_were_started_before_no_more_have_places_than_there_are() {
    let mut admission = machine(2, 0);
    let settle = |admission: &mut Admission, node| admission.settle(&of("a", node).key, &of("a", node).requests, &[]);
    assert_eq!([1, 2, 3, 3].map(|node| settle(&mut admission, node)), {
        use super::Settled::{Ahead, Placed};
        [Placed, Placed, Ahead, Ahead]
    });
    admission.release(&of("a", 1).key);
    assert_eq!(admission.promote(), [of("a", 3).key]);
}

#[test]
fn one_that_was_started_before_and_has_no_room_holds_up_none_behind_it() {
    use super::Settled::{Ahead, Placed};
    let mut admission = machine(2, 0);
    let settle = |admission: &mut Admission, place: &Place| admission.settle(&place.key, &place.requests, &[]);
    admission.set_jobs(&RunId("b".into()), Some(1));
    let wide = cpus("a", 3, 2);
    let places = [of("a", 1), of("b", 2), wide, of("b", 4), of("c", 5)];
    assert_eq!(places.each_ref().map(|place| settle(&mut admission, place)), [Placed, Placed, Ahead, Ahead, Ahead]);
    admission.release(&of("a", 1).key);
    // The first wants two cpus, and the run of the second has what it may.
    assert_eq!(admission.promote(), [of("c", 5).key]);
    admission.release(&of("c", 5).key);
    admission.release(&of("b", 2).key);
    assert_eq!(admission.promote(), [places[2].key.clone()]);
    admission.release(&places[2].key);
    assert_eq!(admission.promote(), [of("b", 4).key]);
}

fn promised(admission: &mut Admission, many: usize) -> Vec<AttemptKey> {
    let mut promised = Vec::new();
    while admission.promised() < many
        && let Some(key) = admission.first_of_alone().cloned()
        && admission.promise(&key)
    {
        promised.push(key);
    }
    promised
}
