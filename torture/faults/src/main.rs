//! Plays the faults that show on the crates alone, one line for each member of a kind:
//! `entry ENTRY NAME: WRONG|right: SEEN`. Exit code 1 if any is wrong.
//!
//! `faults [--only ENTRY]`. It is built against other checkouts and against this one, so it calls
//! only functions that both have, and asks for newer ones by a trait that gives way to them.

mod batches;
mod client;
mod files;
mod import;
mod importing;
mod leaks;
mod registries;
mod report;
mod unseen;

use report::Report;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let mut only = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--only" => only = args.next(),
            unknown => anyhow::bail!("unknown argument {unknown}; usage: faults [--only ENTRY]"),
        }
    }
    let mut report = Report::default();
    let wanted = |entries: &[&str]| only.as_deref().is_none_or(|only| entries.contains(&only));
    if wanted(&["0"]) {
        unseen::play(&mut report).await?;
    }
    if wanted(&["6"]) {
        import::play(&mut report).await?;
    }
    if wanted(&["7"]) {
        batches::play(&mut report).await?;
    }
    if wanted(&["8a"]) {
        files::damage::play(&mut report).await?;
    }
    if wanted(&["8b"]) {
        registries::play(&mut report).await?;
    }
    if wanted(&["8c", "8f"]) {
        leaks::play(&mut report, only.as_deref()).await?;
    }
    if wanted(&["8d"]) {
        client::play(&mut report)?;
    }
    if wanted(&["8e"]) {
        files::lock::play(&mut report).await?;
    }
    Ok(report.conclude())
}
