//! Appends through the store against appends written to redb by hand, in one interleaved run.
//!
//! `cargo run --release -p durable-session-redb --example against_by_hand -- FOLDER [ROUNDS]`
//!
//! By hand means: one table `(session, seq) → body`, one write transaction per append, or per 64 appends at once. It keeps
//! no heads, versions, checksums or totals, so it is the floor that redb itself sets.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot be made has to stop"
)]

use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{Commit, CommitOutcome, Expect, Op, SessionStore, Version};
use durable_session_redb::RedbStore;
use futures_executor::block_on;
use futures_util::future::join_all;
use redb::{Database, TableDefinition};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const ROWS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("rows");
const SESSIONS: usize = 20_000;
const BODY: [u8; 400] = [b'x'; 400];

struct ByHand {
    db: Database,
    seqs: Vec<u64>,
}

impl ByHand {
    fn append(&mut self, sessions: &[usize]) {
        let txn = self.db.begin_write().unwrap();
        {
            let mut rows = txn.open_table(ROWS).unwrap();
            for &session in sessions {
                self.seqs[session] += 1;
                rows.insert((session as u64, self.seqs[session]), &BODY[..]).unwrap();
            }
        }
        txn.commit().unwrap();
    }
}

struct Through {
    store: RedbStore,
    ids: Vec<SessionId>,
    versions: Vec<Option<Version>>,
}

impl Through {
    async fn append(&self, session: usize) -> Version {
        let expect = self.versions[session].map_or(Expect::Absent { created_at: 1 }, Expect::Version);
        let commit = Commit { expect, ops: vec![Op::Append(Bytes::from_static(&BODY))], at: 2 };
        match self.store.commit(&self.ids[session], commit).await.unwrap() {
            CommitOutcome::Committed(head) => head.version,
            other => unreachable!("{other:?}"),
        }
    }

    fn append_all(&mut self, sessions: &[usize]) {
        let versions = block_on(join_all(sessions.iter().map(|&session| self.append(session))));
        for (&session, version) in sessions.iter().zip(versions) {
            self.versions[session] = Some(version);
        }
    }
}

fn timed(total: &mut Duration, work: impl FnOnce()) {
    let began = Instant::now();
    work();
    *total += began.elapsed();
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| ".".into()));
    let rounds: usize = arguments.next().map_or(2000, |rounds| rounds.parse().unwrap());
    let folder = tempfile::tempdir_in(folder).unwrap();

    let mut by_hand =
        ByHand { db: Database::create(folder.path().join("by-hand.redb")).unwrap(), seqs: vec![0; SESSIONS] };
    let mut through = Through {
        store: RedbStore::open(folder.path().join("store.redb")).unwrap(),
        ids: (0..SESSIONS)
            .map(|n| SessionId::new(format!("session-{n}-0123456789abcdef")).unwrap())
            .collect(),
        versions: vec![None; SESSIONS],
    };
    for first in (0..SESSIONS).step_by(500) {
        let sessions: Vec<usize> = (first..first + 500).collect();
        by_hand.append(&sessions);
        through.append_all(&sessions);
    }

    let mut random = 1_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(random >> 33).unwrap() % SESSIONS
    };
    for batch in [1, 64] {
        let (mut hand, mut store) = (Duration::ZERO, Duration::ZERO);
        let rounds = if batch == 1 { rounds } else { rounds / 8 };
        for _ in 0..rounds {
            let mut sessions: Vec<usize> = Vec::new();
            while sessions.len() < batch {
                let session = next();
                if !sessions.contains(&session) {
                    sessions.push(session);
                }
            }
            timed(&mut hand, || by_hand.append(&sessions));
            timed(&mut store, || through.append_all(&sessions));
        }
        let each = |total: Duration| total.as_secs_f64() * 1e6 / (rounds * batch) as f64;
        println!(
            "{batch} at once: by hand {:.1} µs per append, through the store {:.1} µs, ratio {:.2}",
            each(hand),
            each(store),
            store.as_secs_f64() / hand.as_secs_f64()
        );
    }
    println!("{:?}", through.store.stats());
}
