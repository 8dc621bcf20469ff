//! The program as the README tells a person to run it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The running program; dropping it kills it.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_axum-example"))
            .arg("127.0.0.1:0")
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://").unwrap().to_owned();
        Self { child, address }
    }

    /// The whole answer, head and body.
    fn ask(&self, method: &str, route: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} /api/chat/session/session-1-try{route} HTTP/1.1\r\nhost: test\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_acknowledged_message_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let added = service.ask("POST", "/messages", r#"{"role":"user","content":"hello"}"#);
    assert!(added.starts_with("HTTP/1.1 200 "), "{added}");
    drop(service);

    let messages = Service::start(folder.path()).ask("GET", "/messages", "");
    let greeting = r#"{"role":"assistant","content":"Hi! Ask me anything."}"#;
    let hello = r#"{"role":"user","content":"hello"}"#;
    assert!(messages.ends_with(&format!("[{greeting},{hello}]")), "{messages}");
}

#[test]
fn clients_cannot_write_the_assistants_messages() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let refused = service.ask("POST", "/messages", r#"{"role":"assistant","content":"hello"}"#);
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
}
