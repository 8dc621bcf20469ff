//! `docs/doors.md`: which test shows which clause of the contract, through which door. Checked by
//! `cargo xtask verify`.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const DOORS: &str = "docs/doors.md";
const CONTRACT: &str = "docs/contract.md";

/// Compares the table with the contract and the tests; returns a line for each thing that is wrong.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let read = |path: &str| {
        std::fs::read_to_string(root.join(path)).with_context(|| format!("could not read {path}"))
    };
    Ok(problems(&read(CONTRACT)?, &read(DOORS)?, &|path| text_of(&root.join(path))))
}

/// A file's text; of a folder, the texts of all files in it.
pub(crate) fn text_of(path: &Path) -> Option<String> {
    if !path.is_dir() {
        return std::fs::read_to_string(path).ok();
    }
    let mut entries: Vec<_> = std::fs::read_dir(path).ok()?.filter_map(Result::ok).collect();
    entries.sort_by_key(std::fs::DirEntry::path);
    Some(entries.iter().filter_map(|entry| text_of(&entry.path())).collect::<Vec<_>>().join("\n"))
}

/// `text` gives the text at a path of the repository.
fn problems(contract: &str, doors: &str, text: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let tables = tables(doors);
    let sources = sources(&tables, text, &mut problems);
    let promised = clauses(contract);
    let mut shown = BTreeSet::new();
    for table in
        tables.iter().filter(|table| table.header.first().is_some_and(|first| first == "clause"))
    {
        for row in &table.rows {
            let clause = row.first().map_or("", String::as_str);
            let clause = clause.split(' ').next().unwrap_or_default();
            if !promised.contains(clause) {
                problems.push(format!("{DOORS}: {clause:?} is no clause of {CONTRACT}"));
            }
            if row.len() != table.header.len() {
                let (is, should) = (row.len(), table.header.len());
                problems.push(format!("{DOORS}: the row of {clause} has {is} cells, not {should}"));
            }
            for (door, cell) in table.header.iter().zip(row).skip(1) {
                let place = format!("{DOORS}: {clause}, {door}");
                problems.extend(
                    cell_problems(cell, &sources).map(|problem| format!("{place}: {problem}")),
                );
            }
            shown.insert(clause);
        }
    }
    let missing = promised.iter().filter(|clause| !shown.contains(clause.as_str()));
    problems.extend(missing.map(|clause| format!("{DOORS}: {clause} has no row")));
    problems
}

/// The clauses that the contract makes: `**S1 …`.
fn clauses(contract: &str) -> BTreeSet<String> {
    let is_clause = |word: &&str| {
        let mut chars = word.chars();
        matches!(chars.next(), Some('S' | 'C'))
            && chars.clone().next().is_some()
            && chars.all(|c| c.is_ascii_digit())
    };
    let bold = contract.lines().filter_map(|line| line.strip_prefix("**"));
    bold.filter_map(|line| line.split(' ').next()).filter(is_clause).map(str::to_owned).collect()
}

#[derive(Debug)]
struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn tables(markdown: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut inside = false;
    for line in markdown.lines() {
        let Some(row) = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|'))
        else {
            inside = false;
            continue;
        };
        let cells: Vec<String> = row.split('|').map(|cell| cell.trim().to_owned()).collect();
        match tables.last_mut().filter(|_| inside) {
            None => tables.push(Table { header: cells, rows: Vec::new() }),
            Some(_) if cells.iter().all(|cell| cell.starts_with("--")) => {}
            Some(table) => table.rows.push(cells),
        }
        inside = true;
    }
    tables
}

/// The table of sources: each name that tests are written with, and the text in which they must be.
fn sources(
    tables: &[Table],
    text: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> BTreeMap<String, (String, String)> {
    let mut sources = BTreeMap::new();
    for row in tables
        .iter()
        .filter(|table| table.header.first().is_some_and(|f| f == "name"))
        .flat_map(|t| &t.rows)
    {
        let [name, path, ..] = &row[..] else { continue };
        let (name, path) = (name.trim_matches('`'), path.trim_matches('`'));
        match text(path) {
            Some(found) => drop(sources.insert(name.to_owned(), (path.to_owned(), found))),
            None => problems.push(format!("{DOORS}: there is no {path}")),
        }
    }
    sources
}

/// A cell names tests, in backticks, or says in words why there is none.
fn cell_problems<'a>(
    cell: &'a str,
    sources: &'a BTreeMap<String, (String, String)>,
) -> impl Iterator<Item = String> + 'a {
    let tests: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
    let words =
        cell.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic)).count();
    let empty = tests.is_empty() && words < 2;
    let empty = empty.then(|| "is empty; name a test, or say why there is none".to_owned());
    empty.into_iter().chain(tests.into_iter().filter_map(|test| test_problem(test, sources)))
}

fn test_problem(test: &str, sources: &BTreeMap<String, (String, String)>) -> Option<String> {
    let Some((source, name)) = test.split_once("::") else {
        return Some(format!("`{test}` is not written as source::test"));
    };
    let Some((path, found)) = sources.get(source) else {
        return Some(format!("`{source}` is not among the sources"));
    };
    (!has_test(path, found, name)).then(|| format!("{path} has no test `{name}`"))
}

/// Whether a source has that test: a title, a case of the suite, a test function, a golden scenario
/// or a campaign.
fn has_test(path: &str, text: &str, name: &str) -> bool {
    let quoted = |before: &str| {
        ['\'', '"', '`'].iter().any(|q| text.contains(&format!("{before}{q}{name}{q}")))
    };
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        // A test function of a file of its own is named so: `chatTest(`.
        Some("mjs") => quoted("test(") || quoted("Test("),
        // The list of the suite: `module::case [clauses] [needs];`.
        Some("rs") if text.contains("macro_rules! __conformance_cases") => {
            text.lines().any(|line| {
                line.trim()
                    .split_once("::")
                    .is_some_and(|(_, case)| case == name || case.starts_with(&format!("{name} [")))
            })
        }
        Some("rs") => is_test_function(text, name),
        // A folder: of golden scenarios, or of campaigns.
        _ => quoted("\"name\": ") || quoted("const NAME: &str = "),
    }
}

/// Whether `fn name(` is there, with an attribute of a test above it.
fn is_test_function(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().any(|(n, line)| {
        let declared = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        declared.and_then(|line| line.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('))
            && lines[..n]
                .iter()
                .rev()
                .take_while(|above| above.starts_with('#') || above.starts_with("//"))
                .any(|above| above.starts_with("#[") && above.contains("test"))
    })
}

#[cfg(test)]
mod tests {
    use super::{Path, Result, check, clauses, problems};

    const CONTRACT: &str =
        "**S1 Whole.** A commit.\n\n**C1 Durable.** Then visible.\n**Note** this.";
    const DOORS: &str = "\
| name | file | store |
|---|---|---|
| `suite` | `list.rs` | all |
| `core` | `commits.rs` | memory |
| `workerd` | `worker.test.mjs` | object |
| `golden` | `golden` | memory |
| `campaign` | `torture/src` | redb |

| clause | memory | redb |
|---|---|---|
| S1 whole | `suite::all_land` | `suite::all_land`, `campaign::power-loss` |

| clause | Rust | HTTP | Worker |
|---|---|---|---|
| C1 durable | `core::c1_visible` | `golden::the same message` | none; `workerd::it is there now` |
";

    fn text(path: &str) -> Option<String> {
        Some(
            match path {
                "list.rs" => "macro_rules! __conformance_cases {\n  atomic::all_land [S1] [];\n}",
                "commits.rs" => {
                    "#[tokio::test(start_paused = true)]\n/// Says it.\n\
                     async fn c1_visible() {}\n\nfn helper() {}\n"
                }
                "worker.test.mjs" => "test('it is there now', async () => {",
                "golden" => "{ \"name\": \"the same message\" }",
                "torture/src" => "pub(crate) const NAME: &str = \"power-loss\";",
                _ => return None,
            }
            .to_owned(),
        )
    }

    /// The problems after one change of the table.
    fn after(old: &str, new: &str) -> Vec<String> {
        assert!(DOORS.contains(old), "{old}");
        problems(CONTRACT, &DOORS.replace(old, new), &text)
    }

    #[test]
    fn a_table_of_tests_that_exist_has_no_problem() {
        assert_eq!(problems(CONTRACT, DOORS, &text), Vec::<String>::new());
    }

    #[test]
    fn a_test_that_does_not_exist_is_named_in_every_kind_of_source() {
        for (old, new) in [
            ("| `suite::all_land` |", "| `suite::all_lan` |"),
            ("`core::c1_visible`", "`core::c1_invisible`"),
            // It is there, but no test.
            ("`core::c1_visible`", "`core::helper`"),
            ("`golden::the same message`", "`golden::the same`"),
            ("`workerd::it is there now`", "`workerd::it is there`"),
            ("`campaign::power-loss`", "`campaign::power`"),
            ("`core::c1_visible`", "`cores::c1_visible`"),
            ("`core::c1_visible`", "`c1_visible`"),
        ] {
            let problems = after(old, new);
            assert_eq!(problems.len(), 1, "{new}: {problems:?}");
        }
    }

    #[test]
    fn an_empty_cell_needs_a_reason() {
        for empty in ["", "-", "—", "none"] {
            let problems = after("`golden::the same message`", empty);
            assert!(
                problems.len() == 1 && problems[0].contains("C1, HTTP: is empty"),
                "{empty}: {problems:?}"
            );
        }
        assert_eq!(
            after("`golden::the same message`", "not reachable there"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn every_clause_has_a_row_of_all_cells() {
        let problems = after("| C1 durable |", "| C2 one |");
        assert!(problems.iter().any(|p| p.contains("C1 has no row")), "{problems:?}");
        assert!(problems.iter().any(|p| p.contains("\"C2\" is no clause")), "{problems:?}");
        let problems = after("| S1 whole | `suite::all_land` |", "| S1 whole |");
        assert!(problems.iter().any(|p| p.contains("has 2 cells, not 3")), "{problems:?}");
        assert_eq!(after("`commits.rs`", "`gone.rs`").len(), 2);
    }

    #[test]
    fn the_table_of_this_repository_is_right() -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert_eq!(check(&root)?, Vec::<String>::new());
        Ok(())
    }

    #[test]
    fn the_contract_itself_is_understood() {
        let contract = include_str!("../../docs/contract.md");
        let clauses = clauses(contract);
        assert!(
            ["S1", "S12", "C1", "C13"].iter().all(|clause| clauses.contains(*clause)),
            "{clauses:?}"
        );
        assert_eq!(clauses.len(), 25);
    }
}
