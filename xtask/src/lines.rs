//! The length of lines: Rust code and Markdown prose, at most [`COLUMNS`] characters. Checked by
//! `cargo xtask verify`.

use crate::shell::Shell;
use crate::tracked;
use anyhow::{Context, Result};
use std::path::Path;

const COLUMNS: usize = 100;

/// Returns a line of text for each line of the checkout that is too long.
///
/// # Errors
/// The files of the checkout cannot be listed or read.
pub(crate) fn check(shell: &Shell) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for file in tracked::files(shell)?.iter().filter(|file| is_checked(file)) {
        let text = std::fs::read_to_string(shell.root().join(file))
            .with_context(|| format!("could not read {}", file.display()))?;
        problems.extend(too_long(file, &text).into_iter().map(|(number, columns)| {
            format!("{}:{number} has {columns} columns; the limit is {COLUMNS}", file.display())
        }));
    }
    Ok(problems)
}

fn is_checked(file: &Path) -> bool {
    is_markdown(file) || file.extension().is_some_and(|extension| extension == "rs")
}

fn is_markdown(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "md")
}

/// The numbers of the lines that are too long, counted from 1, and their columns.
fn too_long(file: &Path, text: &str) -> Vec<(usize, usize)> {
    let markdown = is_markdown(file);
    let lines = text.lines().enumerate().filter(|(_, line)| !(markdown && is_table_row(line)));
    let counted = lines.map(|(number, line)| (number + 1, columns(line)));
    counted.filter(|(_, columns)| *columns > COLUMNS).collect()
}

fn is_table_row(line: &str) -> bool {
    line.trim_start().starts_with('|')
}

/// The characters of a line, less those of URLs, which cannot be wrapped.
fn columns(line: &str) -> usize {
    let urls = line.split_whitespace().filter(|word| word.contains("://"));
    line.chars().count() - urls.map(|url| url.chars().count()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, is_checked, too_long};
    use std::path::Path;

    fn found(file: &str, text: &str) -> Vec<(usize, usize)> {
        too_long(Path::new(file), text)
    }

    #[test]
    fn lines_are_counted_in_characters_and_not_in_bytes() {
        let fits = "é".repeat(COLUMNS);
        assert_eq!(found("a.rs", &fits), []);
        assert_eq!(found("a.rs", &format!("fits\n{fits}x\n")), [(2, COLUMNS + 1)]);
        assert_eq!(found("a.md", &format!("{fits}x\r\n")), [(1, COLUMNS + 1)]);
    }

    #[test]
    fn table_rows_of_markdown_may_be_long_and_those_of_rustdoc_may_not() {
        let row = format!("| {} |", "x".repeat(COLUMNS));
        assert_eq!(found("a.md", &row), []);
        assert_eq!(found("a.md", &format!("  {row}")), []);
        assert_eq!(found("a.rs", &format!("/// {row}")).len(), 1);
    }

    #[test]
    fn a_url_may_be_long_and_the_words_beside_it_may_not() {
        let url = format!("https://example.com/{}", "x".repeat(COLUMNS));
        assert_eq!(found("a.md", &format!("See [the page]({url}).")), []);
        assert_eq!(found("a.md", &format!("{url} {}", "y".repeat(COLUMNS))).len(), 1);
    }

    #[test]
    fn code_and_prose_are_checked_and_data_is_not() {
        for (file, checked) in
            [("a/b.rs", true), ("README.md", true), ("Cargo.lock", false), ("golden/a.json", false)]
        {
            assert_eq!(is_checked(Path::new(file)), checked, "{file}");
        }
    }
}
