//! Open replies, tags and lists in the file: their rows, after a power loss and with damage.

use crate::damage::{EVERYTHING, hush};
use crate::support::{ALL, Disks, append, commit, committed, create, id, tiny, until};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    ChunkQuery, Claim, DeleteIf, Expect, ExtendOutcome, Extension, Head, IdTag, Labels, ListQuery,
    LoadQuery, NewMessage, Op, ReplyCounts, ReplyOpening, SessionList, SessionStore, StoreError,
    StoreErrorKind, TailBounds,
};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use futures_util::FutureExt;
use futures_util::future::join_all;
use redb::{
    Database, Key, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, Value,
    WriteTransaction,
};
use testkit::disk::{Change, Disk, Event};

type MessageKey = (u64, u64);
type Blob = &'static [u8];
const ROWS: TableDefinition<'_, MessageKey, Blob> = TableDefinition::new("durable-session.rows");
const TAGS: TableDefinition<'_, MessageKey, Blob> = TableDefinition::new("durable-session.tags");
const REPLIES: TableDefinition<'_, MessageKey, Blob> =
    TableDefinition::new("durable-session.replies");
const CHUNKS: TableDefinition<'_, (u64, u64, u64), Blob> =
    TableDefinition::new("durable-session.chunks");
const LISTS: TableDefinition<'_, Blob, Blob> = TableDefinition::new("durable-session.lists");

fn claim(byte: u8) -> Claim {
    Claim::from_bytes([byte; 32])
}

fn opening(body: &str) -> NewMessage {
    NewMessage::plain(body.to_owned().into()).opening(ReplyOpening::new(claim(1), "text"))
}

fn extension(seq: u64, offset: u64, chunks: &[&str]) -> Extension {
    let chunks = chunks.iter().map(|chunk| Bytes::copy_from_slice(chunk.as_bytes())).collect();
    Extension::new(seq, claim(1), offset, chunks)
}

async fn extend(store: &RedbStore, session: &SessionId, extension: Extension) -> ReplyCounts {
    match store.extend(session, extension).await.unwrap() {
        ExtendOutcome::Extended(counts) => counts,
        other => panic!("not extended: {other:?}"),
    }
}

async fn change_session(store: &RedbStore, session: &SessionId, head: Head, ops: Vec<Op>) -> Head {
    committed(store.commit(session, commit(head.expect(), ops)).await)
}

/// A closed store: `other`, and `s` with an owner, a large message and a reply with chunks in three
/// rows.
fn sample() -> (Disks, Head) {
    let disks = Disks::default();
    let head = block_on(async {
        let store = disks.open();
        create(&store, &id("other"), &["theirs"]).await;
        let large = NewMessage::tagged(vec![b'l'; 9_000].into(), IdTag::of("m-1"));
        let ops = vec![
            Op::SetLabels(Labels::owner("o").title("t")),
            Op::Append(large),
            Op::append("small".into()),
            Op::Append(opening("answering")),
        ];
        let head = committed(store.commit(&id("s"), commit(Expect::absent(1_000), ops)).await);
        for (offset, chunks) in [(0, &["a", "b"][..]), (2, &["c"]), (3, &["d", "e"])] {
            extend(&store, &id("s"), extension(3, offset, chunks)).await;
        }
        store.close().await.unwrap();
        head
    });
    (disks, head)
}

/// The session number of `s`.
const S: u64 = 2;

fn rows(disks: &Disks) -> [u64; 4] {
    fn len<K: Key + 'static, V: Value + 'static>(
        txn: &redb::ReadTransaction,
        table: TableDefinition<'_, K, V>,
    ) -> u64 {
        txn.open_table(table).unwrap().len().unwrap()
    }
    let db = Database::builder().create_with_backend(disks.file.backend()).unwrap();
    let txn = db.begin_read().unwrap();
    [len(&txn, TAGS), len(&txn, REPLIES), len(&txn, CHUNKS), len(&txn, LISTS)]
}

/// An extension by a chunk of six bytes: the number of its table, its key, the length of its row,
/// and the row with header, length, chunk and checksum.
const EXTENSION: usize = 1 + 24 + 4 + (13 + 4 + 6 + 8);

#[test]
fn extensions_of_many_replies_share_a_batch_of_61_bytes_each() {
    const REPLIES: usize = 64;
    let disk = Disk::default().logging();
    let disks = Disks { file: Disk::default(), log: disk.log() };
    let store = disks.open();
    let sessions: Vec<_> = (0..REPLIES).map(|n| id(&format!("s-{n}"))).collect();
    for session in &sessions {
        let opens = vec![Op::Append(opening("answering"))];
        committed(block_on(store.commit(session, commit(Expect::absent(1_000), opens))));
    }
    let push = |session: &SessionId, offset: u64| {
        let (store, session) = (store.clone(), session.clone());
        async move { extend(&store, &session, extension(1, offset, &["\"word\""])).await }.boxed()
    };
    // While the writer hangs in a sync, one extension of each reply comes.
    disk.close_gate();
    let mut first = push(&sessions[0], 0);
    assert!((&mut first).now_or_never().is_none());
    until("the writer takes the first", || store.stats().queue_depth == 0);
    let mut others: Vec<_> =
        sessions.iter().enumerate().map(|(n, session)| push(session, u64::from(n == 0))).collect();
    for other in &mut others {
        assert!(other.now_or_never().is_none());
    }
    let (before, mut events) = (store.stats().batches, disk.take_log());
    disk.open_gate();
    block_on(join_all(others.into_iter().chain([first])));
    assert_eq!(store.stats().batches - before, 2, "the first, and all others");
    events.extend(disk.take_log());

    let batch = (32 + REPLIES * EXTENSION).next_multiple_of(64);
    assert_eq!(batch, 61 * REPLIES);
    let is_batch = |event: &Event| match event {
        Event::Change(_, Change::Write(_, bytes)) => bytes.len() == batch,
        _ => false,
    };
    let at: Vec<_> = (0..events.len()).filter(|&at| is_batch(&events[at])).collect();
    assert_eq!(at.len(), 1, "one write");
    assert!(matches!(events[at[0] + 1], Event::Sync(_)), "and one sync");
    block_on(store.close()).unwrap();
}

#[test]
fn the_end_of_a_reply_leaves_none_of_its_rows() {
    let seq = 3;
    let close = |chunks| Op::Close {
        seq,
        claim: claim(1),
        counts: ReplyCounts { chunks, beats: 0 },
        message: NewMessage::plain("closed".into()),
    };
    for (ops, left) in [
        (Some(vec![close(5)]), [1, 0, 0, 2]),
        (Some(vec![Op::replace(seq, "replaced".into())]), [1, 0, 0, 2]),
        (Some(vec![Op::Remove { first: 2, last: 9 }]), [1, 0, 0, 2]),
        (Some(vec![Op::Remove { first: 1, last: 1 }]), [0, 1, 3, 3]),
        (Some(vec![Op::replace(1, "small now".into())]), [0, 1, 3, 3]),
        (Some(vec![Op::Replace { seq, message: opening("anew") }]), [1, 1, 0, 3]),
        (Some(vec![Op::SetLabels(Labels::owner("another"))]), [1, 1, 3, 3]),
        (Some(vec![Op::SetLabels(Labels::NONE)]), [1, 1, 3, 1]),
        (None, [0, 0, 0, 0]),
    ] {
        let (disks, head) = sample();
        assert_eq!(rows(&disks), [1, 1, 3, 3]);
        let store = disks.open();
        block_on(async {
            match ops {
                Some(ops) => drop(change_session(&store, &id("s"), head, ops).await),
                None => drop(store.delete(&id("s"), DeleteIf::Any).await.unwrap()),
            }
            assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
            store.close().await.unwrap();
        });
        assert_eq!(rows(&disks), left);
    }
}

/// Extensions are as durable as commits, and a close is durable together with the removal of the
/// chunks.
#[test]
fn a_power_loss_keeps_every_chunk_that_was_acknowledged() {
    let disks = Disks::default();
    block_on(async {
        let s = id("s");
        let store = disks.open_with(&tiny());
        let head = create(&store, &s, &["asked"]).await;
        let mut head =
            change_session(&store, &s, head, vec![Op::Append(opening("answering"))]).await;
        let mut chunks = Vec::new();
        for n in 0..20_u64 {
            let chunk = n.to_string();
            let counts = extend(&store, &s, extension(2, n, &[&chunk])).await;
            assert_eq!(counts, ReplyCounts { chunks: n + 1, beats: n });
            chunks.push(Bytes::from(chunk));
            extend(&store, &s, Extension::beat(2, claim(1))).await;
            // Beside a log that is flushed all the time.
            head = append(&store, &s, head, &["meanwhile"]).await;
            let after = disks.after_power_loss().open_with(&tiny());
            let page = after.read_chunks(&s, ChunkQuery::from(2, 0)).await.unwrap().unwrap();
            assert_eq!((page.chunks, page.reply.counts.beats), (chunks.clone(), n + 1));
            assert_eq!(after.load(&s, ALL).await.unwrap().loaded().unwrap().head, head);
            assert!(after.verify(|_| {}).await.unwrap().damage.is_empty());
        }
        let close = Op::Close {
            seq: 2,
            claim: claim(1),
            counts: ReplyCounts { chunks: 20, beats: 20 },
            message: NewMessage::plain("answered".into()),
        };
        let closed = change_session(&store, &s, head, vec![close]).await;
        assert_eq!((closed.closed, closed.base), (closed.version, head.base));
        let after = disks.after_power_loss().open_with(&tiny());
        let loaded = after.load(&s, ALL).await.unwrap().loaded().unwrap();
        assert_eq!((loaded.head, loaded.replies.len()), (closed, 0));
        assert_eq!(loaded.tail[1].body, "answered");
        assert!(after.read_chunks(&s, ChunkQuery::from(2, 0)).await.unwrap().is_none());
    });
}

#[test]
fn appends_beside_an_open_reply_and_labels_are_logged_like_all_changes() {
    let disks = Disks::default();
    block_on(async {
        let store = disks.open();
        let s = id("s");
        let head = create(&store, &s, &["asked"]).await;
        let head = change_session(&store, &s, head, vec![Op::Append(opening("answering"))]).await;
        let head = append(&store, &s, head, &["beside the reply"]).await;
        extend(&store, &s, extension(2, 0, &["a"])).await;
        let labels = vec![Op::SetLabels(Labels::owner("o"))];
        let labelled = change_session(&store, &s, head, labels).await;
        assert_eq!((labelled.base, labelled.changed_at), (head.base, head.changed_at));
        let late = Expect::Version { version: labelled.version, next_seq: labelled.next_seq };
        let ops = vec![Op::append("later".into()), Op::SetApp("{}".into())];
        let at = 9_000;
        let last =
            committed(store.commit(&s, durable_session::store::Commit::new(late, ops, at)).await);
        assert_eq!(store.stats().flushes, 0);
        let listed = store.list(&ListQuery::owner("o", 9)).await.unwrap().sessions;
        assert_eq!((*listed[0].head.as_ref().unwrap(), last.changed_at), (last, at));
        // An outdated next seq is a conflict, too.
        let stale = Expect::Version { version: last.version, next_seq: last.next_seq + 1 };
        let outcome = store.commit(&s, commit(stale, vec![])).await.unwrap();
        let conflict =
            durable_session::store::CommitOutcome::Conflict { current: Some(last.version) };
        assert_eq!(outcome, conflict);
    });
}

fn flip<K: Key + 'static>(
    txn: &WriteTransaction,
    table: TableDefinition<'_, K, Blob>,
    key: impl for<'k> std::borrow::Borrow<K::SelfType<'k>>,
) {
    let mut table = txn.open_table(table).unwrap();
    let mut row = table.get_mut(key).unwrap().unwrap();
    let mut damaged = row.value().to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    row.insert(&damaged[..]).unwrap();
}

/// The damage that `verify` finds after `damage` was done to the closed file.
fn verified_after(damage: impl FnOnce(&WriteTransaction)) -> (RedbStore, Head, Vec<StoreError>) {
    let (disks, head) = sample();
    disks.change(damage);
    let store = disks.open();
    let found = block_on(store.verify(|_| {})).unwrap().damage;
    (store, head, found)
}

fn places(errors: &[StoreError]) -> Vec<(Option<u64>, Option<u64>)> {
    for error in errors {
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        assert_eq!(error.session(), Some(&id("s")));
    }
    errors.iter().map(|error| (error.seq(), error.chunk())).collect()
}

#[test]
fn a_damaged_reply_row_is_named_and_can_be_removed() {
    let (store, head, found) = verified_after(|txn| flip(txn, REPLIES, (S, 3)));
    assert_eq!(places(&found), [(Some(3), None)]);
    block_on(async {
        let error = store.load(&id("s"), ALL).await.unwrap_err();
        assert_eq!(places(&[error]), [(Some(3), None)]);
        let error = store.extend(&id("s"), extension(3, 5, &["f"])).await.unwrap_err();
        assert_eq!(places(&[error]), [(Some(3), None)]);
        let salvaged = store.salvage(&id("s"), EVERYTHING).await.unwrap().unwrap();
        assert_eq!((salvaged.rows.len(), salvaged.replies.len()), (3, 0));
        assert_eq!(salvaged.damage.iter().map(|damage| damage.seq).collect::<Vec<_>>(), [Some(3)]);
        let listed = store.list(&ListQuery::open_replies(9)).await.unwrap().sessions;
        assert!(listed.len() == 1 && listed[0].head.is_ok(), "the sweep finds it");
        change_session(&store, &id("s"), head, vec![Op::replace(3, "whole".into())]).await;
        assert!(store.load(&id("s"), ALL).await.unwrap().loaded().is_some());
        assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
    });
}

#[test]
fn a_damaged_chunk_row_is_named_by_every_call_that_reads_it() {
    for (offset, last) in [(0, false), (2, false), (3, true)] {
        let (store, _, found) = verified_after(|txn| flip(txn, CHUNKS, (S, 3, offset)));
        assert_eq!(places(&found), [(Some(3), Some(offset))]);
        block_on(async {
            match store.load(&id("s"), ALL).await {
                Ok(loaded) => {
                    assert!(!last);
                    assert_eq!(loaded.loaded().unwrap().replies[0].counts.chunks, 5);
                }
                Err(error) => {
                    assert_eq!((last, places(&[error])), (true, vec![(Some(3), Some(3))]));
                }
            }
            let read = async |from, max| {
                let query = ChunkQuery::from(3, from).max_chunks(max);
                store.read_chunks(&id("s"), query).await.map(|page| page.unwrap())
            };
            let damaged = usize::try_from(offset).unwrap();
            if damaged > 0 {
                let page = read(0, damaged).await.unwrap();
                assert_eq!((page.chunks.len(), page.more), (damaged, true));
                let error = read(0, damaged + 1).await.unwrap_err();
                assert_eq!(places(&[error]), [(Some(3), Some(offset))]);
            }
            if !last {
                assert_eq!(read(3, 9).await.unwrap().chunks.len(), 2);
            }
            let error = read(offset, 1).await.unwrap_err();
            assert_eq!(places(&[error]), [(Some(3), Some(offset))]);
            assert_eq!(
                store.delete(&id("s"), DeleteIf::Any).await.unwrap(),
                durable_session::store::DeleteOutcome::Deleted
            );
            assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
        });
    }
}

#[test]
fn a_missing_chunk_row_is_an_error() {
    let (store, _, found) =
        verified_after(|txn| drop(txn.open_table(CHUNKS).unwrap().remove((S, 3, 2)).unwrap()));
    assert_eq!(places(&found)[..1], [(Some(3), Some(2))]);
    let error = block_on(store.read_chunks(&id("s"), ChunkQuery::from(3, 0))).unwrap_err();
    assert_eq!(places(&[error]), [(Some(3), Some(2))]);
    let store =
        verified_after(|txn| drop(txn.open_table(CHUNKS).unwrap().remove((S, 3, 0)).unwrap())).0;
    let error = block_on(store.read_chunks(&id("s"), ChunkQuery::from(3, 1))).unwrap_err();
    assert_eq!(places(&[error]), [(Some(3), Some(0))]);
}

#[test]
fn a_damaged_tag_row_is_named_and_hides_no_message() {
    let (store, _, found) = verified_after(|txn| flip(txn, TAGS, (S, 1)));
    assert_eq!(places(&found), [(Some(1), None)]);
    block_on(async {
        let last = LoadQuery::new(TailBounds::new(1, u64::MAX));
        let loaded = store.load(&id("s"), last).await.unwrap().loaded().unwrap();
        assert_eq!(loaded.tags.iter().map(|tagged| tagged.seq).collect::<Vec<_>>(), [2, 3]);
        let loaded = store.load(&id("s"), ALL).await.unwrap().loaded().unwrap();
        assert_eq!((loaded.tail.len(), loaded.tags.len()), (3, 3));
    });
}

#[test]
fn verification_names_tags_and_replies_that_do_not_fit_their_messages() {
    let other = durable_session::rows::encode_tag(S, 1, IdTag::of("another"));
    let stray = durable_session::rows::encode_tag(S, 2, IdTag::NONE);
    for (damage, text) in [
        (
            Box::new(|txn: &WriteTransaction| {
                drop(txn.open_table(TAGS).unwrap().insert((S, 1), &other[..]).unwrap());
            }) as Box<dyn Fn(&WriteTransaction)>,
            "has another tag than the message",
        ),
        (
            Box::new(|txn| drop(txn.open_table(TAGS).unwrap().insert((S, 2), &stray[..]).unwrap())),
            "belongs to no large message",
        ),
        (Box::new(|txn| drop(txn.open_table(TAGS).unwrap().remove((S, 1)).unwrap())), "is missing"),
        (
            Box::new(|txn| drop(txn.open_table(REPLIES).unwrap().remove((S, 3)).unwrap())),
            "chunks belong to a reply that is not open",
        ),
        (
            Box::new(|txn| drop(txn.open_table(ROWS).unwrap().remove((S, 3)).unwrap())),
            "a reply is open on a message that is missing",
        ),
    ] {
        let (_, _, found) = verified_after(damage);
        assert!(found.iter().any(|error| error.to_string().contains(text)), "{text}: {found:?}");
    }
}

/// A list key of the sample by its first byte: `i` by id, `n` newest first, `r` open replies.
fn list_key(disks: &Disks, list: u8) -> Vec<u8> {
    let db = Database::builder().create_with_backend(disks.file.backend()).unwrap();
    let lists = db.begin_read().unwrap().open_table(LISTS).unwrap();
    let keys = lists.iter().unwrap().map(|entry| entry.unwrap().0.value().to_vec());
    keys.into_iter().find(|key| key[0] == list).unwrap()
}

#[test]
fn verification_names_list_keys_that_do_not_fit_the_heads() {
    hush();
    for list in *b"inr" {
        let key = list_key(&sample().0, list);
        let (_, _, found) =
            verified_after(|txn| drop(txn.open_table(LISTS).unwrap().remove(&key[..]).unwrap()));
        let text =
            if list == b'r' { "in the list of open replies" } else { "in a list of its owner" };
        assert!(found.len() == 1 && found[0].to_string().contains(text), "{found:?}");
        assert_eq!(places(&found), [(None, None)]);

        // A key that leads to another session.
        let mut stray = key.clone();
        let end = stray.len() - 1;
        stray.truncate(end);
        stray.extend_from_slice(b"other");
        let (store, _, found) = verified_after(|txn| {
            drop(txn.open_table(LISTS).unwrap().insert(&stray[..], &[][..]).unwrap());
        });
        assert!(
            found.len() == 1 && found[0].to_string().contains("does not belong there"),
            "{found:?}"
        );
        let query =
            if list == b'r' { ListQuery::open_replies(9) } else { ListQuery::owner("o", 9) };
        let query = if list == b'i' { query.by_id() } else { query };
        let listed = block_on(store.list(&query)).unwrap().sessions;
        let others = listed.iter().find(|listed| listed.id == id("other")).unwrap();
        assert_eq!(others.head.is_err(), list != b'r', "another's session passes for the owner's");
        assert_eq!(others.labels, Labels::NONE);
    }
}

/// Without its head the owner is unknown, so that all lists are searched for the session.
#[test]
fn a_session_with_a_damaged_head_is_deleted_from_its_lists() {
    let (disks, _) = sample();
    let heads = TableDefinition::<u64, Blob>::new("durable-session.heads");
    disks.change(|txn| flip(txn, heads, S));
    let store = disks.open();
    block_on(async {
        let found = store.verify(|_| {}).await.unwrap().damage;
        assert_eq!(
            places(&found),
            [(None, None)],
            "one row is damaged, and verification reports only that"
        );
        let listed = store.list(&ListQuery::owner("o", 9)).await.unwrap().sessions;
        assert!(listed.iter().all(|listed| listed.head.is_err()));
        store.delete(&id("s"), DeleteIf::Any).await.unwrap();
        assert!(store.verify(|_| {}).await.unwrap().damage.is_empty());
        store.close().await.unwrap();
    });
    assert_eq!(rows(&disks), [0, 0, 0, 0]);
}

#[test]
fn a_backup_copies_tags_replies_chunks_and_lists() {
    let (disks, head) = sample();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.redb");
    block_on(async {
        let store = disks.open();
        // A large message in a log: the backup makes its tag row.
        let other = store.load(&id("other"), ALL).await.unwrap().loaded().unwrap().head;
        append(&store, &id("other"), other, &[&"x".repeat(9_000), "last"]).await;
        store.backup(&path, |_| {}).await.unwrap();
        let copy = RedbStore::open(&path).unwrap();
        assert!(copy.verify(|_| {}).await.unwrap().damage.is_empty());
        let [expected, found] = [&store, &copy].map(|store| async {
            let loaded = store.load(&id("s"), ALL).await.unwrap().loaded().unwrap();
            let chunks =
                store.read_chunks(&id("s"), ChunkQuery::from(3, 0)).await.unwrap().unwrap();
            (loaded.labels, loaded.tail, loaded.tags, loaded.replies, chunks)
        });
        assert_eq!(found.await, expected.await);
        assert_eq!(copy.list(&ListQuery::owner("o", 9)).await.unwrap().sessions.len(), 1);
        // The reply goes on in the copy under the same claim.
        extend(&copy, &id("s"), extension(3, 5, &["f"])).await;
        let loaded = copy.load(&id("s"), ALL).await.unwrap().loaded().unwrap();
        assert_ne!(loaded.head.version, head.version);
    });
}

/// The tables of replies and lists are opened when they are first needed. A store that is open for
/// changes opens all of them first.
#[test]
fn a_table_with_a_damaged_type_is_reported_as_corrupt() {
    hush();
    let (disks, mut told) = (sample().0, 0);
    let file = disks.file.bytes();
    let types = ["(u64,u64,u64)", "(u64,u64)", "&[u8]"].map(str::as_bytes);
    let is_a_type = |at: &usize| types.iter().any(|name| file[*at..].starts_with(name));
    for at in (0..file.len()).filter(is_a_type) {
        let mut damaged = file.clone();
        // The second byte: "u" becomes "e", or "[" becomes "K".
        damaged[at + 1] ^= 0x10;
        let Ok(store) = disks.with_file(damaged).read_only() else { continue };
        let errors = [
            block_on(store.load(&id("s"), ALL)).err(),
            block_on(store.read(&id("s"), EVERYTHING)).err(),
            block_on(store.read_chunks(&id("s"), ChunkQuery::from(3, 0))).err(),
            block_on(store.list(&ListQuery::all(9))).err(),
        ];
        for error in errors.into_iter().flatten() {
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}");
            told += 1;
        }
    }
    assert!(told > 0);
}
