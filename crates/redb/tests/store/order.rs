//! The order of things: the body is written, then synced, then the caller is answered.

use crate::support::{append, create, id, small};
use durable_session_redb::{InMemoryLog, LogSegment, LogStorage};
use futures_executor::block_on;
use redb::backends::InMemoryBackend;
use std::io;
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Write(Vec<u8>),
    Sync,
    Answer(String),
}

type Events = Arc<Mutex<Vec<Event>>>;

/// A log that notes what is done with it.
#[derive(Debug, Clone, Default)]
struct Noted {
    log: InMemoryLog,
    events: Events,
}

#[derive(Debug)]
struct NotedSegment {
    segment: Box<dyn LogSegment>,
    events: Events,
}

impl Noted {
    fn segment(&self, segment: Box<dyn LogSegment>) -> Box<dyn LogSegment> {
        Box::new(NotedSegment { segment, events: Arc::clone(&self.events) })
    }
}

impl LogStorage for Noted {
    fn list(&self) -> io::Result<Vec<u32>> {
        self.log.list()
    }

    fn create(&self, number: u32, len: u64) -> io::Result<Box<dyn LogSegment>> {
        self.log.create(number, len).map(|segment| self.segment(segment))
    }

    fn open(&self, number: u32) -> io::Result<Box<dyn LogSegment>> {
        self.log.open(number).map(|segment| self.segment(segment))
    }

    fn remove(&self, number: u32) -> io::Result<()> {
        self.log.remove(number)
    }

    fn name(&self, number: u32) -> String {
        self.log.name(number)
    }
}

impl LogSegment for NotedSegment {
    fn len(&self) -> io::Result<u64> {
        self.segment.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.segment.read(offset, out)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.events.lock().unwrap().push(Event::Write(bytes.to_vec()));
        self.segment.write(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let synced = self.segment.sync();
        self.events.lock().unwrap().push(Event::Sync);
        synced
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn every_body_is_written_then_synced_then_answered() {
    let noted = Noted::default();
    let store = small().open_backend(InMemoryBackend::new(), noted.clone()).unwrap();
    let s = id("s");
    let mut head = block_on(create(&store, &s, &[]));
    noted.events.lock().unwrap().clear();
    let bodies: Vec<String> = (0..40).map(|n| format!("the body of message {n:02}")).collect();
    for body in &bodies {
        head = block_on(append(&store, &s, head, &[body]));
        noted.events.lock().unwrap().push(Event::Answer(body.clone()));
    }
    let events = noted.events.lock().unwrap().clone();
    for body in &bodies {
        let place = |is: &dyn Fn(&Event) -> bool| events.iter().position(is).unwrap();
        let written = place(&|event| matches!(event, Event::Write(bytes) if holds(bytes, body)));
        let answered = place(&|event| *event == Event::Answer(body.clone()));
        let between = &events[written + 1..answered];
        assert_eq!(between.first(), Some(&Event::Sync), "{body}: {between:?}");
        let before = &events[..written];
        assert!(!before.iter().any(|event| *event == Event::Answer(body.clone())));
    }
}
