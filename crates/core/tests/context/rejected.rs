//! The checker that the property and the campaign rely on: it rejects broken views.

use super::{messages, pinned};
use durable_session::Message;
use durable_session::context::{Context, ContextView};
use testkit::context::{Fault, check};

const BUDGET: usize = 6;

fn conversation() -> Vec<Message> {
    messages(&[
        r#"{"role":"system","content":"Be brief."}"#,
        r#"{"role":"user","content":"My name is Ada.","pinned":true}"#,
        r#"{"role":"user","content":"Weather?"}"#,
        r#"{"role":"assistant","content":"I look.","tool_calls":[{"id":"a"}]}"#,
        r#"{"role":"tool","tool_call_id":"a","content":"sun"}"#,
        r#"{"role":"assistant","content":"It shines."}"#,
        r#"{"role":"user","content":"Thanks"}"#,
    ])
}

/// What the checker says about the view of the conversation after `breaks` changed it.
fn verdict(breaks: impl FnOnce(&mut ContextView, &[Message])) -> Result<(), Fault> {
    let history = conversation();
    let mut view = Context::budget(BUDGET).count_with(|_| 1).pin_if(pinned).view(&history);
    assert_eq!(view.start, 3);
    breaks(&mut view, &history);
    view.tokens = view.messages.len();
    check(&history, BUDGET, &|_| 1, &pinned, &view)
}

fn invalid(because: &str, breaks: impl FnOnce(&mut ContextView, &[Message])) {
    let Err(Fault::Invalid(why)) = verdict(breaks) else { panic!("accepted: {because}") };
    assert!(why.contains(because), "{why}");
}

#[test]
fn the_checker_accepts_the_view_and_rejects_broken_ones() {
    assert_eq!(verdict(|_, _| {}), Ok(()));
    invalid("result without its call", |view, _| drop(view.messages.remove(2)));
    invalid("call without its result", |view, _| drop(view.messages.remove(3)));
    invalid("the last call has no result", |view, _| view.messages.truncate(3));
    invalid("no tail of the history", |view, _| drop(view.messages.remove(0)));
    invalid("no tail of the history", |view, _| drop(view.messages.remove(1)));
    invalid("no tail of the history", |view, _| drop(view.messages.remove(4)));
    invalid("no tail of the history", |view, _| view.messages.swap(4, 5));
    invalid("no tail of the history", |view, _| view.messages[5] = Message::user("Thank you"));
    invalid("no tail of the history", |view, _| drop(view.messages.pop()));
    invalid("7 tokens of 6", |view, history| view.messages.insert(2, history[2].clone()));
    invalid("the tail does not begin at 4", |view, _| view.start = 4);
    invalid("fits: false", |view, _| view.fits = false);
}

#[test]
fn the_checker_rejects_views_that_could_be_longer() {
    let shorter = verdict(|view, _| drop(view.messages.drain(2..4)));
    assert!(matches!(shorter, Err(Fault::NotMaximal(_))), "{shorter:?}");
    let none = verdict(|view, _| view.messages.truncate(2));
    assert!(matches!(none, Err(Fault::NotMaximal(_))), "{none:?}");
}

#[test]
fn the_checker_rejects_calls_that_a_provider_would_refuse() {
    let view = |json: &[&str]| {
        let history = messages(json);
        let mut view = Context::budget(9).count_with(|_| 1).view(&history);
        (view.messages, view.tokens, view.start) = (history.clone(), history.len(), 0);
        check(&history, 9, &|_| 1, &|_| false, &view)
    };
    let part = r#"{"role":"assistant",
        "parts":[{"type":"tool-a","toolCallId":"1","state":"input-available"}]}"#;
    let late = [
        r#"{"role":"assistant","content":[{"type":"tool_use","id":"a"}]}"#,
        r#"{"role":"user",
            "content":[{"type":"text","text":"so"},{"type":"tool_result","tool_use_id":"a"}]}"#,
    ];
    let between = [
        r#"{"role":"assistant","tool_calls":[{"id":"a"}]}"#,
        r#"{"role":"user","content":"hi"}"#,
        r#"{"role":"tool","tool_call_id":"a","content":"sun"}"#,
    ];
    let empty = [r#"{"role":"assistant","content":"x","tool_calls":[]}"#];
    for (broken, why) in [
        (&[part][..], "part without the result"),
        (&late, "follows a call|result without its call"),
        (&between, "follows a call"),
        (&empty, "is empty"),
    ] {
        let Err(Fault::Invalid(found)) = view(broken) else { panic!("accepted: {why}") };
        assert!(why.split('|').any(|why| found.contains(why)), "{found}");
    }
}
