//! The text of server-sent events.

use crate::cursor::Cursor;
use bytes::Bytes;

/// The event that keeps an event stream alive: it says nothing but that the stream is there. It has no `id`, so a client
/// that resumes goes on from the event before it.
///
/// A transport sends it whenever a stream was silent for a while; a client that has heard nothing for several times as long
/// knows that the connection is dead. A comment would not do: pages never see comments.
pub const PING: &str = "event: ping\ndata: {}\n\n";

/// One event. Its data may be any JSON text: line ends are only white space there, and become lines of data.
pub(crate) fn event(name: &str, id: &Cursor, data: &str) -> Bytes {
    let mut text = String::with_capacity(data.len() + 160);
    text.push_str("event: ");
    text.push_str(name);
    push_id(&mut text, id);
    for line in data.split(['\r', '\n']) {
        text.push_str("\ndata: ");
        text.push_str(line);
    }
    text.push_str("\n\n");
    text.into()
}

/// No event, but the place to resume from if the stream breaks before the first one.
pub(crate) fn place(id: &Cursor) -> Bytes {
    let mut text = String::from(": following");
    push_id(&mut text, id);
    text.push_str("\n\n");
    text.into()
}

fn push_id(text: &mut String, id: &Cursor) {
    text.push_str("\nid: ");
    text.push_str(&id.to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_in_the_data_cannot_end_an_event() {
        let id = Cursor::new(None, 0, 1);
        let text = event("message", &id, "{\r\n\"a\":\n1}\r");
        let expected =
            format!("event: message\nid: {id}\ndata: {{\ndata: \ndata: \"a\":\ndata: 1}}\ndata: \n\n");
        assert_eq!(text, expected.as_bytes());
    }
}
