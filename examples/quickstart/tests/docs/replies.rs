//! The code of docs/replies.md.

use durable_session::{ChatSessions, MessageQuery};
use durable_session_http::server::{RouterOptions, ServeOptions, router, serve};
use durable_session_http::{Api, ClientPermissions};
use durable_session_redb::RedbStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = RedbStore::open("chat.redb")?;
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    let api = Api::builder(sessions.clone())
        .client_permissions(ClientPermissions::public())
        .reply_with(|chat, posted, mut reply| async move {
            // Everything up to the message that is answered.
            let query = MessageQuery::before(posted.seq + 1, 50);
            let history = chat.messages(query).await?.messages;
            match model(&history).await {
                Ok(words) => {
                    reply.pump(words).await?; // a `Stream` of texts; reads ahead while it writes
                    reply.finish().await?;
                }
                Err(e) => drop(reply.fail(e).await?),
            }
            Ok(())
        })
        .build()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    serve(listener, router(api, RouterOptions::default()), ServeOptions::default()).await;
    sessions.close().await?;
    store.close().await?;
    Ok(())
}

// What the page leaves to its reader.

/// A model that writes three words.
async fn model(
    history: &[durable_session::StoredMessage],
) -> Result<futures_util::stream::Iter<std::array::IntoIter<&'static str, 3>>, std::io::Error> {
    assert!(!history.is_empty(), "the question is in the history");
    Ok(futures_util::stream::iter(["I ", "will ", "look."]))
}
