//! A PostgreSQL server to test against.

use super::apt::{self, is_root};
use super::{Found, Missing};
use crate::shell::{Shell, Step};
use anyhow::{Context, Result};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where Debian's packages put the programs, in a folder for each version.
const FOLDER: &str = "/usr/lib/postgresql";

/// The user that the server runs as if this is root, which `initdb` refuses.
const USER: &str = "postgres";

/// A server: one that somebody else runs, or one in a temporary folder that is stopped when this is
/// dropped.
#[derive(Debug)]
pub(crate) struct PostgresServer {
    pub(crate) url: String,
    /// The folder of its programs, if they are here.
    pub(crate) programs: Option<PathBuf>,
    started: Option<Started>,
}

#[derive(Debug)]
struct Started {
    folder: PathBuf,
    stop: Command,
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(Started { folder, stop }) = &mut self.started {
            if !stop.output().is_ok_and(|output| output.status.success()) {
                println!("   the PostgreSQL server in {} could not be stopped", folder.display());
            }
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

impl PostgresServer {
    /// The server of `DATABASE_URL`, or a new one from the system's packages, which root installs.
    pub(crate) fn start(shell: &Shell) -> Result<Found<Self>> {
        let given = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty());
        if let Some(url) = given {
            return Ok(Ok(Self { url, programs: programs(), started: None }));
        }
        match postgres_programs(shell)? {
            Ok(programs) => start(shell, &programs),
            Err(missing) => Ok(Err(missing)),
        }
    }
}

/// The folder of the server's programs, which root installs.
pub(crate) fn postgres_programs(shell: &Shell) -> Result<Found<PathBuf>> {
    if programs().is_none() && is_root(shell) {
        install(shell)?;
    }
    Ok(programs().ok_or_else(|| {
        Missing::new(
            "there is no PostgreSQL server to test against",
            "install one (on Debian: apt-get install postgresql; elsewhere set PG_BIN to the \
             folder of its programs), or set DATABASE_URL to the URL of a database for tests",
        )
    }))
}

/// The programs of the newest version that is here.
fn programs() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("PG_BIN").map(PathBuf::from) {
        return Some(folder);
    }
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(FOLDER)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let folder = entry.ok()?;
            let version = folder.file_name().to_str()?.parse().ok()?;
            Some((version, folder.path().join("bin")))
        })
        .filter(|(_, programs)| programs.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().map(|(_, programs)| programs)
}

/// Installs the packages, without a server that starts by itself.
fn install(shell: &Shell) -> Result<()> {
    let folder = Path::new("/etc/postgresql-common");
    let settings = folder.join("createcluster.conf");
    if !settings.exists() {
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&settings, "create_main_cluster = false\n"))
            .with_context(|| format!("could not write {}", settings.display()))?;
    }
    apt::install(shell, "postgresql")?;
    Ok(())
}

fn start(shell: &Shell, programs: &Path) -> Result<Found<PostgresServer>> {
    let root = is_root(shell);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let folder = std::env::temp_dir().join(format!("postgres-{}-{now}", std::process::id()));
    let mut make = shell.command("install");
    make.args(["-d", "-m", "700"]);
    if root {
        make.args(["-o", USER]);
    }
    make.arg(&folder);
    let program = |name: &str| {
        let path = programs.join(name);
        if root {
            let mut command = shell.command("runuser");
            command.args(["-u", USER, "--"]).arg(path).current_dir("/");
            return command;
        }
        shell.command(path)
    };
    // A port that nobody listens on now. Somebody may take it before the server does: then the
    // server does not start.
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .context("could not find a free port")?
        .port();
    let data = folder.join("data");
    let mut initdb = program("initdb");
    initdb.arg("-D").arg(&data);
    initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]);
    initdb.args(["--no-instructions", "--no-sync"]);
    let mut server = program("pg_ctl");
    server.arg("-D").arg(&data).arg("-l").arg(folder.join("log"));
    server
        .arg("-o")
        .arg(format!("-k {} -p {port} -c listen_addresses=127.0.0.1", folder.display()));
    server.args(["-w", "start"]);
    for (name, command) in
        [("postgres folder", make), ("initdb", initdb), ("start postgres", server)]
    {
        if !Step::new(shell, name, command).run()?.ok {
            let _ = std::fs::remove_dir_all(&folder);
            return Ok(Err(Missing::new(
                format!("the PostgreSQL server did not start ({name} failed)"),
                "see the output above",
            )));
        }
    }
    let mut stop = program("pg_ctl");
    stop.arg("-D").arg(&data).args(["-m", "immediate", "-w", "stop"]);
    Ok(Ok(PostgresServer {
        url: format!("postgres://postgres@127.0.0.1:{port}/postgres"),
        programs: Some(programs.to_owned()),
        started: Some(Started { folder, stop }),
    }))
}
