//! Takes over the state of a whole-state object in JavaScript: one value under the key `chatState`.
//!
//! JavaScript itself writes the value as JSON, as that object did for its clients: the takeover
//! stores the state that clients saw. (The worker crate would turn `undefined` fields into nulls.)

use super::commit::{self, Object};
use super::find;
use crate::schema::{self, FORMER_STATE, TAKEN_OVER};
use crate::sql::{Sql, SqlError};
use bytes::Bytes;
use durable_session::json::JsonError;
use durable_session::store::{
    Commit, CommitOutcome, Expect, NewMessage, Op, StoreError, StoreErrorKind, StoreLimits,
};
use durable_session::{ChatSessionState, SessionId};
use std::borrow::Cow;
use worker::js_sys::JSON;

/// Makes the session `id` of the object's `chatState`, and marks it as taken over in the same
/// transaction. Does nothing if it is marked already. `chatState` itself stays.
pub(super) fn take_over(
    object: Object<'_>,
    id: &SessionId,
    limits: StoreLimits,
) -> Result<(), StoreError> {
    let sql = object.sql;
    let tables = object.salt.is_some();
    let failed =
        |e: SqlError| e.into_store("could not read the state of the former object").in_session(id);
    if tables
        && (schema::meta(sql, TAKEN_OVER).map_err(failed)?.is_some()
            || find::session(sql, id)?.is_some())
    {
        return Ok(());
    }
    let Some(state) = read(sql, id).map_err(failed)? else { return Ok(()) };
    let commit = commit_of(id, &state?, limits)?;
    sql.transaction(|| {
        let outcome = commit::commit(object, id, commit)?;
        if !matches!(outcome, CommitOutcome::Committed(_)) {
            return Err(StoreError::new(
                StoreErrorKind::Internal,
                "another commit created the session during its takeover",
            ));
        }
        let number = find::session(sql, id)?.map_or(0, |found| found.number);
        schema::set_meta(sql, TAKEN_OVER, number)?;
        Ok(())
    })
    .map_err(|e| e.in_session(id))
}

/// The stored state, if there is one.
#[allow(clippy::type_complexity)]
fn read(
    sql: &Sql,
    id: &SessionId,
) -> Result<Option<Result<ChatSessionState, StoreError>>, SqlError> {
    let value = sql.key(FORMER_STATE)?;
    if value.is_undefined() {
        return Ok(None);
    }
    let json = match JSON::stringify(&value) {
        Ok(json) => json.as_string(),
        Err(thrown) => return Ok(Some(Err(not_a_state(id, worker::Error::from(thrown))))),
    };
    Ok(Some(match json {
        Some(json) => parse(id, &json),
        None => Err(not_a_state(id, "it has no JSON form")),
    }))
}

fn parse(id: &SessionId, json: &str) -> Result<ChatSessionState, StoreError> {
    serde_json::from_str(&whole_characters(json)).map_err(|e| not_a_state(id, JsonError::from(e)))
}

fn not_a_state(
    id: &SessionId,
    why: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::new(
        StoreErrorKind::Corrupt,
        "the stored chatState is not the state of a session; it was not changed",
    )
    .in_session(id)
    .with_source(why)
}

/// The commit that creates the session. It may have more operations than one of a client.
fn commit_of(
    id: &SessionId,
    state: &ChatSessionState,
    limits: StoreLimits,
) -> Result<Commit, StoreError> {
    let mut ops: Vec<Op> =
        state.messages.iter().map(|message| Op::Append(NewMessage::from(message))).collect();
    ops.push(Op::SetApp(Bytes::from(state.app.to_string())));
    let commit = Commit::new(Expect::absent(state.created_at), ops, state.last_accessed_at);
    StoreLimits::new(limits.max_body_bytes, limits.max_app_bytes, u64::MAX, usize::MAX)
        .check(id, &commit)?;
    Ok(commit)
}

/// Replaces the escapes of lone surrogates, which are not Unicode text. JavaScript writes them for
/// half a character, such as an emoji that `slice` has cut. Browsers show the replacement character
/// for them, so it takes their place.
fn whole_characters(json: &str) -> Cow<'_, str> {
    let half = |rest: &str| {
        let digits = rest.as_bytes().strip_prefix(b"\\u")?.get(..4)?;
        let unit = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        // JSON.stringify escapes no character outside the control characters, so a surrogate stands
        // alone.
        Some((0xD800..0xE000).contains(&unit))
    };
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = json[at..].find('\\') {
        at += found;
        if half(&json[at..]) == Some(true) {
            out.push_str(&json[copied..at]);
            out.push_str("\\ufffd");
            at += 6;
            copied = at;
        } else {
            // The backslash and the character that it escapes, which is ASCII.
            at += 2;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{commit_of, parse, whole_characters};
    use bytes::Bytes;
    use durable_session::store::{Expect, IdTag, NewMessage, Op, StoreErrorKind, StoreLimits};
    use durable_session::{ErrorChain, SessionId};

    const LIMITS: StoreLimits = StoreLimits::new(1 << 10, 1 << 10, 1 << 12, 16);

    fn id() -> SessionId {
        SessionId::new("s").unwrap()
    }

    #[test]
    fn half_characters_become_replacement_characters_and_nothing_else_changes() {
        for (json, expected) in [
            (r#""plain é 😀 \n \\""#, r#""plain é 😀 \n \\""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""a\ud83db\ude00c""#, r#""a\ufffdb\ufffdc""#),
            (r#""\\ud83d \\\ud83d \u0007""#, r#""\\ud83d \\\ufffd \u0007""#),
            (r#""\"\ud83d\"""#, r#""\"\ufffd\"""#),
        ] {
            assert_eq!(whole_characters(json), expected);
        }
    }

    #[test]
    fn a_state_becomes_the_commit_that_creates_the_session() {
        let state = parse(
            &id(),
            r#"{"messages":[{"role":"user","content":null,"x":1},{"role":"user","id":"m-1"}],
                "step":null,"createdAt":5,"lastAccessedAt":6}"#,
        )
        .unwrap();
        let commit = commit_of(&id(), &state, LIMITS).unwrap();
        assert_eq!((commit.expect, commit.at), (Expect::absent(5), 6));
        assert_eq!(
            commit.ops,
            [
                Op::append(Bytes::from(r#"{"role":"user","content":null,"x":1}"#)),
                Op::Append(NewMessage::tagged(
                    Bytes::from(r#"{"role":"user","id":"m-1"}"#),
                    IdTag::of("m-1")
                )),
                Op::SetApp(Bytes::from(r#"{"step":null}"#))
            ]
        );
    }

    #[test]
    fn an_error_names_the_fault_of_a_state_and_shows_none_of_it() {
        let id = SessionId::new("session-1-capability").unwrap();
        for (bad, why) in [
            (
                r#"{"messages":[{"content":"private"}],"createdAt":5,"lastAccessedAt":6}"#,
                "has no `role`",
            ),
            (r#"{"messages":"private","createdAt":5,"lastAccessedAt":6}"#, "found a string"),
            (
                r#"{"messages":[],"private":1,"createdAt":"private","lastAccessedAt":6}"#,
                "`createdAt` must be whole Unix milliseconds",
            ),
            (r#"{"messages":[],"private":1,"lastAccessedAt":6}"#, "missing field `createdAt`"),
            (r#""private""#, "found a string"),
        ] {
            let error = parse(&id, bad).unwrap_err();
            let told = ErrorChain(&error).to_string();
            assert!(told.contains(why), "{told}");
            assert!(told.contains(&id.fingerprint().to_string()), "{told}");
            for told in [told, format!("{error:?}")] {
                assert!(!told.contains("private") && !told.contains("capability"), "{told}");
            }
        }
    }

    #[test]
    fn a_value_that_is_not_a_state_is_corrupt() {
        for bad in ["1", "[]", "{}", r#"{"messages":[1],"createdAt":5,"lastAccessedAt":6}"#] {
            assert_eq!(parse(&id(), bad).unwrap_err().kind(), StoreErrorKind::Corrupt, "{bad}");
        }
    }
}
