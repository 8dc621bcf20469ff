//! Connections that end in the middle of a commit.

use crate::fixture::{append, create, id, loaded, on, texts, wait_for};
use crate::server::{self, Schema};
use durable_session::store::{CommitOutcome, SessionStore, StoreErrorKind};
use futures_executor::block_on;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// In a message: the server gets it, and its answer is lost with the connection.
const CUT: &str = "CUT-THE-ANSWER";
/// In a message: the connection ends, and the server gets the message when it is released.
const HOLD: &str = "HOLD-THE-MESSAGE";

/// A proxy in front of the server.
#[derive(Default)]
struct Proxy {
    released: AtomicBool,
    held: AtomicUsize,
    /// Held messages that the server has worked off.
    delivered: AtomicUsize,
    sockets: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// Returns the proxy, and the URL of the server through it.
    fn start(url: &str) -> (Arc<Self>, String) {
        let config: tokio_postgres::Config = url.parse().unwrap();
        let host = match &config.get_hosts()[0] {
            tokio_postgres::config::Host::Tcp(host) => host.clone(),
            tokio_postgres::config::Host::Unix(_) => panic!("the proxy needs a server on TCP"),
        };
        let server = format!("{host}:{}", config.get_ports().first().copied().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Arc::new(Self::default());
        let accepting = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&*server) else { continue };
                accepting.clone().forward(client, server);
            }
        });
        let (_, path) = url.split_once('@').unwrap().1.split_once('/').unwrap();
        let user = config.get_user().unwrap_or("postgres");
        let password = config.get_password().map(|p| String::from_utf8_lossy(p).into_owned());
        let password = password.map(|p| format!(":{p}")).unwrap_or_default();
        (proxy, format!("postgres://{user}{password}@127.0.0.1:{port}/{path}"))
    }

    fn forward(self: Arc<Self>, client: TcpStream, server: TcpStream) {
        let cut = Arc::new(AtomicBool::new(false));
        let held = Arc::new(AtomicBool::new(false));
        self.sockets
            .lock()
            .unwrap()
            .extend([client.try_clone(), server.try_clone()].into_iter().flatten());
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let (proxy, cuts, holds) = (self.clone(), cut.clone(), held.clone());
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let bytes = &buffer[..count];
                let has =
                    |marker: &str| bytes.windows(marker.len()).any(|w| w == marker.as_bytes());
                if has(CUT) {
                    cuts.store(true, Ordering::SeqCst);
                }
                if has(HOLD) {
                    holds.store(true, Ordering::SeqCst);
                    let _ = from.shutdown(Shutdown::Both);
                    proxy.held.fetch_add(1, Ordering::SeqCst);
                    while !proxy.released.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    let _ = to.write_all(bytes);
                    return;
                }
                if to.write_all(bytes).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
        let (mut from, mut to) = (server, client);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if held.load(Ordering::SeqCst) {
                    // The answer to the held message: the server has worked it off.
                    self.delivered.fetch_add(1, Ordering::SeqCst);
                    let _ = from.shutdown(Shutdown::Both);
                    return;
                }
                if cut.load(Ordering::SeqCst) {
                    let _ = from.shutdown(Shutdown::Both);
                    break;
                }
                if to.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

#[test]
fn a_commit_whose_answer_is_lost_is_unknown_and_then_read() {
    let Some(url) = server::url("connections cut in the middle of a commit") else { return };
    let schema = Schema::new(&url);
    let (_proxy, through) = Proxy::start(&url);
    let store = schema.open_at(&through);
    let id = id("cut");
    let mut head = create(&store, &id, vec![append("a")]);
    // The commit of a known session is one statement; with app state, it is a transaction.
    for set_app in [false, true, false, true] {
        let mut ops = vec![append(CUT)];
        if set_app {
            ops.push(durable_session::store::Op::SetApp("{}".into()));
        }
        let before = loaded(&store, &id).tail.len();
        let error = block_on(store.commit(&id, on(head, ops))).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown, "{error}");
        let now = loaded(&store, &id);
        // The server got the statement, so it made the commit, unless the end of the connection
        // stopped a transaction before its last statement.
        let made = now.tail.len() - before;
        assert!(made <= 1 && (set_app || made == 1), "{made} of one message");
        head = now.head;
        match block_on(store.commit(&id, on(head, vec![append("after")]))).unwrap() {
            CommitOutcome::Committed(after) => head = after,
            other => panic!("the commit after it ended as {other:?}"),
        }
    }
}

#[test]
fn a_commit_that_arrives_late_changes_nothing_that_was_read() {
    let Some(url) = server::url("commits that arrive late") else { return };
    let schema = Schema::new(&url);
    let (proxy, through) = Proxy::start(&url);
    let store = schema.open_at(&through);
    let id = id("late");
    let head = create(&store, &id, vec![append("a")]);
    let error = block_on(store.commit(&id, on(head, vec![append(HOLD)]))).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown, "{error}");
    wait_for("the message is held", || proxy.held.load(Ordering::SeqCst) == 1);
    let read = loaded(&store, &id);
    assert_eq!(texts(&read), ["a"], "the server does not have the message");
    proxy.released.store(true, Ordering::SeqCst);
    wait_for("the server has the message", || proxy.delivered.load(Ordering::SeqCst) == 1);
    assert_eq!(loaded(&store, &id), read, "what was read is still so");
    // Also for others.
    assert_eq!(loaded(&schema.open(), &id), read);
}
