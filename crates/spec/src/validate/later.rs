//! What upstream notices only when it comes to it: durations, numbers, lists and conditions that cannot be read. They
//! are told as warnings, since upstream's validation lets them pass and a run may never reach them.
//! It must never refuse a document.

use crate::argo::faults::Faults;
use crate::argo::view::{Word, field, int_or_text, word};
use crate::yaml::{Node, load_json};

/// Numbers and durations of a retry strategy.
pub fn retry(strategy: &Node, faults: &mut Faults) {
    if let Some(limit) = int_or_text(strategy, "limit")
        && !has_tags(&limit)
        && limit.text.parse::<u32>().is_err()
    {
        let help = Some("write how many further tries there may be".to_owned());
        faults.warning("W0607", limit.span, format!("`{}` is no number of tries", limit.text), help);
    }
    let Some(backoff) = field(strategy, "backoff") else { return };
    for key in ["duration", "cap", "maxDuration"] {
        if let Some(duration) = word(backoff, key)
            && duration.text.parse::<i64>().is_err()
        {
            self::duration(&duration, faults);
        }
    }
    if let Some(factor) = int_or_text(backoff, "factor")
        && !has_tags(&factor)
        && factor.text.parse::<i64>().is_err()
    {
        let help = Some("write a whole number".to_owned());
        faults.warning("W0412", factor.span, format!("`{}` is no factor", factor.text), help);
    }
    if word(backoff, "duration").is_none() {
        let help = Some("add `duration`, such as `10s`".to_owned());
        faults.warning(
            "W0412",
            backoff.span,
            "the back-off has no duration: the second try would end in an error",
            help,
        );
    }
}

/// A Go duration: `300ms`, `1.5h`, `2h45m`.
pub fn duration(word: &Word, faults: &mut Faults) {
    if !has_tags(word) && expr::gofmt::parse_duration(&word.text).is_err() {
        let help = Some("write hours, minutes and seconds, such as `1h30m` or `10s`".to_owned());
        faults.warning("W0412", word.span, format!("`{}` is no duration", word.text), help);
    }
}

/// The source of a loop.
pub fn source(call: &Node, faults: &mut Faults) {
    if let Some(param) = word(call, "withParam").filter(|param| !param.text.is_empty())
        && !has_tags(&param)
        && load_json(&param.text).ok().is_none_or(|node| node.sequence().is_none())
    {
        let help = Some("write a JSON list such as '[1, 2]', or a tag that becomes one".to_owned());
        faults.warning("W0412", param.span, "this is no JSON list", help);
    }
    let Some(sequence) = field(call, "withSequence") else { return };
    let mut has_end = false;
    for key in ["count", "start", "end"] {
        let Some(number) = int_or_text(sequence, key) else { continue };
        has_end |= key != "start";
        if !has_tags(&number) && number.text.parse::<i64>().is_err() {
            let help = Some("write a whole number, or a tag that becomes one".to_owned());
            faults.warning("W0412", number.span, format!("`{}` is no number", number.text), help);
        }
    }
    if !has_end {
        let help = Some("add `count` or `end`".to_owned());
        faults.warning("W0412", sequence.span, "the sequence has no end", help);
    }
}

/// `depends`, which is evaluated with every `-` of a name replaced by `_`.
pub fn condition(task: &Node, faults: &mut Faults) {
    let Some(depends) = word(task, "depends") else { return };
    if expr::lang::identifiers(&depends.text.replace('-', "_")).is_err() {
        let help = Some("join names with `&&`, `||`, `!` and parentheses".to_owned());
        faults.warning("W0409", depends.span, format!("`{}` cannot be read", depends.text), help);
    }
}

fn has_tags(word: &Word) -> bool {
    word.text.contains("{{")
}
