//! The statements of the store, for one schema.

use crate::error::unavailable;
use durable_session::rows::MESSAGE_OVERHEAD;
use durable_session::store::{StoreError, TAGGED_MESSAGES};
use xxhash_rust::xxh3::xxh3_64;

/// The version of the tables and functions that this release makes.
pub(crate) const VERSION: i32 = 1;

/// The bytes of a chunk row beyond its chunks and the four bytes for each.
const CHUNK_OVERHEAD: usize = 1 + 4 + 8 + 8;

/// The statements, with the name of the schema put in.
#[derive(Debug)]
pub(crate) struct Sql {
    pub(crate) schema: String,
    /// Where hints are sent, and the lock that listeners hold.
    pub(crate) channel: String,
    pub(crate) topic: i64,
    pub(crate) meta: String,
    pub(crate) append: String,
    pub(crate) append_one: String,
    pub(crate) lock: String,
    pub(crate) load: String,
    pub(crate) page: String,
    pub(crate) chunks: String,
    pub(crate) chunks_back: String,
    pub(crate) fence: String,
    pub(crate) numbers: String,
    pub(crate) create: String,
    pub(crate) head_of: String,
    pub(crate) lengths: String,
    pub(crate) lock_reply: String,
    pub(crate) lock_replies: String,
    pub(crate) last_chunk: String,
    pub(crate) last_chunk_of: String,
    pub(crate) end_replies: String,
    pub(crate) end_chunks: String,
    pub(crate) remove_replies: String,
    pub(crate) remove_chunks: String,
    pub(crate) remove: String,
    pub(crate) put_messages: String,
    pub(crate) put_replies: String,
    pub(crate) put_head: String,
    pub(crate) put_head_and_app: String,
    pub(crate) raise_head: String,
    pub(crate) put_chunks: String,
    pub(crate) beat: String,
    pub(crate) delete: String,
    pub(crate) listed: String,
    pub(crate) nobody_listens: String,
    pub(crate) listens: String,
    pub(crate) notify: String,
    pub(crate) ids: String,
}

impl Sql {
    pub(crate) fn new(schema: &str) -> Result<Self, StoreError> {
        let first = |c: char| c.is_ascii_lowercase() || c == '_';
        let plain = schema.len() <= 63
            && schema.starts_with(first)
            && schema.chars().all(|c| first(c) || c.is_ascii_digit())
            && !schema.starts_with("pg_");
        if !plain {
            return Err(unavailable(
                "a schema is named by lower-case letters, digits and underscores, at most 63",
            ));
        }
        let topic = xxh3_64(format!("durable-session hints {schema}").as_bytes());
        let overhead = MESSAGE_OVERHEAD.to_string();
        let s = |text: &str| text.replace("{s}", schema).replace("{overhead}", &overhead);
        let last = "LEFT JOIN LATERAL (SELECT m.seq, CASE WHEN m.tag IS NULL THEN m.body END AS \
                    body FROM {s}.message AS m WHERE m.number = h.number ORDER BY m.seq DESC \
                    LIMIT 1) AS l ON true";
        let head = "SELECT h.id, h.number, h.mark, h.head, l.seq, l.body, h.listed_at";
        Ok(Self {
            meta: s("SELECT version, oldest, salt, '{s}.head'::regclass::oid FROM {s}.meta"),
            append: s("SELECT {s}.append_1($1, $2, $3, $4, $5, $6)"),
            append_one: s("SELECT {s}.append_one_1($1, $2, $3, $4)"),
            lock: s("SELECT * FROM {s}.lock_1($1)"),
            load: s("SELECT * FROM {s}.load_1($1, $2, $3, $4, $5, $6)"),
            page: s("SELECT * FROM {s}.page_1($1, $2, $3, $4, $5, $6, $7)"),
            chunks: s("SELECT * FROM {s}.chunks_1($1, $2, $3, $4, $5)"),
            chunks_back: s("SELECT first, body FROM {s}.chunk WHERE number = $1 AND seq = $2 \
                            AND first < $3 ORDER BY first DESC LIMIT 1"),
            fence: s("SELECT {s}.fence_1($1)"),
            numbers: s("SELECT nextval('{s}.numbers')"),
            create: s("INSERT INTO {s}.head (number, id, mark, head, app, owner, listed_at, \
                       replying) VALUES ($1, $2, 1, $3, $4, $5, $6, $7) \
                       ON CONFLICT (id) DO NOTHING RETURNING number"),
            head_of: s(&format!("{head} FROM {{s}}.head AS h {last} WHERE h.id = $1")),
            lengths: s("SELECT seq, octet_length(body) FROM {s}.message \
                        WHERE number = $1 AND seq = ANY ($2)"),
            lock_reply: s("SELECT h.number, p.body FROM {s}.head AS h \
                           JOIN {s}.reply AS p ON p.number = h.number AND p.seq = $2 \
                           WHERE h.id = $1 FOR UPDATE OF p"),
            lock_replies: s("SELECT seq, body FROM {s}.reply \
                             WHERE number = $1 AND seq = ANY ($2) ORDER BY seq FOR UPDATE"),
            last_chunk: s("SELECT c.first, c.body FROM {s}.chunk AS c WHERE c.number = \
                           (SELECT h.number FROM {s}.head AS h WHERE h.id = $1) \
                           AND c.seq = $2 ORDER BY c.first DESC LIMIT 1"),
            last_chunk_of: s("SELECT w.seq, c.first, c.body FROM unnest($2) AS w (seq) \
                              JOIN LATERAL (SELECT x.first, x.body FROM {s}.chunk AS x \
                              WHERE x.number = $1 AND x.seq = w.seq ORDER BY x.first DESC \
                              LIMIT 1) AS c ON true"),
            end_replies: s("DELETE FROM {s}.reply WHERE number = $1 AND seq = ANY ($2)"),
            end_chunks: s("DELETE FROM {s}.chunk WHERE number = $1 AND seq = ANY ($2)"),
            remove_replies: s("DELETE FROM {s}.reply WHERE number = $1 AND seq BETWEEN $2 AND $3"),
            remove_chunks: s("DELETE FROM {s}.chunk WHERE number = $1 AND seq BETWEEN $2 AND $3"),
            remove: s("WITH gone AS (DELETE FROM {s}.message \
                       WHERE number = $1 AND seq BETWEEN $2 AND $3 \
                       RETURNING greatest(octet_length(body) - {overhead}, 0) AS bytes) \
                       SELECT count(*), coalesce(sum(bytes), 0)::bigint FROM gone"),
            put_messages: s("INSERT INTO {s}.message (number, seq, body, tag) \
                             SELECT $1, n.seq, n.body, n.tag \
                             FROM unnest($2, $3, $4) AS n (seq, body, tag) \
                             ON CONFLICT (number, seq) \
                             DO UPDATE SET body = excluded.body, tag = excluded.tag"),
            put_replies: s("INSERT INTO {s}.reply (number, seq, body) \
                            SELECT $1, n.seq, n.body FROM unnest($2, $3) AS n (seq, body)"),
            put_head: s("UPDATE {s}.head SET mark = mark + 1, head = $2, owner = $3, \
                         listed_at = $4, replying = EXISTS (SELECT FROM {s}.reply AS p \
                         WHERE p.number = $1) WHERE number = $1 RETURNING mark"),
            put_head_and_app: s("UPDATE {s}.head SET mark = mark + 1, head = $2, owner = $3, \
                                 listed_at = $4, replying = EXISTS (SELECT FROM {s}.reply AS p \
                                 WHERE p.number = $1), app = $5 WHERE number = $1 \
                                 RETURNING mark"),
            raise_head: s("UPDATE {s}.head SET mark = mark + 1, head = $2 WHERE number = $1"),
            put_chunks: s("INSERT INTO {s}.chunk (number, seq, first, body) \
                           VALUES ($1, $2, $3, $4)"),
            beat: s("UPDATE {s}.reply SET body = $3 WHERE number = $1 AND seq = $2"),
            delete: s("DELETE FROM {s}.head WHERE number = $1"),
            listed: s(&format!("{head} FROM {{s}}.head AS h {last}")),
            nobody_listens: s("SELECT pg_try_advisory_xact_lock($1)"),
            listens: s("SELECT pg_advisory_lock_shared($1)"),
            notify: s("SELECT pg_notify($1, payload) FROM unnest($2) AS payload"),
            ids: s("SELECT id FROM {s}.head WHERE number = ANY ($1)"),
            channel: format!("durable_session_{topic:016x}"),
            topic: i64::from_le_bytes(topic.to_le_bytes()),
            schema: schema.to_owned(),
        })
    }

    /// What makes the tables and functions.
    pub(crate) fn migration(&self) -> String {
        let text = include_str!("schema.sql")
            .replace("{s}", &self.schema)
            .replace("{overhead}", &MESSAGE_OVERHEAD.to_string())
            .replace("{chunk_overhead}", &CHUNK_OVERHEAD.to_string())
            .replace("{tagged}", &TAGGED_MESSAGES.to_string());
        format!(
            "CREATE SCHEMA IF NOT EXISTS {s};\n\n{text}\nINSERT INTO {s}.meta (version, oldest, \
             salt) VALUES ({VERSION}, {VERSION}, 0);\n",
            s = self.schema
        )
    }
}
