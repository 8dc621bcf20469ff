//! Paths: which session and which of its routes they name.

use crate::client_permissions::ClientPermissions;
use crate::config::FieldRoute;
use crate::wire::refusal::Refusal;
use durable_session::SessionId;
use http::Method;
use percent_encoding::percent_decode_str;

/// A route of a session.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route<'a> {
    State,
    Messages,
    /// The message with this seq.
    Message(u64),
    Rewind,
    Reset,
    Events,
    /// Stopping the reply that writes the message with this seq.
    Stop(u64),
    Labels,
    Fork,
    Field(&'a FieldRoute),
}

/// Splits a path under `prefix` into the session's id and the rest of the path.
///
/// The id is percent-decoded once, and an id cannot contain `%`, `/` or `\`: no encoding can hide
/// another path in it. For code in front of an [`Api`](crate::Api) that needs the session, such as
/// a Worker in front of Durable Objects.
///
/// ```
/// use durable_session_http::session_of;
///
/// let (id, rest) = session_of("/api/chat/session", "/api/chat/session/s-1/messages").unwrap();
/// assert_eq!((id.as_str(), rest), ("s-1", "/messages"));
/// assert_eq!(session_of("/api/chat/session", "/health").unwrap_err().status(), 404);
/// ```
///
/// # Errors
/// The [`Refusal`] of an [`Api`](crate::Api): 404 for another path, 400 for an
/// id that is not valid.
pub fn session_of<'p>(prefix: &str, path: &'p str) -> Result<(SessionId, &'p str), Refusal> {
    let under = path.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/'));
    let Some(under) = under.filter(|rest| !rest.is_empty()) else {
        return Err(Refusal::not_found());
    };
    let (id, rest) = match under.find('/') {
        Some(slash) => under.split_at(slash),
        None => (under, ""),
    };
    let decoded = percent_decode_str(id)
        .decode_utf8()
        .map_err(|_| Refusal::bad_request("the session id is not UTF-8"))?;
    let id = SessionId::new(decoded).map_err(|e| Refusal::bad_request(e.to_string()))?;
    Ok((id, rest))
}

impl<'a> Route<'a> {
    /// The route with this path after the session id. Route names need no percent-encoding, so the
    /// path is not decoded. A route that clients may not use is not found.
    pub(crate) fn find(
        rest: &str,
        fields: &'a [FieldRoute],
        may: &ClientPermissions,
        conversations: bool,
    ) -> Result<Self, Refusal> {
        let name = match rest {
            "" | "/" => return Ok(Self::State),
            _ => rest.strip_prefix('/').unwrap_or(rest),
        };
        if may.may_rewrite()
            && let Some(seq) = name.strip_prefix("messages/").filter(|seq| !seq.contains('/'))
        {
            return parse_seq(seq).map(Self::Message);
        }
        if let Some(seq) = name.strip_prefix("replies/").and_then(|rest| rest.strip_suffix("/stop"))
            && !seq.contains('/')
        {
            return parse_seq(seq).map(Self::Stop);
        }
        match name {
            "messages" => Ok(Self::Messages),
            "rewind" if may.may_rewrite() => Ok(Self::Rewind),
            "reset" => Ok(Self::Reset),
            "events" => Ok(Self::Events),
            "labels" if conversations => Ok(Self::Labels),
            "fork" if conversations => Ok(Self::Fork),
            _ => fields
                .iter()
                .find(|field| field.route == name)
                .map(Self::Field)
                .ok_or_else(Refusal::not_found),
        }
    }

    /// The methods of the route. `HEAD` comes with `GET`.
    pub(crate) fn methods(&self) -> &[Method] {
        match self {
            Self::State => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Messages => &[Method::GET, Method::POST],
            Self::Message(_) => &[Method::PUT, Method::DELETE],
            Self::Reset | Self::Rewind | Self::Stop(_) | Self::Fork => &[Method::POST],
            Self::Labels => &[Method::PUT],
            Self::Events => &[Method::GET],
            Self::Field(field) => &field.methods,
        }
    }

    /// The method to handle: `GET` for `HEAD`, otherwise the method of the request.
    pub(crate) fn method(&self, requested: &Method) -> Result<Method, Refusal> {
        let method = if *requested == Method::HEAD { Method::GET } else { requested.clone() };
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

/// The seq in a path. A number too large for a seq is `u64::MAX`, which no message has.
fn parse_seq(text: &str) -> Result<u64, Refusal> {
    let digits =
        text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0') && !text.is_empty();
    if digits {
        Ok(text.parse().unwrap_or(u64::MAX))
    } else {
        Err(Refusal::bad_request("a message's seq must be a whole number from 1"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Route, session_of};
    use crate::client_permissions::ClientPermissions;

    #[test]
    fn routes_of_messages_and_replies_take_a_seq() {
        let (all, public) = (ClientPermissions::everything(), ClientPermissions::public());
        let found = |rest: &str, may: &ClientPermissions| {
            Route::find(rest, &[], may, true).map_err(|refusal| refusal.status().as_u16())
        };
        for (rest, seq) in
            [("/messages/1", 1), ("/messages/20", 20), ("/messages/99999999999999999999", u64::MAX)]
        {
            assert!(
                matches!(found(rest, &all), Ok(Route::Message(found)) if found == seq),
                "{rest}"
            );
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
        assert!(matches!(found("/replies/7/stop", &public), Ok(Route::Stop(7))));
        for (bad, status) in [
            ("/replies/0/stop", 400),
            ("/replies//stop", 400),
            ("/replies/1/2/stop", 404),
            ("/replies/1", 404),
            ("/replies/stop", 404),
        ] {
            assert_eq!(found(bad, &all).unwrap_err(), status, "{bad}");
        }
        for none in ["/messages/1", "/messages/0", "/messages/x", "/rewind"] {
            assert_eq!(found(none, &public).unwrap_err(), 404, "{none}");
        }
        assert!(matches!(found("/rewind", &all), Ok(Route::Rewind)));
        assert!(matches!(found("/fork", &public), Ok(Route::Fork)));
        assert!(matches!(found("/labels", &public), Ok(Route::Labels)));
        for none in ["/fork", "/labels"] {
            assert_eq!(Route::find(none, &[], &all, false).unwrap_err().status(), 404, "{none}");
        }
    }

    #[test]
    fn an_id_is_decoded_once_and_cannot_hide_a_path() {
        let found =
            |path: &str| session_of("/s", path).map(|(id, rest)| format!("{} {rest}", id.as_str()));
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
