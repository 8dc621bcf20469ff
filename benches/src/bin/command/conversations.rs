//! Conversations in the format `messages`, made up.

use anyhow::Result;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Messages of a conversation: between 1 and 71, 36 on average.
pub(crate) fn messages(conversation: usize) -> usize {
    1 + conversation * 7919 % 71
}

pub(crate) fn id(conversation: usize) -> String {
    // Neighbours in the file are no neighbours in the store.
    format!("conversation-{:08x}", conversation.wrapping_mul(2_654_435_761) & 0xffff_ffff)
}

pub(crate) fn role(message: usize) -> &'static str {
    if message.is_multiple_of(2) { "user" } else { "assistant" }
}

/// About 70 bytes.
pub(crate) fn text(conversation: usize, message: usize) -> String {
    format!("{message}. Grüße from {conversation}: \"what is said here is of no importance\" 🙂")
}

/// Writes so many of them, a line each.
pub(crate) fn write(path: &Path, conversations: usize) -> Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    for conversation in 0..conversations {
        let messages: Vec<_> = (0..messages(conversation))
            .map(|n| serde_json::json!({ "role": role(n), "content": text(conversation, n) }))
            .collect();
        let line = serde_json::json!({ "id": id(conversation), "messages": messages });
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}
