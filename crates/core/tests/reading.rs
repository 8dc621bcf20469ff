//! Pages of messages, from memory and from the store.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests

mod common;

use common::{Puppet, id, texts};
use durable_session::store::{Commit, Expect, Op, Order, SessionStore, StoreErrorKind};
use durable_session::{ChatSession, Error, Message, MessagePage, MessageQuery};

fn with_window(store: &Puppet, messages: usize) -> ChatSession {
    let sessions = store.with_window(messages, 100_000);
    sessions.session(id("s"))
}

fn seqs(page: &MessagePage) -> Vec<u64> {
    page.messages.iter().map(|message| message.seq).collect()
}

/// The seqs of a page, oldest first, and whether there are more, by the words of the documentation.
fn expected(
    all: &[(u64, u64)],
    order: Order,
    within: (u64, u64),
    max: usize,
    max_bytes: u64,
) -> (Vec<u64>, bool) {
    let mut inside: Vec<_> =
        all.iter().filter(|(seq, _)| within.0 < *seq && *seq < within.1).collect();
    if order == Order::Backward {
        inside.reverse();
    }
    let mut bytes = 0;
    let fits = inside.iter().enumerate().take_while(|(n, (_, body))| {
        bytes += body;
        *n == 0 || (*n < max && bytes <= max_bytes)
    });
    let count = fits.count();
    let mut page: Vec<_> = inside[..count].iter().map(|(seq, _)| *seq).collect();
    page.sort_unstable();
    (page, count < inside.len())
}

/// Clause C9.
#[tokio::test]
async fn a_page_keeps_to_its_bounds_wherever_its_messages_are() {
    let store = Puppet::new();
    let writer = with_window(&store, 100);
    let texts = ["a", "bbbb", "cc", "d", "eeeeeeee", "ff", "g", "hhh"];
    writer.add_messages(texts.map(Message::user).to_vec()).await.unwrap();
    for removed in [0, 3, 7] {
        if removed > 0 {
            writer.remove(removed).await.unwrap();
        }
        let whole = writer.messages(MessageQuery::after(0, 99)).await.unwrap();
        let all: Vec<_> =
            whole.messages.iter().map(|m| (m.seq, m.message.bytes() as u64)).collect();
        let bytes = |rows: &[(u64, u64)]| rows.iter().map(|(_, bytes)| bytes).sum::<u64>();
        // To the byte, from either end.
        let (first, last) = (bytes(&all[..2]), bytes(&all[all.len() - 3..]));
        let bounds = [
            (0, 0),
            (1, 999),
            (3, first - 1),
            (99, first),
            (99, last),
            (99, last - 1),
            (4, 999),
            (99, 999),
        ];
        // All in memory, some, hardly any.
        for chat in [with_window(&store, 100), with_window(&store, 4), with_window(&store, 1)] {
            for (after, before) in
                (0..=9).flat_map(|after| (0..=10).map(move |before| (after, before)))
            {
                for (max, max_bytes) in bounds {
                    for order in [Order::Forward, Order::Backward] {
                        let query = match order {
                            Order::Forward => MessageQuery::after(after, max).and_before(before),
                            Order::Backward => MessageQuery::before(before, max).and_after(after),
                        };
                        let page = chat.messages(query.max_bytes(max_bytes)).await.unwrap();
                        let expected = expected(&all, order, (after, before), max, max_bytes);
                        assert_eq!((seqs(&page), page.more), expected, "{query:?} {max_bytes}");
                    }
                }
            }
        }
    }
}

/// Clause C9.
#[tokio::test]
async fn a_page_that_is_in_memory_is_not_read_from_the_store() {
    let store = Puppet::new();
    let writer = with_window(&store, 100);
    writer.add_messages(vec![Message::user("x"); 10]).await.unwrap();
    writer.remove(1).await.unwrap();
    let within = [
        (MessageQuery::last(3), vec![8, 9, 10]),
        (MessageQuery::before(10, 2), vec![8, 9]),
        (MessageQuery::before(9, 9).and_after(6), vec![7, 8]),
        (MessageQuery::after(6, 9), vec![7, 8, 9, 10]),
        (MessageQuery::after(7, 1), vec![8]),
        (MessageQuery::after(10, 9), vec![]),
    ];
    // With this window, and with one that holds the whole session.
    for (chat, queries) in [
        (with_window(&store, 4), &within[..]),
        (
            writer,
            &[(MessageQuery::after(0, 2), vec![2, 3]), (MessageQuery::last(9), (2..=10).collect())],
        ),
    ] {
        for (query, expected) in queries {
            assert_eq!(seqs(&chat.messages(*query).await.unwrap()), *expected, "{query:?}");
        }
        assert_eq!(store.reads(), 0);
    }
}

#[tokio::test]
async fn a_whole_state_is_read_from_the_store_in_one_go() {
    let store = Puppet::new();
    let writer = with_window(&store, 4);
    writer.add_messages(vec![Message::user("x"); 10]).await.unwrap();
    // Nothing is before the first message, so nothing is read.
    writer.remove(1).await.unwrap();
    let (loads, chat) = (store.loads(), with_window(&store, 4));
    // Loaded with its older messages; from memory and the store; and, when it is short, from memory
    // alone.
    for (read, expected) in [(1, (loads + 1, 0)), (2, (loads + 1, 1))] {
        assert_eq!(chat.get_state().await.unwrap().messages.len(), 9);
        assert_eq!((store.loads(), store.reads()), expected, "read {read}");
    }
    with_window(&store, 10).get_state().await.unwrap();
    assert_eq!((store.loads(), store.reads()), (loads + 2, 1));
}

/// Clause C9.
#[tokio::test]
async fn a_page_shows_one_version_also_when_others_append() {
    let store = Puppet::new();
    let chat = with_window(&store, 1);
    chat.add_messages(vec![Message::user("x"); 3]).await.unwrap();
    let version = chat.snapshot().await.unwrap().version();
    with_window(&store, 1).add_messages(vec![Message::user("theirs"); 2]).await.unwrap();
    for query in [MessageQuery::after(0, 9), MessageQuery::last(9)] {
        let page = chat.messages(query).await.unwrap();
        assert_eq!((page.version, seqs(&page), page.more), (version, vec![1, 2, 3], false));
    }
}

/// Clause S4.
#[tokio::test]
async fn a_message_that_is_not_text_is_named_whether_it_is_kept_in_memory_or_not() {
    let store = Puppet::new();
    let text = || Message::user("text").as_json().to_owned().into_bytes();
    let ops = [text(), b"\xff".to_vec(), text()].map(|body| Op::append(body.into())).to_vec();
    let commit = Commit::new(Expect::absent(1), ops, 1);
    store.commit(&id("s"), commit).await.unwrap();
    for window in [1, 3] {
        let chat = with_window(&store, window);
        for _ in 0..2 {
            let errors =
                [chat.get_state_json().await.unwrap_err(), chat.get_state().await.unwrap_err()];
            for error in errors {
                let Error::Store(error) = error else { panic!("{error}") };
                assert_eq!((error.kind(), error.seq()), (StoreErrorKind::Corrupt, Some(2)));
            }
        }
    }
}

/// Clause C9.
#[tokio::test]
async fn a_whole_state_is_loaded_in_one_go_and_only_its_tail_stays_in_memory() {
    let store = Puppet::new();
    let filling = store.sessions();
    filling
        .session(id("s"))
        .add_messages((1..=40).map(|n| Message::user(n.to_string())).collect())
        .await
        .unwrap();
    let expected: Vec<String> = (1..=40).map(|n| n.to_string()).collect();

    let open = || store.with_window(3, 10_000);
    let (by_state, by_json, by_snapshot) = (open(), open(), open());
    let (loads, reads) = (store.loads(), store.reads());
    assert_eq!(texts(&by_state.session(id("s")).get_state().await.unwrap().messages), expected);
    let (_, json) = by_json.session(id("s")).get_state_json().await.unwrap();
    assert_eq!(json.matches("\"role\"").count(), 40);
    assert_eq!((store.loads() - loads, store.reads() - reads), (2, 0));

    // The same stays in memory as a snapshot loads.
    by_snapshot.session(id("s")).snapshot().await.unwrap();
    for sessions in [&by_state, &by_json] {
        assert_eq!(sessions.stats().live_bytes, by_snapshot.stats().live_bytes);
        let snapshot = sessions.session(id("s")).snapshot().await.unwrap();
        assert_eq!(
            texts(&snapshot.tail().map(|(_, m)| m.clone()).collect::<Vec<_>>()),
            ["38", "39", "40"]
        );
    }
    assert_eq!(texts(&by_state.session(id("s")).get_state().await.unwrap().messages), expected);
    assert_eq!(store.reads() - reads, 1, "now that it is in memory, only what is older is read");
}

/// Clause C9.
#[tokio::test]
async fn a_whole_state_is_complete_although_it_is_read_in_several_goes() {
    let store = Puppet::new();
    let expected: Vec<String> = (1..=2_500).map(|n| n.to_string()).collect();
    let filling = store.sessions().session(id("s"));
    for some in expected.chunks(500) {
        filling.add_messages(some.iter().map(Message::user).collect()).await.unwrap();
    }
    let state = store.sessions().session(id("s")).get_state().await.unwrap();
    assert_eq!(texts(&state.messages), expected);
}

/// Clause C9.
#[tokio::test]
async fn a_caller_that_waits_for_a_tail_while_a_whole_state_is_loaded_gets_the_tail() {
    let store = Puppet::new();
    store.sessions().session(id("s")).add_messages(vec![Message::user("x"); 40]).await.unwrap();
    let chat = store.with_window(3, 10_000).session(id("s"));
    let (state, snapshot) = futures_util::future::join(chat.get_state(), chat.snapshot()).await;
    assert_eq!((state.unwrap().messages.len(), snapshot.unwrap().tail().count()), (40, 3));
}
