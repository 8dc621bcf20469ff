CREATE TABLE {s}.meta (
    version integer NOT NULL,
    oldest integer NOT NULL,
    salt bigint NOT NULL
);

CREATE TABLE {s}.head (
    number bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    mark bigint NOT NULL,
    head bytea NOT NULL,
    app bytea,
    owner bytea,
    listed_at bigint NOT NULL,
    replying boolean NOT NULL
) WITH (fillfactor = 80);
ALTER TABLE {s}.head ALTER COLUMN app SET STORAGE EXTERNAL;
CREATE INDEX head_owner_id ON {s}.head (owner, id) WHERE owner IS NOT NULL;
CREATE INDEX head_owner_newest ON {s}.head (owner, listed_at DESC, id DESC) WHERE owner IS NOT NULL;
CREATE INDEX head_replying ON {s}.head (id) WHERE replying;

CREATE TABLE {s}.message (
    number bigint NOT NULL,
    seq bigint NOT NULL,
    body bytea NOT NULL,
    tag bytea,
    PRIMARY KEY (number, seq)
);
ALTER TABLE {s}.message ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE {s}.reply (
    number bigint NOT NULL,
    seq bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (number, seq)
) WITH (fillfactor = 80);

CREATE TABLE {s}.chunk (
    number bigint NOT NULL,
    seq bigint NOT NULL,
    first bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (number, seq, first)
);
ALTER TABLE {s}.chunk ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE SEQUENCE {s}.numbers INCREMENT BY 64;

-- Appends to several sessions. The heads are locked first, which gives their newest marks. The next
-- statement has a snapshot of its own, which sees the messages that were committed before the locks
-- were held. Returned are the places of the commits whose expectation holds; the others changed
-- nothing.
CREATE FUNCTION {s}.append_1(
    numbers bigint[], marks bigint[], firsts bigint[],
    places integer[], seqs bigint[], bodies bytea[]
) RETURNS SETOF integer LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    locked bigint[];
    locked_marks bigint[];
BEGIN
    SELECT array_agg(l.number), array_agg(l.mark) INTO locked, locked_marks FROM (
        SELECT h.number, h.mark FROM {s}.head AS h WHERE h.number = ANY (numbers)
            ORDER BY h.number FOR NO KEY UPDATE
    ) AS l;
    RETURN QUERY
        WITH won AS MATERIALIZED (
            SELECT c.place::integer AS place, c.number
            FROM unnest(numbers, marks, firsts) WITH ORDINALITY AS c (number, mark, first, place)
            JOIN unnest(locked, locked_marks) AS l (number, mark)
                ON l.number = c.number AND l.mark = c.mark
            WHERE NOT EXISTS (
                SELECT FROM {s}.message AS m WHERE m.number = c.number AND m.seq >= c.first
            )
        ), added AS (
            INSERT INTO {s}.message (number, seq, body)
            SELECT won.number, n.seq, n.body
            FROM unnest(places, seqs, bodies) AS n (place, seq, body)
            JOIN won ON won.place = n.place
        )
        SELECT won.place FROM won;
END
$f$;

-- One append of one message: its seq, or NULL if its expectation does not hold. It is a function
-- because the server keeps the plans of its statements.
CREATE FUNCTION {s}.append_one_1(of_number bigint, of_mark bigint, of_seq bigint, of_body bytea)
RETURNS bigint LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    won bigint;
BEGIN
    WITH h AS MATERIALIZED (
        SELECT x.number FROM {s}.head AS x
        WHERE x.number = of_number AND x.mark = of_mark FOR NO KEY UPDATE
    )
    INSERT INTO {s}.message (number, seq, body) SELECT h.number, of_seq, of_body FROM h
        ON CONFLICT DO NOTHING RETURNING seq INTO won;
    RETURN won;
END
$f$;

-- Locks a session. The last message is read by a statement after the lock, for the same reason.
CREATE FUNCTION {s}.lock_1(wanted text)
RETURNS TABLE (number bigint, mark bigint, head bytea, last bigint, body bytea)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $f$
BEGIN
    SELECT h.number, h.mark, h.head INTO number, mark, head
        FROM {s}.head AS h WHERE h.id = wanted FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    SELECT m.seq, CASE WHEN m.tag IS NULL THEN m.body END INTO last, body
        FROM {s}.message AS m WHERE m.number = lock_1.number ORDER BY m.seq DESC LIMIT 1;
    RETURN NEXT;
END
$f$;

-- A session in one snapshot, which is that of the calling statement. The kinds of rows: 0 head,
-- 1 message, 2 tag, 3 open reply with its last chunks, 4 last message, 5 unchanged, 6 more,
-- 7 chunks.
CREATE FUNCTION {s}.load_1(
    wanted text, known_number bigint, known_mark bigint, known_next bigint,
    max_messages bigint, max_bytes bigint
) RETURNS TABLE (kind integer, seq bigint, place bigint, a bytea, b bytea)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_generic_plan AS $f$
DECLARE
    h record;
    r record;
    n bigint := 0;
    total bigint := 0;
    oldest bigint := 9223372036854775807;
BEGIN
    SELECT x.number, x.mark, x.head, x.app, x.replying INTO h
        FROM {s}.head AS x WHERE x.id = wanted;
    IF NOT FOUND THEN RETURN; END IF;
    IF h.number = known_number AND h.mark = known_mark AND NOT EXISTS (
        SELECT FROM {s}.message AS m WHERE m.number = h.number AND m.seq >= known_next
    ) THEN
        kind := 5;
        RETURN NEXT;
        RETURN;
    END IF;
    kind := 0; seq := h.number; place := h.mark; a := h.head; b := h.app;
    RETURN NEXT;
    kind := 1; place := NULL; b := NULL;
    FOR r IN SELECT m.seq, m.body, octet_length(m.body) - {overhead} AS bytes
        FROM {s}.message AS m WHERE m.number = h.number ORDER BY m.seq DESC
    LOOP
        EXIT WHEN n > 0 AND (n >= max_messages OR total + r.bytes > max_bytes);
        n := n + 1; total := total + r.bytes; oldest := r.seq;
        seq := r.seq; a := r.body;
        RETURN NEXT;
    END LOOP;
    IF n > 0 AND n < {tagged} THEN
        kind := 2;
        FOR r IN SELECT m.seq, m.body, m.tag FROM {s}.message AS m
            WHERE m.number = h.number AND m.seq < oldest ORDER BY m.seq DESC LIMIT {tagged} - n
        LOOP
            seq := r.seq; a := CASE WHEN r.tag IS NULL THEN r.body END; b := r.tag;
            RETURN NEXT;
        END LOOP;
    END IF;
    IF h.replying THEN
        RETURN QUERY SELECT * FROM {s}.replies_1(h.number, 0, 9223372036854775807);
    END IF;
END
$f$;

-- The open replies of a range of messages, each with its last chunks.
CREATE FUNCTION {s}.replies_1(of_number bigint, low bigint, high bigint)
RETURNS TABLE (kind integer, seq bigint, place bigint, a bytea, b bytea)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $f$
DECLARE
    r record;
BEGIN
    kind := 3;
    FOR r IN SELECT p.seq, p.body FROM {s}.reply AS p
        WHERE p.number = of_number AND p.seq BETWEEN low AND high ORDER BY p.seq
    LOOP
        seq := r.seq; a := r.body; place := NULL; b := NULL;
        SELECT c.first, c.body INTO place, b FROM {s}.chunk AS c
            WHERE c.number = of_number AND c.seq = r.seq ORDER BY c.first DESC LIMIT 1;
        RETURN NEXT;
    END LOOP;
END
$f$;

-- A page of messages, the head and the open replies of the page in one snapshot.
CREATE FUNCTION {s}.page_1(
    wanted text, low bigint, high bigint, backward boolean,
    max_messages bigint, max_bytes bigint, with_app boolean
) RETURNS TABLE (kind integer, seq bigint, place bigint, a bytea, b bytea)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_generic_plan AS $f$
DECLARE
    h record;
    r record;
    n bigint := 0;
    total bigint := 0;
    page_low bigint := NULL;
    page_high bigint := NULL;
    more boolean := false;
BEGIN
    SELECT x.number, x.mark, x.head, CASE WHEN with_app THEN x.app END AS app, x.replying INTO h
        FROM {s}.head AS x WHERE x.id = wanted;
    IF NOT FOUND THEN RETURN; END IF;
    kind := 0; seq := h.number; place := h.mark; a := h.head; b := h.app;
    RETURN NEXT;
    place := NULL; b := NULL;
    FOR r IN SELECT m.seq, CASE WHEN m.tag IS NULL THEN m.body END AS body
        FROM {s}.message AS m WHERE m.number = h.number ORDER BY m.seq DESC LIMIT 1
    LOOP
        kind := 4; seq := r.seq; a := r.body;
        RETURN NEXT;
    END LOOP;
    kind := 1;
    IF backward THEN
        FOR r IN SELECT m.seq, m.body, octet_length(m.body) - {overhead} AS bytes
            FROM {s}.message AS m
            WHERE m.number = h.number AND m.seq BETWEEN low AND high ORDER BY m.seq DESC
        LOOP
            IF n > 0 AND (n >= max_messages OR total + r.bytes > max_bytes) THEN
                more := true;
                EXIT;
            END IF;
            n := n + 1; total := total + r.bytes; page_low := r.seq;
            page_high := coalesce(page_high, r.seq);
            seq := r.seq; a := r.body;
            RETURN NEXT;
        END LOOP;
    ELSE
        FOR r IN SELECT m.seq, m.body, octet_length(m.body) - {overhead} AS bytes
            FROM {s}.message AS m
            WHERE m.number = h.number AND m.seq BETWEEN low AND high ORDER BY m.seq
        LOOP
            IF n > 0 AND (n >= max_messages OR total + r.bytes > max_bytes) THEN
                more := true;
                EXIT;
            END IF;
            n := n + 1; total := total + r.bytes; page_high := r.seq;
            page_low := coalesce(page_low, r.seq);
            seq := r.seq; a := r.body;
            RETURN NEXT;
        END LOOP;
    END IF;
    IF more THEN
        kind := 6; seq := NULL; a := NULL;
        RETURN NEXT;
    END IF;
    IF h.replying AND n > 0 THEN
        RETURN QUERY SELECT * FROM {s}.replies_1(h.number, page_low, page_high);
    END IF;
END
$f$;

-- Chunks of an open reply, from the row that has the first wanted one. Its own length is not
-- counted: a part of it may be before that chunk.
CREATE FUNCTION {s}.chunks_1(
    wanted text, of_seq bigint, wanted_first bigint, max_chunks bigint, max_bytes bigint
) RETURNS TABLE (kind integer, seq bigint, place bigint, a bytea, b bytea)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
SET plan_cache_mode = force_generic_plan AS $f$
DECLARE
    of_number bigint;
    start bigint;
    r record;
    n integer := 0;
    total bigint := 0;
    before_first bigint := 0;
    before_bytes bigint := 0;
BEGIN
    SELECT h.number INTO of_number FROM {s}.head AS h WHERE h.id = wanted;
    IF NOT FOUND THEN RETURN; END IF;
    kind := 0; seq := of_number;
    RETURN NEXT;
    RETURN QUERY SELECT * FROM {s}.replies_1(of_number, of_seq, of_seq);
    SELECT c.first INTO start FROM {s}.chunk AS c
        WHERE c.number = of_number AND c.seq = of_seq AND c.first <= wanted_first
        ORDER BY c.first DESC LIMIT 1;
    kind := 7;
    FOR r IN SELECT c.first, c.body, octet_length(c.body) AS bytes FROM {s}.chunk AS c
        WHERE c.number = of_number AND c.seq = of_seq AND c.first >= coalesce(start, 0)
        ORDER BY c.first
    LOOP
        IF n > 1 THEN
            total := total + before_bytes - {chunk_overhead} - 4 * (r.first - before_first);
        END IF;
        IF n > 0 AND (r.first - wanted_first >= max_chunks OR total >= max_bytes) THEN
            kind := 6; seq := NULL; a := NULL;
            RETURN NEXT;
            EXIT;
        END IF;
        seq := of_seq; place := r.first; a := r.body;
        RETURN NEXT;
        n := n + 1; before_first := r.first; before_bytes := r.bytes;
    END LOOP;
END
$f$;

-- Waits for every statement that may still change a session, and makes those that have not begun
-- change nothing: appends find another mark, and a creation finds its id taken while it waits.
CREATE FUNCTION {s}.fence_1(wanted text) RETURNS void LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    of_number bigint;
BEGIN
    LOOP
        UPDATE {s}.head AS h SET mark = h.mark + 1 WHERE h.id = wanted
            RETURNING h.number INTO of_number;
        IF FOUND THEN
            PERFORM 1 FROM {s}.reply AS p WHERE p.number = of_number ORDER BY p.seq FOR UPDATE;
            RETURN;
        END IF;
        INSERT INTO {s}.head (number, id, mark, head, listed_at, replying)
            VALUES (nextval('{s}.numbers'), wanted, 0, ''::bytea, 0, false)
            ON CONFLICT (id) DO NOTHING RETURNING number INTO of_number;
        IF FOUND THEN
            DELETE FROM {s}.head AS h WHERE h.number = of_number;
            RETURN;
        END IF;
    END LOOP;
END
$f$;
