//! Campaign 9: makes the context view of random histories in three shapes, for random budgets. A
//! checker that shares no code with the library tells whether it is valid, and maximal.

use crate::campaign::{Plan, Tally};
use crate::verdict::{Broken, Kind};
use anyhow::Result;
use durable_session::Message;
use durable_session::context::{Context, ContextView};
use fastrand::Rng;
use testkit::context::{Fault, Shape, check, history};

pub(crate) const NAME: &str = "context";

const KINDS: &[Kind] = &[Kind::Invalid, Kind::NotMaximal, Kind::Wrong];

pub(crate) fn run(plan: &Plan) -> Tally {
    plan.cases(NAME, KINDS, 20_000, |case, rng, tally| {
        let (what, shape) = match case % 3 {
            0 => ("openai", Shape::OpenAi),
            1 => ("anthropic", Shape::Anthropic),
            _ => ("ai_sdk", Shape::AiSdk),
        };
        tally.add(what, 1);
        one_view(shape, rng, tally)
    })
}

fn one_view(shape: Shape, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    let length = rng.usize(..12);
    let history = history(shape, length, rng);
    // From nothing to all of it, also exactly at the costs of messages.
    let count: fn(&Message) -> usize = if rng.bool() { |_| 1 } else { |message| message.bytes() };
    let whole: usize = history.iter().map(count).sum();
    let budget = rng.usize(..=whole + 1);
    let some = rng.u8(..4) == 0;
    let pin = |message: &Message| some && message.extra("pinned").ok().flatten() == Some(true);
    let context = |budget| Context::budget(budget).count_with(count).pin_if(pin);
    let mut view = context(budget).view(&history);
    tally.checked(1);
    tally.add("messages", history.len() as u64);
    tally.add("in_views", view.messages.len() as u64);
    tally.add("beyond_budget", u64::from(!view.fits));
    alter(&mut view, tally, |budget| context(budget).view(&history));
    check(&history, budget, &count, &pin, &view).map_err(|fault| {
        let kind = match fault {
            Fault::Invalid(_) => Kind::Invalid,
            Fault::NotMaximal(_) => Kind::NotMaximal,
        };
        Broken::new(kind, 1, fault.to_string()).into()
    })
}

/// Breaks the view if the campaign is to show that its verdict can turn.
fn alter(view: &mut ContextView, tally: &Tally, within: impl Fn(usize) -> ContextView) {
    if tally.alters(Kind::Invalid)
        && let Some(first) = view.messages.first().cloned()
    {
        view.messages.push(first);
    }
    if tally.alters(Kind::NotMaximal) && view.fits {
        let shorter = within(view.tokens.saturating_sub(1));
        if shorter.fits {
            *view = shorter;
        }
    }
    if tally.alters(Kind::Wrong) {
        std::panic::resume_unwind(Box::new("altered"));
    }
}
