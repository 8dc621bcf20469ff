//! The code of docs/use-chat.md.

use durable_session::{ChatSessions, Replies};
use durable_session_http::server::{RouterOptions, router};
use durable_session_http::{Api, InvalidConfig, UiMessageReply};
use durable_session_redb::RedbStore;
use serde_json::json;

fn app(store: RedbStore) -> Result<axum::Router, InvalidConfig> {
    let replies = Replies::default().format(UiMessageReply);
    let sessions: ChatSessions = ChatSessions::builder(store).replies(replies).build();
    let api = Api::builder(sessions)
        .use_chat("/api/chat")
        .reply_with(|chat, posted, mut reply| async move {
            // `posted` is the user's message, or the assistant's if a tool's answer came back.
            reply.push(json!({"type": "text-start", "id": "0"})).await?;
            reply.pump(model(&chat, &posted).await).await?; // chunks of the UI message stream
            reply.push(json!({"type": "text-end", "id": "0"})).await?;
            reply.finish().await?;
            Ok(())
        })
        .build()?;
    Ok(router(api, RouterOptions::default()))
}

// What the page leaves to its reader.

/// A model that writes two words.
async fn model(
    _: &durable_session::ChatSession,
    _: &durable_session::Added,
) -> impl futures_util::Stream<Item = serde_json::Value> + Unpin {
    let delta = |text: &str| json!({"type": "text-delta", "id": "0", "delta": text});
    futures_util::stream::iter([delta("I "), delta("will.")])
}
