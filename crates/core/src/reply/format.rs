//! The trait of the formats.

use super::end::ReplyEnd;
use crate::Message;

/// The reason why a format refuses a message or a chunk.
pub type FormatError = Box<dyn std::error::Error + Send + Sync>;

/// How the chunks of a reply become its message.
///
/// A format is given to [`Replies::format`](crate::Replies::format). Its name is stored with each
/// reply. A reply in a format that a service does not have cannot be closed by this service: the
/// reply stays open until a service with the format ends it.
///
/// A format marks messages, so that clients can show whether a message is complete. Whether a
/// reply is open is never read from the marks.
///
/// # Contract
/// - The functions are pure: the same arguments give the same result.
/// - [`close`](Self::close) succeeds for every list of chunks that [`check`](Self::check) accepted,
///   also if the list breaks off at any place.
/// - The JSON text of the closed message is at most
///   [`StoreLimits::REPLY_RESERVE`](crate::store::StoreLimits::REPLY_RESERVE) bytes longer than the
///   opened message and all chunks together.
/// - `close` keeps the `id` of the message.
pub trait ReplyFormat: Send + Sync {
    /// The name, at most 64 bytes.
    fn name(&self) -> &str;

    /// The message as it is stored while the reply is open.
    ///
    /// # Errors
    /// The reason why no reply in this format can write the message.
    fn open(&self, message: Message) -> Result<Message, FormatError>;

    /// Checks that `chunk`, a JSON text, is a chunk of this format.
    ///
    /// # Errors
    /// The reason why it is none. The text repeats nothing of the chunk.
    fn check(&self, chunk: &str) -> Result<(), FormatError>;

    /// The message after the end of the reply.
    ///
    /// `opened` is the message that [`open`](Self::open) returned. `chunks` are JSON texts. `how`
    /// is never [`ReplyEnd::Removed`]. `reason` is the text that the producer gave to
    /// [`Reply::fail`](crate::Reply::fail).
    ///
    /// # Errors
    /// The reason why the chunks make no message. The reply stays open then.
    fn close(
        &self,
        opened: &Message,
        chunks: &mut dyn Iterator<Item = &str>,
        how: ReplyEnd,
        reason: Option<&str>,
    ) -> Result<Message, FormatError>;

    /// How the reply of a closed message ended, read from its marks; `None` if no mark of this
    /// format tells it.
    fn ended(&self, message: &Message) -> Option<ReplyEnd>;

    /// The chunks from number `at` on, made from the closed message, for a wire that has only
    /// chunks. They say the same as the stored chunks, and may be others in number. `None` if the
    /// message does not tell where chunk `at` begins.
    fn rest(&self, message: &Message, at: u64) -> Option<Vec<String>>;
}
