//! The client's calls on replies.

use super::endpoint::Call;
use super::error::ClientError;
use super::follow::FollowReply;
use super::messages::Stopped;
use super::session::ChatSessionClient;
use http::{Method, StatusCode};

impl ChatSessionClient {
    /// Follows the reply that writes the message `seq`, from the chunk with the number `at` on. See
    /// [`FollowReply`]. If no reply is open there, the follower gives the message at once.
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// let mut follow = chat.follow(3, 0);
    /// println!("{:?}", follow.next().await?);
    /// // Later, perhaps in another process:
    /// let mut follow = chat.follow(3, follow.at());
    /// # Ok(())
    /// # }
    /// ```
    pub fn follow(&self, seq: u64, at: u64) -> FollowReply {
        FollowReply::new(self.clone(), seq, at)
    }

    /// Stops the reply that writes the message `seq`: its text so far becomes the message.
    ///
    /// ```no_run
    /// # use durable_session_http::client::{ChatSessionClient, ClientError};
    /// # async fn example(chat: ChatSessionClient) -> Result<(), ClientError> {
    /// let reply = chat.stop(3).await?;
    /// if !reply.stopped {
    ///     println!("too late, it is {:?}", reply.message.text());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError`]; [`is_not_found`](ClientError::is_not_found) if there is no such message.
    pub async fn stop(&self, seq: u64) -> Result<Stopped, ClientError> {
        let call = Call::new(Method::POST, &format!("/replies/{seq}/stop"));
        self.read(call.answered_by(StatusCode::CONFLICT)).await
    }
}
