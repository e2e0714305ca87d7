//! Why an environment cannot be built, in words: the package, and which requirements contradict each other.
//! It must never hide what the tool said where it is not understood.

/// Lines of a tool that an error quotes.
const QUOTED_LINES_MAX: usize = 12;

/// The requirements that contradict each other; else the package that a tool was busy with, and its last words.
pub(super) fn failure(tool: &str, said: &[String], errors: &[String], wanted: &[&str]) -> String {
    if let Some(conflict) = conflict(said, wanted).or_else(|| conflict(errors, wanted)) {
        return format!(
            "the Python environment cannot be built, because requirements contradict each other:\n{conflict}"
        );
    }
    // The tool's own words first; what it was busy with is a guess.
    const MARKS: [&str; 4] =
        ["satisfies the requirement ", "distribution found for ", "building wheel for ", "uninstallable requirement "];
    let after = |line: &String, mark: &str| Some(line.split_once(mark)?.1.split_whitespace().next()?.to_string());
    let named = errors.iter().find_map(|line| MARKS.iter().find_map(|mark| after(line, mark)));
    let busy = named.or_else(|| said.iter().rev().find_map(|line| after(line, "Collecting ")));
    let quoted: Vec<&String> = match errors.iter().filter(|line| line.starts_with("ERROR:")).collect::<Vec<_>>() {
        marked if marked.is_empty() => {
            errors.iter().chain(errors.is_empty().then_some(said).into_iter().flatten()).collect()
        }
        marked => marked,
    };
    let quoted: Vec<&str> = quoted.iter().map(|line| line.as_str()).filter(|line| !line.trim().is_empty()).collect();
    let quoted = quoted[quoted.len().saturating_sub(QUOTED_LINES_MAX)..].join("\n");
    let at = busy.map(|name| format!(" at {name}")).unwrap_or_default();
    format!("the Python environment cannot be built: {tool} failed{at}:\n{quoted}")
}

/// One cause of pip's: who wants what of a package. `by` is `None` for the workflow itself.
struct Cause<'a> {
    by: Option<(&'a str, &'a str)>,
    what: &'a str,
}

/// A line for each pair of causes, of what pip says below "The conflict is caused by:".
fn conflict(lines: &[String], wanted: &[&str]) -> Option<String> {
    let from = lines.iter().rposition(|line| line.starts_with("The conflict is caused by:"))?;
    let causes: Vec<Cause<'_>> = lines[from + 1..]
        .iter()
        .map(|line| line.trim())
        .take_while(|line| !line.is_empty())
        .filter_map(cause)
        .collect();
    let told: Vec<String> = causes
        .iter()
        .enumerate()
        .filter_map(|(index, first)| {
            let others = causes[..index].iter().chain(&causes[index + 1..]);
            let other = others.filter(|other| name_of(other.what) == name_of(first.what));
            // The workflow's own words come second, and two packages are told once.
            let mut other = other.filter(|other| other.by.is_none());
            let pair = other.next().or_else(|| {
                let later = causes[index + 1..].iter().find(|other| name_of(other.what) == name_of(first.what));
                later.filter(|_| first.by.is_some())
            })?;
            first.by.map(|by| format!("  {}, but {}", needs(by, first.what, wanted), opposite(pair, wanted)))
        })
        .collect();
    (!told.is_empty()).then(|| format!("{}\nloosen or change one of them", told.join("\n")))
}

fn cause(line: &str) -> Option<Cause<'_>> {
    if let Some(what) = line.strip_prefix("The user requested ") {
        return Some(Cause { by: None, what: what.trim_start_matches("(constraint) ") });
    }
    let (by, what) = line.split_once(" depends on ")?;
    let (name, version) = by.rsplit_once(' ')?;
    Some(Cause { by: Some((name, version)), what })
}

fn needs((name, version): (&str, &str), what: &str, wanted: &[&str]) -> String {
    format!("{name} {version}{} needs {what}", line_of(name, wanted))
}

fn opposite(cause: &Cause<'_>, wanted: &[&str]) -> String {
    match cause.by {
        Some(by) => needs(by, cause.what, wanted),
        None => {
            // As it is written, with its line.
            let at = wanted.iter().position(|line| line.replace(' ', "") == cause.what.replace(' ', ""));
            let at = at.or_else(|| position(name_of(cause.what).as_str(), wanted));
            let line = at.map_or_else(String::new, |at| format!(" (python-requirements line {})", at + 1));
            format!("{} is asked for{line}", cause.what)
        }
    }
}

fn line_of(name: &str, wanted: &[&str]) -> String {
    position(&name_of(name), wanted).map_or_else(String::new, |at| format!(" (line {})", at + 1))
}

fn position(name: &str, wanted: &[&str]) -> Option<usize> {
    wanted.iter().position(|line| name_of(line) == name)
}

/// The normalised name at the front of a requirement.
fn name_of(requirement: &str) -> String {
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
    requirement[..end.unwrap_or(requirement.len())].to_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_string).collect()
    }

    #[test]
    fn a_failure_names_the_package_and_quotes_the_tool() {
        let said = lines("Collecting six==9\n  Using cached x");
        let errors = lines("noise\nERROR: No matching distribution found for nosuch==1\n");
        let text = failure("pip", &said, &errors, &[]);
        assert_eq!(
            text,
            "the Python environment cannot be built: pip failed at nosuch==1:\nERROR: No matching distribution found for nosuch==1"
        );
        let text = failure("pip", &said, &lines("error: metadata-generation-failed"), &[]);
        assert!(text.contains("pip failed at six==9:\nerror: metadata-generation-failed"), "{text}");
    }

    #[test]
    fn requirements_that_contradict_each_other_are_told_by_package() {
        let told = |causes: &str, wanted: &[&str]| {
            let said = lines(&format!("Collecting x\n\nThe conflict is caused by:\n{causes}\n\nTo fix this you could"));
            failure("pip", &said, &lines("ERROR: ResolutionImpossible: for help visit"), wanted)
        };
        let begin = "the Python environment cannot be built, because requirements contradict each other:\n";
        let end = "\nloosen or change one of them";
        assert_eq!(
            told("    The user requested bbb==2.1\n    aaa 1.0 depends on bbb<2", &["aaa", "six", "bbb == 2.1"]),
            format!(
                "{begin}  aaa 1.0 (line 1) needs bbb<2, but bbb==2.1 is asked for (python-requirements line 3){end}"
            )
        );
        assert_eq!(
            told("    aaa 1.0 depends on bbb<2\n    ccc 1.0 depends on bbb>=2", &["ccc==1.0"]),
            format!("{begin}  aaa 1.0 needs bbb<2, but ccc 1.0 (line 1) needs bbb>=2{end}")
        );
    }
}
