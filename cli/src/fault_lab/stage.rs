//! Plays planned steps as a hyper body, and the socket that can be reset from within.
//!
//! Whether the client stayed to the end is told to the [`Witness`]; what is played was planned in `perform`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::fault_lab::bill::{Payer, Tab};
use crate::fault_lab::perform::Step;
use crate::fault_lab::witness::Witness;

/// The lab ends the connection on purpose; hyper closes it when a service or body returns this.
#[derive(Debug, thiserror::Error)]
#[error("the script ends the connection here")]
pub struct Curtain;

impl From<Infallible> for Curtain {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Shared by a connection's socket and the calls on it: whether closing shall be a reset.
#[derive(Debug, Clone, Default)]
pub struct Doom(Arc<AtomicBool>);

impl Doom {
    /// From now on closing the connection sends RST and throws unsent bytes away.
    pub fn reset(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_reset(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A call that has begun. Dropped before [`OpenCall::finish`], its client is taken to have gone away.
pub struct OpenCall {
    /// Absent where nobody counts.
    witness: Option<Arc<Witness>>,
    /// What its client calls it.
    id: String,
    tab: Option<Tab>,
    finished: bool,
}

impl OpenCall {
    pub fn new(witness: Arc<Witness>, id: String) -> Self {
        Self { witness: Some(witness), id, tab: None, finished: false }
    }

    /// A call of the admin side.
    pub fn uncounted() -> Self {
        Self { witness: None, id: String::new(), tab: None, finished: false }
    }

    /// From now on what is produced is billed to `payer`.
    pub fn open_tab(&mut self, payer: Payer) {
        self.tab = Some(Tab::new(payer));
    }

    fn produced(&mut self, tokens: u64) {
        if let Some(tab) = &mut self.tab {
            tab.add(tokens);
        }
    }

    /// The lab has done its part.
    pub fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let Some(witness) = &self.witness else { return };
        witness.saw_bill(std::mem::take(&mut self.id), self.tab.take());
        if self.finished {
            witness.saw_finished();
        } else {
            witness.saw_cancelled();
        }
    }
}

/// A response body that plays steps.
pub struct Play {
    steps: VecDeque<Step>,
    exact: Option<u64>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Pause once, so that hyper flushes what it holds.
    flushing: bool,
    call: OpenCall,
    doom: Doom,
}

impl Play {
    /// A body of unknown length, `exact` where only whole writes follow.
    pub fn new(steps: Vec<Step>, exact: Option<u64>, mut call: OpenCall, doom: Doom) -> Self {
        if steps.is_empty() {
            call.finish();
        }
        Self { steps: steps.into(), exact, sleep: None, flushing: false, call, doom }
    }

    fn end(&mut self) -> Poll<Option<Result<Frame<Bytes>, Curtain>>> {
        self.call.finish();
        self.steps.clear();
        Poll::Ready(Some(Err(Curtain)))
    }

    fn send(&mut self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, Curtain>>> {
        self.flushing = !self.steps.is_empty();
        if self.steps.is_empty() {
            self.call.finish();
        }
        self.exact = self.exact.map(|left| left.saturating_sub(bytes.len() as u64));
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn poll_sleep(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Ready(()) };
        std::task::ready!(sleep.as_mut().poll(context));
        self.sleep = None;
        Poll::Ready(())
    }
}

impl Body for Play {
    type Data = Bytes;
    type Error = Curtain;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Curtain>>> {
        loop {
            if std::mem::take(&mut self.flushing) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            std::task::ready!(self.poll_sleep(context));
            match self.steps.pop_front() {
                Some(Step::Send(bytes)) if bytes.is_empty() => {}
                Some(Step::Send(bytes)) => return self.send(bytes),
                Some(Step::Produced(tokens)) => self.call.produced(tokens),
                Some(Step::Flush) => self.flushing = true,
                Some(Step::Wait(wait)) => self.sleep = Some(Box::pin(tokio::time::sleep(wait))),
                Some(Step::Hang) => {
                    // Nobody wakes this body again; the connection's end drops it.
                    self.steps.push_front(Step::Hang);
                    return Poll::Pending;
                }
                Some(Step::Cut) => return self.end(),
                Some(Step::Reset) => {
                    self.doom.reset();
                    return self.end();
                }
                None => {
                    self.call.finish();
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A socket that is reset instead of closed when its [`Doom`] says so.
pub struct Wire {
    stream: TcpStream,
    doom: Doom,
}

impl Wire {
    pub fn new(stream: TcpStream, doom: Doom) -> Self {
        Self { stream, doom }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.doom.is_reset() {
            // Fails only on a socket that is gone already.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A reset goes out alone, without the FIN of a good end before it.
        if self.doom.is_reset() {
            Poll::Ready(Ok(()))
        } else {
            Pin::new(&mut self.stream).poll_shutdown(context)
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
