//! Extensions, touches and deletes.

use crate::commit::{decode_locked, lock, lock_row};
use crate::connection::first;
use crate::error::Failure;
use crate::found::{open_reply, signed, unsigned};
use crate::shared::LIMITS;
use crate::transaction::{Parameters, Transaction};
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{DeleteIf, DeleteOutcome, ExtendOutcome, Extension, Head};
use tokio_postgres::types::Type;

/// Adds to an open reply. It locks the row of the reply, and not the session: commits that leave
/// the reply alone go on, and a close waits.
pub(crate) async fn extend(
    transaction: &mut Transaction<'_>,
    id: &SessionId,
    extension: &Extension,
) -> Result<ExtendOutcome, Failure> {
    let sql = &transaction.shared.sql;
    let (id_text, seq_column) = (id.as_str(), signed(extension.seq));
    let of: Parameters<'_> = vec![(&id_text, Type::TEXT), (&seq_column, Type::INT8)];
    // The last chunks are read by a statement after the lock.
    let statements = [(&*sql.lock_reply, of.clone()), (&*sql.last_chunk, of)];
    let answers = transaction.begin(&statements).await?;
    let [replies, chunks] = answers.as_slice() else { return Ok(ExtendOutcome::Ended) };
    let Some(reply) = replies.first() else { return Ok(ExtendOutcome::Ended) };
    let number_column: i64 = reply.try_get(0)?;
    let number = unsigned(number_column);
    let mut row = rows::decode_reply(id, number, extension.seq, reply.try_get(1)?)?;
    if row.opening.claim != extension.claim {
        return Ok(ExtendOutcome::Ended);
    }
    let last = chunks.first().map(|row| Ok::<_, Failure>((row.try_get(0)?, row.try_get(1)?)));
    let now = open_reply(id, number, extension.seq, reply.try_get(1)?, last.transpose()?)?;
    let mut counts = now.counts;
    let place: Parameters<'_> = vec![(&number_column, Type::INT8), (&seq_column, Type::INT8)];
    if extension.chunks.is_empty() {
        row.beats += 1;
        counts.beats = row.beats;
        let row = rows::encode_reply(number, extension.seq, &row);
        let mut beat = place;
        beat.push((&row, Type::BYTEA));
        transaction.commit(&[(&transaction.shared.sql.beat, beat)]).await?;
        return Ok(ExtendOutcome::Extended(counts));
    }
    let news = match extension.news(counts.chunks) {
        None => return Ok(ExtendOutcome::Gap(counts)),
        Some([]) => return Ok(ExtendOutcome::Extended(counts)),
        Some(news) => news,
    };
    let bytes = now.bytes + news.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
    LIMITS.check_reply(id, row.body_bytes + bytes)?;
    let offset = signed(counts.chunks);
    let row = rows::encode_chunks(number, extension.seq, counts.chunks, bytes, news);
    counts.chunks += news.len() as u64;
    let mut chunks = place;
    chunks.extend::<Parameters<'_>>(vec![(&offset, Type::INT8), (&row, Type::BYTEA)]);
    transaction.commit(&[(&transaction.shared.sql.put_chunks, chunks)]).await?;
    transaction.shared.outbox.changed(number);
    Ok(ExtendOutcome::Extended(counts))
}

/// Raises `last_accessed_at`. The head row stays as it was otherwise: what was appended since is in
/// the last message row.
pub(crate) async fn touch(
    transaction: &mut Transaction<'_>,
    id: &SessionId,
    at: u64,
) -> Result<(), Failure> {
    let Some(found) = lock(transaction, id).await? else { return Ok(()) };
    if at <= found.current.last_accessed_at {
        return Ok(());
    }
    let head = Head { last_accessed_at: at, ..found.stored };
    let row = rows::encode_head(found.number, id, &head, &found.labels, &[]);
    let number = signed(found.number);
    let raise: Parameters<'_> = vec![(&number, Type::INT8), (&row, Type::BYTEA)];
    transaction.shared.forget(id);
    transaction.commit(&[(&transaction.shared.sql.raise_head, raise)]).await?;
    Ok(())
}

pub(crate) async fn delete(
    transaction: &mut Transaction<'_>,
    id: &SessionId,
    condition: DeleteIf,
) -> Result<DeleteOutcome, Failure> {
    let Some(row) = lock_row(transaction, id).await? else { return Ok(DeleteOutcome::Absent) };
    let number: i64 = first(std::slice::from_ref(&row))?.try_get(0)?;
    if condition != DeleteIf::Any {
        let head = decode_locked(id, &row)?.current.salted(transaction.connection.salt);
        let holds = match condition {
            DeleteIf::Any => true,
            DeleteIf::Version(version) => head.version == version,
            DeleteIf::IdleSince(time) => head.last_accessed_at <= time,
        };
        if !holds {
            return Ok(DeleteOutcome::Conflict { current: head.version });
        }
    }
    let (low, high) = (0_i64, i64::MAX);
    let range: Parameters<'_> =
        vec![(&number, Type::INT8), (&low, Type::INT8), (&high, Type::INT8)];
    let sql = &transaction.shared.sql;
    let statements = [
        (&*sql.remove_replies, range.clone()),
        (&*sql.remove_chunks, range.clone()),
        (&*sql.remove, range),
        (&*sql.delete, vec![(&number, Type::INT8)]),
    ];
    transaction.shared.forget(id);
    transaction.commit(&statements).await?;
    transaction.shared.outbox.changed(unsigned(number));
    Ok(DeleteOutcome::Deleted)
}
