//! Text for a terminal or a pipe: tables, and lines without control characters.

/// A table, written in one or several parts. The text is the same on a terminal and in a pipe, except for colour.
#[derive(Debug)]
pub struct Table {
    headings: &'static [&'static str],
    /// Of its columns; none before the first part.
    widths: Option<Vec<usize>>,
}

impl Table {
    pub fn new(headings: &'static [&'static str]) -> Table {
        Table { headings, widths: None }
    }

    /// More rows, with the heading above the first part. A column is as wide as its widest cell so far.
    pub fn part(&mut self, rows: &[Vec<String>], colour: bool) -> String {
        let clean = |row: &Vec<String>| row.iter().map(|cell| one_line(cell)).collect();
        let rows: Vec<Vec<String>> = rows.iter().map(clean).collect();
        let begun = self.widths.is_some();
        let own = || self.headings.iter().map(|heading| heading.len()).collect();
        let widths = self.widths.get_or_insert_with(own);
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        if !begun {
            let heading = line(self.headings.iter().copied(), widths);
            text = match colour {
                true => format!("\x1b[1m{heading}\x1b[0m\n"),
                false => heading + "\n",
            };
        }
        for row in &rows {
            text.push_str(&line(row.iter().map(String::as_str), widths));
            text.push('\n');
        }
        text
    }
}

fn line<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let padded: Vec<String> = cells
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    padded.join("  ").trim_end().to_owned()
}

/// Control characters would let text from a file or a peer write to the operator's terminal.
pub fn one_line(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_in_parts_has_one_heading_and_columns_that_only_widen() {
        let mut table = Table::new(&["NAME", "IS"]);
        let row = |name: &str| vec![vec![name.to_owned(), "x".to_owned()]];
        assert_eq!(table.part(&row("rg-0"), false), "NAME  IS\nrg-0  x\n");
        assert_eq!(table.part(&row("rg-1000"), false), "rg-1000  x\n");
        assert_eq!(table.part(&row("rg-1"), false), "rg-1     x\n");
    }
}
