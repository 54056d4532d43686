//! The answer: of one place as a whole, of several one after another while the client reads.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use barograph_flight::door::Asked;
use barograph_flight::{Error, Result};
use barograph_lake::{TableSchema, Timestamp};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use http::header;

use super::request::Request;
use super::section::{self, Section};
use super::text::Found;
use super::variables::Step;
use crate::answer::{Freshness, tag_of_bytes, whole};
use crate::request::Call;
use crate::serve::{Answered, Shared, insert};

/// The answer to `GET /v1/forecast`.
pub(crate) fn forecast(shared: Arc<Shared>, call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(answer(shared, call, false))
}

/// The answer to `GET /v1/archive`.
pub(crate) fn archive(shared: Arc<Shared>, call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(answer(shared, call, true))
}

/// What is needed to go on with the answer, place by place.
struct Running {
    shared: Arc<Shared>,
    asked: Asked,
    table: Arc<TableSchema>,
    request: Request,
    now: Timestamp,
}

async fn answer(shared: Arc<Shared>, call: Call, archive: bool) -> Answered {
    let now = shared.door.clock().now();
    let table = call.asked.readable(&shared.settings.open_meteo.table)?;
    let newest = call.asked.newest(table.name())?;
    let freshness = Freshness { now, newest, every: shared.reading_every };
    let Call { asked, parts, query, id, .. } = call;
    let request = Request::read(&shared, &query, &table, now, archive)?;
    let (count, is_csv) = (request.places.len(), request.is_csv);
    let media_type =
        if is_csv { "text/csv; charset=utf-8" } else { "application/json; charset=utf-8" };
    let headers = &parts.headers;
    let running = Running { shared, asked, table, request, now };
    let request = &running.request;
    if is_csv {
        let mut found = Vec::new();
        for index in 0..count {
            found.push(running.find(index).await?);
        }
        let mut text = Found::csv_head(request);
        for at in 0..request.sections.len() {
            found.iter().for_each(|found| found.csv_section(request, at, &mut text));
        }
        let tag = tag_of_bytes(text.as_bytes(), "csv");
        return Ok(whole(headers, media_type, text.into_bytes(), tag, Some(freshness)));
    }
    // What fails here fails with a status of its own.
    let (head, rest) = running.find(0).await?.json(request);
    if count == 1 {
        // How long it took is no part of what is answered.
        let tag = tag_of_bytes(rest.as_bytes(), "json");
        let text = head + &rest;
        return Ok(whole(headers, media_type, text.into_bytes(), tag, Some(freshness)));
    }
    let first = Ok::<_, io::Error>(Bytes::from(format!("[{head}{rest}")));
    let others = stream::unfold((running, 1), move |(running, index)| {
        let id = id.clone();
        async move {
            if index > count {
                return None;
            }
            let piece = match index == count {
                true => Ok("]".to_owned()),
                false => running.place(index).await,
            };
            let next = if piece.is_ok() { index + 1 } else { count + 1 };
            let piece = piece.map_err(|error| {
                tracing::warn!(request = id, %error, "an answer was cut short");
                io::Error::other(error)
            });
            Some((piece.map(Bytes::from), (running, next)))
        }
    });
    let mut response = Response::new(Body::from_stream(stream::iter([first]).chain(others)));
    insert(&mut response, header::CONTENT_TYPE, media_type);
    insert(&mut response, header::VARY, "authorization, origin");
    response.headers_mut().insert(header::CACHE_CONTROL, freshness.header());
    Ok(response)
}

impl Running {
    /// The answer of a place after the first.
    async fn place(&self, index: usize) -> Result<String> {
        let (head, rest) = self.find(index).await?.json(&self.request);
        Ok(format!(",{head}{rest}"))
    }

    /// What is found at a place.
    async fn find(&self, index: usize) -> Result<Found> {
        let request = &self.request;
        let clock = self.shared.door.clock();
        let begun = clock.elapsed();
        let location = request.places.get(index).cloned();
        let location = location.ok_or_else(|| Error::request("no such place"))?;
        let table = self.table.name();
        let mut sections = Vec::new();
        for (step, variables) in &request.sections {
            if *step == Step::Current {
                let key = location.place.key;
                let newest = section::newest(&self.asked, table, key, variables).await?;
                let every = self.shared.reading_every.micros().div_euclid(1_000_000).max(1);
                let (time, values) =
                    newest.unwrap_or_else(|| (self.now.as_micros(), vec![None; variables.len()]));
                let seconds = time.div_euclid(1_000_000);
                sections.push(Section {
                    from: seconds - seconds.rem_euclid(every) + location.zone.offset,
                    step: every,
                    count: 1,
                    values: values.into_iter().map(|value| vec![value]).collect(),
                });
                continue;
            }
            let range = request.range(*step, location.zone.offset, self.now);
            let read = section::read(&self.asked, table, &location, *step, variables, range);
            sections.push(read.await?);
        }
        let took = clock.elapsed().saturating_sub(begun);
        let took_ms = took.micros() as f64 / 1_000.0;
        Ok(Found { location, index, sections, took_ms })
    }
}
