//! Limits of extensions and replies: exceeding one changes nothing, and a full reply can be closed
//! (S7, S10).

use super::limits::{bytes, limits};
use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, append, creation, on, session};
use crate::replying::{CLAIM, FORMAT, OTHER, counts, open};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    ChunkQuery, Commit, ExtendOutcome, Extension, NewMessage, Op, ReplyOpening, StoreErrorKind,
    StoreLimits,
};

/// Checks that the extension is refused as too large and does not change the session.
async fn too_large(t: &Fixture, id: &SessionId, extension: Extension, subject: &str) -> Checked {
    let before = t.everything(id).await?;
    match t.store().extend(id, extension).await {
        Err(error) => ensure_eq!(error.kind(), StoreErrorKind::TooLarge, "the error for {subject}"),
        Ok(outcome) => return Err(Failure::new(format_args!("{subject} ended as {outcome:?}"))),
    }
    ensure!(t.everything(id).await? == before, "{subject} was refused and changed the session");
    Ok(())
}

/// The bytes that the body and the chunks of an open reply may have together.
fn room(limits: StoreLimits) -> Checked<u64> {
    limits
        .max_body_bytes
        .checked_sub(StoreLimits::REPLY_RESERVE)
        .filter(|room| *room > 10)
        .ok_or_else(|| Failure::new(format_args!("no reply has room with {limits:?}")))
}

/// Extends the reply by `bytes`, from chunk `offset` on, in extensions within the limits. Returns
/// the next offset.
async fn fill(t: &Fixture, id: &SessionId, mut offset: u64, bytes: &Bytes) -> Checked<u64> {
    let most = usize::try_from(limits(t)?.max_commit_bytes).unwrap_or(usize::MAX).max(1);
    let mut from = 0;
    while from < bytes.len() {
        let to = bytes.len().min(from + most);
        let outcome = t
            .store()
            .extend(id, Extension::new(1, CLAIM, offset, vec![bytes.slice(from..to)]))
            .await?;
        offset += 1;
        ensure_eq!(
            outcome,
            ExtendOutcome::Extended(counts(offset, 0)),
            "an extension within the limits"
        );
        from = to;
    }
    Ok(offset)
}

pub(crate) async fn an_extension_of_the_declared_bytes_is_made_and_a_larger_one_refused(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let limits = limits(t)?;
    t.create(&id, vec![open("", CLAIM)]).await?;
    let most = limits.max_commit_bytes;
    for parts in [vec![bytes(most + 1)?], vec![bytes(most)?, bytes(1)?]] {
        too_large(
            t,
            &id,
            Extension::new(1, CLAIM, 0, parts),
            "an extension over the limit of a commit",
        )
        .await?;
    }
    let fits = bytes(most.min(room(limits)?))?;
    let outcome = t.store().extend(&id, Extension::new(1, CLAIM, 0, vec![fits.clone()])).await?;
    ensure_eq!(outcome, ExtendOutcome::Extended(counts(1, 0)), "an extension of the size allowed");
    let page = t.chunks(&id, ChunkQuery::from(1, 0)).await?;
    ensure!(page.chunks == [fits], "a chunk of the size allowed came back changed");
    let known = Extension::new(1, CLAIM, 0, vec![bytes(most + 1)?]);
    too_large(t, &id, known, "an extension over the limit by a known chunk").await?;
    Ok(())
}

pub(crate) async fn an_extension_of_the_declared_chunks_is_made_and_a_longer_one_refused(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let most = limits(t)?.max_commit_ops;
    t.create(&id, vec![open("", CLAIM)]).await?;
    let empty = |count| Extension::new(1, CLAIM, 0, vec![Bytes::new(); count]);
    too_large(t, &id, empty(most + 1), "an extension of more chunks than declared").await?;
    let outcome = t.store().extend(&id, empty(most)).await?;
    ensure_eq!(
        outcome,
        ExtendOutcome::Extended(counts(most as u64, 0)),
        "an extension of all chunks declared"
    );
    let page = t.chunks(&id, ChunkQuery::from(1, 0)).await?;
    ensure_eq!(page.chunks.len(), most, "the chunks that are there");
    Ok(())
}

pub(crate) async fn a_reply_leaves_room_for_its_close(t: &mut Fixture) -> Checked {
    let id = session()?;
    let limits = limits(t)?;
    let opened = "opened with this";
    let head = t.create(&id, vec![open(opened, CLAIM), append("b")]).await?;
    let chunks = room(limits)? - opened.len() as u64;
    let offset = fill(t, &id, 0, &bytes(chunks - 1)?).await?;
    let more = |length| Ok::<_, Failure>(Extension::new(1, CLAIM, offset, vec![bytes(length)?]));
    too_large(t, &id, more(2)?, "an extension into the room for the close").await?;
    let offset = fill(t, &id, offset, &bytes(1)?).await?;
    let over = Extension::new(1, CLAIM, offset, vec![bytes(1)?]);
    too_large(t, &id, over, "an extension of a full reply").await?;
    let over = Extension::new(1, CLAIM, offset, vec![Bytes::new(), bytes(1)?]);
    too_large(t, &id, over, "an extension of a full reply").await?;

    // An extension that adds no bytes is accepted, and so is the close.
    let again = Extension::new(1, CLAIM, offset - 1, vec![bytes(1)?]);
    let outcome = t.store().extend(&id, again).await?;
    ensure_eq!(
        outcome,
        ExtendOutcome::Extended(counts(offset, 0)),
        "a full reply's last extension again"
    );
    t.store().extend(&id, Extension::beat(1, CLAIM)).await?;
    let outcome =
        t.store().extend(&id, Extension::new(1, CLAIM, offset, vec![Bytes::new()])).await?;
    ensure_eq!(
        outcome,
        ExtendOutcome::Extended(counts(offset + 1, 1)),
        "an empty chunk of a full reply"
    );
    let last = bytes(limits.max_body_bytes.min(limits.max_commit_bytes))?;
    let message = NewMessage::plain(last.clone());
    let ops = vec![Op::Close { seq: 1, claim: CLAIM, counts: counts(offset + 1, 1), message }];
    t.change(&id, head, ops).await?;
    let loaded = t.all(&id).await?;
    ensure!(loaded.tail[0].body == last, "the body of the close came back changed");
    ensure_eq!(loaded.replies.len(), 0, "the replies after the close");
    Ok(())
}

pub(crate) async fn the_body_and_chunks_of_a_reply_count_towards_its_limit(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let room = room(limits(t)?)?;
    // Half of the room is in the body, and the rest in two extensions that each fit alone.
    let body = bytes(room / 2)?;
    let message = NewMessage::plain(body).opening(ReplyOpening::new(CLAIM, FORMAT));
    t.create(&id, vec![Op::Append(message)]).await?;
    let offset = fill(t, &id, 0, &bytes(room - room / 2 - 1)?).await?;
    let two = Extension::new(1, CLAIM, offset, vec![bytes(1)?, bytes(1)?]);
    too_large(t, &id, two, "an extension beyond the room of its message").await?;
    fill(t, &id, offset, &bytes(1)?).await?;
    Ok(())
}

pub(crate) async fn an_opening_leaves_room_for_its_reply(t: &mut Fixture) -> Checked {
    let (id, absent) = (session()?, crate::fixture::id("absent")?);
    let limits = limits(t)?;
    let most = room(limits)?.min(limits.max_commit_bytes);
    let message = |length| {
        Ok::<_, Failure>(
            NewMessage::plain(bytes(length)?).opening(ReplyOpening::new(OTHER, FORMAT)),
        )
    };
    let over = room(limits)? + 1;
    let head = t.create(&id, vec![open("a", CLAIM)]).await?;
    let close = |message| Op::Close { seq: 1, claim: CLAIM, counts: counts(0, 0), message };
    let refused: [(&SessionId, Commit); 4] = [
        (&id, on(head, vec![append("b"), Op::Append(message(over)?)])),
        (&id, on(head, vec![append("b"), Op::Replace { seq: 1, message: message(over)? }])),
        (&id, on(head, vec![append("b"), close(message(over)?)])),
        (&absent, creation(vec![append("b"), Op::Append(message(over)?)])),
    ];
    for (id, commit) in refused {
        let before = t.everything(id).await?;
        let Err(error) = t.store().commit(id, commit).await else {
            return Err(Failure::new("an opening without room for its reply was not refused"));
        };
        ensure_eq!(error.kind(), StoreErrorKind::TooLarge, "the error for an opening without room");
        ensure!(t.everything(id).await? == before, "a refused opening changed the session");
    }
    t.change(&id, head, vec![close(message(most)?)]).await?;
    let replies = t.all(&id).await?.replies;
    ensure_eq!(
        replies.first().map(|reply| reply.claim),
        Some(OTHER),
        "the reply on the largest opening"
    );
    Ok(())
}
