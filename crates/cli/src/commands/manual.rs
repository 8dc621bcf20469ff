//! `completions` and `man`.

use crate::Result;
use crate::args::Args;
use crate::exit::Exit;
use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;
use std::path::Path;

pub(super) fn completions(shell: Shell) -> Exit {
    let mut command = Args::command();
    clap_complete::generate(shell, &mut command, "durable-session", &mut std::io::stdout());
    Exit::Done
}

pub(super) fn pages(folder: &Path) -> Result {
    clap_mangen::generate_to(Args::command(), folder)
        .with_context(|| format!("could not write into {}", folder.display()))?;
    Ok(Exit::Done)
}
