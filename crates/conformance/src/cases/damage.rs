//! Damage is reported, never skipped and never guessed (S4).

use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, Fixture, WHOLE, append, appends, body, creation, id, range, remove, rows, session,
    set_app,
};
use durable_session::SessionId;
use durable_session::store::{
    CommitOutcome, DeleteIf, DeleteOutcome, LoadOutcome, LoadQuery, ReadQuery, Salvaged,
    StoreError, StoreErrorKind, TailBounds,
};

/// Checks that the answer is an error that names the damaged session and seq.
pub(super) fn names<T>(
    answer: Result<T, StoreError>,
    id: &SessionId,
    seq: Option<u64>,
    subject: &str,
) -> Checked {
    let Err(error) = answer else {
        return Err(Failure::new(format_args!(
            "{subject} returned no error although its data is damaged"
        )));
    };
    ensure_eq!(error.kind(), StoreErrorKind::Corrupt, "the kind of the error of {subject}");
    ensure_eq!(error.session(), Some(id), "the session that the error of {subject} names");
    ensure_eq!(error.seq(), seq, "the seq that the error of {subject} names");
    Ok(())
}

/// A session of five messages, of which the ones at `seqs` are damaged.
async fn damaged(t: &mut Fixture, seqs: &[u64]) -> Checked<SessionId> {
    let id = session()?;
    t.create(
        &id,
        vec![
            append("a"),
            append("bb"),
            append("ccc"),
            append("dddd"),
            append("eeeee"),
            set_app("{}"),
        ],
    )
    .await?;
    for &seq in seqs {
        t.corrupt_message(&id, seq).await?;
    }
    Ok(id)
}

pub(super) async fn salvage(t: &Fixture, id: &SessionId, query: ReadQuery) -> Checked<Salvaged> {
    let salvaged = t.store().salvage(id, query).await?;
    let salvaged =
        salvaged.ok_or_else(|| Failure::new("salvage did not find a damaged session"))?;
    for damage in &salvaged.damage {
        ensure_eq!(
            damage.error.kind(),
            StoreErrorKind::Corrupt,
            "the kind of the damage at {:?}",
            damage.seq
        );
    }
    Ok(salvaged)
}

pub(super) fn damaged_seqs(salvaged: &Salvaged) -> Vec<Option<u64>> {
    salvaged.damage.iter().map(|damage| damage.seq).collect()
}

pub(crate) async fn load_names_a_damaged_message_of_the_tail(t: &mut Fixture) -> Checked {
    let id = damaged(t, &[3]).await?;
    let load = |max_messages| {
        let (store, id) = (t.store(), id.clone());
        let query = LoadQuery::new(TailBounds::new(max_messages, u64::MAX));
        async move { store.load(&id, query).await }
    };
    names(load(9).await, &id, Some(3), "load")?;
    names(load(3).await, &id, Some(3), "load")?;
    let LoadOutcome::Loaded(loaded) = load(2).await? else {
        return Err(Failure::new("load did not find a damaged session"));
    };
    ensure_eq!(loaded.tail, rows(&[(4, "dddd"), (5, "eeeee")]), "a tail without damage");
    Ok(())
}

pub(crate) async fn load_names_a_damaged_last_message(t: &mut Fixture) -> Checked {
    let id = damaged(t, &[5]).await?;
    names(t.store().load(&id, WHOLE).await, &id, Some(5), "load")?;
    let last = LoadQuery::new(TailBounds::new(1, 0));
    names(t.store().load(&id, last).await, &id, Some(5), "load of one message")
}

pub(crate) async fn read_names_the_first_damaged_message_of_the_page(t: &mut Fixture) -> Checked {
    let id = damaged(t, &[2, 4]).await?;
    let store = t.store();
    let all = range(1, u64::MAX);
    let back = ReadQuery::backward(1, u64::MAX);
    names(store.read(&id, all).await, &id, Some(2), "a read forward")?;
    names(store.read(&id, back).await, &id, Some(4), "a read backward")?;
    names(store.read(&id, range(3, 5)).await, &id, Some(4), "a read from the middle")?;
    names(store.read(&id, range(2, 2)).await, &id, Some(2), "a read of the damaged message")?;
    for (query, expected) in [
        (all.max_messages(1), [(1, "a")]),
        (back.max_messages(1), [(5, "eeeee")]),
        (range(3, 3), [(3, "ccc")]),
    ] {
        ensure_eq!(t.page(&id, query).await?.rows, rows(&expected), "a page without damage");
    }
    Ok(())
}

pub(crate) async fn salvage_returns_readable_messages_and_names_damaged_ones(
    t: &mut Fixture,
) -> Checked {
    let id = damaged(t, &[2, 4]).await?;
    let found = salvage(t, &id, range(1, u64::MAX)).await?;
    ensure_eq!(found.rows, rows(&[(1, "a"), (3, "ccc"), (5, "eeeee")]), "the messages salvaged");
    ensure_eq!(damaged_seqs(&found), [Some(2), Some(4)], "the seqs named as damaged");
    for damage in &found.damage {
        names(Err::<(), _>(damage.error.clone()), &id, damage.seq, "salvage")?;
    }
    ensure_eq!(found.app, Some(body("{}")), "the app state salvaged");
    ensure_eq!(
        found.head.map(|head| (head.messages, head.next_seq)),
        Some((5, 6)),
        "the head salvaged"
    );
    ensure!(!found.more, "salvage of everything says that there is more");

    let back = ReadQuery::backward(1, 4);
    let found = salvage(t, &id, back).await?;
    ensure_eq!(found.rows, rows(&[(3, "ccc"), (1, "a")]), "the messages salvaged backward");
    ensure_eq!(damaged_seqs(&found), [Some(4), Some(2)], "the seqs named as damaged, backward");
    let found = salvage(t, &id, range(3, 3)).await?;
    ensure_eq!(
        (found.rows.len(), found.damage.len()),
        (1, 0),
        "the numbers of messages and damages of an undamaged page"
    );
    Ok(())
}

pub(crate) async fn damaged_messages_count_towards_the_page_of_a_salvage(
    t: &mut Fixture,
) -> Checked {
    let id = damaged(t, &[1, 2, 4]).await?;
    let page = |first, max_messages| range(first, u64::MAX).max_messages(max_messages);
    let found = salvage(t, &id, page(1, 2)).await?;
    ensure_eq!(
        (found.rows.len(), damaged_seqs(&found)),
        (0, vec![Some(1), Some(2)]),
        "the first page of two"
    );
    ensure!(found.more, "the first page of two says that there is no more");
    let found = salvage(t, &id, page(3, 2)).await?;
    ensure_eq!(
        (found.rows, found.damage.len()),
        (rows(&[(3, "ccc")]), 1),
        "the second page of two"
    );
    ensure!(found.more, "the second page of two says that there is no more");
    let found = salvage(t, &id, page(5, 2)).await?;
    ensure_eq!(
        (found.rows, found.damage.len()),
        (rows(&[(5, "eeeee")]), 0),
        "the last page of two"
    );
    ensure!(!found.more, "the last page says that there is more");
    Ok(())
}

pub(crate) async fn salvage_names_a_damaged_last_message(t: &mut Fixture) -> Checked {
    let id = damaged(t, &[5]).await?;
    let found = salvage(t, &id, range(1, u64::MAX)).await?;
    ensure_eq!(
        found.rows,
        rows(&[(1, "a"), (2, "bb"), (3, "ccc"), (4, "dddd")]),
        "the messages salvaged"
    );
    ensure!(
        damaged_seqs(&found).contains(&Some(5)),
        "salvage does not name the damaged last message"
    );
    let next = found.head.map_or(6, |head| head.next_seq);
    ensure_eq!(next, 6, "next_seq of a head salvaged beside a damaged last message");
    Ok(())
}

pub(crate) async fn a_damaged_message_can_be_removed(t: &mut Fixture) -> Checked {
    let id = damaged(t, &[2, 3]).await?;
    let Some(head) = salvage(t, &id, range(1, u64::MAX)).await?.head else {
        return Err(Failure::new("a damaged message makes the head unreadable"));
    };
    let head = t.change(&id, head, vec![remove(2, 2)]).await?;
    ensure_eq!(head.messages, 4, "the number of messages after removing a damaged one");
    names(t.store().load(&id, WHOLE).await, &id, Some(3), "load")?;
    let head = t.change(&id, head, vec![append("f"), remove(1, 3)]).await?;
    ensure_eq!(head.messages, 3, "the number of messages after removing both damaged ones");
    let tail = t.all(&id).await?.tail;
    ensure_eq!(tail, rows(&[(4, "dddd"), (5, "eeeee"), (6, "f")]), "the messages left");
    Ok(())
}

pub(crate) async fn a_damaged_head_is_an_error_and_not_an_absent_session(
    t: &mut Fixture,
) -> Checked {
    let id = damaged(t, &[]).await?;
    t.corrupt_head(&id).await?;
    let store = t.store();
    names(store.load(&id, WHOLE).await, &id, None, "load")?;
    names(store.read(&id, range(1, 9)).await, &id, None, "read")?;
    names(store.commit(&id, creation(appends(["x"]))).await, &id, None, "a creation")?;
    for condition in [DeleteIf::IdleSince(0), DeleteIf::IdleSince(u64::MAX)] {
        let outcome = store.delete(&id, condition).await;
        ensure!(
            !matches!(outcome, Ok(DeleteOutcome::Deleted)),
            "a delete under a condition that cannot be checked"
        );
    }
    let found = salvage(t, &id, range(1, u64::MAX)).await?;
    ensure_eq!(found.rows.len(), 5, "the messages salvaged under a damaged head");
    Ok(())
}

pub(crate) async fn salvage_returns_messages_under_a_damaged_head(t: &mut Fixture) -> Checked {
    let id = damaged(t, &[3]).await?;
    t.corrupt_head(&id).await?;
    let found = salvage(t, &id, range(1, u64::MAX)).await?;
    let expected = rows(&[(1, "a"), (2, "bb"), (4, "dddd"), (5, "eeeee")]);
    ensure_eq!(found.rows, expected, "the messages salvaged under a damaged head");
    let mut named = damaged_seqs(&found);
    named.sort_unstable();
    ensure_eq!(named, [None, Some(3)], "the places named as damaged");
    ensure_eq!(
        (found.head, found.app),
        (None, None),
        "the head and the app state that cannot be read"
    );
    let found = salvage(t, &id, range(1, u64::MAX).max_messages(2)).await?;
    ensure_eq!(found.rows, rows(&[(1, "a"), (2, "bb")]), "the first page of two");
    ensure!(found.more, "the first page of two says that there is no more");
    Ok(())
}

pub(crate) async fn a_damaged_session_can_be_deleted_and_created_again(t: &mut Fixture) -> Checked {
    for head_too in [false, true] {
        let id = damaged(t, &[1, 3, 5]).await?;
        if head_too {
            t.corrupt_head(&id).await?;
        }
        let outcome = t.store().delete(&id, DeleteIf::Any).await?;
        ensure_eq!(outcome, DeleteOutcome::Deleted, "the delete of a damaged session");
        let salvaged = t.store().salvage(&id, range(0, u64::MAX)).await?;
        ensure!(salvaged.is_none(), "salvage found a deleted session");
        t.create(&id, appends(["new"])).await?;
        t.holds(&id, &[(1, "new")]).await?;
        t.store().delete(&id, DeleteIf::Any).await?;
    }
    Ok(())
}

pub(crate) async fn damage_in_one_session_does_not_affect_another(t: &mut Fixture) -> Checked {
    let other = id("another")?;
    let head = t.create(&other, appends(["a", "b"])).await?;
    let bad = damaged(t, &[1]).await?;
    t.corrupt_head(&bad).await?;
    t.holds(&other, &[(1, "a"), (2, "b")]).await?;
    let store = t.store();
    let (refused, done) = futures_util::future::join(
        store.commit(&bad, creation(appends(["x"]))),
        store.commit(&other, crate::fixture::on(head, appends(["c"]))),
    )
    .await;
    ensure!(refused.is_err(), "a creation over a damaged session was not refused");
    ensure!(
        matches!(done?, CommitOutcome::Committed(_)),
        "a commit to an undamaged session was refused"
    );
    t.holds(&other, &[(1, "a"), (2, "b"), (3, "c")]).await?;
    Ok(())
}
