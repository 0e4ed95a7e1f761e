//! One try of one candidate: send, wait within the deadlines, judge, and commit at the first content.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::adapters::failure::{Failure, FailureClass};
use crate::adapters::tasks::{self, Expected};
use crate::adapters::{Adapter, Context, Encoded};
use crate::config::snapshot::{Credential, Endpoint};
use crate::drift::{Drift, Watch};
use crate::model::response::ChatResponse;
use crate::model::usage::Usage;
use crate::upstream::http::{HttpClient, Reach, SendError};
use crate::upstream::live::{Live, cut};
use crate::upstream::send::{Draft, Sender};
use crate::upstream::sign::Signer;
use crate::upstream::waits::Waits;

/// Largest whole answer that is read.
pub const MAX_ANSWER_BYTES: usize = 64 << 20;

/// What a try is given.
#[derive(Debug)]
pub struct Try<'a> {
    pub endpoint: &'a Arc<Endpoint>,
    pub drift: &'a Arc<Drift>,
    /// In the order of sending; a stream is of one call.
    pub calls: Vec<Encoded>,
    pub credential: Option<&'a Credential>,
    pub stream: bool,
    pub waits: Waits,
    /// Tells who calls the try off whether it can have got out.
    pub reach: &'a Reach,
}

/// How a try ended, or that it goes on.
#[derive(Debug)]
pub enum Outcome {
    /// Content is here: no other candidate can take over from now on.
    Committed(Box<Answer>),
    Failed(Box<Failed>),
}

/// An answer under way.
#[derive(Debug)]
pub enum Answer {
    Whole(Box<ChatResponse>, StatusCode),
    Stream(Box<Live>),
}

/// A failed try, with what is known for its settlement.
#[derive(Debug)]
pub struct Failed {
    pub failure: Failure,
    /// Whether the provider can have seen the request at all.
    pub reached: bool,
    /// Whether the provider turned it down by status, which none bills.
    pub refused: bool,
    pub usage: Option<Usage>,
}

/// Runs one try up to its commit point or its failure.
pub async fn attempt(client: &HttpClient, signer: &Signer, attempt: Try<'_>) -> Outcome {
    match run(client, signer, attempt).await {
        Ok(answer) => Outcome::Committed(Box::new(answer)),
        Err(failed) => Outcome::Failed(Box::new(failed)),
    }
}

/// Makes the calls one after the other. The first that fails is the end of all, and what was billed for those before it is
/// told.
async fn run(client: &HttpClient, signer: &Signer, mut attempt: Try<'_>) -> Result<Answer, Failed> {
    let calls = std::mem::take(&mut attempt.calls);
    let calls = match <[Encoded; 1]>::try_from(calls) {
        Ok([call]) => return one(client, signer, &attempt, call).await,
        Err(calls) => calls,
    };
    let (mut answers, mut last) = (Vec::with_capacity(calls.len()), StatusCode::OK);
    for call in calls {
        match one(client, signer, &attempt, call).await {
            Ok(Answer::Whole(answer, status)) => {
                answers.push(*answer);
                last = status;
            }
            Ok(Answer::Stream(_)) => return Err(Failed::broken(Failure::malformed("a stream"))),
            Err(failed) => return Err(failed.after(&answers)),
        }
    }
    let whole = tasks::join(answers).map_err(Failed::broken)?;
    Ok(Answer::Whole(Box::new(whole), last))
}

async fn one(
    client: &HttpClient,
    signer: &Signer,
    attempt: &Try<'_>,
    encoded: Encoded,
) -> Result<Answer, Failed> {
    let Try { endpoint, drift, credential, stream, waits, reach, .. } = *attempt;
    let adapter = endpoint.provider.adapter;
    let begun = Instant::now();
    let context = encoded.context.clone();
    let draft = Draft::new(endpoint, encoded).map_err(|reason| Failed::unsent(&reason))?;
    let provider = &endpoint.provider;
    let (connect, head) = (begun + waits.connect, (begun + waits.head).min(waits.until));
    let response = Sender { client, signer, provider, credential, connect, head, reach }.send(draft).await?;
    let status = response.status();
    // Vocabularies are of chats.
    let is_chat = context.expected == Expected::Chat;
    let mut watch = is_chat.then(|| Watch::new(drift, endpoint, response.headers()));
    if !status.is_success() {
        let (parts, body) = response.into_parts();
        let body = collect(body, &waits, head).await.unwrap_or_default();
        watch.iter_mut().for_each(|watch| watch.whole(&body));
        return Err(Failed::refused(adapter.failure(status, &parts.headers, &body)));
    }
    if let Some(watch) = watch.take_if(|_| stream && !is_json(response.headers())) {
        let (decoder, answer) = (adapter.decoder(&context), (status, response.into_body()));
        let live = Live::begin(decoder, watch, answer, &waits, begun + waits.first_content).await;
        return live
            .map(|live| Answer::Stream(Box::new(live)))
            .map_err(|(failure, usage)| Failed { usage, ..Failed::broken(failure) });
    }
    let answer = whole(adapter, response, &context, watch, &waits).await?;
    Ok(Answer::Whole(Box::new(answer), status))
}

/// Some providers answer a wish to stream with one JSON body.
fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"))
}

async fn whole(
    adapter: &dyn Adapter,
    response: Response<Incoming>,
    context: &Context,
    mut watch: Option<Watch>,
    waits: &Waits,
) -> Result<ChatResponse, Failed> {
    let (head, body) = response.into_parts();
    let body = collect(body, waits, waits.until).await.map_err(Failed::broken)?;
    watch.iter_mut().for_each(|watch| watch.whole(&body));
    tasks::decode(adapter, head.status, &head.headers, &body, context).map_err(|failure| {
        if let Some(watch) = watch.filter(|_| failure.class == FailureClass::Malformed) {
            watch.unreadable_whole(body);
        }
        Failed::broken(failure)
    })
}

/// Reads a whole body within the idle deadline between pieces and a last moment.
async fn collect(mut body: Incoming, waits: &Waits, until: Instant) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    loop {
        match timeout_at((Instant::now() + waits.idle).min(until), body.frame()).await {
            Err(_) => return Err(timeout("the answer stopped within its body")),
            Ok(None) => return Ok(whole.freeze()),
            Ok(Some(Err(_))) => return Err(cut()),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    whole.extend_from_slice(&data);
                }
                if whole.len() > MAX_ANSWER_BYTES {
                    return Err(Failure::new(FailureClass::Malformed, "the answer is larger than 64 MiB"));
                }
            }
        }
    }
}

impl Failed {
    /// The same after other calls of the attempt were answered, which may be billed.
    fn after(self, answers: &[ChatResponse]) -> Self {
        let Some((first, rest)) = answers.split_first() else { return self };
        let usage = rest.iter().fold(first.usage, |sum, answer| tasks::both(sum, answer.usage));
        Self { reached: true, refused: false, usage: usage.map(Usage::partial), ..self }
    }

    /// Never sent, for want of a credential. What is wrong with it is the operator's business.
    pub(super) fn unsigned(class: FailureClass) -> Self {
        let failure =
            Failure::new(class, "the router has no usable credential for the provider at the moment");
        Self { failure, reached: false, refused: false, usage: None }
    }

    /// Never sent: our own fault or the row's.
    fn unsent(reason: &str) -> Self {
        let failure = Failure::new(FailureClass::Auth, format!("the request could not be made: {reason}"));
        Self { failure, reached: false, refused: false, usage: None }
    }

    pub(super) fn unanswered(error: &SendError) -> Self {
        let (reached, failure) = match error {
            SendError::Connect(_) => {
                (false, Failure::new(FailureClass::Server, "the provider could not be connected to"))
            }
            SendError::Late => (false, timeout("no connection within the deadline")),
            SendError::Private(_) => (false, Failure::new(FailureClass::Server, error.to_string())),
            SendError::Broken(_) => (true, cut()),
        };
        Self { failure, reached, refused: false, usage: None }
    }

    fn refused(failure: Failure) -> Self {
        Self { failure, reached: true, refused: true, usage: None }
    }

    pub(super) fn broken(failure: Failure) -> Self {
        Self { failure, reached: true, refused: false, usage: None }
    }
}

pub(super) fn timeout(message: &str) -> Failure {
    Failure::new(FailureClass::Timeout, message)
}
