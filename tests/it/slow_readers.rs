//! Callers who do not read: their time is theirs, and not held against the provider.

use serde_json::json;
use switchyard_proto::v1;
use switchyard_tests::client::Client;
use switchyard_tests::cluster::{Cluster, Shape, plain_endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Pieces of the answer, and bytes of each: together more than any socket holds for who does not read.
const PIECES: u64 = 120;
const PIECE: u64 = 60_000;

/// A model that says what it is told, word by word.
async fn cluster(cancel_stops_billing: bool) -> (Cluster, Client) {
    let cluster = Shape::default().start().await.unwrap();
    cluster.provider("p", "openai", &format!("{}/v1", cluster.lab.url())).await.unwrap();
    let context_length = 2 * PIECES * PIECE;
    let endpoint = v1::Endpoint { cancel_stops_billing, context_length, ..plain_endpoint("p", "echo") };
    cluster.model_with(v1::Model { id: "a/m".to_owned(), ..Default::default() }, [endpoint]).await.unwrap();
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

/// Asks for a stream through a small window, and reads its head alone; the id.
async fn ask(client: &Client, total_ms: u64) -> (TcpStream, String) {
    let word = "x".repeat(PIECE as usize);
    let words = vec![word.as_str(); PIECES as usize].join(" ");
    let body = json!({"model": "a/m", "stream": true, "messages": [{"role": "user", "content": words}],
        "provider": {"deadlines": {"total_ms": total_ms}}});
    let (address, body) = (client.url.trim_start_matches("http://"), body.to_string());
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    let head = format!(
        "POST /api/v1/chat/completions HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        client.key,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(read).unwrap();
    let id = head.lines().find_map(|line| line.strip_prefix("x-generation-id: ")).unwrap();
    (stream, id.to_owned())
}

#[tokio::test]
async fn a_caller_who_does_not_read_is_ended_as_such_and_pays_what_was_produced() {
    let (cluster, client) = cluster(true).await;
    let (stream, id) = ask(&client, 6000).await;
    let line = cluster.lines(&id, 1).await.remove(0);
    assert_eq!(line.outcome, "slow_reader", "{line:?}");
    let produced = line.tokens.unwrap_or_default().completion;
    assert!(produced > 0 && produced < PIECES * PIECE / 4, "{line:?}");
    assert!(line.charge_usd.parse::<f64>().unwrap() > 0.0, "{line:?}");
    let generation = cluster.generation(&id).await;
    assert!(generation.cancelled && generation.error_type.is_empty(), "{generation:?}");
    drop(stream);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_provider_that_bills_on_is_read_to_its_end_without_the_caller() {
    let (cluster, client) = cluster(false).await;
    // As long as the caller may keep us waiting, so long the rest may take afterwards.
    let (stream, id) = ask(&client, 12_000).await;
    let line = cluster.lines(&id, 1).await.remove(0);
    assert_eq!((line.outcome.as_str(), line.provenance()), ("slow_reader", v1::Provenance::ProviderFinal));
    assert!(line.tokens.unwrap_or_default().completion >= PIECES * PIECE / 4, "{line:?}");
    drop(stream);
    cluster.stop().await.unwrap();
}
