//! The redb store beside the memory store: the same calls have the same results, with rows in the
//! log or in the tables, and after power losses, kills, compactions and restored backups.

use crate::support::{ALL, Disks, id, salt_between, small, tiny};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    ChunkQuery, Claim, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Expect, Extension, Head,
    IdTag, Incarnation, Labels, ListPage, ListQuery, LoadOutcome, LoadQuery, Loaded, NewMessage,
    Op, ReadQuery, ReplyCounts, ReplyOpening, Salt, SessionList, SessionStore, TailBounds, Version,
};
use durable_session_memory::MemoryStore;
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use testkit::disk::Disk;

const SESSIONS: [&str; 4] = ["a", "ab", "b", "c"];
const STEPS: usize = 400;

/// A small generator: the same steps in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn body(&mut self) -> Bytes {
        let bytes = if self.below(6) == 0 { 5_000 + self.below(9_000) } else { self.below(60) };
        vec![b'a' + u8::try_from(self.below(26)).unwrap(); usize::try_from(bytes).unwrap()].into()
    }

    fn claim(&mut self) -> Claim {
        Claim::from_bytes([u8::try_from(self.below(3)).unwrap(); 32])
    }

    fn message(&mut self) -> NewMessage {
        let tag = match self.below(4) {
            0 => IdTag::NONE,
            n => IdTag::of(&format!("{n}-{}", self.below(50))),
        };
        let message = NewMessage::tagged(self.body(), tag);
        if self.below(4) == 0 {
            message.opening(ReplyOpening::new(self.claim(), "text"))
        } else {
            message
        }
    }

    fn labels(&mut self) -> Labels {
        let labels = match self.below(3) {
            0 => Labels::NONE,
            n => Labels::owner(format!("owner-{n}")),
        };
        if self.below(2) == 0 { labels.title("a title") } else { labels }
    }

    /// Mostly an operation that succeeds.
    fn op(&mut self, loaded: Option<&Loaded>) -> Op {
        let next = loaded.map_or(1, |loaded| loaded.head.next_seq);
        let seq = 1 + self.below(next);
        match self.below(12) {
            0 => Op::Replace { seq, message: self.message() },
            1 => Op::Remove { first: seq, last: seq + self.below(3) },
            2 => Op::SetApp(self.body()),
            3 => Op::SetLabels(self.labels()),
            4 | 5 => {
                let open = loaded.and_then(|loaded| loaded.replies.first());
                let (seq, claim, counts) = open
                    .map_or((seq, self.claim(), ReplyCounts::default()), |open| {
                        (open.seq, open.claim, open.counts)
                    });
                let counts = ReplyCounts { beats: counts.beats + self.below(8) / 7, ..counts };
                Op::Close { seq, claim, counts, message: self.message() }
            }
            _ => Op::Append(self.message()),
        }
    }
}

struct Both {
    memory: MemoryStore,
    redb: RedbStore,
    /// The salt between the versions of both stores.
    salt: Salt,
    lives: u8,
    /// Never before the times of earlier sessions.
    now: u64,
}

impl Both {
    fn salted(&self, expect: Expect) -> Expect {
        match expect {
            Expect::Version { version, next_seq } => {
                Expect::Version { version: version.salted(self.salt), next_seq }
            }
            absent @ Expect::Absent { .. } => absent,
        }
    }

    async fn loaded(&self, session: &SessionId) -> Option<Loaded> {
        self.memory.load(session, ALL).await.unwrap().loaded()
    }

    async fn commit(&mut self, random: &mut Random, session: &SessionId) {
        let loaded = self.loaded(session).await;
        let expect = match &loaded {
            Some(loaded) if random.below(10) > 0 => loaded.head.expect(),
            _ => {
                self.lives += 1;
                let incarnation = Some(Incarnation::from_bytes([self.lives; 16]));
                Expect::Absent { created_at: self.now, incarnation }
            }
        };
        let ops = (0..random.below(4)).map(|_| random.op(loaded.as_ref())).collect();
        let commit = Commit::new(expect, ops, self.now);
        let expected = self.memory.commit(session, commit.clone()).await.unwrap();
        let commit = Commit::new(self.salted(expect), commit.ops, self.now);
        let told = self.redb.commit(session, commit.clone()).await.unwrap();
        let salt = |version: Version| version.salted(self.salt);
        let expected = match expected {
            CommitOutcome::Committed(head) => CommitOutcome::Committed(head.salted(self.salt)),
            CommitOutcome::Conflict { current } => {
                CommitOutcome::Conflict { current: current.map(salt) }
            }
            other => other,
        };
        assert_eq!(told, expected, "{commit:?}");
    }

    async fn extend(&self, random: &mut Random, session: &SessionId) {
        let loaded = self.loaded(session).await;
        let open = loaded.as_ref().and_then(|loaded| loaded.replies.last());
        let (seq, claim, at) =
            open.map_or((1, random.claim(), 0), |open| (open.seq, open.claim, open.counts.chunks));
        let offset = (at + random.below(3)).saturating_sub(1);
        let chunks = (0..random.below(4)).map(|_| random.body()).collect();
        let claim = if random.below(8) == 0 { random.claim() } else { claim };
        let extension = Extension::new(seq, claim, offset, chunks);
        let expected = self.memory.extend(session, extension.clone()).await.unwrap();
        assert_eq!(self.redb.extend(session, extension).await.unwrap(), expected);
    }

    async fn delete(&self, random: &mut Random, session: &SessionId) {
        let (condition, salted) = match self.loaded(session).await {
            Some(loaded) if random.below(2) == 0 => {
                let version = loaded.head.version;
                (DeleteIf::Version(version), DeleteIf::Version(version.salted(self.salt)))
            }
            _ => {
                let condition = DeleteIf::IdleSince(self.now.saturating_sub(random.below(300)));
                (condition, condition)
            }
        };
        let expected = match self.memory.delete(session, condition).await.unwrap() {
            DeleteOutcome::Conflict { current } => {
                DeleteOutcome::Conflict { current: current.salted(self.salt) }
            }
            other => other,
        };
        assert_eq!(self.redb.delete(session, salted).await.unwrap(), expected);
    }

    /// Checks that all reading calls have the same results.
    async fn compare(&self, random: &mut Random) {
        for session in SESSIONS.map(id) {
            let bounds =
                TailBounds::new(usize::try_from(random.below(6)).unwrap(), random.below(9_000));
            for query in [ALL, LoadQuery::new(bounds)] {
                let expected = match self.memory.load(&session, query).await.unwrap() {
                    LoadOutcome::Loaded(loaded) => LoadOutcome::Loaded(Loaded {
                        head: loaded.head.salted(self.salt),
                        ..loaded
                    }),
                    other => other,
                };
                let told = self.redb.load(&session, query).await.unwrap();
                assert!(
                    told == expected,
                    "{query:?}: {} instead of {}",
                    short(&told),
                    short(&expected)
                );
            }
            let Some(loaded) = self.loaded(&session).await else { continue };
            let (first, last) =
                (random.below(loaded.head.next_seq), random.below(loaded.head.next_seq + 2));
            for query in [ReadQuery::forward(first, last), ReadQuery::backward(first, last)] {
                let query = query.max_messages(3).max_bytes(6_000);
                let mut expected = self.memory.read(&session, query).await.unwrap().unwrap();
                expected.head = expected.head.salted(self.salt);
                assert_eq!(self.redb.read(&session, query).await.unwrap().unwrap(), expected);
                let salvaged = self.redb.salvage(&session, query).await.unwrap().unwrap();
                assert_eq!((salvaged.rows, salvaged.replies), (expected.rows, expected.replies));
                assert_eq!(
                    (salvaged.head, salvaged.labels),
                    (Some(expected.head), Some(loaded.labels.clone()))
                );
                assert!(salvaged.damage.is_empty());
            }
            for reply in loaded.replies.iter().map(|reply| reply.seq).chain([1]) {
                let query = ChunkQuery::from(reply, random.below(5))
                    .max_chunks(usize::try_from(random.below(4)).unwrap())
                    .max_bytes(random.below(9_000));
                let expected = self.memory.read_chunks(&session, query).await.unwrap();
                assert_eq!(
                    self.redb.read_chunks(&session, query).await.unwrap(),
                    expected,
                    "{query:?}"
                );
            }
        }
        let limit = 1 + usize::try_from(random.below(3)).unwrap();
        for query in [
            ListQuery::all(limit),
            ListQuery::prefix("a", limit),
            ListQuery::open_replies(limit),
            ListQuery::owner("owner-1", limit),
            ListQuery::owner("owner-2", limit).by_id(),
            ListQuery::owner("owner-2", limit).changed_since(self.now.saturating_sub(200)),
            ListQuery::owner("owner-1", limit).idle_since(self.now.saturating_sub(50)),
        ] {
            let expected = walk(&self.memory, &query, self.salt).await;
            assert_eq!(walk(&self.redb, &query, Salt::NONE).await, expected, "{query:?}");
        }
        assert!(self.redb.verify(|_| {}).await.unwrap().damage.is_empty());
    }
}

/// The outcome with lengths in place of bodies.
fn short(outcome: &LoadOutcome) -> String {
    let mut outcome = outcome.clone();
    if let LoadOutcome::Loaded(loaded) = &mut outcome {
        loaded.tail.iter_mut().for_each(|row| row.body = Bytes::from(row.body.len().to_string()));
        loaded.app = Bytes::new();
    }
    format!("{outcome:?}")
}

/// All pages of a listing.
async fn walk(
    list: &dyn SessionList,
    query: &ListQuery,
    salt: Salt,
) -> Vec<(SessionId, Head, Labels)> {
    let mut query = query.clone();
    let mut all = Vec::new();
    loop {
        let ListPage { sessions, next } = list.list(&query).await.unwrap();
        assert!(sessions.len() <= query.limit);
        all.extend(sessions.into_iter().map(|s| (s.id, s.head.unwrap().salted(salt), s.labels)));
        match next {
            Some(next) => query = query.after(next),
            None => return all,
        }
    }
}

#[test]
fn random_calls_have_the_same_results_as_on_the_memory_store() {
    for (seed, builder) in [(1, tiny()), (2, tiny()), (3, small()), (4, small())] {
        let mut random = Random(seed);
        let mut disks = Disks::default();
        block_on(async {
            let mut both = Both {
                memory: MemoryStore::new(),
                redb: disks.open_with(&builder),
                salt: Salt::NONE,
                lives: 0,
                now: 1_000,
            };
            // The salt is read from the first session.
            let anchor = id("anchor");
            let incarnation = Some(Incarnation::from_bytes([0; 16]));
            let creation = Commit::new(
                Expect::Absent { created_at: 1, incarnation },
                vec![Op::append("x".into())],
                1,
            );
            both.memory.commit(&anchor, creation.clone()).await.unwrap();
            both.redb.commit(&anchor, creation).await.unwrap();
            let salt = async |both: &Both| {
                let one = both.redb.load(&anchor, ALL).await.unwrap().loaded().unwrap();
                salt_between(one.head, both.loaded(&anchor).await.unwrap().head)
            };
            both.salt = salt(&both).await;
            for step in 0..STEPS {
                both.now += random.below(20);
                let session = id(SESSIONS[usize::try_from(random.below(4)).unwrap()]);
                match random.below(20) {
                    0 => both.delete(&mut random, &session).await,
                    1 => {
                        let at = both.now - random.below(9);
                        both.memory.touch(&session, at).await.unwrap();
                        both.redb.touch(&session, at).await.unwrap();
                    }
                    2..8 => both.extend(&mut random, &session).await,
                    _ => both.commit(&mut random, &session).await,
                }
                match step % 60 {
                    20 => {
                        disks = disks.after_power_loss();
                        both.redb = disks.open_with(&builder);
                    }
                    30 => {
                        disks = disks.after_kill();
                        both.redb = disks.open_with(&builder);
                    }
                    40 => {
                        both.redb.compact().await.unwrap();
                    }
                    59 => {
                        let folder = tempfile::tempdir().unwrap();
                        let copy = folder.path().join("copy.redb");
                        both.redb.backup(&copy, |_| {}).await.unwrap();
                        let file = Disk::with(std::fs::read(copy).unwrap());
                        disks = Disks { file, ..Disks::default() };
                        both.redb = disks.open_with(&builder);
                        let before = both.salt;
                        both.salt = salt(&both).await;
                        assert_ne!(both.salt, before);
                    }
                    _ => {}
                }
                if step % 5 == 0 || step > STEPS - 20 {
                    both.compare(&mut random).await;
                }
            }
        });
    }
}
