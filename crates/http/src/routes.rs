//! Which session a path names, and what of it.

use crate::client_may::ClientMay;
use crate::fields::Field;
use crate::refusal::Refusal;
use durable_session::SessionId;
use http::Method;
use percent_encoding::percent_decode_str;

/// What of a session a path names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    State,
    Messages,
    /// The message at this seq.
    Message(u64),
    Rewind,
    Reset,
    Events,
    Field(&'a Field),
}

/// The session and the rest of the path, of a path under `prefix`.
///
/// The id is percent-decoded once, and an id may not hold `%`, `/` or `\`: no encoding can hide another path in it. For what
/// stands in front of an [`Api`](crate::Api) and has to know the session, such as a Worker in front of Durable Objects.
///
/// # Errors
/// The [`Refusal`] that an [`Api`](crate::Api) would answer.
pub fn session_of<'p>(prefix: &str, path: &'p str) -> Result<(SessionId, &'p str), Refusal> {
    let under = path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/'));
    let Some(under) = under.filter(|rest| !rest.is_empty()) else { return Err(Refusal::not_found()) };
    let (id, rest) = match under.find('/') {
        Some(slash) => under.split_at(slash),
        None => (under, ""),
    };
    let decoded = percent_decode_str(id)
        .decode_utf8()
        .map_err(|_| Refusal::bad_request("the session id is not text"))?;
    let id = SessionId::new(decoded).map_err(|e| Refusal::bad_request(e.to_string()))?;
    Ok((id, rest))
}

impl<'a> Place<'a> {
    /// What the rest of a path names. It is taken as it is: route names need no encoding.
    /// Routes that clients may not use do not exist.
    pub(crate) fn find(rest: &str, fields: &'a [Field], may: &ClientMay) -> Result<Self, Refusal> {
        let name = match rest {
            "" | "/" => return Ok(Self::State),
            _ => rest.strip_prefix('/').unwrap_or(rest),
        };
        if may.may_rewrite()
            && let Some(seq) = name.strip_prefix("messages/").filter(|seq| !seq.contains('/'))
        {
            return parse_seq(seq).map(Self::Message);
        }
        match name {
            "messages" => Ok(Self::Messages),
            "rewind" if may.may_rewrite() => Ok(Self::Rewind),
            "reset" => Ok(Self::Reset),
            "events" => Ok(Self::Events),
            _ => fields
                .iter()
                .find(|field| field.route == name)
                .map(Self::Field)
                .ok_or_else(Refusal::not_found),
        }
    }

    /// The methods it takes. `HEAD` is `GET` without the body.
    pub(crate) fn methods(&self) -> &[Method] {
        match self {
            Self::State => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Messages => &[Method::GET, Method::POST],
            Self::Message(_) => &[Method::PUT, Method::DELETE],
            Self::Reset | Self::Rewind => &[Method::POST],
            Self::Events => &[Method::GET],
            Self::Field(field) => &field.methods,
        }
    }

    /// The method to act on, with `HEAD` taken for `GET`.
    pub(crate) fn method(&self, asked: &Method) -> Result<Method, Refusal> {
        let method = if *asked == Method::HEAD { Method::GET } else { asked.clone() };
        if self.methods().contains(&method) {
            Ok(method)
        } else {
            Err(Refusal::method_not_allowed(&self.allow()))
        }
    }

    fn allow(&self) -> String {
        let mut names: Vec<&str> = self.methods().iter().map(Method::as_str).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        names.join(", ")
    }
}

/// The seq in a path. One with more digits than a seq can have is a seq without a message.
fn parse_seq(text: &str) -> Result<u64, Refusal> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0') && !text.is_empty();
    if digits {
        Ok(text.parse().unwrap_or(u64::MAX))
    } else {
        Err(Refusal::bad_request("a message's seq must be a whole number from 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_named_by_its_seq() {
        let (all, public) = (ClientMay::everything(), ClientMay::public());
        let found = |rest: &str, may: &ClientMay| {
            Place::find(rest, &[], may).map_err(|refusal| refusal.status().as_u16())
        };
        for (rest, seq) in
            [("/messages/1", 1), ("/messages/20", 20), ("/messages/99999999999999999999", u64::MAX)]
        {
            assert!(matches!(found(rest, &all), Ok(Place::Message(found)) if found == seq), "{rest}");
        }
        for bad in [
            "/messages/0",
            "/messages/01",
            "/messages/+1",
            "/messages/-1",
            "/messages/1.0",
            "/messages/",
            "/messages/x",
            "/messages/%31",
        ] {
            assert_eq!(found(bad, &all).unwrap_err(), 400, "{bad}");
        }
        assert_eq!(found("/messages/1/x", &all).unwrap_err(), 404);
        for none in ["/messages/1", "/messages/0", "/messages/x", "/rewind"] {
            assert_eq!(found(none, &public).unwrap_err(), 404, "{none}");
        }
        assert!(matches!(found("/rewind", &all), Ok(Place::Rewind)));
    }

    #[test]
    fn an_id_is_decoded_once_and_cannot_hide_a_path() {
        let found = |path: &str| session_of("/s", path).map(|(id, rest)| format!("{} {rest}", id.as_str()));
        assert_eq!(found("/s/a-1/messages").unwrap(), "a-1 /messages");
        assert_eq!(found("/s/a%3A1").unwrap(), "a:1 ");
        assert_eq!(found("/s/a/").unwrap(), "a /");
        for bad in [
            "/s/a%2Fb",
            "/s/..",
            "/s/%2e%2e/x",
            "/s/a%5Cb",
            "/s/a%252Fb",
            "/s/a%00b",
            "/s/%C3%A9",
            "/s/%FF",
            "/s/%",
        ] {
            assert_eq!(found(bad).unwrap_err().status(), 400, "{bad}");
        }
        for unknown in ["/s", "/s/", "/x/a", "/sa/b", "/"] {
            assert_eq!(found(unknown).unwrap_err().status(), 404, "{unknown}");
        }
    }
}
