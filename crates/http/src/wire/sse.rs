//! The text of server-sent events.

use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt::{Display, Write};

/// The event that shows that an event stream is alive. It has no `id`, so a client resumes from the
/// event before it.
///
/// A stream begins with it, unless it begins with `resync`. A transport sends it after each
/// interval of silence. A client that receives nothing for several intervals knows that the
/// connection is dead. A comment would not do, since scripts in a page never see comments.
pub const PING: &str = "event: ping\ndata: {}\n\n";

/// The comment after which a client knows of every open reply: a stream sends it once it has named
/// them, at its beginning and after each `resync`. A ping would not do, since transports send pings
/// at any time.
pub(crate) const NAMED: &str = ": every open reply is named\n\n";

/// So many bytes of chunks are sent together, if they are there.
const BATCH: usize = 16 << 10;

/// Events that are encoded and not yet sent.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    items: VecDeque<String>,
    /// The last item has chunks only.
    chunks: bool,
}

impl Outgoing {
    /// Adds an event.
    pub(crate) fn push(&mut self, name: &str, id: &impl Display, data: &str) {
        let mut text = String::new();
        push_event(&mut text, name, id, data);
        self.push_text(text);
    }

    /// Adds the event of a chunk, which is sent together with those before it.
    pub(crate) fn push_chunk(&mut self, id: &impl Display, data: &str) {
        match self.items.back_mut().filter(|last| self.chunks && last.len() < BATCH) {
            Some(last) => push_event(last, "chunk", id, data),
            None => self.push("chunk", id, data),
        }
        self.chunks = true;
    }

    pub(crate) fn push_text(&mut self, text: String) {
        self.items.push_back(text);
        self.chunks = false;
    }

    /// Whether the last item takes another chunk.
    pub(crate) fn takes_chunks(&self) -> bool {
        self.chunks && self.items.back().is_some_and(|last| last.len() < BATCH)
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        self.items.pop_front().map(Bytes::from)
    }
}

/// Appends one event with any JSON text as its data. Line ends in JSON are white space; each begins
/// another `data` line.
fn push_event(text: &mut String, name: &str, id: &impl Display, data: &str) {
    text.reserve(data.len() + 160);
    text.push_str("event: ");
    text.push_str(name);
    push_id(text, id);
    for line in data.split(['\r', '\n']) {
        text.push_str("\ndata: ");
        text.push_str(line);
    }
    text.push_str("\n\n");
}

/// The beginning of a stream: a comment with the cursor to resume from if the stream breaks before
/// its first event with an id.
pub(crate) fn opening(id: &impl Display) -> String {
    let mut text = String::from(": following");
    push_id(&mut text, id);
    text.push_str("\n\n");
    text
}

fn push_id(text: &mut String, id: &impl Display) {
    // Writing into memory cannot fail.
    let _ = write!(text, "\nid: {id}");
}

#[cfg(test)]
mod tests {
    use super::push_event;
    use crate::wire::cursor::Cursor;

    #[test]
    fn line_ends_in_the_data_cannot_end_an_event() {
        let id = Cursor::new(None, 0, 1);
        let mut text = String::new();
        push_event(&mut text, "message", &id, "{\r\n\"a\":\n1}\r");
        let expected = format!(
            "event: message\nid: {id}\ndata: {{\ndata: \ndata: \"a\":\ndata: 1}}\ndata: \n\n"
        );
        assert_eq!(text, expected);
    }
}
