//! Damaged chunks and misplaced messages are reported (S4).

use super::damage::{damaged_seqs, names, salvage};
use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, Fixture, WHOLE, append, appends, body, id, on, range, remove, replace, rows, session,
};
use crate::replying::{CLAIM, OTHER, claim, close, counts, open, open_again};
use durable_session::SessionId;
use durable_session::store::{
    ChunkQuery, CommitOutcome, DeleteIf, DeleteOutcome, Head, ReadQuery, StoreError,
};

/// Checks that the answer is an error that names the damaged chunk.
fn names_chunk<T>(
    answer: Result<T, StoreError>,
    id: &SessionId,
    chunk: u64,
    subject: &str,
) -> Checked {
    if let Err(error) = &answer {
        ensure_eq!(error.chunk(), Some(chunk), "the chunk that the error of {subject} names");
    }
    names(answer, id, Some(2), subject)
}

/// A session of three messages. The second has an open reply of six chunks, one per extension, of
/// which the ones at `offsets` are damaged; the third has another open reply.
async fn damaged(t: &mut Fixture, offsets: &[u64]) -> Checked<(SessionId, Head)> {
    let id = session()?;
    let head = t.create(&id, vec![append("a"), open("b", CLAIM), open("c", OTHER)]).await?;
    t.extended_one_by_one(&id, 2, CLAIM, 0, &["0", "1", "2", "3", "4", "5"]).await?;
    t.extended_one_by_one(&id, 3, OTHER, 0, &["x", "y"]).await?;
    for &offset in offsets {
        t.corrupt_chunk(&id, 2, offset).await?;
    }
    Ok((id, head))
}

pub(crate) async fn a_read_of_chunks_names_the_first_that_is_damaged(t: &mut Fixture) -> Checked {
    let (id, _) = damaged(t, &[2, 4]).await?;
    let store = t.store();
    let from = |offset| ChunkQuery::from(2, offset);
    for (query, chunk) in [
        (from(0), 2),
        (from(1), 2),
        (from(2), 2),
        (from(0).max_chunks(3), 2),
        (from(2).max_chunks(1), 2),
        (from(2).max_bytes(0), 2),
        (from(3), 4),
        (from(4), 4),
    ] {
        names_chunk(
            store.read_chunks(&id, query).await,
            &id,
            chunk,
            &format!("a read with {query:?}"),
        )?;
    }
    for (query, expected) in [
        (from(0).max_chunks(2), &["0", "1"][..]),
        (from(1).max_chunks(1), &["1"]),
        (from(0).max_bytes(2), &["0", "1"]),
        (from(3).max_chunks(1), &["3"]),
        (from(5), &["5"]),
        (from(6), &[]),
    ] {
        let page = t.chunks(&id, query).await?;
        let expected: Vec<_> = expected.iter().map(|text| body(text)).collect();
        ensure_eq!(page.chunks, expected, "the undamaged chunks of {query:?}");
        ensure_eq!(page.reply.counts, counts(6, 0), "the counts beside undamaged chunks");
        ensure_eq!(
            page.more,
            query.offset < 5,
            "whether there are more chunks than those of {query:?}"
        );
    }
    Ok(())
}

pub(crate) async fn the_chunks_of_a_damaged_extension_are_named_by_an_offset_in_it(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    t.create(&id, vec![append("a"), open("b", CLAIM)]).await?;
    t.extended(&id, 2, CLAIM, 0, &["0", "1"]).await?;
    t.extended(&id, 2, CLAIM, 2, &["2", "", "4"]).await?;
    t.extended(&id, 2, CLAIM, 5, &["5"]).await?;
    t.corrupt_chunk(&id, 2, 3).await?;
    let query = ChunkQuery::from(2, 0);
    names_chunk(t.store().read_chunks(&id, query).await, &id, 2, "a read of all chunks")?;
    let before = t.chunks(&id, query.max_chunks(2)).await?.chunks;
    ensure_eq!(before, [body("0"), body("1")], "the chunks before the damaged ones");
    ensure_eq!(
        t.chunks(&id, ChunkQuery::from(2, 5)).await?.chunks,
        [body("5")],
        "the chunks after the damaged ones"
    );
    Ok(())
}

pub(crate) async fn a_damaged_last_chunk_is_named_and_never_guessed(t: &mut Fixture) -> Checked {
    let (id, head) = damaged(t, &[5]).await?;
    let store = t.store();
    names_chunk(store.load(&id, WHOLE).await, &id, 5, "load")?;
    let all = ChunkQuery::from(2, 0);
    names_chunk(store.read_chunks(&id, all).await, &id, 5, "a read of all chunks")?;
    names_chunk(
        store.read_chunks(&id, ChunkQuery::from(2, 5)).await,
        &id,
        5,
        "a read of the chunk",
    )?;
    // The counts are in the damaged chunk, so that no close and no extension may guess them.
    for count in [5, 6] {
        let commit = on(head, vec![close(2, CLAIM, counts(count, 0), "x")]);
        match store.commit(&id, commit).await {
            Ok(CommitOutcome::Grew { seq: 2, counts: has })
                if has == counts(6, 0) && count == 5 => {}
            // A store may know the counts from elsewhere.
            Ok(CommitOutcome::Committed(_)) if count == 6 => return Ok(()),
            answer => names_chunk(answer, &id, 5, "a close")?,
        }
    }
    let page = t.page(&id, range(1, 1)).await?;
    ensure_eq!(page.rows, rows(&[(1, "a")]), "a page without the damaged reply's message");
    Ok(())
}

pub(crate) async fn salvage_returns_every_message_beside_damaged_chunks(
    t: &mut Fixture,
) -> Checked {
    let (id, _) = damaged(t, &[2, 5]).await?;
    let found = salvage(t, &id, range(1, u64::MAX)).await?;
    ensure_eq!(found.rows, rows(&[(1, "a"), (2, "b"), (3, "c")]), "the messages salvaged");
    ensure_eq!(damaged_seqs(&found), [Some(2)], "the seqs named as damaged");
    let claims: Vec<_> = found.replies.iter().map(|reply| (reply.seq, reply.claim)).collect();
    ensure_eq!(claims, [(3, OTHER)], "the replies salvaged");
    ensure!(!found.more, "salvage of everything says that there is more");
    let found = salvage(t, &id, ReadQuery::backward(3, 3)).await?;
    ensure_eq!(
        (found.rows.len(), found.damage.len()),
        (1, 0),
        "the numbers of messages and damages of an undamaged page"
    );
    Ok(())
}

pub(crate) async fn a_message_with_a_damaged_chunk_can_be_removed(t: &mut Fixture) -> Checked {
    for offsets in [&[2][..], &[5], &[0, 1, 2, 3, 4, 5]] {
        let (id, head) = damaged(t, offsets).await?;
        let head = t.change(&id, head, vec![remove(2, 2)]).await?;
        t.holds(&id, &[(1, "a"), (3, "c")]).await?;
        t.replies(&id, &[(3, OTHER, &["x", "y"], 0)]).await?;
        t.no_reply(&id, 2).await?;
        t.change(&id, head, appends(["d"])).await?;
        t.store().delete(&id, DeleteIf::Any).await?;
    }
    Ok(())
}

pub(crate) async fn a_message_with_a_damaged_chunk_can_be_replaced(t: &mut Fixture) -> Checked {
    for offsets in [&[2][..], &[5], &[0, 1, 2, 3, 4, 5]] {
        let (id, head) = damaged(t, offsets).await?;
        let head = t.change(&id, head, vec![replace(2, "B")]).await?;
        t.holds(&id, &[(1, "a"), (2, "B"), (3, "c")]).await?;
        t.replies(&id, &[(3, OTHER, &["x", "y"], 0)]).await?;
        t.change(&id, head, vec![open_again(2, "b", claim(9))]).await?;
        t.extended(&id, 2, claim(9), 0, &["new"]).await?;
        t.replies(&id, &[(2, claim(9), &["new"], 0), (3, OTHER, &["x", "y"], 0)]).await?;
        t.store().delete(&id, DeleteIf::Any).await?;
    }
    Ok(())
}

pub(crate) async fn a_session_with_damaged_chunks_can_be_deleted_and_created_again(
    t: &mut Fixture,
) -> Checked {
    let (id, _) = damaged(t, &[1, 5]).await?;
    let outcome = t.store().delete(&id, DeleteIf::Any).await?;
    ensure_eq!(outcome, DeleteOutcome::Deleted, "the delete of a session with damaged chunks");
    t.no_reply(&id, 2).await?;
    t.create(&id, vec![append("new"), open("newer", CLAIM)]).await?;
    t.extended(&id, 2, CLAIM, 0, &["x"]).await?;
    t.replies(&id, &[(2, CLAIM, &["x"], 0)]).await?;
    Ok(())
}

pub(crate) async fn a_damaged_chunk_affects_no_other_session(t: &mut Fixture) -> Checked {
    let other = id("another")?;
    let head = t.create(&other, vec![append("a"), open("b", CLAIM)]).await?;
    t.extended(&other, 2, CLAIM, 0, &["x"]).await?;
    let (bad, _) = damaged(t, &[0, 5]).await?;
    t.extended(&other, 2, CLAIM, 1, &["y"]).await?;
    t.replies(&other, &[(2, CLAIM, &["x", "y"], 0)]).await?;
    let (refused, extended) = futures_util::future::join(
        t.store().read_chunks(&bad, ChunkQuery::from(2, 0)),
        t.extended(&other, 2, CLAIM, 2, &["z"]),
    )
    .await;
    names_chunk(refused, &bad, 0, "a read of damaged chunks")?;
    ensure_eq!(extended?, counts(3, 0), "the counts beside another session's damage");
    // Another reply of the same session is not affected either.
    t.extended(&bad, 3, OTHER, 2, &["z"]).await?;
    let page = t.chunks(&bad, ChunkQuery::from(3, 0)).await?;
    ensure_eq!(page.chunks, [body("x"), body("y"), body("z")], "the chunks of another reply");
    t.change(&other, head, vec![close(2, CLAIM, counts(3, 0), "B")]).await?;
    t.holds(&other, &[(1, "a"), (2, "B")]).await?;
    Ok(())
}

pub(crate) async fn a_message_moved_to_another_session_is_damage_and_never_shown(
    t: &mut Fixture,
) -> Checked {
    let (theirs, ours) = (id("theirs")?, id("ours")?);
    for seq in [2, 3] {
        // As long as the other message, so that only the place is wrong.
        t.create(&theirs, appends(["A", "B", "C"])).await?;
        t.create(&ours, appends(["a", "b", "c"])).await?;
        t.misplace_message(&theirs, &ours, seq).await?;
        let store = t.store();
        names(store.load(&ours, WHOLE).await, &ours, Some(seq), "load")?;
        names(store.read(&ours, range(1, 9)).await, &ours, Some(seq), "read")?;
        names(store.read(&ours, range(seq, seq)).await, &ours, Some(seq), "a read of the place")?;
        let found = salvage(t, &ours, range(1, 9)).await?;
        let expected: Vec<_> = rows(&[(1, "a"), (2, "b"), (3, "c")])
            .into_iter()
            .filter(|row| row.seq != seq)
            .collect();
        ensure_eq!(found.rows, expected, "the messages salvaged");
        ensure!(
            damaged_seqs(&found).contains(&Some(seq)),
            "salvage does not name the misplaced message"
        );
        t.holds(&theirs, &[(1, "A"), (2, "B"), (3, "C")]).await?;
        if seq == 2 {
            // Through a wrapper, misplacing a message may have taken a commit.
            let head = found.head.ok_or_else(|| {
                Failure::new("salvage returned no head, although it is undamaged")
            })?;
            t.change(&ours, head, vec![remove(2, 2)]).await?;
            let tail = t.all(&ours).await?.tail;
            ensure_eq!(tail, rows(&[(1, "a"), (3, "c")]), "the messages left after the removal");
        }
        for id in [&theirs, &ours] {
            if t.store().delete(id, DeleteIf::Any).await? != DeleteOutcome::Deleted {
                return Err(Failure::new(
                    "a session with a misplaced message could not be deleted",
                ));
            }
        }
    }
    Ok(())
}
