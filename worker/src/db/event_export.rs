//! Events in the order in which they became visible, so that a program can copy them all.

use crate::auth::caller::Caller;
use crate::db::call::Call;
use crate::db::cursor::Position;
use crate::ids::{IntegrationId, OrganizationId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize)]
pub struct ExportEvents {
    #[serde(flatten)]
    pub caller: Caller,
    /// None: all organizations, which only a service key of all may read.
    pub p_organization_id: Option<OrganizationId>,
    /// Only events after this one. None: from the oldest on.
    #[serde(flatten)]
    pub after: Option<Position>,
    pub p_limit: usize,
}

/// The outcome of [`ExportEvents`].
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventsExported {
    Exported {
        events: Vec<Recorded>,
    },
    /// The cursor is from before a restore of the database.
    UnknownCursor,
}

impl Call for ExportEvents {
    const NAME: &'static str = "export_events";
    type Outcome = EventsExported;
}

/// An event, as the database returns it.
#[derive(Deserialize)]
pub struct Recorded {
    transaction_id: String,
    #[serde(flatten)]
    event: Event,
}

#[derive(Deserialize, Serialize)]
struct Event {
    id: i64,
    occurred_at: String,
    organization_id: OrganizationId,
    integration_id: Option<IntegrationId>,
    integration_type: Option<String>,
    actor: String,
    user_id: Option<UserId>,
    action: String,
    outcome: String,
    reason: Option<String>,
    request_id: Option<String>,
    details: Option<Value>,
}

/// The events as lines of JSON, each with the cursor that continues after it.
pub fn lines(events: &[Recorded]) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        #[serde(flatten)]
        event: &'a Event,
        cursor: String,
    }
    let line = |recorded: &Recorded| {
        let event = &recorded.event;
        let cursor = format!("{}.{}", recorded.transaction_id, event.id);
        // Our own types: serializing them cannot fail.
        serde_json::to_string(&Line { event, cursor }).unwrap_or_default() + "\n"
    };
    events.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_event_and_continues_after_it() {
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let row = format!(
            r#"{{"transaction_id":"771","id":12,"occurred_at":"t","organization_id":"{id}","integration_id":null,"integration_type":null,"actor":"keytool",
                "user_id":null,"action":"opened","outcome":"succeeded","reason":"rotate","request_id":null,"details":{{"role":"a\nb"}}}}"#
        );
        let rows: Vec<Recorded> = serde_json::from_str(&format!("[{row},{row}]")).unwrap();
        let text = lines(&rows);
        let read: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0]["cursor"], "771.12");
        assert_eq!(read[0]["details"]["role"], "a\nb");
        assert!(read[0].get("transaction_id").is_none());
        assert_eq!(lines(&[]), "");
    }
}
