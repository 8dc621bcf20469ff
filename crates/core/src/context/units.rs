//! The messages of a history that belong together, without what no view has.

use super::pieces::{self, Pieces, Place};
use crate::{Message, role};

/// Messages that a view has all or none of.
#[derive(Debug)]
pub(super) struct Unit {
    /// The messages with their places in the history.
    pub(super) messages: Vec<(usize, Message)>,
    /// Whether the unit is in every view.
    pub(super) kept: bool,
    /// The last message without its results, if it has other content.
    pub(super) rest: Option<(usize, Message)>,
}

/// The units of a history, in order.
pub(super) fn of(messages: &[&Message], pin: impl Fn(&Message) -> bool) -> Vec<Unit> {
    let all: Vec<Pieces> = messages.iter().map(|message| Pieces::of(message)).collect();
    let pairs = Pairs::of(&all);
    let mut units: Vec<Unit> = Vec::new();
    // The last message with a result for the unit before.
    let mut until = None;
    for (at, message) in messages.iter().enumerate() {
        let pieces = &all[at];
        let given = pieces.calls.iter().chain(&pieces.results).map(|(place, _)| *place);
        let mut left_out: Vec<Place> =
            given.filter(|place| !pairs.paired[at].contains(place)).collect();
        left_out.extend(&pieces.invalid);
        let Some(shown) = pieces::without(message, &left_out) else { continue };
        let kept = matches!(&*message.role(), role::SYSTEM | "developer") || pin(message);
        match units.last_mut().filter(|_| until.is_some_and(|until| at <= until)) {
            Some(unit) => {
                left_out.extend(pieces.results.iter().map(|(place, _)| *place));
                unit.messages.push((at, shown));
                unit.kept |= kept;
                unit.rest = pieces::without(message, &left_out).map(|rest| (at, rest));
            }
            None => units.push(Unit { messages: vec![(at, shown)], kept, rest: None }),
        }
        until = pairs.until[at].or(until);
    }
    units
}

/// The calls that have a result directly behind them.
struct Pairs {
    /// Of each message, its calls and results that have their counterpart.
    paired: Vec<Vec<Place>>,
    /// Of each message with such a call, the last message with a result.
    until: Vec<Option<usize>>,
}

impl Pairs {
    fn of(all: &[Pieces]) -> Self {
        let mut pairs = Self { paired: vec![Vec::new(); all.len()], until: vec![None; all.len()] };
        for (at, message) in all.iter().enumerate() {
            let mut open: Vec<_> = message.calls.iter().collect();
            for (answer, pieces) in all.iter().enumerate().skip(at + 1) {
                for (result, id) in &pieces.results {
                    if let Some(n) = open.iter().position(|(_, call)| call == id) {
                        let (call, _) = open.remove(n);
                        pairs.paired[at].push(*call);
                        pairs.paired[answer].push(*result);
                        pairs.until[at] = Some(answer);
                    }
                }
                if open.is_empty() || !pieces.only_results {
                    break;
                }
            }
        }
        pairs
    }
}
