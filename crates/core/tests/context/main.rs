//! The part of a conversation that goes to a model.
#![allow(clippy::unwrap_used, clippy::panic)] // Clippy knows tests, but not their helpers.

mod rejected;

use durable_session::Message;
use durable_session::context::{Context, ContextView};
use fastrand::Rng;
use proptest::prelude::any;
use proptest::{prop_assert_eq, proptest};
use testkit::context::{Shape, check, history};

fn messages(json: &[&str]) -> Vec<Message> {
    json.iter().map(|json| Message::from_json(*json).unwrap()).collect()
}

fn pinned(message: &Message) -> bool {
    message.extra("pinned").unwrap() == Some(true)
}

/// A view in which every message counts 1.
fn view(budget: usize, history: &[Message]) -> ContextView {
    let view = Context::budget(budget).count_with(|_| 1).pin_if(pinned).view(history);
    assert_eq!(check(history, budget, &|_| 1, &pinned, &view), Ok(()));
    view
}

const OPENAI: [&str; 5] = [
    r#"{"role":"user","content":"Weather?"}"#,
    r#"{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function"},{"id":"b"}]}"#,
    r#"{"role":"tool","tool_call_id":"b","content":"rain"}"#,
    r#"{"role":"tool","tool_call_id":"a","content":"sun"}"#,
    r#"{"role":"assistant","content":"Both."}"#,
];

#[test]
fn a_call_and_its_results_are_in_the_view_together_or_not_at_all() {
    let history = messages(&OPENAI);
    assert_eq!(view(5, &history).messages, history);
    assert_eq!(view(4, &history).messages, history[1..]);
    for budget in 1..4 {
        assert_eq!(view(budget, &history).messages, history[4..], "{budget}");
    }
    assert_eq!(view(0, &history).messages, []);
}

#[test]
fn a_call_without_its_result_is_left_out_and_its_text_stays() {
    let one = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"b"}]}"#;
    for missing in [3, 2] {
        let mut history = messages(&OPENAI);
        history.remove(missing);
        let one = if missing == 3 {
            one.to_owned()
        } else {
            one.replace("[{", "[{\"type\":\"function\",").replace("\"b\"", "\"a\"")
        };
        let shown = view(9, &history).messages;
        assert_eq!(shown[1], Message::from_json(one).unwrap());
        assert_eq!(shown.len(), 4);
    }
    let interrupted = messages(&[
        r#"{"role":"assistant","content":"I look.","tool_calls":[{"id":"a"}]}"#,
        r#"{"role":"user","content":"Hello?"}"#,
        r#"{"role":"tool","tool_call_id":"a","content":"too late"}"#,
    ]);
    let shown = messages(&[r#"{"role":"assistant","content":"I look."}"#]);
    assert_eq!(view(9, &interrupted).messages, [shown[0].clone(), interrupted[1].clone()]);
}

#[test]
fn results_come_first_in_a_message_and_may_come_in_several() {
    let calls = r#"{"role":"assistant","content":[{"type":"text","text":"So:"},
        {"type":"tool_use","id":"a"},{"type":"tool_use","id":"b"}]}"#;
    let first = r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]}"#;
    let both = r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"b"},
        {"type":"text","text":"and now?"}]}"#;
    let history = messages(&[calls, first, both]);
    let seen = view(3, &history);
    assert_eq!((seen.messages, seen.start), (history.clone(), 0));

    // The unit does not fit, and what the person said does.
    let said = messages(&[r#"{"role":"user","content":[{"type":"text","text":"and now?"}]}"#]);
    let seen = view(2, &history);
    assert_eq!((seen.messages, seen.start, seen.tokens), (said.clone(), 2, 1));

    // A result behind other content is none.
    let late = r#"{"role":"user","content":[{"type":"text","text":"and now?"},
        {"type":"tool_result","tool_use_id":"b"}]}"#;
    let only_a = r#"{"role":"assistant","content":[{"type":"text","text":"So:"},
        {"type":"tool_use","id":"a"}]}"#;
    let expected = messages(&[only_a, first]);
    assert_eq!(view(3, &messages(&[calls, first, late])).messages, [expected, said].concat());
}

#[test]
fn parts_are_complete_with_an_output_an_error_or_a_denial() {
    let complete = [
        r#"{"type":"tool-a","toolCallId":"1","state":"output-available"}"#,
        r#"{"type":"dynamic-tool","toolCallId":"2","state":"output-error"}"#,
        r#"{"type":"tool-a","toolCallId":"3","state":"output-denied"}"#,
        r#"{"type":"tool-a","toolCallId":"4","state":"approval-responded",
            "approval":{"approved":false}}"#,
    ];
    let incomplete = [
        r#"{"type":"tool-a","toolCallId":"5","state":"output-available","preliminary":true}"#,
        r#"{"type":"tool-a","toolCallId":"6","state":"input-streaming"}"#,
        r#"{"type":"dynamic-tool","toolCallId":"7","state":"input-available"}"#,
        r#"{"type":"tool-a","toolCallId":"8","state":"approval-requested"}"#,
        r#"{"type":"tool-a","toolCallId":"9","state":"approval-responded",
            "approval":{"approved":true}}"#,
    ];
    let assistant = |parts: &[&str]| {
        Message::from_json(format!(r#"{{"role":"assistant","parts":[{}]}}"#, parts.join(",")))
    };
    let all = assistant(&[&complete[..], &incomplete].concat()).unwrap();
    assert_eq!(view(1, &[all]).messages, [assistant(&complete).unwrap()]);
    let thoughts = [r#"{"type":"step-start"}"#, r#"{"type":"reasoning","text":"I call."}"#];
    let nothing = assistant(&[&thoughts[..], &incomplete].concat()).unwrap();
    assert_eq!(view(1, &[nothing]).messages, []);
    // A message from which nothing is left out is not changed.
    let thoughts = assistant(&thoughts).unwrap();
    assert_eq!(view(1, std::slice::from_ref(&thoughts)).messages, [thoughts]);
}

#[test]
fn system_and_pinned_messages_stay_with_their_units() {
    let mut history = messages(&OPENAI);
    history.insert(0, Message::new("developer", "Be brief."));
    history.push(Message::system("Be polite."));
    history.push(Message::user("Thanks"));
    let seen = view(4, &history);
    let kept = [0, 5, 6, 7].map(|n| history[n].clone());
    assert_eq!((seen.messages, seen.start), (kept.to_vec(), 5));

    history[3] = history[3].clone().with("pinned", &true).unwrap();
    let seen = view(5, &history);
    assert_eq!(seen.messages, [&history[..1], &history[2..5], &history[6..7]].concat());
    assert_eq!((seen.start, seen.tokens, seen.fits), (8, 5, true));
}

#[test]
fn kept_messages_beyond_the_budget_are_the_whole_view() {
    let history = [Message::system("long"), Message::system("longer"), Message::user("hi")];
    let seen = view(1, &history);
    assert_eq!(seen.messages, history[..2]);
    assert_eq!((seen.start, seen.tokens, seen.fits), (3, 2, false));
}

#[test]
fn counts_that_overflow_do_not_fit() {
    let history = [Message::user("a"), Message::user("b"), Message::user("c")];
    let huge =
        |message: &Message| if message.text().as_deref() == Some("b") { usize::MAX } else { 1 };
    let seen = Context::budget(usize::MAX).count_with(huge).view(&history);
    assert_eq!((seen.messages, seen.tokens), (history[2..].to_vec(), 1));
}

#[test]
fn calls_and_results_in_a_wrong_place_are_left_out() {
    let history = messages(&[
        r#"{"role":"tool","content":"of no call"}"#,
        r#"{"role":"user","content":"hi","tool_calls":[{"id":"a"}]}"#,
        r#"{"role":"tool","tool_call_id":"a","content":"of a person's call"}"#,
        r#"{"role":"assistant","content":"","tool_calls":[{"name":"without an id"}]}"#,
        r#"{"role":"assistant","content":[{"type":"tool_result","tool_use_id":"a"}]}"#,
        r#"{"role":"assistant","content":"","\u0074ool_calls":[{"id":"a"},{"id":"a"}]}"#,
        r#"{"role":"tool","tool_call_id":"a","content":"of the first"}"#,
        r#"{"role":"assistant","content":"calls is a word","tool_calls":null}"#,
    ]);
    let shown = Context::budget(100).view(&history).messages;
    let once = r#"{"role":"assistant","content":"","tool_calls":[{"id":"a"}]}"#;
    let once = Message::from_json(once).unwrap();
    assert_eq!(shown, [Message::user("hi"), once, history[6].clone(), history[7].clone()]);
}

proptest! {
    /// For any history and budget the view is valid and maximal.
    #[test]
    fn every_view_is_valid_and_maximal(seed in any::<u64>(), length in 0..12_usize) {
        let mut rng = Rng::with_seed(seed);
        for shape in Shape::ALL {
            let history = history(shape, length, &mut rng);
            let all: fn(&Message) -> usize = Message::bytes;
            let count = if rng.bool() { |_: &Message| 1 } else { all };
            let budget = rng.usize(..=history.iter().map(count).sum::<usize>());
            let view = Context::budget(budget).count_with(count).pin_if(pinned).view(&history);
            prop_assert_eq!(check(&history, budget, &count, &pinned, &view), Ok(()));
        }
    }
}
