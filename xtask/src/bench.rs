//! `cargo xtask bench`.

use crate::setup::{Missing, PostgresServer, python};
use crate::shell::Shell;
use crate::workers;
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;

/// Other engines doing the same, in a workspace of their own.
const PEERS: &str = "peers";
/// The same from Python.
const PYTHON: &str = "python";
const PYTHON_PACKAGES: &str = "benches/peers/python/requirements.txt";
/// Every figure that has a bar, each peer and round in a process of its own.
const BARS: &str = "bars";
const ALL_BARS: [&str; 8] =
    ["lone", "tasks", "flush", "cycle", "memory", "opening", SUSTAINED, DELETES];
/// Minutes of appends over many sessions, by us and by SQLite.
const SUSTAINED: &str = "sustained";
/// The same, with sessions that are deleted, so that as much comes as goes.
const DELETES: &str = "deletes";
/// A PostgreSQL server, by us and by what a user would write or pick instead.
const POSTGRES: &str = "postgres";
/// Distributions rather than single figures.
const CRITERION: &str = "criterion";
/// The figures in workerd.
const WORKERS: &str = "workers";

/// Measures. Every figure is a line `name value unit target verdict`, and JSON and plots go into
/// `target/bench/`. `true` if all of it ran: a missed target is for the reader.
pub(crate) fn run(shell: &Shell, quick: bool, only: Option<&str>) -> Result<bool> {
    match only {
        Some(PEERS) => peers(shell, quick),
        Some(PYTHON) => python_peers(shell, quick),
        Some(figure @ (SUSTAINED | DELETES)) => bars(shell, quick, &[figure]),
        Some(BARS) => bars(shell, quick, &ALL_BARS),
        Some(POSTGRES) => postgres(shell, quick),
        Some(CRITERION) => criterion(shell, quick),
        Some(WORKERS) => workers::bench(shell),
        // A quick look, or one at something else, need not wait for the others.
        _ if quick || only.is_some() => figures(shell, quick, only),
        _ => Ok(figures(shell, quick, only)?
            && peers(shell, quick)?
            && python_peers(shell, quick)?
            && criterion(shell, quick)?
            && workers::bench(shell)?),
    }
}

fn figures(shell: &Shell, quick: bool, only: Option<&str>) -> Result<bool> {
    if !ran(shell.cargo(["build", "--quiet", "--release", "--package", "benches", "--bins"]))? {
        return Ok(false);
    }
    for program in ["figures", "counts"] {
        let mut command = shell.command(shell.target().join("release").join(program));
        command.arg("--out").arg(shell.target().join("bench"));
        if quick {
            command.arg("--quick");
        }
        if let Some(only) = only {
            command.args(["--only", only]);
        }
        if !ran(command)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn peers(shell: &Shell, quick: bool) -> Result<bool> {
    let Some(mut command) = peers_program(shell)? else { return Ok(false) };
    command.arg("compare").arg("--json").arg(json(shell, "peers.json")?);
    if quick {
        command.arg("--quick");
    }
    command.arg("/dev/shm").arg(shell.target());
    ran(command)
}

fn bars(shell: &Shell, quick: bool, figures: &[&str]) -> Result<bool> {
    let Some(mut command) = peers_program(shell)? else { return Ok(false) };
    command.arg("bars").args(figures).arg("--disk").arg(shell.target());
    if quick {
        command.args(["--rounds", "1", "--seconds", "60", "--sizes", "100"]);
    }
    ran(command)
}

fn postgres(shell: &Shell, quick: bool) -> Result<bool> {
    let server = match PostgresServer::start(shell)? {
        Ok(server) => server,
        Err(missing) => return Ok(skipped(&missing)),
    };
    let Some(mut command) = peers_program(shell)? else { return Ok(false) };
    command.args(["postgres", "--url", &server.url]);
    match python(shell, PYTHON_PACKAGES)? {
        Ok(program) => drop(command.arg("--python").arg(program)),
        Err(missing) => drop(skipped(&missing)),
    }
    if quick {
        command.args(["--rounds", "1", "--seconds", "2", "--callers", "1,64"]);
    }
    ran(command)
}

fn skipped(missing: &Missing) -> bool {
    println!("SKIPPED: {}. To run it: {}", missing.what, missing.remedy);
    true
}

/// The program, built; nothing if it could not be built.
fn peers_program(shell: &Shell) -> Result<Option<Command>> {
    let target = shell.target().join("peers");
    let mut build = shell.cargo(["build", "--quiet", "--release", "--locked"]);
    build.args(["--manifest-path", "benches/peers/Cargo.toml"]).env("CARGO_TARGET_DIR", &target);
    if !ran(build)? {
        return Ok(None);
    }
    Ok(Some(shell.command(target.join("release/peers"))))
}

fn python_peers(shell: &Shell, quick: bool) -> Result<bool> {
    let program = match python(shell, PYTHON_PACKAGES)? {
        Ok(program) => program,
        Err(missing) => return Ok(skipped(&missing)),
    };
    let mut command = shell.command(program);
    command.arg("benches/peers/python/peers.py").arg("--json").arg(json(shell, "python.json")?);
    if quick {
        command.arg("--quick");
    }
    command.arg("/dev/shm").arg(shell.target());
    ran(command)
}

fn json(shell: &Shell, name: &str) -> Result<PathBuf> {
    let folder = shell.target().join("bench");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("could not make {}", folder.display()))?;
    Ok(folder.join(name))
}

fn criterion(shell: &Shell, quick: bool) -> Result<bool> {
    let mut command =
        shell.cargo(["bench", "--package", "benches", "--bench", "save", "--bench", "load", "--"]);
    if quick {
        command.arg("--quick");
    }
    ran(command)
}

/// Runs a program whose output goes straight to the terminal.
fn ran(mut command: Command) -> Result<bool> {
    let program = command.get_program().to_owned();
    let status =
        command.status().with_context(|| format!("could not start {}", program.display()))?;
    Ok(status.success())
}
