//! The way back to the caller: a head once, then one body or a stream of pieces; and word of the caller leaving.
//!
//! The request's task holds the [`Reply`], the server the other end. Nothing here knows what an answer means.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use switchyard_proto::code::ErrorCode;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::api::surface::{StreamEncoder, Surface};
use crate::error::RequestError;

/// Pieces that may wait for a slow caller; the provider is read no faster.
const WAITING: usize = 16;

/// Why what was waited for is not waited for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Gone {
    #[error("the caller has left")]
    Caller,
    #[error("the process stops, and its drain is over")]
    Process,
}

impl Gone {
    /// The outcome of an attempt that ended for it.
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Caller => "cancelled",
            Self::Process => "draining",
        }
    }

    /// What the request ends in.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Caller => ErrorCode::RequestTimeout,
            Self::Process => ErrorCode::Draining,
        }
    }
}

impl From<Gone> for RequestError {
    fn from(why: Gone) -> Self {
        let text = match why {
            Gone::Caller => "The caller left.",
            Gone::Process => "This instance is stopping. Try again on another.",
        };
        Self::new(why.code(), text)
    }
}

/// Why a piece was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untaken {
    #[error("the caller has left")]
    Gone,
    /// The caller is there, but did not read in time. It is not waited for again.
    #[error("the caller reads too slowly")]
    Slow,
}

/// What to do while waiting for something on a caller's behalf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The caller reads a stream: after a silence it gets headers and comments.
    pub streaming: bool,
    /// Stop waiting when the caller leaves; else wait on without it.
    pub leaves_with_caller: bool,
}

/// The task's end.
#[derive(Debug)]
pub struct Reply {
    surface: Surface,
    /// What writes the stream, once something of it was written.
    pub encoder: Option<StreamEncoder>,
    state: State,
    headers: HeaderMap,
    beat: Duration,
    next_beat: Instant,
    is_gone: bool,
    closing: CancellationToken,
}

#[derive(Debug)]
enum State {
    Waiting(oneshot::Sender<Response<ReplyBody>>),
    Streaming(mpsc::Sender<Bytes>, Arc<AtomicBool>),
    Ended,
}

/// The server's end.
pub type Pending = oneshot::Receiver<Response<ReplyBody>>;

/// A pair of ends. `headers` go with any head; `beat` is the silence that a streaming caller is left in; `closing` ends
/// every wait.
pub fn pair(
    headers: HeaderMap,
    surface: Surface,
    beat: Duration,
    closing: CancellationToken,
) -> (Reply, Pending) {
    let (sender, pending) = oneshot::channel();
    let next_beat = Instant::now() + beat;
    let state = State::Waiting(sender);
    (Reply { surface, encoder: None, state, headers, beat, next_beat, is_gone: false, closing }, pending)
}

impl Reply {
    /// Whether a head was sent, so that only the stream itself can still tell of a failure.
    pub fn has_begun(&self) -> bool {
        !matches!(self.state, State::Waiting(_))
    }

    /// Lets silence begin now: what came before was the caller's own time.
    pub fn rest(&mut self) {
        self.next_beat = Instant::now() + self.beat;
    }

    /// Whether the process stops and no request may go on.
    pub fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Whether the caller is known to have left.
    pub fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Adds a header to the head, if it is not out yet.
    pub fn header(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }

    /// Sends head and body at once and ends.
    pub fn whole(&mut self, status: StatusCode, body: Bytes) {
        let head = self.head(status, "application/json");
        if let State::Waiting(sender) = std::mem::replace(&mut self.state, State::Ended) {
            self.is_gone |= sender.send(head.map(|()| ReplyBody::Whole(Some(body)))).is_err();
        }
    }

    /// Sends a piece of a stream, the head before the first. Waits while the caller is slow, and tells how long that was.
    ///
    /// # Errors
    /// [`Untaken`] once the caller has left, or was too slow.
    pub async fn send(&mut self, piece: Bytes, until: Instant) -> Result<Duration, Untaken> {
        self.begin();
        self.next_beat = Instant::now() + self.beat;
        let State::Streaming(pieces, _) = &self.state else { return Err(Untaken::Gone) };
        // The fast way costs no timer; only a slow caller is waited for.
        let sent = match pieces.try_send(piece) {
            Ok(()) => Ok(Duration::ZERO),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Untaken::Gone),
            Err(mpsc::error::TrySendError::Full(piece)) => {
                let full = Instant::now();
                let sending = tokio::time::timeout_at(until, pieces.send(piece));
                // At the end of the drain nobody is slow any more, who has not read is too late.
                match self.closing.run_until_cancelled(sending).await {
                    Some(Ok(Ok(()))) => Ok(full.elapsed()),
                    Some(Ok(Err(_))) => Err(Untaken::Gone),
                    Some(Err(_)) | None => Err(Untaken::Slow),
                }
            }
        };
        self.is_gone |= sent.is_err();
        sent
    }

    /// Ends a stream properly. One that is dropped without it is aborted, so that nobody takes it for whole.
    pub fn end(&mut self) {
        if let State::Streaming(_, is_whole) = std::mem::replace(&mut self.state, State::Ended) {
            is_whole.store(true, Ordering::Release);
        }
    }

    /// Takes a header back, if the head is not out yet.
    pub fn without_header(&mut self, name: &'static str) {
        self.headers.remove(name);
    }

    /// Waits for `work` on the caller's behalf.
    ///
    /// # Errors
    /// [`Gone`] if the caller left and the wait was to end with it, or the process may wait no longer; `work` is dropped
    /// then.
    pub async fn wait<T>(&mut self, wait: Wait, work: impl Future<Output = T>) -> Result<T, Gone> {
        tokio::pin!(work);
        loop {
            let beats = wait.streaming && !self.is_gone;
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = gone(&mut self.state), if !self.is_gone => {
                    self.is_gone = true;
                    if wait.leaves_with_caller {
                        return Err(Gone::Caller);
                    }
                }
                () = self.closing.cancelled() => return Err(Gone::Process),
                () = sleep_until(self.next_beat), if beats => self.keep_alive(),
            }
        }
    }

    /// A sign of life that keeps proxies and clients from giving up; dropped where the caller is slow anyway.
    fn keep_alive(&mut self) {
        self.begin();
        self.next_beat = Instant::now() + self.beat;
        if let State::Streaming(pieces, _) = &self.state {
            let mut comment = BytesMut::new();
            self.surface.keep_alive(&mut comment);
            let _ = pieces.try_send(comment.freeze());
        }
    }

    /// Sends the head of a stream, once.
    fn begin(&mut self) {
        if !matches!(self.state, State::Waiting(_)) {
            return;
        }
        let (sender, pieces) = mpsc::channel(WAITING);
        let mut head = self.head(StatusCode::OK, "text/event-stream");
        head.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        head.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        let is_whole = Arc::new(AtomicBool::new(false));
        let streaming = State::Streaming(sender, is_whole.clone());
        if let State::Waiting(waiting) = std::mem::replace(&mut self.state, streaming) {
            self.is_gone |= waiting.send(head.map(|()| ReplyBody::Stream(pieces, is_whole))).is_err();
        }
    }

    fn head(&mut self, status: StatusCode, content_type: &'static str) -> Response<()> {
        let mut head = Response::new(());
        *head.status_mut() = status;
        *head.headers_mut() = std::mem::take(&mut self.headers);
        head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        head.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        head.headers_mut().insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
        head
    }
}

/// Ends when the caller leaves.
async fn gone(state: &mut State) {
    match state {
        State::Waiting(sender) => sender.closed().await,
        State::Streaming(pieces, _) => pieces.closed().await,
        State::Ended => std::future::pending().await,
    }
}

/// What the server writes.
#[derive(Debug)]
pub enum ReplyBody {
    Whole(Option<Bytes>),
    /// Pieces, and whether they were all.
    Stream(mpsc::Receiver<Bytes>, Arc<AtomicBool>),
}

/// The stream broke off: the connection is to be broken too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer broke off")]
pub struct Aborted;

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Stream(pieces, is_whole) => match ready!(pieces.poll_recv(cx)) {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
                // Told once; a body that is polled again after its error ends.
                None if !is_whole.swap(true, Ordering::AcqRel) => Poll::Ready(Some(Err(Aborted))),
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Self::Stream(..) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests;
