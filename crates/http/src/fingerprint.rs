//! Naming a session in a log without giving it away.

use durable_session::SessionId;
use sha2::{Digest, Sha256};

/// The first 16 hexadecimal digits of the SHA-256 of a session's id.
///
/// Whoever knows a session's id can read and write the session, so ids stay out of logs. An operator who was given an
/// id finds its lines with `printf %s "$ID" | sha256sum | cut -c1-16`.
///
/// ```
/// use durable_session::SessionId;
/// use durable_session_http::fingerprint;
///
/// let id = SessionId::new("session-1763264606917-w2j2kfd45").unwrap();
/// assert_eq!(fingerprint(&id), "03772da38ebbfa9f");
/// ```
pub fn fingerprint(id: &SessionId) -> String {
    let digest = Sha256::digest(id.as_str().as_bytes());
    let first = digest.iter().take(8).fold(0_u64, |bits, byte| (bits << 8) | u64::from(*byte));
    format!("{first:016x}")
}
