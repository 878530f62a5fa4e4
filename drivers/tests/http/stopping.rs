//! How a server ends.

use std::time::Duration;

use everturn_drivers::http::{Failure, Server, ServerError, Settings};
use tokio::net::TcpStream;

use crate::world::{Fake, Running, echo, ok, within};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn what_is_under_way_gets_its_answer_and_nobody_new_gets_in() {
    let server = Running::start(Settings::default(), Fake::held(|_| ok("done"))).await;
    let (address, inside) = (server.address, server.inside.clone());
    let mut idle = server.connect().await;
    let mut client = server.connect().await;
    client.send(REQUEST).await;
    inside.is_asked(1).await;
    let served = server.stop();
    assert!(idle.rest().await.is_empty());
    within(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    inside.gate.add_permits(1);
    let heard = client.hear().await;
    assert_eq!((heard.text(), heard.header("connection")), ("done", vec!["close"]));
    assert_eq!(within(served).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn what_takes_too_long_is_not_waited_for() {
    let settings = Settings { stop_timeout: Duration::from_millis(50), ..Settings::default() };
    let server = Running::start(settings, Fake::held(|_| ok("never"))).await;
    let mut client = server.connect().await;
    client.send(REQUEST).await;
    server.inside.is_asked(1).await;
    assert_eq!(within(server.stop()).await.unwrap(), Ok(()));
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn without_an_inside_there_is_no_server() {
    let stopped = Failure::Stopped("the disk is full".to_owned());
    let answer = stopped.clone();
    let server = Running::start(Settings::default(), Fake::answering(move |_| Err(answer.clone()))).await;
    let heard = server.ask(REQUEST).await;
    assert_eq!(heard.status, 503);
    assert!(!heard.text().contains("disk"), "{heard:?}");
    assert_eq!(server.ends().await, Err(stopped));
}

#[tokio::test]
async fn an_address_in_use_or_none_at_all_is_told() {
    let server = Running::start(Settings::default(), echo()).await;
    let taken = server.address.to_string();
    for address in [taken.as_str(), "127.0.0.1", "127.0.0.1:port", "256.0.0.1:80", ""] {
        match Server::bind(address, Settings::default()).await {
            Err(ServerError::Address { address: told, .. }) => assert_eq!(told, address),
            Err(error) => panic!("{address}: {error}"),
            Ok(_) => panic!("{address} was taken"),
        }
    }
}
