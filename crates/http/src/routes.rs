//! Which session a path names, and what of it.

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
    pub(crate) fn find(rest: &str, fields: &'a [Field]) -> Result<Self, Refusal> {
        let name = match rest {
            "" | "/" => return Ok(Self::State),
            _ => rest.strip_prefix('/').unwrap_or(rest),
        };
        match name {
            "messages" => Ok(Self::Messages),
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
            Self::Reset => &[Method::POST],
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

#[cfg(test)]
mod tests {
    use super::*;

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
