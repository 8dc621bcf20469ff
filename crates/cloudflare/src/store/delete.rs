//! Deletes, each one transaction.

use super::failure::failed;
use super::{find, reply};
use crate::schema::{self, FORMER_STATE, TAKEN_OVER};
use crate::sql::{MAX_INTEGER, Sql, integer, text};
use durable_session::SessionId;
use durable_session::store::{DeleteIf, DeleteOutcome, Salt, StoreError};

const DELETE: &str = "could not delete the session";

pub(super) fn delete(
    sql: &Sql,
    salt: Salt,
    id: &SessionId,
    condition: DeleteIf,
) -> Result<DeleteOutcome, StoreError> {
    // An object runs one thing at a time, and no step here awaits: nothing runs in between.
    let number = match condition {
        DeleteIf::Any => match find::number_anyway(sql, id)? {
            Some(numbered) => numbered.number,
            None => return Ok(DeleteOutcome::Absent),
        },
        DeleteIf::Version(_) | DeleteIf::IdleSince(_) => {
            let Some(found) = find::session(sql, id)? else { return Ok(DeleteOutcome::Absent) };
            let head = found.current.salted(salt);
            let holds = match condition {
                DeleteIf::Any => true,
                DeleteIf::Version(expected) => head.version == expected,
                DeleteIf::IdleSince(time) => head.last_accessed_at <= time,
            };
            if !holds {
                return Ok(DeleteOutcome::Conflict { current: head.version });
            }
            Some(found.number)
        }
    };
    sql.transaction(|| {
        if let Some(number) = number {
            sql.run("DELETE FROM durable_session_messages WHERE n = ?", vec![integer(number)])?;
            reply::remove(sql, number, 0, MAX_INTEGER)?;
            reply::remove_chunks(sql, number, 0, MAX_INTEGER)?;
            sql.run("DELETE FROM durable_session_heads WHERE n = ?", vec![integer(number)])?;
        }
        // Without this, the next request would take the former object's state over again.
        if let Some(taken) = schema::meta(sql, TAKEN_OVER)?
            && number.is_none_or(|number| number == taken)
        {
            sql.delete_key(FORMER_STATE)?;
        }
        sql.run("DELETE FROM durable_session_numbers WHERE id = ?", vec![text(id.as_str())])
    })
    .map_err(failed(id, DELETE))?;
    Ok(DeleteOutcome::Deleted)
}
