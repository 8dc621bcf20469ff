//! Refused sessions, their names in the report, and that nothing of them is stored.

use crate::common::id;
use crate::steered::Steered;
use crate::{CREATED, chunks, claim, commit, extend, message, opening, options};
use bytes::Bytes;
use durable_session::store::{Expect, Extension, Op, SessionStore, StoreErrorKind, StoreLimits};
use durable_session::transfer::{self, Export};
use durable_session_memory::MemoryStore;

#[tokio::test]
async fn a_chunk_that_is_not_json_is_named_and_stops_only_its_session() {
    for bad in [&b"no json"[..], b"\xff", b"\"\\ud83d\"", b""] {
        let store = MemoryStore::new();
        for name in ["a", "b", "c"] {
            let ops = vec![Op::Append(opening(&message(1), 1, "text"))];
            commit(&store, &id(name), Expect::absent(CREATED), ops).await;
        }
        extend(&store, &id("b"), 1, 1, 0, &chunks(0, 2)).await;
        let chunk = vec![Bytes::from_static(b"3"), Bytes::from_static(bad)];
        store.extend(&id("b"), Extension::new(1, claim(1), 2, chunk)).await.unwrap();
        let mut export = Export::new(&store, &store);
        assert!(export.next().await.unwrap().unwrap().contains("\"a\""));
        let error = export.next().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        assert_eq!(
            (error.session(), error.seq(), error.chunk()),
            (Some(&id("b")), Some(1), Some(3))
        );
        assert!(error.to_string().contains("not JSON"), "{error}");
        assert!(export.next().await.unwrap().unwrap().contains("\"c\""));
    }
}

#[tokio::test]
async fn what_is_wrong_with_labels_and_replies_is_named_without_its_words() {
    let with = |field: &str| {
        let state = format!(
            r#"{{"messages":[{{"role":"user"}}],"createdAt":{CREATED},"lastAccessedAt":{CREATED}}}"#
        );
        format!(r#"{{"id":"a","state":{state},{field}}}"#)
    };
    let reply = |reply: &str| with(&format!("\"replies\":[{reply}]"));
    let fine = r#"{"seq":1,"format":"text","chunks":[]}"#;
    transfer::import(&MemoryStore::new(), &reply(fine), &options()).await.unwrap();
    let null = with(r#""labels":{"owner":null,"title":""}"#);
    transfer::import(&MemoryStore::new(), &null, &options()).await.unwrap();
    for (bad, reason) in [
        (with(r#""labels":"secret""#), "`labels` are not an object"),
        (with(r#""labels":{"secret":1}"#), "a key other than `owner` and `title`"),
        (with(r#""labels":{"owner":["secret"]}"#), "label `owner` is not a string"),
        (with(r#""changedAt":"secret""#), "`changedAt` is not a number"),
        (with(r#""changedAt":1763264606"#), "looks like seconds"),
        (with(r#""replies":{"secret":1}"#), "`replies` are not an array"),
        (reply("\"secret\""), "reply 1: it is not an object"),
        (reply(r#"{"seq":1,"format":"secret"}"#), "reply 1: it has no `chunks`"),
        (
            reply(r#"{"seq":2,"format":"secret","chunks":[]}"#),
            "reply 1: its `seq` is not the number of a message",
        ),
        (
            reply(r#"{"seq":0,"format":"secret","chunks":[]}"#),
            "reply 1: its `seq` is not the number of a message",
        ),
        (reply(r#"{"seq":1,"format":1,"chunks":["secret"]}"#), "`format` is not a string"),
        (reply(r#"{"seq":1,"format":"text","chunks":"secret"}"#), "`chunks` are not an array"),
        (reply(r#"{"seq":1,"format":"text","chunks":[1,"secret\ud83d"]}"#), "chunk 1: "),
        (reply(&format!("{fine},{fine}")), "reply 2: an earlier reply has the same `seq`"),
    ] {
        let to = MemoryStore::new();
        let error = transfer::import(&to, &bad, &options()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(reason) && !text.contains("secret"), "{bad}: {text}");
        assert!(!error.is_general());
        assert!(
            transfer::export(&to, &id("a")).await.unwrap().is_none(),
            "nothing of it is stored"
        );
    }
}

#[tokio::test]
async fn what_a_store_does_not_take_is_refused_before_anything_is_stored() {
    let with = |field: &str| {
        let state = format!(
            r#"{{"messages":[{{"role":"user"}}],"createdAt":{CREATED},"lastAccessedAt":{CREATED}}}"#
        );
        format!(r#"{{"id":"a","state":{state},{field}}}"#)
    };
    let reply = |format: &str, chunk: usize, count: usize| {
        let chunks = vec![format!("\"{}\"", "x".repeat(chunk - 2)); count].join(",");
        with(&format!(r#""replies":[{{"seq":1,"format":"{format}","chunks":[{chunks}]}}]"#))
    };
    // A body of 15 bytes and the reserve of 1,024 leave 961 for chunks.
    for (given, refused) in [
        (reply("text", 961, 1), None),
        (reply("text", 31, 31), None),
        (reply("text", 962, 1), Some("message with its reply is 977 bytes; the limit is 976")),
        (
            reply("text", 1501, 1),
            Some("chunk 0 of the reply at message 1 is 1501 bytes; the limit is 1500"),
        ),
        (
            reply(&"f".repeat(65), 3, 1),
            Some("name of the format of the reply at message 1 is 65 bytes"),
        ),
        (
            with(&format!(r#""labels":{{"owner":"{}"}}"#, "o".repeat(257))),
            Some("owner is 257 bytes; the limit is 256"),
        ),
        (
            with(&format!(r#""labels":{{"title":"{}"}}"#, "t".repeat(1025))),
            Some("title is 1025 bytes; the limit is 1024"),
        ),
    ] {
        let mut to = Steered::store();
        to.limits = StoreLimits::new(2000, 2000, 1500, 5);
        let outcome = transfer::import(&to, &given, &options()).await;
        match refused {
            None => assert_eq!(outcome.unwrap().stored, 1),
            Some(text) => {
                let error = outcome.unwrap_err();
                assert!(error.to_string().contains(text) && !error.is_general(), "{error}");
                assert_eq!(to.told.lock().unwrap().writes, 0);
            }
        }
    }
}
