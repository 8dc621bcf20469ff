//! A store that passes its calls on to another one, except those that a test overrides.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{
    ChunkPage, ChunkQuery, Commit, CommitOutcome, DeleteIf, DeleteOutcome, Durability,
    ExtendOutcome, Extension, ListPage, ListQuery, LoadOutcome, LoadQuery, Opening, Page,
    ReadQuery, Salvaged, SessionList, SessionStore, Sharing, StoreError, StoreLimits,
};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// A call of a store on one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// [`SessionStore::load`].
    Load,
    /// [`SessionStore::read`].
    Read,
    /// [`SessionStore::read_chunks`].
    ReadChunks,
    /// [`SessionStore::salvage`].
    Salvage,
    /// [`SessionStore::commit`].
    Commit,
    /// [`SessionStore::extend`].
    Extend,
    /// [`SessionStore::touch`].
    Touch,
    /// [`SessionStore::delete`].
    Delete,
}

/// The calls of a store between a test and an inner store. Each call goes through
/// [`before`](Self::before) and then to the inner store, unless it is overridden.
///
/// ```
/// use durable_session::SessionId;
/// use durable_session::store::{SessionStore, StoreError, StoreErrorKind};
/// use testkit::{Call, Through, Wrapper};
///
/// struct ReadOnly<S>(S);
///
/// impl<S: SessionStore> Wrapper for ReadOnly<S> {
///     type Inner = S;
///
///     fn inner(&self) -> &S {
///         &self.0
///     }
///
///     fn before(&self, call: Call, id: &SessionId) -> Result<(), StoreError> {
///         match call {
///             Call::Load | Call::Read | Call::ReadChunks | Call::Salvage => Ok(()),
///             _ => Err(StoreError::new(StoreErrorKind::Unavailable, "read only").in_session(id)),
///         }
///     }
/// }
///
/// fn read_only(store: impl SessionStore + 'static) -> impl SessionStore {
///     Through(ReadOnly(store))
/// }
/// ```
#[async_trait]
#[allow(missing_docs, clippy::missing_errors_doc, reason = "as in the trait that they stand for")]
pub trait Wrapper: Send + Sync {
    /// The inner store's type.
    type Inner: SessionStore;

    /// The store to which calls are passed on.
    fn inner(&self) -> &Self::Inner;

    /// Called before each call on a session; an error ends the call. An overridden call does not
    /// come here by itself.
    fn before(&self, _call: Call, _id: &SessionId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        self.before(Call::Load, id)?;
        self.inner().load(id, query).await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        self.before(Call::Read, id)?;
        self.inner().read(id, query).await
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        self.before(Call::ReadChunks, id)?;
        self.inner().read_chunks(id, query).await
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        self.before(Call::Salvage, id)?;
        self.inner().salvage(id, query).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        self.before(Call::Commit, id)?;
        self.inner().commit(id, commit).await
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        self.before(Call::Extend, id)?;
        self.inner().extend(id, extension).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.before(Call::Touch, id)?;
        self.inner().touch(id, at).await
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        self.before(Call::Delete, id)?;
        self.inner().delete(id, condition).await
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError>
    where
        Self::Inner: SessionList,
    {
        self.inner().list(query).await
    }

    fn limits(&self) -> StoreLimits {
        self.inner().limits()
    }

    fn durability(&self) -> Durability {
        self.inner().durability()
    }

    fn sharing(&self) -> Sharing {
        self.inner().sharing()
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        self.inner().opening()
    }
}

/// The store that a [`Wrapper`] makes of its inner store. It dereferences to the wrapper.
#[derive(Clone, Copy, Default)]
pub struct Through<W>(pub W);

impl<W> Deref for Through<W> {
    type Target = W;

    fn deref(&self) -> &W {
        &self.0
    }
}

impl<W> DerefMut for Through<W> {
    fn deref_mut(&mut self) -> &mut W {
        &mut self.0
    }
}

impl<W> fmt::Debug for Through<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Through({})", std::any::type_name::<W>())
    }
}

impl<W> fmt::Display for Through<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store under the control of a test")
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<W: Wrapper> SessionStore for Through<W> {
    async fn load(&self, id: &SessionId, query: LoadQuery) -> Result<LoadOutcome, StoreError> {
        self.0.load(id, query).await
    }

    async fn read(&self, id: &SessionId, query: ReadQuery) -> Result<Option<Page>, StoreError> {
        self.0.read(id, query).await
    }

    async fn read_chunks(
        &self,
        id: &SessionId,
        query: ChunkQuery,
    ) -> Result<Option<ChunkPage>, StoreError> {
        self.0.read_chunks(id, query).await
    }

    async fn salvage(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        self.0.salvage(id, query).await
    }

    async fn commit(&self, id: &SessionId, commit: Commit) -> Result<CommitOutcome, StoreError> {
        self.0.commit(id, commit).await
    }

    async fn extend(
        &self,
        id: &SessionId,
        extension: Extension,
    ) -> Result<ExtendOutcome, StoreError> {
        self.0.extend(id, extension).await
    }

    async fn touch(&self, id: &SessionId, at: u64) -> Result<(), StoreError> {
        self.0.touch(id, at).await
    }

    async fn delete(
        &self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, StoreError> {
        self.0.delete(id, condition).await
    }

    fn limits(&self) -> StoreLimits {
        self.0.limits()
    }

    fn durability(&self) -> Durability {
        self.0.durability()
    }

    fn sharing(&self) -> Sharing {
        self.0.sharing()
    }

    fn opening(&self) -> Result<Opening, StoreError> {
        self.0.opening()
    }
}

#[async_trait]
impl<W: Wrapper> SessionList for Through<W>
where
    W::Inner: SessionList,
{
    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        self.0.list(query).await
    }
}
