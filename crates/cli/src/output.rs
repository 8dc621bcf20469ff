//! What a command prints on standard output.

use crate::Result;
use console::{Term, measure_text_width, style, truncate_str};
use serde_json::Value;
use std::io::{IsTerminal, StdoutLock, Write};

/// Standard output: lines of JSON, or a table.
#[derive(Debug)]
pub(crate) struct Output {
    out: StdoutLock<'static>,
    json: bool,
    /// The width of the terminal, if it is one.
    width: Option<usize>,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let width = is_terminal.then(|| usize::from(Term::stdout().size().1));
        Self { out: std::io::stdout().lock(), json, width }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A line: the object with `--json`, else the text.
    pub(crate) fn say(&mut self, text: &str, object: &Value) -> Result<()> {
        if self.json {
            writeln!(self.out, "{object}")?;
        } else {
            writeln!(self.out, "{text}")?;
        }
        Ok(())
    }

    /// A heading, which is bold on a terminal.
    pub(crate) fn heading(&mut self, text: &str) -> Result<()> {
        let text = style(text).bold().force_styling(self.is_styled()).to_string();
        Ok(writeln!(self.out, "{text}")?)
    }

    /// Text as it is.
    pub(crate) fn text(&mut self, text: &str) -> Result<()> {
        Ok(writeln!(self.out, "{text}")?)
    }

    fn is_styled(&self) -> bool {
        self.width.is_some() && console::colors_enabled()
    }

    /// Rows with headings: aligned and cut to the width of a terminal, and separated by tabs
    /// elsewhere.
    pub(crate) fn table(&mut self, heads: &[&str], rows: &[Vec<String>]) -> Result<()> {
        let Some(width) = self.width else {
            for row in rows {
                writeln!(self.out, "{}", row.join("\t"))?;
            }
            return Ok(());
        };
        let mut widths: Vec<usize> = heads.iter().map(|head| measure_text_width(head)).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = measure_text_width(cell).max(*width);
            }
        }
        let line = |cells: &[String]| {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| {
                let missing = width.saturating_sub(measure_text_width(cell));
                format!("{cell}{}", " ".repeat(missing))
            });
            let line = padded.collect::<Vec<_>>().join("  ");
            truncate_str(line.trim_end(), width, "…").into_owned()
        };
        let heads: Vec<String> = heads.iter().map(|&head| head.to_owned()).collect();
        if !rows.is_empty() {
            self.heading(&line(&heads))?;
        }
        for row in rows {
            writeln!(self.out, "{}", line(row))?;
        }
        Ok(())
    }
}
