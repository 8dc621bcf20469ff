//! The sessions with an open reply are listed, as long as one is open (S10).

use super::owners::lists;
use crate::fixture::{Checked, Fixture, append, appends, id, remove, replace};
use crate::replying::{CLAIM, OTHER, close, counts, open, open_again, opening};
use durable_session::store::{DeleteIf, Head, Labels, ListQuery, Op};

fn open_ones() -> ListQuery {
    ListQuery::open_replies(10)
}

/// Creates sessions with these names, each with an open reply at seq 2.
async fn replying<const N: usize>(t: &Fixture, names: [&str; N]) -> Checked<[Head; N]> {
    let mut heads = Vec::new();
    for name in names {
        let labels = Op::SetLabels(Labels::owner("u").title(name));
        heads.push(t.create(&id(name)?, vec![append("a"), open("b", CLAIM), labels]).await?);
    }
    heads.try_into().map_err(|_| crate::Failure::new("as many heads as names"))
}

pub(crate) async fn sessions_are_listed_while_a_reply_is_open(t: &mut Fixture) -> Checked {
    lists(t, &open_ones(), &[]).await?;
    t.create(&id("whole")?, appends(["a"])).await?;
    let [of_a, _, of_c, of_d, of_e, of_f] = replying(t, ["a", "b", "c", "d", "e", "f"]).await?;
    lists(t, &open_ones(), &["a", "b", "c", "d", "e", "f"]).await?;
    t.extended(&id("f")?, 2, CLAIM, 0, &["x"]).await?;
    lists(t, &open_ones(), &["a", "b", "c", "d", "e", "f"]).await?;
    t.change(&id("f")?, of_f, vec![close(2, CLAIM, counts(1, 0), "B")]).await?;
    lists(t, &open_ones(), &["a", "b", "c", "d", "e"]).await?;
    t.change(&id("a")?, of_a, vec![replace(2, "B")]).await?;
    lists(t, &open_ones(), &["b", "c", "d", "e"]).await?;
    t.change(&id("c")?, of_c, vec![remove(1, 9)]).await?;
    lists(t, &open_ones(), &["b", "d", "e"]).await?;
    t.store().delete(&id("b")?, DeleteIf::Any).await?;
    lists(t, &open_ones(), &["d", "e"]).await?;
    t.change(&id("e")?, of_e, vec![append("c"), open_again(2, "again", OTHER)]).await?;
    let ops = vec![Op::Close {
        seq: 2,
        claim: CLAIM,
        counts: counts(0, 0),
        message: opening("B", OTHER),
    }];
    t.change(&id("d")?, of_d, ops).await?;
    lists(t, &open_ones(), &["d", "e"]).await?;
    t.create(&id("b")?, appends(["new life"])).await?;
    lists(t, &open_ones(), &["d", "e"]).await?;
    Ok(())
}

pub(crate) async fn a_session_is_listed_until_its_last_reply_ends(t: &mut Fixture) -> Checked {
    let id = id("many")?;
    let head = t.create(&id, vec![open("a", CLAIM), open("b", OTHER), open("c", CLAIM)]).await?;
    lists(t, &open_ones(), &["many"]).await?;
    let head = t.change(&id, head, vec![close(2, OTHER, counts(0, 0), "B")]).await?;
    lists(t, &open_ones(), &["many"]).await?;
    let head = t.change(&id, head, vec![remove(1, 1)]).await?;
    lists(t, &open_ones(), &["many"]).await?;
    let head = t.change(&id, head, vec![close(3, CLAIM, counts(0, 0), "C")]).await?;
    lists(t, &open_ones(), &[]).await?;
    t.change(&id, head, vec![open_again(2, "b", CLAIM)]).await?;
    lists(t, &open_ones(), &["many"]).await
}

pub(crate) async fn a_list_of_open_replies_continues_after_any_id(t: &mut Fixture) -> Checked {
    replying(t, ["b", "d", "da", "f"]).await?;
    t.create(&id("c")?, appends(["a"])).await?;
    let expectations: [(&str, &[&str]); 5] = [
        ("a", &["b", "d", "da", "f"]),
        ("b", &["d", "da", "f"]),
        ("c", &["d", "da", "f"]),
        ("d", &["da", "f"]),
        ("f", &[]),
    ];
    for (after, expected) in expectations {
        lists(t, &open_ones().after(id(after)?), expected).await?;
    }
    t.store().touch(&id("d")?, crate::fixture::T + 10).await?;
    lists(t, &open_ones().idle_since(crate::fixture::T), &["b", "da", "f"]).await
}

pub(crate) async fn a_list_of_open_replies_survives_reopening(t: &mut Fixture) -> Checked {
    let [a, b, ..] = replying(t, ["a", "b", "c", "d"]).await?;
    t.change(&id("a")?, a, vec![close(2, CLAIM, counts(0, 0), "B")]).await?;
    t.reopen().await?;
    lists(t, &open_ones(), &["b", "c", "d"]).await?;
    t.change(&id("b")?, b, vec![replace(2, "B")]).await?;
    t.store().delete(&id("c")?, DeleteIf::Any).await?;
    t.create(&id("e")?, vec![open("a", CLAIM)]).await?;
    t.reopen().await?;
    lists(t, &open_ones(), &["d", "e"]).await
}

pub(crate) async fn a_list_of_open_replies_survives_a_crash(t: &mut Fixture) -> Checked {
    let [a, b] = replying(t, ["a", "b"]).await?;
    t.crash_and_reopen().await?;
    lists(t, &open_ones(), &["a", "b"]).await?;
    t.change(&id("a")?, a, vec![close(2, CLAIM, counts(0, 0), "B")]).await?;
    t.extended(&id("b")?, 2, CLAIM, 0, &["x"]).await?;
    t.crash_and_reopen().await?;
    lists(t, &open_ones(), &["b"]).await?;
    t.change(&id("b")?, b, vec![close(2, CLAIM, counts(1, 0), "B")]).await?;
    t.crash_and_reopen().await?;
    lists(t, &open_ones(), &[]).await
}
