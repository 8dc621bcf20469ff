//! Loads and reads return the requested messages, within the bounds (S8) and in order (S2).

use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, appends, range, remove, rows, session};
use durable_session::store::{Order, ReadQuery, Row, TailBounds};

/// Messages of 1, 2, 3, 4 and 5 bytes.
const STAIRS: [&str; 5] = ["a", "bb", "ccc", "dddd", "eeeee"];

const ALL: ReadQuery = ReadQuery::forward(1, u64::MAX);
const BACK: ReadQuery = ReadQuery::backward(1, u64::MAX);

fn seqs(rows: &[Row]) -> Vec<u64> {
    rows.iter().map(|row| row.seq).collect()
}

/// Checks that every query returns these seqs and `more`, and that salvage, on an undamaged
/// session, returns the same.
async fn expect(t: &Fixture, queries: &[(ReadQuery, &[u64], bool)]) -> Checked {
    let id = session()?;
    for (query, expected, more) in queries {
        let page = t.page(&id, *query).await?;
        ensure_eq!(seqs(&page.rows), *expected, "the seqs of {query:?}");
        ensure_eq!(page.more, *more, "whether the range of {query:?} has more");
        let Some(salvaged) = t.store().salvage(&id, *query).await? else {
            return Err(crate::Failure::new("salvage did not find the session"));
        };
        ensure_eq!(salvaged.rows, page.rows, "the messages that salvage returns for {query:?}");
        ensure_eq!(salvaged.more, *more, "whether salvage has more of {query:?}");
    }
    Ok(())
}

pub(crate) async fn reads_go_forward_and_backward(t: &mut Fixture) -> Checked {
    t.create(&session()?, appends(STAIRS)).await?;
    expect(
        t,
        &[
            (ALL, &[1, 2, 3, 4, 5], false),
            (BACK, &[5, 4, 3, 2, 1], false),
            (range(2, 4), &[2, 3, 4], false),
            (ReadQuery::backward(2, 4), &[4, 3, 2], false),
            (range(3, 3), &[3], false),
            (ReadQuery::backward(3, 3), &[3], false),
            (range(0, 1), &[1], false),
            (ReadQuery::backward(5, u64::MAX), &[5], false),
        ],
    )
    .await
}

pub(crate) async fn a_page_holds_at_most_the_messages_asked_for(t: &mut Fixture) -> Checked {
    t.create(&session()?, appends(STAIRS)).await?;
    let at_most = |max_messages, query: ReadQuery| query.max_messages(max_messages);
    expect(
        t,
        &[
            (at_most(2, ALL), &[1, 2], true),
            (at_most(2, BACK), &[5, 4], true),
            (at_most(5, ALL), &[1, 2, 3, 4, 5], false),
            (at_most(5, BACK), &[5, 4, 3, 2, 1], false),
            (at_most(2, range(2, 3)), &[2, 3], false),
            (at_most(1, ReadQuery::backward(2, 3)), &[3], true),
            (at_most(0, ALL), &[1], true),
            (at_most(0, BACK), &[5], true),
        ],
    )
    .await
}

pub(crate) async fn a_page_holds_at_most_the_bytes_asked_for_or_one_message(
    t: &mut Fixture,
) -> Checked {
    t.create(&session()?, appends(STAIRS)).await?;
    let at_most = |max_bytes, query: ReadQuery| query.max_bytes(max_bytes);
    expect(
        t,
        &[
            (at_most(6, ALL), &[1, 2, 3], true),
            (at_most(5, ALL), &[1, 2], true),
            (at_most(7, ALL), &[1, 2, 3], true),
            (at_most(9, BACK), &[5, 4], true),
            (at_most(8, BACK), &[5], true),
            (at_most(15, ALL), &[1, 2, 3, 4, 5], false),
            (at_most(14, BACK), &[5, 4, 3, 2], true),
            (at_most(1, BACK), &[5], true),
            (at_most(0, ALL), &[1], true),
            (at_most(0, range(4, 4)), &[4], false),
        ],
    )
    .await
}

pub(crate) async fn an_empty_range_yields_no_messages(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(STAIRS)).await?;
    let head = t.change(&id, head, vec![remove(2, 3)]).await?;
    let nothing: &[u64] = &[];
    expect(
        t,
        &[
            (range(4, 3), nothing, false),
            (ReadQuery::backward(u64::MAX, 0), nothing, false),
            (range(6, u64::MAX), nothing, false),
            (range(0, 0), nothing, false),
            (ReadQuery::backward(2, 3), nothing, false),
        ],
    )
    .await?;
    ensure_eq!(t.page(&id, range(9, 1)).await?.head, head, "the head of a page without messages");
    Ok(())
}

pub(crate) async fn reads_skip_removed_messages(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a", "b", "c", "d", "e", "f", "g"])).await?;
    t.change(&id, head, vec![remove(1, 1), remove(3, 5), remove(7, 7)]).await?;
    expect(
        t,
        &[
            (ALL, &[2, 6], false),
            (BACK, &[6, 2], false),
            (ALL.max_messages(1), &[2], true),
            (BACK.max_messages(1), &[6], true),
            (ALL.max_messages(2).max_bytes(2), &[2, 6], false),
            (range(3, 7).max_messages(1), &[6], false),
            (ReadQuery::backward(1, 5).max_messages(1), &[2], false),
        ],
    )
    .await
}

pub(crate) async fn consecutive_pages_are_the_whole_session(t: &mut Fixture) -> Checked {
    let id = session()?;
    let texts: Vec<String> = (1..=600).map(|n| "x".repeat(n * 7 % 50)).collect();
    let mut head = t.create(&id, Vec::new()).await?;
    for some in texts.chunks(100) {
        head = t.change(&id, head, appends(some.iter().map(String::as_str))).await?;
    }
    head = t.change(&id, head, vec![remove(100, 180)]).await?;
    let expected: Vec<u64> = (1..100).chain(181..=600).collect();
    for (query, max_bytes) in [(ALL, u64::MAX), (BACK, u64::MAX), (ALL, 70), (BACK, 70)] {
        let mut query = query.max_messages(7).max_bytes(max_bytes);
        let mut found = Vec::new();
        loop {
            let page = t.page(&id, query).await?;
            ensure_eq!(page.head, head, "the head of a page");
            ensure!(page.rows.len() <= 7, "a page of at most 7 messages has {}", page.rows.len());
            for row in &page.rows {
                let sent =
                    usize::try_from(row.seq).ok().and_then(|seq| texts.get(seq.wrapping_sub(1)));
                let sent = sent.map_or(&[][..], String::as_bytes);
                ensure!(row.body == sent, "seq {} has another's body", row.seq);
            }
            found.extend(page.rows.iter().map(|row| row.seq));
            let Some(last) = page.rows.last().filter(|_| page.more) else { break };
            match query.order {
                Order::Forward => query.first = last.seq + 1,
                Order::Backward => query.last = last.seq - 1,
            }
        }
        if query.order == Order::Backward {
            found.reverse();
        }
        ensure_eq!(found, expected, "the seqs of all pages with {query:?}");
    }
    Ok(())
}

pub(crate) async fn load_returns_the_longest_tail_within_both_bounds(t: &mut Fixture) -> Checked {
    let id = session()?;
    // From the end: 1, 1, 9, 2 and 3 bytes.
    t.create(&id, appends(["ccc", "bb", "999999999", "d", "e"])).await?;
    let cases: [(usize, u64, &[u64]); 13] = [
        (1, u64::MAX, &[5]),
        (2, u64::MAX, &[4, 5]),
        (5, u64::MAX, &[1, 2, 3, 4, 5]),
        (9, u64::MAX, &[1, 2, 3, 4, 5]),
        (9, 16, &[1, 2, 3, 4, 5]),
        (9, 15, &[2, 3, 4, 5]),
        (9, 11, &[3, 4, 5]),
        // The run ends at the large message: smaller ones before it are not returned instead.
        (9, 10, &[4, 5]),
        (9, 1, &[5]),
        (9, 0, &[5]),
        (0, u64::MAX, &[5]),
        (0, 0, &[5]),
        (2, 1, &[5]),
    ];
    for (max_messages, max_bytes, expected) in cases {
        let bounds = TailBounds::new(max_messages, max_bytes);
        let Some(loaded) = t.load(&id, bounds).await? else {
            return Err(crate::Failure::new("load did not find the session"));
        };
        ensure_eq!(seqs(&loaded.tail), expected, "the tail within {bounds:?}");
        ensure_eq!(loaded.head.messages, 5, "the head's number of messages");
    }
    Ok(())
}

pub(crate) async fn the_tail_skips_removed_messages(t: &mut Fixture) -> Checked {
    let id = session()?;
    let head = t.create(&id, appends(["a", "b", "c", "d", "e"])).await?;
    let head = t.change(&id, head, vec![remove(3, 3), remove(5, 5)]).await?;
    let tail = async |max_messages| -> Checked<Option<Vec<Row>>> {
        Ok(t.load(&id, TailBounds::new(max_messages, 2)).await?.map(|loaded| loaded.tail))
    };
    ensure_eq!(tail(9).await?, Some(rows(&[(2, "b"), (4, "d")])), "the tail within 2 bytes");
    ensure_eq!(tail(1).await?, Some(rows(&[(4, "d")])), "the tail of 1 message");
    t.change(&id, head, vec![remove(1, 5)]).await?;
    ensure_eq!(tail(9).await?, Some(Vec::new()), "the tail of no messages");
    Ok(())
}
