//! What a rule does not apply to, by name and with the reason. Catalogues (long tables of equal entries) belong here.
//! It must never hold a pattern: each exemption names one file.

use super::Finding;

struct Exemption {
    path: &'static str,
    rule: &'static str,
    #[allow(dead_code, reason = "for the reader")]
    reason: &'static str,
}

const EXEMPTIONS: &[Exemption] = &[];

/// Removes what is exempt. An exemption that is not needed is a finding.
pub fn apply(findings: Vec<Finding>) -> Vec<Finding> {
    apply_list(findings, EXEMPTIONS)
}

fn apply_list(findings: Vec<Finding>, exemptions: &[Exemption]) -> Vec<Finding> {
    let covers = |e: &Exemption, f: &Finding| e.path == f.path && e.rule == f.rule;
    let idle = exemptions.iter().filter(|e| !findings.iter().any(|f| covers(e, f)));
    let idle: Vec<Finding> = idle
        .map(|e| Finding {
            path: e.path.to_owned(),
            line: 0,
            rule: "exemption",
            text: format!("is exempt from {:?} and need not be (xtask/src/tidy/exempt.rs)", e.rule),
        })
        .collect();
    findings.into_iter().filter(|f| !exemptions.iter().any(|e| covers(e, f))).chain(idle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exemption_covers_its_rule_and_must_be_needed() {
        let breach = |path: &str| Finding { path: path.to_owned(), line: 0, rule: "file size", text: String::new() };
        let exemptions = [
            Exemption { path: "a.rs", rule: "file size", reason: "a catalogue" },
            Exemption { path: "gone.rs", rule: "file size", reason: "a catalogue" },
        ];
        let left = apply_list(vec![breach("a.rs"), breach("b.rs")], &exemptions);
        let left: Vec<_> = left.iter().map(|f| (f.path.as_str(), f.rule)).collect();
        assert_eq!(left, [("b.rs", "file size"), ("gone.rs", "exemption")]);
    }
}
