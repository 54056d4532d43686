//! Tests of control: statements are cancelled, and what is not supported is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use arrow_flight::sql::{
    ActionCancelQueryRequest, ActionCancelQueryResult, Any, CommandStatementSubstraitPlan,
    EndTransaction, ProstMessageExt,
};
use arrow_flight::{
    Action, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, Empty, FlightDescriptor,
    FlightInfo,
};
use bytes::Bytes;
use futures::TryStreamExt;
use prost::Message;
use tonic::Code;

use super::{SqlClient, connect, count, fetch, refused, served, status};
use crate::server::tests::Running;

/// Longer than any machine takes.
const PATIENCE: Duration = Duration::from_secs(600);
/// A statement that runs until it is cancelled.
const ENDLESS: &str = "SELECT a.value + b.value AS n FROM generate_series(1, 1000000) a \
                       CROSS JOIN generate_series(1, 1000000) b";

async fn cancel(client: &mut SqlClient, info: &FlightInfo) -> CancelStatus {
    let request = CancelFlightInfoRequest { info: Some(info.clone()) };
    let action =
        Action { r#type: "CancelFlightInfo".to_owned(), body: request.encode_to_vec().into() };
    let results: Vec<_> = client.do_action(action).await.unwrap().try_collect().await.unwrap();
    let result = CancelFlightInfoResult::decode(results[0].body.clone()).unwrap();
    CancelStatus::try_from(result.status).unwrap()
}

async fn no_query_runs(server: &Running) {
    let ended = async {
        while server.state().sql.queries().running() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("a query still runs");
}

async fn nothing_runs(server: &Running) {
    no_query_runs(server).await;
    let ended = async {
        while server.state().limits.running() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("an answer is still sent");
}

#[tokio::test]
async fn a_query_is_killed_by_its_id() {
    let (server, mut client) = served().await;
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut answer = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    answer.try_next().await.unwrap().unwrap();
    let other = crate::Client::connect(&format!("http://{}", server.addr)).await.unwrap();
    let id = server.state().sql.queries().list()[0].id.to_string();
    other.kill(&id).await.unwrap();
    let ended = answer.try_collect::<Vec<_>>().await.unwrap_err().to_string();
    assert!(ended.contains("cancelled"), "{ended}");
    nothing_runs(&server).await;
    let gone = other.kill(&id).await.unwrap_err().to_string();
    assert!(gone.contains("system.queries"), "{gone}");
    assert!(other.kill("x").await.unwrap_err().to_string().contains("write a number"));
}

#[tokio::test]
async fn a_running_statement_is_cancelled_from_another_connection() {
    let (server, mut client) = served().await;
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut answer = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    answer.try_next().await.unwrap().unwrap();
    let mut other = connect(&server).await;
    // Whether the answer has ended, too, depends on how much of it the client's window took.
    let told = cancel(&mut other, &info).await;
    assert!(matches!(told, CancelStatus::Cancelled | CancelStatus::Cancelling), "{told:?}");
    no_query_runs(&server).await;
    let error = loop {
        match answer.try_next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the answer ended as if it were whole"),
            Err(error) => break Err::<(), _>(error),
        }
    };
    refused(error, Code::Cancelled, "57014", &["incomplete"]);
    nothing_runs(&server).await;
    refused(fetch(&mut client, info).await, Code::Cancelled, "57014", &["cancelled"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_statement_is_cancelled_before_it_begins_and_not_after_its_end() {
    let (server, mut client) = served().await;
    let info = client.execute("SELECT 1".to_owned(), None).await.unwrap();
    let older = ActionCancelQueryRequest { info: info.encode_to_vec().into() };
    let action =
        Action { r#type: "CancelQuery".to_owned(), body: older.as_any().encode_to_vec().into() };
    let results: Vec<_> = client.do_action(action).await.unwrap().try_collect().await.unwrap();
    let result: ActionCancelQueryResult =
        Any::decode(results[0].body.clone()).unwrap().unpack().unwrap().unwrap();
    assert_eq!(result.result, 1);
    refused(fetch(&mut client, info).await, Code::Cancelled, "57014", &[]);

    let done = client.execute("SELECT 1".to_owned(), None).await.unwrap();
    fetch(&mut client, done.clone()).await.unwrap();
    nothing_runs(&server).await;
    assert_eq!(cancel(&mut client, &done).await, CancelStatus::NotCancellable);
    let catalogs = client.get_catalogs().await.unwrap();
    assert_eq!(cancel(&mut client, &catalogs).await, CancelStatus::NotCancellable);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_statement() {
    let (server, mut client) = served().await;
    let info = client.execute(ENDLESS.to_owned(), None).await.unwrap();
    let mut answer = client.do_get(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    answer.try_next().await.unwrap().unwrap();
    assert_eq!(server.state().sql.queries().running(), 1);
    drop(answer);
    nothing_runs(&server).await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn transactions_and_plans_are_refused() {
    let (server, mut client) = served().await;
    let words = &["transactions", "autocommit"][..];
    refused(client.begin_transaction().await, Code::Unimplemented, "0A000", words);
    let id = Bytes::from_static(b"t");
    let end = client.end_transaction(id.clone(), EndTransaction::Commit).await;
    refused(end, Code::Unimplemented, "0A000", words);
    let inside = client.execute("SELECT 1".to_owned(), Some(id.clone())).await;
    refused(inside, Code::Unimplemented, "0A000", words);
    let inside = client.prepare("SELECT 1".to_owned(), Some(id.clone())).await;
    refused(inside, Code::Unimplemented, "0A000", words);
    // An empty id is no transaction.
    client.execute("SELECT 1".to_owned(), Some(Bytes::new())).await.unwrap();

    let plan = CommandStatementSubstraitPlan { plan: None, transaction_id: None };
    let descriptor = FlightDescriptor::new_cmd(plan.as_any().encode_to_vec());
    let asked = client.inner_mut().get_flight_info(descriptor).await;
    refused(asked.map_err(Into::into), Code::Unimplemented, "0A000", &["Substrait"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn commands_in_the_wrong_place_are_told_where_they_belong() {
    let (server, mut client) = served().await;
    let catalogs = arrow_flight::sql::CommandGetCatalogs {}.as_any().encode_to_vec();
    let message = arrow_flight::FlightData {
        flight_descriptor: Some(FlightDescriptor::new_cmd(catalogs)),
        ..Default::default()
    };
    let put = client.do_put(futures::stream::iter([message])).await;
    let put = put.map(|_| ());
    refused(put, Code::InvalidArgument, "42000", &["CommandGetCatalogs", "DoPut"]);
    let update = arrow_flight::sql::CommandStatementUpdate::default();
    let ticket = arrow_flight::Ticket::new(update.as_any().encode_to_vec());
    let got = client.do_get(ticket).await.map(|_| ());
    refused(got, Code::InvalidArgument, "42000", &["CommandStatementUpdate", "is not a ticket"]);
    let broken = arrow_flight::sql::TicketStatementQuery { statement_handle: "x".into() };
    let ticket = arrow_flight::Ticket::new(broken.as_any().encode_to_vec());
    let got = client.do_get(ticket).await.map(|_| ());
    refused(got, Code::InvalidArgument, "26000", &["again"]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn actions_of_both_kinds_are_listed() {
    let (server, mut client) = served().await;
    let listed: Vec<_> = client
        .inner_mut()
        .list_actions(Empty {})
        .await
        .unwrap()
        .into_inner()
        .try_collect()
        .await
        .unwrap();
    let names: Vec<_> = listed.iter().map(|action| action.r#type.as_str()).collect();
    for name in ["flush", "CreatePreparedStatement", "CancelFlightInfo", "SetSessionOptions"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let unknown = Action { r#type: "Fly".to_owned(), body: Bytes::new() };
    let status = status(client.do_action(unknown).await.map(|_| ()));
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(count(&mut client, "SELECT count(*) FROM readings").await, 12);
    server.stop().await.unwrap();
}
