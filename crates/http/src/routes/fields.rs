//! Reading and replacing single fields of the app state.

use crate::config::FieldRoute;
use crate::routes::preconditions::turn;
use crate::wire::body::Body;
use crate::wire::errors;
use crate::wire::input::Input;
use crate::wire::refusal::Refusal;
use crate::wire::response::{self, success};
use durable_session::{AppState, ChatSession, Draft, Error, ErrorChain, JsonObject, json};
use http::{Response, StatusCode};

/// `GET`: the value of the field, `null` if there is none.
pub(crate) async fn get<A: AppState>(
    chat: &ChatSession<A>,
    field: &FieldRoute,
) -> Result<Response<Body>, Refusal> {
    let app = chat.snapshot().await.and_then(|snapshot| snapshot.app_json());
    let app = app.map_err(|e| errors::refusal(chat.id(), &e))?;
    let value = app.get_json(&field.field).unwrap_or("null").to_owned();
    Ok(response::json(StatusCode::OK, value))
}

/// `PUT` and `DELETE`: replaces the value of the field.
pub(crate) async fn put<A: AppState>(
    chat: &ChatSession<A>,
    field: &FieldRoute,
    value: &str,
    input: &Input,
) -> Result<Response<Body>, Refusal> {
    // Parsed once; the turn may run several times.
    let mut given = JsonObject::new();
    given
        .set_json(&field.field, value)
        .map_err(|e| Refusal::bad_request(format!("the body must be JSON: {e}")))?;
    turn(chat, input, |draft| set_fields(draft, &given)).await?;
    Ok(success())
}

/// Replaces the fields of the app state that `given` has. A field with an equal value stays as it
/// is written.
pub(crate) fn set_fields<A: AppState>(
    draft: &mut Draft<'_, A>,
    given: &JsonObject,
) -> Result<(), Error> {
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
