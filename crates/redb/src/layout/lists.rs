//! The table of lists: what finds sessions by something else than their ids.
//!
//! A key says all, and has no value. Each begins with a byte that tells the lists apart:
//!
//! ```text
//! of an owner, by id           'i' | owner length u16 | owner … | id …
//! of an owner, newest first    'n' | owner length u16 | owner … | 2⁶⁴ − 1 − changed_at u64 | id …
//! with an open reply           'r' | id …
//! ```
//!
//! Integers are big-endian, so that the order of the keys is that of the listing. The keys of a
//! session follow from its head and its replies, and are written in the same batch as these;
//! `verify` compares the two.

use crate::error::Fault;
use crate::memtable::Stage;
use crate::tables::{Lists, Name};
use crate::view::View;
use durable_session::SessionId;
use durable_session::store::{Head, Labels, Order};

const BY_ID: u8 = b'i';
const NEWEST_FIRST: u8 = b'n';
const OPEN_REPLIES: u8 = b'r';

/// The beginning of the keys of an owner's sessions by id.
pub(super) fn owner_by_id(owner: &str) -> Vec<u8> {
    of_owner(BY_ID, owner)
}

/// The beginning of the keys of an owner's sessions, newest first.
pub(super) fn owner_newest_first(owner: &str) -> Vec<u8> {
    of_owner(NEWEST_FIRST, owner)
}

/// The beginning of the keys of the sessions with an open reply.
pub(super) fn open_replies() -> Vec<u8> {
    vec![OPEN_REPLIES]
}

fn of_owner(list: u8, owner: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + 2 + owner.len() + 8 + durable_session::MAX_ID_BYTES);
    key.push(list);
    // An owner has at most 256 bytes, or nothing is found under it.
    let length = u16::try_from(owner.len()).unwrap_or(u16::MAX);
    key.extend_from_slice(&length.to_be_bytes());
    key.extend_from_slice(owner.as_bytes());
    key
}

/// What stands for the time between owner and id.
pub(super) fn newest_first(changed_at: u64) -> [u8; 8] {
    (!changed_at).to_be_bytes()
}

/// The keys under which a session with these labels is found.
pub(crate) fn keys_of_owner(id: &SessionId, labels: &Labels, changed_at: u64) -> Option<[Name; 2]> {
    let owner = labels.get_owner()?;
    let (mut by_id, mut newest) = (owner_by_id(owner), owner_newest_first(owner));
    by_id.extend_from_slice(id.as_str().as_bytes());
    newest.extend_from_slice(&newest_first(changed_at));
    newest.extend_from_slice(id.as_str().as_bytes());
    Some([by_id.into(), newest.into()])
}

/// The key under which a session with an open reply is found.
pub(crate) fn key_of_open_replies(id: &SessionId) -> Name {
    let mut key = open_replies();
    key.extend_from_slice(id.as_str().as_bytes());
    key.into()
}

/// Whether the key is one of this session's, whatever its owner is.
fn is_of(key: &[u8], id: &SessionId) -> bool {
    let before_id = match key {
        [BY_ID, a, b, ..] => 3 + usize::from(u16::from_be_bytes([*a, *b])),
        [NEWEST_FIRST, a, b, ..] => 3 + usize::from(u16::from_be_bytes([*a, *b])) + 8,
        [OPEN_REPLIES, ..] => 1,
        _ => return false,
    };
    key.get(before_id..) == Some(id.as_str().as_bytes())
}

/// Moves a session within the lists of owners: from where it was before a commit to where it is
/// now.
pub(super) fn list_owner(
    stage: &mut Stage,
    id: &SessionId,
    before: Option<(&Labels, &Head)>,
    now: Option<(&Labels, &Head)>,
) {
    let keys = |of: Option<(&Labels, &Head)>| {
        let keys = of.and_then(|(labels, head)| keys_of_owner(id, labels, head.changed_at));
        keys.into_iter().flatten().collect::<Vec<_>>()
    };
    let (before, now) = (keys(before), keys(now));
    for key in before.iter().filter(|key| !now.contains(key)) {
        stage.remove::<Lists>(key.clone(), key);
    }
    for key in now.into_iter().filter(|key| !before.contains(key)) {
        stage.put::<Lists>(key, |_| {});
    }
}

/// Puts a session into the list of those with open replies, or takes it out.
pub(super) fn list_open_replies(stage: &mut Stage, id: &SessionId, has_any: bool) {
    let key = key_of_open_replies(id);
    if has_any {
        stage.put::<Lists>(key, |_| {});
    } else {
        stage.remove::<Lists>(key.clone(), &key);
    }
}

/// All keys of a session whose head does not tell in which lists it is. Walks all lists: only for
/// damage.
pub(super) fn keys_by_scan(view: &View<'_>, id: &SessionId) -> Result<Vec<Name>, Fault> {
    let mut found = Vec::new();
    let mut lists = view.walk::<Lists>(.., Order::Forward);
    while let Some(entry) = lists.next()? {
        if is_of(&entry.key, id) {
            found.push(entry.key);
        }
    }
    Ok(found)
}

/// What a key of a list says: the session, and its time where the list has one.
pub(super) fn listed(key: &[u8], beginning: usize, has_time: bool) -> Option<(SessionId, u64)> {
    let rest = key.get(beginning..)?;
    let (time, id) = if has_time { rest.split_at_checked(8)? } else { (&[][..], rest) };
    let changed_at = time.try_into().map_or(0, |time| !u64::from_be_bytes(time));
    Some((SessionId::new(std::str::from_utf8(id).ok()?).ok()?, changed_at))
}

#[cfg(test)]
mod tests {
    use super::{
        Labels, SessionId, is_of, key_of_open_replies, keys_of_owner, listed, owner_by_id,
        owner_newest_first,
    };

    #[test]
    fn keys_lead_back_to_their_sessions_and_come_newest_first() {
        let id = |name: &str| SessionId::new(name).unwrap();
        let labels = Labels::owner("o");
        let keys = |name: &str, at| keys_of_owner(&id(name), &labels, at).unwrap();
        let newest = [("b", 9), ("a", 7), ("b", 7), ("c", 7), ("a", 0)]
            .map(|(name, at)| keys(name, at)[1].clone());
        assert!(newest.is_sorted());
        let beginning = owner_newest_first("o");
        assert!(newest.iter().all(|key| key.starts_with(&beginning)));
        assert_eq!(listed(&newest[1], beginning.len(), true), Some((id("a"), 7)));
        let by_id = &keys("a", 7)[0];
        assert_eq!(listed(by_id, owner_by_id("o").len(), false), Some((id("a"), 0)));
        let open = key_of_open_replies(&id("a"));
        for key in [&newest[1], by_id, &open] {
            assert!(is_of(key, &id("a")) && !is_of(key, &id("b")) && !is_of(key, &id("oa")));
        }
        // An owner whose name begins like another's is another one.
        assert!(
            !keys_of_owner(&id("a"), &Labels::owner("ox"), 7).unwrap()[1].starts_with(&beginning)
        );
    }
}
