//! The commands on a database.

use crate::fixture::{Pair, program, run, write};
use crate::importing::of_two_records_the_first_is_taken;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use testkit::PostgresServer;

#[test]
fn a_database_is_looked_into_filled_and_erased() {
    let Some(server) = PostgresServer::new() else {
        println!(
            "note: not run: the command on PostgreSQL: PG_BIN is not set (`cargo xtask test`)"
        );
        return;
    };
    let url = format!("postgres:{}", server.url());
    let on = |arguments: &[&str]| run(&[&["--store", &*url], arguments].concat());
    on(&["list"]).failed(6, "the schema has no tables of a store");
    let pair = Pair::new();
    let file = write(&pair, "lines.jsonl", &pair.run(&["export"]).fine());
    assert!(on(&["import", &file]).fine().contains("messages_stored=305"));
    assert!(on(&["import", &file]).fine().contains("messages_found=305"));
    assert_eq!(on(&["list"]).fine().lines().count(), 3);
    assert_eq!(on(&["list", "--owner", "u-1"]).fine().lines().count(), 2);
    assert!(on(&["show", "a-1"]).fine().contains("a-1 says 2"));
    assert!(on(&["stats"]).fine().contains("sessions              3"));
    assert!(on(&["verify"]).fine().contains("messages=305"));
    on(&["backup", "x"]).failed(2, "use pg_dump");
    on(&["compact"]).failed(2, "compact is for redb stores");
    on(&["erase", "--owner", "u-2", "--scrub"]).failed(2, "--scrub is for redb stores");

    // A follower sees what somebody else writes.
    let mut follower = program()
        .args(["--store", &url, "--json", "show", "a-2", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(follower.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        shown.next().unwrap().unwrap();
    }
    let more = on(&["export", "a-2"]).fine();
    let more = more
        .replace("}],\"createdAt\"", "},{\"role\":\"user\",\"content\":\"news\"}],\"createdAt\"");
    let more = write(&pair, "more.jsonl", &more);
    on(&["import", &more]).fine();
    let news: Value = serde_json::from_str(&shown.next().unwrap().unwrap()).unwrap();
    assert_eq!((&news["seq"], &news["message"]["content"]), (&3.into(), &"news".into()));
    follower.kill().unwrap();
    follower.wait().unwrap();

    // A damaged row is named.
    let flip = "UPDATE chat.message SET body = set_byte(body, 40, get_byte(body, 40) # 1) \
                WHERE seq = 2 AND number = (SELECT number FROM chat.head WHERE id = 'a-1')";
    server.query(flip);
    let ran = on(&["verify"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("corrupt session=a-1 seq=2: "), "{ran:?}");
    assert_eq!(on(&["erase", "--owner", "u-1"]).fine(), "erased sessions=2 failed=0\n");
    assert_eq!(on(&["list"]).fine().lines().count(), 1);

    of_two_records_the_first_is_taken(&pair, on);

    drop(server);
    on(&["list"]).failed(6, "could not open the store in the database");
}
