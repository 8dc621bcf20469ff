//! `transfer::import`, which took a store and a line before and takes options, too, now.

use durable_session::store::SessionStore;
use durable_session::transfer::{ImportCounts, ImportError, import};
use std::future::Future;

/// A function that imports, called with its arguments; `Arguments` says which it takes.
trait Imports<'a, Arguments> {
    fn run(
        self,
        store: &'a dyn SessionStore,
        line: &'a str,
    ) -> impl Future<Output = Result<ImportCounts, ImportError>> + 'a;
}

struct Two;
struct Three<O>(std::marker::PhantomData<O>);

impl<'a, F, Answer> Imports<'a, Two> for F
where
    F: Fn(&'a dyn SessionStore, &'a str) -> Answer + 'a,
    Answer: Future<Output = Result<ImportCounts, ImportError>> + 'a,
{
    fn run(
        self,
        store: &'a dyn SessionStore,
        line: &'a str,
    ) -> impl Future<Output = Result<ImportCounts, ImportError>> + 'a {
        self(store, line)
    }
}

impl<'a, F, Answer, O> Imports<'a, Three<O>> for F
where
    F: Fn(&'a dyn SessionStore, &'a str, &'a O) -> Answer + 'a,
    Answer: Future<Output = Result<ImportCounts, ImportError>> + 'a,
    O: Default + 'static,
{
    fn run(
        self,
        store: &'a dyn SessionStore,
        line: &'a str,
    ) -> impl Future<Output = Result<ImportCounts, ImportError>> + 'a {
        // For the few imports of one run.
        self(store, line, Box::leak(Box::default()))
    }
}

/// Imports with the options that are meant when none are given.
pub(crate) async fn with_defaults(
    store: &dyn SessionStore,
    line: &str,
) -> Result<ImportCounts, ImportError> {
    import.run(store, line).await
}
