//! PostgreSQL servers that a test starts and attacks. Each has a temporary folder and runs as an
//! unprivileged user.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The user that a server runs as if the test runs as root, which PostgreSQL refuses.
const USER: &str = "postgres";

/// A server. It is killed, and its folder removed, when it is dropped.
#[derive(Debug)]
pub struct PostgresServer {
    programs: Programs,
    folder: Folder,
    port: u16,
    settings: Vec<String>,
    child: Option<Child>,
}

impl PostgresServer {
    /// Makes a server and starts it; `None` if `PG_BIN` does not name the folder of its programs.
    pub fn new() -> Option<Self> {
        let programs = Programs::found()?;
        let folder = Folder::new(&programs);
        Some(Self::in_folder(programs, folder))
    }

    /// The same on a file system of so many MiB. `None` also if this process may not mount one.
    pub fn on_a_disk_of(mib: u32) -> Option<Self> {
        let programs = Programs::found()?;
        let folder = Folder::of(&programs, mib)?;
        Some(Self::in_folder(programs, folder))
    }

    fn in_folder(programs: Programs, folder: Folder) -> Self {
        let mut make = programs.command("initdb");
        make.arg("-D").arg(folder.data());
        make.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]);
        run(make.args(["--no-instructions", "--no-sync"]));
        let mut server =
            Self { programs, folder, port: free_port(), settings: Vec::new(), child: None };
        server.start();
        server
    }

    /// Starts another server that follows this one.
    pub fn standby(&self) -> Self {
        let folder = Folder::new(&self.programs);
        let mut copy = self.programs.command("pg_basebackup");
        copy.arg("-D").arg(folder.data());
        copy.args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-U", "postgres"]);
        run(copy.args(["-h", "127.0.0.1", "-p"]).arg(self.port.to_string()));
        let mut standby = Self {
            programs: self.programs.clone(),
            folder,
            port: free_port(),
            // It is there again soon after the server is, and ends no query for the server's sake.
            settings: ["wal_retrieve_retry_interval=100ms", "max_standby_streaming_delay=-1"]
                .map(str::to_owned)
                .to_vec(),
            child: None,
        };
        standby.start();
        standby
    }

    /// The port on `127.0.0.1`.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The folder of all its files.
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// Starts it again with settings, such as `fsync=off`.
    pub fn set(&mut self, settings: &[&str]) {
        self.settings.extend(settings.iter().map(|&setting| setting.to_owned()));
        self.stop();
        self.start();
    }

    /// Takes connections by TLS from now on. Returns the path of the certificate, which is for
    /// `localhost` and signed by itself.
    pub fn secure(&mut self) -> PathBuf {
        let (key, certificate) = (self.folder().join("key.pem"), self.folder().join("ca.pem"));
        let mut make = self.programs.as_user(Path::new("openssl"));
        make.args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
        make.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        make.args(["-addext", "subjectAltName=DNS:localhost"]);
        make.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        run(make.arg("-keyout").arg(&key).arg("-out").arg(&certificate));
        let key = format!("ssl_key_file={}", key.display());
        self.set(&["ssl=on", &key, &format!("ssl_cert_file={}", certificate.display())]);
        certificate
    }

    /// Starts it if it does not run, and waits until it answers. What is left of a killed one may
    /// have to end first.
    pub fn start(&mut self) {
        let began = Instant::now();
        loop {
            let child = self.child.get_or_insert_with(|| {
                let mut server = self.programs.command("postgres");
                server.arg("-D").arg(self.folder.data());
                server.arg("-k").arg(&self.folder.path).arg("-p").arg(self.port.to_string());
                server.args(["-c", "listen_addresses=127.0.0.1"]);
                for setting in &self.settings {
                    server.arg("-c").arg(setting);
                }
                server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                server.spawn().unwrap()
            });
            if child.try_wait().unwrap().is_some() {
                self.child = None;
            } else if self.answers() {
                return;
            }
            assert!(began.elapsed() < Duration::from_mins(2), "the server does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let mut ready = self.programs.command("pg_isready");
        ready.args(["-q", "-h", "127.0.0.1", "-p"]).arg(self.port.to_string());
        ready.status().unwrap().success()
    }

    /// Kills all its processes: those of the connections, too, which would end their statements
    /// first.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
    }

    /// Ends all its processes without a checkpoint (`immediate`).
    pub fn stop_at_once(&mut self) {
        self.end("-QUIT");
    }

    /// Ends all connections and writes a checkpoint (`fast`).
    pub fn stop(&mut self) {
        self.end("-INT");
    }

    fn end(&mut self, signal: &str) {
        if let Some(mut child) = self.child.take() {
            send(signal, &[self.first_process().unwrap_or_else(|| child.id())]);
            child.wait().unwrap();
        }
    }

    /// The first process of the server, which is not our child where `runuser` is in between.
    fn first_process(&self) -> Option<u32> {
        let file = fs::read_to_string(self.folder.data().join("postmaster.pid")).ok()?;
        file.lines().next()?.trim().parse().ok()
    }

    /// Stops all its processes where they are.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets them go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        if let Some(child) = &self.child {
            let first = self.first_process().unwrap_or_else(|| child.id());
            let mut all = children_of(first);
            // With our child, which stops when its own child is stopped.
            all.extend([first, child.id()]);
            send(signal, &all);
        }
    }

    /// Makes a standby take writes.
    pub fn promote(&self) {
        let mut promote = self.programs.command("pg_ctl");
        run(promote.args(["promote", "-w", "-D"]).arg(self.folder.data()));
    }

    /// What `psql` prints of a statement, without headings.
    pub fn query(&self, statement: &str) -> String {
        let mut psql = self.programs.command("psql");
        psql.args(["-XAtq", "-U", "postgres", "-h", "127.0.0.1", "-p"]).arg(self.port.to_string());
        run(psql.args(["-c", statement, "postgres"])).trim_end().to_owned()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.resume();
        self.kill();
    }
}

/// The programs of PostgreSQL.
#[derive(Debug, Clone)]
struct Programs {
    folder: PathBuf,
    root: bool,
}

impl Programs {
    fn found() -> Option<Self> {
        let folder = std::env::var_os("PG_BIN").map(PathBuf::from)?;
        let id = Command::new("id").arg("-u").output().unwrap();
        Some(Self { folder, root: id.stdout.trim_ascii() == b"0" })
    }

    fn command(&self, name: &str) -> Command {
        self.as_user(&self.folder.join(name))
    }

    fn as_user(&self, program: &Path) -> Command {
        if !self.root {
            return Command::new(program);
        }
        let mut command = Command::new("runuser");
        command.args(["-u", USER, "--"]).arg(program).current_dir("/");
        command
    }
}

/// A folder that the server's user owns. It is removed when it is dropped.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    mounted: bool,
}

impl Folder {
    fn new(programs: &Programs) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("postgres-{}-{now}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let folder = Self { path, mounted: false };
        folder.make(programs);
        folder
    }

    fn make(&self, programs: &Programs) {
        let mut make = Command::new("install");
        make.args(["-d", "-m", "700"]);
        if programs.root {
            make.args(["-o", USER]);
        }
        run(make.arg(&self.path));
    }

    /// A file system of so many MiB, in memory.
    fn of(programs: &Programs, mib: u32) -> Option<Self> {
        let mut folder = Self::new(programs);
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(&folder.path);
        folder.mounted = mount.output().is_ok_and(|output| output.status.success());
        if !folder.mounted {
            return None;
        }
        folder.make(programs);
        Some(folder)
    }

    fn data(&self) -> PathBuf {
        self.path.join("data")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.mounted {
            drop(Command::new("umount").arg("-l").arg(&self.path).output());
        }
        // The processes of a killed server end when they notice.
        for _ in 0..100 {
            if fs::remove_dir_all(&self.path).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Sends a signal to all of them at once. One that has ended is no failure.
fn send(signal: &str, processes: &[u32]) {
    let processes = processes.iter().map(u32::to_string);
    drop(Command::new("kill").arg(signal).args(processes).output().unwrap());
}

/// The processes whose parent is this one.
fn children_of(parent: u32) -> Vec<u32> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        // After the name, which is in parentheses: the state, then the parent.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        if after_name.split_whitespace().nth(1) == Some(&parent.to_string()) {
            children.extend(entry.file_name().to_str().and_then(|pid| pid.parse::<u32>().ok()));
        }
    }
    children
}
