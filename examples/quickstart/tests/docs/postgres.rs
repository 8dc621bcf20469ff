//! The code of docs/postgres.md.

use durable_session::ChatSessions;
use durable_session_postgres::PostgresStore;
use std::time::Duration;
use tokio::time::sleep;

async fn open() -> Result<ChatSessions, Box<dyn std::error::Error>> {
    let store = PostgresStore::builder("postgres://chat@localhost/chat").open().await?;
    // Watchers ask the store twice a second, and at once after a hint.
    let builder = ChatSessions::builder(store.clone());
    let sessions: ChatSessions = builder.watch_every(|| sleep(Duration::from_millis(500))).build();
    let listening = sessions.clone();
    tokio::spawn(async move {
        loop {
            if let Err(error) = listening.listen(&store).await {
                eprintln!("no hints, only questions: {error}");
            }
            sleep(Duration::from_secs(1)).await;
        }
    });
    Ok(sessions)
}

// What the page leaves to its reader.
