//! A stream under way: its events as they come, within the deadlines, and what broke it.

use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::adapters::Decoder;
use crate::adapters::failure::{Failure, FailureClass};
use crate::drift::Watch;
use crate::model::event::Event;
use crate::model::usage::Usage;
use crate::upstream::attempt::MAX_ANSWER_BYTES;
use crate::upstream::pace::Pace;
use crate::upstream::waits::Waits;

/// The stream of one attempt.
pub struct Live {
    /// What was read before the commit, in order.
    pending: Vec<Result<Event, Failure>>,
    decoder: Box<dyn Decoder>,
    watch: Watch,
    /// Absent once it has ended or failed.
    body: Option<Incoming>,
    idle: Duration,
    until: Instant,
    /// Begins with the first content.
    pace: Option<Pace>,
    /// Bytes that may still come while nobody hands them on.
    room: usize,
    pub status: StatusCode,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Live {
    /// Reads a stream up to its first content, or to its end where it has none.
    ///
    /// # Errors
    /// What broke it before any content, and the counts reported until then.
    pub async fn begin(
        decoder: Box<dyn Decoder>,
        watch: Watch,
        (status, body): (StatusCode, Incoming),
        waits: &Waits,
        first_content: Instant,
    ) -> Result<Self, (Failure, Option<Usage>)> {
        let (idle, until) = (waits.idle, waits.until);
        let body = Some(body);
        let mut live = Self {
            pending: Vec::new(),
            decoder,
            watch,
            body,
            idle,
            until,
            pace: None,
            room: MAX_ANSWER_BYTES,
            status,
        };
        let mut seen = Vec::new();
        loop {
            let step = live.read(first_content.min(until), &mut seen).await;
            let is_content = |event: &Event| event.is_content() || matches!(event, Event::Done);
            let committed = seen.iter().any(is_content);
            match step {
                // Content that came in one piece with a failure is content: the failure is told after it.
                Err(failure) if !committed => return Err((failure, live.decoder.usage())),
                Err(failure) => {
                    live.body = None;
                    live.pending = seen.into_iter().map(Ok).chain([Err(failure)]).collect();
                    return Ok(live);
                }
                Ok(Step::Came) if committed => {
                    live.room = usize::MAX;
                    live.pace = Pace::begin(waits.min_rate, waits.min_rate_over, Instant::now());
                    live.count(&seen);
                    live.pending = seen.into_iter().map(Ok).collect();
                    return Ok(live);
                }
                Ok(Step::Came) => {}
                Ok(Step::Silent) => return Err((silent(), live.decoder.usage())),
            }
        }
    }

    /// Appends the next events; the last one of a proper stream is [`Event::Done`].
    ///
    /// Safe to drop between two calls; a call that is dropped loses nothing but the bytes' place in time.
    ///
    /// # Errors
    /// The failure that broke the stream; what was appended before it stays valid.
    pub async fn next(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        if !self.pending.is_empty() {
            for event in self.pending.drain(..) {
                events.push(event?);
            }
            return Ok(());
        }
        let last = (Instant::now() + self.idle).min(self.until);
        loop {
            let before = events.len();
            // A window of the pace may end before the silence is too long.
            let step =
                self.read(self.pace.as_ref().map_or(last, |pace| pace.ends().min(last)), events).await?;
            self.count(&events[before..]);
            self.keep_pace()?;
            match step {
                Step::Came => return Ok(()),
                Step::Silent if Instant::now() >= last => return Err(silent()),
                Step::Silent => {}
            }
        }
    }

    /// Bounds what may still come to [`MAX_ANSWER_BYTES`]: for who keeps it all until the end.
    pub fn keep_whole(&mut self) {
        self.room = MAX_ANSWER_BYTES;
    }

    /// Takes note that nobody read for so long: that was the caller's time, and none of the provider's.
    pub fn stood_still(&mut self, time: Duration) {
        self.until += time;
        if let Some(pace) = &mut self.pace {
            pace.stood_still(time);
        }
    }

    /// The counts reported so far.
    pub fn usage(&self) -> Option<Usage> {
        self.decoder.usage()
    }

    fn count(&mut self, events: &[Event]) {
        if let Some(pace) = &mut self.pace {
            pace.count(events);
        }
    }

    /// A stream that has ended was fast enough.
    fn keep_pace(&mut self) -> Result<(), Failure> {
        let Some(pace) = self.pace.as_mut().filter(|_| self.body.is_some()) else { return Ok(()) };
        match pace.is_too_slow(Instant::now()) {
            true => Err(Failure::new(FailureClass::Timeout, "the stream is slower than the minimum rate")),
            false => Ok(()),
        }
    }

    async fn read(&mut self, last: Instant, events: &mut Vec<Event>) -> Result<Step, Failure> {
        let Some(body) = &mut self.body else {
            return Err(Failure::new(FailureClass::Malformed, "the stream had ended"));
        };
        match timeout_at(last, body.frame()).await {
            Err(_) => Ok(Step::Silent),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    self.room = self.room.checked_sub(data.len()).ok_or_else(too_large)?;
                    self.watch.piece(&data);
                    let pushed = self.decoder.push(data.clone(), events);
                    if matches!(&pushed, Err(failure) if failure.class == FailureClass::Malformed) {
                        self.watch.unreadable(data);
                    }
                    pushed.map(|()| Step::Came)
                }
                Err(_trailers) => Ok(Step::Came),
            },
            Ok(Some(Err(_))) => Err(cut()),
            Ok(None) => {
                self.body = None;
                self.watch.ended();
                self.decoder.finish(events).map(|()| Step::Came)
            }
        }
    }
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Something, which need not be an event.
    Came,
    /// Nothing until the last moment.
    Silent,
}

fn too_large() -> Failure {
    Failure::new(FailureClass::Malformed, "the answer is larger than 64 MiB")
}

fn silent() -> Failure {
    Failure::new(FailureClass::Timeout, "the stream fell silent")
}

/// The connection broke.
pub(super) fn cut() -> Failure {
    Failure::new(FailureClass::Malformed, "the provider closed the connection before the answer ended")
}
