//! What a caller gets, and when its leaving is noticed.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Gone, Untaken, Wait, pair};
use crate::api::surface::Surface;

const BEAT: Duration = Duration::from_secs(3);
const STREAMING: Wait = Wait { streaming: true, leaves_with_caller: true };

fn later() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_whole_answer_has_its_status_and_length() {
    runtime().block_on(async {
        let (mut reply, pending) =
            pair(HeaderMap::new(), Surface::ChatCompletions, BEAT, CancellationToken::new());
        reply.header("x-test", "1");
        reply.whole(StatusCode::BAD_GATEWAY, Bytes::from_static(b"{}"));
        let response = pending.await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["x-test"]),
            (StatusCode::BAD_GATEWAY, &"1".parse().unwrap())
        );
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "{}");
    });
}

#[test]
fn a_stream_begins_with_its_first_piece() {
    runtime().block_on(async {
        let (mut reply, pending) =
            pair(HeaderMap::new(), Surface::ChatCompletions, BEAT, CancellationToken::new());
        assert!(!reply.has_begun());
        reply.send(Bytes::from_static(b"one"), later()).await.unwrap();
        assert!(reply.has_begun());
        reply.end();
        let response = pending.await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "one");
    });
}

#[test]
fn silence_is_broken_by_comments_for_streams_only() {
    runtime().block_on(async {
        let beat = Duration::from_millis(5);
        let (mut reply, pending) =
            pair(HeaderMap::new(), Surface::ChatCompletions, beat, CancellationToken::new());
        let work = tokio::time::sleep(beat * 4);
        reply.wait(Wait { streaming: false, leaves_with_caller: false }, work).await.unwrap();
        assert!(!reply.has_begun());
        reply.wait(STREAMING, tokio::time::sleep(beat * 4)).await.unwrap();
        reply.end();
        let body = pending.await.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(b": "), "{body:?}");
    });
}

#[test]
fn a_caller_who_leaves_ends_the_wait_or_not_as_asked() {
    runtime().block_on(async {
        let (mut reply, pending) =
            pair(HeaderMap::new(), Surface::ChatCompletions, BEAT, CancellationToken::new());
        drop(pending);
        assert_eq!(reply.wait(STREAMING, std::future::pending::<()>()).await, Err(Gone::Caller));
        assert!(reply.is_gone());

        let (mut reply, pending) =
            pair(HeaderMap::new(), Surface::ChatCompletions, BEAT, CancellationToken::new());
        drop(pending);
        let stays = Wait { streaming: true, leaves_with_caller: false };
        assert_eq!(reply.wait(stays, async { tokio::task::yield_now().await }).await, Ok(()));
    });
}

#[test]
fn the_end_of_the_drain_ends_every_wait() {
    runtime().block_on(async {
        let closing = CancellationToken::new();
        let (mut reply, pending) = pair(HeaderMap::new(), Surface::ChatCompletions, BEAT, closing.clone());
        let stays = Wait { streaming: false, leaves_with_caller: false };
        let mut wait = Box::pin(reply.wait(stays, std::future::pending::<()>()));
        assert!(futures_util::poll!(&mut wait).is_pending());
        closing.cancel();
        assert_eq!(wait.await, Err(Gone::Process));
        assert!(reply.is_closing() && !reply.is_gone());
        // Nor is a caller waited for who does not read.
        let sent = async { while reply.send(Bytes::from_static(b"x"), later()).await.is_ok() {} };
        tokio::time::timeout(BEAT, sent).await.unwrap();
        drop(pending);
    });
}

#[test]
fn a_caller_who_leaves_within_a_stream_is_noticed() {
    runtime().block_on(async {
        let (mut reply, pending) =
            pair(HeaderMap::new(), Surface::ChatCompletions, BEAT, CancellationToken::new());
        reply.send(Bytes::from_static(b"one"), later()).await.unwrap();
        drop(pending.await.unwrap());
        assert_eq!(reply.wait(STREAMING, std::future::pending::<()>()).await, Err(Gone::Caller));
        assert_eq!(reply.send(Bytes::from_static(b"two"), later()).await, Err(Untaken::Gone));
    });
}

#[test]
fn a_stream_that_is_dropped_before_its_end_is_aborted() {
    runtime().block_on(async {
        let (mut reply, pending) =
            pair(HeaderMap::new(), Surface::ChatCompletions, BEAT, CancellationToken::new());
        reply.send(Bytes::from_static(b"one"), later()).await.unwrap();
        drop(reply);
        assert!(pending.await.unwrap().into_body().collect().await.is_err());
    });
}

#[test]
fn a_caller_who_never_reads_is_too_slow_at_the_last_moment() {
    runtime().block_on(async {
        let (mut reply, _pending) =
            pair(HeaderMap::new(), Surface::ChatCompletions, BEAT, CancellationToken::new());
        let until = Instant::now() + Duration::from_millis(20);
        let mut sent = 0;
        let untaken = loop {
            match reply.send(Bytes::from_static(b"x"), until).await {
                Ok(_) => sent += 1,
                Err(untaken) => break untaken,
            }
            assert!(sent < 1000);
        };
        assert_eq!((untaken, reply.is_gone()), (Untaken::Slow, true));
    });
}

#[test]
fn how_long_a_caller_kept_us_waiting_is_told() {
    runtime().block_on(async {
        let (mut reply, pending) =
            pair(HeaderMap::new(), Surface::ChatCompletions, BEAT, CancellationToken::new());
        let piece = || Bytes::from_static(b"x");
        for _ in 0..super::WAITING {
            assert_eq!(reply.send(piece(), later()).await, Ok(Duration::ZERO));
        }
        let mut body = pending.await.unwrap().into_body();
        let pause = Duration::from_millis(5);
        let reading = async {
            tokio::time::sleep(pause).await;
            body.frame().await
        };
        let (held, _) = tokio::join!(reply.send(piece(), later()), reading);
        assert!(held.is_ok_and(|held| held >= pause / 2), "{held:?}");
    });
}
