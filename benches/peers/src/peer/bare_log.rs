//! The least that a durable append can cost: one append-only file, written by one thread, with one
//! write and one `fdatasync` for all appends that wait. It has no index, checks or recovery.

use rustix::fs::{FallocateFlags, fallocate};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

/// The file is lengthened by so many bytes at a time.
const STEP: u64 = 64 << 20;

/// The bytes of a record, and the channel for its answer.
type Append = (Vec<u8>, oneshot::Sender<()>);

/// The log. Its thread ends when the last clone is dropped, or at the first error.
#[derive(Clone)]
pub(crate) struct BareLog(Sender<Append>);

impl BareLog {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = File::create_new(path)?;
        let (sender, appends) = channel();
        std::thread::spawn(move || serve(&file, &appends));
        Ok(Self(sender))
    }

    /// Returns when the record is on the disk.
    pub(crate) async fn append(&self, record: Vec<u8>) -> io::Result<()> {
        let ended = || io::Error::other("a write or a sync of the log failed");
        let (answer, answered) = oneshot::channel();
        self.0.send((record, answer)).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())
    }
}

fn serve(file: &File, appends: &Receiver<Append>) -> io::Result<()> {
    let (mut end, mut allocated) = (0, 0);
    while let Ok((mut batch, first)) = appends.recv() {
        let mut answers = vec![first];
        for (record, answer) in appends.try_iter() {
            batch.extend(record);
            answers.push(answer);
        }
        while end + batch.len() as u64 > allocated {
            fallocate(file, FallocateFlags::empty(), allocated, STEP)?;
            allocated += STEP;
            file.sync_all()?;
        }
        file.write_all_at(&batch, end)?;
        file.sync_data()?;
        end += batch.len() as u64;
        for answer in answers {
            // Nobody waits if the caller was dropped.
            answer.send(()).unwrap_or_default();
        }
    }
    Ok(())
}
