//! Figures: one line each on the terminal, all of them in one JSON file.

use crate::plot::Plot;
use anyhow::{Context, Result};
use clap::Parser;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// The command line of a program that measures.
#[derive(Debug, Clone, Parser)]
pub struct Options {
    /// Fewer rounds: a first impression rather than a figure.
    #[arg(long)]
    pub quick: bool,
    /// Only figures of the groups whose name contains this.
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// Where the JSON and the plots go.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// A folder in memory.
    #[arg(long, value_name = "FOLDER", default_value = "/dev/shm")]
    pub memory: PathBuf,
}

/// The bound of a figure.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// No target: it is for the reader to compare.
    None,
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
}

#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    target: String,
    verdict: &'static str,
}

/// The figures of one program.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    options: Options,
    figures: Vec<Figure>,
}

impl Report {
    /// An empty one, called `name` in its files.
    ///
    /// # Errors
    /// The folder for its files cannot be made.
    pub fn new(name: &'static str, options: Options) -> Result<Self> {
        fs::create_dir_all(&options.out).context("could not make the folder for the report")?;
        Ok(Self { name, options, figures: Vec::new() })
    }

    /// Whether the figures called `group…` are wanted.
    pub fn wants(&self, group: &str) -> bool {
        self.options.only.as_ref().is_none_or(|only| group.contains(only.as_str()))
    }

    /// The command line.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// How many rounds: many, or a tenth for a first impression.
    pub fn rounds(&self, many: usize) -> usize {
        if self.options.quick { many.div_ceil(10) } else { many }
    }

    /// Adds a figure and prints it.
    pub fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str, bound: Bound) {
        let (target, verdict) = match bound {
            Bound::None => ("-".to_owned(), "-"),
            Bound::AtMost(most) => {
                (format!("<={most}"), if value <= most { "met" } else { "MISSED" })
            }
            Bound::AtLeast(least) => {
                (format!(">={least}"), if value >= least { "met" } else { "MISSED" })
            }
        };
        let figure = Figure { name: name.into(), value, unit, target, verdict };
        println!(
            "{:<60} {:>12} {:<14} {:<8} {}",
            figure.name,
            short(value),
            figure.unit,
            figure.target,
            figure.verdict
        );
        self.figures.push(figure);
    }

    /// Draws a plot into the report's folder.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn plot(&self, plot: &Plot<'_>) -> Result<()> {
        plot.draw(&self.options.out)
    }

    /// Writes the JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(self) -> Result<()> {
        let mut content = BTreeMap::new();
        content.insert("quick", serde_json::to_value(self.options.quick)?);
        content.insert("figures", serde_json::to_value(&self.figures)?);
        let path = self.options.out.join(format!("{}.json", self.name));
        fs::write(&path, serde_json::to_vec_pretty(&content)?)
            .with_context(|| format!("could not write {}", path.display()))
    }
}

fn short(value: f64) -> String {
    if value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

/// The median: noise on a shared machine has one side and is heavy, so that a mean says little.
pub fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}
