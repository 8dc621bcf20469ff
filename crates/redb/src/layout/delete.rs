//! Deletes and touches.

use super::Draft;
use crate::error::Fault;
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{DeleteIf, DeleteOutcome};

impl Draft<'_> {
    /// Raises `last_accessed_at`; says whether it wrote anything.
    pub(crate) fn touch(&mut self, id: &SessionId, at: u64) -> Result<bool, Fault> {
        let Some((found, app)) = self.tables.find_with(id, |row| row.app.to_vec())? else { return Ok(false) };
        if at <= found.current.last_accessed_at {
            return Ok(false);
        }
        // The head as stored: with a newer counter it would become the base, and appends since would look rewritten.
        let mut head = found.stored;
        head.last_accessed_at = at;
        let row = rows::encode_head(found.number, id, &head, &app);
        self.tables.heads.insert(found.number, &row[..])?;
        Ok(true)
    }

    pub(crate) fn delete(&mut self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, Fault> {
        let number = match condition {
            DeleteIf::Any => match self.tables.number(id) {
                Ok(None) => return Ok(DeleteOutcome::Absent),
                Ok(number) => number,
                Err(Fault::Refused(_)) => self.tables.number_by_scan(id)?,
                Err(fault) => return Err(fault),
            },
            DeleteIf::Version(_) | DeleteIf::IdleSince(_) => {
                let Some(found) = self.tables.find(id)? else { return Ok(DeleteOutcome::Absent) };
                let current = found.current;
                let holds = match condition {
                    DeleteIf::Version(version) => version == current.version,
                    DeleteIf::IdleSince(since) => current.last_accessed_at <= since,
                    DeleteIf::Any => true,
                };
                if !holds {
                    return Ok(DeleteOutcome::Conflict { current: current.version });
                }
                Some(found.number)
            }
        };
        self.tables.ids.remove(id.as_str().as_bytes())?;
        if let Some(number) = number {
            self.tables.heads.remove(number)?;
            self.remove_rows(number, 0, u64::MAX)?;
        }
        Ok(DeleteOutcome::Deleted)
    }

    /// Removes a range of rows without decoding them.
    pub(super) fn remove_rows(&mut self, number: u64, first: u64, last: u64) -> Result<(), Fault> {
        Ok(self.tables.rows.retain_in((number, first)..=(number, last), |_, _| false)?)
    }
}
