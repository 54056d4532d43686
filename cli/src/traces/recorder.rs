//! The recorder of spans: it decides at the span of a call whether its trace is sampled, times the spans below it, and hands
//! those that end to the exporter. It never waits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use barograph_access::CALL;
use barograph_engine::{Clock, SystemClock};
use barograph_lake::{Span as Time, Timestamp};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc::Sender;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::figures::TraceFigures;
use super::message::{KeyValue, Span, SpanKind, Status, StatusCode, Value};
use super::traceparent::Traceparent;

/// Spans of one call that are recorded; an answer of many slices has no more.
const SPANS_PER_CALL_MAX: usize = 1_000;
/// The flags of a span: its trace is sampled, and it is known whether its parent is in another process.
const SAMPLED: u32 = 1;
const REMOTE_KNOWN: u32 = 0x100;
const REMOTE: u32 = 0x200;

/// What records spans.
#[derive(Debug)]
pub(crate) struct Recorder {
    queue: Sender<Span>,
    sampled: f64,
    figures: Arc<TraceFigures>,
    random: Mutex<SmallRng>,
}

/// A span that is recorded.
struct Recorded {
    trace: [u8; 16],
    id: [u8; 8],
    parent: Option<[u8; 8]>,
    is_root: bool,
    name: &'static str,
    begun: Timestamp,
    /// The same by elapsed time.
    begun_at: Time,
    fields: Fields,
    /// Spans of the call so far.
    spans: Arc<AtomicUsize>,
}

/// What a span says of itself.
#[derive(Default)]
struct Fields {
    traceparent: Option<String>,
    attributes: Vec<(&'static str, Value)>,
}

impl Recorder {
    /// Sends to `queue` what is recorded of a share of all calls.
    pub(super) fn new(queue: Sender<Span>, sampled: f64, figures: &Arc<TraceFigures>) -> Self {
        let random = Mutex::new(SmallRng::from_os_rng());
        Self { queue, sampled, figures: Arc::clone(figures), random }
    }

    /// The span of a call, if its trace is sampled.
    fn call(&self, mut fields: Fields) -> Option<Recorded> {
        let caller = fields.traceparent.take().and_then(|header| Traceparent::parse(&header));
        let mut random = self.random.lock();
        let is_sampled = match caller {
            Some(caller) => caller.is_sampled,
            None => random.random_bool(self.sampled),
        };
        is_sampled.then(|| Recorded {
            trace: caller.map_or_else(|| random.random(), |caller| caller.trace),
            id: random.random(),
            parent: caller.map(|caller| caller.span),
            is_root: true,
            ..Recorded::now(CALL, fields, Arc::new(AtomicUsize::new(1)))
        })
    }

    /// A span below `parent`.
    fn part(&self, parent: &Recorded, name: &'static str, fields: Fields) -> Option<Recorded> {
        if parent.spans.fetch_add(1, Ordering::Relaxed) >= SPANS_PER_CALL_MAX {
            self.figures.drops();
            return None;
        }
        Some(Recorded {
            trace: parent.trace,
            id: self.random.lock().random(),
            parent: Some(parent.id),
            ..Recorded::now(name, fields, Arc::clone(&parent.spans))
        })
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let name = span.name();
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let recorded = match span.parent() {
            None if name == CALL => self.call(fields),
            None => None,
            Some(parent) => {
                let extensions = parent.extensions();
                extensions.get::<Recorded>().and_then(|parent| self.part(parent, name, fields))
            }
        };
        if let Some(recorded) = recorded {
            span.extensions_mut().insert(recorded);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(recorded) = span.extensions_mut().get_mut::<Recorded>() {
            values.record(&mut recorded.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(recorded) = span.extensions_mut().remove::<Recorded>() else { return };
        if self.queue.try_send(recorded.ended()).is_err() {
            self.figures.drops();
        }
    }
}

impl Recorded {
    fn now(name: &'static str, fields: Fields, spans: Arc<AtomicUsize>) -> Self {
        let (begun, begun_at) = (SystemClock.now(), SystemClock.elapsed());
        let (trace, id) = ([0; 16], [0; 8]);
        Self { trace, id, parent: None, is_root: false, name, begun, begun_at, fields, spans }
    }

    /// The span as it is sent. A clock that steps meanwhile does not change how long it took.
    fn ended(self) -> Span {
        let took = SystemClock.elapsed() - self.begun_at;
        let nanos =
            |at: Timestamp| u64::try_from(at.as_micros()).unwrap_or(0).saturating_mul(1_000);
        let text = |key: &str| {
            self.fields.attributes.iter().find_map(|(name, value)| match value {
                Value::Text(text) if *name == key => Some(text.clone()),
                _ => None,
            })
        };
        let has_failed = text("outcome").is_some_and(|outcome| outcome != "done");
        let code = if has_failed { StatusCode::Error } else { StatusCode::Unset };
        let status = Status { message: String::new(), code: code.into() };
        // The span of a call is called by what it does.
        let name = text("action").filter(|_| self.is_root);
        let kind = if self.is_root { SpanKind::Server } else { SpanKind::Internal };
        let remote = if self.is_root && self.parent.is_some() { REMOTE } else { 0 };
        Span {
            trace_id: self.trace.to_vec(),
            span_id: self.id.to_vec(),
            parent_span_id: self.parent.map(|id| id.to_vec()).unwrap_or_default(),
            name: name.unwrap_or_else(|| self.name.to_owned()),
            kind: kind.into(),
            start_time_unix_nano: nanos(self.begun),
            end_time_unix_nano: nanos(self.begun.saturating_add(took)),
            attributes: self.fields.into_attributes(),
            status: Some(status),
            flags: SAMPLED | REMOTE_KNOWN | remote,
        }
    }
}

impl Fields {
    fn set(&mut self, field: &Field, value: Value) {
        let name = field.name();
        match self.attributes.iter_mut().find(|(own, _)| *own == name) {
            Some((_, own)) => *own = value,
            None => self.attributes.push((name, value)),
        }
    }

    fn into_attributes(self) -> Vec<KeyValue> {
        let named = |(name, value)| KeyValue::new(&format!("barograph.{name}"), value);
        self.attributes.into_iter().map(named).collect()
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "traceparent" => self.traceparent = Some(value.to_owned()),
            _ => self.set(field, Value::Text(value.to_owned())),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Value::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Value::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, Value::Int(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Value::Double(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, Value::Text(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use barograph_access::SPANS;
    use tokio::sync::mpsc;
    use tracing::Subscriber;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn traced(
        sampled: f64,
        room: usize,
    ) -> (impl Subscriber, mpsc::Receiver<Span>, Arc<TraceFigures>) {
        let (sender, receiver) = mpsc::channel(room);
        let figures = Arc::default();
        let recorder = Recorder::new(sender, sampled, &figures);
        (tracing_subscriber::registry().with(recorder), receiver, figures)
    }

    fn call(traceparent: Option<&str>) -> tracing::Span {
        tracing::trace_span!(
            target: SPANS, parent: None, CALL, traceparent,
            action = tracing::field::Empty, outcome = tracing::field::Empty,
        )
    }

    #[test]
    fn the_trace_of_a_caller_goes_on_to_what_is_done_on_other_threads() {
        let (subscriber, mut ended, _) = traced(0.0, 8);
        tracing::subscriber::with_default(subscriber, || {
            let call = call(Some(CALLER));
            drop(tracing::trace_span!(target: SPANS, parent: &call, "log", rows = 7_u64));
            call.record("action", "put");
            call.record("outcome", "denied");
            drop(tracing::trace_span!(target: SPANS, "of nothing"));
        });
        let [log, call] = [ended.try_recv().unwrap(), ended.try_recv().unwrap()];
        assert!(ended.try_recv().is_err());
        assert_eq!((log.name.as_str(), call.name.as_str()), ("log", "put"));
        assert_eq!(log.trace_id, call.trace_id);
        assert_eq!(log.trace_id[..3], [0x4b, 0xf9, 0x2f]);
        assert_eq!(log.parent_span_id, call.span_id);
        assert_eq!(call.parent_span_id, [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert_eq!(log.attributes, [KeyValue::new("barograph.rows", Value::Int(7))]);
        assert_eq!(call.status.unwrap().code, StatusCode::Error as i32);
        assert!(call.end_time_unix_nano >= call.start_time_unix_nano);
        assert_eq!((call.kind, call.flags), (SpanKind::Server as i32, 0x301));
    }

    #[test]
    fn callers_that_say_nothing_are_sampled_and_the_others_as_they_say() {
        for (sampled, header, expected) in [
            (0.0, None, 0),
            (1.0, None, 2),
            (1.0, Some(CALLER.replace("-01", "-00")), 0),
            (0.0, Some("no header".to_owned()), 0),
        ] {
            let (subscriber, mut ended, _) = traced(sampled, 8);
            tracing::subscriber::with_default(subscriber, || {
                let call = call(header.as_deref());
                drop(tracing::trace_span!(target: SPANS, parent: &call, "plan"));
            });
            let count = std::iter::from_fn(|| ended.try_recv().ok()).count();
            assert_eq!(count, expected, "{sampled} {header:?}");
        }
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let (subscriber, mut ended, figures) = traced(1.0, 2);
        tracing::subscriber::with_default(subscriber, || {
            let call = call(None);
            for _ in 0..1_500 {
                drop(tracing::trace_span!(target: SPANS, parent: &call, "slice"));
            }
        });
        assert_eq!(std::iter::from_fn(|| ended.try_recv().ok()).count(), 2);
        assert_eq!(figures.dropped.load(Ordering::Relaxed), 1_501 - 2);
    }
}
