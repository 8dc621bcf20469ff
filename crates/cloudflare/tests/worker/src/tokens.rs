//! Replies of tokens of four bytes, as many as the user's message says.

use durable_session::{Added, Error, Reply};
use futures_util::stream::{self, StreamExt};
use std::time::Duration;
use worker::Delay;
use worker::send::SendFuture;

/// Writes a reply. The message is `COUNT`, `COUNT unended` (the reply is left open until somebody
/// ends it) or `COUNT unended at once` (the tokens do not come one by one).
pub(crate) async fn write(posted: Added, mut reply: Reply, every: Duration) -> Result<(), Error> {
    let text = posted.message.text().unwrap_or_default().into_owned();
    let count: u32 =
        text.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or_default();
    let at_once = text.ends_with("at once");
    let tokens = stream::iter(0..count).then(|n| async move {
        if !at_once {
            SendFuture::new(Delay::from(every)).await;
        }
        format!("{n:03} ")
    });
    reply.pump(tokens).await?;
    if text.contains("unended") {
        reply.ended().await?;
    }
    reply.finish().await.map(drop)
}
