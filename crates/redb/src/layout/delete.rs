//! Deletes and touches.

use super::Draft;
use crate::error::Fault;
use durable_session::SessionId;
use durable_session::planted::bug;
use durable_session::rows;
use durable_session::store::{DeleteIf, DeleteOutcome};

impl Draft<'_> {
    /// Raises `last_accessed_at`; says whether it wrote anything.
    pub(crate) fn touch(&mut self, id: &SessionId, at: u64) -> Result<bool, Fault> {
        self.known.forget(id);
        let Some(number) = self.index.open(self.txn)?.number(id)? else { return Ok(false) };
        if self.log.newest(id, number).head.is_some() {
            // It would outdate the one that is written here.
            self.settle(id, number)?;
        }
        let index = self.index.open(self.txn)?;
        let rows = self.rows.open(self.txn)?;
        let newest = |number| self.log.newest(id, number);
        let Some((found, app)) = index.find(rows, newest, id, |row| row.app.to_vec())? else {
            return Ok(false);
        };
        if at <= found.current.last_accessed_at {
            return Ok(false);
        }
        // The head as stored: with a newer counter it would become the base, and appends since would look rewritten.
        let mut head = found.stored;
        head.last_accessed_at = at;
        let row = rows::encode_head(found.number, id, &head, &app);
        index.heads.insert(found.number, &row[..])?;
        Ok(true)
    }

    pub(crate) fn delete(&mut self, id: &SessionId, condition: DeleteIf) -> Result<DeleteOutcome, Fault> {
        self.known.forget(id);
        let index = self.index.open(self.txn)?;
        let number = match condition {
            DeleteIf::Any => match index.number(id) {
                Ok(None) => return Ok(DeleteOutcome::Absent),
                Ok(number) => number,
                Err(Fault::Refused(_)) => index.number_by_scan(id)?,
                Err(fault) => return Err(fault),
            },
            DeleteIf::Version(_) | DeleteIf::IdleSince(_) => {
                let (rows, newest) = (self.rows.open(self.txn)?, |number| self.log.newest(id, number));
                let Some((found, ())) = index.find(rows, newest, id, |_| ())? else {
                    return Ok(DeleteOutcome::Absent);
                };
                let current = found.current;
                let holds = match condition {
                    DeleteIf::Version(version) => version == current.version,
                    DeleteIf::IdleSince(since) => current.last_accessed_at <= since && !bug("expire-nothing"),
                    DeleteIf::Any => true,
                };
                if !holds {
                    return Ok(DeleteOutcome::Conflict { current: current.version });
                }
                Some(found.number)
            }
        };
        index.ids.remove(id.as_str().as_bytes())?;
        if let Some(number) = number {
            index.heads.remove(number)?;
            self.remove_rows(number, 0, u64::MAX)?;
        }
        self.log.settle(id, number.unwrap_or_default());
        Ok(DeleteOutcome::Deleted)
    }

    /// Removes a range of rows without decoding them.
    pub(super) fn remove_rows(&mut self, number: u64, first: u64, last: u64) -> Result<(), Fault> {
        Ok(self.rows.open(self.txn)?.retain_in((number, first)..=(number, last), |_, _| false)?)
    }
}
