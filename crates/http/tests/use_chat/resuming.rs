//! Resuming, stopping, and how replies end.

use super::{Service, text, text_of, types, user};
use durable_session::{ChatSessions, Message, Opened};
use durable_session_memory::MemoryStore;
use serde_json::{Value, json};

#[tokio::test]
async fn a_reply_is_resumed_from_its_beginning_and_goes_on() {
    let service = Service::gated();
    assert_eq!(service.resume().await.status, 204, "nothing is open");
    let mut first = service.ask("m-1", "one two three").await;
    service.gate.add_permits(2);
    let seen = first.take(5).await;
    drop(first);
    let mut second = service.resume().await;
    let third = service.resume().await;
    assert_eq!(second.take(5).await, seen);
    service.gate.add_permits(1);
    assert_eq!(text(&second.all().await), "three");
    assert_eq!(text(&third.all().await), "one two three");
    assert_eq!(service.resume().await.status, 204);
    assert_eq!(service.runs(), 1);
}

#[tokio::test]
async fn a_head_request_has_the_headers_and_no_stream() {
    let service = Service::gated();
    let _first = service.ask("m-1", "one").await;
    let mut head = service.send("HEAD", "/api/chat/chat-1/stream", Value::Null).await;
    assert_eq!((head.status, &head.headers["cache-control"] == "no-cache"), (200, true));
    assert_eq!(head.next().await, None);
}

#[tokio::test]
async fn a_stop_ends_the_reply_for_all_and_keeps_what_was_shown() {
    let service = Service::gated();
    let mut first = service.ask("m-1", "one two").await;
    service.gate.add_permits(1);
    first.take(4).await;
    let second = service.resume().await;
    let other = service.stop(json!({"activeStreamId": "reply-0-to-m-9"})).await;
    assert_eq!(other, json!({"success": true}), "another stream");
    let stopped = service.stop(json!({"activeStreamId": "reply-0-to-m-1"})).await;
    let marks = json!({"status": "incomplete", "incomplete_details": {"reason": "stopped"}});
    assert_eq!(stopped["message"]["metadata"], marks);
    assert_eq!(text_of(&stopped["message"]), "one ");
    for chunks in [first.all().await, second.all().await] {
        let end = [
            json!({"type": "text-end", "id": "1"}),
            json!({"type": "abort", "reason": "stopped"}),
            json!({"type": "finish", "finishReason": "interrupted", "messageMetadata": marks}),
        ];
        assert_eq!(chunks[chunks.len() - 3..], end);
    }
    assert_eq!(service.stored().await[1], stopped["message"]);
    assert_eq!(service.stop(Value::Null).await, json!({"success": true}), "nothing is open");
    assert_eq!(service.stop(json!({})).await, json!({"success": true}));
}

#[tokio::test]
async fn a_failed_and_an_abandoned_reply_say_so_to_the_client_and_in_the_message() {
    let service = Service::open();
    let failed = service.ask("m-1", "one fail").await.all().await;
    let marks =
        |reason: &str| json!({"status": "incomplete", "incomplete_details": {"reason": reason}});
    assert_eq!(types(&failed)[4..], ["text-end", "message-metadata", "error"]);
    assert_eq!(service.stored().await[1]["metadata"], marks("failed"));
    let left = service.ask("m-2", "two leave").await.all().await;
    let finish = left.last().unwrap();
    assert_eq!(finish["finishReason"], "interrupted");
    assert_eq!(finish["messageMetadata"], marks("interrupted"));
    assert_eq!(service.stored().await[3]["metadata"], marks("interrupted"));
    assert_eq!(text_of(&service.stored().await[3]), "two ");
    // Sent again, it is told again and not written again.
    let again = service.ask("m-2", "two leave").await.all().await;
    assert_eq!((text(&again), again.last()), ("two ".into(), Some(finish)));
    assert_eq!(service.runs(), 2);
}

#[tokio::test]
async fn after_a_restart_the_reply_is_interrupted_and_the_next_message_works() {
    let store = MemoryStore::new();
    let before = Service::over(&store);
    let mut first = before.ask("m-1", "one two").await;
    before.gate.add_permits(1);
    first.take(4).await;
    let after = before.restarted(&store).await;
    assert_eq!(after.resume().await.status, 204);
    let stored = after.stored().await;
    assert_eq!(text_of(&stored[1]), "one ");
    assert_eq!(stored[1]["metadata"]["incomplete_details"]["reason"], "interrupted");
    assert_eq!(text(&after.ask("m-2", "next").await.all().await), "next");
    // The message that was interrupted can be gone on with.
    let again = after.submit("regenerate-message", Some("reply-0-to-m-1"), &[]).await;
    assert_eq!(text(&again.all().await), "one two");
    assert_eq!(after.ids().await, ["m-1", "reply-1-to-m-1"]);
}

#[tokio::test]
async fn an_open_reply_of_another_format_is_told_as_text() {
    let sessions = ChatSessions::builder(MemoryStore::new()).build();
    let service = Service::with(sessions);
    let opened = service.chat.reply(|draft| {
        draft.add_message(Message::user("why").with_id("m-1"))?;
        Ok(Message::assistant(""))
    });
    let Opened::New(mut reply) = opened.await.unwrap() else { panic!("not opened") };
    reply.push("be").await.unwrap();
    let mut resumed = service.resume().await;
    let first = resumed.take(3).await;
    assert_eq!(types(&first), ["start", "text-start", "text-delta"]);
    reply.push("cause\n").await.unwrap();
    reply.finish().await.unwrap();
    let last = resumed.all().await;
    assert_eq!(types(&last), ["text-delta", "text-end", "finish"]);
    assert_eq!(text(&[first, last].concat()), "because\n");
}

#[tokio::test]
async fn chunks_that_a_client_would_fail_on_are_not_sent() {
    let service = Service::gated();
    let opened = service.chat.reply(|draft| {
        draft.add_message(super::message(&user("m-1", "why")))?;
        Ok(Message::assistant(""))
    });
    let Opened::New(mut reply) = opened.await.unwrap() else { panic!("not opened") };
    let resumed = service.resume().await;
    for chunk in [
        json!({"type": "start", "messageId": "another", "messageMetadata": {"model": "m"}}),
        json!({"type": "text-delta", "id": "0", "delta": "never began"}),
        json!({"type": "tool-output-available", "toolCallId": "none", "output": 1}),
        json!({"type": "tool-approval-response", "approvalId": "none", "approved": true}),
        json!({"type": "data-note", "data": 1, "transient": true}),
        json!({"type": "abort"}),
        json!({"type": "finish", "finishReason": "length"}),
    ] {
        reply.push(chunk).await.unwrap();
    }
    for none in [json!({"type": "text"}), json!("text"), json!({"type": "text-end"})] {
        assert!(reply.push(none).await.is_err());
    }
    reply.finish().await.unwrap();
    let expected = [
        json!({"type": "start", "messageId": "reply-0-to-m-1"}),
        json!({"type": "message-metadata", "messageMetadata": {"model": "m"}}),
        json!({"type": "data-note", "data": 1, "transient": true}),
        json!({"type": "finish", "finishReason": "length"}),
    ];
    assert_eq!(resumed.all().await, expected);
    let stored = &service.stored().await[1];
    assert_eq!((&stored["metadata"], &stored["parts"]), (&json!({"model": "m"}), &json!([])));
}
