//! Commits open and reopen replies; loads and pages return them (S10).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, Fixture, T, append, appends, body, id, range, remove, replace, rows, session, set_app,
};
use crate::replying::{CLAIM, OTHER, claim, close, counts, named, open, open_again, opening};
use durable_session::SessionId;
use durable_session::store::{
    ChunkQuery, CommitOutcome, Labels, NewMessage, Op, OpenReply, Page, ReadQuery, ReplyCounts,
    ReplyOpening, TailBounds,
};

pub(crate) async fn an_append_may_open_a_reply(t: &mut Fixture) -> Checked {
    let id = session()?;
    let before = t.create(&id, appends(["a"])).await?;
    let head = t.change(&id, before, vec![append("b"), open("c", CLAIM), append("d")]).await?;
    t.holds(&id, &[(1, "a"), (2, "b"), (3, "c"), (4, "d")]).await?;
    let loaded = t.replies(&id, &[(3, CLAIM, &[], 0)]).await?;
    ensure_eq!(loaded.head, head, "the stored head");
    ensure!(head.version != before.version, "an opening made no version");
    ensure_eq!(
        (head.base, head.closed),
        (before.base, before.closed),
        "base and closed after an opening"
    );
    for seq in [1, 2, 4] {
        t.no_reply(&id, seq).await?;
    }
    Ok(())
}

pub(crate) async fn a_replacement_may_open_a_reply(t: &mut Fixture) -> Checked {
    let id = session()?;
    let before = t.create(&id, appends(["a", "b", "c"])).await?;
    let head = t.change(&id, before, vec![open_again(2, "B", CLAIM)]).await?;
    t.holds(&id, &[(1, "a"), (2, "B"), (3, "c")]).await?;
    t.replies(&id, &[(2, CLAIM, &[], 0)]).await?;
    ensure_eq!(head.next_seq, before.next_seq, "next_seq after a message was reopened");
    ensure_eq!(head.base, head.version, "the base after a message was reopened");
    ensure_eq!(head.closed, before.closed, "closed after a message was reopened");
    Ok(())
}

pub(crate) async fn a_session_may_begin_with_an_open_reply(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.create(&id, vec![append("a"), open("", CLAIM)]).await?;
    t.holds(&id, &[(1, "a"), (2, "")]).await?;
    t.replies(&id, &[(2, CLAIM, &[], 0)]).await?;
    t.extended(&id, 2, CLAIM, 0, &["x"]).await?;
    t.replies(&id, &[(2, CLAIM, &["x"], 0)]).await?;
    Ok(())
}

/// A session of six messages with open replies at 2, 4 and 5, and these replies.
async fn three_replies(t: &Fixture) -> Checked<Vec<OpenReply>> {
    let id = session()?;
    let longest = "f".repeat(ReplyOpening::MAX_FORMAT_BYTES);
    let formats = [(2, claim(2), ""), (4, claim(4), longest.as_str()), (5, claim(5), "ü 1\0")];
    let message = |seq| match formats.iter().find(|(at, ..)| *at == seq) {
        Some((_, claim, format)) => {
            Op::Append(NewMessage::plain(body("open")).opening(ReplyOpening::new(*claim, *format)))
        }
        None => append("whole"),
    };
    t.create(&id, (1..=6).map(message).collect()).await?;
    t.extended(&id, 4, claim(4), 0, &["a", "bc", ""]).await?;
    t.extended(&id, 5, claim(5), 0, &[]).await?;
    t.extended(&id, 5, claim(5), 0, &["d"]).await?;
    let has = [(counts(0, 0), 0), (counts(3, 0), 3), (counts(1, 1), 1)];
    let replies = formats.into_iter().zip(has);
    Ok(replies
        .map(|((seq, claim, format), (counts, bytes))| OpenReply {
            seq,
            claim,
            format: format.into(),
            counts,
            bytes,
        })
        .collect())
}

pub(crate) async fn a_load_names_every_open_reply(t: &mut Fixture) -> Checked {
    let expected = three_replies(t).await?;
    let id = session()?;
    for bounds in
        [TailBounds::new(1, 0), TailBounds::new(2, u64::MAX), TailBounds::new(100, u64::MAX)]
    {
        let loaded = t.load(&id, bounds).await?.map(|loaded| loaded.replies);
        ensure_eq!(loaded, Some(expected.clone()), "the replies that a load with {bounds:?} names");
    }
    Ok(())
}

pub(crate) async fn a_page_names_the_open_replies_of_its_messages(t: &mut Fixture) -> Checked {
    let replies = three_replies(t).await?;
    let id = session()?;
    let expectations: [(ReadQuery, &[u64]); 9] = [
        (range(1, 6), &[2, 4, 5]),
        (ReadQuery::backward(1, 6), &[2, 4, 5]),
        (range(1, 3), &[2]),
        (range(3, 6).max_messages(2), &[4]),
        (ReadQuery::backward(1, 5).max_messages(1), &[5]),
        (ReadQuery::backward(1, 5).max_messages(2), &[4, 5]),
        (range(1, 6).max_bytes(0), &[]),
        (range(6, u64::MAX), &[]),
        (range(5, 4), &[]),
    ];
    for (query, seqs) in expectations {
        let expected: Vec<_> =
            replies.iter().filter(|reply| seqs.contains(&reply.seq)).cloned().collect();
        ensure_eq!(t.page(&id, query).await?.replies, expected, "the replies of {query:?}");
        let salvaged = t.store().salvage(&id, query).await?.map(|salvaged| salvaged.replies);
        ensure_eq!(salvaged, Some(expected), "the replies that salvage names for {query:?}");
    }
    Ok(())
}

pub(crate) async fn a_message_keeps_its_body_while_its_reply_grows(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.create(&id, vec![append("a"), open("as it was opened", CLAIM)]).await?;
    let before = t.all(&id).await?;
    t.extended_one_by_one(&id, 2, CLAIM, 0, &["x", "yy", "zzz"]).await?;
    t.extended(&id, 2, CLAIM, 0, &[]).await?;
    let loaded = t.holds(&id, &[(1, "a"), (2, "as it was opened")]).await?;
    ensure_eq!(loaded.head, before.head, "the head after a reply grew");
    let last = t.load(&id, TailBounds::new(1, 0)).await?.map(|loaded| loaded.tail);
    ensure_eq!(
        last,
        Some(rows(&[(2, "as it was opened")])),
        "the last message while its reply grows"
    );
    Ok(())
}

pub(crate) async fn commits_to_other_messages_do_not_change_open_replies(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let mut head = t.create(&id, vec![append("a"), append("b"), open("c", CLAIM)]).await?;
    t.extended(&id, 3, CLAIM, 0, &["x", "y"]).await?;
    t.extended(&id, 3, CLAIM, 0, &[]).await?;
    let other = [
        appends(["d", "e"]),
        vec![replace(1, "A")],
        vec![remove(2, 2), remove(4, 9)],
        vec![set_app("{}")],
        vec![Op::SetLabels(Labels::owner("u"))],
        vec![open("f", OTHER)],
        vec![close(6, OTHER, counts(0, 0), "F")],
        Vec::new(),
    ];
    for ops in other {
        head = t.change(&id, head, ops.clone()).await?;
        let page = t.page(&id, range(3, 3)).await?;
        let expected = Page {
            head,
            rows: rows(&[(3, "c")]),
            replies: vec![named(3, CLAIM, &["x", "y"], 1)],
            more: false,
        };
        ensure_eq!(page, expected, "the message and its reply after {ops:?}");
        let chunks = t.chunks(&id, ChunkQuery::from(3, 0)).await?.chunks;
        ensure_eq!(chunks, [body("x"), body("y")], "the chunks after {ops:?}");
    }
    t.store().touch(&id, T + 100).await?;
    t.replies(&id, &[(3, CLAIM, &["x", "y"], 1)]).await?;
    t.extended(&id, 3, CLAIM, 2, &["z"]).await?;
    t.replies(&id, &[(3, CLAIM, &["x", "y", "z"], 1)]).await?;
    Ok(())
}

pub(crate) async fn replies_open_and_close_in_the_order_of_a_commit(t: &mut Fixture) -> Checked {
    let id = session()?;
    let ops = vec![
        open("a", CLAIM),
        close(1, CLAIM, ReplyCounts::default(), "A"),
        open("b", CLAIM),
        open_again(2, "B", OTHER),
        open("c", CLAIM),
        remove(3, 3),
        open("d", CLAIM),
        replace(4, "D"),
        append("e"),
        open_again(5, "E", CLAIM),
    ];
    let head = t.create(&id, ops).await?;
    t.holds(&id, &[(1, "A"), (2, "B"), (4, "D"), (5, "E")]).await?;
    t.replies(&id, &[(2, OTHER, &[], 0), (5, CLAIM, &[], 0)]).await?;
    for (ops, seq) in [
        (vec![remove(5, 5), close(5, CLAIM, counts(0, 0), "x")], 5),
        (vec![replace(5, "y"), close(5, CLAIM, counts(0, 0), "x")], 5),
        (vec![open_again(5, "y", OTHER), close(5, CLAIM, counts(0, 0), "x")], 5),
        (vec![append("f"), close(6, CLAIM, counts(0, 0), "x")], 6),
    ] {
        let before = t.everything(&id).await?;
        let outcome = t.store().commit(&id, crate::fixture::on(head, ops)).await?;
        ensure_eq!(outcome, CommitOutcome::ReplyEnded { seq }, "a close after the reply ended");
        ensure!(t.everything(&id).await? == before, "a refused commit changed the session");
    }
    Ok(())
}

pub(crate) async fn open_replies_of_one_session_do_not_mix(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.create(&id, vec![open("a", CLAIM), open("b", CLAIM), append("c"), open("d", OTHER)]).await?;
    for n in 0..4_u64 {
        for (seq, claim) in [(1, CLAIM), (4, OTHER), (2, CLAIM)] {
            t.extended(&id, seq, claim, n, &[&format!("{seq}-{n}")]).await?;
        }
    }
    t.extended(&id, 2, CLAIM, 0, &[]).await?;
    t.replies(
        &id,
        &[
            (1, CLAIM, &["1-0", "1-1", "1-2", "1-3"], 0),
            (2, CLAIM, &["2-0", "2-1", "2-2", "2-3"], 1),
            (4, OTHER, &["4-0", "4-1", "4-2", "4-3"], 0),
        ],
    )
    .await?;
    let head = t.all(&id).await?.head;
    t.change(&id, head, vec![close(2, CLAIM, counts(4, 1), "B")]).await?;
    t.replies(
        &id,
        &[
            (1, CLAIM, &["1-0", "1-1", "1-2", "1-3"], 0),
            (4, OTHER, &["4-0", "4-1", "4-2", "4-3"], 0),
        ],
    )
    .await?;
    Ok(())
}

pub(crate) async fn open_replies_of_different_sessions_do_not_mix(t: &mut Fixture) -> Checked {
    let ids = super::isolation::look_alikes()?;
    for id in &ids {
        t.create(id, vec![append("a"), open("b", CLAIM)]).await?;
    }
    for id in &ids {
        t.extended(id, 2, CLAIM, 0, &[id.as_str()]).await?;
    }
    let mut left = ids.as_slice();
    while let Some((first, others)) = left.split_first() {
        for id in left {
            t.replies(id, &[(2, CLAIM, &[id.as_str()], 0)]).await?;
        }
        let head = t.all(first).await?.head;
        match others.len() % 3 {
            0 => drop(t.change(first, head, vec![close(2, CLAIM, counts(1, 0), "B")]).await?),
            1 => drop(t.change(first, head, vec![remove(1, u64::MAX)]).await?),
            _ => drop(t.store().delete(first, durable_session::store::DeleteIf::Any).await?),
        }
        t.no_reply(first, 2).await?;
        left = others;
    }
    Ok(())
}

pub(crate) async fn an_open_reply_may_have_any_claim(t: &mut Fixture) -> Checked {
    let claims = [[0; 32], [255; 32], std::array::from_fn(|n| u8::try_from(n).unwrap_or(0))]
        .map(durable_session::store::Claim::from_bytes);
    let id = id("claimed")?;
    t.create(&id, claims.iter().map(|&claim| Op::Append(opening("a", claim))).collect()).await?;
    for (seq, &claim) in (1..).zip(&claims) {
        t.extended(&id, seq, claim, 0, &["x"]).await?;
    }
    let found = t.all(&id).await?.replies;
    let expected: Vec<_> =
        (1..).zip(claims).map(|(seq, claim)| named(seq, claim, &["x"], 0)).collect();
    ensure_eq!(found, expected, "replies with claims of any bytes");
    Ok(())
}

pub(crate) async fn a_second_reply_has_its_own_format(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, vec![open("a", CLAIM)]).await?;
    let written =
        |claim, format| NewMessage::plain(body("b")).opening(ReplyOpening::new(claim, format));
    let replaced = vec![Op::Replace { seq: 1, message: written(OTHER, "second") }];
    let head = t.change(&id, head, replaced).await?;
    has_format(t, &id, "second").await?;
    let message = written(CLAIM, "third");
    t.change(&id, head, vec![Op::Close { seq: 1, claim: OTHER, counts: counts(0, 0), message }])
        .await?;
    has_format(t, &id, "third").await
}

async fn has_format(t: &Fixture, id: &SessionId, format: &str) -> Checked {
    let reply = t.chunks(id, ChunkQuery::from(1, 0)).await?.reply;
    ensure_eq!(&*reply.format, format, "the format that a read of chunks names");
    ensure_eq!(t.all(id).await?.replies, [reply], "the replies that load names");
    Ok(())
}
