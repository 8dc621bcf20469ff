//! Differences between a stored session and the expected one.

use super::{Chunk, Seen, Session, State};
use crate::verdict::{Broken, Kind};
use bytes::Bytes;
use durable_session::store::{OpenReply, Row};
use std::collections::BTreeMap;

/// How a stored session differs from `state`; all of it must have been seen.
pub(crate) fn compare(state: &State, seen: Option<&Seen>) -> Broken {
    match (state, seen) {
        (None, None) => Broken::default(),
        (None, Some(seen)) => {
            compare_rows(&BTreeMap::new(), &seen.loaded.tail).at_least_one(Kind::Ghosts).within(
                format_args!("there is a session, {:?}, where none should be", seen.loaded.head),
            )
        }
        (Some(session), None) => {
            compare_rows(&session.rows, &[]).at_least_one(Kind::Lost).within("the session is gone")
        }
        (Some(session), Some(seen)) => of_session(session, seen),
    }
}

fn of_session(session: &Session, seen: &Seen) -> Broken {
    let loaded = &seen.loaded;
    let mut broken = compare_rows(&session.rows, &loaded.tail);
    broken.join(compare_chunks(session, &seen.chunks));
    if broken.is_nothing() {
        broken = compare_replies(&session.open_replies(), &loaded.replies);
    }
    if !broken.is_nothing() {
        return broken;
    }
    let wrong = |what: &str| Broken::new(Kind::Wrong, 1, what);
    if let Err(difference) = session.check_head(&loaded.head) {
        wrong(&difference.to_string())
    } else if loaded.app != session.app {
        wrong("the app state is another one")
    } else if loaded.labels != session.labels {
        wrong("the labels are others")
    } else if loaded.tags != session.last_tags() {
        wrong(&format!("the tags are {:?}, not {:?}", loaded.tags, session.last_tags()))
    } else {
        Broken::default()
    }
}

/// How these rows differ from the expected ones. A row is known by seq and body.
pub(crate) fn compare_rows(rows: &BTreeMap<u64, Bytes>, are: &[Row]) -> Broken {
    let should: Vec<_> = rows.iter().map(|(seq, body)| (*seq, body)).collect();
    Broken::between(&should, &are.iter().map(|row| (row.seq, &row.body)).collect::<Vec<_>>())
}

/// How these chunks differ from the chunks of the replies that should be open.
pub(crate) fn compare_chunks(session: &Session, are: &[Chunk]) -> Broken {
    let should: Vec<_> = session
        .replies
        .iter()
        .flat_map(|(&seq, reply)| {
            (0..).zip(&reply.chunks).map(move |(offset, text)| known(seq, offset, text))
        })
        .collect();
    let are: Vec<_> = are.iter().map(|chunk| known(chunk.seq, chunk.offset, &chunk.text)).collect();
    Broken::between(&should, &are)
}

/// A chunk is known by its text: a chunk that is there twice or in another place is told from one
/// that nobody wrote. Short chunks, which repeat by chance, are known by their offset.
fn known(seq: u64, offset: u64, text: &Bytes) -> (u64, Option<u64>, &Bytes) {
    (seq, (text.len() < 16).then_some(offset), text)
}

fn compare_replies(should: &[OpenReply], are: &[OpenReply]) -> Broken {
    let seqs = |replies: &[OpenReply]| replies.iter().map(|reply| reply.seq).collect::<Vec<_>>();
    let broken = Broken::between(&seqs(should), &seqs(are)).within("of the open replies");
    if broken.is_nothing() && should != are {
        return Broken::new(
            Kind::Wrong,
            1,
            format!("the open replies are {are:?}, not {should:?}"),
        );
    }
    broken
}
