//! One data plane's config stream: sends what it lacks, one push at a time, and hears what became of it.
//!
//! While a push is unanswered further changes pile up and go out together. A push without an answer ends the session:
//! the data plane dials again and says what it holds.

use std::{sync::Arc, time::Duration};

use prost::Message;
use switchyard_proto::{clock, v1};
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::{
    distribution::{
        Feed,
        fleet::{Applied, Attached},
        push::{self, End, PushError},
        refused::{Brought, Next, Refused},
    },
    domain::meta::Revision,
    telemetry,
};

/// Longest time that a data plane may take to compile a push.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Wait before a push is tried again: doubled each time, up to the longest.
const SHORTEST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(15);

type Outbound = mpsc::Sender<Result<v1::WatchResponse, Status>>;

/// One stream, from welcome to its end.
pub struct Session {
    pub feed: Feed,
    pub attached: Arc<Attached>,
    pub outbound: Outbound,
    /// What the data plane says it holds, then what it has applied.
    pub held: Option<Revision>,
    /// What it refused and has not taken since.
    pub refused: Refused,
}

/// What the session waits for.
enum Waiting {
    /// For a newer revision.
    ForChange,
    /// For the answer to a push.
    ForAnswer { revision: Revision, brought: Brought, sent: Instant },
    /// To try a push again.
    ToRetry { at: Instant },
}

/// Why a session is over.
enum Over {
    /// The data plane hung up.
    Left,
    /// We hang up.
    Ended(Status),
}

impl Session {
    /// Runs until the data plane leaves, is fenced, or shutdown; then says so to it and to the store.
    pub async fn run(mut self, inbound: Streaming<v1::WatchRequest>, shutdown: CancellationToken) {
        let fenced = self.attached.fenced.clone();
        let over = tokio::select! {
            () = fenced.cancelled() => Over::Ended(fenced_status()),
            () = shutdown.cancelled() => Over::Ended(Status::unavailable("the control plane is stopping")),
            over = self.serve(inbound) => over,
        };
        if let Over::Ended(status) = over {
            tracing::info!(
                instance.id = self.attached.instance,
                epoch = self.attached.epoch,
                reason = status.message(),
                "a session is ended"
            );
            // Its queue may be full of a push that nobody will read to the end.
            let _ = time::timeout(SHORTEST_RETRY, self.outbound.send(Err(status))).await;
        }
        let progress = self.feed.inner().sessions.detach(&self.attached);
        self.feed.record(&[progress]).await;
    }

    async fn serve(&mut self, mut inbound: Streaming<v1::WatchRequest>) -> Over {
        let mut health = self.feed.inner().health.subscribe();
        health.mark_changed();
        let mut newest = self.feed.inner().newest.subscribe();
        newest.mark_changed();
        let mut waiting = Waiting::ForChange;
        let mut failures = 0;
        loop {
            let attached = Arc::clone(&self.attached);
            let outbound = self.outbound.clone();
            tokio::select! {
                () = outbound.closed() => return Over::Left,
                () = attached.recalled.notified() => {
                    if let Err(over) = self.recall().await {
                        return over;
                    }
                }
                Ok(()) = health.changed() => {
                    let view = health.borrow_and_update().clone();
                    if let Err(over) = self.tell_health(view).await {
                        return over;
                    }
                }
                message = inbound.message() => match message {
                    Ok(Some(message)) => waiting = self.hear(message, waiting, &mut failures),
                    Ok(None) | Err(_) => return Over::Left,
                },
                due = due(&mut newest, &waiting) => match due {
                    Due::Push(newest) => waiting = match self.push(&newest).await {
                        Ok(next) => next,
                        Err(PushError::Gone) => return Over::Left,
                        Err(error) => {
                            tracing::debug!(instance.id = self.attached.instance, %error, "a push waits");
                            retry(&mut failures)
                        }
                    },
                    Due::NoAnswer => return Over::Ended(Status::deadline_exceeded("no answer to a push")),
                    Due::Stopped => return Over::Left,
                },
            }
        }
    }

    /// Sends what is lacking, if anything is.
    async fn push(&mut self, newest: &Revision) -> Result<Waiting, PushError> {
        if self.has(newest) {
            return Ok(Waiting::ForChange);
        }
        let (end, brought) = match self.difference(newest).await? {
            Some(sent) => sent,
            None => self.stream().await?,
        };
        self.send(push::commit(&end)).await?;
        self.attached.sent(&end.revision);
        Ok(Waiting::ForAnswer { revision: end.revision, brought, sent: Instant::now() })
    }

    /// Sends a difference that other sessions may need too.
    async fn difference(&self, newest: &Revision) -> Result<Option<(End, Brought)>, PushError> {
        let Some(held) = self.held.as_ref().filter(|held| held.incarnation == newest.incarnation) else {
            return Ok(None);
        };
        let feed = self.feed.inner();
        let Some(difference) = feed.shared.difference(&feed.source, held, newest).await? else {
            return Ok(None);
        };
        self.send(push::begin(push::Lack::Since(difference.since), &difference.end.revision)).await?;
        for chunk in &difference.chunks {
            self.send(push::message(v1::watch_response::Kind::Chunk(chunk.clone()))).await?;
        }
        // Read only where something was refused before, which is rare.
        let chunks = difference.chunks.iter().filter(|_| !self.refused.is_empty());
        let encoded = chunks.flat_map(|chunk| &chunk.resources);
        let resources: Vec<v1::Resource> =
            encoded.filter_map(|encoded| v1::Resource::decode(encoded.as_slice()).ok()).collect();
        Ok(Some((difference.end.clone(), self.refused.among(&resources))))
    }

    /// Sends everything, or a difference that is too large to keep.
    async fn stream(&self) -> Result<(End, Brought), PushError> {
        let feed = self.feed.inner();
        let _turn = feed.full_reads.acquire().await.map_err(|_| PushError::Gone)?;
        // What passes by unread is not compared with what was refused; everything needs no comparing.
        let held = self.held.as_ref().filter(|_| self.refused.is_empty());
        let end = feed.source.stream(held, self.outbound.clone()).await?;
        Ok((end, Brought::Everything))
    }

    async fn send(&self, message: v1::WatchResponse) -> Result<(), PushError> {
        self.outbound.send(Ok(message)).await.map_err(|_| PushError::Gone)
    }

    async fn recall(&self) -> Result<(), Over> {
        let accounts = self.attached.take_recalls();
        if accounts.is_empty() {
            return Ok(());
        }
        let recall = v1::watch_response::Kind::Recall(v1::Recall { accounts });
        self.send(push::message(recall)).await.map_err(|_| Over::Left)
    }

    /// Tells the fleet's view of endpoints, if there is one yet.
    async fn tell_health(&self, view: v1::FleetHealth) -> Result<(), Over> {
        if view.valid_for_ms == 0 {
            return Ok(());
        }
        self.send(push::message(v1::watch_response::Kind::Health(view))).await.map_err(|_| Over::Left)
    }

    /// Whether the data plane needs no push. One that came back with the newest state counts as served at once.
    fn has(&self, newest: &Revision) -> bool {
        let Some(held) = self.held.as_ref().filter(|held| held.incarnation == newest.incarnation) else {
            return false;
        };
        // A push is read as of its own moment, which may be later than the change that caused it.
        if self.attached.has_applied(held.number) {
            return held.number >= newest.number;
        }
        if held.number == newest.number {
            self.attached.sent(newest);
            let refused = self.refused.rows();
            let applied = Applied { revision: newest.number, refused, apply_ms: 0, now: clock::now() };
            self.feed.inner().sessions.applied(&self.attached, applied);
        }
        held.number == newest.number
    }

    /// Takes an answer to a push; anything else is ignored.
    fn hear(&mut self, message: v1::WatchRequest, waiting: Waiting, failures: &mut u32) -> Waiting {
        let (Some(v1::watch_request::Kind::Applied(answer)), Waiting::ForAnswer { revision, brought, sent }) =
            (message.kind, &waiting)
        else {
            return waiting;
        };
        if !answer.broken.is_empty() {
            tracing::warn!(
                instance.id = self.attached.instance,
                reason = answer.broken,
                "a push arrived broken; a full state follows"
            );
            telemetry::push_broken();
            self.held = None;
            return retry(failures);
        }
        let names = |answered: &v1::Revision| {
            answered.number == revision.number && answered.incarnation == revision.incarnation
        };
        if !answer.revision.as_ref().is_some_and(names) {
            return waiting;
        }
        *failures = 0;
        let next = self.refused.answered(brought, answer.refused.clone());
        self.take(&answer.refused, revision.clone(), sent.elapsed());
        match next {
            Next::GoOn => Waiting::ForChange,
            Next::SendEverything => {
                self.held = None;
                Waiting::ToRetry { at: Instant::now() }
            }
        }
    }

    fn take(&mut self, refusals: &[v1::Refusal], revision: Revision, took: Duration) {
        for refusal in refusals {
            tracing::warn!(
                instance.id = self.attached.instance,
                revision = revision.number,
                kind = refusal.kind().as_str_name(),
                id = refusal.id,
                field = refusal.field,
                reason = refusal.reason,
                "a data plane refuses a resource"
            );
        }
        telemetry::applied(took, refusals.len());
        let apply_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let refused = self.refused.rows();
        let applied = Applied { revision: revision.number, refused, apply_ms, now: clock::now() };
        self.feed.inner().sessions.applied(&self.attached, applied);
        self.held = Some(revision);
    }
}

/// What is to be done next.
enum Due {
    Push(Revision),
    NoAnswer,
    /// The distribution is gone.
    Stopped,
}

async fn due(newest: &mut watch::Receiver<Option<Revision>>, waiting: &Waiting) -> Due {
    match waiting {
        Waiting::ForAnswer { sent, .. } => {
            time::sleep_until(*sent + ANSWER_WITHIN).await;
            return Due::NoAnswer;
        }
        Waiting::ToRetry { at } => time::sleep_until(*at).await,
        Waiting::ForChange => {
            if newest.changed().await.is_err() {
                return Due::Stopped;
            }
        }
    }
    match newest.wait_for(Option::is_some).await.map(|newest| newest.clone()) {
        Ok(Some(newest)) => Due::Push(newest),
        Ok(None) | Err(_) => Due::Stopped,
    }
}

fn retry(failures: &mut u32) -> Waiting {
    let wait = SHORTEST_RETRY.saturating_mul(1 << (*failures).min(8)).min(LONGEST_RETRY);
    *failures += 1;
    Waiting::ToRetry { at: Instant::now() + wait }
}

/// What fenced sessions are told, here and by the money services.
pub fn fenced_status() -> Status {
    Status::failed_precondition("fenced")
}
