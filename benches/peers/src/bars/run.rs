//! The figures: which peers, which measurement, how many rounds.

use super::openings;
use super::runner::{
    BARE, BEFORE, BLOCKING, DISK, Figure, GATHERED, OURS, Options, RUSQLITE, Run, TMPFS,
};
use super::table;
use anyhow::Result;

pub(crate) fn run(options: &Options) -> Result<()> {
    let mut run = Run::new(options)?;
    for &figure in &options.figures {
        measure(&mut run, figure)?;
    }
    table::print(&run.results);
    Ok(())
}

fn measure(run: &mut Run<'_>, figure: Figure) -> Result<()> {
    let Options { rounds, long_rounds, seconds, .. } = *run.options;
    let seconds = ["--seconds", &seconds.to_string()];
    match figure {
        Figure::Lone => {
            let peers = [BEFORE, OURS, BARE, RUSQLITE, BLOCKING];
            let args = ["lone", "--appends", "20000"];
            run.rounds("lone", DISK, &peers, rounds, &args)?;
            run.rounds("lone", TMPFS, &peers, rounds, &args)
        }
        Figure::Tasks => {
            let peers = [BEFORE, OURS, BARE, BLOCKING];
            let args = ["tasks", "--seconds", "3"];
            run.rounds("64-tasks", DISK, &peers, rounds, &args)?;
            run.rounds("64-tasks", TMPFS, &peers, rounds, &args)
        }
        Figure::Sustained => {
            let args = ["sustained", seconds[0], seconds[1]];
            run.rounds("sustained", DISK, &[BEFORE, OURS, GATHERED], long_rounds, &args)
        }
        Figure::Deletes => {
            let args = ["sustained", seconds[0], seconds[1], "--keep", "100"];
            run.rounds("deletes", DISK, &[BEFORE, OURS, GATHERED], long_rounds, &args)
        }
        Figure::Opening => openings::run(run),
        Figure::Flush => {
            let args = ["flush", "--appends", "20000", "--seconds", "60"];
            run.rounds("flush", DISK, &[BEFORE, OURS], rounds, &args)
        }
        Figure::Cycle => {
            let peers = [BEFORE, OURS];
            let args = ["cycle", "--callers", "64", "--flush"];
            run.rounds("cycle-64-callers-flushes", DISK, &peers, rounds, &args)?;
            run.rounds("cycle-64-callers", DISK, &peers, rounds, &args[..3])?;
            let args = ["cycle", "--callers", "1", "--flush"];
            run.rounds("cycle-1-caller-flushes", DISK, &peers, 1, &args)?;
            run.rounds("cycle-1-caller", DISK, &peers, 1, &args[..3])
        }
        Figure::Memory => {
            let args = ["memory", "--seconds", "30"];
            run.rounds("memory", DISK, &[BEFORE, OURS], rounds, &args)
        }
        Figure::Replies => {
            let args = ["replies", "--seconds", "10"];
            run.rounds("replies", DISK, &[BEFORE, OURS], rounds, &args)
        }
        Figure::LongReply => {
            for chunks in ["5000", "10000", "20000", "40000"] {
                let (figure, args) =
                    (format!("reply-{chunks}"), ["long-reply", "--chunks", chunks]);
                run.rounds(&figure, TMPFS, &[BEFORE, OURS], rounds, &args)?;
            }
            Ok(())
        }
    }
}
