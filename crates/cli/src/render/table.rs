//! Columns of text that line up.
//! It must never cut what stands in the last column.

/// The rows below their heading, columns two blanks apart; every line ends with a newline.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let heading: Vec<String> = heading.iter().map(|cell| (*cell).to_string()).collect();
    let mut out = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let mut text = String::new();
        for (width, cell) in widths.iter().zip(row) {
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".into(), "long one".into(), String::new()], vec!["bcd".into(), "x".into(), "y".into()]];
        assert_eq!(super::table(&["N", "M", "L"], &rows), "N    M         L\na    long one\nbcd  x         y\n");
    }
}
