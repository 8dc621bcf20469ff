//! The client follows replies over connections that break.

use crate::host::{Host, api_with, id, listen};
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use durable_session::{ChatSessions, Message, Opened, Reply};
use durable_session_http::client::{ChatSessionClient, ClientError, Event, FollowedReply, Retry};
use durable_session_http::server::{ProxyOptions, RouterOptions, Shutdown, proxy, router};
use durable_session_memory::MemoryStore;
use futures_util::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tutoring::Tutoring;

fn quick() -> Retry {
    Retry::default().waits(Duration::from_millis(1), Duration::from_millis(5))
}

/// Cuts each event stream off after one to three items.
async fn cut(count: Arc<AtomicUsize>, request: Request, next: Next) -> Response {
    let events = request.uri().path().ends_with("/events");
    let response = next.run(request).await;
    if !events {
        return response;
    }
    let items = 1 + count.fetch_add(1, Ordering::Relaxed) % 3;
    response.map(|body| Body::from_stream(body.into_data_stream().take(items)))
}

/// A service that cuts its streams, and how many it has cut.
async fn cutting() -> (Host, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let its = Arc::clone(&count);
    let host = Host::start_with(|app| {
        app.layer(middleware::from_fn(move |request: Request, next: Next| {
            cut(Arc::clone(&its), request, next)
        }))
    });
    (host.await, count)
}

async fn open(host: &Host, chat: &ChatSessionClient) -> Reply<Tutoring> {
    let session = host.sessions.session(chat.id().clone());
    let opened = session.reply(|draft| {
        draft.add_message(Message::user("why"))?;
        Ok(Message::assistant(""))
    });
    match opened.await.unwrap() {
        Opened::New(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// Everything that a follower gets: the chunks with their numbers, and the message.
async fn follow(
    chat: ChatSessionClient,
    seq: u64,
    at: u64,
) -> Result<(Vec<(u64, String)>, Option<Message>), ClientError> {
    let mut follow = chat.follow(seq, at);
    let mut chunks = Vec::new();
    loop {
        match follow.next().await? {
            FollowedReply::Chunk { at, json } => chunks.push((at, json)),
            FollowedReply::Ended(message) => return Ok((chunks, message)),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_follower_gets_each_chunk_once_over_any_number_of_connections() {
    let (host, cuts) = cutting().await;
    let chat = ChatSessionClient::new(&host.base(), id()).unwrap().retry(quick());
    let mut reply = open(&host, &chat).await;
    let followers: Vec<_> =
        [0, 0, 7].into_iter().map(|at| (at, tokio::spawn(follow(chat.clone(), 3, at)))).collect();
    for n in 0..60 {
        reply.push(format!("{n} ")).await.unwrap();
        if n % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if n % 20 == 0 {
            // For the followers, a change that only a resync describes.
            let session = host.sessions.session(chat.id().clone());
            session.update(|app| app.last_search_criteria = None).await.unwrap();
        }
    }
    let stored = reply.finish().await.unwrap();
    let whole: Vec<_> = (0..60).map(|n| (n, format!("\"{n} \""))).collect();
    for (from, follower) in followers {
        let (chunks, message) = follower.await.unwrap().unwrap();
        assert_eq!(message.as_ref(), Some(&stored.message));
        // The last chunks may come as the message only.
        let from = usize::try_from(from).unwrap();
        assert_eq!(chunks, whole[from.min(chunks.len() + from)..][..chunks.len()], "from {from}");
    }
    assert!(cuts.load(Ordering::Relaxed) > 10);
    // Who comes late gets the message.
    assert_eq!(follow(chat, 3, 0).await.unwrap(), (vec![], Some(stored.message)));
}

#[tokio::test]
async fn a_follower_learns_of_a_stop_a_removal_and_a_missing_message() {
    let host = Host::start().await;
    let chat = ChatSessionClient::new(&host.base(), id()).unwrap().retry(quick());
    let mut reply = open(&host, &chat).await;
    reply.push("be").await.unwrap();
    let mut stopped = chat.follow(3, 0);
    assert_eq!(
        stopped.next().await.unwrap(),
        FollowedReply::Chunk { at: 0, json: "\"be\"".to_owned() }
    );
    assert_eq!((stopped.seq(), stopped.at()), (3, 1));
    let answer = chat.stop(3).await.unwrap();
    assert!(answer.stopped);
    assert_eq!(answer.message.text().as_deref(), Some("be"));
    assert_eq!(stopped.next().await.unwrap(), FollowedReply::Ended(Some(answer.message.clone())));
    assert_eq!(chat.stop(3).await.unwrap(), answer);

    let mut reply = open(&host, &chat).await;
    reply.push("so").await.unwrap();
    let mut removed = chat.follow(5, 0);
    removed.next().await.unwrap();
    chat.remove(5, None).await.unwrap();
    assert_eq!(removed.next().await.unwrap(), FollowedReply::Ended(None));
    assert_eq!(chat.follow(77, 0).next().await.unwrap(), FollowedReply::Ended(None));
    assert!(chat.stop(77).await.unwrap_err().is_not_found());
    let late = chat.stop(2).await.unwrap();
    assert!(!late.stopped);
    assert_eq!(late.message, Message::user("why"));
    chat.delete().await.unwrap();
}

#[tokio::test]
async fn replies_are_posted_followed_and_stopped_through_a_proxy() {
    let sessions = ChatSessions::<Tutoring>::builder(MemoryStore::new()).build();
    let api = api_with(sessions, |api| {
        api.reply_with(|_, _, mut reply| async move {
            reply.push("Life").await?;
            reply.ended().await.map(drop)
        })
    });
    let shutdown = Shutdown::new();
    let mut options = RouterOptions::default();
    options.shutdown = shutdown.clone();
    let (service, _) = listen(router(api, options), shutdown.clone()).await;
    let routes = proxy(&format!("http://{service}"), ProxyOptions::default()).unwrap();
    let (front, _) = listen(routes, shutdown.clone()).await;
    let chat = ChatSessionClient::new(&format!("http://{front}"), id()).unwrap().retry(quick());
    let mut events = chat.events(None);
    events.open().await.unwrap();
    let posted = chat.add_message(Message::user("Explain lifetimes")).await.unwrap();
    let seq = posted.reply.unwrap();
    let mut follow = chat.follow(seq, 0);
    let chunk = FollowedReply::Chunk { at: 0, json: "\"Life\"".to_owned() };
    assert_eq!(follow.next().await.unwrap(), chunk);
    let stopped = chat.stop(seq).await.unwrap();
    assert_eq!(follow.next().await.unwrap(), FollowedReply::Ended(Some(stopped.message.clone())));
    assert!(matches!(events.next().await.unwrap(), Event::Message { .. }));
    assert!(matches!(events.next().await.unwrap(), Event::Reply { seq: 2, .. }));
    let chunk = Event::Chunk { seq, at: 0, json: "\"Life\"".to_owned() };
    assert_eq!(events.next().await.unwrap(), chunk);
    let end = Event::Message { seq, message: stopped.message };
    assert_eq!(events.next().await.unwrap(), end);
    shutdown.begin();
}
