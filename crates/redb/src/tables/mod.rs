//! The tables: their keys, their definitions, and one value for each of them.

mod key;
mod table;

pub(crate) use key::{ChunkPlace, KeyRange, Name, Place, TableKey};
pub(crate) use table::{
    Blob, Chunks, Family, Heads, Ids, Lists, META, Replies, Rows, Table, Tables, Tags, Visit,
    visit, visit_all,
};
