//! The results of all rounds, kept in a file.

use crate::values::Values;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// The figures of one peer in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) figure: String,
    /// `disk` or `tmpfs`.
    pub(crate) place: String,
    pub(crate) peer: String,
    pub(crate) round: u32,
    pub(crate) values: Values,
}

impl Record {
    fn is(&self, figure: &str, place: &str) -> bool {
        self.figure == figure && self.place == place
    }
}

#[derive(Debug, Default)]
pub(crate) struct Results {
    records: Vec<Record>,
    file: Option<File>,
}

impl Results {
    /// Goes on with the file, if it exists.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut results = if path.exists() { Self::read(path)? } else { Self::default() };
        let file = OpenOptions::new().create(true).append(true).open(path);
        results.file = Some(file.with_context(|| format!("could not open {}", path.display()))?);
        Ok(results)
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("could not read {}", path.display()))?;
        let records = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
        let records = records.with_context(|| format!("{} is damaged", path.display()))?;
        Ok(Self { records, file: None })
    }

    /// Whether there is this round already.
    pub(crate) fn has(&self, figure: &str, place: &str, peer: &str, round: u32) -> bool {
        self.records.iter().any(|r| r.is(figure, place) && r.peer == peer && r.round == round)
    }

    /// Prints and keeps a record.
    pub(crate) fn add(&mut self, record: Record) -> Result<()> {
        let Record { figure, place, peer, round, values } = &record;
        println!("{figure} {place} {peer} round {round}: {values}");
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", serde_json::to_string(&record)?)?;
        }
        self.records.push(record);
        Ok(())
    }

    /// The medians of all rounds of a peer.
    pub(crate) fn medians(&self, figure: &str, place: &str, peer: &str) -> Values {
        let records = self.records.iter().filter(|r| r.is(figure, place) && r.peer == peer);
        Values::medians(records.map(|record| &record.values))
    }

    pub(crate) fn print_medians(&self, figure: &str, place: &str, peers: &[&str]) {
        for peer in peers {
            println!("{figure} {place} {peer} MEDIAN: {}", self.medians(figure, place, peer));
        }
    }
}
