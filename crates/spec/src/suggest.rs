//! The nearest known name to a wrong one.
//! It must never know what the names stand for.

/// The candidate nearest to `word` by edits, if it is near enough to be what was meant.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = match word.chars().count() {
        0 | 1 => 0,
        2..=4 => 1,
        length => length / 3,
    };
    let folded = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word && candidate.len().abs_diff(word.len()) <= limit * 4)
        .map(|candidate| (distance(&folded, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`?", or a list of what there is, or `otherwise`.
pub fn help<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone, otherwise: &str) -> String {
    if let Some(found) = nearest(word, candidates.clone()) {
        return format!("did you mean `{found}`?");
    }
    let mut known: Vec<&str> = candidates.into_iter().collect();
    known.sort_unstable();
    known.dedup();
    match known.len() {
        0 => otherwise.to_owned(),
        1..=12 => format!("there is: {}", known.join(", ")),
        _ => format!("there is: {}, …", known[..12].join(", ")),
    }
}

/// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before_last[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(nearest("entrypiont", ["entrypoint", "arguments"]), Some("entrypoint"));
        assert_eq!(nearest("Image", ["image"]), Some("image"));
        assert_eq!(nearest("banana", ["entrypoint", "image"]), None);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn without_a_near_name_what_there_is_is_listed() {
        assert_eq!(help("zzz", ["b", "a"], "none"), "there is: a, b");
        assert_eq!(help("zzz", [], "none"), "none");
    }
}
