//! Pages of messages: `?limit=&before=&after=`.

use crate::wire::cursor::Cursor;
use crate::wire::refusal::Refusal;
use durable_session::{MessagePage, MessageQuery};

/// Messages in a page if the client does not set `limit`.
const DEFAULT_LIMIT: usize = 100;
/// The most messages in a page, for every `limit`.
const MAX_LIMIT: usize = 1000;

/// The page that a client requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PageQuery {
    limit: usize,
    before: Option<Cursor>,
    after: Option<After>,
}

/// The position where a page of newer messages begins.
#[derive(Debug, Clone, Copy, PartialEq)]
enum After {
    /// Before the first message.
    Start,
    Cursor(Cursor),
}

impl After {
    fn seq(self) -> u64 {
        match self {
            Self::Start => 0,
            Self::Cursor(cursor) => cursor.seq,
        }
    }
}

impl PageQuery {
    /// Parses a query string; `None` if it has no parameter of a page. Other parameters are
    /// ignored.
    pub(crate) fn parse(query: Option<&str>) -> Result<Option<Self>, Refusal> {
        let (mut limit, mut before, mut after) = (None, None, None);
        let mut from_end = None;
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "limit" => once(&mut limit, "limit", parse_limit(&value)?)?,
                // An empty `before` is the end, an empty `after` the beginning.
                "before" if value.is_empty() => once(&mut from_end, "before", ())?,
                "before" => once(&mut before, "before", value.parse::<Cursor>()?)?,
                "after" if value.is_empty() => once(&mut after, "after", After::Start)?,
                "after" => once(&mut after, "after", After::Cursor(value.parse()?))?,
                _ => {}
            }
        }
        if from_end.is_some() && before.is_some() {
            return Err(given_twice("before"));
        }
        if limit.is_none() && before.is_none() && after.is_none() && from_end.is_none() {
            return Ok(None);
        }
        Ok(Some(Self { limit: limit.unwrap_or(DEFAULT_LIMIT), before, after }))
    }

    /// The messages to read.
    pub(crate) fn messages(&self) -> MessageQuery {
        match (self.before, self.after) {
            (None, None) => MessageQuery::last(self.limit),
            (Some(before), None) => MessageQuery::before(before.seq, self.limit),
            (None, Some(after)) => MessageQuery::after(after.seq(), self.limit),
            (Some(before), Some(after)) => {
                MessageQuery::after(after.seq(), self.limit).and_before(before.seq)
            }
        }
    }

    /// The cursors that bound the page.
    pub(crate) fn cursors(&self) -> impl Iterator<Item = Cursor> + use<> {
        let after = match self.after {
            Some(After::Cursor(cursor)) => Some(cursor),
            Some(After::Start) | None => None,
        };
        self.before.into_iter().chain(after)
    }

    /// The page as JSON. `next` is the cursor for the next page: the first message of this page
    /// going back, the last message going forward.
    pub(crate) fn page_json(&self, page: &MessagePage) -> String {
        let next = match self.after {
            // More messages may be added later, so there is always a next page.
            Some(after) => Some(page.messages.last().map_or(after.seq(), |m| m.seq)),
            None => page.messages.first().filter(|_| page.more).map(|m| m.seq),
        };
        let bytes: usize = page.messages.iter().map(|m| m.message.bytes() + 40).sum();
        let mut json = String::with_capacity(bytes + 128);
        json.push_str("{\"messages\":[");
        for (i, stored) in page.messages.iter().enumerate() {
            if i > 0 {
                json.push(',');
            }
            push_row(&mut json, stored.seq, stored.message.as_json());
        }
        json.push_str("],\"next\":");
        match next {
            Some(seq) => {
                json.push('"');
                json.push_str(&Cursor::new(page.version, 0, seq).to_string());
                json.push_str("\"}");
            }
            None => json.push_str("null}"),
        }
        json
    }
}

/// Appends `{"seq":…,"message":{…}}`, the form of a message in pages and events.
pub(crate) fn push_row(json: &mut String, seq: u64, message: &str) {
    json.push_str("{\"seq\":");
    json.push_str(&seq.to_string());
    json.push_str(",\"message\":");
    json.push_str(message);
    json.push('}');
}

/// Sets a parameter; refuses one that is given twice.
pub(crate) fn once<T>(parameter: &mut Option<T>, name: &str, value: T) -> Result<(), Refusal> {
    match parameter.replace(value) {
        None => Ok(()),
        Some(_) => Err(given_twice(name)),
    }
}

fn given_twice(name: &str) -> Refusal {
    Refusal::bad_request(format!("`{name}` is given twice"))
}

/// The number of a `limit`, at most that of the largest page.
pub(crate) fn parse_limit(text: &str) -> Result<usize, Refusal> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // A number that does not fit into `usize` is larger than the largest page.
    let limit = text.parse::<usize>().unwrap_or(MAX_LIMIT);
    if digits && limit > 0 {
        Ok(limit.min(MAX_LIMIT))
    } else {
        Err(Refusal::bad_request("`limit` must be a whole number from 1"))
    }
}
