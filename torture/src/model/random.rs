//! Changes by chance.

use super::{Change, Reply, Session, State};
use bytes::Bytes;
use durable_session::store::{
    Claim, Commit, DeleteIf, Expect, Extension, IdTag, Incarnation, Labels, NewMessage, Op,
    ReplyCounts, ReplyOpening, Version,
};
use fastrand::Rng;

/// The owners of the sessions; some sessions have none.
pub(crate) const OWNERS: [&str; 3] = ["owner-a", "owner-b", "ö"];

const FORMATS: [&str; 4] =
    ["text", "json", "é", "a-name-of-the-longest-kind-that-a-format-of-chunks-can-have-.64b"];

/// A body that says where it belongs, of any length up to some kilobytes; rarely an empty one.
fn body(rng: &mut Rng, name: &str) -> Bytes {
    if rng.u8(0..64) == 0 {
        return Bytes::new();
    }
    let longest = if rng.u8(..) < 16 { 6_000 } else { 300 };
    let mut text = format!("{name} {:016x} ", rng.u64(..));
    let length = rng.usize(0..longest);
    text.extend((0..length).map(|_| char::from(rng.u8(b'a'..=b'z'))));
    text.into()
}

/// A chunk; now and then an empty one.
fn chunk(rng: &mut Rng, name: &str) -> Bytes {
    match rng.u8(0..32) {
        0 => Bytes::new(),
        1 => body(rng, name),
        _ => short(rng, name),
    }
}

fn short(rng: &mut Rng, name: &str) -> Bytes {
    format!("{name} {:016x} ", rng.u64(..)).into()
}

fn message(rng: &mut Rng, name: &str) -> NewMessage {
    let message = match rng.u8(0..4) {
        // Few ids, so that tags repeat.
        0 => NewMessage::tagged(body(rng, name), IdTag::of(&format!("m-{}", rng.u8(0..9)))),
        1 => NewMessage::tagged(body(rng, name), IdTag::from_bits(rng.u64(..))),
        _ => NewMessage::plain(body(rng, name)),
    };
    if rng.u8(0..4) == 0 { message.opening(opening(rng)) } else { message }
}

fn opening(rng: &mut Rng) -> ReplyOpening {
    ReplyOpening::new(claim(rng), *rng.choice(FORMATS.iter()).unwrap_or(&"text"))
}

fn claim(rng: &mut Rng) -> Claim {
    let mut bytes = [0; 32];
    rng.fill(&mut bytes);
    Claim::from_bytes(bytes)
}

fn labels(rng: &mut Rng, name: &str) -> Labels {
    let labels = match rng.choice(OWNERS.iter()) {
        Some(owner) if rng.u8(0..4) > 0 => Labels::owner(owner),
        _ => Labels::NONE,
    };
    if rng.bool() { labels.title(format!("{name} {:04x}", rng.u16(..))) } else { labels }
}

fn any_seq(rng: &mut Rng, session: &Session) -> Option<u64> {
    rng.choice(session.rows.keys()).copied()
}

fn any_reply<'a>(rng: &mut Rng, session: &'a Session) -> Option<(u64, &'a Reply)> {
    rng.choice(session.replies.iter()).map(|(&seq, reply)| (seq, reply))
}

/// A commit that fits `state`.
pub(crate) fn any_commit(rng: &mut Rng, state: &State, name: &str, at: u64) -> Commit {
    let append = |rng: &mut Rng| Op::Append(message(rng, name));
    let mut ops = Vec::new();
    let expect = match state.as_ref().and_then(|session| Some((session, session.version()?))) {
        Some((session, version)) => Expect::Version { version, next_seq: session.next_seq },
        None if rng.u8(0..4) == 0 => Expect::Absent {
            created_at: at,
            incarnation: Some(Incarnation::from_bytes(rng.u128(..).to_le_bytes())),
        },
        None => Expect::absent(at),
    };
    let session = state.as_ref();
    let seq = session.and_then(|session| any_seq(rng, session));
    let reply = session.and_then(|session| any_reply(rng, session));
    match (rng.u8(0..20), seq) {
        (0, Some(seq)) => ops.push(Op::Replace { seq, message: message(rng, name) }),
        (1, Some(first)) => ops.push(Op::Remove { first, last: first + rng.u64(0..3) }),
        (2, _) => ops.push(Op::SetApp(body(rng, name))),
        (3, Some(_)) => {
            // A turn: all kinds of changes, whole or not at all.
            ops.push(append(rng));
            ops.push(Op::SetApp(body(rng, name)));
            let last =
                session.and_then(|session| session.rows.keys().next_back().copied()).unwrap_or(1);
            ops.push(Op::Replace { seq: last, message: message(rng, name) });
            ops.push(append(rng));
        }
        (4, _) => {}
        (5, _) => ops.push(Op::SetLabels(labels(rng, name))),
        (6, _) => {
            ops.push(append(rng));
            ops.push(Op::SetLabels(labels(rng, name)));
        }
        (7, _) => {
            // Opened and closed in one commit: there is nothing to see of it but its content.
            let (seq, opens) = (session.map_or(1, |session| session.next_seq), opening(rng));
            let claim = opens.claim;
            ops.push(Op::Append(NewMessage::plain(body(rng, name)).opening(opens)));
            let counts = ReplyCounts::default();
            ops.push(Op::Close { seq, claim, counts, message: message(rng, name) });
        }
        (8, _) if rng.u8(0..8) == 0 => {
            // More than a load brings the tags of.
            ops.extend(
                (0..70)
                    .map(|n| Op::Append(NewMessage::tagged(short(rng, name), IdTag::from_bits(n)))),
            );
        }
        (9..14, _) if reply.is_some() => {
            let Some((seq, reply)) = reply else { return Commit::new(expect, ops, at) };
            if rng.u8(0..4) == 0 {
                ops.push(append(rng));
            }
            let (claim, counts) = (reply.claim, reply.counts());
            ops.push(Op::Close { seq, claim, counts, message: message(rng, name) });
        }
        _ => (0..=rng.usize(0..3)).for_each(|_| ops.push(append(rng))),
    }
    Commit::new(expect, ops, at)
}

/// A change that is made: something is written.
pub(crate) fn any_change(rng: &mut Rng, state: &State, name: &str, at: u64) -> Change {
    let reply = state.as_ref().and_then(|session| any_reply(rng, session));
    match (rng.u8(0..24), reply, state) {
        (0, _, Some(_)) => Change::Delete(DeleteIf::Any),
        (1, Some((seq, reply)), _) => Change::Extend(Extension::beat(seq, reply.claim)),
        (2..11, Some((seq, reply)), _) => Change::Extend(extension(rng, name, seq, reply, true)),
        _ => Change::Commit(any_commit(rng, state, name, at)),
    }
}

/// Chunks behind the reply's own; sometimes its own come again, and then with any content.
fn extension(rng: &mut Rng, name: &str, seq: u64, reply: &Reply, news: bool) -> Extension {
    let has = reply.chunks.len();
    let mut chunks = Vec::new();
    if has > 0 && (!news || rng.u8(0..4) == 0) {
        let again = rng.usize(1..=has.min(5));
        chunks.extend_from_slice(&reply.chunks[has - again..]);
        if rng.u8(0..4) == 0 {
            chunks[0] = chunk(rng, name);
        }
    }
    let offset = (has - chunks.len()) as u64;
    if news {
        (0..=rng.usize(0..4)).for_each(|_| chunks.push(chunk(rng, name)));
    }
    Extension::new(seq, reply.claim, offset, chunks)
}

/// A change that does not fit, so that nothing changes; `state` is known to a store.
pub(crate) fn refused_change(rng: &mut Rng, state: &State, name: &str, at: u64) -> Change {
    let commit = any_commit(rng, state, name, at);
    let reply = state.as_ref().and_then(|session| any_reply(rng, session));
    let seq = state.as_ref().map_or(1, |session| session.next_seq + rng.u64(0..3));
    match (rng.u8(0..12), reply, state) {
        (0, _, _) => {
            Change::Delete(DeleteIf::Version(Version::new(Incarnation::from_bytes([8; 16]), 2)))
        }
        (1, _, Some(_)) => expecting(commit, Expect::absent(at)),
        (2, _, Some(session)) => {
            // The right version, and not the seq that goes with it.
            let expect =
                session.version().map(|version| Expect::Version { version, next_seq: seq + 1 });
            let expect = expect.unwrap_or(commit.expect);
            expecting(commit, expect)
        }
        (3, _, _) => {
            let version = Version::new(Incarnation::from_bytes([9; 16]), 3);
            expecting(commit, Expect::Version { version, next_seq: 1 })
        }
        (4, _, Some(_)) => {
            and_then(commit, Op::Replace { seq: seq + 99, message: message(rng, name) })
        }
        (5, Some((seq, _)), _) => {
            let chunks = vec![chunk(rng, name)];
            let other = claim(rng);
            Change::Extend(if rng.bool() {
                Extension::new(seq, other, 0, chunks)
            } else {
                Extension::beat(seq, other)
            })
        }
        (6, Some((seq, reply)), _) => {
            let offset = reply.chunks.len() as u64 + rng.u64(1..4);
            Change::Extend(Extension::new(seq, reply.claim, offset, vec![chunk(rng, name)]))
        }
        (7, Some((seq, reply)), _) if !reply.chunks.is_empty() => {
            // Not refused, but there is nothing new in it.
            Change::Extend(extension(rng, name, seq, reply, false))
        }
        (8 | 9, Some((seq, reply)), _) => {
            let ReplyCounts { chunks, beats } = reply.counts();
            let counts = match rng.u8(0..3) {
                0 => ReplyCounts { chunks: chunks + 1, beats },
                1 => ReplyCounts { chunks, beats: beats + 1 },
                _ => ReplyCounts {
                    chunks: chunks.saturating_sub(1),
                    beats: beats + u64::from(chunks == 0),
                },
            };
            let close = Op::Close { seq, claim: reply.claim, counts, message: message(rng, name) };
            and_then(Commit::new(commit.expect, Vec::new(), at), close)
        }
        (10, Some((seq, reply)), _) => {
            // A message that is written in the commit ends the reply before it can be closed.
            let (claim, counts) = (reply.claim, reply.counts());
            let replace = Op::Replace { seq, message: NewMessage::plain(body(rng, name)) };
            let close = Op::Close { seq, claim, counts, message: message(rng, name) };
            and_then(Commit::new(commit.expect, vec![replace], at), close)
        }
        (11, _, _) => Change::Extend(Extension::new(seq, claim(rng), 0, vec![chunk(rng, name)])),
        _ => {
            let (claim, counts) = (claim(rng), ReplyCounts::default());
            and_then(commit, Op::Close { seq, claim, counts, message: message(rng, name) })
        }
    }
}

fn and_then(mut commit: Commit, op: Op) -> Change {
    commit.ops.push(op);
    Change::Commit(commit)
}

fn expecting(mut commit: Commit, expect: Expect) -> Change {
    commit.expect = expect;
    Change::Commit(commit)
}
