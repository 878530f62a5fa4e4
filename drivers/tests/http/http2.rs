//! HTTP/2, in the clear.

use std::time::Duration;

use bytes::Bytes;
use everturn_drivers::http::Settings;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::world::{Fake, Running, answer, echo, ok, within};

/// How a client of HTTP/2 begins: its preface and empty settings.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub(crate) async fn connect(server: &Running) -> SendRequest<Full<Bytes>> {
    let stream = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
    let (client, connection) = handshake(TokioExecutor::new(), stream).await.unwrap();
    // It ends with the test, in whatever way.
    tokio::spawn(async { _ = connection.await });
    client
}

pub(crate) fn request(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request =
        Request::builder().method(method).uri(format!("http://a.example{path}")).version(Version::HTTP_2);
    request.body(Full::new(body.into())).unwrap()
}

pub(crate) async fn ask(client: &SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> (u16, String) {
    let (head, body) = within(client.clone().send_request(request)).await.unwrap().into_parts();
    let body = within(body.collect()).await.unwrap().to_bytes();
    (head.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn requests_share_a_connection_and_overtake_each_other() {
    let server = Running::start(Settings::default(), Fake::held(|told| ok(told.url.clone()))).await;
    let client = connect(&server).await;
    let both = [request("GET", "/a", ""), request("POST", "/b?c", "body")];
    let asking: Vec<_> = both
        .map(|request| {
            tokio::spawn({
                let client = client.clone();
                async move { ask(&client, request).await }
            })
        })
        .into();
    server.inside.is_asked(2).await;
    server.inside.gate.add_permits(2);
    let mut heard = Vec::new();
    for asked in asking {
        heard.push(asked.await.unwrap().1);
    }
    assert_eq!(heard, ["http://a.example/a", "http://a.example/b?c"]);
    let told = server.inside.told();
    assert!(told.iter().any(|told| told.method == "POST" && told.body == b"body"), "{told:?}");
}

#[tokio::test]
async fn headers_of_the_connection_do_not_leave_and_a_body_where_none_may_be_does_not_either() {
    let inside = Fake::answering(|_| {
        answer(200, &[("connection", "x-own"), ("x-own", "1"), ("x", "y"), ("x", "z")], "body")
    });
    let server = Running::start(Settings::default(), inside).await;
    let client = connect(&server).await;
    let heard: Response<_> = within(client.clone().send_request(request("HEAD", "/", ""))).await.unwrap();
    assert_eq!(heard.headers().get("content-length").unwrap(), "4");
    let names: Vec<&str> = heard.headers().get_all("x").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(names, ["y", "z"]);
    assert!(!heard.headers().contains_key("x-own"));
    assert!(within(heard.into_body().collect()).await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn bounds_are_those_of_http1() {
    let settings = Settings { body_bytes_max: 1_000, head_bytes_max: 2_000, ..Settings::default() };
    let server = Running::start(settings, echo()).await;
    let client = connect(&server).await;
    assert_eq!(ask(&client, request("POST", "/", vec![0; 1_000])).await.0, 200);
    assert_eq!(ask(&client, request("POST", "/", vec![0; 1_001])).await.0, 413);
    let mut large = request("GET", "/", "");
    large.headers_mut().insert("x", "x".repeat(3_000).parse().unwrap());
    // The client is told the bound by the server and may see itself that it cannot be kept.
    let answered = within(client.clone().send_request(large)).await;
    assert!(answered.is_err_and(|error| !error.is_timeout()) || server.inside.told().len() == 1);
    assert_eq!(ask(&client, request("GET", "/", "")).await.0, 200);
}

#[tokio::test]
async fn who_says_nothing_more_is_let_go() {
    let settings = Settings { head_timeout: Duration::from_millis(100), ..Settings::default() };
    let server = Running::start(settings, echo()).await;
    let mut silent = server.connect().await;
    silent.send(GREETING).await;
    silent.rest().await;
    // The head of a request that never ends: HEADERS without END_HEADERS, with the first byte of a header.
    let mut endless = server.connect().await;
    endless.send([GREETING, b"\0\0\x01\x01\0\0\0\0\x01\x82"].concat()).await;
    endless.rest().await;
    assert_eq!(server.inside.told(), []);
}

#[tokio::test]
async fn a_flood_of_streams_that_are_taken_back_does_not_pile_up_work() {
    let settings = Settings { requests_max: 4, ..Settings::default() };
    let server = Running::start(settings, Fake::held(|_| ok(""))).await;
    let client = connect(&server).await;
    for _ in 0..200 {
        let mut sender = client.clone();
        let asked = tokio::spawn(async move { _ = sender.send_request(request("GET", "/", "")).await });
        tokio::task::yield_now().await;
        asked.abort();
    }
    // Whatever became of the connection, the places were never more than four.
    assert!(server.inside.told().len() <= 4);
    server.inside.gate.add_permits(1_000);
    let fresh = connect(&server).await;
    within(async { while ask(&fresh, request("GET", "/", "")).await.0 == 503 {} }).await;
}

#[tokio::test]
async fn a_stop_lets_a_request_end() {
    let server = Running::start(Settings::default(), Fake::held(|_| ok("done"))).await;
    let client = connect(&server).await;
    let asked = tokio::spawn({
        let client = client.clone();
        async move { ask(&client, request("GET", "/", "")).await }
    });
    let inside = server.inside.clone();
    inside.is_asked(1).await;
    let served = server.stop();
    inside.gate.add_permits(1);
    assert_eq!(asked.await.unwrap(), (200, "done".to_owned()));
    drop(client);
    assert_eq!(within(served).await.unwrap(), Ok(()));
}
