//! Whether a history of one session is linearizable: after Wing and Gong, with the states already
//! tried remembered.

use std::collections::HashSet;

/// A call of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Add(u32),
    Pop,
    Read,
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Added,
    Popped(Option<u32>),
    Content(Vec<u32>),
}

/// A call, from its invocation to its answer, on one clock.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) call: Call,
    pub(super) answer: Answer,
    pub(super) invoked: u64,
    pub(super) answered: u64,
}

/// Whether some order of all calls fits their answers, and in it no call comes
/// before one that had been answered when it was invoked. At most 128 calls.
pub(super) fn linearizable(history: &[Event]) -> bool {
    search(history, 0, &[], &mut HashSet::new())
}

fn search(
    history: &[Event],
    done: u128,
    content: &[u32],
    tried: &mut HashSet<(u128, Vec<u32>)>,
) -> bool {
    let open = |n: usize| done >> n & 1 == 0;
    let Some(first_answer) =
        (0..history.len()).filter(|&n| open(n)).map(|n| history[n].answered).min()
    else {
        return true;
    };
    if !tried.insert((done, content.to_vec())) {
        return false;
    }
    for n in (0..history.len()).filter(|&n| open(n) && history[n].invoked <= first_answer) {
        let mut after = content.to_vec();
        let answer = match &history[n].call {
            Call::Add(value) => {
                after.push(*value);
                Answer::Added
            }
            Call::Pop => Answer::Popped(after.pop()),
            Call::Read => Answer::Content(after.clone()),
        };
        if answer == history[n].answer && search(history, done | 1 << n, &after, tried) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{Answer, Call, Event, linearizable};

    fn event(call: Call, answer: Answer, invoked: u64, answered: u64) -> Event {
        Event { call, answer, invoked, answered }
    }

    fn added(value: u32, invoked: u64, answered: u64) -> Event {
        event(Call::Add(value), Answer::Added, invoked, answered)
    }

    fn read(content: &[u32], invoked: u64, answered: u64) -> Event {
        event(Call::Read, Answer::Content(content.to_vec()), invoked, answered)
    }

    #[test]
    fn good_histories_are_accepted() {
        assert!(linearizable(&[]));
        assert!(linearizable(&[
            added(1, 0, 5),
            read(&[], 1, 2),
            read(&[1], 3, 4),
            read(&[1], 6, 7)
        ]));
        assert!(linearizable(&[added(1, 0, 9), added(2, 1, 8), read(&[2, 1], 10, 11)]));
        let popped = event(Call::Pop, Answer::Popped(Some(1)), 2, 3);
        assert!(linearizable(&[added(1, 0, 1), popped, read(&[], 4, 5)]));
    }

    #[test]
    fn a_read_that_misses_an_acknowledged_message_is_rejected() {
        assert!(!linearizable(&[added(1, 0, 1), read(&[], 2, 3)]));
    }

    #[test]
    fn reads_that_go_back_in_time_are_rejected() {
        assert!(!linearizable(&[added(1, 0, 9), read(&[1], 1, 2), read(&[], 3, 4)]));
    }

    #[test]
    fn two_clients_that_pop_the_same_message_are_rejected() {
        let pop = |invoked, answered| event(Call::Pop, Answer::Popped(Some(1)), invoked, answered);
        assert!(!linearizable(&[added(1, 0, 1), pop(2, 5), pop(3, 4)]));
    }
}
