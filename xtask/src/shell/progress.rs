//! A spinner on a terminal; a few plain lines in a pipe.

use indicatif::{ProgressBar, ProgressStyle};
use std::cell::Cell;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// In a pipe, how often a line of the program tells that it goes on.
const OFTEN: Duration = Duration::from_mins(5);

/// Shows that one step is under way.
#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    started: Instant,
    bar: Option<ProgressBar>,
    told: Cell<Instant>,
}

impl Progress {
    pub(super) fn start(name: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg:.dim}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            // Said at the start, so that a log that stops tells in which step.
            println!("   {name} …");
        }
        let started = Instant::now();
        Self { name: name.to_owned(), started, bar, told: Cell::new(started) }
    }

    /// The latest line of the program's output. In a pipe, only that a test takes long, and now and
    /// then any: a log that stops tells where.
    pub(super) fn line(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(line.trim().to_owned());
        } else if line.ends_with(" has been running for over 60 seconds")
            || self.told.get().elapsed() > OFTEN
        {
            println!("     after {} s: {}", self.started.elapsed().as_secs(), line.trim());
            self.told.set(Instant::now());
        }
    }

    pub(super) fn finish(self, ok: bool) -> Duration {
        let elapsed = self.started.elapsed();
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        let verdict = if ok { "ok" } else { "FAILED" };
        println!("   {} {verdict} ({:.1} s)", self.name, elapsed.as_secs_f32());
        elapsed
    }
}
