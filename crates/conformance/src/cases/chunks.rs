//! A reply grows by chunks, in order and each once, and nothing else changes (S10).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{
    Checked, EVERYTHING, Fixture, append, appends, body, id, on, remove, replace, session, set_app,
};
use crate::replying::{CLAIM, OTHER, claim, close, counts, extension, open, open_again};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    ChunkQuery, Claim, CommitOutcome, DeleteIf, ExtendOutcome, Extension, LoadOutcome, LoadQuery,
    Op, StoreLimits,
};
use futures_util::future::join_all;

/// A session of two messages; the second has an open reply with these chunks, one per extension.
async fn reply(t: &Fixture, texts: &[&str]) -> Checked<SessionId> {
    let id = session()?;
    t.create(&id, vec![append("a"), open("b", CLAIM)]).await?;
    t.extended_one_by_one(&id, 2, CLAIM, 0, texts).await?;
    Ok(id)
}

pub(crate) async fn an_extension_adds_chunks_in_order(t: &mut Fixture) -> Checked {
    let id = reply(t, &[]).await?;
    ensure_eq!(
        t.extended(&id, 2, CLAIM, 0, &["one"]).await?,
        counts(1, 0),
        "the counts of one chunk"
    );
    let three = t.extended(&id, 2, CLAIM, 1, &["two", "three"]).await?;
    ensure_eq!(three, counts(3, 0), "the counts of three chunks");
    t.replies(&id, &[(2, CLAIM, &["one", "two", "three"], 0)]).await?;
    t.extended(&id, 2, CLAIM, 3, &["four"]).await?;
    t.replies(&id, &[(2, CLAIM, &["one", "two", "three", "four"], 0)]).await?;
    Ok(())
}

pub(crate) async fn an_extension_sent_again_is_skipped(t: &mut Fixture) -> Checked {
    let id = reply(t, &[]).await?;
    t.extended(&id, 2, CLAIM, 0, &["a", "b"]).await?;
    t.extended(&id, 2, CLAIM, 2, &["c"]).await?;
    let here = ExtendOutcome::Extended(counts(3, 0));
    for (offset, texts) in [
        (0, &["a", "b"][..]),
        (2, &["c"]),
        (0, &["a"]),
        (1, &["b", "c"]),
        (0, &["a", "b", "c"]),
        // Known chunks are skipped without being compared.
        (0, &["x", "y"]),
    ] {
        t.refuses(&id, extension(2, CLAIM, offset, texts), here, "an extension sent again").await?;
    }
    let grown = t.extended(&id, 2, CLAIM, 1, &["b", "c", "d", "e"]).await?;
    ensure_eq!(grown, counts(5, 0), "the counts after an extension that was partly new");
    t.replies(&id, &[(2, CLAIM, &["a", "b", "c", "d", "e"], 0)]).await?;
    Ok(())
}

pub(crate) async fn an_extension_beyond_the_end_is_refused_as_a_gap(t: &mut Fixture) -> Checked {
    let id = reply(t, &[]).await?;
    for offset in [1, 2, u64::MAX] {
        let gap = ExtendOutcome::Gap(counts(0, 0));
        t.refuses(&id, extension(2, CLAIM, offset, &["x"]), gap, "an extension beyond no chunks")
            .await?;
    }
    t.extended(&id, 2, CLAIM, 0, &["a", "b"]).await?;
    t.extended(&id, 2, CLAIM, 0, &[]).await?;
    for offset in [3, 4, u64::MAX] {
        let gap = ExtendOutcome::Gap(counts(2, 1));
        t.refuses(
            &id,
            extension(2, CLAIM, offset, &["x", "y"]),
            gap,
            "an extension beyond the end",
        )
        .await?;
    }
    t.extended(&id, 2, CLAIM, 2, &["c"]).await?;
    t.replies(&id, &[(2, CLAIM, &["a", "b", "c"], 1)]).await?;
    Ok(())
}

pub(crate) async fn a_reply_is_extended_only_under_its_own_claim(t: &mut Fixture) -> Checked {
    let id = reply(t, &["x"]).await?;
    let head = t.all(&id).await?.head;
    t.change(&id, head, vec![open("c", OTHER)]).await?;
    let mut bytes = CLAIM.to_bytes();
    bytes[0] ^= 1;
    for stranger in [OTHER, claim(9), Claim::from_bytes(bytes)] {
        for texts in [&["x"][..], &["x", "y"], &[]] {
            for offset in [0, 1] {
                let extension = extension(2, stranger, offset, texts);
                t.refuses(&id, extension, ExtendOutcome::Ended, "an extension under another claim")
                    .await?;
            }
        }
    }
    t.replies(&id, &[(2, CLAIM, &["x"], 0), (3, OTHER, &[], 0)]).await?;
    Ok(())
}

pub(crate) async fn extending_a_reply_that_is_not_open_answers_ended(t: &mut Fixture) -> Checked {
    let id = session()?;
    let ops =
        vec![append("a"), open("b", CLAIM), open("c", CLAIM), open("d", CLAIM), open("e", CLAIM)];
    let head = t.create(&id, ops).await?;
    for seq in 2..=5 {
        t.extended(&id, seq, CLAIM, 0, &["x"]).await?;
    }
    let ops = vec![
        close(2, CLAIM, counts(1, 0), "B"),
        replace(3, "C"),
        remove(4, 4),
        open_again(5, "E", OTHER),
        append("f"),
    ];
    t.change(&id, head, ops).await?;
    let absent = crate::fixture::id("absent")?;
    let places = [
        (&id, 1),
        (&id, 2),
        (&id, 3),
        (&id, 4),
        (&id, 5),
        (&id, 6),
        (&id, 7),
        (&id, 0),
        (&absent, 2),
    ];
    for (id, seq) in places {
        for extension in [extension(seq, CLAIM, 0, &["x"]), extension(seq, CLAIM, 1, &["y"])] {
            t.refuses(id, extension, ExtendOutcome::Ended, "an extension of no open reply").await?;
        }
        t.refuses(id, Extension::beat(seq, CLAIM), ExtendOutcome::Ended, "a beat of no open reply")
            .await?;
    }
    ensure!(t.maybe_all(&absent).await?.is_none(), "an extension created a session");
    Ok(())
}

pub(crate) async fn a_beat_changes_only_the_count_of_beats(t: &mut Fixture) -> Checked {
    let id = reply(t, &["x", "y"]).await?;
    let before = t.all(&id).await?;
    for beats in 1..=3 {
        // The offset of a beat is ignored.
        let beat = Extension::new(
            2,
            CLAIM,
            [0, 2, u64::MAX][usize::try_from(beats - 1).unwrap_or(0)],
            vec![],
        );
        let outcome = t.store().extend(&id, beat).await?;
        ensure_eq!(outcome, ExtendOutcome::Extended(counts(2, beats)), "beat {beats}");
    }
    let loaded = t.replies(&id, &[(2, CLAIM, &["x", "y"], 3)]).await?;
    ensure_eq!(loaded.head, before.head, "the head after beats");
    t.extended(&id, 2, CLAIM, 2, &["z"]).await?;
    t.replies(&id, &[(2, CLAIM, &["x", "y", "z"], 3)]).await?;
    Ok(())
}

pub(crate) async fn an_extension_makes_no_version_and_moves_no_time(t: &mut Fixture) -> Checked {
    let id = reply(t, &[]).await?;
    let head = t.all(&id).await?.head;
    let head = t.change(&id, head, vec![set_app("{}")]).await?;
    let before = t.all(&id).await?;
    for n in 0..3 {
        t.extended(&id, 2, CLAIM, n, &["x"]).await?;
        t.extended(&id, 2, CLAIM, 0, &[]).await?;
        let mut after = t.all(&id).await?;
        after.replies.clone_from(&before.replies);
        ensure_eq!(after, before, "all but the reply after it grew");
    }
    let known = t.store().load(&id, LoadQuery::new(EVERYTHING).unless(head.version)).await?;
    if let LoadOutcome::Loaded(loaded) = known {
        ensure_eq!(loaded.head, head, "the head loaded beside a version that is known");
    }
    Ok(())
}

pub(crate) async fn an_extension_makes_no_commit_conflict(t: &mut Fixture) -> Checked {
    let id = reply(t, &[]).await?;
    let mut head = t.all(&id).await?.head;
    let changes = [appends(["c"]), vec![set_app("{}")], vec![replace(1, "A")], vec![remove(3, 3)]];
    for (n, ops) in (0..).zip(changes) {
        t.extended(&id, 2, CLAIM, n, &[&n.to_string()]).await?;
        head = t.change(&id, head, ops).await?;
    }
    let loaded = t.replies(&id, &[(2, CLAIM, &["0", "1", "2", "3"], 0)]).await?;
    ensure_eq!(loaded.head, head, "the stored head");
    t.holds(&id, &[(1, "A"), (2, "b")]).await?;
    Ok(())
}

pub(crate) async fn chunks_keep_any_bytes(t: &mut Fixture) -> Checked {
    let id = reply(t, &[]).await?;
    let limits = t.store().limits();
    // Small enough for a store with low limits.
    let room = limits.max_body_bytes.saturating_sub(StoreLimits::REPLY_RESERVE);
    let size = limits.max_commit_bytes.min(room).min(70_000).saturating_sub(300);
    let large: Bytes =
        (0..size).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    let chunks = [
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::new(),
        Bytes::from_static(b"a\0b\n\r\n"),
        Bytes::from_static(b"\xff\xfe\xc3\x28"),
        large,
        (0..=255_u8).collect(),
        Bytes::new(),
    ];
    for (offset, chunk) in (0..).zip(&chunks[..4]) {
        let outcome =
            t.store().extend(&id, Extension::new(2, CLAIM, offset, vec![chunk.clone()])).await?;
        ensure_eq!(outcome, ExtendOutcome::Extended(counts(offset + 1, 0)), "a chunk of any bytes");
    }
    t.store().extend(&id, Extension::new(2, CLAIM, 4, chunks[4..].to_vec())).await?;
    let page = t.chunks(&id, ChunkQuery::from(2, 0)).await?;
    ensure!(page.chunks == chunks, "chunks came back changed");
    let bytes: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    ensure_eq!(
        (page.reply.counts, page.reply.bytes),
        (counts(8, 0), bytes),
        "the counts and bytes of all"
    );
    Ok(())
}

/// Extensions of one, two and three chunks, with chunks of none to five bytes.
const STAIRS: [&[&str]; 4] = [&["a", "bb"], &["ccc"], &["", "dddd"], &["eeeee"]];

pub(crate) async fn chunks_are_read_by_offset_and_within_bounds(t: &mut Fixture) -> Checked {
    let id = reply(t, &[]).await?;
    let mut all = Vec::new();
    for texts in STAIRS {
        t.extended(&id, 2, CLAIM, all.len() as u64, texts).await?;
        all.extend_from_slice(texts);
    }
    let from = |offset| ChunkQuery::from(2, offset);
    let expectations = [
        (from(0), 0..6, false),
        (from(1), 1..6, false),
        (from(3), 3..6, false),
        (from(5), 5..6, false),
        (from(6), 6..6, false),
        (from(7), 6..6, false),
        (from(u64::MAX), 6..6, false),
        (from(0).max_chunks(1), 0..1, true),
        (from(0).max_chunks(0), 0..1, true),
        (from(1).max_chunks(2), 1..3, true),
        (from(1).max_chunks(5), 1..6, false),
        (from(5).max_chunks(1), 5..6, false),
        (from(6).max_chunks(1), 6..6, false),
        (from(0).max_bytes(2), 0..1, true),
        (from(0).max_bytes(3), 0..2, true),
        (from(0).max_bytes(6), 0..4, true),
        (from(0).max_bytes(10), 0..5, true),
        (from(0).max_bytes(15), 0..6, false),
        (from(1).max_bytes(0), 1..2, true),
        (from(4).max_bytes(0), 4..5, true),
        (from(5).max_bytes(0), 5..6, false),
        (from(3).max_bytes(0), 3..4, true),
        (from(1).max_chunks(4).max_bytes(5), 1..4, true),
        (from(1).max_chunks(2).max_bytes(50), 1..3, true),
    ];
    for (query, range, more) in expectations {
        let page = t.chunks(&id, query).await?;
        let expected: Vec<_> = all[range].iter().map(|text| body(text)).collect();
        ensure_eq!(page.chunks, expected, "the chunks of {query:?}");
        ensure_eq!(page.more, more, "whether there are more chunks than those of {query:?}");
        ensure_eq!(page.reply.counts, counts(6, 0), "the counts of the reply beside {query:?}");
    }
    Ok(())
}

pub(crate) async fn consecutive_pages_of_chunks_are_the_whole_reply(t: &mut Fixture) -> Checked {
    let id = reply(t, &[]).await?;
    let mut all: Vec<Bytes> = Vec::new();
    for n in 0..120_usize {
        let chunks: Vec<_> = (0..=n % 4).map(|m| body(&"x".repeat((n * 7 + m) % 50))).collect();
        let extension = Extension::new(2, CLAIM, all.len() as u64, chunks.clone());
        all.extend(chunks);
        let outcome = t.store().extend(&id, extension).await?;
        ensure_eq!(outcome, ExtendOutcome::Extended(counts(all.len() as u64, 0)), "extension {n}");
    }
    for bounds in [
        ChunkQuery::from(2, 0).max_chunks(7),
        ChunkQuery::from(2, 0).max_bytes(70),
        ChunkQuery::from(2, 0).max_chunks(5).max_bytes(120),
        ChunkQuery::from(2, 0),
    ] {
        let mut query = bounds;
        let mut found = Vec::new();
        loop {
            let page = t.chunks(&id, query).await?;
            ensure!(
                page.chunks.len() <= query.max_chunks,
                "a page with {query:?} has {}",
                page.chunks.len()
            );
            let bytes: u64 = page.chunks.iter().map(|chunk| chunk.len() as u64).sum();
            let fits = page.chunks.len() == 1 || bytes <= query.max_bytes;
            ensure!(fits, "a page with {query:?} has {bytes} bytes");
            ensure!(
                !page.more || !page.chunks.is_empty(),
                "a page without chunks says that there are more"
            );
            found.extend(page.chunks);
            ensure!(
                found.len() <= all.len(),
                "pages with {bounds:?} have more chunks than the reply"
            );
            query.offset = found.len() as u64;
            if !page.more {
                break;
            }
        }
        ensure!(
            found == all,
            "the pages with {bounds:?} put together are not the chunks of the reply"
        );
    }
    Ok(())
}

pub(crate) async fn chunks_are_readable_only_while_their_reply_is_open(t: &mut Fixture) -> Checked {
    let id = session()?;
    let ops: Vec<Op> =
        (1..=6).map(|n| if n == 1 { append("a") } else { open("b", CLAIM) }).collect();
    let head = t.create(&id, ops).await?;
    for seq in 2..=6 {
        t.extended(&id, seq, CLAIM, 0, &["x", "y"]).await?;
    }
    let ops = vec![
        close(2, CLAIM, counts(2, 0), "B"),
        replace(3, "C"),
        remove(4, 4),
        open_again(5, "", OTHER),
    ];
    t.change(&id, head, ops).await?;
    for seq in [0, 1, 2, 3, 4, 7, u64::MAX] {
        t.no_reply(&id, seq).await?;
    }
    t.no_reply(&crate::fixture::id("absent")?, 2).await?;
    t.replies(&id, &[(5, OTHER, &[], 0), (6, CLAIM, &["x", "y"], 0)]).await?;
    t.store().delete(&id, DeleteIf::Any).await?;
    for seq in 1..=6 {
        t.no_reply(&id, seq).await?;
    }
    Ok(())
}

pub(crate) async fn an_extension_that_was_never_polled_changes_nothing(t: &mut Fixture) -> Checked {
    let id = reply(t, &["x"]).await?;
    let store = t.store();
    drop(store.extend(&id, extension(2, CLAIM, 1, &["y"])));
    drop(store.extend(&id, Extension::beat(2, CLAIM)));
    t.replies(&id, &[(2, CLAIM, &["x"], 0)]).await?;
    Ok(())
}

pub(crate) async fn concurrent_extensions_add_each_chunk_once(t: &mut Fixture) -> Checked {
    let id = reply(t, &[]).await?;
    let store = t.store();
    let mut texts: Vec<String> = Vec::new();
    for round in 0..12_u64 {
        let text = format!("round {round}");
        // The same extension four times, as sent by a producer without an answer.
        let same = (0..4).map(|_| store.extend(&id, extension(2, CLAIM, round, &[&text])));
        for outcome in join_all(same).await {
            let expected = ExtendOutcome::Extended(counts(round + 1, 0));
            ensure_eq!(outcome?, expected, "one of four equal extensions");
        }
        texts.push(text);
    }
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    t.replies(&id, &[(2, CLAIM, &texts, 0)]).await?;
    Ok(())
}

pub(crate) async fn concurrent_extensions_are_ordered(t: &mut Fixture) -> Checked {
    for round in 0..10 {
        let id = id(&format!("session-{round}"))?;
        t.create(&id, vec![open("a", CLAIM)]).await?;
        let store = t.store();
        // Different texts at the same offset: one of them is stored, and the others are skipped.
        let texts: Vec<_> = (0..4).map(|n| format!("text {n}")).collect();
        let all = texts.iter().map(|text| store.extend(&id, extension(1, CLAIM, 0, &[text])));
        for outcome in join_all(all).await {
            ensure_eq!(
                outcome?,
                ExtendOutcome::Extended(counts(1, 0)),
                "an extension among others"
            );
        }
        let chunks = t.chunks(&id, ChunkQuery::from(1, 0)).await?.chunks;
        ensure_eq!(chunks.len(), 1, "the number of chunks that were added at one offset");
        ensure!(
            texts.iter().any(|text| chunks[0] == text.as_bytes()),
            "the stored chunk is of none of the extensions"
        );
        let head = t.all(&id).await?.head;
        let outcome = store.commit(&id, on(head, vec![close(1, CLAIM, counts(1, 0), "A")])).await?;
        ensure!(
            matches!(outcome, CommitOutcome::Committed(_)),
            "a close with the current counts was refused"
        );
    }
    Ok(())
}
