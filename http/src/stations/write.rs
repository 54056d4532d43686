//! The endpoints to which stations send: a form is a row, or a dead letter, and is answered as its hardware expects.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use barograph_engine::validate::Rejected;
use barograph_flight::Error;
use futures::future::BoxFuture;
use http::{HeaderName, Method, StatusCode, header};

use super::form::Form;
use super::mapping::row_of;
use crate::failure::Failure;
use crate::request::Call;
use crate::serve::{Answered, Shared, insert};
use crate::tables::POSITION;

/// Longest form, in bytes: the largest gateways send some thousands.
const FORM_BYTES_MAX: usize = 64 << 10;
/// What Weather Underground answers to a reading that it has taken.
const SUCCESS: &str = "success\n";
/// The header that says why a reading went to `dead_letters`, for who tries the settings.
const REJECTED: &str = "x-barograph-rejected";
/// Longest reason in that header, in characters: clients refuse headers that are too long.
const REJECTED_CHARS_MAX: usize = 2_048;

/// The answer to `GET /weatherstation/updateweatherstation.php`.
pub(crate) fn wunderground(shared: Arc<Shared>, mut call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(async move {
        // Who asks for the head of an answer does not mean to send anything.
        if call.parts.method != Method::GET {
            let text = format!("method {}: send the reading by GET", call.parts.method);
            return Err(Failure::of(StatusCode::METHOD_NOT_ALLOWED, Error::request(text)));
        }
        let form = call.parts.uri.query().unwrap_or_default().to_owned();
        store(&shared, &mut call, form.as_bytes(), "ID").await
    })
}

/// The answer to `POST /data/report/`.
pub(crate) fn ecowitt(shared: Arc<Shared>, mut call: Call) -> BoxFuture<'static, Answered> {
    Box::pin(async move {
        let body = call.read_body(&shared.bodies).await?;
        store(&shared, &mut call, &body.bytes, "PASSKEY").await
    })
}

/// Stores the reading of a form in which `station` names the station.
async fn store(shared: &Shared, call: &mut Call, form: &[u8], station: &str) -> Answered {
    if form.len() > FORM_BYTES_MAX {
        let text = format!("the form has {} bytes: {FORM_BYTES_MAX} are read at most", form.len());
        return Err(Failure::of(StatusCode::PAYLOAD_TOO_LARGE, Error::request(text)));
    }
    let form = Form::read(form);
    let settings = &shared.settings.stations;
    let table = call.asked.writable(&settings.table)?;
    let now = shared.door.clock().now().as_micros();
    let row = row_of(&form, station, &table, (settings, &shared.places), now);
    let mut response = Response::new(Body::from(SUCCESS));
    insert(&mut response, header::CONTENT_TYPE, "text/plain; charset=utf-8");
    insert(&mut response, header::CACHE_CONTROL, "no-store");
    let (position, why) = match row {
        Ok(mut rows) => match rows.take()? {
            Some((rows, _)) => {
                let stored = call.asked.put(table.name(), vec![rows.clone()]).await?;
                let why = match stored.rejected {
                    0 => None,
                    _ => call
                        .asked
                        .rejections(table.name(), &rows)?
                        .into_iter()
                        .next()
                        .map(|of| of.reason),
                };
                (stored.position, why)
            }
            None => return Ok(response),
        },
        Err(reason) => {
            let letter =
                Rejected { row: barograph_engine::validate::bounded(&form.kept()), reason };
            let letters = [letter];
            let ack = call.asked.reject(Some(table.name()), &letters).await?;
            let [letter] = letters;
            (ack.position, Some(letter.reason))
        }
    };
    shared.figures.forms(why.is_none());
    insert(&mut response, HeaderName::from_static(POSITION), &position.to_string());
    if let Some(why) = why {
        // Sending it again would change nothing.
        let signs = why.chars().take(REJECTED_CHARS_MAX);
        let why: String = signs.map(|c| if matches!(c, ' '..='~') { c } else { ' ' }).collect();
        insert(&mut response, HeaderName::from_static(REJECTED), &why);
    }
    Ok(response)
}
