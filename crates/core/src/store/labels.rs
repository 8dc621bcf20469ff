//! The labels of a session (S11).

use std::fmt;
use std::sync::Arc;

/// The owner and the title of a session (S11). Both are optional; an empty text counts as none.
///
/// Labels belong to the session, not to a message. A store can list the sessions of an owner.
/// Labels are as secret as messages: `Debug` shows their lengths only.
///
/// ```
/// use durable_session::store::Labels;
///
/// let labels = Labels::owner("u-42").title("Lifetimes");
/// assert_eq!(labels.get_owner(), Some("u-42"));
/// assert_eq!(format!("{labels:?}"), "Labels { owner_bytes: 4, title_bytes: 9 }");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Labels {
    owner: Option<Arc<str>>,
    title: Option<Arc<str>>,
}

impl Labels {
    /// The longest owner, in bytes of UTF-8.
    pub const MAX_OWNER_BYTES: usize = 256;
    /// The longest title, in bytes of UTF-8.
    pub const MAX_TITLE_BYTES: usize = 1024;

    /// No labels.
    pub const NONE: Self = Self { owner: None, title: None };

    /// Labels with this owner and no title.
    pub fn owner(owner: impl AsRef<str>) -> Self {
        Self { owner: text(owner.as_ref()), title: None }
    }

    /// The labels with this title.
    ///
    /// ```
    /// use durable_session::store::Labels;
    ///
    /// let labels = Labels::NONE.title("Lifetimes");
    /// assert_eq!((labels.get_owner(), labels.get_title()), (None, Some("Lifetimes")));
    /// ```
    #[must_use]
    pub fn title(self, title: impl AsRef<str>) -> Self {
        Self { title: text(title.as_ref()), ..self }
    }

    /// The owner, if it is set.
    pub fn get_owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// The title, if it is set.
    pub fn get_title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// Whether neither label is set.
    pub fn is_empty(&self) -> bool {
        self.owner.is_none() && self.title.is_none()
    }

    /// The bytes of both labels.
    pub fn bytes(&self) -> usize {
        self.get_owner().map_or(0, str::len) + self.get_title().map_or(0, str::len)
    }
}

fn text(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| Arc::from(text))
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Labels")
            .field("owner_bytes", &self.get_owner().map_or(0, str::len))
            .field("title_bytes", &self.get_title().map_or(0, str::len))
            .finish()
    }
}
