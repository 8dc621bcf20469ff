//! A server that is killed while commits are under way.

use crate::fixture::{append, create, id, loaded, on, texts, wait_for};
use crate::server::{self, program, query, runtime};
use durable_session::SessionId;
use durable_session::store::{CommitOutcome, Head, Op, SessionStore, StoreErrorKind};
use durable_session_postgres::PostgresStore;
use futures_executor::block_on;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const WRITERS: usize = 8;
/// There are more kills if no commit was under way at one of these.
const KILLS: usize = 3;
const MOST_KILLS: usize = 20;

/// A server of its own, as a child of this process.
struct OwnServer {
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl OwnServer {
    /// `None` if its programs are not here.
    fn new() -> Option<Self> {
        std::env::var_os("PG_BIN")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let folder = std::env::temp_dir().join(format!("postgres-killed-{now}"));
        let mut make = Command::new("install");
        make.args(["-d", "-m", "700"]);
        if is_root() {
            make.args(["-o", "postgres"]);
        }
        run(make.arg(&folder));
        let mut initdb = unprivileged("initdb");
        initdb.arg("-D").arg(folder.join("data"));
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]);
        run(initdb.args(["--no-instructions", "--no-sync"]));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { folder, port, child: None };
        server.start();
        Some(server)
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it and waits until it answers. What is left of a killed one may have to end first.
    fn start(&mut self) {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < Duration::from_mins(2), "the server does not start");
            let mut server = unprivileged("postgres");
            server.arg("-D").arg(self.folder.join("data"));
            server.arg("-k").arg(&self.folder).arg("-p").arg(self.port.to_string());
            server.args(["-c", "listen_addresses=127.0.0.1"]);
            let mut child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            while child.try_wait().unwrap().is_none() {
                let answers = runtime().block_on(async {
                    tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await.is_ok()
                });
                if answers {
                    self.child = Some(child);
                    return;
                }
                assert!(began.elapsed() < Duration::from_mins(2), "the server does not start");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Its processes for connections, too: they would end their statements first.
            let mut kill = Command::new("kill");
            kill.arg("-9").arg(child.id().to_string()).args(children_of(child.id()));
            let _ = kill.output().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.kill();
        // The server's other processes end when they notice.
        let folder = Path::new(&self.folder);
        for _ in 0..100 {
            if std::fs::remove_dir_all(folder).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The processes whose parent is this one.
fn children_of(parent: u32) -> Vec<String> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // After the name, which is in parentheses: the state, then the parent.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        if after_name.split_whitespace().nth(1) == Some(&parent.to_string()) {
            children.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    children
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// A program of the server, which refuses to run as root.
fn unprivileged(name: &str) -> Command {
    let program = program(name);
    if !is_root() {
        return program;
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program.get_program()).current_dir("/");
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What a writer met.
#[derive(Default)]
struct Met {
    acknowledged: AtomicUsize,
    unknown: AtomicUsize,
    /// No more kills.
    calm: AtomicBool,
}

/// Appends numbers to a session until the last kill is over. Returns how many it stored.
fn write(store: &PostgresStore, id: &SessionId, mut head: Head, met: &Met) -> usize {
    let mut next = 0;
    let mut after_the_last = 0;
    let began = Instant::now();
    while after_the_last < 20 {
        assert!(began.elapsed() < Duration::from_mins(5), "a writer gets no further");
        let text = next.to_string();
        let mut ops = vec![append(&text)];
        if next % 5 == 4 {
            // A transaction of several statements.
            ops.push(Op::SetApp(text.clone().into()));
        }
        match block_on(store.commit(id, on(head, ops))) {
            Ok(CommitOutcome::Committed(after)) => {
                head = after;
                next += 1;
                met.acknowledged.fetch_add(1, Ordering::SeqCst);
                after_the_last += usize::from(met.calm.load(Ordering::SeqCst));
            }
            Ok(other) => panic!("the only writer's append ended as {other:?}"),
            Err(error) if error.kind() == StoreErrorKind::Unavailable => {
                // Nothing was changed. The same commit is made again.
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) if error.kind() == StoreErrorKind::OutcomeUnknown => {
                met.unknown.fetch_add(1, Ordering::SeqCst);
                let now = read(store, id, began);
                let stored = texts(&now).len();
                assert!(stored == next || stored == next + 1, "{stored} messages, not {next}");
                next = stored;
                head = now.head;
            }
            Err(error) => panic!("{error}"),
        }
    }
    next
}

fn read(store: &PostgresStore, id: &SessionId, began: Instant) -> durable_session::store::Loaded {
    loop {
        assert!(began.elapsed() < Duration::from_mins(5), "a reader gets no further");
        match block_on(store.load(id, crate::fixture::WHOLE)) {
            Ok(outcome) => return outcome.loaded().unwrap(),
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_killed_server_loses_doubles_and_reorders_nothing_that_was_acknowledged() {
    if server::url("a killed server").is_none() {
        return;
    }
    let Some(mut server) = OwnServer::new() else {
        println!("note: not run: a killed server: PG_BIN is not the folder of its programs");
        return;
    };
    let url = server.url();
    let fsync: String = query(&url, "SELECT current_setting('fsync')", &[])[0].get(0);
    assert_eq!(fsync, "on");
    let store = block_on(PostgresStore::builder(&*url).open()).unwrap();
    let sessions: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let id = id(&format!("writer-{writer}"));
            let head = create(&store, &id, Vec::new());
            (id, head)
        })
        .collect();
    let met = Met::default();
    let stored: Vec<usize> = std::thread::scope(|scope| {
        let writers: Vec<_> = sessions
            .iter()
            .map(|(id, head)| {
                let (store, met) = (&store, &met);
                scope.spawn(move || write(store, id, *head, met))
            })
            .collect();
        let mut kills = 0;
        while kills < KILLS || met.unknown.load(Ordering::SeqCst) == 0 && kills < MOST_KILLS {
            let before = met.acknowledged.load(Ordering::SeqCst);
            wait_for("commits are under way", || {
                met.acknowledged.load(Ordering::SeqCst) > before + 50
            });
            server.kill();
            server.start();
            kills += 1;
        }
        met.calm.store(true, Ordering::SeqCst);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let unknown = met.unknown.load(Ordering::SeqCst);
    assert!(unknown > 0, "no commit was under way when the server was killed");
    drop(store);
    let store = block_on(PostgresStore::builder(&*url).open()).unwrap();
    for ((id, _), stored) in sessions.iter().zip(stored) {
        let expected: Vec<_> = (0..stored).map(|n| n.to_string()).collect();
        assert_eq!(texts(&loaded(&store, id)), expected);
    }
    println!(
        "killed: acknowledged={} unknown={unknown} lost=0 doubled=0 reordered=0",
        met.acknowledged.load(Ordering::SeqCst)
    );
}
