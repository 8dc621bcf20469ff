//! `cargo xtask syncs`: a small server under `strace`. For each of 40 messages, the trace has to
//! show the message in the log, then the sync of the log, and then the answer.

mod trace;

use crate::shell::{Shell, Step};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use trace::Trace;

/// The server: the example of one screen.
const SERVER: &str = "axum-example";
/// Clients that send at the same time, each to a session of its own, so that they share batches.
const CLIENTS: usize = 4;
const ROUNDS: usize = 10;

/// The calls in which a message, a sync or an answer can be.
const CALLS: &str = "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync";

/// Sends the messages and prints a line for each; `true` if all were synced before their answers.
pub(crate) fn run(shell: &Shell) -> Result<bool> {
    if shell.ask("strace", &["--version"]).is_none() {
        println!(
            "SKIPPED: there is no strace. To run it: install it (Debian: apt-get install strace)"
        );
        return Ok(!shell.ci());
    }
    let build = shell.cargo(["build", "--package", SERVER]);
    if !Step::new(shell, "build the server", build).run()?.ok {
        return Ok(false);
    }
    let folder = shell.target().join("xtask/syncs");
    if folder.exists() {
        fs::remove_dir_all(&folder).context("an earlier run left files")?;
    }
    fs::create_dir_all(&folder)?;
    let file = folder.join("trace");
    let mut traced = Traced::start(shell, &folder, &file)?;
    let sent = send_all(&traced.address);
    traced.stop()?;
    sent?;

    let trace = Trace::read(&fs::read_to_string(&file).context("strace wrote no trace")?);
    let mut held = 0;
    for (client, round) in all() {
        let text = text(client, round);
        match trace.path_of(&text) {
            Ok(path) => {
                println!("{text}: {path}");
                held += 1;
            }
            Err(fault) => println!("{text}: FAILED: {fault}"),
        }
    }
    let posts = CLIENTS * ROUNDS;
    println!("syncs posts={posts} held={held}; the trace is in {}", file.display());
    Ok(held == posts)
}

fn all() -> impl Iterator<Item = (usize, usize)> {
    (1..=ROUNDS).flat_map(|round| (1..=CLIENTS).map(move |client| (client, round)))
}

/// The content of a message; no other has it in it.
fn text(client: usize, round: usize) -> String {
    format!("message {round:02} of client {client}")
}

/// Each client sends a message when its last one was answered.
fn send_all(address: &str) -> Result<()> {
    std::thread::scope(|scope| {
        let send = |client| (1..=ROUNDS).try_for_each(|round| post(address, client, round));
        let clients: Vec<_> =
            (1..=CLIENTS).map(|client| scope.spawn(move || send(client))).collect();
        clients.into_iter().try_for_each(|client| {
            client.join().unwrap_or_else(|_| bail!("a client ended with a panic"))
        })
    })
}

fn post(address: &str, client: usize, round: usize) -> Result<()> {
    let body = format!(r#"{{"role":"user","content":"{}"}}"#, text(client, round));
    let length = body.len();
    let mut stream = TcpStream::connect(address).context("the server does not listen")?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    write!(
        stream,
        "POST /api/chat/session/session-{client}-syncs/messages HTTP/1.1\r\nhost: {address}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("no answer")?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "the server refused a message: {answer}");
    Ok(())
}

/// The server, watched by `strace`.
struct Traced {
    server: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Traced {
    fn start(shell: &Shell, folder: &Path, file: &Path) -> Result<Self> {
        let mut command: Command = shell.command("strace");
        // With `-D` the child is the server, and `strace` is a process beside it.
        command.args(["-D", "-f", "-y", "-qq", "-s", "65536", "-e", CALLS, "-o"]).arg(file);
        command.arg(shell.target().join("debug").join(SERVER)).arg("127.0.0.1:0");
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut server = command.spawn().context("could not start strace")?;
        let stdout = server.stdout.take().context("the server has an output")?;
        let mut traced = Self { server, stdout: BufReader::new(stdout), address: String::new() };
        let mut line = String::new();
        traced.stdout.read_line(&mut line)?;
        match line.trim().strip_prefix("http://") {
            Some(address) => address.clone_into(&mut traced.address),
            None => bail!("the server did not start under strace; may this user trace processes?"),
        }
        Ok(traced)
    }

    /// Ends the server, and waits until the trace is whole: until `strace` closes the output, too.
    fn stop(&mut self) -> Result<()> {
        self.server.kill()?;
        self.server.wait()?;
        std::io::copy(&mut self.stdout, &mut std::io::sink())?;
        Ok(())
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
