//! `strftime` as Argo's `workflow.creationTimestamp.%Y` has it.
//! It must never know a clock.

use super::format_time;
use crate::time::Instant;

/// Formats a time; unknown directives stay as they are.
pub fn strftime(time: &Instant, format: &str) -> String {
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let Some(directive) = chars.next() else {
            out.push('%');
            break;
        };
        match layout(directive) {
            Some(layout) => out.push_str(&format_time(time, layout)),
            None if directive == '%' => out.push('%'),
            None => out.extend(['%', directive]),
        }
    }
    out
}

/// The directives that are a Go layout.
fn layout(directive: char) -> Option<&'static str> {
    Some(match directive {
        'a' => "Mon",
        'A' => "Monday",
        'b' => "Jan",
        'B' => "January",
        'd' => "02",
        'H' => "15",
        'I' => "03",
        'L' => ".000",
        'm' => "01",
        'M' => "04",
        'p' => "PM",
        'S' => "05",
        'y' => "06",
        'Y' => "2006",
        'z' => "-0700",
        'Z' => "MST",
        _ => return None,
    })
}
