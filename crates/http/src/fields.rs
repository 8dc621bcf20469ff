//! The routes to single fields of the app state.

use crate::api::turn;
use crate::body::Body;
use crate::errors;
use crate::input::Input;
use crate::refusal::{self, Refusal, success};
use durable_session::{AppState, ChatSession, Draft, Error, ErrorChain, JsonObject, json};
use http::{Method, Response, StatusCode};

/// A field route, as it was configured.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) route: String,
    /// Its name in the app state.
    pub(crate) key: String,
    pub(crate) methods: Vec<Method>,
}

/// The field's value; `null` if there is none.
pub(crate) async fn get<A: AppState>(
    chat: &ChatSession<A>,
    field: &Field,
) -> Result<Response<Body>, Refusal> {
    let app = chat.snapshot().await.and_then(|snapshot| snapshot.app_json());
    let app = app.map_err(|e| errors::refusal(chat.id(), &e))?;
    let value = app.get_json(&field.key).unwrap_or("null").to_owned();
    Ok(refusal::json(StatusCode::OK, value))
}

/// Replaces the field's value.
pub(crate) async fn put<A: AppState>(
    chat: &ChatSession<A>,
    field: &Field,
    value: &str,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    // Checked once; the turn may run several times.
    let mut given = JsonObject::new();
    given
        .set_json(&field.key, value)
        .map_err(|e| Refusal::bad_request(format!("the body must be JSON: {e}")))?;
    turn(chat, input, |draft| set_fields(draft, &given)).await?;
    Ok(success())
}

/// Puts the fields of `given` in the place of those in the app state. One that says what is there
/// already stays as it is.
pub(crate) fn set_fields<A: AppState>(draft: &mut Draft<'_, A>, given: &JsonObject) -> Result<(), Error> {
    if given.is_empty() {
        return Ok(());
    }
    let mut app = draft.app_json()?;
    for (key, value) in given.iter() {
        if !app.get_json(key).is_some_and(|stored| json::equal(stored, value)) {
            app.set_json(key, value).map_err(Error::rejected)?;
        }
    }
    draft.set_app_json(&app).map_err(|e| match e {
        Error::AppState { source, .. } => Error::rejected(Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("nothing was changed: {}", ErrorChain(&*source)),
        )),
        other => other,
    })
}
