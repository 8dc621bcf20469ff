//! Campaign 10: other people's sessions, the log, a thousand hostile clients, and clients that
//! stall.

mod hostile;
mod log;
mod stalled;

use crate::campaign::{Plan, Tally};
use crate::seeded::options;
use crate::verdict::{Kind, hold};
use anyhow::{Result, ensure};
use bytes::Bytes;
use durable_session::{ChatSessions, Message, SessionId};
use durable_session_http::{Api, Body};
use durable_session_redb::{LogStorage, RedbStore};
use fastrand::Rng;
use futures_executor::block_on;
use http::{Request, Response};
use log::Log;
use testkit::disk::{Disk, Failure, File};

pub(crate) const NAME: &str = "security";

const KINDS: &[Kind] = &[Kind::Shown, Kind::Logged, Kind::Wrong];

pub(crate) fn run(plan: &Plan) -> Tally {
    plan.cases(NAME, KINDS, 3, |_, rng, tally| {
        nothing_is_logged(rng, tally)?;
        others_are_not_reached(rng, tally)?;
        hostile::crowd(rng, tally)?;
        hostile::headers(rng, tally)?;
        stalled::clients(tally)
    })
}

fn text(response: Response<Body>) -> String {
    match response.into_body() {
        Body::Full(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Body::Parts(_) | Body::Events(_) => String::new(),
    }
}

/// No message text, app state or session id is in the log at any level, also when the disk fails.
fn nothing_is_logged(rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    let log = Log::begin();
    let disk = Disk::default();
    let storage = disk.clone();
    let store = options(rng)
        .cache_bytes(0)
        .open_storage(move || Ok(storage.backend_without_cache()), disk.log())?;
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    let api = Api::builder(sessions.clone()).build()?;
    let canary = format!("canary{:016x}", rng.u64(..));
    for round in 0..12u64 {
        if round > 3 {
            disk.fail(Some(Failure::once(disk.counts().operations + rng.u64(1..8))));
            disk.fail_read_at(Some(disk.counts().reads + rng.u64(1..20)));
        }
        let path = format!("/api/chat/session/{canary}-{}", round % 3);
        let message = format!("{{\"role\":\"user\",\"content\":\"{canary}\",\"id\":\"m{round}\"}}");
        for request in [
            Request::post(format!("{path}/messages")).body(Bytes::from(message))?,
            Request::get(&path).body(Bytes::new())?,
            Request::put(&path)
                .body(Bytes::from(format!("{{\"messages\":3,\"x\":\"{canary}\"}}")))?,
            Request::post(format!("{path}/messages?x={canary}"))
                .body(Bytes::from(canary.clone()))?,
        ] {
            let _ = block_on(api.handle(request));
            tally.add("requests", 1);
        }
        let chat = sessions.session(SessionId::new(format!("{canary}-9"))?);
        let _ = block_on(chat.turn(|draft| {
            draft.app_mut()?.set("secret", &canary).map_err(durable_session::Error::rejected)?;
            draft.add_message(Message::user(&canary)).map(drop)
        }));
        let _ = block_on(store.verify(|_| {}));
    }
    // The bodies are in the segments, and in no log that people read.
    let lacking = Disk::holding(disk.files());
    let _ = lacking.log().remove(rng.u32(1..3));
    for damaged in [damaged_log(&disk), lacking] {
        let opened = RedbStore::builder().open_backend(damaged.backend(), damaged.log());
        let _ = opened.map(|store| block_on(store.verify(|_| {})));
        let _ = RedbStore::builder().open_backend_read_only(damaged.backend(), damaged.log());
    }
    disk.cut(5000);
    let _ = block_on(
        sessions
            .session(SessionId::new(format!("{canary}-1"))?)
            .messages(durable_session::MessageQuery::last(3)),
    );
    let _ = block_on(store.close());
    let mut logged = log.end();
    if tally.alters(Kind::Logged) {
        logged.push_str(&canary);
    }
    tally.add("log_lines", logged.lines().count() as u64);
    tally.checked(logged.lines().count());
    ensure!(!logged.is_empty(), "nothing at all was logged, so this shows nothing");
    let line = logged.lines().find(|line| line.contains(&canary));
    hold!(line.is_none(), Logged, "{line:?}");
    Ok(())
}

/// The disk with a flipped bit in each kilobyte of its log.
fn damaged_log(disk: &Disk) -> Disk {
    let mut files = disk.files();
    for (file, content) in &mut files {
        if let File::Segment(_) = file {
            let mut bytes = content.to_vec();
            bytes.iter_mut().skip(300).step_by(1024).for_each(|byte| *byte ^= 4);
            *content = bytes.into();
        }
    }
    Disk::holding(files)
}

/// Ids that look like another's reach nothing of it.
fn others_are_not_reached(rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    let sessions: ChatSessions =
        ChatSessions::builder(durable_session_memory::MemoryStore::new()).build();
    let api = Api::builder(sessions.clone()).build()?;
    let id = sessions.generate_id()?;
    let canary = format!("canary{:016x}", rng.u64(..));
    block_on(sessions.session(id.clone()).add_message(Message::user(&canary)))?;
    for _ in 0..2_000 {
        let guess = guess(id.as_str(), rng);
        for end in ["", "/messages", "/events", "/booking-info", "/../"] {
            let Ok(request) =
                Request::get(format!("/api/chat/session/{guess}{end}")).body(Bytes::new())
            else {
                // Not a path at all.
                tally.skipped();
                continue;
            };
            let path = request.uri().path().to_owned();
            let own = path.split('/').nth(4) == Some(id.as_str());
            let response = block_on(api.handle(request));
            tally.add("guesses", 1);
            tally.checked(1);
            let faulty = response.status().as_u16() >= 500 || tally.alters(Kind::Wrong);
            ensure!(!faulty, "{} for {path}", response.status());
            let mut shown = text(response);
            if tally.alters(Kind::Shown) {
                shown.push_str(&canary);
            }
            hold!(own || !shown.contains(&canary), Shown, "{path} shows another's messages");
        }
    }
    // Ids that the library makes have nothing in common that could be guessed.
    let mut ids = std::collections::HashSet::new();
    for _ in 0..1_000 {
        let id = sessions.generate_id()?;
        let random = id.as_str().rsplit('-').next().unwrap_or_default().to_owned();
        ensure!(random.len() >= 22 && ids.insert(random), "{} is easy to guess", id.as_str());
    }
    Ok(())
}

/// Something that is nearly `id`.
fn guess(id: &str, rng: &mut Rng) -> String {
    let mut bytes = id.as_bytes().to_vec();
    let at = rng.usize(0..bytes.len());
    match rng.u8(0..9) {
        0 => bytes.truncate(at),
        1 => bytes[at] = bytes[at].to_ascii_uppercase() ^ u8::from(bytes[at].is_ascii_digit()),
        2 => bytes.push(b"*.%_ \t;~"[rng.usize(0..8)]),
        3 => bytes.insert(0, b"*._-~"[rng.usize(0..5)]),
        4 => bytes = b"%2e%2e%2f".iter().chain(id.as_bytes()).copied().collect(),
        5 => bytes = format!("x/../{id}").into_bytes(),
        6 => bytes = format!("{id}%00").into_bytes(),
        7 => bytes.swap(at, 0),
        _ => bytes[at] = b"0123456789abcdefghijklmnopqrstuvwxyz"[rng.usize(0..36)],
    }
    // The id itself is no guess.
    if bytes == id.as_bytes() {
        "session-".to_owned()
    } else {
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
