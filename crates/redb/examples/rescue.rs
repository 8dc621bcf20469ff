//! Moves what can be read of a damaged file to a new store, session by session, and names what cannot.
//!
//! `cargo run -p durable-session-redb --example rescue -- COPY-OF-THE-DAMAGED-FILE NEW-FILE`

use durable_session::SessionId;
use durable_session::store::{
    Commit, Expect, ListQuery, Op, Order, ReadQuery, SessionList, SessionStore, StoreError,
};
use durable_session_redb::RedbStore;
use futures_executor::block_on;

/// What was moved, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Rescued {
    /// Sessions of which something was moved.
    pub(crate) sessions: usize,
    /// Messages that were moved.
    pub(crate) messages: usize,
    /// What could not be read.
    pub(crate) damage: Vec<StoreError>,
}

/// Moves one session, in pages of 256 messages.
async fn session(
    id: &SessionId,
    from: &RedbStore,
    to: &RedbStore,
    rescued: &mut Rescued,
) -> Result<(), StoreError> {
    let mut first = 1;
    let mut expect = Expect::Absent { created_at: 0 };
    loop {
        let query = ReadQuery {
            first,
            last: u64::MAX,
            order: Order::Forward,
            max_messages: 256,
            max_bytes: 16 << 20,
        };
        let Some(found) = from.salvage(id, query).await? else { return Ok(()) };
        let mut ops = Vec::new();
        let head = found.head;
        if let Expect::Absent { created_at } = &mut expect {
            *created_at = head.map_or(0, |head| head.created_at);
            ops.extend(found.app.map(Op::SetApp));
        }
        rescued.messages += found.rows.len();
        let seen =
            found.rows.iter().map(|row| row.seq).chain(found.damage.iter().filter_map(|d| d.seq)).max();
        rescued.damage.extend(found.damage.into_iter().map(|damage| damage.error));
        ops.extend(found.rows.into_iter().map(|row| Op::Append(row.body)));
        let at = head.map_or(0, |head| head.last_accessed_at);
        if let durable_session::store::CommitOutcome::Committed(head) =
            to.commit(id, Commit { expect, ops, at }).await?
        {
            expect = Expect::Version(head.version);
        }
        match seen {
            Some(seen) if found.more => first = seen + 1,
            _ => return Ok(()),
        }
    }
}

/// Moves every session that is listed.
pub(crate) async fn rescue(from: &RedbStore, to: &RedbStore) -> Rescued {
    let mut rescued = Rescued::default();
    let mut query = ListQuery::all(1);
    loop {
        let page = match from.list(&query).await {
            Ok(page) => page,
            Err(error) => {
                rescued.damage.push(error);
                return rescued;
            }
        };
        for listed in page.sessions {
            match session(&listed.id, from, to, &mut rescued).await {
                Ok(()) => rescued.sessions += 1,
                Err(error) => rescued.damage.push(error),
            }
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return rescued,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err("give two paths: a copy of the damaged file, and a new one".into());
    };
    if !std::path::Path::new(&from).exists() {
        return Err("the first file does not exist; check the path".into());
    }
    if std::path::Path::new(&to).exists() {
        return Err("the second file exists already; choose another name or remove it".into());
    }
    let from = RedbStore::builder().verify_on_open(false).open(from)?;
    let to = RedbStore::open(to)?;
    let rescued = block_on(rescue(&from, &to));
    block_on(to.close())?;
    for error in &rescued.damage {
        eprintln!("{error}");
    }
    println!("sessions={} messages={} damaged={}", rescued.sessions, rescued.messages, rescued.damage.len());
    Ok(())
}
