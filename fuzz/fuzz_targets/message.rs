//! Message JSON: an accepted message is kept byte for byte, and serde_json reads it alike.
#![no_main]

use durable_session::Message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(message) = Message::from_json(text) else { return };
    let kept = message.as_json();
    let value: serde_json::Value = serde_json::from_str(kept).expect("a message is JSON");
    assert!(value.is_object());
    assert_eq!(Message::from_json(kept).expect("a message is one again").as_json(), kept);
    let _ =
        (message.role().len(), message.text().map(|t| t.len()), message.id().map(|id| id.len()));
    let _ = message.extra::<serde_json::Value>("tutorMatch");
    let written = serde_json::to_string(&message).expect("a message can be written");
    assert_eq!(Message::from_json(written).expect("a written message can be read").as_json(), kept);
});
