//! `fmt.Sprintf` for the verbs that workflows use (`withSequence.format`).
//! It must never know where a format comes from.

use super::{exponent, float, integer, quote, quote_bytes, value};
use crate::value::Value;

#[derive(Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Widths beyond this are ignored, as in Go.
const WIDTH_MAX: usize = 1_000_000;

/// `fmt.Sprintf(format, args...)`; a wrong verb prints `%!d(string=x)` as Go does.
pub fn sprintf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut reader = Reader { rest: format, args, next: 0, reordered: false, good: true };
    while let Some(at) = reader.rest.find('%') {
        out.push_str(&reader.rest[..at]);
        reader.rest = &reader.rest[at + 1..];
        let flags = reader.flags(&mut out);
        let Some(verb) = reader.rest.chars().next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        reader.rest = &reader.rest[verb.len_utf8()..];
        match args.get(reader.next) {
            _ if verb == '%' => out.push('%'),
            _ if !reader.good => out.push_str(&format!("%!{verb}(BADINDEX)")),
            Some(arg) => {
                out.push_str(&printed(verb, &flags, arg));
                reader.next += 1;
            }
            None => out.push_str(&format!("%!{verb}(MISSING)")),
        }
    }
    out.push_str(reader.rest);
    if !reader.reordered && reader.next < args.len() {
        let extra: Vec<String> =
            args[reader.next..].iter().map(|arg| format!("{}={}", arg.printed_type(), value(arg))).collect();
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

/// What stands between `%` and the verb.
struct Reader<'a> {
    rest: &'a str,
    args: &'a [Value],
    /// The argument that comes next.
    next: usize,
    /// An index was written: arguments that are left over are no fault then.
    reordered: bool,
    /// The last index leads to an argument.
    good: bool,
}

impl Reader<'_> {
    /// Flags, indices, width and precision. What is wrong with a `*` is printed at once.
    fn flags(&mut self, out: &mut String) -> Flags {
        let mut flags = Flags::default();
        self.good = true;
        loop {
            match self.rest.bytes().next() {
                Some(b'-') => flags.minus = true,
                Some(b'+') => flags.plus = true,
                Some(b'#') => flags.sharp = true,
                Some(b' ') => flags.space = true,
                Some(b'0') => flags.zero = true,
                _ => break,
            }
            self.rest = &self.rest[1..];
        }
        let mut indexed = self.index();
        if self.take('*') {
            match self.star() {
                Some(width) => {
                    flags.minus |= width < 0;
                    flags.zero &= width >= 0;
                    flags.width = Some(width.unsigned_abs() as usize);
                }
                None => out.push_str("%!(BADWIDTH)"),
            }
            indexed = false;
        } else {
            flags.width = self.number();
            self.good &= !(indexed && flags.width.is_some());
        }
        if self.take('.') {
            self.good &= !indexed;
            indexed = self.index();
            if self.take('*') {
                flags.precision = self.star().and_then(|precision| usize::try_from(precision).ok());
                if flags.precision.is_none() {
                    out.push_str("%!(BADPREC)");
                }
                indexed = false;
            } else {
                flags.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !indexed {
            self.index();
        }
        flags
    }

    fn take(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// `[n]`: the argument that comes next.
    fn index(&mut self) -> bool {
        let Some(after) = self.rest.strip_prefix('[') else { return false };
        self.reordered = true;
        let Some((number, rest)) = after.split_once(']') else {
            self.good = false;
            self.rest = after;
            return false;
        };
        self.rest = rest;
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let index = number.parse::<usize>().ok().filter(|_| digits).and_then(|number| number.checked_sub(1));
        match index.filter(|index| *index < self.args.len()) {
            Some(index) => self.next = index,
            None => self.good = false,
        }
        digits
    }

    /// The width or precision that `*` takes from the arguments.
    fn star(&mut self) -> Option<i64> {
        let number = self.args.get(self.next)?.integer();
        self.next += 1;
        number.filter(|number| number.unsigned_abs() <= WIDTH_MAX as u64)
    }

    fn number(&mut self) -> Option<usize> {
        let length = self.rest.len() - self.rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number = self.rest[..length].parse().ok().filter(|&number| number <= WIDTH_MAX);
        self.rest = &self.rest[length..];
        number
    }
}

/// One argument, padded. A verb that does not fit its type prints type and value, with the same flags.
fn printed(verb: char, flags: &Flags, arg: &Value) -> String {
    match format_one(verb, flags, arg) {
        Some(text) => pad(flags, text, arg),
        None => {
            let inside = format_one('v', flags, arg).unwrap_or_else(|| value(arg));
            format!("%!{verb}({}={})", arg.printed_type(), pad(flags, inside, arg))
        }
    }
}

/// `None`: the verb does not fit.
fn format_one(verb: char, flags: &Flags, arg: &Value) -> Option<String> {
    if let Some(number) = arg.integer().or(match arg {
        Value::Duration(n) if verb != 'v' && verb != 's' => Some(*n),
        _ => None,
    }) && let Some(text) = format_integer(verb, flags, number, arg)
    {
        return Some(text);
    }
    let text = match (verb, arg) {
        ('v' | 's', Value::Str(_) | Value::Raw(_)) => truncate(value(arg), flags.precision),
        ('v', _) => value(arg),
        ('s', Value::Duration(_) | Value::Time(_) | Value::List(_) | Value::Slice(..)) => value(arg),
        ('T', _) => arg.printed_type().to_owned(),
        ('t', Value::Bool(_)) => value(arg),
        ('q', Value::Str(_) | Value::Raw(_)) => quote_bytes(arg.string_bytes().unwrap_or_default()),
        ('x', Value::Str(_) | Value::Raw(_)) => hex(arg.string_bytes().unwrap_or_default()),
        ('X', Value::Str(_) | Value::Raw(_)) => hex(arg.string_bytes().unwrap_or_default()).to_uppercase(),
        ('f' | 'F', Value::Float(f)) => signed(flags, *f, format!("{:.*}", flags.precision.unwrap_or(6), f)),
        ('e', Value::Float(f)) => {
            let text = format!("{:.*e}", flags.precision.unwrap_or(6), f);
            signed(flags, *f, fix_exponent(&text))
        }
        ('g', Value::Float(f)) => signed(flags, *f, float(*f)),
        _ => return None,
    };
    Some(text)
}

fn fix_exponent(text: &str) -> String {
    let Some(at) = text.rfind('e') else { return text.to_owned() };
    let power: i32 = text[at + 1..].parse().unwrap_or(0);
    let sign = if power < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", &text[..at], power.abs())
}

fn signed(flags: &Flags, f: f64, text: String) -> String {
    if !f.is_finite() {
        return exponentless(f);
    }
    if flags.plus && !text.starts_with('-') { format!("+{text}") } else { text }
}

fn exponentless(f: f64) -> String {
    if f.is_nan() || f.is_infinite() { float(f) } else { exponent(f) }
}

fn format_integer(verb: char, flags: &Flags, number: i64, arg: &Value) -> Option<String> {
    let size = number.unsigned_abs();
    let body = match verb {
        'd' | 'v' => match arg {
            Value::Sized(..) => return Some(integer(arg)),
            _ => size.to_string(),
        },
        'x' => format!("{}{size:x}", if flags.sharp { "0x" } else { "" }),
        'X' => format!("{}{size:X}", if flags.sharp { "0X" } else { "" }),
        'o' => format!("{}{size:o}", if flags.sharp { "0" } else { "" }),
        'b' => format!("{size:b}"),
        'c' => return Some(u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()),
        'q' => {
            let c = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            return Some(quoted_rune(c));
        }
        'U' => return Some(format!("U+{:04X}", number as u64)),
        _ => return None,
    };
    let mut digits = body;
    if let Some(precision) = flags.precision {
        digits = format!("{digits:0>precision$}");
    } else if flags.zero && !flags.minus {
        let sign = usize::from(number < 0 || flags.plus || flags.space);
        if let Some(width) = flags.width {
            let width = width.saturating_sub(sign);
            digits = format!("{digits:0>width$}");
        }
    }
    let sign = if number < 0 {
        "-"
    } else if flags.plus {
        "+"
    } else if flags.space {
        " "
    } else {
        ""
    };
    Some(format!("{sign}{digits}"))
}

/// `strconv.QuoteRune`.
fn quoted_rune(c: char) -> String {
    match c {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => {
            let quoted = quote(&c.to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

fn truncate(text: String, precision: Option<usize>) -> String {
    match precision {
        Some(count) => text.chars().take(count).collect(),
        None => text,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pad(flags: &Flags, text: String, arg: &Value) -> String {
    let Some(width) = flags.width else { return text };
    let length = text.chars().count();
    if length >= width {
        return text;
    }
    let missing = width - length;
    if flags.minus {
        return format!("{text}{}", " ".repeat(missing));
    }
    // The zeros of an integer stand there already, or its precision forbids them.
    let is_integer = matches!(arg, Value::Int(_) | Value::Sized(..));
    if flags.zero && !is_integer {
        let numeric = matches!(arg, Value::Float(_) | Value::Duration(_));
        return match text.strip_prefix(['-', '+']) {
            Some(rest) if numeric => format!("{}{}{rest}", &text[..1], "0".repeat(missing)),
            _ => format!("{}{text}", "0".repeat(missing)),
        };
    }
    format!("{}{text}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_numbers() {
        let int = |format, n| sprintf(format, &[Value::Int(n)]);
        assert_eq!(int("%02X", 10), "0A");
        assert_eq!(int("testuser%02X", 255), "testuserFF");
        assert_eq!(int("%05d", -42), "-0042");
        assert_eq!(int("%-5d|", 7), "7    |");
        assert_eq!(int("%s", 7), "%!s(int=7)");
        assert_eq!(int("x", 7), "x%!(EXTRA int=7)");
        assert_eq!(int("%q", 9), "'\\t'");
        assert_eq!(int("%U", -1), "U+FFFFFFFFFFFFFFFF");
        assert_eq!(sprintf("%.2f%%", &[Value::Float(1.005)]), "1.00%");
        assert_eq!(sprintf("%d", &[]), "%!d(MISSING)");
        assert_eq!(sprintf("%", &[]), "%!(NOVERB)");
    }

    #[test]
    fn a_verb_that_does_not_fit_keeps_its_flags() {
        let int = |format, n| sprintf(format, &[Value::Int(n)]);
        assert_eq!(int("%.2f", 9), "%!f(int=09)");
        assert_eq!(int("%08.3f", -1), "%!f(int=    -001)");
        assert_eq!(int("%5s", 9), "%!s(int=    9)");
        assert_eq!(int("%05s", -1), "%!s(int=-0001)");
    }

    #[test]
    fn arguments_are_found_by_index_and_give_widths() {
        let int = |format, n| sprintf(format, &[Value::Int(n)]);
        assert_eq!(int("%[1]d-%[1]d", -1), "-1--1");
        assert_eq!(int("%[2]d", -1), "%!d(BADINDEX)");
        assert_eq!(int("%[1]5d", 9), "%!d(BADINDEX)");
        assert_eq!(int("%*d", 9), "%!d(MISSING)");
        assert_eq!(sprintf("%*d|%[2]d", &[Value::Int(3), Value::Int(7)]), "  7|7");
    }
}
