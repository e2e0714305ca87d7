//! Locks: what pip would install, every package with the digests of its archive.
//! It must never leave out a package.

use serde_json::Value;

/// `name==version --hash=…` lines of pip's installation report, sorted; `name @ url` of what has no version in an index.
pub(super) fn of_report(report: &[u8]) -> Option<String> {
    let report: Value = serde_json::from_slice(report).ok()?;
    let lines: Option<Vec<String>> = report.get("install")?.as_array()?.iter().map(line).collect();
    let mut lines = lines?;
    lines.sort();
    Some(lines.join("\n") + "\n")
}

fn line(item: &Value) -> Option<String> {
    let metadata = item.get("metadata")?;
    let (name, version) = (metadata.get("name")?.as_str()?, metadata.get("version")?.as_str()?);
    let info = item.get("download_info");
    let hashes = info.and_then(|info| info.get("archive_info")?.get("hashes")?.as_object());
    let hashes =
        hashes.into_iter().flatten().filter_map(|(kind, value)| Some(format!(" --hash={kind}:{}", value.as_str()?)));
    let hashes: String = hashes.collect();
    let name = name.to_lowercase();
    let is_direct = item.get("is_direct").and_then(Value::as_bool) == Some(true);
    let url = info.and_then(|info| info.get("url")?.as_str()).filter(|_| is_direct);
    let commit = info.and_then(|info| {
        let of = info.get("vcs_info")?;
        Some((of.get("vcs")?.as_str()?, of.get("commit_id")?.as_str()?))
    });
    Some(match (url, commit) {
        (Some(url), Some((system, commit))) => format!("{name} @ {system}+{url}@{commit}"),
        (Some(url), None) => format!("{name} @ {url}{hashes}"),
        (None, _) => format!("{name}=={version}{hashes}"),
    })
}

/// Whether each package is known by a digest: then nothing else can be installed. Otherwise those that are not.
pub(super) fn without_digest(lock: &str) -> Vec<&str> {
    // uv continues lines, pip's are whole.
    let mut open = Vec::new();
    let mut last: Option<&str> = None;
    for line in lock.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty()) {
        let begins = !line.starts_with(char::is_whitespace);
        if begins {
            open.extend(last.take());
            last = line.split([' ', ';', '=']).next();
        }
        if line.contains("--hash=") {
            last = None;
        }
    }
    open.extend(last);
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_becomes_a_lock() {
        let report = br#"{"version": "1", "install": [
            {"metadata": {"name": "Six", "version": "1.16.0"}, "is_direct": false,
             "download_info": {"url": "x", "archive_info": {"hash": "sha256=ab", "hashes": {"sha256": "ab"}}}},
            {"metadata": {"name": "mine", "version": "2"}, "is_direct": true,
             "download_info": {"url": "https://h/mine", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}},
            {"metadata": {"name": "attrs", "version": "23.1"}, "download_info": {"url": "x", "dir_info": {}}}]}"#;
        let lock = of_report(report).expect("a lock");
        assert_eq!(lock, "attrs==23.1\nmine @ git+https://h/mine@c0ffee\nsix==1.16.0 --hash=sha256:ab\n");
        assert_eq!(without_digest(&lock), ["attrs", "mine"]);
        assert_eq!(of_report(b"{}"), None);
    }

    #[test]
    fn locks_of_both_tools_are_looked_through() {
        let uv = "attrs==23.1 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd\nsix==1.16.0\n    # via x\n";
        assert_eq!(without_digest(uv), ["six"]);
        assert_eq!(without_digest("six==1 --hash=sha256:a\n"), [] as [&str; 0]);
    }
}
