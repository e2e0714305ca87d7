//! `towpath.dev/python-requirements`: lines as in a requirements.txt, or separated by commas.
//! It must never read a file, nor guess what another tool's file means: it says what to write instead.

/// Why the text is refused, and what to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub code: &'static str,
    pub what: String,
    pub instead: String,
}

const FILES: [&str; 3] = [".yml", ".yaml", ".txt"];

/// One requirement an entry.
pub(super) fn read(text: &str) -> Result<Vec<String>, Wrong> {
    if let Some(wrong) = conda(text) {
        return Err(wrong);
    }
    let lines: Vec<String> = text.lines().flat_map(entries).collect();
    for line in &lines {
        if let Some(channel) = line.split_once("::").map(|(channel, _)| channel) {
            let instead = format!("write `{}`", pip_of(line).unwrap_or_default());
            return Err(is_conda(format!("names a channel of conda, `{channel}`"), instead));
        }
        if is_conda_pin(line) {
            let instead = format!("write `{}`", pip_of(line).unwrap_or_default());
            return Err(is_conda(format!("has a pin in conda's spelling, `{line}`"), instead));
        }
        let file = line.trim_start_matches("-r").trim_start_matches("--requirement").trim();
        if line.starts_with("-r") || line.starts_with("--requirement") || FILES.iter().any(|end| line.ends_with(end)) {
            let what = format!("names a file, `{file}`");
            let yaml = FILES[..2].iter().any(|end| file.ends_with(end));
            let instead = match yaml {
                true => "conda's environment files are not read: write the packages of its `pip:` list, and those of conda by their \
                         names on PyPI, one a line; `towpath.dev/python-version` names the interpreter"
                    .to_owned(),
                false => "write its lines here: they are locked with the run".to_owned(),
            };
            return Err(if yaml { is_conda(what, instead) } else { Wrong { code: "E0802", what, instead } });
        }
    }
    Ok(lines)
}

/// The entries of a line: a comma within bounds (`pandas>=2,<3`) or brackets does not separate.
fn entries(line: &str) -> Vec<String> {
    let line = line.trim();
    if line.starts_with('#') {
        return Vec::new();
    }
    let mut found: Vec<String> = Vec::new();
    for part in line.split(',') {
        let trimmed = part.trim();
        let is_bound = trimmed.starts_with(['<', '>', '=', '!', '~']);
        let is_inside = found.last().is_some_and(|last| last.matches('[').count() > last.matches(']').count());
        match found.last_mut() {
            Some(last) if is_bound || is_inside => {
                last.push(',');
                last.push_str(trimmed);
            }
            _ if trimmed.is_empty() => {}
            _ => found.push(trimmed.to_owned()),
        }
    }
    found
}

/// A whole environment file of conda, translated as far as pip has the same.
fn conda(text: &str) -> Option<Wrong> {
    let is_key = |line: &str| ["dependencies:", "channels:"].iter().any(|key| line.trim_end().starts_with(key));
    if !text.lines().any(is_key) {
        return None;
    }
    let mut python = None;
    let mut packages: Vec<String> = Vec::new();
    let mut in_dependencies = false;
    for line in text.lines() {
        if !line.starts_with([' ', '-', '#']) && line.contains(':') {
            in_dependencies = line.starts_with("dependencies:");
        }
        let Some(item) = line.trim().strip_prefix("- ").map(|item| item.trim().trim_matches(['"', '\''])) else {
            continue;
        };
        if !in_dependencies || item == "pip" || item == "pip:" {
            continue;
        }
        match pip_of(item) {
            Some(pip) if pip.starts_with("python==") => python = Some(pip["python==".len()..].to_owned()),
            Some(pip) => packages.push(pip),
            None => {}
        }
    }
    let version =
        python.map(|version| format!(", and `towpath.dev/python-version: \"{version}\"`")).unwrap_or_default();
    let instead = match packages.is_empty() {
        true => "write requirements for pip, one a line".to_owned(),
        false => format!(
            "write requirements for pip: `{}`{version} (packages that are not on PyPI, such as compilers and CUDA, have to be on the \
             machine)",
            packages.join("\\n")
        ),
    };
    Some(is_conda("is an environment file of conda".to_owned(), instead))
}

fn is_conda(what: String, instead: String) -> Wrong {
    Wrong { code: "E0803", what, instead }
}

/// `name=1.2` or `name=1.2=build`, which pip does not know.
fn is_conda_pin(line: &str) -> bool {
    let Some((name, rest)) = line.split_once('=') else { return false };
    let name_only = name.trim().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.[]".contains(&byte));
    name_only && !name.is_empty() && !rest.starts_with('=') && !rest.is_empty()
}

/// The same for pip; `None`: it has no package.
fn pip_of(item: &str) -> Option<String> {
    let item = item.rsplit("::").next().unwrap_or(item).trim();
    if item.is_empty() || item.starts_with('#') {
        return None;
    }
    if !is_conda_pin(item) {
        return Some(item.to_owned());
    }
    let (name, rest) = item.split_once('=')?;
    let version = rest.split('=').next().unwrap_or_default().trim();
    // Conda's single sign admits all that begin with it.
    let star = if version.matches('.').count() < 2 && !version.ends_with('*') && name != "python" { ".*" } else { "" };
    Some(format!("{}=={version}{star}", name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_commas_separate_and_bounds_do_not() {
        let text = "# pinned\nscikit-learn==1.4.2, pandas>=2,<3\n\nfastapi[all,dev]==1; python_version < '3.12'\npython>=3.10,!=3.12";
        let wanted = [
            "scikit-learn==1.4.2",
            "pandas>=2,<3",
            "fastapi[all,dev]==1; python_version < '3.12'",
            "python>=3.10,!=3.12",
        ];
        assert_eq!(read(text).expect("requirements"), wanted);
        assert_eq!(read("x @ https://h/x.whl").expect("a URL"), ["x @ https://h/x.whl"]);
    }

    #[test]
    fn a_conda_file_is_translated_in_the_refusal() {
        let text = "name: train\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.11\n  - numpy=1.26\n  - conda-forge::pandas=2.1.4=py311\n  - scipy\n  - pip\n  - pip:\n    - mlflow==2.9.2\n";
        let wrong = read(text).expect_err("conda");
        assert_eq!((wrong.code, wrong.what.as_str()), ("E0803", "is an environment file of conda"));
        let pip = "`numpy==1.26.*\\npandas==2.1.4\\nscipy\\nmlflow==2.9.2`, and `towpath.dev/python-version: \"3.11\"`";
        assert!(wrong.instead.starts_with(&format!("write requirements for pip: {pip}")), "{}", wrong.instead);
    }

    #[test]
    fn what_only_looks_like_requirements_is_refused_with_the_remedy() {
        for (text, code, instead) in [
            ("numpy=1.26", "E0803", "write `numpy==1.26.*`"),
            ("python=3.11", "E0803", "write `python==3.11`"),
            ("conda-forge::numpy", "E0803", "write `numpy`"),
            ("environment.yml", "E0803", "conda's environment files are not read"),
            ("-r requirements.txt", "E0802", "write its lines here"),
        ] {
            let wrong = read(text).expect_err(text);
            assert!(wrong.code == code && wrong.instead.starts_with(instead), "{text}: {wrong:?}");
        }
    }
}
