//! Shows progress, and counts the skipped conversations.

use crate::input::Skipped;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The progress bar of one pass over the file, and the skipped conversations of all passes. Cheap
/// to clone.
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

    /// Begins another pass over the file.
    pub(crate) fn pass(&self, pass: &'static str) -> Self {
        self.progress.finish_and_clear();
        Self { progress: bar(pass), skips: Arc::clone(&self.skips) }
    }

    /// Prints and counts a skipped conversation. `number` is `None` if it could not be read.
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

    /// The count of skipped conversations.
    pub(crate) fn skipped(&self) -> u64 {
        self.skips.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Prints a line on standard error.
    pub(crate) fn say(&self, line: &str) {
        self.progress.suspend(|| eprintln!("{line}"));
    }
}

/// A progress bar over the bytes of the file. It is visible only on a terminal.
fn bar(pass: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_prefix(pass);
    if let Ok(style) = ProgressStyle::with_template(
        "{prefix:10} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    ) {
        bar.set_style(style);
    }
    bar
}
