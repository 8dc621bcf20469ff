//! Values that a database might change.

use crate::fixture::{T, WHOLE, append, create, id, loaded, on};
use crate::server::{self, Schema};
use bytes::Bytes;
use durable_session::store::{
    CommitOutcome, Labels, ListQuery, NewMessage, Op, ReadQuery, SessionList, SessionStore,
    StoreErrorKind,
};
use futures_executor::block_on;

#[test]
fn bytes_come_back_as_they_were_given() {
    let Some(url) = server::url("bytes come back as they were given") else { return };
    let schema = Schema::new(&url);
    let store = schema.open();
    let bodies: Vec<Bytes> = vec![
        Bytes::from_static(br#"{"role":"user","content":"a\u0000b","content":"twice","n":1.0}"#),
        Bytes::from_static(b"\0\0raw\0"),
        Bytes::from_static(b"\xff\xfe not UTF-8"),
        Bytes::from_static(b""),
        Bytes::from(vec![0; 5000]),
    ];
    let (owner, title) = ("an\0owner", "'; DROP SCHEMA \\ \"\0\u{1F980}");
    let mut ops: Vec<Op> = bodies.iter().cloned().map(Op::append).collect();
    ops.push(Op::SetApp(Bytes::from_static(b"{\"a\":\"\\u0000\",\"a\":2}\0")));
    ops.push(Op::SetLabels(Labels::owner(owner).title(title)));
    let id = id("bytes");
    create(&store, &id, ops);
    drop(store);
    let store = schema.open();
    let loaded = loaded(&store, &id);
    let stored: Vec<_> = loaded.tail.iter().map(|row| row.body.clone()).collect();
    assert_eq!(stored, bodies);
    assert_eq!(loaded.app, Bytes::from_static(b"{\"a\":\"\\u0000\",\"a\":2}\0"));
    assert_eq!(loaded.labels.get_owner(), Some(owner));
    assert_eq!(loaded.labels.get_title(), Some(title));
    let page = block_on(store.list(&ListQuery::owner(owner, 10))).unwrap();
    assert_eq!(page.sessions.len(), 1);
}

#[test]
fn a_damaged_app_state_is_never_returned_and_the_rest_is_salvaged() {
    let Some(url) = server::url("a damaged app state") else { return };
    let schema = Schema::new(&url);
    let store = schema.open();
    let damaged = id("damaged");
    create(&store, &damaged, vec![append("a"), Op::SetApp(Bytes::from_static(b"{\"step\":1}"))]);
    schema.query("UPDATE {s}.head SET app = set_byte(app, 3, get_byte(app, 3) # 1)", &[]);
    // Another store has nothing of it in memory.
    let store = schema.open();
    let error = block_on(store.load(&damaged, WHOLE)).unwrap_err();
    assert_eq!((error.kind(), error.session()), (StoreErrorKind::Corrupt, Some(&damaged)));
    let query = ReadQuery::forward(1, u64::MAX);
    let salvaged = block_on(store.salvage(&damaged, query)).unwrap().unwrap();
    assert_eq!((salvaged.app, salvaged.rows.len(), salvaged.damage.len()), (None, 1, 1));
    assert!(salvaged.head.is_some() && salvaged.labels.is_some());
}

#[test]
fn a_body_of_16_mib_is_stored_and_a_longer_one_is_refused() {
    let Some(url) = server::url("a body of 16 MiB") else { return };
    let schema = Schema::new(&url);
    let store = schema.open();
    let id = id("large");
    let mut head = create(&store, &id, vec![append("first")]);
    let largest = Bytes::from(vec![b'x'; 16 << 20]);
    let longer = Bytes::from(vec![b'x'; (16 << 20) + 1]);
    let refused = block_on(store.commit(&id, on(head, vec![Op::append(longer)]))).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::TooLarge);
    let message = Op::Append(NewMessage::plain(largest.clone()));
    match block_on(store.commit(&id, on(head, vec![message]))).unwrap() {
        CommitOutcome::Committed(after) => head = after,
        other => panic!("the commit ended as {other:?}"),
    }
    let loaded = loaded(&store, &id);
    assert_eq!(loaded.head, head);
    assert!(loaded.tail[1].body == largest, "the body is another");
}

#[test]
fn ids_are_ordered_by_their_bytes_whatever_the_collation_of_the_database_is() {
    let Some(url) = server::url("the order of ids") else { return };
    let name = Schema::new(&url).name.clone();
    let create_database =
        format!("CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'");
    server::query(&url, &create_database, &[]);
    // The URL of the other database, with what the first one has.
    let (start, _) = url.rsplit_once('/').unwrap();
    let schema = Schema::new(&format!("{start}/{name}"));
    let store = schema.open();
    let names = ["B", "a", "A", "a_b", "a-b", "ab", "Z", "~", "a.b", "1", "b"];
    for name in names {
        create(&store, &id(name), vec![append("x")]);
    }
    let mut expected = names;
    expected.sort_unstable();
    let mut found = Vec::new();
    let mut query = Some(ListQuery::all(3));
    while let Some(asked) = query.take() {
        let page = block_on(store.list(&asked)).unwrap();
        found.extend(page.sessions.iter().map(|session| session.id.as_str().to_owned()));
        query = page.next.map(|next| asked.after(next));
    }
    drop((store, schema));
    server::query(&url, &format!("DROP DATABASE {name} WITH (FORCE)"), &[]);
    assert_eq!(found, expected);
}

#[test]
fn an_owners_list_is_right_although_appends_do_not_move_its_index() {
    let Some(url) = server::url("an owner's list") else { return };
    let schema = Schema::new(&url);
    let store = schema.open();
    let mut heads = Vec::new();
    for n in 0..6 {
        let ops = vec![append("x"), Op::SetLabels(Labels::owner("u"))];
        heads.push(create(&store, &id(&format!("s{n}")), ops));
    }
    // One after the other moves to the front, at times that are less and more apart than what the
    // index may be behind.
    let mut order: Vec<usize> = (0..6).collect();
    let mut at = T;
    for step in 0..40_u64 {
        let moved = usize::try_from(step * 7 % 6).unwrap();
        at += [1, 20_000, 59_999, 60_000, 1_000_000][usize::try_from(step % 5).unwrap()];
        let mut commit = on(heads[moved], vec![append("y")]);
        commit.at = at;
        match block_on(store.commit(&id(&format!("s{moved}")), commit)).unwrap() {
            CommitOutcome::Committed(head) => heads[moved] = head,
            other => panic!("an append ended as {other:?}"),
        }
        order.retain(|&n| n != moved);
        order.insert(0, moved);
        for limit in [1, 2, 100] {
            let mut found = Vec::new();
            let mut query = Some(ListQuery::owner("u", limit));
            while let Some(asked) = query.take() {
                let page = block_on(store.list(&asked)).unwrap();
                found.extend(page.sessions.iter().map(|session| session.id.as_str().to_owned()));
                query = page.next.map(|next| asked.after(next));
            }
            let expected: Vec<_> = order.iter().map(|n| format!("s{n}")).collect();
            assert_eq!(found, expected, "after step {step}, {limit} to a page");
        }
    }
    let moved = schema.query("SELECT count(DISTINCT listed_at) FROM {s}.head", &[]);
    assert!(moved[0].get::<_, i64>(0) > 1, "the index has moved at times");
}
