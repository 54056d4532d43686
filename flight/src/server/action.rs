//! What else can a client ask the server to do?

use std::sync::Arc;

use arrow_flight::{Action, ActionType};
use barograph_engine::ErrorKind;
use barograph_lake::TimeRange;
use barograph_lake::time::{format_instant, parse_instant};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::limits::Deadline;
use super::{State, shown};
use crate::ticket::{Query, Ticket, VERSION};
use crate::{Error, Result};

/// The actions with their descriptions.
const ACTIONS: [(&str, &str); 4] = [
    ("flush", "Lands everything in the tail now. Result: JSON with files, rows and bytes written."),
    ("plan", "Body: a ticket. Result: text, what the range read would touch."),
    (
        "redrive",
        "Body: JSON {\"table\":…,\"from\":…,\"to\":…}. Puts the dead letters of that time again. Result: JSON.",
    ),
    ("version", "Result: JSON with the server's version and that of its ticket format."),
];

/// Which dead letters to put again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedriveJson {
    table: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

impl RedriveJson {
    pub(crate) fn new(table: &str, time: TimeRange) -> Self {
        let text = |instant, open| (instant != open).then(|| format_instant(instant));
        Self {
            table: table.to_owned(),
            from: text(time.from, TimeRange::ALL.from),
            to: text(time.to, TimeRange::ALL.to),
        }
    }

    fn time(&self) -> Result<TimeRange> {
        let instant = |text: &Option<String>, open| text.as_deref().map_or(Ok(open), parse_instant);
        let request = |e: barograph_lake::Error| Error::request("action redrive").with_source(e);
        Ok(TimeRange {
            from: instant(&self.from, TimeRange::ALL.from).map_err(request)?,
            to: instant(&self.to, TimeRange::ALL.to).map_err(request)?,
        })
    }
}

/// The answer to ListActions.
pub(super) fn list() -> Vec<ActionType> {
    let described = |(name, description): (&str, &str)| ActionType {
        r#type: name.to_owned(),
        description: description.to_owned(),
    };
    ACTIONS.into_iter().map(described).collect()
}

/// The result of an action.
pub(super) async fn answer(
    state: &Arc<State>,
    action: Action,
    deadline: Deadline,
) -> Result<Bytes> {
    state.shutdown.check()?;
    match action.r#type.as_str() {
        "flush" => {
            // Not given up half-way: the landing goes on by itself if the client does not wait for it.
            json(&deadline.bound(state.engine.flush()).await?)
        }
        "plan" => {
            let ticket = Ticket::parse(&action.body, state.settings.ticket_bytes_max.get())?;
            let table = state.engine.schema(&ticket.table)?;
            let query = ticket.bind(&table, state.settings.ticket_keys_max)?.query;
            let Query::Scan(scan) = &query else {
                return Err(Error::request(
                    "action plan: a point read has no plan, it reads hour by hour until every key is \
                     found; give a ticket with \"range\"",
                ));
            };
            let view = deadline.bound(shown::view(state, &ticket, &query)).await?;
            Ok(deadline.bound(state.engine.plan(&view, scan)).await?.to_string().into())
        }
        "redrive" => {
            let asked: RedriveJson = serde_json::from_slice(&action.body)
                .map_err(|e| Error::request(format!("action redrive: {e}")))?;
            let time = asked.time()?;
            json(&deadline.bound(state.engine.redrive(&asked.table, time)).await?)
        }
        "version" => json(&json!({ "version": env!("CARGO_PKG_VERSION"), "ticket": VERSION })),
        other => {
            let names: Vec<_> = ACTIONS.iter().map(|(name, _)| *name).collect();
            Err(Error::new(
                ErrorKind::NotFound,
                format!("there is no action {other:?}: there are {}", names.join(", ")),
            ))
        }
    }
}

fn json(report: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(report)
        .map(Bytes::from)
        .map_err(|e| Error::new(ErrorKind::Internal, "report").with_source(e))
}
