//! Addresses as text, taken apart and put together as Go's `net/url` does.
//! It must never know a network.

use std::sync::Arc;

use super::arguments::text;
use crate::context::Budget;
use crate::gofmt;
use crate::value::{Dict, Value};

pub(super) fn run(name: &str, args: &[Value], _budget: &Budget<'_>) -> Result<Value, String> {
    if name == "urlParse" {
        let text = text(args, 0);
        let url = Url::parse(&text)
            .map_err(|reason| format!("unable to parse url: parse {}: {reason}", gofmt::quote(&text)))?;
        return Ok(url.into_value());
    }
    join(&args[0])
}

#[derive(Default)]
struct Url {
    scheme: String,
    opaque: String,
    user: String,
    host: String,
    path: String,
    query: String,
    fragment: String,
}

impl Url {
    fn parse(text: &str) -> Result<Url, String> {
        if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let mut url = Url::default();
        let (mut rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        url.fragment = unescape(fragment, false)?;
        if let Some(at) = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))) {
            if at == 0 && rest.starts_with(':') {
                return Err("missing protocol scheme".to_owned());
            }
            if at > 0 && rest[at..].starts_with(':') && rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
                url.scheme = rest[..at].to_lowercase();
                rest = &rest[at + 1..];
            }
        }
        if let Some((before, query)) = rest.split_once('?') {
            url.query = query.to_owned();
            rest = before;
        }
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                url.opaque = rest.to_owned();
                return Ok(url);
            }
            if rest.split('/').next().is_some_and(|first| first.contains(':')) {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        if rest.starts_with("//") && !rest.starts_with("///") {
            let after = &rest[2..];
            let end = after.find('/').unwrap_or(after.len());
            url.authority(&after[..end])?;
            rest = &after[end..];
        }
        url.path = unescape(rest, false)?;
        Ok(url)
    }

    fn authority(&mut self, text: &str) -> Result<(), String> {
        let (user, host) = match text.rsplit_once('@') {
            Some((user, host)) => (user, host),
            None => ("", text),
        };
        self.user = user.to_owned();
        if host.starts_with('[') {
            if !host.contains(']') {
                return Err("missing ']' in host".to_owned());
            }
        } else if host.contains(' ') {
            return Err(format!("invalid character {} in host name", gofmt::quote(" ")));
        }
        let port = if host.starts_with('[') { host.rsplit(']').next() } else { host.find(':').map(|at| &host[at..]) };
        if let Some(port) = port.filter(|port| !port.is_empty()) {
            let valid = port.starts_with(':') && port[1..].bytes().all(|byte| byte.is_ascii_digit());
            if !valid {
                return Err(format!("invalid port {} after host", gofmt::quote(port)));
            }
        }
        self.host = unescape(host, true)?;
        Ok(())
    }

    fn hostname(&self) -> String {
        if let Some(inner) = self.host.strip_prefix('[') {
            return inner.split(']').next().unwrap_or_default().to_owned();
        }
        self.host.split(':').next().unwrap_or_default().to_owned()
    }

    fn into_value(self) -> Value {
        let hostname = self.hostname();
        let fields = [
            ("scheme", self.scheme),
            ("host", self.host),
            ("hostname", hostname),
            ("path", self.path),
            ("query", self.query),
            ("opaque", self.opaque),
            ("fragment", self.fragment),
            ("userinfo", self.user),
        ];
        Value::map(fields.into_iter().map(|(name, value)| (Arc::from(name), value.into())).collect())
    }
}

fn unescape(text: &str, host: bool) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let digits = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
            let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            let Some(code) = code else {
                let shown = String::from_utf8_lossy(&bytes[at..(at + 3).min(bytes.len())]).into_owned();
                return Err(format!("invalid URL escape {}", gofmt::quote(&shown)));
            };
            if host && code < 0x80 && code != b'%' {
                let shown = String::from_utf8_lossy(&bytes[at..at + 3]).into_owned();
                return Err(format!("invalid URL escape {}", gofmt::quote(&shown)));
            }
            out.push(code);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn escape(text: &str, keep: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || (byte.is_ascii() && keep.contains(char::from(byte))) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn join(parts: &Value) -> Result<Value, String> {
    let empty = Dict::new();
    let entries = parts.entries().map_or(&empty, |entries| entries);
    let field = |name: &str| -> Result<String, String> {
        match entries.get(name) {
            None => Ok(String::new()),
            Some(Value::Str(text)) => Ok(text.to_string()),
            Some(other) => {
                Err(format!("unable to parse {name} key, must be of type string, but {} found", other.printed_type()))
            }
        }
    };
    let (scheme, host, path, query) = (field("scheme")?, field("host")?, field("path")?, field("query")?);
    let (opaque, fragment, user) = (field("opaque")?, field("fragment")?, field("userinfo")?);
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(&scheme);
        out.push(':');
    }
    if opaque.is_empty() {
        if !scheme.is_empty() || !host.is_empty() || !user.is_empty() {
            if !(host.is_empty() && path.is_empty() && user.is_empty()) {
                out.push_str("//");
            }
            if !user.is_empty() {
                out.push_str(&user);
                out.push('@');
            }
            out.push_str(&host);
        }
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            out.push('/');
        }
        out.push_str(&escape(&path, "-_.~$&+,/:;=@"));
    } else {
        out.push_str(&opaque);
    }
    if !query.is_empty() {
        out.push('?');
        out.push_str(&query);
    }
    if !fragment.is_empty() {
        out.push('#');
        out.push_str(&escape(&fragment, "-_.~$&+,/:;=@?!()*"));
    }
    Ok(out.into())
}
