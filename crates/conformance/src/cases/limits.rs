//! Limits are declared; exceeding one is refused before anything is written (S7).

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, Fixture, append, appends, creation, id, on, replace, session, set_app,
};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{Commit, CommitOutcome, Expect, Op, StoreErrorKind, StoreLimits};

/// The largest limit that [`Capability::ReachableLimits`](crate::Capability::ReachableLimits)
/// allows.
const REACHABLE: u64 = 64 << 20;

pub(super) fn limits(t: &Fixture) -> Checked<StoreLimits> {
    let limits = t.store().limits();
    let largest = limits.max_body_bytes.max(limits.max_app_bytes).max(limits.max_commit_bytes);
    ensure!(
        largest <= REACHABLE,
        "the factory declares ReachableLimits, but a limit is above 64 MiB: {limits:?}"
    );
    Ok(limits)
}

pub(super) fn bytes(length: u64) -> Checked<Bytes> {
    Ok(vec![b'x'; usize::try_from(length).map_err(Failure::new)?].into())
}

/// Checks that the commit is refused as too large and does not change the session.
async fn refused(t: &Fixture, id: &SessionId, commit: Commit, subject: &str) -> Checked {
    let before = t.maybe_all(id).await?;
    match t.store().commit(id, commit).await {
        Err(error) => {
            ensure_eq!(
                error.kind(),
                StoreErrorKind::TooLarge,
                "the error for {subject} over the limit"
            );
        }
        Ok(outcome) => {
            return Err(Failure::new(format_args!(
                "{subject} over the limit ended as {outcome:?}"
            )));
        }
    }
    ensure!(t.maybe_all(id).await? == before, "{subject} over the limit changed the session");
    Ok(())
}

pub(crate) async fn a_body_of_the_declared_limit_is_stored_and_a_larger_one_refused(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let limits = limits(t)?;
    let most = limits.max_body_bytes.min(limits.max_commit_bytes);
    let fits = bytes(most)?;
    let over = bytes(limits.max_body_bytes + 1)?;
    refused(
        t,
        &id,
        creation(vec![append("a"), Op::append(over.clone())]),
        "the body of a new session",
    )
    .await?;
    let head = t.create(&id, vec![append("a"), append("b"), set_app("{}")]).await?;
    refused(t, &id, on(head, vec![append("c"), Op::append(over.clone())]), "a body").await?;
    let replacement = vec![replace(1, "A"), Op::replace(2, over)];
    refused(t, &id, on(head, replacement), "a new body").await?;

    let head = t.change(&id, head, vec![Op::append(fits.clone())]).await?;
    let head = t.change(&id, head, vec![Op::replace(1, fits.clone())]).await?;
    let loaded = t.all(&id).await?;
    ensure_eq!(loaded.head, head, "the head");
    let sizes: Vec<_> = loaded.tail.iter().map(|row| (row.seq, row.body == fits)).collect();
    ensure_eq!(sizes, [(1, true), (2, false), (3, true)], "which bodies have the largest size");
    Ok(())
}

pub(crate) async fn app_state_of_the_declared_limit_is_stored_and_larger_refused(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let limits = limits(t)?;
    let fits = bytes(limits.max_app_bytes.min(limits.max_commit_bytes))?;
    let over = bytes(limits.max_app_bytes + 1)?;
    refused(
        t,
        &id,
        creation(vec![append("a"), Op::SetApp(over.clone())]),
        "the app state of a new session",
    )
    .await?;
    let head = t.create(&id, vec![append("a"), set_app("{}")]).await?;
    refused(t, &id, on(head, vec![append("b"), Op::SetApp(over)]), "app state").await?;
    t.change(&id, head, vec![Op::SetApp(fits.clone())]).await?;
    ensure!(t.all(&id).await?.app == fits, "app state of the largest size came back changed");
    Ok(())
}

pub(crate) async fn a_commit_of_the_declared_bytes_is_made_and_a_larger_one_refused(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let limits = limits(t)?;
    let body = bytes(limits.max_body_bytes.min(limits.max_commit_bytes))?;
    let mut ops = Vec::new();
    let mut left = limits.max_commit_bytes;
    while left > 0 {
        let part = usize::try_from(left).map_or(body.len(), |left| left.min(body.len()));
        ops.push(Op::append(body.slice(..part)));
        left -= part as u64;
    }
    // Another limit is reached first, so that this one cannot be checked.
    if ops.len() >= limits.max_commit_ops {
        return Ok(());
    }
    let mut over = ops.clone();
    over.push(append("x"));
    refused(t, &id, creation(over), "a commit").await?;
    let count = ops.len() as u64;
    let head = t.create(&id, ops).await?;
    ensure_eq!((head.messages, head.bytes), (count, limits.max_commit_bytes), "the head's totals");
    Ok(())
}

pub(crate) async fn a_commit_of_the_declared_operations_is_made_and_a_longer_one_refused(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let most = limits(t)?.max_commit_ops;
    refused(
        t,
        &id,
        creation(appends(std::iter::repeat_n("", most + 1))),
        "the operations of a commit",
    )
    .await?;
    let head = t.create(&id, appends(std::iter::repeat_n("", most))).await?;
    ensure_eq!(head.messages, most as u64, "the head's number of messages");
    Ok(())
}

pub(crate) async fn a_commit_over_a_limit_affects_no_other_session(t: &mut Fixture) -> Checked {
    let store = t.store();
    let over = bytes(limits(t)?.max_body_bytes + 1)?;
    for round in 0..4 {
        let (bad, good) = (id(&format!("bad-{round}"))?, id(&format!("good-{round}"))?);
        let (before, refused, after) = futures_util::future::join3(
            store.commit(&good, creation(appends(["a"]))),
            store.commit(&bad, creation(vec![Op::append(over.clone())])),
            store.commit(&bad, creation(appends(["b"]))),
        )
        .await;
        ensure!(matches!(before?, CommitOutcome::Committed(_)), "a valid commit was refused");
        ensure!(refused.is_err(), "a body over the limit was accepted");
        ensure!(matches!(after?, CommitOutcome::Committed(_)), "a valid commit was refused");
        t.holds(&good, &[(1, "a")]).await?;
        t.holds(&bad, &[(1, "b")]).await?;
    }
    Ok(())
}

pub(crate) async fn limits_and_durability_stay_the_same(t: &mut Fixture) -> Checked {
    let store = t.store();
    let declared = (store.limits(), store.durability());
    let id = session()?;
    let mut head = t.create(&id, appends(["a"])).await?;
    for _ in 0..10 {
        head = t.change(&id, head, appends(["b"])).await?;
        ensure_eq!((store.limits(), store.durability()), declared, "the declaration of the store");
    }
    let stale = Commit::new(Expect::absent(0), Vec::new(), 0);
    store.commit(&id, stale).await?;
    ensure_eq!(
        (t.store().limits(), t.store().durability()),
        declared,
        "the declaration of the store"
    );
    Ok(())
}
