//! Fetching from a server on loopback, well and badly behaved, and from names that lead where they must not.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::upstream::guard::Resolving;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";

/// Every name has these addresses.
struct Names(Vec<IpAddr>);

impl Resolve for Names {
    fn resolve(&self, _: &str) -> Resolving {
        let found = self.0.clone();
        Box::pin(async move { Ok(found) })
    }
}

/// Answers every request with these bytes, and then closes or (`hangs`) waits; notes what it is asked.
struct Server {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Server {
    async fn start(answer: Vec<u8>, hangs: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (tasks, stop, noted) = (TaskTracker::new(), CancellationToken::new(), Arc::clone(&seen));
        let stopped = stop.clone();
        tasks.spawn(async move {
            let serving = async {
                loop {
                    let (mut socket, _) = listener.accept().await.unwrap();
                    let mut head = vec![0; 4096];
                    let read = socket.read(&mut head).await.unwrap();
                    noted.lock().unwrap().push(String::from_utf8_lossy(&head[..read]).to_lowercase());
                    // The client may have hung up by now, which is what some tests want.
                    let _ = socket.write_all(&answer).await;
                    if hangs {
                        std::future::pending::<()>().await;
                    }
                }
            };
            tokio::select! { () = serving => {}, () = stopped.cancelled() => {} }
        });
        Self { addr, seen, tasks, stop }
    }

    fn url(&self) -> String {
        format!("http://{}/x?signature=s", self.addr)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.tasks.close();
    }
}

fn settings(allow_private: bool) -> Fetch {
    Fetch {
        max_file_bytes: 1_000,
        max_request_bytes: 1_500,
        max_files: 4,
        timeout: Duration::from_secs(20),
        allow_private,
        max_under_way: 8,
        max_held_bytes: 10_000,
    }
}

fn fetcher(settings: Fetch) -> Fetcher {
    Fetcher::new(settings, Room::new(&settings))
}

async fn fetch(fetcher: &Fetcher, url: &str) -> Result<File, FetchError> {
    let until = Instant::now() + Duration::from_secs(60);
    fetcher.fetch(url, &fetcher.share(), until).await
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\n\r\n").as_bytes(), body].concat()
}

#[tokio::test]
async fn a_file_is_read_and_known_by_its_bytes() {
    let server =
        Server::start(answer("200 OK\r\ncontent-type: text/html\r\ncontent-length: 12", PNG), false).await;
    let found = fetch(&fetcher(settings(true)), &server.url()).await.unwrap();
    assert_eq!(found, File { media_type: "image/png".to_owned(), bytes: Bytes::from_static(PNG) });
    let asked = server.seen().remove(0);
    assert!(asked.starts_with("get /x?signature=s http/1.1\r\n"), "{asked}");
    assert!(asked.contains("accept-encoding: identity\r\n"), "{asked}");
    assert!(!asked.contains("authorization") && !asked.contains("cookie"), "{asked}");
}

#[tokio::test]
async fn answers_that_are_not_a_file_are_refused_by_name() {
    let elsewhere = Server::start(answer("200 OK", PNG), false).await;
    let redirect = format!("302 Found\r\nlocation: {}\r\ncontent-length: 0", elsewhere.url());
    let large = vec![b'x'; 1_001];
    let chunked = [b"3e9\r\n".as_slice(), &large, b"\r\n0\r\n\r\n"].concat();
    for (answer, expected) in [
        (answer(&redirect, b""), FetchError::Redirect(StatusCode::FOUND)),
        (answer("404 Not Found\r\ncontent-length: 0", b""), FetchError::Status(StatusCode::NOT_FOUND)),
        (answer("206 Partial Content", PNG), FetchError::Status(StatusCode::PARTIAL_CONTENT)),
        (answer("200 OK\r\ncontent-length: 1001", b""), FetchError::TooLarge(1_000)),
        (answer("200 OK", &large), FetchError::TooLarge(1_000)),
        (answer("200 OK\r\ntransfer-encoding: chunked", &chunked), FetchError::TooLarge(1_000)),
        (answer("200 OK\r\ncontent-encoding: gzip", b"\x1f\x8b"), FetchError::Encoded),
        (answer("200 OK\r\ncontent-length: 99", PNG), FetchError::Broken),
        (answer("200 OK\r\ncontent-length: 0", b""), FetchError::Empty),
        (b"no HTTP at all\r\n\r\n".to_vec(), FetchError::Broken),
    ] {
        let server = Server::start(answer, false).await;
        assert_eq!(fetch(&fetcher(settings(true)), &server.url()).await, Err(expected));
    }
    assert_eq!(elsewhere.seen(), Vec::<String>::new(), "the redirect was not followed");
}

#[tokio::test]
async fn a_slow_body_ends_at_the_deadline() {
    let server = Server::start(answer("200 OK\r\ncontent-length: 99", PNG), true).await;
    let quick = Fetch { timeout: Duration::from_millis(100), ..settings(true) };
    assert_eq!(fetch(&fetcher(quick), &server.url()).await, Err(FetchError::Timeout));
    let late = fetcher(settings(true));
    let past = late.fetch(&server.url(), &late.share(), Instant::now()).await;
    assert_eq!(past, Err(FetchError::Timeout), "the request's own deadline counts too");
}

#[tokio::test]
async fn files_of_one_request_share_what_is_left() {
    let server = Server::start(answer("200 OK", &[b'x'; 800]), false).await;
    let fetcher = fetcher(settings(true));
    let taken = fetcher.share();
    let until = Instant::now() + Duration::from_secs(60);
    assert!(fetcher.fetch(&server.url(), &taken, until).await.is_ok());
    assert_eq!(fetcher.fetch(&server.url(), &taken, until).await, Err(FetchError::TooMuch(1_500)));
}

#[tokio::test]
async fn urls_that_lead_inside_are_refused_in_every_form() {
    let server = Server::start(answer("200 OK", PNG), false).await;
    let fetcher = fetcher(settings(false));
    let port = server.addr.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "017700000001",
        "127.1",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::]",
        "[fe80::1]",
        "[fec0::1]",
        "[fd00:ec2::254]",
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "10.0.0.1",
        "100.64.0.1",
        "224.0.0.1",
    ] {
        for scheme in ["http", "https"] {
            let found = fetch(&fetcher, &format!("{scheme}://{host}:{port}/")).await;
            assert_eq!(found, Err(FetchError::Private), "{scheme} {host}");
        }
    }
    assert_eq!(server.seen(), Vec::<String>::new());
}

#[tokio::test]
async fn names_are_judged_by_all_their_addresses_and_connected_to_as_judged() {
    let server = Server::start(answer("200 OK", PNG), false).await;
    let url = format!("http://files.example:{}/", server.addr.port());
    let found = async |addresses: &[&str], allow_private| {
        let names = Names(addresses.iter().map(|one| one.parse().unwrap()).collect());
        let settings = settings(allow_private);
        fetch(&Fetcher::over(Arc::new(names), settings, Room::new(&settings)), &url).await
    };
    for addresses in [
        ["127.0.0.1"].as_slice(),
        &["192.0.2.7", "127.0.0.1"],
        &["8.8.8.8", "127.0.0.1"],
        &["127.0.0.1", "8.8.8.8"],
        &["2606:4700::1111", "fe80::1"],
        &["::ffff:10.0.0.1"],
        &["64:ff9b::a9fe:a9fe"],
    ] {
        assert_eq!(found(addresses, false).await, Err(FetchError::Private), "{addresses:?}");
    }
    assert_eq!(found(&[], false).await, Err(FetchError::Connect));
    assert_eq!(server.seen(), Vec::<String>::new());
    assert!(found(&["127.0.0.1"], true).await.is_ok(), "the name exists nowhere but in this resolver");
    assert!(server.seen()[0].contains("host: files.example"));
}

#[tokio::test]
async fn urls_that_are_none_and_servers_that_are_none_are_told_apart() {
    let fetcher = fetcher(settings(true));
    for (url, expected) in [
        ("ftp://127.0.0.1/x", FetchError::Url),
        ("file:///etc/passwd", FetchError::Url),
        ("http://me:secret@127.0.0.1/", FetchError::Credentials),
        // Port 1 of this machine has nobody behind it.
        ("http://127.0.0.1:1/", FetchError::Connect),
    ] {
        assert_eq!(fetch(&fetcher, url).await, Err(expected), "{url}");
    }
}

#[tokio::test]
async fn what_finds_no_room_in_the_process_is_not_asked_for_or_not_read() {
    let server = Server::start(answer("200 OK\r\ncontent-length: 800", &[b'x'; 800]), false).await;
    let check = async |settings: Fetch, held, expected: Result<usize, FetchError>, seen| {
        let fetcher = fetcher(settings);
        let other = fetcher.share();
        other.take(held).unwrap();
        let before = server.seen().len();
        let found = fetch(&fetcher, &server.url()).await.map(|file| file.bytes.len());
        assert_eq!((found, server.seen().len() - before), (expected, seen), "{settings:?} {held}");
        drop(other);
        assert_eq!(fetcher.share().take(settings.max_held_bytes.min(1_500)), Ok(()), "all was given back");
    };
    let room = |max_under_way, max_held_bytes| Fetch { max_under_way, max_held_bytes, ..settings(true) };
    check(room(1, 1_000), 200, Ok(800), 1).await;
    check(room(1, 1_000), 201, Err(FetchError::Full), 1).await;
    check(room(1, 1_000), 1_000, Err(FetchError::Full), 0).await;
    check(room(0, 1_000), 0, Err(FetchError::Full), 0).await;
}

#[tokio::test]
async fn a_fetch_that_is_given_up_leaves_its_place() {
    let server = Server::start(answer("200 OK\r\ncontent-length: 99", PNG), true).await;
    let one = Fetch { max_under_way: 1, timeout: Duration::from_millis(100), ..settings(true) };
    let fetcher = fetcher(one);
    for _ in 0..2 {
        assert_eq!(fetch(&fetcher, &server.url()).await, Err(FetchError::Timeout));
    }
}
