//! Changes to sessions: worked out in a draft, then in the layers and in the tables.

use super::super::{Draft, Snapshot};
use super::model::Rng;
use super::world::World;
use crate::error::Fault;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::rows::LARGE_BODY;
use durable_session::store::{
    ChunkQuery, Claim, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Expect, ExtendOutcome,
    Extension, IdTag, Incarnation, Labels, ListQuery, LoadOutcome, LoadQuery, Loaded, NewMessage,
    Op, ReadQuery, ReplyOpening, StoreLimits, TailBounds,
};

const LIMITS: StoreLimits = StoreLimits::new(1 << 20, 1 << 20, 1 << 22, 1000);
const ALL: LoadQuery = LoadQuery::new(TailBounds::new(usize::MAX, u64::MAX));
const SHORT: LoadQuery = LoadQuery::new(TailBounds::new(2, u64::MAX));
const CLAIM: Claim = Claim::from_bytes([9; 32]);

fn id(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

fn plain(text: &str) -> NewMessage {
    NewMessage::tagged(Bytes::copy_from_slice(text.as_bytes()), IdTag::of(text))
}

fn append(text: &str) -> Op {
    Op::Append(plain(text))
}

const CREATED: Expect =
    Expect::Absent { created_at: 1, incarnation: Some(Incarnation::from_bytes([7; 16])) };

fn commit(draft: &mut Draft<'_>, name: &str, expect: Expect, ops: Vec<Op>) -> CommitOutcome {
    let drawn = || Ok(Incarnation::from_bytes([8; 16]));
    draft.commit(&id(name), &Commit::new(expect, ops, 5), drawn).unwrap()
}

fn loaded(snapshot: &Snapshot<'_>, name: &str) -> Option<Loaded> {
    snapshot.load(&id(name), ALL).unwrap().loaded()
}

fn at(snapshot: &Snapshot<'_>, name: &str) -> Expect {
    loaded(snapshot, name).map_or(CREATED, |loaded| Expect::Version {
        version: loaded.head.version,
        next_seq: loaded.head.next_seq,
    })
}

/// Any change to one of a few sessions.
enum Change {
    Commit(Commit),
    Extend(Extension),
    Touch(u64),
    Delete(DeleteIf),
}

impl Change {
    /// Mostly one that succeeds.
    fn random(rng: &mut Rng, snapshot: &Snapshot<'_>, name: &str, at: u64) -> Self {
        let Some(loaded) = loaded(snapshot, name) else {
            let ops = (0..rng.below(3)).map(|_| Op::Append(message(rng))).collect();
            return Self::Commit(Commit::new(CREATED, ops, at));
        };
        let head = loaded.head;
        let expect = Expect::Version { version: head.version, next_seq: head.next_seq };
        let seq = rng.below(head.next_seq + 1);
        let ops = match rng.below(16) {
            0 => return Self::Touch(at + 5),
            1 if rng.below(3) == 0 => return Self::Delete(DeleteIf::Any),
            2..5 => {
                let Some(reply) = loaded.replies.first() else {
                    return Self::Extend(Extension::beat(seq, CLAIM));
                };
                let chunks = (0..rng.below(4)).map(|_| body(rng)).collect();
                let offset = reply.counts.chunks.saturating_sub(rng.below(2));
                return Self::Extend(Extension::new(reply.seq, CLAIM, offset, chunks));
            }
            5 => vec![Op::SetApp(body(rng))],
            6 => {
                let labels = [Labels::NONE, Labels::owner("o"), Labels::owner("p").title("t")];
                vec![Op::SetLabels(labels[usize::try_from(rng.below(3)).unwrap()].clone())]
            }
            7 => vec![Op::Replace { seq, message: message(rng) }],
            8 => vec![
                Op::Append(message(rng)),
                Op::Remove { first: seq, last: seq + rng.below(3) },
                Op::Append(message(rng)),
            ],
            9 => vec![Op::Remove { first: 0, last: seq }, Op::SetApp(body(rng))],
            10 if !loaded.replies.is_empty() => {
                let reply = &loaded.replies[0];
                vec![Op::Close {
                    seq: reply.seq,
                    claim: CLAIM,
                    counts: reply.counts,
                    message: message(rng),
                }]
            }
            _ => (0..=rng.below(2)).map(|_| Op::Append(message(rng))).collect(),
        };
        Self::Commit(Commit::new(expect, ops, at))
    }

    fn make(&self, draft: &mut Draft<'_>, name: &str) -> String {
        let (id, drawn) = (id(name), || Ok(Incarnation::from_bytes([8; 16])));
        match self {
            Self::Commit(commit) => format!("{:?}", draft.commit(&id, commit, drawn)),
            Self::Extend(extension) => format!("{:?}", draft.extend(&id, extension, &LIMITS)),
            Self::Touch(at) => format!("{:?}", draft.touch(&id, *at)),
            Self::Delete(condition) => format!("{:?}", draft.delete(&id, *condition)),
        }
    }
}

fn body(rng: &mut Rng) -> Bytes {
    let len = if rng.below(6) == 0 { LARGE_BODY as u64 + rng.below(3) } else { rng.below(50) };
    (0..len).map(|_| rng.byte()).collect()
}

fn message(rng: &mut Rng) -> NewMessage {
    let message = NewMessage::tagged(body(rng), IdTag::of(&rng.below(1000).to_string()));
    if rng.below(5) == 0 {
        return message.opening(ReplyOpening::new(CLAIM, "text"));
    }
    message
}

/// All that readers can see of the sessions.
fn seen(snapshot: &Snapshot<'_>, names: &[&str]) -> Vec<String> {
    let mut seen = Vec::new();
    for name in names {
        let id = id(name);
        for query in [ALL, SHORT] {
            let loaded = snapshot.load(&id, query).unwrap();
            if let LoadOutcome::Loaded(loaded) = &loaded {
                for reply in &loaded.replies {
                    let chunks = |query| snapshot.read_chunks(&id, query).unwrap();
                    seen.push(format!("{:?}", chunks(ChunkQuery::from(reply.seq, 0))));
                    let some = ChunkQuery::from(reply.seq, 2).max_chunks(3);
                    seen.push(format!("{:?}", chunks(some)));
                }
            }
            seen.push(format!("{loaded:?}"));
        }
        for query in [ReadQuery::forward(2, u64::MAX), ReadQuery::backward(0, 5).max_messages(3)] {
            let page = snapshot.read(&id, query).unwrap();
            let salvaged = snapshot.salvage(&id, query).unwrap();
            assert_eq!(
                page.as_ref().map(|page| (&page.rows, &page.replies)),
                salvaged.as_ref().map(|salvaged| (&salvaged.rows, &salvaged.replies))
            );
            assert!(salvaged.is_none_or(|salvaged| salvaged.damage.is_empty()));
            seen.push(format!("{page:?}"));
        }
    }
    for query in [
        ListQuery::all(2),
        ListQuery::prefix("b", 9),
        ListQuery::owner("o", 2),
        ListQuery::owner("p", 9).by_id(),
        ListQuery::open_replies(9),
    ] {
        let page = snapshot.list(&query).unwrap();
        assert!(page.sessions.iter().all(|listed| listed.head.is_ok()));
        seen.push(format!("{page:?}"));
    }
    seen
}

/// The same changes in three stores: one that never flushes, one that always has everything in the
/// tables, and one that freezes, flushes a part, and crashes.
#[test]
fn readers_see_the_same_wherever_the_rows_are() {
    const NAMES: [&str; 4] = ["a", "b", "ba", "c"];
    for seed in 1..=3 {
        let mut rng = Rng::new(seed);
        let [mut layers, mut tables, mut mixed] = [World::new(), World::new(), World::new()];
        let mut before = None;
        for step in 0..60 {
            let changes: Vec<_> = (0..=rng.below(3))
                .map(|_| {
                    let name = NAMES[usize::try_from(rng.below(4)).unwrap()];
                    (name, Change::random(&mut rng, &tables.snapshot(), name, 10 * step))
                })
                .collect();
            let make = |draft: &mut Draft<'_>| {
                changes.iter().map(|(name, change)| change.make(draft, name)).collect::<Vec<_>>()
            };
            let outcomes = tables.change(make);
            assert_eq!(layers.change(make), outcomes);
            assert_eq!(mixed.change(make), outcomes);
            tables.flush_all();
            match rng.below(8) {
                0 | 1 => mixed.freeze(),
                2..5 => drop(mixed.flush(2000, usize::try_from(rng.below(4)).unwrap())),
                5 => mixed.crash(),
                _ => {}
            }
            let expected = seen(&tables.snapshot(), &NAMES);
            assert_eq!(seen(&layers.snapshot(), &NAMES), expected);
            assert_eq!(seen(&mixed.snapshot(), &NAMES), expected);
            if let Some((snapshot, seen_then)) = before.take() {
                assert_eq!(seen(&snapshot, &NAMES), seen_then, "a snapshot does not change");
            }
            if rng.below(2) == 0 {
                before = Some((mixed.snapshot(), expected));
            }
        }
    }
}

#[test]
fn an_append_to_a_known_session_begins_no_transaction() {
    let mut world = World::new();
    let begun = |world: &mut World, work: &dyn Fn(&mut Draft<'_>)| {
        world.change(|draft| {
            work(draft);
            draft.view.has_begun()
        })
    };
    let create = |draft: &mut Draft<'_>| {
        let outcome = commit(draft, "s", CREATED, vec![append("1")]);
        assert!(matches!(outcome, CommitOutcome::Committed(_)));
    };
    assert!(begun(&mut world, &create), "whether there is such a session");
    world.flush_all();
    let expect = at(&world.snapshot(), "s");
    let add = |draft: &mut Draft<'_>| {
        let outcome = commit(draft, "s", expect, vec![append("2")]);
        assert!(matches!(outcome, CommitOutcome::Committed(_)));
    };
    assert!(!begun(&mut world, &add));
    assert_eq!(loaded(&world.snapshot(), "s").unwrap().tail.len(), 2);
}

#[test]
fn a_change_that_is_refused_leaves_nothing_behind() {
    let mut world = World::new();
    world.change(|draft| commit(draft, "s", CREATED, vec![append("1")]));
    let expect = at(&world.snapshot(), "s");
    let last = world.memtable.last();
    world.change(|draft| {
        let gone = Op::Replace { seq: 7, message: plain("x") };
        let ops = vec![append("2"), Op::Remove { first: 0, last: 1 }, gone];
        assert_eq!(commit(draft, "s", expect, ops), CommitOutcome::NoSuchSeq { seq: 7 });
        let outcome = commit(draft, "s", CREATED, vec![append("2")]);
        assert!(matches!(outcome, CommitOutcome::Conflict { current: Some(_) }));
        let gone = draft.delete(&id("other"), DeleteIf::Any).unwrap();
        assert_eq!(gone, DeleteOutcome::Absent);
        assert!(!draft.touch(&id("s"), 0).unwrap());
        let (outcome, wrote) = draft.extend(&id("s"), &Extension::beat(1, CLAIM), &LIMITS).unwrap();
        assert!(matches!(outcome, ExtendOutcome::Ended) && !wrote);
        let drawn = || Err(Fault::Panic("no random bits".to_owned()));
        let create = Commit::new(Expect::absent(1), vec![append("1")], 5);
        assert!(draft.commit(&id("new"), &create, drawn).is_err());
    });
    assert_eq!(world.memtable.last(), last, "there was nothing to write");
    assert_eq!(loaded(&world.snapshot(), "s").unwrap().tail.len(), 1);
}

#[test]
fn a_session_that_is_changed_often_takes_no_more_memory() {
    let mut world = World::new();
    world.change(|draft| commit(draft, "s", CREATED, vec![append("1")]));
    let touch = |world: &mut World, at| world.change(|draft| draft.touch(&id("s"), at).unwrap());
    assert!(touch(&mut world, 10));
    let bytes = world.memtable.active_bytes();
    for at in 11..200 {
        assert!(touch(&mut world, at));
    }
    assert_eq!(world.memtable.active_bytes(), bytes);
    // A reader keeps the version that it sees, until it is gone and the session changes again.
    let snapshot = world.snapshot();
    for at in 200..300 {
        assert!(touch(&mut world, at));
    }
    assert!(world.memtable.active_bytes() > bytes);
    assert_eq!(loaded(&snapshot, "s").unwrap().head.last_accessed_at, 199);
    drop(snapshot);
    assert!(touch(&mut world, 300));
    assert_eq!(world.memtable.active_bytes(), bytes);
    assert_eq!(world.memtable.bytes(), bytes);
}

#[test]
fn a_session_that_is_deleted_and_created_again_in_one_batch_has_a_new_number() {
    let mut world = World::new();
    for flush in [false, true] {
        world.change(|draft| {
            draft.delete(&id("s"), DeleteIf::Any).unwrap();
            commit(draft, "s", CREATED, vec![append("old"), append("older")]);
            draft.delete(&id("s"), DeleteIf::Any).unwrap();
            commit(draft, "s", CREATED, vec![append("new")]);
        });
        let found = loaded(&world.snapshot(), "s").unwrap();
        assert_eq!((found.tail.len(), &found.tail[0].body[..]), (1, &b"new"[..]));
        let numbers = if flush { 5 } else { 3 };
        assert_eq!(world.memtable.next_number(), numbers);
        if flush {
            world.flush_all();
        } else {
            world.crash();
        }
        assert_eq!(world.memtable.next_number(), numbers);
    }
}
