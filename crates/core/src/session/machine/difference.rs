//! The difference between the messages of a session and the list that takes their place.

use super::change::Change;
use super::stored::StoredMessage;
use crate::Message;
use crate::json;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// The changes that turn `stored` into `given`, as
/// [`Draft::set_messages`](crate::Draft::set_messages) describes them.
pub(crate) fn between(stored: &[StoredMessage], given: &[Message]) -> Vec<Change> {
    let places = places(stored, given);
    let mut changes = Vec::new();
    let mut next = 0;
    let remove = |changes: &mut Vec<Change>, from: usize, to: usize| {
        if let Some([first, .., last] | [first @ last]) = stored.get(from..to) {
            changes.push(Change::Remove { first: first.seq, last: last.seq });
        }
    };
    for (&at, message) in places.iter().zip(given) {
        remove(&mut changes, next, at);
        if stored[at].message != *message {
            changes.push(Change::replace(stored[at].seq, message.clone()));
        }
        next = at + 1;
    }
    remove(&mut changes, next, stored.len());
    changes.extend(given[places.len()..].iter().cloned().map(Change::append));
    changes
}

/// For each given message up to the first one that has to be appended, the index of the stored one
/// whose place it has.
fn places(stored: &[StoredMessage], given: &[Message]) -> Vec<usize> {
    let mut places = Vec::with_capacity(given.len());
    let (mut next_given, mut next_stored) = (0, 0);
    for (i, at) in matches(stored, given) {
        let (new, old) = (i - next_given, at - next_stored);
        if new > old {
            return places;
        }
        places.extend(next_stored..next_stored + new);
        places.push(at);
        (next_given, next_stored) = (i + 1, at + 1);
    }
    let new = given.len() - next_given;
    if new == stored.len() - next_stored && !places.is_empty() {
        places.extend(next_stored..stored.len());
    }
    places
}

/// Which given message is which stored one, as pairs of indices, both increasing.
fn matches(stored: &[StoredMessage], given: &[Message]) -> Vec<(usize, usize)> {
    let same = |i: usize, at: usize| same(&given[i], &stored[at].message);
    let most = stored.len().min(given.len());
    let head = (0..most).take_while(|&i| same(i, i)).count();
    let tail =
        (1..=most - head).take_while(|back| same(given.len() - back, stored.len() - back)).count();
    let mut matches: Vec<_> = (0..head).map(|i| (i, i)).collect();

    let keys = RandomState::new();
    let mut places: HashMap<u64, Vec<usize>> = HashMap::new();
    for (at, stored) in stored.iter().enumerate().take(stored.len() - tail).skip(head) {
        places.entry(key(&keys, &stored.message)).or_default().push(at);
    }
    let mut next = head;
    for (i, message) in given.iter().enumerate().take(given.len() - tail).skip(head) {
        let candidates = places.get(&key(&keys, message)).map_or(&[][..], Vec::as_slice);
        let candidates = &candidates[candidates.partition_point(|&at| at < next)..];
        if let Some(&at) = candidates.iter().find(|&&at| same(i, at)) {
            matches.push((i, at));
            next = at + 1;
        }
    }
    matches.extend((1..=tail).rev().map(|back| (given.len() - back, stored.len() - back)));
    matches
}

/// Whether two are one message: by `id`, and without one by content.
fn same(a: &Message, b: &Message) -> bool {
    if a.as_json() == b.as_json() {
        return true;
    }
    match (a.id(), b.id()) {
        (None, None) => a == b,
        (a, b) => a == b,
    }
}

/// The same for two that are one message.
fn key(keys: &RandomState, message: &Message) -> u64 {
    let mut hasher = keys.build_hasher();
    match message.id() {
        Some(id) => id.hash(&mut hasher),
        None => json::hash(message.as_json(), &mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{Change, StoredMessage, between};
    use crate::Message;
    use proptest::prelude::{Strategy, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    /// A list as a test writes it: `a` is a message without an id, `1a` one with the id 1.
    fn list(text: &str) -> Vec<Message> {
        let message = |word: &str| match word.strip_prefix(|c: char| c.is_ascii_digit()) {
            Some(content) => Message::user(content).with_id(&word[..1]),
            None => Message::user(word),
        };
        text.split_whitespace().map(message).collect()
    }

    /// With every second seq, as after many removals.
    fn stored(text: &str) -> Vec<StoredMessage> {
        (1..)
            .step_by(2)
            .zip(list(text))
            .map(|(seq, message)| StoredMessage { seq, message })
            .collect()
    }

    fn made(changes: &[Change]) -> Vec<String> {
        let made = |change: &Change| match change {
            Change::Append { message, .. } => format!("+{}", message.text().unwrap_or_default()),
            Change::Replace { seq, message, .. } => {
                format!("{seq}={}", message.text().unwrap_or_default())
            }
            Change::Remove { first, last } => format!("-{first}..{last}"),
            _ => "another".to_owned(),
        };
        changes.iter().map(made).collect()
    }

    #[test]
    fn only_the_difference_is_written() {
        for (before, after, expected) in [
            ("", "", ""),
            ("a b c", "a b c", ""),
            ("", "a b", "+a +b"),
            ("a b", "", "-1..3"),
            ("a b", "a b c", "+c"),
            // Left out: at the beginning, in the middle, at the end, in two places.
            ("a b c", "b c", "-1..1"),
            ("a b c d", "a d", "-3..5"),
            ("a b c", "a", "-3..5"),
            ("a b c d e", "a c e", "-3..3 -7..7"),
            ("x x x x", "x x", "-5..7"),
            // Another content under the same id keeps the place, wherever it is.
            ("1a 2b 3c", "1a 2x 3c", "3=x"),
            ("1a 2b", "1x 2y", "1=x 3=y"),
            ("1a 2b 3c", "3x", "-1..3 5=x"),
            // Between kept neighbours, or one and the end of both lists, it is a change in place.
            ("a b c", "a x c", "3=x"),
            ("a b c d", "a x y d", "3=x 5=y"),
            ("a b c", "x b c", "1=x"),
            ("a b c", "a b x", "5=x"),
            ("a b c d", "a x y z", "3=x 5=y 7=z"),
            ("1a 2b 3c", "1a 9x 3c", "3=x"),
            // A run that gets shorter, such as one that is summed up.
            ("a b c d", "s c d", "1=s -3..3"),
            // An edit with the content of a later message.
            ("no a yes b", "yes a yes b", "1=yes"),
            // From the first insertion on, all is appended anew.
            ("a b c", "x a b c", "-1..5 +x +a +b +c"),
            ("a b c", "a x b c", "-3..5 +x +b +c"),
            ("a b c d", "a x y c d", "-3..7 +x +y +c +d"),
            ("a b c", "a x y z", "-3..5 +x +y +z"),
            ("a b c d", "b c d a", "-1..1 +a"),
            ("1a 2b", "2b 1a", "-1..1 +a"),
            // Nothing is kept: nothing has a neighbour.
            ("a b", "x y", "-1..3 +x +y"),
            ("1a", "a", "-1..1 +a"),
        ] {
            let changes = made(&between(&stored(before), &list(after)));
            assert_eq!(changes.join(" "), expected, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn spelling_is_no_difference() {
        let stored = stored("é").into_iter().next().unwrap();
        let spelled = Message::from_json(r#"{"content": "\u00e9", "role": "user"}"#).unwrap();
        assert_ne!(stored.message.as_json(), spelled.as_json());
        let other = StoredMessage { seq: 3, message: Message::user("other") };
        for (before, left) in [(vec![stored.clone()], 0), (vec![other, stored], 1)] {
            assert_eq!(between(&before, std::slice::from_ref(&spelled)).len(), left);
        }
    }

    fn words() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec!["a", "b", "c", "1a", "1b", "2a", "2c"]);
        prop::collection::vec(word, 0..9).prop_map(|words| words.join(" "))
    }

    proptest! {
        #[test]
        fn the_changes_lead_to_the_given_list(before in words(), after in words()) {
            let (before, after) = (stored(&before), list(&after));
            let changes = between(&before, &after);
            let mut now = before.clone();
            let mut next_seq = now.last().map_or(1, |last| last.seq + 1);
            for change in &changes {
                match change {
                    Change::Append { message, .. } => {
                        now.push(StoredMessage { seq: next_seq, message: message.clone() });
                        next_seq += 1;
                    }
                    Change::Replace { seq, message, .. } => {
                        let at = now.iter().position(|stored| stored.seq == *seq);
                        now[at.expect("what is replaced is there")].message = message.clone();
                    }
                    Change::Remove { first, last } => {
                        let before = now.len();
                        now.retain(|stored| !(first..=last).contains(&&stored.seq));
                        prop_assert!(now.len() < before, "it removes something");
                    }
                    _ => prop_assert!(false),
                }
            }
            prop_assert_eq!(now.iter().map(|stored| stored.message.as_json()).collect::<Vec<_>>(),
                after.iter().map(Message::as_json).collect::<Vec<_>>());
            let stored = before.iter().map(|stored| stored.message.as_json());
            if stored.eq(after.iter().map(Message::as_json)) {
                prop_assert!(changes.is_empty());
            }
        }
    }
}
