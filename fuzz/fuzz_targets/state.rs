//! State JSON: a state that is read and written is the same state.
#![no_main]

use durable_session::{ChatSessionState, JsonObject};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(state) = serde_json::from_slice::<ChatSessionState<JsonObject>>(data) else { return };
    let text = serde_json::to_string(&state).expect("a state can be written");
    let again: ChatSessionState<JsonObject> = serde_json::from_str(&text).expect("and read again");
    assert_eq!(serde_json::to_string(&again).expect("and written again"), text);
    assert_eq!(again.messages.len(), state.messages.len());
    assert_eq!(
        (again.created_at, again.last_accessed_at),
        (state.created_at, state.last_accessed_at)
    );
});
