//! A parent that kills the program at seeded random moments and keeps its own journal of
//! acknowledgements.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use common::{Made, Seeded, last_line, replay, with_sessions};
use durable_session::{Message, SessionId};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Stdio};
use testkit::PostgresServer;

const SEED: u64 = 0x5eed_0001;
const KILLS: usize = 20;

/// The parent's counts: per conversation, the messages that were sent and acknowledged.
struct Journal {
    sent: Vec<usize>,
    acknowledged: Vec<usize>,
}

impl Journal {
    fn note(&mut self, line: &str) {
        let mut words = line.split(' ');
        let event = words.next();
        let mut number = || words.next().and_then(|word| word.parse::<usize>().ok());
        let (Some(conversation), Some(place)) = (number(), number()) else { return };
        match event {
            Some("sent") => self.sent[conversation] = place + 1,
            Some("acknowledged") => self.acknowledged[conversation] = place + 1,
            _ => {}
        }
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.iter().sum()
    }

    /// Messages that were sent and not acknowledged when the program died.
    fn in_flight(&self) -> usize {
        self.sent
            .iter()
            .zip(&self.acknowledged)
            .filter(|(sent, acknowledged)| sent > acknowledged)
            .count()
    }
}

/// Reads `more` acknowledgements, kills the program, and reads the rest of the pipe.
fn run_and_kill(mut child: Child, journal: &mut Journal, more: usize) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let enough = journal.acknowledged() + more;
    while journal.acknowledged() < enough {
        journal.note(&lines.next().expect("the program ended before it was killed"));
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    lines.for_each(|line| journal.note(&line));
}

async fn stored(db: &Path, made: &Made) -> Vec<Vec<Message>> {
    with_sessions(db, async |sessions| {
        let mut stored = Vec::new();
        for id in &made.ids {
            let session = sessions.session(SessionId::new(id.as_str()).unwrap());
            stored.push(session.get_state().await.unwrap().messages);
        }
        stored
    })
    .await
}

#[tokio::test]
async fn nothing_acknowledged_is_missing_after_any_of_many_kills() {
    // Among short conversations, one of several times the length that any window of recent messages
    // could have.
    let mut seeded = Seeded(SEED);
    let mut lengths: Vec<usize> =
        (0..60).map(|_| usize::try_from(seeded.below(150)).unwrap()).collect();
    lengths[7] = 2_500;
    let made = Made::new(SEED, &lengths);
    let folder = tempfile::tempdir().unwrap();
    let (file, db) = (folder.path().join("made.jsonl"), folder.path().join("made.redb"));
    std::fs::write(&file, made.lines()).unwrap();
    let expected: Vec<Vec<Message>> = made
        .conversations
        .iter()
        .map(|messages| {
            messages.iter().map(|json| Message::from_json(json.as_str()).unwrap()).collect()
        })
        .collect();

    let mut journal =
        Journal { sent: vec![0; lengths.len()], acknowledged: vec![0; lengths.len()] };
    let mut in_flight = 0;
    let share = made.messages() as u64 / (KILLS as u64 + 1);
    for kill in 0..KILLS {
        let child = replay(&file, &db)
            .args(["--acks", "--in-flight", "32"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        run_and_kill(child, &mut journal, usize::try_from(1 + seeded.below(share)).unwrap());
        in_flight += journal.in_flight();

        let stored = stored(&db, &made).await;
        for (n, stored) in stored.iter().enumerate() {
            let (acknowledged, sent) = (journal.acknowledged[n], journal.sent[n]);
            let context =
                format!("kill {kill}, conversation {n}: {acknowledged} acknowledged, {sent} sent");
            assert!(stored.len() >= acknowledged, "{context}, only {} stored", stored.len());
            assert!(stored.len() <= sent, "{context}, but {} stored", stored.len());
            assert!(
                stored[..] == expected[n][..stored.len()],
                "{context}, not in the file's order"
            );
        }
        // The next run goes on after the stored messages, acknowledged or not.
        for (n, stored) in stored.iter().enumerate() {
            journal.acknowledged[n] = stored.len();
            journal.sent[n] = stored.len();
        }
    }
    assert!(in_flight > 0, "no kill found a commit in flight");

    let output = replay(&file, &db).output().unwrap();
    let verified = format!(
        "verified sessions=60 messages={} lost=0 duplicated=0 reordered=0 appends_per_s=",
        made.messages()
    );
    assert!(last_line(&output).starts_with(&verified), "{output:?}");
    assert!(last_line(&output).ends_with(" skipped=0"), "{output:?}");
    assert!(output.status.success());
    println!("{}, after {KILLS} kills with {in_flight} commits in flight", last_line(&output));
}

#[test]
fn on_postgres_a_run_that_was_killed_goes_on_where_it_was() {
    let Some(server) = PostgresServer::new() else {
        println!("note: not run: replay into PostgreSQL: PG_BIN is not set (`cargo xtask test`)");
        return;
    };
    let mut seeded = Seeded(SEED);
    let mut lengths: Vec<usize> =
        (0..60).map(|_| usize::try_from(seeded.below(150)).unwrap()).collect();
    lengths[7] = 2_500;
    let made = Made::new(SEED, &lengths);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("made.jsonl");
    std::fs::write(&file, made.lines()).unwrap();
    let replay = || {
        let mut replay = replay(&file, Path::new("unused"));
        replay.args(["--store", &server.url(), "--acks", "--in-flight", "32"]);
        replay
    };
    let mut journal =
        Journal { sent: vec![0; lengths.len()], acknowledged: vec![0; lengths.len()] };
    let mut in_flight = 0;
    for _ in 0..3 {
        let child = replay().stdout(Stdio::piped()).spawn().unwrap();
        run_and_kill(child, &mut journal, made.messages() / 5);
        in_flight += journal.in_flight();
    }
    assert!(in_flight > 0, "no kill found a commit in flight");
    let output = replay().output().unwrap();
    let verified = format!(
        "verified sessions=60 messages={} lost=0 duplicated=0 reordered=0 appends_per_s=",
        made.messages()
    );
    assert!(last_line(&output).starts_with(&verified), "{output:?}");
    assert!(output.status.success());
    println!("{}, after 3 kills with {in_flight} commits in flight", last_line(&output));
}
