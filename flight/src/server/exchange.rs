//! DoExchange: many point queries answered over one stream. Waiting requests are taken together, those for one key each
//! are put to the engine as one query, and their answers leave in one write.
//!
//! ```text
//! requests ─► group (same kind of point read) ─► engine, one query ─► one message a request, in order
//!                   └ whatever has arrived, at most GROUP_MAX
//! ```
//!
//! A stream has one shape, that is one table and one list of columns, fixed by its first ticket, so that
//! one schema message at its beginning is enough.

mod answer;
mod shape;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow_flight::FlightData;
use axum::extract::{Request, State as Shared};
use axum::response::Response;
use barograph_access::{Call, Door, RefusalKind, Verb};
use barograph_lake::LogPosition;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Status, Streaming};

use crate::call::{Phase, RequestKind, Serving, Shutdown, State};
use crate::message::after;
use crate::ticket::{PointRequest, Refused, Ticket};
use crate::wire::{GrpcBody, Pieces, Protobuf};
use crate::{Error, Result};
use answer::{RequestGroup, refusal};
use shape::ExchangeShape;

/// Requests that are put to the engine together at most.
const GROUP_MAX: usize = 256;
/// Answers are sent when they reach this many bytes, even if more could be added at once.
const WRITE_BYTES: usize = 64 << 10;

/// What records call a DoExchange.
pub(super) const EXCHANGE: &str = "exchange";

/// The HTTP side of DoExchange.
pub(super) async fn call(Shared(serving): Shared<Arc<Serving>>, request: Request) -> Response {
    let state = serving.current();
    let let_in = state.enter(request.headers(), request.extensions(), (Door::Flight, EXCHANGE));
    let (call, after) = match let_in.and_then(|call| Ok((call, after(request.headers())?))) {
        Ok(let_in) => let_in,
        Err(error) => return Status::from(error).into_http(),
    };
    let requests = Streaming::new_request(
        Protobuf::<FlightData>::new(),
        request.into_body(),
        None,
        Some(state.settings.request_bytes_max.get()),
    );
    match answer(&serving, requests, after, call) {
        Ok(body) => body.into_response(),
        Err(error) => Status::from(error).into_http(),
    }
}

/// The answers to a stream of requests, each of which shows what was acknowledged at `after`.
pub(super) fn answer(
    serving: &Arc<Serving>,
    requests: Streaming<FlightData>,
    after: Option<LogPosition>,
    call: Call,
) -> Result<GrpcBody> {
    let state = serving.current();
    state.shutdown.check()?;
    let permit = state.limits.stream()?;
    let draining = {
        let shutdown = state.shutdown.clone();
        Box::pin(async move { shutdown.reached(Phase::Draining).await })
    };
    let exchange = Exchange {
        serving: Arc::clone(serving),
        state,
        requests,
        after,
        call: Some(call),
        shape: None,
        group: RequestGroup::default(),
        waiting: FuturesOrdered::new(),
        requests_waiting: 0,
        out: Pieces::default(),
        end: None,
        draining,
        _permit: permit,
    };
    Ok(GrpcBody::stream(Pieces::default(), Box::pin(exchange)))
}

/// A running exchange.
struct Exchange {
    serving: Arc<Serving>,
    /// What the shape is of.
    state: Arc<State>,
    requests: Streaming<FlightData>,
    after: Option<LogPosition>,
    /// Until its end.
    call: Option<Call>,
    shape: Option<Arc<ExchangeShape>>,
    /// Requests that were taken but not put to the engine yet.
    group: RequestGroup,
    /// Answers that are being made, in the order of their requests, with how many requests each has.
    waiting: FuturesOrdered<BoxFuture<'static, (Pieces, usize)>>,
    requests_waiting: usize,
    out: Pieces,
    /// Why no more requests are taken.
    end: Option<Result<(), Status>>,
    draining: Pin<Box<dyn Future<Output = ()> + Send>>,
    _permit: OwnedSemaphorePermit,
}

impl Stream for Exchange {
    type Item = Result<Pieces, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.end.is_none() && this.draining.as_mut().poll(cx).is_ready() {
            this.end = Some(Err(Shutdown::error().into()));
        }
        loop {
            this.take_requests(cx);
            let full = !this.has_room();
            this.ask();
            while let Poll::Ready(Some((answers, requests))) = this.waiting.poll_next_unpin(cx) {
                this.requests_waiting -= requests;
                if let Some(call) = &mut this.call {
                    call.sent(requests as u64, answers.len() as u64);
                }
                this.out.append(answers);
            }
            if this.out.len() >= WRITE_BYTES {
                return Poll::Ready(Some(Ok(std::mem::take(&mut this.out))));
            }
            // Another round only where requests may have been left for want of room, and room was made.
            if !(full && this.has_room()) {
                break;
            }
        }
        if !this.out.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut this.out))));
        }
        match &mut this.end {
            Some(end) if this.waiting.is_empty() => {
                let end = std::mem::replace(end, Ok(()));
                if let (Ok(()), Some(call)) = (&end, this.call.take()) {
                    call.done();
                }
                Poll::Ready(end.err().map(Err))
            }
            _ => Poll::Pending,
        }
    }
}

impl Exchange {
    /// Takes the requests that have arrived, as many as may be in flight.
    fn take_requests(&mut self, cx: &mut Context<'_>) {
        while self.has_room() && self.more(cx) {}
    }

    fn has_room(&self) -> bool {
        let in_flight = self.requests_waiting + self.group.len();
        in_flight < self.state.settings.exchange_requests_in_flight.max(1)
            && self.out.len() < WRITE_BYTES
    }

    /// Takes one request; false if none is there or none will come.
    fn more(&mut self, cx: &mut Context<'_>) -> bool {
        if self.end.is_some() {
            return false;
        }
        match self.requests.poll_next_unpin(cx) {
            Poll::Pending => false,
            Poll::Ready(None) => {
                self.end = Some(Ok(()));
                false
            }
            Poll::Ready(Some(Err(status))) => {
                self.end = Some(Err(status));
                false
            }
            Poll::Ready(Some(Ok(data))) => match self.follow().and_then(|()| self.take(&data)) {
                Ok(()) => true,
                Err(error) => {
                    self.end = Some(Err(error.into()));
                    false
                }
            },
        }
    }

    /// Goes on with what is served now, if the answers stay the same.
    fn follow(&mut self) -> Result<()> {
        if self.serving.is_current(&self.state) {
            return Ok(());
        }
        self.ask();
        let current = self.serving.current();
        if let Some(shape) = &self.shape {
            self.shape = Some(Arc::new(shape.again(&current)?));
        }
        self.state = current;
        Ok(())
    }

    /// Takes one message. An error ends the stream: it has no shape to answer in.
    fn take(&mut self, data: &FlightData) -> Result<()> {
        if let (None, Some(descriptor)) = (&self.shape, &data.flight_descriptor)
            && !(descriptor.cmd.is_empty() && descriptor.path.is_empty())
        {
            let ticket = super::descriptor::exchange_ticket(descriptor, &self.state.settings)?;
            let shape = self.shaped(&ticket)?;
            self.open(shape);
        }
        if data.app_metadata.is_empty() {
            return Ok(());
        }
        let json_max = self.state.settings.ticket_bytes_max.get();
        let request = PointRequest::parse(&data.app_metadata, json_max);
        let shape = match (&self.shape, &request) {
            (Some(shape), _) => Arc::clone(shape),
            (None, Ok(first)) => {
                let shape = self.shaped(&first.ticket()?)?;
                self.open(shape)
            }
            (None, Err(_)) => return request.map(|_| ()).map_err(|refused| refused.error),
        };
        let admitted = match request {
            Ok(request) => self.again(request)?,
            refused => refused,
        };
        match admitted.and_then(|request| shape.bind(&self.state, request)) {
            Ok(asked) => {
                if let Some(asked) = self.group.add(asked, GROUP_MAX) {
                    self.ask();
                    // An empty group takes any request.
                    let _ = self.group.add(asked, GROUP_MAX);
                }
            }
            Err(refused) => {
                self.ask();
                let mut answer = Pieces::default();
                refusal(&shape, &mut answer, refused.id.as_ref(), &refused.error)?;
                self.state.requests.failed(RequestKind::Exchange);
                self.requests_waiting += 1;
                self.waiting.push_back(Box::pin(std::future::ready((answer, 1))));
            }
        }
        Ok(())
    }

    /// The shape that a ticket fixes, of what the caller is given.
    fn shaped(&mut self, ticket: &Ticket) -> Result<ExchangeShape> {
        let Some(call) = &mut self.call else { return Err(Shutdown::error()) };
        let allowed = call.allow(Verb::Read, &ticket.table)?;
        self.state.table(call.identity(), &ticket.table)?;
        ExchangeShape::new(&self.state, ticket, self.after, allowed)
    }

    /// The request, if its caller may ask again at present. An error says that the caller is not known any more.
    fn again(&self, request: PointRequest) -> Result<Result<PointRequest, Box<Refused>>> {
        let Some(call) = &self.call else { return Err(Shutdown::error()) };
        match call.again() {
            Ok(()) => Ok(Ok(request)),
            Err(refusal) if refusal.kind() == RefusalKind::Exhausted => {
                let error = Error::from(refusal);
                error.count();
                Ok(Err(Box::new(Refused { id: request.id, error })))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    fn open(&mut self, shape: ExchangeShape) -> Arc<ExchangeShape> {
        let shape = Arc::new(shape);
        self.out.copy(shape.message());
        self.shape = Some(Arc::clone(&shape));
        shape
    }

    /// Puts the group to the engine.
    fn ask(&mut self) {
        let Some(shape) = &self.shape else { return };
        if self.group.len() == 0 {
            return;
        }
        let group = std::mem::take(&mut self.group);
        let requests = group.len();
        self.requests_waiting += requests;
        let (state, shape) = (Arc::clone(&self.state), Arc::clone(shape));
        self.waiting.push_back(Box::pin(async move {
            let begun = state.engine.clock().elapsed();
            let answers = group.answer(&state, &shape).await;
            let took = state.engine.clock().elapsed().saturating_sub(begun);
            state.requests.answered(RequestKind::Exchange, took, requests, answers.len());
            (answers, requests)
        }));
    }
}
