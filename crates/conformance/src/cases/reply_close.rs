//! A close ends a reply once, and only with the current counts of its chunks and beats (S10).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, Fixture, append, body, creation, id, on, range, remove, replace, rows, session,
    set_app,
};
use crate::replying::{
    CLAIM, FORMAT, OTHER, claim, close, counts, extension, open, open_again, opening,
};
use durable_session::SessionId;
use durable_session::store::{
    CommitOutcome, ExtendOutcome, Extension, Head, Labels, LoadOutcome, NewMessage, Op,
    ReplyOpening,
};
use futures_util::future::{join, join_all};

/// A session of three messages; the second has an open reply of three chunks and a beat.
async fn grown(t: &Fixture) -> Checked<(SessionId, Head)> {
    let id = session()?;
    let head = t.create(&id, vec![append("a"), open("b", CLAIM), append("c")]).await?;
    t.extended(&id, 2, CLAIM, 0, &["x"]).await?;
    t.extended(&id, 2, CLAIM, 1, &["yy", ""]).await?;
    t.extended(&id, 2, CLAIM, 0, &[]).await?;
    Ok((id, head))
}

/// Checks that the commit has this outcome and changes nothing.
async fn ends(
    t: &Fixture,
    id: &SessionId,
    head: Head,
    ops: Vec<Op>,
    expected: CommitOutcome,
) -> Checked {
    let before = t.everything(id).await?;
    let outcome = t.store().commit(id, on(head, ops.clone())).await?;
    ensure_eq!(outcome, expected, "{ops:?}");
    ensure!(t.everything(id).await? == before, "{ops:?} was refused and changed the session");
    Ok(())
}

pub(crate) async fn a_close_ends_a_reply_and_drops_its_chunks(t: &mut Fixture) -> Checked {
    let (id, before) = grown(t).await?;
    let head = t.change(&id, before, vec![close(2, CLAIM, counts(3, 1), "all of it")]).await?;
    let loaded = t.holds(&id, &[(1, "a"), (2, "all of it"), (3, "c")]).await?;
    ensure_eq!(loaded.head, head, "the stored head");
    ensure!(head.version != before.version, "a close made no version");
    ensure_eq!(head.closed, head.version, "closed after a close");
    ensure_eq!(head.base, before.base, "the base after a close");
    ensure_eq!(head.next_seq, before.next_seq, "next_seq after a close");
    t.replies(&id, &[]).await?;
    t.no_reply(&id, 2).await?;
    for extension in [extension(2, CLAIM, 3, &["late"]), Extension::beat(2, CLAIM)] {
        t.refuses(&id, extension, ExtendOutcome::Ended, "an extension after the close").await?;
    }
    Ok(())
}

pub(crate) async fn a_close_with_other_counts_is_refused(t: &mut Fixture) -> Checked {
    let (id, head) = grown(t).await?;
    let grew = CommitOutcome::Grew { seq: 2, counts: counts(3, 1) };
    for (chunks, beats) in [(0, 0), (2, 1), (4, 1), (3, 0), (3, 2), (1, 3), (u64::MAX, u64::MAX)] {
        let ops = vec![append("d"), close(2, CLAIM, counts(chunks, beats), "x"), set_app("x")];
        ends(t, &id, head, ops, grew).await?;
    }
    t.extended(&id, 2, CLAIM, 3, &["z"]).await?;
    let grew = CommitOutcome::Grew { seq: 2, counts: counts(4, 1) };
    ends(t, &id, head, vec![close(2, CLAIM, counts(3, 1), "x")], grew).await?;
    t.change(&id, head, vec![close(2, CLAIM, counts(4, 1), "B")]).await?;
    t.holds(&id, &[(1, "a"), (2, "B"), (3, "c")]).await?;
    Ok(())
}

pub(crate) async fn a_close_needs_the_claim_of_the_reply(t: &mut Fixture) -> Checked {
    let (id, head) = grown(t).await?;
    for stranger in [OTHER, claim(9)] {
        let ops = vec![close(2, stranger, counts(3, 1), "x")];
        ends(t, &id, head, ops, CommitOutcome::ReplyEnded { seq: 2 }).await?;
        // Any other refusal answers without counts.
        let ops = vec![close(2, stranger, counts(0, 0), "x")];
        ends(t, &id, head, ops, CommitOutcome::ReplyEnded { seq: 2 }).await?;
    }
    for seq in [0, 1, 3, 4, u64::MAX] {
        let ops = vec![set_app("x"), close(seq, CLAIM, counts(0, 0), "x")];
        ends(t, &id, head, ops, CommitOutcome::ReplyEnded { seq }).await?;
    }
    Ok(())
}

pub(crate) async fn a_reply_is_closed_once(t: &mut Fixture) -> Checked {
    let (id, head) = grown(t).await?;
    let first = close(2, CLAIM, counts(3, 1), "first");
    let second = close(2, CLAIM, counts(3, 1), "second");
    let ended = CommitOutcome::ReplyEnded { seq: 2 };
    ends(t, &id, head, vec![first.clone(), second.clone()], ended).await?;
    let head = t.change(&id, head, vec![first]).await?;
    ends(t, &id, head, vec![second], ended).await?;
    ends(t, &id, head, vec![close(2, CLAIM, counts(0, 0), "third")], ended).await?;
    t.holds(&id, &[(1, "a"), (2, "first"), (3, "c")]).await?;
    Ok(())
}

pub(crate) async fn one_of_concurrent_closes_succeeds(t: &mut Fixture) -> Checked {
    let (id, head) = grown(t).await?;
    let store = t.store();
    let texts = ["finished", "stopped", "failed", "interrupted"];
    let closes =
        texts.map(|text| store.commit(&id, on(head, vec![close(2, CLAIM, counts(3, 1), text)])));
    let mut won = Vec::new();
    for (text, outcome) in texts.into_iter().zip(join_all(closes).await) {
        if let CommitOutcome::Committed(head) = outcome? {
            won.push((text, head));
        }
    }
    ensure_eq!(won.len(), 1, "how many closes of one reply succeeded");
    let loaded = t.holds(&id, &[(1, "a"), (2, won[0].0), (3, "c")]).await?;
    ensure_eq!(loaded.head, won[0].1, "the head after the close that won");
    Ok(())
}

pub(crate) async fn a_close_and_the_other_operations_of_its_commit_land_together(
    t: &mut Fixture,
) -> Checked {
    let (id, head) = grown(t).await?;
    let labels = Labels::owner("u-1").title("title");
    let ops = vec![
        append("d"),
        set_app("after"),
        close(2, CLAIM, counts(3, 1), "B"),
        Op::SetLabels(labels.clone()),
        replace(2, "B2"),
        remove(1, 1),
        open("e", OTHER),
    ];
    let head = t.change(&id, head, ops).await?;
    let loaded = t.holds(&id, &[(2, "B2"), (3, "c"), (4, "d"), (5, "e")]).await?;
    ensure_eq!(
        (loaded.app, loaded.labels),
        (body("after"), labels),
        "the app state and the labels"
    );
    ensure_eq!((head.base, head.closed), (head.version, head.version), "base and closed");
    t.replies(&id, &[(5, OTHER, &[], 0)]).await?;
    Ok(())
}

pub(crate) async fn a_refused_close_undoes_its_commit(t: &mut Fixture) -> Checked {
    let (id, head) = grown(t).await?;
    let harmless =
        [append("d"), set_app("x"), remove(1, 1), replace(3, "C"), open_again(3, "C", OTHER)];
    let labels = Op::SetLabels(Labels::owner("u-1"));
    let refusals = [
        (close(2, OTHER, counts(3, 1), "x"), CommitOutcome::ReplyEnded { seq: 2 }),
        (close(1, CLAIM, counts(0, 0), "x"), CommitOutcome::ReplyEnded { seq: 1 }),
        (close(2, CLAIM, counts(2, 1), "x"), CommitOutcome::Grew { seq: 2, counts: counts(3, 1) }),
    ];
    for (refused, expected) in refusals {
        let mut ops = harmless.to_vec();
        ops.extend([refused, labels.clone(), append("e")]);
        ends(t, &id, head, ops, expected).await?;
    }
    // A valid close is undone together with the refused operation.
    let ops = vec![close(2, CLAIM, counts(3, 1), "B"), replace(99, "x")];
    ends(t, &id, head, ops, CommitOutcome::NoSuchSeq { seq: 99 }).await?;
    Ok(())
}

pub(crate) async fn a_commit_reports_its_first_refused_operation(t: &mut Fixture) -> Checked {
    let (id, head) = grown(t).await?;
    let missing = replace(99, "x");
    let ended = close(1, CLAIM, counts(0, 0), "x");
    let grew = close(2, CLAIM, counts(9, 9), "x");
    let outcomes = [
        (&missing, CommitOutcome::NoSuchSeq { seq: 99 }),
        (&ended, CommitOutcome::ReplyEnded { seq: 1 }),
        (&grew, CommitOutcome::Grew { seq: 2, counts: counts(3, 1) }),
    ];
    for (first, expected) in outcomes {
        for (second, _) in outcomes {
            ends(t, &id, head, vec![first.clone(), second.clone()], expected).await?;
        }
    }
    let stale = Head { version: head.version.next(), ..head };
    let conflict = CommitOutcome::Conflict { current: Some(head.version) };
    ends(t, &id, stale, vec![close(2, CLAIM, counts(3, 1), "x")], conflict).await
}

pub(crate) async fn a_creation_with_a_refused_close_makes_no_session(t: &mut Fixture) -> Checked {
    let id = session()?;
    for (ops, expected) in [
        (
            vec![append("a"), close(1, CLAIM, counts(0, 0), "x")],
            CommitOutcome::ReplyEnded { seq: 1 },
        ),
        (
            vec![open("a", CLAIM), close(1, CLAIM, counts(1, 0), "x")],
            CommitOutcome::Grew { seq: 1, counts: counts(0, 0) },
        ),
    ] {
        let outcome = t.store().commit(&id, creation(ops)).await?;
        ensure_eq!(outcome, expected, "a creation with a close that is refused");
        let loaded = t.store().load(&id, crate::fixture::WHOLE).await?;
        ensure_eq!(loaded, LoadOutcome::Absent, "the session after its creation was refused");
    }
    Ok(())
}

pub(crate) async fn a_close_may_reopen_its_message(t: &mut Fixture) -> Checked {
    let (id, before) = grown(t).await?;
    let message = NewMessage::plain(body("B")).opening(ReplyOpening::new(OTHER, FORMAT));
    let ops = vec![Op::Close { seq: 2, claim: CLAIM, counts: counts(3, 1), message }];
    let head = t.change(&id, before, ops).await?;
    ensure_eq!((head.base, head.closed), (head.version, head.version), "base and closed");
    t.replies(&id, &[(2, OTHER, &[], 0)]).await?;
    t.holds(&id, &[(1, "a"), (2, "B"), (3, "c")]).await?;
    t.refuses(
        &id,
        extension(2, CLAIM, 3, &["x"]),
        ExtendOutcome::Ended,
        "the closed reply's extension",
    )
    .await?;
    t.extended(&id, 2, OTHER, 0, &["new"]).await?;
    t.replies(&id, &[(2, OTHER, &["new"], 0)]).await?;
    Ok(())
}

/// All ways in which an open reply at seq 2 is followed by another one under `claim`.
fn successions(claim: durable_session::store::Claim) -> [(&'static str, Vec<Vec<Op>>); 4] {
    let closed = |message| Op::Close { seq: 2, claim: CLAIM, counts: counts(3, 1), message };
    [
        ("a close that reopens", vec![vec![closed(opening("B", claim))]]),
        (
            "a close and a reopening",
            vec![vec![closed(NewMessage::plain(body("B")))], vec![open_again(2, "B", claim)]],
        ),
        (
            "both in one commit",
            vec![vec![closed(NewMessage::plain(body("?"))), open_again(2, "B", claim)]],
        ),
        ("a reopening over an open reply", vec![vec![open_again(2, "B", claim)]]),
    ]
}

pub(crate) async fn a_second_reply_sees_no_chunk_of_the_first(t: &mut Fixture) -> Checked {
    for second in [OTHER, CLAIM] {
        for (subject, commits) in successions(second) {
            let (id, mut head) = grown(t).await?;
            for ops in commits {
                head = t.change(&id, head, ops).await?;
            }
            t.replies(&id, &[(2, second, &[], 0)]).await?;
            let gap = ExtendOutcome::Gap(counts(0, 0));
            t.refuses(&id, extension(2, second, 3, &["x"]), gap, subject).await?;
            t.extended(&id, 2, second, 0, &["new"]).await?;
            t.replies(&id, &[(2, second, &["new"], 0)]).await?;
            t.change(&id, head, vec![close(2, second, counts(1, 0), "end")]).await?;
            t.holds(&id, &[(1, "a"), (2, "end"), (3, "c")]).await?;
            t.store().delete(&id, durable_session::store::DeleteIf::Any).await?;
        }
    }
    Ok(())
}

pub(crate) async fn a_second_reply_sees_no_chunk_of_the_first_after_reopening(
    t: &mut Fixture,
) -> Checked {
    for (_, commits) in successions(OTHER) {
        let (id, mut head) = grown(t).await?;
        t.reopen().await?;
        for ops in commits {
            head = t.change(&id, head, ops).await?;
        }
        t.extended(&id, 2, OTHER, 0, &["new"]).await?;
        t.reopen().await?;
        t.replies(&id, &[(2, OTHER, &["new"], 0)]).await?;
        t.store().delete(&id, durable_session::store::DeleteIf::Any).await?;
    }
    Ok(())
}

pub(crate) async fn a_concurrent_extension_and_close_are_ordered(t: &mut Fixture) -> Checked {
    for round in 0..20 {
        let id = id(&format!("session-{round}"))?;
        let head = t.create(&id, vec![open("a", CLAIM)]).await?;
        t.extended(&id, 1, CLAIM, 0, &["x"]).await?;
        let store = t.store();
        let grow = store.extend(&id, extension(1, CLAIM, 1, &["y"]));
        let end = store.commit(&id, on(head, vec![close(1, CLAIM, counts(1, 0), "A")]));
        let (grown, closed) = if round % 2 == 0 {
            join(grow, end).await
        } else {
            let (closed, grown) = join(end, grow).await;
            (grown, closed)
        };
        match (grown?, closed?) {
            (ExtendOutcome::Extended(has), CommitOutcome::Grew { seq: 1, counts: told }) => {
                ensure_eq!(
                    (has, told),
                    (counts(2, 0), counts(2, 0)),
                    "the counts of a reply that grew"
                );
                t.replies(&id, &[(1, CLAIM, &["x", "y"], 0)]).await?;
            }
            (ExtendOutcome::Ended, CommitOutcome::Committed(_)) => {
                t.no_reply(&id, 1).await?;
                t.holds(&id, &[(1, "A")]).await?;
            }
            (grown, closed) => {
                return Err(crate::Failure::new(format_args!(
                    "an extension ended as {grown:?} and the close beside it as {closed:?}"
                )));
            }
        }
    }
    Ok(())
}

pub(crate) async fn replacing_a_message_ends_its_reply(t: &mut Fixture) -> Checked {
    let (id, head) = grown(t).await?;
    let head = t.change(&id, head, vec![replace(2, "B")]).await?;
    t.holds(&id, &[(1, "a"), (2, "B"), (3, "c")]).await?;
    t.replies(&id, &[]).await?;
    t.no_reply(&id, 2).await?;
    t.refuses(&id, extension(2, CLAIM, 3, &["x"]), ExtendOutcome::Ended, "an extension").await?;
    let ended = CommitOutcome::ReplyEnded { seq: 2 };
    ends(t, &id, head, vec![close(2, CLAIM, counts(3, 1), "x")], ended).await
}

pub(crate) async fn removing_messages_ends_their_replies(t: &mut Fixture) -> Checked {
    let id = session()?;
    let ops = (1..=6).map(|n| open(&n.to_string(), claim(n))).collect();
    let mut head = t.create(&id, ops).await?;
    for n in 1..=6 {
        t.extended(&id, n.into(), claim(n), 0, &["x", "y"]).await?;
    }
    for (first, last, left) in [(2, 3, &[1, 4, 5, 6][..]), (6, u64::MAX, &[1, 4, 5]), (0, 4, &[5])]
    {
        head = t.change(&id, head, vec![remove(first, last)]).await?;
        let left: Vec<_> =
            left.iter().map(|&n| (u64::from(n), claim(n), &["x", "y"][..], 0)).collect();
        t.replies(&id, &left).await?;
    }
    for seq in [1, 2, 3, 4, 6] {
        t.no_reply(&id, seq).await?;
        let ended = CommitOutcome::ReplyEnded { seq };
        let claim = claim(u8::try_from(seq).map_err(crate::Failure::new)?);
        ends(t, &id, head, vec![close(seq, claim, counts(2, 0), "x")], ended).await?;
    }
    ensure_eq!(t.page(&id, range(0, u64::MAX)).await?.rows, rows(&[(5, "5")]), "the messages left");
    Ok(())
}

pub(crate) async fn deleting_a_session_ends_its_replies(t: &mut Fixture) -> Checked {
    let (id, _) = grown(t).await?;
    t.store().delete(&id, durable_session::store::DeleteIf::Any).await?;
    t.no_reply(&id, 2).await?;
    t.refuses(&id, extension(2, CLAIM, 3, &["x"]), ExtendOutcome::Ended, "an extension").await?;
    let head = t.create(&id, vec![append("new"), append("newer")]).await?;
    t.replies(&id, &[]).await?;
    t.no_reply(&id, 2).await?;
    t.refuses(&id, extension(2, CLAIM, 3, &["x"]), ExtendOutcome::Ended, "an extension").await?;
    t.change(&id, head, vec![open_again(2, "open", CLAIM)]).await?;
    t.replies(&id, &[(2, CLAIM, &[], 0)]).await?;
    t.extended(&id, 2, CLAIM, 0, &["new"]).await?;
    t.replies(&id, &[(2, CLAIM, &["new"], 0)]).await?;
    Ok(())
}

pub(crate) async fn an_ended_reply_stays_ended_after_reopening(t: &mut Fixture) -> Checked {
    let id = session()?;
    let ops: Vec<Op> = (1..=5).map(|n| open("open", claim(n))).collect();
    let head = t.create(&id, ops).await?;
    for n in 1..=5 {
        t.extended(&id, n.into(), claim(n), 0, &["x", "y"]).await?;
    }
    t.reopen().await?;
    let head = t.change(&id, head, vec![close(1, claim(1), counts(2, 0), "A")]).await?;
    let head = t.change(&id, head, vec![replace(2, "B")]).await?;
    let head = t.change(&id, head, vec![remove(3, 3)]).await?;
    let head = t.change(&id, head, vec![append("f")]).await?;
    let before = t.everything(&id).await?;
    t.reopen().await?;
    ensure_eq!(t.everything(&id).await?, before, "the session after reopening");
    ensure_eq!(t.all(&id).await?.head, head, "the head after reopening");
    t.replies(&id, &[(4, claim(4), &["x", "y"], 0), (5, claim(5), &["x", "y"], 0)]).await?;
    for seq in 1..=3 {
        t.no_reply(&id, seq).await?;
    }
    Ok(())
}

pub(crate) async fn a_crash_does_not_undo_an_acknowledged_close(t: &mut Fixture) -> Checked {
    let (id, head) = grown(t).await?;
    t.change(&id, head, vec![close(2, CLAIM, counts(3, 1), "B"), set_app("after")]).await?;
    let before = t.everything(&id).await?;
    t.crash_and_reopen().await?;
    ensure_eq!(t.everything(&id).await?, before, "a closed reply after a crash");
    t.no_reply(&id, 2).await?;
    t.refuses(&id, extension(2, CLAIM, 3, &["x"]), ExtendOutcome::Ended, "an extension").await
}

pub(crate) async fn a_crash_leaves_no_half_close(t: &mut Fixture) -> Checked {
    for round in 0..8 {
        let id = id(&format!("session-{round}"))?;
        let head = t.create(&id, vec![open("a", CLAIM), set_app("before")]).await?;
        t.extended(&id, 1, CLAIM, 0, &["x", "y"]).await?;
        let ops = vec![close(1, CLAIM, counts(2, 0), "A"), set_app("after")];
        if let Some(outcome) = crate::dropped::polled_once(t.store().commit(&id, on(head, ops))) {
            ensure!(matches!(outcome?, CommitOutcome::Committed(_)), "a valid close was refused");
        }
        for _ in 0..round {
            crate::fixture::yield_now().await;
        }
        t.crash_and_reopen().await?;
        if t.all(&id).await?.app == "after" {
            t.holds(&id, &[(1, "A")]).await?;
            t.no_reply(&id, 1).await?;
        } else {
            t.holds(&id, &[(1, "a")]).await?;
            t.replies(&id, &[(1, CLAIM, &["x", "y"], 0)]).await?;
        }
    }
    Ok(())
}
