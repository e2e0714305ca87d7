//! What an attempt is told of its part of the machine, and what people are told where it asks for more than there is.
//! It must never choose: the place and its devices were granted before.

use crate::machine::{GpuMaker, Machine};
use model::attempt::{Amounts, Launch};

/// Variables that make numeric libraries use what was granted and no more.
pub(crate) fn variables(launch: &Launch, machine: &Machine, sandboxed: bool) -> Vec<(&'static str, String)> {
    let millis = launch.requests.cpu_millis.unwrap_or(1000);
    let threads = (millis / 1000).clamp(1, machine.cpus.max(1).into());
    let mut variables = vec![("OMP_NUM_THREADS", threads.to_string())];
    // Without a sandbox a task that asks for no device has what its user has.
    if machine.gpus > 0 && (sandboxed || !launch.gpus.is_empty()) {
        let devices = launch.gpus.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        if machine.gpu_maker == GpuMaker::Amd {
            // HIP takes an empty list for none given.
            variables.push(("HIP_VISIBLE_DEVICES", if devices.is_empty() { "-1".into() } else { devices.clone() }));
        }
        variables.push(("CUDA_VISIBLE_DEVICES", devices));
    }
    variables
}

/// A notice for each amount of which this machine has less than a template asks for.
pub fn lowered(template: &str, asked: &Amounts, machine: &Machine) -> Vec<String> {
    let cpus = u64::from(machine.cpus) * 1000;
    let gpus = machine.gpus;
    let cpu = asked.cpu_millis.filter(|millis| *millis > cpus);
    let memory = asked.memory_bytes.filter(|bytes| *bytes > machine.memory_bytes);
    let gpu = asked.gpus.filter(|count| *count > gpus);
    let told = [
        cpu.map(|millis| format!("{} cpus; this machine has {}", cpus_text(millis), machine.cpus)),
        memory.map(|bytes| format!("{} of memory; this machine has {}", gib(bytes), gib(machine.memory_bytes))),
        gpu.map(|count| match gpus {
            0 => format!("{count} GPUs; this machine has none"),
            _ => format!("{count} GPUs; this machine has {gpus}"),
        }),
    ];
    let told = told.into_iter().flatten();
    told.map(|what| format!("`{template}` asks for {what}: the request is lowered to that")).collect()
}

fn cpus_text(millis: u64) -> String {
    if millis.is_multiple_of(1000) { (millis / 1000).to_string() } else { format!("{:.1}", millis as f64 / 1000.0) }
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{CgroupVersion, NamespaceKind};

    fn machine(cpus: u32, gpus: u32, gpu_maker: GpuMaker) -> Machine {
        let (cgroup, namespaces) = (CgroupVersion::None, NamespaceKind::None);
        Machine { cpus, memory_bytes: 4 << 30, gpus, gpu_maker, cgroup, namespaces, overlay: false }
    }

    #[test]
    fn what_the_machine_has_less_of_is_told() {
        let asked = |cpu_millis, memory_bytes, gpus| Amounts { cpu_millis, memory_bytes, gpus };
        let machine = machine(2, 0, GpuMaker::Nvidia);
        assert_eq!(
            lowered("train", &asked(Some(64_000), Some(1 << 40), Some(8)), &machine),
            [
                "`train` asks for 64 cpus; this machine has 2: the request is lowered to that",
                "`train` asks for 1024.0 GiB of memory; this machine has 4.0 GiB: the request is lowered to that",
                "`train` asks for 8 GPUs; this machine has none: the request is lowered to that",
            ]
        );
        assert_eq!(lowered("train", &asked(Some(2000), Some(4 << 30), Some(0)), &machine), [] as [String; 0]);
        assert_eq!(
            lowered("train", &asked(Some(2500), None, None), &machine),
            ["`train` asks for 2.5 cpus; this machine has 2: the request is lowered to that"]
        );
    }
}
