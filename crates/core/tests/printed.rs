//! `Debug` of the public types of stores, rows and transfer shows no session id, no label, no
//! message, no app state and no chunk. `errors.rs` has the types of sessions and all errors.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use bytes::Bytes;
use durable_session::rows::{self, HeadRow};
use durable_session::store::{
    ChunkQuery, Claim, Commit, CommitOutcome, Damage, Expect, Extension, Head, IdTag, Labels,
    ListPlace, ListQuery, ListScope, LoadQuery, NewMessage, Op, ReadQuery, ReplyCounts,
    ReplyOpening, SessionList, SessionStore, StoreError, StoreErrorKind, TailBounds,
};
use durable_session::transfer::{Import, ImportOptions, Records, export};
use durable_session::{ChatSessionState, ErrorChain, JsonObject, Message, SessionId};
use durable_session_memory::MemoryStore;
use futures_executor::block_on;
use serde::{Deserialize, Serialize};
use std::fmt::{Debug, Display};

const ID: &str = "session-secret-id";
const BODY: &str = r#"{"role":"secret-role","content":"secret-text","id":"secret-message-id"}"#;
const APP: &str = r#"{"secret-key":"secret-value"}"#;
const CHUNK: &str = r#""secret-chunk""#;

/// The text as it is, and as bytes in a list: `115, 101, 99, …`.
fn assert_hidden(printed: &str) {
    let bytes = format!("{:?}", b"secret");
    for hidden in ["secret", bytes.trim_matches(['[', ']'])] {
        assert!(!printed.contains(hidden), "{printed}");
    }
}

fn debug(value: &impl Debug) {
    assert_hidden(&format!("{value:?}"));
    assert_hidden(&format!("{value:#?}").replace(['\n', ' '], "").replace(',', ", "));
}

fn display(value: &impl Display) {
    assert_hidden(&value.to_string());
}

fn id() -> SessionId {
    SessionId::new(ID).unwrap()
}

fn labels() -> Labels {
    Labels::owner("secret-owner").title("secret-title")
}

fn claim() -> Claim {
    Claim::from_bytes([7; 32])
}

fn message() -> NewMessage {
    NewMessage::from(&Message::from_json(BODY).unwrap())
}

fn extension() -> Extension {
    Extension::new(1, claim(), 0, vec![Bytes::from(CHUNK)])
}

/// A store with one session, with all that a session can have; and the head of the session.
fn filled() -> (MemoryStore, Head) {
    let store = MemoryStore::new();
    let opens = message().opening(ReplyOpening::new(claim(), "text"));
    let ops = vec![Op::Append(opens), Op::SetApp(Bytes::from(APP)), Op::SetLabels(labels())];
    let created = Commit::new(Expect::absent(1_763_264_606_917), ops, 1_763_264_606_917);
    let CommitOutcome::Committed(head) = block_on(store.commit(&id(), created)).unwrap() else {
        unreachable!("the session is new")
    };
    block_on(store.extend(&id(), extension())).unwrap();
    (store, head)
}

#[test]
fn a_commit_and_an_extension_show_sizes_only() {
    let close =
        Op::Close { seq: 1, claim: claim(), counts: ReplyCounts::default(), message: message() };
    let ops = vec![
        Op::Append(message()),
        Op::Replace { seq: 1, message: message() },
        Op::Remove { first: 1, last: 2 },
        Op::SetApp(Bytes::from(APP)),
        Op::SetLabels(labels()),
        close,
    ];
    debug(&Commit::new(Expect::absent(1), ops, 1));
    debug(&extension());
    assert_eq!(format!("{:?}", Op::SetApp(Bytes::from(APP))), "SetApp(29 bytes)");
}

#[test]
fn the_answers_of_a_store_show_sizes_only() {
    let (store, _) = filled();
    debug(&store);
    debug(&block_on(store.load(&id(), LoadQuery::new(TailBounds::new(9, 999)))).unwrap());
    debug(&block_on(store.read(&id(), ReadQuery::forward(1, 9))).unwrap());
    debug(&block_on(store.read_chunks(&id(), ChunkQuery::from(1, 0))).unwrap().unwrap());
    let mut salvaged = block_on(store.salvage(&id(), ReadQuery::forward(1, 9))).unwrap().unwrap();
    assert!(salvaged.app.is_some() && !salvaged.rows.is_empty());
    let error = StoreError::new(StoreErrorKind::Corrupt, "the checksum does not match");
    let error = error.in_session(&id()).at_seq(1).at_chunk(2);
    display(&error);
    display(&ErrorChain(&error));
    debug(&ErrorChain(&error));
    salvaged.damage.push(Damage { seq: None, error });
    debug(&salvaged);
}

#[test]
fn a_listing_shows_fingerprints_and_sizes_only() {
    let (store, _) = filled();
    let page = block_on(store.list(&ListQuery::all(1))).unwrap();
    debug(&page);
    debug(&page.sessions[0]);
    debug(&ListPlace::from(id()));
    debug(&ListQuery::prefix(ID, 1).after(id()));
    debug(&ListQuery::owner("secret-owner", 1));
    debug(&ListScope::Prefix(ID.into()));
    debug(&id());
    display(&id().fingerprint());
    debug(&labels());
}

#[test]
fn decoded_rows_show_sizes_only() {
    let (_, head) = filled();
    let row = rows::encode_head(1, &id(), &head, &labels(), APP.as_bytes());
    let decoded: HeadRow<'_> = rows::decode_head(1, &id(), &row).unwrap();
    assert_eq!(decoded.owner, "secret-owner");
    debug(&decoded);
    let row = rows::encode_message(1, &head, 1, IdTag::of("secret-id"), BODY.as_bytes());
    debug(&rows::decode_message(&id(), 1, 1, &row).unwrap());
    let row = rows::encode_chunks(1, 1, 0, 14, &[Bytes::from(CHUNK)]);
    debug(&rows::decode_chunks(&id(), 1, 1, 0, &row.into()).unwrap());
    display(&rows::decode_message(&id(), 1, 2, b"secret").unwrap_err());
}

#[test]
fn a_transfer_shows_places_only() {
    let (store, _) = filled();
    let line = block_on(export(&store, &id())).unwrap().unwrap();
    assert!(line.contains("secret-chunk"), "an export is data");
    debug(&Records::new(line.as_bytes()).next().unwrap());
    let other = MemoryStore::new();
    let twice = format!("{line}\n{}", line.replace("secret-text", "secret-other"));
    let mut import = Import::new(&other, twice.as_bytes(), ImportOptions::default());
    let taken = block_on(import.next()).unwrap().unwrap();
    debug(&taken);
    let refused = block_on(import.next()).unwrap().unwrap_err();
    debug(&refused);
    display(&refused);
    debug(&import);
    display(&import.report());
}

#[test]
fn a_state_shows_no_message_and_no_app_state() {
    #[derive(Debug, Default, Serialize, Deserialize)]
    struct App {
        step: String,
    }
    let messages = vec![Message::from_json(BODY).unwrap()];
    let typed = App { step: "secret-step".to_owned() };
    debug(&ChatSessionState::new(messages.clone(), typed, 1, 2));
    debug(&ChatSessionState::<JsonObject>::new(messages, APP.parse().unwrap(), 1, 2));
}
