//! A conversation of each format, in the shapes that the systems write, is converted, imported and
//! continued.
#![allow(clippy::unwrap_used)]

use durable_session::context::Context;
use durable_session::transfer::{ImportOptions, TimeUnit, import};
use durable_session::{ChatSessions, Message};
use durable_session_convert::{Conversation, ConvertError, Format, Options, convert};
use durable_session_memory::MemoryStore;
use futures_executor::block_on;

const AT: u64 = 1_763_264_606_917;

fn options() -> Options {
    Options::at(AT)
}

fn one(record: &str) -> Conversation {
    let format = Format::recognize(record).unwrap();
    let mut all = convert(format, record, &options()).unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// The roles and texts of the messages as they are stored, after one more was added, and of the
/// view for a model.
fn stored(conversation: &Conversation) -> (Vec<Message>, Vec<Message>) {
    let store = MemoryStore::new();
    block_on(async {
        let counts = import(&store, &conversation.line, &ImportOptions::default()).await.unwrap();
        // Again: it is there already.
        let again = import(&store, &conversation.line, &ImportOptions::default()).await.unwrap();
        assert_eq!((again.stored, again.found), (0, counts.stored));
        let sessions: ChatSessions = ChatSessions::builder(store).build();
        let chat = sessions.session(conversation.id.clone());
        chat.add_message(Message::user("and now?")).await.unwrap();
        let state = chat.get_state().await.unwrap();
        let view = Context::budget(1_000_000).view(&state.messages);
        (state.messages.clone(), view.messages)
    })
}

fn shown(messages: &[Message]) -> Vec<(String, String)> {
    messages
        .iter()
        .map(|m| (m.role().into_owned(), m.text().unwrap_or_default().into_owned()))
        .collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(role, text)| ((*role).to_owned(), (*text).to_owned())).collect()
}

const CHATGPT: &str = r#"{
  "title": "Lifetimes", "create_time": 1763264606.917, "update_time": 1763264700.5,
  "id": "67f0a1b2-0000-8000-9000-abcdefabcdef", "current_node": "n5",
  "mapping": {
    "root": {"id":"root","message":null,"parent":null,"children":["n1"]},
    "n1": {"id":"n1","parent":"root","children":["n2","n4"],"message":{"id":"n1",
      "author":{"role":"system","name":null,"metadata":{}},"create_time":null,
      "content":{"content_type":"text","parts":[""]},"status":"finished_successfully","weight":0}},
    "n2": {"id":"n2","parent":"n1","children":["n3"],"message":{"id":"n2",
      "author":{"role":"user"},"create_time":1763264607.5,
      "content":{"content_type":"text","parts":["What is a lifetime?"]}}},
    "n3": {"id":"n3","parent":"n2","children":[],"message":{"id":"n3",
      "author":{"role":"assistant"},"create_time":1763264608.25,
      "content":{"content_type":"text","parts":["An old answer."]}}},
    "n4": {"id":"n4","parent":"n1","children":["n5"],"message":{"id":"n4",
      "author":{"role":"user"},"create_time":1763264609.0,
      "content":{"content_type":"multimodal_text","parts":[
        {"content_type":"image_asset_pointer","asset_pointer":"file-service://file-1"},
        "What is in this picture?"]}}},
    "n5": {"id":"n5","parent":"n4","children":[],"message":{"id":"n5",
      "author":{"role":"assistant"},"create_time":1763264610.0,
      "content":{"content_type":"text","parts":["A crab."]}}}
  }}"#;

#[test]
fn the_current_branch_of_a_chatgpt_conversation() {
    let conversation = one(CHATGPT);
    assert_eq!(conversation.id.as_str(), "67f0a1b2-0000-8000-9000-abcdefabcdef");
    let told: Vec<_> = conversation.not_taken.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "item 2: a part of the type \"image_asset_pointer\"",
            "item 0: 1 other branches, which are taken only on request"
        ]
    );
    assert!(conversation.line.contains("\"createdAt\":1763264606917"), "{}", conversation.line);
    assert!(conversation.line.contains("\"changedAt\":1763264700500"), "{}", conversation.line);
    assert!(conversation.line.contains("\"title\":\"Lifetimes\""), "{}", conversation.line);
    let (messages, view) = stored(&conversation);
    let expected =
        [("user", "What is in this picture?"), ("assistant", "A crab."), ("user", "and now?")];
    assert_eq!(shown(&messages), pairs(&expected));
    assert_eq!(view, messages);
    assert_eq!(messages[0].id().as_deref(), Some("n4"));
    assert_eq!(messages[0].extra::<u64>("timestamp").unwrap(), Some(1_763_264_609_000));
}

#[test]
fn all_branches_of_a_chatgpt_conversation() {
    let all = convert(Format::ChatGpt, CHATGPT, &options().all_branches(true)).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].id.as_str(), "67f0a1b2-0000-8000-9000-abcdefabcdef-n3");
    let (messages, _) = stored(&all[1]);
    let expected =
        [("user", "What is a lifetime?"), ("assistant", "An old answer."), ("user", "and now?")];
    assert_eq!(shown(&messages), pairs(&expected));
}

#[test]
fn a_tree_with_a_circle_is_refused() {
    let record = r#"{"mapping":{"a":{"parent":"b","children":["b"]},
        "b":{"parent":"a","children":[]}},"current_node":"b"}"#;
    let error = convert(Format::ChatGpt, record, &options()).unwrap_err();
    assert!(error.to_string().contains("circle"), "{error}");
}

#[test]
fn messages_of_openai_chat_stay_as_they_are() {
    let call = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",
        "function":{"name":"find","arguments":"{\"big\":12345678901234567890123}"}}]}"#;
    let result = r#"{"role":"tool","tool_call_id":"c1","content":"3 tutors"}"#;
    let record = format!(
        r#"{{"messages":[{{"role":"user","content":"hi"}},{call},{result},{{"content":"x"}}]}}"#
    );
    let conversation = one(&record);
    assert!(conversation.id.as_str().starts_with("import-"), "{}", conversation.id.as_str());
    assert_eq!(conversation.id, one(&record).id);
    let (messages, view) = stored(&conversation);
    assert_eq!(messages[1].as_json(), call.replace('\n', " "));
    assert_eq!(messages[2].as_json(), result);
    assert_eq!(messages[3].role(), "user");
    assert_eq!(view, messages);
}

#[test]
fn a_request_to_anthropic_keeps_its_system_text_and_blocks() {
    let record = r#"{"id":"msg/1","system":"Be brief.","messages":[
        {"role":"user","content":"Weather?"},
        {"role":"assistant","content":[{"type":"text","text":"I look."},
            {"type":"tool_use","id":"t1","name":"weather","input":{"city":"Bonn"}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"12 °C"}]},
        {"role":"assistant","content":[{"type":"text","text":"12 degrees."}]}]}"#;
    let conversation = one(record);
    // No session has a slash in its id.
    assert!(conversation.id.as_str().starts_with("import-"), "{}", conversation.id.as_str());
    assert!(conversation.line.contains(r#""importedFrom":{"format":"messages","id":"msg/1"}"#));
    let (messages, view) = stored(&conversation);
    assert_eq!((messages.len(), messages[0].role().as_ref()), (6, "system"));
    assert_eq!(view, messages);
}

#[test]
fn messages_of_the_ai_sdk_stay_as_they_are() {
    let record = r#"{"id":"chat-1","messages":[
        {"id":"m1","role":"user","parts":[{"type":"text","text":"hi"}]},
        {"id":"m2","role":"assistant","parts":[{"type":"step-start"},
            {"type":"tool-find","toolCallId":"c1","state":"output-available","input":{},"output":3},
            {"type":"text","text":"Three."}]}]}"#;
    let conversation = one(record);
    assert_eq!(conversation.id.as_str(), "chat-1");
    let (messages, view) = stored(&conversation);
    assert_eq!((messages.len(), messages[1].id().as_deref()), (3, Some("m2")));
    assert_eq!(view, messages);
}

#[test]
fn items_of_responses_become_messages() {
    let record = r#"{"id":"resp_1","object":"response","created_at":1763264606,
        "instructions":"Be brief.","input":[{"role":"user","content":"Weather?"}],"output":[
        {"id":"rs_1","type":"reasoning","summary":[]},
        {"id":"fc_1","type":"function_call","call_id":"c1","name":"weather","arguments":"{}"},
        {"id":"fc_2","type":"function_call","call_id":"c2","name":"time","arguments":"{}"},
        {"type":"function_call_output","call_id":"c1","output":"12"},
        {"type":"function_call_output","call_id":"c2","output":"noon"},
        {"id":"msg_1","type":"message","role":"assistant","status":"completed",
            "content":[{"type":"output_text","text":"12 at noon.","annotations":[]}]}]}"#;
    let conversation = one(record);
    assert!(conversation.line.contains("\"createdAt\":1763264606000"), "{}", conversation.line);
    let told: Vec<_> = conversation.not_taken.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["item 2: an item of the type \"reasoning\""]);
    let (messages, view) = stored(&conversation);
    let expected = [
        ("system", "Be brief."),
        ("user", "Weather?"),
        ("assistant", ""),
        ("tool", "12"),
        ("tool", "noon"),
        ("assistant", "12 at noon."),
        ("user", "and now?"),
    ];
    assert_eq!(shown(&messages), pairs(&expected));
    // Both calls have their results, so nothing is left out.
    assert_eq!(view, messages);
}

#[test]
fn messages_of_langchain_in_all_three_ways() {
    let plain = r#"{"values":{"messages":[
        {"type":"human","content":"Weather?","id":"h1"},
        {"type":"ai","content":"","id":"a1","tool_calls":[
            {"name":"weather","args":{"n":12345678901234567890123},"id":"c1","type":"tool_call"}]},
        {"type":"tool","content":"12","tool_call_id":"c1"},
        {"type":"ai","content":[{"type":"text","text":"12 degrees."}]}]},
        "config":{"configurable":{"thread_id":"t-1"}}}"#;
    let dict = r#"{"id":"t-1","messages":[
        {"type":"human","data":{"content":"Weather?","id":"h1"}},
        {"type":"ai","data":{"content":"","id":"a1","tool_calls":[
            {"name":"weather","args":{"n":12345678901234567890123},"id":"c1"}]}},
        {"type":"tool","data":{"content":"12","tool_call_id":"c1"}},
        {"type":"ai","data":{"content":"12 degrees."}}]}"#;
    let class = |name: &str, kwargs: &str| {
        format!(
            r#"{{"lc":1,"type":"constructor","id":["langchain","schema","messages","{name}"],
            "kwargs":{kwargs}}}"#
        )
    };
    let constructed = format!(
        r#"{{"id":"t-1","channel_values":{{"messages":[{},{},{},{}]}}}}"#,
        class("HumanMessage", r#"{"content":"Weather?","id":"h1"}"#),
        class(
            "AIMessage",
            r#"{"content":"","id":"a1","tool_calls":[
                {"name":"weather","args":{"n":12345678901234567890123},"id":"c1"}]}"#
        ),
        class("ToolMessage", r#"{"content":"12","tool_call_id":"c1"}"#),
        class("AIMessageChunk", r#"{"content":"12 degrees."}"#),
    );
    let expected = [
        ("user", "Weather?"),
        ("assistant", ""),
        ("tool", "12"),
        ("assistant", "12 degrees."),
        ("user", "and now?"),
    ];
    for record in [plain, dict, &constructed] {
        assert_eq!(Format::recognize(record), Some(Format::LangChain), "{record}");
        let conversation = one(record);
        assert_eq!(conversation.id.as_str(), "t-1");
        let (messages, view) = stored(&conversation);
        assert_eq!(shown(&messages), pairs(&expected));
        // Every digit of a big number is there.
        assert!(messages[1].as_json().contains("12345678901234567890123"));
        assert_eq!(view, messages);
    }
}

#[test]
fn entries_of_sharegpt_get_their_roles() {
    let record = r#"{"id":"s 1","conversations":[{"from":"system","value":"Be brief."},
        {"from":"human","value":"hi"},{"from":"gpt","value":"Hello."},{"value":"no sender"},
        {"from":"human"}]}"#;
    let conversation = one(record);
    let told: Vec<_> = conversation.not_taken.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["item 5: an entry without a text `value`"]);
    let (messages, view) = stored(&conversation);
    let expected = [
        ("system", "Be brief."),
        ("user", "hi"),
        ("assistant", "Hello."),
        ("user", "no sender"),
        ("user", "and now?"),
    ];
    assert_eq!(shown(&messages), pairs(&expected));
    assert_eq!(view, messages);
}

#[test]
fn a_line_of_an_export_passes_unchanged() {
    let record = r#"{"id":"s-1","state":{"messages":[],"createdAt":1763264606917,
        "lastAccessedAt":1763264606917}}"#;
    assert_eq!(one(record).line, record);
}

#[test]
fn a_time_in_another_unit_is_refused_until_its_unit_is_named() {
    let record = r#"{"id":"c","created_at":1763264606,"messages":[]}"#;
    let error = convert(Format::Messages, record, &options()).unwrap_err();
    assert!(matches!(error, ConvertError::Time { .. }), "{error}");
    let seconds = options().time_unit(TimeUnit::Seconds);
    let line = convert(Format::Messages, record, &seconds).unwrap().remove(0).line;
    assert!(line.contains("\"createdAt\":1763264606000"), "{line}");
}

#[test]
fn a_time_that_is_no_number_is_not_taken() {
    let conversation = one(r#"{"id":"c","createdAt":"2025-11-16T03:43:26Z","messages":[]}"#);
    let told: Vec<_> = conversation.not_taken.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["item 0: `createdAt`, which is no number"]);
    assert!(conversation.line.contains(&format!("\"createdAt\":{AT}")), "{}", conversation.line);
}

#[test]
fn an_owner_and_a_long_title_become_labels() {
    let title = "ä".repeat(2_000);
    let record = format!(r#"{{"id":"c","title":"{title}","messages":[]}}"#);
    let all = convert(Format::Messages, &record, &options().owner("u-42")).unwrap();
    let (messages, _) = stored(&all[0]);
    assert_eq!(messages.len(), 1);
    assert!(all[0].line.contains(r#""labels":{"owner":"u-42","title":"ä"#), "{}", all[0].line);
}

#[test]
fn what_is_no_conversation_is_not_recognized() {
    for record in ["", "[]", "{}", "{\"x\":1}", "\"mapping\"", "{\"mapping\""] {
        assert_eq!(Format::recognize(record), None, "{record}");
    }
    for (format, record) in [
        (Format::Messages, r#"{"messages":{}}"#),
        (Format::Messages, r#"{"messages":[1]}"#),
        (Format::ChatGpt, r#"{"mapping":{}}"#),
        (Format::ChatGpt, r#"{"mapping":[]}"#),
        (Format::Responses, r#"{"input":3}"#),
        (Format::LangChain, r#"{"messages":3}"#),
        (Format::ShareGpt, r#"{"conversations":[3]}"#),
        (Format::Lines, r#"{"id":3}"#),
    ] {
        assert!(convert(format, record, &options()).is_err(), "{format} {record}");
    }
}
