//! Outputs of tools and approvals, which go on with the same message.

use super::{Answer, Service, text, types, user};
use durable_session_memory::MemoryStore;
use serde_json::{Value, json};

/// The assistant's message as the client has it after its person has answered.
fn answered(service_message: &Value, answer: &Value) -> Value {
    let mut message = service_message.clone();
    let part = message["parts"].as_array_mut().unwrap().iter_mut();
    for part in part.filter(|part| part["toolCallId"] == "c") {
        for (key, value) in answer.as_object().unwrap() {
            part[key] = value.clone();
        }
    }
    message
}

async fn go_on(service: &Service, answer: &Value) -> Answer {
    let stored = service.stored().await;
    let message = answered(&stored[1], answer);
    service.submit("submit-message", Some("reply-0-to-m-1"), &[stored[0].clone(), message]).await
}

fn approval(approved: bool) -> Value {
    let approval = json!({"id": "a", "approved": approved, "reason": "because"});
    json!({"state": "approval-responded", "approval": approval})
}

#[tokio::test]
async fn an_approval_goes_on_with_the_same_message_also_after_a_restart() {
    let store = MemoryStore::new();
    let before = Service::over(&store);
    let asked = before.ask("m-1", "weather").await.all().await;
    let request =
        ["start", "start-step", "tool-input-available", "tool-approval-request", "finish"];
    assert_eq!(types(&asked), request);

    let service = before.restarted(&store).await;
    let chunks = go_on(&service, &approval(true)).await.all().await;
    assert_eq!(chunks[0], json!({"type": "start", "messageId": "reply-0-to-m-1"}));
    let rest = ["tool-output-available", "text-start", "text-delta", "text-end", "finish"];
    assert_eq!(types(&chunks[1..]), rest, "only what the client does not have");
    let stored = service.stored().await;
    assert_eq!(stored.len(), 2);
    let part = &stored[1]["parts"][1];
    assert_eq!(
        (&part["state"], &part["output"]["sky"]),
        (&json!("output-available"), &json!("blue"))
    );
    assert_eq!(part["approval"], json!({"id": "a", "approved": true, "reason": "because"}));
    assert_eq!(stored[1]["parts"][2]["text"], "It is blue.");
}

#[tokio::test]
async fn a_denial_goes_on_without_an_output() {
    let service = Service::open();
    service.ask("m-1", "weather").await.all().await;
    let chunks = go_on(&service, &approval(false)).await.all().await;
    assert_eq!(text(&chunks), "I did not look.");
    assert_eq!(service.stored().await[1]["parts"][1]["state"], "output-denied");
}

#[tokio::test]
async fn an_output_of_the_clients_tool_goes_on_with_the_same_message() {
    let service = Service::open();
    service.ask("m-1", "clock").await.all().await;
    let output = json!({"state": "output-available", "output": {"hour": 23}});
    let chunks = go_on(&service, &output).await.all().await;
    assert_eq!(text(&chunks), "It is late.");
    let part = service.stored().await[1]["parts"][1].clone();
    assert_eq!((&part["output"], &part["input"]), (&json!({"hour": 23}), &json!({"big": 1})));
    let error = Service::open();
    error.ask("m-1", "clock").await.all().await;
    let failed = json!({"state": "output-error", "errorText": "no clock"});
    assert_eq!(text(&go_on(&error, &failed).await.all().await), "I go on.");
    assert_eq!(error.stored().await[1]["parts"][1]["errorText"], "no clock");
}

#[tokio::test]
async fn an_answer_that_is_sent_again_is_gone_on_with_once() {
    let service = Service::gated();
    service.ask("m-1", "weather").await.all().await;
    let before = service.stored().await[1].clone();
    let given = [user("m-1", "weather"), answered(&before, &approval(true))];
    let mut first = service.submit("submit-message", Some("reply-0-to-m-1"), &given).await;
    first.take(2).await;
    let second = service.submit("submit-message", Some("reply-0-to-m-1"), &given).await;
    // A tab that is opened now shows the whole message.
    let resumed = service.resume().await;
    service.gate.add_permits(9);
    assert_eq!(text(&first.all().await), "It is blue.");
    assert_eq!(text(&second.all().await), "It is blue.");
    let resumed = resumed.all().await;
    let calls = ["start-step", "tool-input-available", "tool-approval-request"];
    assert_eq!(types(&resumed)[1..4], calls);
    assert_eq!(text(&resumed), "It is blue.");
    // After the end, the client gets what it does not have.
    let late = service.submit("submit-message", Some("reply-0-to-m-1"), &given).await.all().await;
    assert_eq!(text(&late), "It is blue.");
    assert_eq!(service.runs(), 2);
}

#[tokio::test]
async fn only_what_a_call_waits_for_is_taken_from_the_client() {
    let service = Service::open();
    service.ask("m-1", "weather").await.all().await;
    let before = service.stored().await[1].clone();
    for forged in [
        json!({"state": "output-available", "output": "forged"}),
        json!({"state": "approval-responded", "approval": {"id": "b", "approved": true}}),
        json!({"state": "approval-responded", "approval": {"id": "a", "approved": 1}}),
        json!({"state": "output-denied"}),
        json!({"input": "forged"}),
    ] {
        let chunks = go_on(&service, &forged).await.all().await;
        assert_eq!(chunks.last(), Some(&json!({"type": "finish"})), "{forged}");
        assert_eq!(service.stored().await[1], before, "{forged}");
    }
    let mut more = approval(true);
    more["input"] = json!("forged");
    more["output"] = json!("forged");
    more["toolName"] = json!("forged");
    go_on(&service, &more).await.all().await;
    let part = service.stored().await[1]["parts"][1].clone();
    assert_eq!((&part["input"], &part["output"]), (&json!({"big": 1}), &json!({"sky": "blue"})));
    assert_eq!(service.runs(), 2);
}

#[tokio::test]
async fn an_interrupted_message_is_gone_on_with_although_nothing_is_new() {
    let store = MemoryStore::new();
    let before = Service::over(&store);
    before.ask("m-1", "weather").await.all().await;
    let mut first = go_on(&before, &approval(true)).await;
    first.take(2).await;
    let service = before.restarted(&store).await;
    let stored = service.stored().await[1].clone();
    assert_eq!(stored["metadata"]["incomplete_details"]["reason"], "interrupted");
    let given = [user("m-1", "weather"), stored];
    let chunks = service.submit("submit-message", Some("reply-0-to-m-1"), &given).await;
    let chunks = chunks.all().await;
    let unmarked = json!({"status": null, "incomplete_details": null});
    assert_eq!(chunks[0]["messageMetadata"], unmarked);
    assert_eq!(text(&chunks), "It is late.");
    let stored = service.stored().await[1].clone();
    assert_eq!((stored.get("metadata"), service.stored().await.len()), (None, 2));
}
