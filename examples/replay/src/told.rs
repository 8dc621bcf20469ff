//! Telling a person what is going on, and counting what is not taken.

use crate::input::Skipped;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// A progress bar of a pass over the file, and what was skipped so far in all passes. Cheap to
/// clone.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) progress: ProgressBar,
    skips: Arc<Mutex<Skips>>,
}

#[derive(Debug, Default)]
struct Skips {
    count: u64,
    numbers: HashSet<usize>,
}

impl Told {
    pub(crate) fn new(pass: &'static str) -> Self {
        Self { progress: bar(pass), skips: Arc::default() }
    }

    /// The same for another pass over the file.
    pub(crate) fn pass(&self, pass: &'static str) -> Self {
        self.progress.finish_and_clear();
        Self { progress: bar(pass), skips: Arc::clone(&self.skips) }
    }

    /// Says and counts that a conversation is not taken; `number` if it could be read.
    pub(crate) fn skip(&self, number: Option<usize>, skipped: &Skipped) {
        {
            let mut skips = self.skips.lock().unwrap_or_else(PoisonError::into_inner);
            skips.count += 1;
            skips.numbers.extend(number);
        }
        self.say(&format!("{skipped}; skipped"));
    }

    pub(crate) fn was_skipped(&self, number: usize) -> bool {
        self.skips.lock().unwrap_or_else(PoisonError::into_inner).numbers.contains(&number)
    }

    /// How many conversations are not taken.
    pub(crate) fn skipped(&self) -> u64 {
        self.skips.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// A line on standard error.
    pub(crate) fn say(&self, line: &str) {
        self.progress.suspend(|| eprintln!("{line}"));
    }
}

/// A progress bar over the bytes of the file; it draws nothing when standard error is no terminal.
fn bar(pass: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_prefix(pass);
    if let Ok(style) =
        ProgressStyle::with_template("{prefix:10} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    {
        bar.set_style(style);
    }
    bar
}
