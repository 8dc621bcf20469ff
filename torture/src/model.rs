//! What a session has to be after its commits, worked out without any store.

use crate::campaign::Tally;
use crate::verdict::{Broken, Kind};
use anyhow::{Result, ensure};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Commit, Expect, Head, Incarnation, Loaded, Op, Row, SessionStore, TailBounds, Version,
};
use fastrand::Rng;
use std::collections::BTreeMap;

pub(crate) const ALL: TailBounds = TailBounds { max_messages: usize::MAX, max_bytes: u64::MAX };

/// A session as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) rows: BTreeMap<u64, Bytes>,
    pub(crate) app: Bytes,
    pub(crate) counter: u64,
    base: u64,
    pub(crate) next_seq: u64,
    created_at: u64,
    pub(crate) last_accessed_at: u64,
    /// Known once a store has answered with it.
    pub(crate) incarnation: Option<Incarnation>,
}

/// A session that may be absent.
pub(crate) type State = Option<Session>;

/// The state after `commit`, which must fit `before`.
pub(crate) fn after(before: &State, commit: &Commit) -> State {
    let mut session = match (before, commit.expect) {
        (Some(session), Expect::Version(_)) => session.clone(),
        (_, Expect::Absent { created_at }) => Session {
            rows: BTreeMap::new(),
            app: Bytes::new(),
            counter: 0,
            base: 0,
            next_seq: 1,
            created_at,
            last_accessed_at: created_at,
            incarnation: None,
        },
        (None, Expect::Version(_)) => return None,
    };
    session.counter += 1;
    session.last_accessed_at = session.last_accessed_at.max(commit.at);
    let mut rewrites = session.counter == 1 || commit.ops.is_empty();
    for op in &commit.ops {
        rewrites |= !matches!(op, Op::Append(_));
        match op {
            Op::Append(body) => {
                session.rows.insert(session.next_seq, body.clone());
                session.next_seq += 1;
            }
            Op::Replace { seq, body } => {
                session.rows.insert(*seq, body.clone());
            }
            Op::Remove { first, last } => session.rows.retain(|seq, _| !(first..=last).contains(&seq)),
            Op::SetApp(app) => session.app = app.clone(),
        }
    }
    if rewrites {
        session.base = session.counter;
    }
    Some(session)
}

impl Session {
    /// After a touch.
    pub(crate) fn touched(mut self, at: u64) -> Self {
        self.last_accessed_at = self.last_accessed_at.max(at);
        self
    }

    /// Why a head is not this session's.
    pub(crate) fn check_head(&self, head: &Head) -> Result<()> {
        let is = (
            head.version.counter(),
            head.base.counter(),
            head.next_seq,
            head.messages,
            head.bytes,
            head.created_at,
            head.last_accessed_at,
        );
        let should = (
            self.counter,
            self.base,
            self.next_seq,
            self.rows.len() as u64,
            self.rows.values().map(|body| body.len() as u64).sum::<u64>(),
            self.created_at,
            self.last_accessed_at,
        );
        ensure!(
            is == should,
            "the head (counter, base, next, messages, bytes, times) is {is:?}, not {should:?}"
        );
        if let Some(incarnation) = self.incarnation {
            ensure!(head.version.incarnation() == incarnation, "it is another life of the session");
        }
        Ok(())
    }

    pub(crate) fn version(&self) -> Option<Version> {
        self.incarnation.map(|incarnation| Version::new(incarnation, self.counter))
    }
}

/// The session whose commit was answered with `head`, which must be its head.
pub(crate) fn known(mut session: Session, head: &Head) -> Result<Session> {
    session.check_head(head)?;
    session.incarnation = Some(head.version.incarnation());
    Ok(session)
}

/// How what a store has of a session differs from `state`; all of it must be in `loaded`.
pub(crate) fn compare(state: &State, loaded: Option<&Loaded>) -> Broken {
    match (state, loaded) {
        (None, None) => Broken::default(),
        (None, Some(loaded)) => compare_rows(&BTreeMap::new(), &loaded.tail)
            .at_least_one(Kind::Ghosts)
            .within(format_args!("there is a session, {:?}, where none should be", loaded.head)),
        (Some(session), None) => {
            compare_rows(&session.rows, &[]).at_least_one(Kind::Lost).within("the session is gone")
        }
        (Some(session), Some(loaded)) => {
            let broken = compare_rows(&session.rows, &loaded.tail);
            if !broken.is_nothing() {
                broken
            } else if let Err(difference) = session.check_head(&loaded.head) {
                Broken::new(Kind::Wrong, 1, difference.to_string())
            } else if loaded.app != session.app {
                Broken::new(Kind::Wrong, 1, "the app state is another one")
            } else {
                Broken::default()
            }
        }
    }
}

/// How these rows differ from those that should be, which each are known by seq and body.
pub(crate) fn compare_rows(rows: &BTreeMap<u64, Bytes>, are: &[Row]) -> Broken {
    let should: Vec<_> = rows.iter().map(|(seq, body)| (*seq, body)).collect();
    Broken::between(&should, &are.iter().map(|row| (row.seq, &row.body)).collect::<Vec<_>>())
}

/// Fails if there is any difference, and counts what was compared.
pub(crate) fn check(state: &State, loaded: Option<&Loaded>, tally: &mut Tally) -> Result<()> {
    tally.checked(1 + loaded.map_or(0, |loaded| loaded.tail.len()));
    Ok(compare(state, loaded).into_result()?)
}

/// Loads all of a session, for the campaign to check.
pub(crate) fn see(store: &dyn SessionStore, id: &SessionId, tally: &Tally) -> Result<Option<Loaded>> {
    let mut loaded = load(store, id)?;
    if let Some(loaded) = &mut loaded {
        sees(loaded, tally);
    }
    Ok(loaded)
}

/// What was loaded, before it is checked.
pub(crate) fn sees(loaded: &mut Loaded, tally: &Tally) {
    tally.sees(&mut loaded.tail, ghost);
    if tally.doctors(Kind::Wrong) {
        loaded.app = Bytes::from_static(b"doctored");
    }
}

/// A row that nobody wrote.
pub(crate) fn ghost(last: &Row) -> Row {
    Row { seq: last.seq + 1, body: Bytes::from_static(b"doctored") }
}

/// Loads all of a session.
pub(crate) fn load(store: &dyn SessionStore, id: &SessionId) -> Result<Option<Loaded>> {
    Ok(futures_executor::block_on(store.load(id, ALL))?)
}

/// A body that says where it belongs, of any length up to some kilobytes.
pub(crate) fn body(rng: &mut Rng, name: &str) -> Bytes {
    let longest = if rng.u8(..) < 16 { 6_000 } else { 300 };
    let mut text = format!("{name} {:016x} ", rng.u64(..));
    let length = rng.usize(0..longest);
    text.extend((0..length).map(|_| char::from(rng.u8(b'a'..=b'z'))));
    text.into()
}

/// A commit that fits `state`.
pub(crate) fn any_commit(rng: &mut Rng, state: &State, name: &str, at: u64) -> Commit {
    let append = |rng: &mut Rng| Op::Append(body(rng, name));
    let expect = match state.as_ref().and_then(Session::version) {
        None => Expect::Absent { created_at: at },
        Some(version) => Expect::Version(version),
    };
    let mut ops = Vec::new();
    let rows = state.as_ref().map(|session| &session.rows).filter(|rows| !rows.is_empty());
    match (rng.u8(0..16), rows) {
        (0, Some(rows)) => {
            let seq = *rows.keys().nth(rng.usize(0..rows.len())).unwrap_or(&1);
            ops.push(Op::Replace { seq, body: body(rng, name) });
        }
        (1, Some(rows)) => {
            let first = *rows.keys().nth(rng.usize(0..rows.len())).unwrap_or(&1);
            ops.push(Op::Remove { first, last: first + rng.u64(0..3) });
        }
        (2, _) => ops.push(Op::SetApp(body(rng, name))),
        (3, Some(rows)) => {
            // A turn: all kinds of changes, whole or not at all.
            let seq = *rows.keys().next_back().unwrap_or(&1);
            ops.push(append(rng));
            ops.push(Op::SetApp(body(rng, name)));
            ops.push(Op::Replace { seq, body: body(rng, name) });
            ops.push(append(rng));
        }
        (4, _) => {}
        _ => (0..=rng.usize(0..3)).for_each(|_| ops.push(append(rng))),
    }
    Commit { expect, ops, at }
}
