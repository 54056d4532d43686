//! The state that all calls share: the engine with SQL over it, limits, and what is kept between calls.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use barograph_access::Access;
use barograph_engine::Engine;
use barograph_lake::Span;
use barograph_query::{Sql, Statement};
use http::HeaderMap;

use super::bound_parameters::BoundParameters;
use super::executions::Executions;
use super::limits::{Deadline, Limits};
use super::pins::Pins;
use super::requests::{Observed, RequestKind, Requests};
use super::shutdown::Shutdown;
use crate::FlightSettings;
use crate::wire::Shapes;

/// A statement that was planned, and by what: it is given to nobody who sees less, or more.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) sql: Arc<Sql>,
    pub(crate) statement: Arc<Statement>,
}

/// The state that all calls share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) engine: Arc<Engine>,
    /// SQL over everything: callers are answered by [`Caller::sql`](super::Caller::sql).
    pub(crate) sql: Arc<Sql>,
    pub(crate) executions: Arc<Executions<Planned>>,
    pub(crate) bound_parameters: Arc<BoundParameters>,
    pub(crate) settings: FlightSettings,
    pub(crate) limits: Limits,
    pub(crate) pins: Pins,
    pub(crate) shapes: Shapes,
    pub(crate) shutdown: Shutdown,
    pub(crate) requests: Arc<Requests>,
    pub(crate) access: Arc<Access>,
    /// The host and port of this process, if others answer beside it.
    pub(crate) location: Option<String>,
    /// What was served before, as long as endpoints hold views of it.
    earlier: ArcSwapOption<State>,
}

impl State {
    pub(crate) fn new(
        engine: Arc<Engine>,
        sql: Arc<Sql>,
        settings: FlightSettings,
        access: Arc<Access>,
        location: Option<String>,
    ) -> Self {
        Self {
            executions: Arc::new(Executions::new(Arc::clone(engine.clock()))),
            bound_parameters: Arc::default(),
            limits: Limits::new(settings.streams_max),
            pins: Pins::new(engine.clock(), settings.view_lifetime, settings.views_max),
            shapes: Shapes::default(),
            shutdown: Shutdown::default(),
            requests: Arc::default(),
            access,
            location,
            earlier: ArcSwapOption::empty(),
            engine,
            sql,
            settings,
        }
    }

    /// The same, before anything is served, with `access` asked.
    pub(super) fn asking(&self, access: Arc<Access>) -> Self {
        let (engine, sql) = (Arc::clone(&self.engine), Arc::clone(&self.sql));
        Self::new(engine, sql, self.settings.clone(), access, self.location.clone())
    }

    /// What is served after `before`, with the calls that run counted on.
    pub(super) fn in_place_of(before: Arc<Self>, engine: Arc<Engine>, sql: Arc<Sql>) -> Self {
        before.executions.forget_plans();
        Self {
            executions: Arc::clone(&before.executions),
            bound_parameters: Arc::clone(&before.bound_parameters),
            limits: before.limits.clone(),
            shutdown: before.shutdown.clone(),
            requests: Arc::clone(&before.requests),
            earlier: ArcSwapOption::from(Some(Arc::clone(&before))),
            ..Self::new(
                engine,
                sql,
                before.settings.clone(),
                Arc::clone(&before.access),
                before.location.clone(),
            )
        }
    }

    /// What was served when the view was made that an endpoint names.
    pub(crate) fn holding(self: &Arc<Self>, view: Option<&str>) -> Arc<Self> {
        let Some(view) = view else { return Arc::clone(self) };
        let mut state = Arc::clone(self);
        while !state.pins.holds(view) {
            let Some(earlier) = state.earlier.load_full() else { return Arc::clone(self) };
            state = earlier;
        }
        state
    }

    /// Counts a request that came at `begun`, by elapsed time, until what this gives is dropped.
    pub(crate) fn observe(&self, begun: Span, kind: RequestKind, subject: &str) -> Observed {
        let slow = self.settings.slow_query.duration();
        Observed::new(&self.requests, self.engine.clock(), slow, begun, kind, subject)
    }

    /// The deadline of a call with these headers.
    pub(crate) fn deadline(&self, headers: &HeaderMap) -> Deadline {
        Deadline::new(self.engine.clock(), self.settings.request_timeout.duration(), headers)
    }

    /// Lets go what no endpoint holds any more. Gives whether one holds something.
    pub(super) fn release(&self) -> bool {
        if self.earlier.load_full().is_some_and(|earlier| !earlier.release()) {
            self.earlier.store(None);
        }
        self.pins.release() || self.earlier.load().is_some()
    }
}
