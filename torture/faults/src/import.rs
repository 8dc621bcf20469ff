//! Entry 6: an import whose sessions go with the next sweep, and times that cannot be meant.

use crate::importing;
use crate::report::Report;
use anyhow::{Context, Result};
use durable_session::store::{LoadQuery, SessionStore, TailBounds};
use durable_session::{ChatSessions, Expiry, JsonObject, SessionId};
use durable_session_memory::MemoryStore;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: Duration = Duration::from_hours(24);
/// The times of the protocol's example, in milliseconds.
const CREATED: u64 = 1_763_264_606_917;

pub(crate) async fn play(report: &mut Report) -> Result<()> {
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    for days in [89, 100, 4000] {
        let used = now - u64::try_from(DAY.as_millis())? * days;
        swept(report, &format!("last used {days} days ago"), used).await?;
    }
    let ms = now.to_string();
    for (field, value, unit) in [
        ("createdAt", (now / 1000).to_string(), Some("seconds")),
        ("lastAccessedAt", (now / 1000).to_string(), Some("seconds")),
        ("createdAt", format!("{ms}000"), Some("microseconds")),
        ("lastAccessedAt", format!("{ms}000000"), Some("nanoseconds")),
        ("lastAccessedAt", u64::MAX.to_string(), None),
        ("createdAt", "1763264606917.5".to_owned(), None),
    ] {
        refused(report, field, &value, unit).await?;
    }
    for field in ["createdAt", "lastAccessedAt"] {
        for value in ["1763264606917.0", "1.763264606917e12"] {
            equal_to_the_integer(report, field, value).await?;
        }
    }
    Ok(())
}

fn line(created: &str, used: &str) -> String {
    let messages = r#"[{"role":"user","content":"hi"}]"#;
    let times = format!(r#""createdAt":{created},"lastAccessedAt":{used}"#);
    format!(r#"{{"id":"imported","state":{{"messages":{messages},{times}}}}}"#)
}

async fn swept(report: &mut Report, name: &str, used: u64) -> Result<()> {
    let store = MemoryStore::new();
    let created = used - 1000;
    importing::with_defaults(&store, &line(&created.to_string(), &used.to_string())).await?;
    let sessions = ChatSessions::<JsonObject>::builder(store.clone())
        .expiry(Expiry::after(DAY * 90, Duration::from_hours(1))?)
        .build();
    let swept = sessions.sweep(&store).await?;
    let left = sessions.session(SessionId::new("imported")?).snapshot().await?.message_count();
    let seen = format!("swept {}, {left} of 1 message left", swept.deleted);
    report.say("6", format!("import, then a sweep of 90 days: {name}"), left == 1, seen);
    Ok(())
}

async fn refused(report: &mut Report, field: &str, value: &str, unit: Option<&str>) -> Result<()> {
    let store = MemoryStore::new();
    let valid = CREATED.to_string();
    let line = if field == "createdAt" { line(value, &valid) } else { line(&valid, value) };
    let (right, seen) = match importing::with_defaults(&store, &line).await {
        Ok(_) => (false, format!("imported, {}", times(&store).await?)),
        Err(error) => {
            // A source may hold records that are wrong.
            let error = anyhow::Error::new(error);
            let text = format!("{error:#}");
            (text.contains(field) && unit.is_none_or(|unit| text.contains(unit)), text)
        }
    };
    let unit = unit.map(|unit| format!(" ({unit})")).unwrap_or_default();
    report.say("6", format!("{field} {value}{unit} is refused and named"), right, seen);
    Ok(())
}

async fn equal_to_the_integer(report: &mut Report, field: &str, value: &str) -> Result<()> {
    let store = MemoryStore::new();
    let valid = CREATED.to_string();
    let line = if field == "createdAt" { line(value, &valid) } else { line(&valid, value) };
    let (right, seen) = match importing::with_defaults(&store, &line).await {
        Ok(_) => (head(&store).await?.0 == CREATED, times(&store).await?),
        Err(error) => (false, error.to_string()),
    };
    report.say("6", format!("{field} {value} equals the integer"), right, seen);
    Ok(())
}

async fn head(store: &MemoryStore) -> Result<(u64, u64)> {
    let query = LoadQuery::new(TailBounds::new(1, 1));
    let outcome = store.load(&SessionId::new("imported")?, query).await?;
    let loaded = outcome.loaded().context("nothing was imported")?;
    Ok((loaded.head.created_at, loaded.head.last_accessed_at))
}

async fn times(store: &MemoryStore) -> Result<String> {
    let (created, used) = head(store).await?;
    Ok(format!("createdAt {created}, lastAccessedAt {used}"))
}
