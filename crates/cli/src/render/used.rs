//! What a task used of what it may use: `mem 1.8/2.0 GiB, cpu 3m12s`.
//! It must never guess: what was not measured is not shown.

use super::time::{bytes, duration};
use engine::quantity;
use model::plan::Body;
use views::{History, NodeView};

/// Of the last attempt; `None` while nothing is known.
pub fn used(history: &History, node: &NodeView) -> Option<String> {
    let attempt = node.attempts.last()?;
    let limit = match &history.template(node)?.body {
        Body::Leaf(leaf) => leaf.resources.limits.get("memory").and_then(|text| quantity::whole(text.as_str()).ok()),
        _ => None,
    };
    said(attempt.usage.memory_peak_bytes, limit, attempt.usage.cpu_us)
}

fn said(peak: u64, limit: Option<u64>, cpu_us: u64) -> Option<String> {
    let memory = match limit {
        _ if peak == 0 => None,
        Some(limit) => Some(format!("mem {}", of(peak, limit))),
        None => Some(format!("mem {}", bytes(peak))),
    };
    let cpu = (cpu_us > 0).then(|| format!("cpu {}", duration(i64::try_from(cpu_us).unwrap_or(i64::MAX))));
    let said: Vec<String> = [memory, cpu].into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// Both in the unit of the limit.
fn of(peak: u64, limit: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit =
        UNITS.iter().enumerate().rev().find(|(power, _)| limit >> (10 * power) > 0).map_or(0, |(power, _)| power);
    if unit == 0 {
        return format!("{peak}/{limit} B");
    }
    let scaled = |count: u64| count as f64 / (1_u64 << (10 * unit)) as f64;
    format!("{:.1}/{:.1} {}", scaled(peak), scaled(limit), UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_told_against_its_limit_and_what_is_not_known_is_not_told() {
        let gib = 1_u64 << 30;
        assert_eq!(said(gib * 18 / 10, Some(2 * gib), 192_000_000).as_deref(), Some("mem 1.8/2.0 GiB, cpu 3m12s"));
        assert_eq!(said(3 << 20, Some(64 << 20), 0).as_deref(), Some("mem 3.0/64.0 MiB"));
        assert_eq!(said(512, Some(900), 0).as_deref(), Some("mem 512/900 B"));
        assert_eq!(said(5 << 20, None, 1_500_000).as_deref(), Some("mem 5.0 MiB, cpu 1.5s"));
        assert_eq!(said(0, Some(gib), 0), None);
    }
}
