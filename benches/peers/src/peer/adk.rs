//! adk-session over SQLite: an event a row, and the session's row touched.
//!
//! Left to itself (`SqliteSessionService::new`) it takes SQLite's defaults, a rollback journal with
//! two or more syncs a commit; here it gets a pool with a write-ahead log, which is to its
//! advantage.

use super::{LONG, SESSIONS, Service, sqlite_pool, text};
use adk_core::Content;
use adk_core::identity::{AdkIdentity, AppName, SessionId, UserId};
use adk_session::{
    AppendEventRequest, CreateRequest, Event, GetRequest, SessionService, SqliteSessionService,
};
use anyhow::Result;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct Adk {
    service: Arc<SqliteSessionService>,
    durability: String,
}

impl Adk {
    pub(crate) async fn create(path: &Path) -> Result<Self> {
        let (pool, durability) = sqlite_pool(path).await?;
        sqlx::query("pragma foreign_keys = on").execute(&pool).await?;
        let service = SqliteSessionService::from_pool(pool.clone());
        service.migrate().await?;
        let adk = Self { service: Arc::new(service), durability };
        // Only while they are filled: thousands of appends, each a transaction.
        sqlx::query("pragma synchronous = off").execute(&pool).await?;
        for n in 0..SESSIONS {
            let request = CreateRequest {
                app_name: APP.into(),
                user_id: USER.into(),
                session_id: Some(n.to_string()),
                state: HashMap::new(),
            };
            adk.service.create(request).await?;
            for _ in 0..if n == 0 { LONG } else { 10 } {
                adk.add(n).await?;
            }
        }
        sqlx::query("pragma synchronous = full").execute(&pool).await?;
        let level: i64 = sqlx::query_scalar("pragma synchronous").fetch_one(&pool).await?;
        super::checked("wal", level)?;
        Ok(adk)
    }
}

const APP: &str = "app";
const USER: &str = "user";

impl Service for Adk {
    const NAME: &'static str = "adk-session";

    fn durability(&self) -> &str {
        &self.durability
    }

    async fn add(&self, session: usize) -> Result<()> {
        let mut event = Event::new("invocation");
        event.author = "user".into();
        event.set_content(Content::new("user").with_text(text()));
        let identity = AdkIdentity::new(
            AppName::try_from(APP)?,
            UserId::try_from(USER)?,
            SessionId::try_from(session.to_string().as_str())?,
        );
        Ok(self.service.append_event_for_identity(AppendEventRequest { identity, event }).await?)
    }

    async fn load(&self) -> Result<usize> {
        let request = GetRequest {
            app_name: APP.into(),
            user_id: USER.into(),
            session_id: "0".into(),
            num_recent_events: None,
            after: None,
        };
        Ok(self.service.get(request).await?.events().all().len())
    }
}
