//! Handshake: a name and a token, as drivers know them that ask for a password, become the header that is sent from then on.
//! The token stays what it is; nothing is issued that would have to be kept.

use arrow_flight::{BasicAuth, HandshakeRequest, HandshakeResponse};
use barograph_access::{Credentials, Door};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use http::header::AUTHORIZATION;
use prost::Message;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, Streaming};

use crate::Error;
use crate::call::{Peer, State};

type Answer = Response<BoxStream<'static, Result<HandshakeResponse, Status>>>;

/// The answer to Handshake.
pub(super) async fn answer(
    state: &State,
    request: Request<Streaming<HandshakeRequest>>,
) -> Result<Answer, Status> {
    let access = &state.access;
    let (metadata, extensions, mut messages) = request.into_parts();
    if !access.is_configured() {
        return Err(Status::unimplemented(
            "this server needs no handshake: call the other methods directly",
        ));
    }
    let peer = extensions.get::<Peer>();
    let header = metadata.as_ref().get(AUTHORIZATION);
    let header = header.map(|header| header.to_str().unwrap_or_default().to_owned());
    let header = match header {
        Some(header) => header,
        // Older clients send both in the first message.
        None => {
            let first = async {
                let first = messages.next().await.transpose();
                first.map_err(Error::from)
            };
            let first = state.deadline(metadata.as_ref()).bound(first).await?.unwrap_or_default();
            let auth = BasicAuth::decode(first.payload).unwrap_or_default();
            barograph_access::basic(&auth.username, &auth.password)
        }
    };
    let credentials = Credentials {
        authorization: Some(&header),
        certificate: &[],
        address: peer.and_then(|peer| peer.address).map(|address| address.ip()),
        traceparent: None,
    };
    let bearer = access.handshake(&credentials, Door::Flight).map_err(Error::from)?;
    let header: MetadataValue<_> = format!("Bearer {bearer}")
        .parse()
        .map_err(|_| Status::unauthenticated("the token is no text of a header"))?;
    let payload = Bytes::from(bearer.into_bytes());
    let answer = HandshakeResponse { protocol_version: 0, payload };
    let mut response = Response::new(stream::iter([Ok(answer)]).boxed());
    response.metadata_mut().insert(AUTHORIZATION.as_str(), header);
    Ok(response)
}
