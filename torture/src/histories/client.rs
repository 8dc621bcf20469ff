//! A client: in the process, or through the HTTP request function.

use super::checker::{Answer, Call};
use super::process::Process;
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use durable_session::{ChatSessionState, ChatSessions, Message, SessionId};
use durable_session_http::{Api, Body};
use futures_executor::block_on;
use http::Request;

#[derive(Clone)]
pub(super) enum Client {
    Direct(ChatSessions),
    Http(Api),
    InProcess(Process),
}

impl Client {
    pub(super) fn call(&self, id: &SessionId, call: &Call) -> Result<Answer> {
        match self {
            Self::Direct(sessions) => direct(sessions, id, call),
            Self::Http(api) => through_http(api, id, call),
            Self::InProcess(process) => process.call(id, call),
        }
    }
}

fn direct(sessions: &ChatSessions, id: &SessionId, call: &Call) -> Result<Answer> {
    let chat = sessions.session(id.clone());
    Ok(match call {
        Call::Add(value) => {
            block_on(chat.add_message(Message::user(value.to_string())))?;
            Answer::Added
        }
        Call::Pop => {
            let popped = block_on(chat.pop())?;
            Answer::Popped(popped.map(|stored| value(&stored.message)).transpose()?)
        }
        Call::Read => content(&block_on(chat.get_state())?)?,
    })
}

fn through_http(api: &Api, id: &SessionId, call: &Call) -> Result<Answer> {
    let path = format!("{}/{}", api.prefix(), id.as_str());
    let request = match call {
        Call::Add(value) => Request::post(format!("{path}/messages"))
            .header("content-type", "application/json")
            .body(Message::user(value.to_string()).as_json().to_owned().into())?,
        Call::Read => Request::get(path).body(Bytes::new())?,
        Call::Pop => bail!("the protocol has no pop"),
    };
    let response = block_on(api.handle(request));
    ensure!(response.status().is_success(), "{call:?} is answered with {}", response.status());
    let Body::Full(body) = response.into_body() else { bail!("an event stream for {call:?}") };
    match call {
        Call::Read => content(&serde_json::from_slice(&body)?),
        _ => Ok(Answer::Added),
    }
}

fn content(state: &ChatSessionState) -> Result<Answer> {
    state.messages.iter().map(value).collect::<Result<_>>().map(Answer::Content)
}

fn value(message: &Message) -> Result<u32> {
    Ok(message.text().context("a message without text")?.parse()?)
}
