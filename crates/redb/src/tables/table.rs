//! Which tables there are.
//!
//! | table | key | value |
//! |---|---|---|
//! | `durable-session.meta` | name | a checked row, see [`meta`](crate::layout::meta) |
//! | `durable-session.ids` | session id (bytes) | number row |
//! | `durable-session.heads` | session number | head row |
//! | `durable-session.rows` | (session number, seq) | message row |
//! | `durable-session.tags` | (session number, seq) | tag row, for a message with a large body |
//! | `durable-session.replies` | (session number, seq) | reply row, while a reply is open |
//! | `durable-session.chunks` | (session number, seq, offset) | chunk row, while a reply is open |
//! | `durable-session.lists` | see [`lists`](crate::layout) | nothing |
//!
//! The rows are those of [`durable_session::rows`]. A session number belongs to one life of one
//! session and is never used again.

use super::key::{ChunkPlace, Name, Place, TableKey};
use redb::TableDefinition;

/// The values of all tables.
pub(crate) type Blob = &'static [u8];

/// The one table that is changed without the log.
pub(crate) const META: TableDefinition<'_, &'static str, Blob> =
    TableDefinition::new("durable-session.meta");

/// A table whose changes go through the log.
pub(crate) trait Table: Sized + 'static {
    type Key: TableKey;

    /// Its number in the log, from 1 to 15.
    const ID: u8;

    /// Its name in redb.
    const NAME: &str;

    const DEFINITION: TableDefinition<'static, <Self::Key as TableKey>::Stored, Blob>;

    fn of<F: Family>(tables: &Tables<F>) -> &F::Of<Self>;

    fn of_mut<F: Family>(tables: &mut Tables<F>) -> &mut F::Of<Self>;
}

/// Something that there is for each table.
pub(crate) trait Family {
    type Of<T: Table>: Default;
}

/// Work to be done for a table.
pub(crate) trait Visit {
    type Error;

    fn table<T: Table>(&mut self) -> Result<(), Self::Error>;
}

macro_rules! tables {
    ($($table:ident $field:ident $id:literal $name:literal $key:ty;)*) => {
        $(
            pub(crate) struct $table;

            impl Table for $table {
                type Key = $key;

                const ID: u8 = $id;

                const NAME: &str = $name;

                const DEFINITION: TableDefinition<'static, <$key as TableKey>::Stored, Blob> =
                    TableDefinition::new(Self::NAME);

                fn of<F: Family>(tables: &Tables<F>) -> &F::Of<Self> {
                    &tables.$field
                }

                fn of_mut<F: Family>(tables: &mut Tables<F>) -> &mut F::Of<Self> {
                    &mut tables.$field
                }
            }
        )*

        /// One for each table.
        pub(crate) struct Tables<F: Family> {
            $($field: F::Of<$table>,)*
        }

        impl<F: Family> Default for Tables<F> {
            fn default() -> Self {
                Self { $($field: Default::default(),)* }
            }
        }

        /// Visits all tables.
        pub(crate) fn visit_all<V: Visit>(visitor: &mut V) -> Result<(), V::Error> {
            $(visitor.table::<$table>()?;)*
            Ok(())
        }

        /// Visits the table with this number in the log; `None` if there is none.
        pub(crate) fn visit<V: Visit>(id: u8, visitor: &mut V) -> Option<Result<(), V::Error>> {
            match id {
                $($id => Some(visitor.table::<$table>()),)*
                _ => None,
            }
        }
    };
}

tables! {
    Ids ids 1 "durable-session.ids" Name;
    Heads heads 2 "durable-session.heads" u64;
    Rows rows 3 "durable-session.rows" Place;
    Tags tags 4 "durable-session.tags" Place;
    Replies replies 5 "durable-session.replies" Place;
    Chunks chunks 6 "durable-session.chunks" ChunkPlace;
    Lists lists 7 "durable-session.lists" Name;
}
