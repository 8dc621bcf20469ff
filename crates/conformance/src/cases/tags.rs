//! A load returns the tags of the last messages, large or small (C7).

use crate::failure::ensure_eq;
use crate::fixture::{Checked, Fixture, body, remove, session, set_app};
use crate::replying::{CLAIM, FORMAT, counts};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Head, IdTag, NewMessage, Op, ReplyOpening, Row, TAGGED_MESSAGES, Tagged, TailBounds,
};

/// Small and large bodies in turn: a store may keep large ones elsewhere.
const LENGTHS: [usize; 5] = [6000, 10, 9000, 0, 4096];

/// The tag of message `n`. Every seventh has none.
fn tag(n: u64) -> IdTag {
    match n % 7 {
        0 => IdTag::NONE,
        // A tag may be any 64 bits.
        1 => IdTag::from_bits(u64::MAX - n),
        2 => IdTag::from_bits(n + 2),
        _ => IdTag::of(&format!("message-{n}")),
    }
}

fn large_or_small(n: u64) -> Bytes {
    let length = LENGTHS[usize::try_from(n).unwrap_or(0) % LENGTHS.len()];
    vec![b'x'; length].into()
}

fn tagged(n: u64) -> NewMessage {
    NewMessage::tagged(large_or_small(n), tag(n))
}

/// Checks that loads with any bounds return the last ones of `tags`.
async fn brings(t: &Fixture, id: &SessionId, tags: &[Tagged]) -> Checked {
    let expected = &tags[tags.len().saturating_sub(TAGGED_MESSAGES)..];
    for bounds in
        [TailBounds::new(1, 1), TailBounds::new(1000, u64::MAX), TailBounds::new(3, 30_000)]
    {
        let loaded = t.load(id, bounds).await?;
        let found = loaded.map(|loaded| loaded.tags).unwrap_or_default();
        ensure_eq!(found, expected, "the tags that a load with {bounds:?} brings");
    }
    Ok(())
}

/// A session of `messages` messages, and their tags.
async fn session_of(t: &Fixture, id: &SessionId, messages: u64) -> Checked<(Head, Vec<Tagged>)> {
    let mut head = t.create(id, vec![Op::Append(tagged(1)), set_app("{}")]).await?;
    let mut next = 2;
    while next <= messages {
        let last = (next + 4).min(messages);
        head = t.change(id, head, (next..=last).map(|n| Op::Append(tagged(n))).collect()).await?;
        next = last + 1;
    }
    Ok((head, (1..=messages).map(|seq| Tagged { seq, tag: tag(seq) }).collect()))
}

pub(crate) async fn a_load_brings_the_tags_of_the_last_messages_whatever_their_size(
    t: &mut Fixture,
) -> Checked {
    let id = session()?;
    let mut head = t.create(&id, Vec::new()).await?;
    let mut tags = Vec::new();
    brings(t, &id, &tags).await?;
    for n in 1..=100 {
        head = t.change(&id, head, vec![Op::Append(tagged(n))]).await?;
        tags.push(Tagged { seq: n, tag: tag(n) });
        if matches!(n, 1 | 5 | 63..=66 | 100) {
            brings(t, &id, &tags).await?;
        }
    }
    let tail = t.load(&id, TailBounds::new(1, 1)).await?.map(|loaded| loaded.tail);
    ensure_eq!(
        tail,
        Some(vec![Row { seq: 100, body: large_or_small(100) }]),
        "the tail beside the tags"
    );
    Ok(())
}

pub(crate) async fn every_message_of_a_commit_is_tagged(t: &mut Fixture) -> Checked {
    let id = session()?;
    // Most bodies are small, so that they fit into low limits.
    let message = |n| match n % 20 {
        0 => tagged(n),
        _ => NewMessage::tagged(body("small"), tag(n)),
    };
    let messages = u64::try_from(t.store().limits().max_commit_ops).map_or(80, |most| most.min(80));
    t.create(&id, (1..=messages).map(|n| Op::Append(message(n))).collect()).await?;
    let tags: Vec<_> = (1..=messages).map(|seq| Tagged { seq, tag: tag(seq) }).collect();
    brings(t, &id, &tags).await
}

pub(crate) async fn after_a_removal_the_tags_reach_further_back(t: &mut Fixture) -> Checked {
    let id = session()?;
    let (mut head, mut tags) = session_of(t, &id, 100).await?;
    for (first, last) in [(100, 100), (51, 52), (90, 120), (1, 3), (5, 80), (0, 1000)] {
        head = t.change(&id, head, vec![remove(first, last)]).await?;
        tags.retain(|tagged| tagged.seq < first || tagged.seq > last);
        brings(t, &id, &tags).await?;
    }
    for n in 101..=104 {
        head = t.change(&id, head, vec![Op::Append(tagged(n))]).await?;
        tags.push(Tagged { seq: n, tag: tag(n) });
    }
    brings(t, &id, &tags).await
}

pub(crate) async fn a_replaced_message_has_its_new_tag(t: &mut Fixture) -> Checked {
    let id = session()?;
    let (mut head, mut tags) = session_of(t, &id, 70).await?;
    // Large bodies become small and small ones large; some lose their tag and some get one.
    for (at, (seq, n, length)) in
        [(70, 701, 5), (69, 693, 9000), (66, 700, 9000), (65, 651, 9000), (64, 700, 0), (7, 71, 1)]
            .into_iter()
            .enumerate()
    {
        let new = NewMessage::tagged(vec![b'y'; length].into(), tag(n));
        let message = if at % 2 == 0 { new } else { new.opening(ReplyOpening::new(CLAIM, FORMAT)) };
        head = t.change(&id, head, vec![Op::Replace { seq, message }]).await?;
        tags[usize::try_from(seq - 1).unwrap_or(0)].tag = tag(n);
        brings(t, &id, &tags).await?;
    }
    let message = NewMessage::tagged(body("closed"), IdTag::of("closed"));
    let ops = vec![Op::Close { seq: 69, claim: CLAIM, counts: counts(0, 0), message }];
    t.change(&id, head, ops).await?;
    tags[68].tag = IdTag::of("closed");
    brings(t, &id, &tags).await
}

pub(crate) async fn tags_survive_reopening(t: &mut Fixture) -> Checked {
    let id = session()?;
    let (head, mut tags) = session_of(t, &id, 70).await?;
    t.reopen().await?;
    brings(t, &id, &tags).await?;
    let ops =
        vec![remove(65, 65), Op::Replace { seq: 64, message: tagged(200) }, Op::Append(tagged(71))];
    let head = t.change(&id, head, ops).await?;
    let next = Tagged { seq: 71, tag: tag(71) };
    tags.remove(64);
    tags[63].tag = tag(200);
    tags.push(next);
    t.reopen().await?;
    brings(t, &id, &tags).await?;
    t.change(&id, head, vec![remove(66, 71)]).await?;
    tags.retain(|tagged| tagged.seq < 66);
    brings(t, &id, &tags).await?;
    t.reopen().await?;
    brings(t, &id, &tags).await
}
