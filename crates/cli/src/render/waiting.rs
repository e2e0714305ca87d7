//! What an attempt that waits for a place asks for, and who has it.
//! It must never decide: whose turn it is, is the admission's.

use super::time::bytes;
use driver::protocol::{Amount, HolderOfPlaces, Places};
use model::RunId;
use model::command::Place;

const RUNS_MAX: usize = 3;

/// One clause: `it asks for 2 cpus, and run train-x holds 2 of 2`. `name`: of a run.
pub fn why(place: &Place, places: &Places, name: &dyn Fn(&RunId) -> String) -> String {
    if places.preparing.contains(&place.python_requirements) {
        return "its Python environment is being built".into();
    }
    let own = places.holders.iter().find(|holder| holder.run == place.key.run);
    if let Some(own) = own.filter(|own| own.holds.slots >= own.slots_max) {
        return format!("its run has {} of its {} attempts at once (`-j`)", own.holds.slots, own.slots_max);
    }
    let asks = Amount {
        slots: 1,
        cpu_millis: place.requests.cpu_millis.unwrap_or(1000).min(places.has.cpu_millis),
        memory_bytes: place.requests.memory_bytes.unwrap_or(0).min(places.has.memory_bytes),
        gpus: u64::from(place.requests.gpus.unwrap_or(0)).min(places.has.gpus),
    };
    for kind in [Kind::Gpus, Kind::Memory, Kind::Cpus, Kind::Slots] {
        let (asked, has) = (kind.of(&asks), kind.of(&places.has));
        let used: u64 = places.holders.iter().map(|holder| kind.of(&holder.holds)).sum();
        if asked > 0 && used + asked > has {
            return format!("it asks for {}, and {}", kind.told(asked), who(kind, has, &places.holders, name));
        }
    }
    match &places.held_for {
        Some(first) if *first != place.key => {
            format!("run {} came first and needs more than is free", name(&first.run))
        }
        _ => "its turn is next".into(),
    }
}

fn who(kind: Kind, has: u64, holders: &[HolderOfPlaces], name: &dyn Fn(&RunId) -> String) -> String {
    let mut holding: Vec<(u64, &RunId)> = holders.iter().map(|holder| (kind.of(&holder.holds), &holder.run)).collect();
    holding.retain(|(held, _)| *held > 0);
    holding.sort_by_key(|(held, _)| std::cmp::Reverse(*held));
    let (shown, rest) = holding.split_at(holding.len().min(RUNS_MAX));
    let mut told: Vec<String> =
        shown.iter().map(|(held, run)| format!("run {} holds {}", name(run), kind.number(*held))).collect();
    if !rest.is_empty() {
        told.push(format!("{} more runs the rest", rest.len()));
    }
    format!("{} of {}", told.join(", "), kind.number(has))
}

#[derive(Clone, Copy)]
enum Kind {
    Gpus,
    Memory,
    Cpus,
    Slots,
}

impl Kind {
    fn of(self, amount: &Amount) -> u64 {
        match self {
            Self::Gpus => amount.gpus,
            Self::Memory => amount.memory_bytes,
            Self::Cpus => amount.cpu_millis,
            Self::Slots => amount.slots,
        }
    }

    fn number(self, count: u64) -> String {
        match self {
            Self::Gpus | Self::Slots => count.to_string(),
            Self::Memory => bytes(count),
            Self::Cpus if count.is_multiple_of(1000) => (count / 1000).to_string(),
            Self::Cpus => format!("{:.1}", count as f64 / 1000.0),
        }
    }

    fn told(self, count: u64) -> String {
        let number = self.number(count);
        match self {
            Self::Memory => format!("{number} of memory"),
            Self::Cpus => format!("{number} cpu{}", if count == 1000 { "" } else { "s" }),
            Self::Gpus => format!("{number} GPU{}", if count == 1 { "" } else { "s" }),
            Self::Slots => "a place".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::attempt::Amounts;
    use model::{AttemptKey, NodeId};

    fn place(requests: Amounts) -> Place {
        let key = AttemptKey { run: RunId("mine".into()), node: NodeId(1), n: 0 };
        Place { key, requests, priority: 0, python_requirements: Vec::new() }
    }

    fn holder(run: &str, slots: u64, gpus: u64) -> HolderOfPlaces {
        let holds = Amount { slots, cpu_millis: slots * 1000, memory_bytes: slots << 30, gpus };
        HolderOfPlaces { run: RunId(run.into()), holds, slots_max: 4 }
    }

    fn told(requests: Amounts, holders: Vec<HolderOfPlaces>) -> String {
        let has = Amount { slots: 4, cpu_millis: 4000, memory_bytes: 8 << 30, gpus: 2 };
        let places = Places { has, holders, ..Places::default() };
        why(&place(requests), &places, &|run| run.0.clone())
    }

    #[test]
    fn who_has_what_is_missing_is_named() {
        let gpu = Amounts { gpus: Some(1), ..Amounts::default() };
        let large = Amounts { cpu_millis: Some(2000), memory_bytes: Some(7 << 30), gpus: None };
        assert_eq!(told(gpu, vec![holder("a", 1, 2)]), "it asks for 1 GPU, and run a holds 2 of 2");
        assert_eq!(
            told(large, vec![holder("a", 1, 0), holder("b", 2, 0)]),
            "it asks for 7.0 GiB of memory, and run b holds 2.0 GiB, run a holds 1.0 GiB of 8.0 GiB"
        );
        assert_eq!(
            told(Amounts { cpu_millis: Some(2000), ..Amounts::default() }, vec![holder("a", 3, 0)]),
            "it asks for 2 cpus, and run a holds 3 of 4"
        );
        assert_eq!(
            told(Amounts::default(), vec![holder("mine", 4, 0)]),
            "its run has 4 of its 4 attempts at once (`-j`)"
        );
    }
}
