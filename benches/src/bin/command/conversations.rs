//! Conversations in the format `messages`, made up.

use anyhow::Result;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

pub(crate) fn id(conversation: usize) -> String {
    // Neighbours in the file are no neighbours in the store.
    format!("conversation-{:08x}", conversation.wrapping_mul(2_654_435_761) & 0xffff_ffff)
}

/// The messages of a conversation: 1 to 71, 36 on average, of about 70 bytes each.
pub(crate) fn messages(conversation: usize) -> Vec<Value> {
    let message = |n: usize| {
        let role = if n.is_multiple_of(2) { "user" } else { "assistant" };
        let text = "what is said here is of no importance";
        json!({ "role": role, "content": format!("{n}. Grüße from {conversation}: \"{text}\" 🙂") })
    };
    (0..=conversation * 7919 % 71).map(message).collect()
}

/// Writes so many conversations, a line each.
pub(crate) fn write(path: &Path, conversations: usize) -> Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    for n in 0..conversations {
        writeln!(out, "{}", json!({ "id": id(n), "messages": messages(n) }))?;
    }
    Ok(out.flush()?)
}
