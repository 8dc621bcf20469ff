//! A spinner on a terminal; two plain lines in a pipe.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Shows that one step is under way.
#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    started: Instant,
    bar: Option<ProgressBar>,
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
        Self { name: name.to_owned(), started: Instant::now(), bar }
    }

    /// The latest line of the program's output. In a pipe, only that a test takes long: the last
    /// words of a log that stops.
    pub(super) fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(line.trim().to_owned()),
            None if line.ends_with(" has been running for over 60 seconds") => {
                println!("     {line}");
            }
            None => {}
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
