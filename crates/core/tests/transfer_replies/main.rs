//! Labels, times and open replies in an export, and in the import of it.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

#[path = "../common/mod.rs"]
mod common;
mod refusals;
mod steered;

use bytes::Bytes;
use common::{ManualClock, id};
use durable_session::env::SystemRandom;
use durable_session::store::{
    ChunkQuery, Claim, Commit, CommitOutcome, Expect, ExtendOutcome, Extension, IdTag, Labels,
    LoadQuery, Loaded, NewMessage, Op, ReplyCounts, ReplyOpening, SessionStore, TailBounds,
};
use durable_session::transfer::{self, ImportError, ImportOptions, LastUse};
use durable_session::{Message, SessionId};
use durable_session_memory::MemoryStore;
use steered::{Steered, Told};

const CREATED: u64 = 1_763_000_000_000;
const CHANGED: u64 = 1_763_500_000_000;
const USED: u64 = 1_763_600_000_000;
/// The time of the import.
const NOW: u64 = 1_764_000_000_000;

fn options() -> ImportOptions {
    ImportOptions::new(ManualClock::at(NOW), SystemRandom)
}

/// An imported session is the exported one.
fn copy() -> ImportOptions {
    options().last_use(LastUse::Recorded)
}

fn claim(n: u8) -> Claim {
    Claim::from_bytes([n; 32])
}

fn message(n: u64) -> Message {
    Message::user(format!("message {n}\n\"of\" 😀")).with_id(format!("m-{n}"))
}

fn opening(message: &Message, n: u8, format: &str) -> NewMessage {
    NewMessage::from(message).opening(ReplyOpening::new(claim(n), format))
}

async fn commit(store: &MemoryStore, id: &SessionId, expect: Expect, ops: Vec<Op>) -> Expect {
    match store.commit(id, Commit::new(expect, ops, CHANGED)).await.unwrap() {
        CommitOutcome::Committed(head) => head.expect(),
        other => panic!("{other:?}"),
    }
}

async fn extend(
    store: &MemoryStore,
    id: &SessionId,
    seq: u64,
    n: u8,
    offset: u64,
    chunks: &[String],
) {
    let chunks = chunks.iter().cloned().map(Bytes::from).collect();
    let extended = store.extend(id, Extension::new(seq, claim(n), offset, chunks)).await.unwrap();
    assert!(matches!(extended, ExtendOutcome::Extended(_)), "{extended:?}");
}

/// Chunks from number `from` on.
fn chunks(from: usize, to: usize) -> Vec<String> {
    (from..to).map(|n| format!("\"token {n}\"")).collect()
}

/// A session with labels, a removed message, and two open replies, one of which has beats and a
/// chunk with line ends.
async fn fill(store: &MemoryStore, id: &SessionId) -> Expect {
    let labels = Labels::owner("u-\"42\"").title("Lifetimes\n😀");
    let mut ops = vec![Op::SetLabels(labels), Op::SetApp(Bytes::from("{\"step\":1}"))];
    ops.extend((1..=5).map(|n| Op::Append((&message(n)).into())));
    ops.push(Op::Append(opening(&Message::assistant("").with_id("a-1"), 7, "ui")));
    ops.extend((7..=70).map(|n| Op::Append((&message(n)).into())));
    ops.push(Op::Append(opening(&Message::assistant("").with_id("a-2"), 8, "text")));
    ops.push(Op::Remove { first: 2, last: 3 });
    let expect = commit(store, id, Expect::absent(CREATED), ops).await;
    extend(store, id, 6, 7, 0, &["{\"type\":\"start\",\r\n \"n\":12345678901234567890}".into()])
        .await;
    store.extend(id, Extension::beat(71, claim(8))).await.unwrap();
    extend(store, id, 71, 8, 0, &chunks(0, 10)).await;
    store.touch(id, USED).await.unwrap();
    expect
}

async fn loaded(store: &dyn SessionStore, id: &SessionId) -> Loaded {
    let query = LoadQuery::new(TailBounds::new(usize::MAX, u64::MAX));
    store.load(id, query).await.unwrap().loaded().unwrap()
}

/// The texts of the chunks of the reply that is open on a message.
async fn chunks_of(store: &dyn SessionStore, id: &SessionId, seq: u64) -> Vec<String> {
    let page = store.read_chunks(id, ChunkQuery::from(seq, 0)).await.unwrap().unwrap();
    page.chunks.iter().map(|chunk| String::from_utf8(chunk.to_vec()).unwrap()).collect()
}

async fn line(store: &dyn SessionStore) -> String {
    transfer::export(store, &id("s")).await.unwrap().unwrap()
}

#[tokio::test]
async fn labels_times_tags_and_open_replies_are_the_same_after_a_round_trip() {
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    fill(&from, &id("s")).await;
    let exported = line(&from).await;
    let first = transfer::import(&to, &exported, &copy()).await.unwrap();
    assert_eq!((first.stored, first.found, first.chunks), (69, 0, 11));

    let (was, is) = (loaded(&from, &id("s")).await, loaded(&to, &id("s")).await);
    assert_eq!(is.labels, was.labels);
    assert_eq!(is.app, was.app);
    assert_eq!(
        (is.head.created_at, is.head.changed_at, is.head.last_accessed_at),
        (CREATED, CHANGED, USED)
    );
    let bodies = |of: &Loaded| of.tail.iter().map(|row| row.body.clone()).collect::<Vec<_>>();
    assert_eq!(bodies(&is), bodies(&was));
    assert_eq!(is.tail.last().unwrap().seq, 69, "the removed messages left no gap");
    let tags = |of: &Loaded| of.tags.iter().map(|tagged| tagged.tag).collect::<Vec<_>>();
    assert_eq!(tags(&is), tags(&was));
    assert_eq!(is.tags.last().unwrap().tag, IdTag::of("a-2"), "a retry is found");

    let opening = to.opening().unwrap();
    assert!(is.replies.iter().all(|reply| reply.claim.is_of(&opening)), "{:?}", is.replies);
    assert_ne!(is.replies[0].claim, is.replies[1].claim);
    let told = |of: &Loaded| {
        let of = of.replies.iter();
        of.map(|reply| (reply.format.to_string(), reply.counts.chunks)).collect::<Vec<_>>()
    };
    assert_eq!(told(&is), [("ui".to_owned(), 1), ("text".to_owned(), 10)]);
    assert_eq!(told(&is), told(&was));
    assert_eq!(is.replies.iter().map(|reply| reply.seq).collect::<Vec<_>>(), [4, 69]);
    assert_eq!(chunks_of(&to, &id("s"), 69).await, chunks(0, 10));
    assert_eq!(
        chunks_of(&to, &id("s"), 4).await,
        ["{\"type\":\"start\",   \"n\":12345678901234567890}"]
    );

    let again = transfer::import(&to, &exported, &copy()).await.unwrap();
    assert_eq!((again.stored, again.found, again.chunks), (0, 69, 0));
    let after = loaded(&to, &id("s")).await;
    assert_eq!(
        (after.head, after.replies),
        (is.head, is.replies),
        "the second run changed nothing"
    );
    assert_eq!(line(&to).await, exported);
}

#[tokio::test]
async fn a_line_is_as_it_is_documented() {
    let store = MemoryStore::new();
    let ops = vec![
        Op::SetLabels(Labels::owner("u-42")),
        Op::append(Bytes::from(r#"{"role":"user"}"#)),
        Op::Append(opening(&Message::from_json(r#"{"role":"assistant"}"#).unwrap(), 1, "text")),
    ];
    let id = id("s");
    commit(&store, &id, Expect::absent(CREATED), ops).await;
    extend(&store, &id, 2, 1, 0, &["\"Li\"".into(), "\"fe\"".into()]).await;
    let messages = r#"[{"role":"user"},{"role":"assistant"}]"#;
    let times = format!(r#""createdAt":{CREATED},"lastAccessedAt":{CHANGED}"#);
    let replies = r#"[{"seq":2,"format":"text","chunks":["Li","fe"]}]"#;
    let expected = [
        format!(r#"{{"id":"s","changedAt":{CHANGED},"labels":{{"owner":"u-42"}},"#),
        format!(r#""state":{{"messages":{messages},{times}}},"replies":{replies}}}"#),
    ]
    .concat();
    assert_eq!(line(&store).await, expected);
}

#[tokio::test]
async fn an_import_that_loses_any_one_write_goes_on_there_and_loses_nothing() {
    let from = MemoryStore::new();
    fill(&from, &id("s")).await;
    let exported = line(&from).await;
    for max_ops in [1, 2, 3, 1000] {
        for after in [false, true] {
            let mut at = 1;
            loop {
                let to = Steered::narrow(max_ops);
                to.told.lock().unwrap().fails = Some((at, after));
                let first = transfer::import(&to, &exported, &copy()).await;
                if to.told.lock().unwrap().writes < at {
                    break;
                }
                let case = format!("write {at}, after {after}, {max_ops} operations");
                assert!(matches!(first, Err(ImportError::Store(_))), "{case}: {first:?}");
                let second = transfer::import(&to, &exported, &copy()).await.unwrap();
                assert_eq!(second.stored + second.found, 69, "{case}");
                assert_eq!(line(&to).await, exported, "{case}");
                let third = transfer::import(&to, &exported, &copy()).await.unwrap();
                assert_eq!((third.stored, third.found, third.chunks), (0, 69, 0), "{case}");
                at += 1;
            }
            assert!(at > 3, "{at}");
        }
    }
}

#[tokio::test]
async fn a_session_keeps_when_it_was_changed_and_is_in_use_from_its_first_commit_on() {
    let from = MemoryStore::new();
    fill(&from, &id("s")).await;
    let to = Steered::narrow(10);
    transfer::import(&to, &line(&from).await, &options()).await.unwrap();
    let head = loaded(&to, &id("s")).await.head;
    assert_eq!((head.created_at, head.changed_at, head.last_accessed_at), (CREATED, CHANGED, NOW));
    let used = std::mem::take(&mut to.told.lock().unwrap().used);
    assert!(
        used.len() > 7 && used.iter().all(|at| *at == NOW),
        "a sweep must not take it meanwhile: {used:?}"
    );

    // A line without the time: changed when it was imported.
    let without = line(&from).await.replace(&format!("\"changedAt\":{CHANGED},"), "");
    let to = MemoryStore::new();
    transfer::import(&to, &without, &options()).await.unwrap();
    assert_eq!(loaded(&to, &id("s")).await.head.changed_at, NOW);
}

#[tokio::test]
async fn a_reply_that_went_on_is_found_and_one_that_went_another_way_is_another_session() {
    let line_with = async |chunks: &[String]| {
        let store = MemoryStore::new();
        let ops = vec![Op::Append(opening(&message(1), 1, "text"))];
        commit(&store, &id("s"), Expect::absent(CREATED), ops).await;
        extend(&store, &id("s"), 1, 1, 0, chunks).await;
        line(&store).await
    };
    let long = line_with(&chunks(0, 5)).await;
    let short = line_with(&chunks(0, 3)).await;
    let other = line_with(&[chunks(0, 2), chunks(9, 10)].concat()).await;
    let none = format!("{}}}", &long[..long.find(",\"replies\"").unwrap()]);
    let format = long.replace("\"format\":\"text\"", "\"format\":\"ui\"");
    let labels = long.replace(",\"state\"", ",\"labels\":{\"title\":\"t\"},\"state\"");

    let to = MemoryStore::new();
    for (given, chunks) in [(&short, 3), (&long, 2), (&short, 0), (&long, 0)] {
        let imported = transfer::import(&to, given, &copy()).await.unwrap();
        assert_eq!(imported.chunks, chunks);
    }
    for given in [&other, &none, &format, &labels] {
        let refused = transfer::import(&to, given, &copy()).await;
        assert!(matches!(refused, Err(ImportError::Exists { .. })), "{given}: {refused:?}");
    }
    assert_eq!(line(&to).await, long);

    // Once somebody has ended it, the message is another one.
    let head = loaded(&to, &id("s")).await;
    let reply = &head.replies[0];
    let close = Op::Close {
        seq: 1,
        claim: reply.claim,
        counts: reply.counts,
        message: NewMessage::plain(Bytes::from(r#"{"role":"assistant","content":"closed"}"#)),
    };
    commit(&to, &id("s"), head.head.expect(), vec![close]).await;
    let refused = transfer::import(&to, &long, &copy()).await;
    assert!(matches!(refused, Err(ImportError::Exists { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_reply_that_ends_while_it_is_exported_is_its_final_message() {
    let store = Steered::store();
    let id = id("s");
    let expect = commit(
        &store.inner,
        &id,
        Expect::absent(CREATED),
        vec![Op::Append((&message(1)).into()), Op::Append(opening(&message(2), 1, "text"))],
    )
    .await;
    extend(&store.inner, &id, 2, 1, 0, &chunks(0, 3)).await;
    let close = Op::Close {
        seq: 2,
        claim: claim(1),
        counts: ReplyCounts { chunks: 3, beats: 0 },
        message: NewMessage::plain(Bytes::from(r#"{"role":"assistant","content":"final"}"#)),
    };
    let ending = Commit::new(expect, vec![close], CHANGED + 1);
    store.told.lock().unwrap().meanwhile = Some((ending, None));
    let exported = line(&store).await;
    assert!(exported.contains("final") && !exported.contains("replies"), "{exported}");
}

#[tokio::test]
async fn a_reply_in_whose_place_another_one_begins_while_it_is_exported_lends_it_no_chunks() {
    let store = Steered::store();
    let id = id("s");
    let ops = vec![Op::Append(opening(&message(1), 1, "text"))];
    let expect = commit(&store.inner, &id, Expect::absent(CREATED), ops).await;
    extend(&store.inner, &id, 1, 1, 0, &chunks(0, 3)).await;
    let again = opening(&Message::assistant("again"), 2, "text");
    let reopening = Commit::new(expect, vec![Op::Replace { seq: 1, message: again }], CHANGED + 1);
    let others = chunks(100, 105).into_iter().map(Bytes::from).collect();
    let extension = Extension::new(1, claim(2), 0, others);
    store.told.lock().unwrap().meanwhile = Some((reopening, Some(extension)));
    let exported = line(&store).await;
    assert!(exported.contains("again"), "{exported}");
    assert!(
        exported
            .contains(r#""chunks":["token 100","token 101","token 102","token 103","token 104"]"#)
    );
}

#[tokio::test]
async fn chunks_are_read_a_page_at_a_time() {
    let store = Steered::store();
    let ops = vec![Op::Append(opening(&message(1), 1, "text"))];
    commit(&store.inner, &id("s"), Expect::absent(CREATED), ops).await;
    extend(&store.inner, &id("s"), 1, 1, 0, &chunks(0, 3000)).await;
    let exported = line(&store).await;
    let pages = |told: &mut Told| std::mem::take(&mut told.chunk_reads);
    let reads = pages(&mut store.told.lock().unwrap());
    assert!(
        reads.len() >= 3 && reads.iter().all(|(n, bytes)| *n <= 1024 && *bytes <= 1 << 20),
        "{reads:?}"
    );

    let to = Steered::store();
    assert_eq!(transfer::import(&to, &exported, &copy()).await.unwrap().chunks, 3000);
    assert_eq!(transfer::import(&to, &exported, &copy()).await.unwrap().chunks, 0);
    let reads = pages(&mut to.told.lock().unwrap());
    assert!(
        reads.len() >= 3 && reads.iter().all(|(n, bytes)| *n <= 1024 && *bytes <= 1 << 20),
        "{reads:?}"
    );
    assert_eq!(chunks_of(&to, &id("s"), 1).await, chunks(0, 3000));
}

#[tokio::test]
async fn a_message_nested_as_deep_as_one_may_be_comes_back() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    let deep =
        Message::from_json(format!(r#"{{"role":"user","content":{}}}"#, nested(126))).unwrap();
    assert!(Message::from_json(format!(r#"{{"role":"user","content":{}}}"#, nested(127))).is_err());
    let ops = vec![
        Op::Append(opening(&deep, 1, "text")),
        Op::SetApp(format!("{{\"a\":{}}}", nested(126)).into()),
    ];
    commit(&from, &id("s"), Expect::absent(CREATED), ops).await;
    extend(&from, &id("s"), 1, 1, 0, &[nested(127)]).await;
    let exported = line(&from).await;
    transfer::import(&to, &exported, &copy()).await.unwrap();
    assert_eq!(line(&to).await, exported);
}
