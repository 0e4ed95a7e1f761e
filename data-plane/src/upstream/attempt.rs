//! One try of one candidate: send, wait within the deadlines, judge, and commit at the first content.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::time::{Instant, timeout_at};

use crate::adapters::failure::{Failure, FailureClass};
use crate::adapters::{Adapter, Context, Decoder, Encoded};
use crate::config::snapshot::{Credential, Endpoint, Provider};
use crate::drift::{Drift, Watch};
use crate::model::event::Event;
use crate::model::response::ChatResponse;
use crate::model::usage::Usage;
use crate::settings::Deadlines;
use crate::upstream::http::{HttpClient, SendError};
use crate::upstream::sign::{self, Signed, Signer, Unsigned};

/// Largest whole answer that is read.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// What a try is given.
#[derive(Debug)]
pub struct Try<'a> {
    pub endpoint: &'a Arc<Endpoint>,
    pub drift: &'a Arc<Drift>,
    pub encoded: Encoded,
    pub credential: Option<&'a Credential>,
    pub stream: bool,
    /// The whole request's last moment.
    pub until: Instant,
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
    Stream(Live),
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

/// Deadlines of one endpoint: the provider's own where it has some.
#[derive(Debug, Clone, Copy)]
struct Waits {
    headers: Duration,
    first_content: Duration,
    idle: Duration,
    until: Instant,
}

impl Waits {
    fn of(endpoint: &Endpoint, defaults: &Deadlines, until: Instant) -> Self {
        let own = endpoint.provider.config.timeouts.unwrap_or_default();
        let pick =
            |own: Option<u64>, default| own.filter(|ms| *ms > 0).map_or(default, Duration::from_millis);
        let total = pick(own.total_ms, defaults.total);
        Self {
            headers: pick(own.headers_ms, defaults.headers).min(pick(own.first_content_ms, defaults.headers)),
            first_content: pick(own.first_content_ms, defaults.first_content),
            idle: pick(own.idle_ms, defaults.idle),
            until: until.min(Instant::now() + total),
        }
    }
}

/// Runs one try up to its commit point or its failure.
pub async fn attempt(
    client: &HttpClient,
    signer: &Signer,
    deadlines: &Deadlines,
    attempt: Try<'_>,
) -> Outcome {
    match run(client, signer, deadlines, attempt).await {
        Ok(answer) => Outcome::Committed(Box::new(answer)),
        Err(failed) => Outcome::Failed(Box::new(failed)),
    }
}

async fn run(
    client: &HttpClient,
    signer: &Signer,
    deadlines: &Deadlines,
    attempt: Try<'_>,
) -> Result<Answer, Failed> {
    let Try { endpoint, drift, encoded, credential, stream, until } = attempt;
    let adapter = endpoint.provider.adapter;
    let begun = Instant::now();
    let waits = Waits::of(endpoint, deadlines, until);
    let context = encoded.context.clone();
    let draft = Draft::new(endpoint, encoded).map_err(|reason| Failed::unsent(&reason))?;
    // A whole answer's head comes when the answer is done, so it may take as long as the answer.
    let patience = if stream { waits.headers } else { waits.first_content.max(waits.headers) };
    let sender = Sender { client, signer, provider: &endpoint.provider, credential };
    let response = sender.send(draft, (begun + patience).min(waits.until)).await?;
    let status = response.status();
    let mut watch = Watch::new(drift, endpoint, response.headers());
    if !status.is_success() {
        let (head, body) = response.into_parts();
        let body = collect(body, &waits, begun + patience).await.unwrap_or_default();
        watch.whole(&body);
        return Err(Failed::refused(adapter.failure(status, &head.headers, &body)));
    }
    if stream && !is_json(response.headers()) {
        let last = begun + waits.first_content;
        commit(adapter, response, &context, watch, waits, last).await.map(Answer::Stream)
    } else {
        whole(adapter, response, &context, watch, &waits)
            .await
            .map(|answer| Answer::Whole(Box::new(answer), status))
    }
}

/// Some providers answer a wish to stream with one JSON body.
fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"))
}

/// A request that is final but for its credential.
#[derive(Clone)]
struct Draft {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Draft {
    fn new(endpoint: &Endpoint, encoded: Encoded) -> Result<Self, String> {
        let provider = &endpoint.provider;
        let uri = Uri::builder()
            .scheme(provider.scheme.clone())
            .authority(provider.authority.clone())
            .path_and_query(format!("{}{}", provider.path_prefix, encoded.path))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { method: encoded.method, uri, headers: encoded.headers, body: encoded.body })
    }

    fn finish(self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

/// Signs and sends.
struct Sender<'a> {
    client: &'a HttpClient,
    signer: &'a Signer,
    provider: &'a Provider,
    credential: Option<&'a Credential>,
}

impl Sender<'_> {
    /// Sends a request, once more where its access token was refused and there is a newer one.
    async fn send(&self, draft: Draft, last: Instant) -> Result<Response<Incoming>, Failed> {
        let may_renew =
            self.credential.is_some_and(|credential| sign::is_renewable(self.provider, credential));
        let spare = may_renew.then(|| draft.clone());
        let (response, signed) = self.once(draft, last).await?;
        let Some(spare) = spare else { return Ok(response) };
        let renewed = timeout_at(last, self.signer.renew(&signed, response.status())).await;
        if renewed != Ok(true) {
            return Ok(response);
        }
        drop(response);
        self.once(spare, last).await.map(|(response, _)| response)
    }

    async fn once(&self, mut draft: Draft, last: Instant) -> Result<(Response<Incoming>, Signed), Failed> {
        let Draft { method, uri, headers, body } = &mut draft;
        let unsigned = Unsigned { method, uri, headers, body };
        let signing = self.signer.sign(self.provider, self.credential, unsigned);
        let signed = match timeout_at(last, signing).await {
            Err(_) => return Err(Failed::unsigned(FailureClass::Timeout)),
            Ok(Err(error)) => {
                tracing::debug!(provider = %self.provider.id, %error, "a request could not be signed");
                return Err(Failed::unsigned(error.class));
            }
            Ok(Ok(signed)) => signed,
        };
        match timeout_at(last, self.client.send(draft.finish())).await {
            Err(_) => Err(Failed::broken(timeout("no answer within the deadline"))),
            Ok(Err(error)) => Err(Failed::unanswered(&error)),
            Ok(Ok(response)) => Ok((response, signed)),
        }
    }
}

async fn whole(
    adapter: &dyn Adapter,
    response: Response<Incoming>,
    context: &Context,
    mut watch: Watch,
    waits: &Waits,
) -> Result<ChatResponse, Failed> {
    let (head, body) = response.into_parts();
    let body = collect(body, waits, waits.until).await.map_err(Failed::broken)?;
    watch.whole(&body);
    adapter.decode(head.status, &head.headers, &body, context).map_err(|failure| {
        if failure.class == FailureClass::Malformed {
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
                    return Err(failure(FailureClass::Malformed, "the answer is larger than 64 MiB"));
                }
            }
        }
    }
}

/// Reads a stream up to its first content, or to its end where it has none.
async fn commit(
    adapter: &dyn Adapter,
    response: Response<Incoming>,
    context: &Context,
    watch: Watch,
    waits: Waits,
    first_content: Instant,
) -> Result<Live, Failed> {
    let status = response.status();
    let mut live = Live {
        pending: Vec::new(),
        decoder: adapter.decoder(context),
        watch,
        body: Some(response.into_body()),
        idle: waits.idle,
        until: waits.until,
        status,
    };
    let mut seen = Vec::new();
    loop {
        let last = first_content.min(waits.until);
        let step = live.read(last, &mut seen).await;
        let committed = seen.iter().any(|event: &Event| event.is_content() || matches!(event, Event::Done));
        match step {
            // Content that came in one piece with a failure is content: the failure is told after it.
            Err(failure) if !committed => {
                return Err(Failed { usage: live.decoder.usage(), ..Failed::broken(failure) });
            }
            Err(failure) => {
                live.body = None;
                live.pending = seen.into_iter().map(Ok).chain([Err(failure)]).collect();
                return Ok(live);
            }
            Ok(()) if committed => {
                live.pending = seen.into_iter().map(Ok).collect();
                return Ok(live);
            }
            Ok(()) => {}
        }
    }
}

/// A committed stream.
pub struct Live {
    /// What was read before the commit, in order.
    pending: Vec<Result<Event, Failure>>,
    decoder: Box<dyn Decoder>,
    watch: Watch,
    /// Absent once it has ended or failed.
    body: Option<Incoming>,
    idle: Duration,
    until: Instant,
    pub status: StatusCode,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Live {
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
        self.read(last, events).await
    }

    /// The counts reported so far.
    pub fn usage(&self) -> Option<Usage> {
        self.decoder.usage()
    }

    async fn read(&mut self, last: Instant, events: &mut Vec<Event>) -> Result<(), Failure> {
        let Some(body) = &mut self.body else {
            return Err(failure(FailureClass::Malformed, "the stream had ended"));
        };
        match timeout_at(last, body.frame()).await {
            Err(_) => Err(timeout("the stream fell silent")),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    self.watch.piece(&data);
                    let pushed = self.decoder.push(data.clone(), events);
                    if matches!(&pushed, Err(failure) if failure.class == FailureClass::Malformed) {
                        self.watch.unreadable(data);
                    }
                    pushed
                }
                Err(_trailers) => Ok(()),
            },
            Ok(Some(Err(_))) => Err(cut()),
            Ok(None) => {
                self.body = None;
                self.watch.ended();
                self.decoder.finish(events)
            }
        }
    }
}

impl Failed {
    /// Never sent, for want of a credential. What is wrong with it is the operator's business.
    fn unsigned(class: FailureClass) -> Self {
        let failure = failure(class, "the router has no usable credential for the provider at the moment");
        Self { failure, reached: false, refused: false, usage: None }
    }

    /// Never sent: our own fault or the row's.
    fn unsent(reason: &str) -> Self {
        let failure = failure(FailureClass::Auth, &format!("the request could not be made: {reason}"));
        Self { failure, reached: false, refused: false, usage: None }
    }

    fn unanswered(error: &SendError) -> Self {
        let (reached, failure) = match error {
            SendError::Connect(_) => {
                (false, failure(FailureClass::Server, "the provider could not be connected to"))
            }
            SendError::Private(_) => (false, failure(FailureClass::Server, &error.to_string())),
            SendError::Broken(_) => (true, cut()),
        };
        Self { failure, reached, refused: false, usage: None }
    }

    fn refused(failure: Failure) -> Self {
        Self { failure, reached: true, refused: true, usage: None }
    }

    fn broken(failure: Failure) -> Self {
        Self { failure, reached: true, refused: false, usage: None }
    }
}

fn failure(class: FailureClass, message: &str) -> Failure {
    Failure {
        class,
        code: class.code(),
        message: message.to_owned(),
        status: None,
        provider_code: None,
        retry_after: None,
        should_retry: None,
    }
}

fn timeout(message: &str) -> Failure {
    failure(FailureClass::Timeout, message)
}

fn cut() -> Failure {
    failure(FailureClass::Malformed, "the provider closed the connection before the answer ended")
}
