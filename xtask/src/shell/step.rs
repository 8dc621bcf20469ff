//! One program run to its end: its output in a log file, and on the terminal only when it failed.

use super::{Shell, progress::Progress, silence};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How many lines of a failed program are shown; the log file has the rest.
const SHOWN: usize = 400;

/// How many lines of a program that fell silent are shown.
const LAST_WORDS: usize = 6;

/// A named program, about to be run.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    shell: &'a Shell,
    name: &'a str,
    command: Command,
    silence: Duration,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) ok: bool,
    /// Its output on both streams, in the order in which the lines came.
    pub(crate) lines: Vec<String>,
    pub(crate) elapsed: Duration,
}

impl<'a> Step<'a> {
    pub(crate) fn new(shell: &'a Shell, name: &'a str, command: Command) -> Self {
        Self { shell, name, command, silence: silence::LIMIT }
    }

    /// Runs it without standard input and waits. A program that fails is an answer, not an error,
    /// and so is one that falls silent for [`silence::LIMIT`]: what it runs is shown and ended.
    pub(crate) fn run(mut self) -> Result<Finished> {
        let log = self.log_file()?;
        let mut file =
            File::create(&log).with_context(|| format!("could not write {}", log.display()))?;
        let progress = Progress::start(self.name);
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("could not start {}", self.command.get_program().display()))?;

        let (sender, receiver) = mpsc::channel();
        let mut readers = vec![
            child.stdout.take().map(|pipe| forward(pipe, sender.clone())),
            child.stderr.take().map(|pipe| forward(pipe, sender.clone())),
        ];
        drop(sender);
        let mut lines = Vec::new();
        loop {
            let line = match receiver.recv_timeout(self.silence) {
                Ok(line) => line,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let said = lines.iter().rev().take(LAST_WORDS).rev();
                    said.for_each(|line| println!("     {line}"));
                    if silence::end_children(child.id(), self.name) {
                        continue;
                    }
                    // Whoever holds its output open is not waited for.
                    readers.clear();
                    let _ = child.kill();
                    break;
                }
            };
            progress.line(&line);
            writeln!(file, "{line}")
                .with_context(|| format!("could not write {}", log.display()))?;
            lines.push(line);
        }
        for reader in readers.into_iter().flatten() {
            let _ = reader.join();
        }
        let status = child.wait().with_context(|| format!("could not wait for {}", self.name))?;
        let elapsed = progress.finish(status.success());
        if !status.success() {
            show(&lines);
            println!(
                "   {} ended with {status}; all of its output is in {}",
                self.name,
                log.display()
            );
        }
        Ok(Finished { ok: status.success(), lines, elapsed })
    }

    fn log_file(&self) -> Result<PathBuf> {
        let folder = self.shell.target().join("xtask");
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        let name: String = self
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        Ok(folder.join(format!("{name}.log")))
    }
}

fn forward(
    pipe: impl Read + Send + 'static,
    lines: mpsc::Sender<String>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut bytes = Vec::new();
        while let Ok(1..) = pipe.read_until(b'\n', &mut bytes) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            if lines.send(line).is_err() {
                return;
            }
            bytes.clear();
        }
    })
}

fn show(lines: &[String]) {
    let told = noteworthy(lines);
    let skipped = told.len().saturating_sub(SHOWN);
    if skipped > 0 {
        println!("     ({skipped} lines before these)");
    }
    for line in &told[skipped..] {
        println!("     {line}");
    }
}

/// The lines without successes: passed tests and their output, and compiled crates.
fn noteworthy(lines: &[String]) -> Vec<&str> {
    let mut told = Vec::new();
    let mut in_successes = false;
    for line in lines.iter().map(String::as_str) {
        match line {
            "successes:" => in_successes = true,
            _ if line == "failures:" || line.starts_with("test result:") => in_successes = false,
            _ => {}
        }
        let routine = line.ends_with("... ok")
            || line.starts_with("test result: ok.")
            || [
                "Compiling",
                "Checking",
                "Documenting",
                "Downloading",
                "Downloaded",
                "Fresh",
                "Running",
                "Doc-tests",
                "running ",
            ]
            .iter()
            .any(|word| line.trim_start().starts_with(word));
        if !in_successes && !routine && !line.trim().is_empty() {
            told.push(line);
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::{Duration, Result, Shell, Step, noteworthy};

    #[test]
    fn a_failed_run_is_shown_without_its_successes() {
        let lines: Vec<String> = [
            "   Compiling core v0.1.0",
            "test a ... ok",
            "test b ... FAILED",
            "successes:",
            "---- a stdout ----",
            "chatter",
            "successes:",
            "    a",
            "failures:",
            "---- b stdout ----",
            "assertion failed",
            "test result: FAILED. 1 passed; 1 failed",
        ]
        .map(str::to_owned)
        .into();
        assert_eq!(
            noteworthy(&lines),
            [
                "test b ... FAILED",
                "failures:",
                "---- b stdout ----",
                "assertion failed",
                "test result: FAILED. 1 passed; 1 failed"
            ]
        );
    }

    #[test]
    fn a_silent_program_is_ended_and_its_parent_goes_on() -> Result<()> {
        let shell = Shell::new()?;
        let mut command = shell.command("sh");
        command.args(["-c", "sleep 600; echo ended with $?"]);
        let mut step = Step::new(&shell, "xtask silence test", command);
        step.silence = Duration::from_millis(300);
        let finished = step.run()?;
        // The shell may tell of the signal, too.
        assert!(finished.lines.contains(&"ended with 137".to_owned()), "{:?}", finished.lines);
        Ok(())
    }

    #[test]
    fn both_streams_and_the_exit_status_are_reported() -> Result<()> {
        let shell = Shell::new()?;
        let mut command = shell.command("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let mut finished = Step::new(&shell, "xtask self-test", command).run()?;
        finished.lines.sort();
        assert!(!finished.ok);
        assert_eq!(finished.lines, ["err", "out"]);
        Ok(())
    }
}
