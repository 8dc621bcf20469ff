//! The code of docs/context.md.

use durable_session::context::Context;
use durable_session::{ChatSession, Error, Message, MessageQuery};

async fn prompt(chat: &ChatSession, seq: u64) -> Result<Vec<Message>, Error> {
    // Everything up to the message that is answered.
    let page = chat.messages(MessageQuery::before(seq + 1, 500)).await?;
    let view = Context::budget(8_000)
        .count_with(|message| tokens_of(message.as_json())) // your model's tokenizer
        .pin_if(|message| message.extra("pinned").ok().flatten() == Some(true))
        .view(page.messages.iter().map(|stored| &stored.message));
    Ok(view.messages)
}

// What the page leaves to its reader.

fn tokens_of(json: &str) -> usize {
    json.len()
}
