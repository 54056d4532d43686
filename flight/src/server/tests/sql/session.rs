//! Tests of sessions: they keep what was set, without the server holding anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;

use arrow_flight::Action;
use futures::TryStreamExt;
use prost::Message;
use tonic::{Code, Request};

use super::{SqlClient, connect, query, refused, served, texts};
use crate::sql::session_messages::{
    CloseSessionResult, GetSessionOptionsResult, OptionValue, SetSessionOptionsRequest,
    SetSessionOptionsResult,
};

const LOCAL: &str = "SELECT CAST(TIMESTAMP '2026-07-01 12:00:00' AT TIME ZONE 'UTC' AS VARCHAR) AS utc, \
                     current_time_zone AS zone FROM (SELECT arrow_typeof(now()) AS current_time_zone)";

/// Does an action, with a cookie if one is given; gives the body of the result and the cookie that came.
async fn act(
    client: &mut SqlClient,
    name: &str,
    body: Vec<u8>,
    cookie: Option<&str>,
) -> (Vec<u8>, Option<String>) {
    let mut request = Request::new(Action { r#type: name.to_owned(), body: body.into() });
    if let Some(cookie) = cookie {
        request.metadata_mut().insert("cookie", cookie.parse().unwrap());
    }
    let response = client.inner_mut().do_action(request).await.unwrap();
    let cookie = response.metadata().get("set-cookie").map(|c| c.to_str().unwrap().to_owned());
    let results: Vec<_> = response.into_inner().try_collect().await.unwrap();
    let [result] = results.as_slice() else { panic!("{results:?}") };
    (result.body.to_vec(), cookie)
}

fn options(values: &[(&str, &str)]) -> Vec<u8> {
    let session_options = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), OptionValue::Text((*value).to_owned()).into()))
        .collect();
    SetSessionOptionsRequest { session_options }.encode_to_vec()
}

#[tokio::test]
async fn a_session_is_a_cookie() {
    let (server, mut client) = served().await;
    let set = options(&[("time_zone", "Europe/Berlin"), ("timeout", "30s"), ("colour", "red")]);
    let (body, cookie) = act(&mut client, "SetSessionOptions", set, None).await;
    let result = SetSessionOptionsResult::decode(body.as_slice()).unwrap();
    let errors: HashMap<_, _> =
        result.errors.into_iter().map(|(name, e)| (name, e.value)).collect();
    assert_eq!(errors, HashMap::from([("colour".to_owned(), 1)]));
    let cookie = cookie.unwrap();
    server.stop().await.unwrap();

    // Another server knows the session, too.
    let (server, mut client) = served().await;
    let (body, _) = act(&mut client, "GetSessionOptions", Vec::new(), Some(&cookie)).await;
    let got = GetSessionOptionsResult::decode(body.as_slice()).unwrap().session_options;
    let text = |name: &str| match &got[name].option_value {
        Some(OptionValue::Text(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (text("time_zone"), text("timeout")),
        ("Europe/Berlin".to_owned(), "30s".to_owned())
    );
    assert_eq!((text("catalog"), text("schema")), ("barograph".to_owned(), "public".to_owned()));

    client.set_header("cookie", &cookie);
    let zone = texts(&query(&mut client, LOCAL).await.unwrap(), "zone");
    assert!(zone[0].contains("Europe/Berlin"), "{zone:?}");
    let (body, forgotten) = act(&mut client, "CloseSession", Vec::new(), Some(&cookie)).await;
    assert_eq!(CloseSessionResult::decode(body.as_slice()).unwrap().status, 1);
    assert!(forgotten.unwrap().contains("Max-Age=0"));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_ticket_keeps_the_session_it_was_planned_in() {
    let (server, mut client) = served().await;
    client.set_header("x-barograph-time-zone", "Asia/Tokyo");
    let info = client.execute(LOCAL.to_owned(), None).await.unwrap();
    let mut other = connect(&server).await;
    let zone = texts(&super::fetch(&mut other, info).await.unwrap(), "zone");
    assert!(zone[0].contains("Asia/Tokyo"), "{zone:?}");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_statement_ends_when_the_sessions_time_is_up() {
    let (server, mut client) = served().await;
    client.set_header("x-barograph-timeout", "50ms");
    let long =
        "SELECT count(*) FROM generate_series(1, 100000) a CROSS JOIN generate_series(1, 100000) b";
    refused(query(&mut client, long).await, Code::DeadlineExceeded, "HYT00", &["50 ms"]);
    client.set_header("x-barograph-timeout", "soon");
    refused(query(&mut client, "SELECT 1").await, Code::InvalidArgument, "22023", &["soon"]);
    server.stop().await.unwrap();
}
