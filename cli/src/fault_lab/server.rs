//! The lab's sockets: accepts connections, reads requests, finds out what to play, plays it.
//!
//! Raw hyper without layers, HTTP/1.1 and cleartext HTTP/2. What an answer consists of is decided elsewhere.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fault_lab::admin;
use crate::fault_lab::ask::Ask;
use crate::fault_lab::behaviour;
use crate::fault_lab::dialect::{BESIDE_CHAT, DEFAULT, DIALECTS, Dialect};
use crate::fault_lab::orders::{Order, Orders};
use crate::fault_lab::perform::{self, Act, Call, Performance, whole_of};
use crate::fault_lab::prepared::{self, Prepared};
use crate::fault_lab::script::{Failure, Opening, Reason, Script};
use crate::fault_lab::stage::{Curtain, Doom, OpenCall, Play, Wire};
use crate::fault_lab::witness::{Received, Witness};

/// The header by which a request chooses its behaviour itself, whatever its model.
pub const FAULT_HEADER: &str = "x-fault";
/// The header in which a client names a call, as OpenAI knows it.
const CLIENT_REQUEST_ID: &str = "x-client-request-id";
/// Bodies over this get a 413.
const MAX_BODY_BYTES: usize = 64 << 20;
/// The pause after a failed accept, so that a full file-descriptor table does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What all connections share.
pub struct Lab {
    pub witness: Arc<Witness>,
    pub orders: Orders,
    created: i64,
    serial: AtomicU64,
    prepared: HashMap<&'static str, Prepared>,
}

/// Accepts until `stop`, then drops every connection.
pub async fn accept(listener: TcpListener, lab: Arc<Lab>, tasks: TaskTracker, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve_connection(stream, lab.clone());
                tasks.spawn(stop.clone().run_until_cancelled_owned(connection));
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve_connection(stream: TcpStream, lab: Arc<Lab>) {
    lab.witness.saw_connection();
    // Fails only on a socket that is gone already.
    let _ = stream.set_nodelay(true);
    let doom = Doom::default();
    let service = service_fn(|request| respond(lab.clone(), request, doom.clone()));
    let io = TokioIo::new(Wire::new(stream, doom.clone()));
    // An error here is a client that left or a script that ended the connection.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
}

async fn respond(lab: Arc<Lab>, request: Request<Incoming>, doom: Doom) -> Result<Response<Play>, Curtain> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            let too_large = perform::fail(dialect_of(&head), &Failure::by_status(413), lab.serial());
            return Ok(play(too_large, OpenCall::new(lab.witness.clone(), id(&head)), doom));
        }
        Err(_) => return Err(Curtain),
    };
    if let Some(answer) = admin::answer(&lab, &head, &body) {
        return Ok(play(answer, OpenCall::uncounted(), doom));
    }
    lab.witness.saw_request(|| received(&head, &body));
    let mut call = OpenCall::new(lab.witness.clone(), id(&head));
    match lab.decide(&head, &body).await {
        Act::Respond(performance) => Ok(play(performance, call, doom)),
        Act::Close => {
            call.finish();
            Err(Curtain)
        }
        Act::CloseAfter(wait) => {
            tokio::time::sleep(wait).await;
            call.finish();
            Err(Curtain)
        }
        Act::Reset => {
            call.finish();
            doom.reset();
            Err(Curtain)
        }
        // Ends when the connection does: `call` sees the client go away.
        Act::Hang => std::future::pending().await,
    }
}

fn id(head: &Parts) -> String {
    let id = head.headers.get(CLIENT_REQUEST_ID).and_then(|id| id.to_str().ok());
    id.unwrap_or_default().to_owned()
}

fn received(head: &Parts, body: &Bytes) -> Received {
    Received {
        method: head.method.clone(),
        path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: head.headers.clone(),
        body: body.clone(),
    }
}

fn play(performance: Performance, mut call: OpenCall, doom: Doom) -> Response<Play> {
    let Performance { status, headers, length, steps, payer } = performance;
    if let Some(payer) = payer {
        call.open_tab(payer);
    }
    let exact = length.map(|length| length as u64);
    let mut response = Response::new(Play::new(steps, exact, call, doom));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if let Some(length) = exact {
        // Said outright, because a body that is cut cannot know what it would have been.
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}

impl Lab {
    /// `created` is the time that all answers carry, in seconds since 1970.
    pub fn new(keep_received: usize, keep_calls: usize, created: i64) -> Self {
        let prepared = DIALECTS.iter().map(|dialect| (dialect.name(), Prepared::new(*dialect, created)));
        Self {
            witness: Arc::new(Witness::new(keep_received, keep_calls)),
            orders: Orders::default(),
            created,
            serial: AtomicU64::new(1),
            prepared: prepared.collect(),
        }
    }

    async fn decide(&self, head: &Parts, body: &[u8]) -> Act {
        let dialect = dialect_of(head);
        let of_header = match fault_header(head) {
            Ok(script) => script,
            Err(reason) => {
                return Act::Respond(perform::fail(dialect, &Failure::new(400, reason), self.serial()));
            }
        };
        match self.orders.take(of_header) {
            Some(Order::Recording(recording)) => Act::Respond(recording.perform()),
            Some(Order::Script(script)) => self.play(dialect, head, body, Some(script)).await,
            None => self.play(dialect, head, body, None).await,
        }
    }

    async fn play(
        &self,
        dialect: &'static dyn Dialect,
        head: &Parts,
        body: &[u8],
        ordered: Option<Script>,
    ) -> Act {
        let is_call = head.method == Method::POST && dialect.claims(head.uri.path());
        if !is_call {
            return self.list_or_miss(dialect, head, ordered);
        }
        let peek = dialect.peek(head.uri.path(), body).ok();
        let script = ordered.or_else(|| peek.as_ref().and_then(|peek| behaviour::script(&peek.model)));
        let script = self.orders.decided(script.unwrap_or_default());
        if !script.pace.before_head.is_zero() {
            tokio::time::sleep(script.pace.before_head).await;
        }
        let prepared = self.prepared.get(dialect.name()).filter(|_| dialect.is_chat());
        if let (Some(pieces), Some(prepared), Some(peek)) = (prepared::fixed_pieces(&script), prepared, peek)
        {
            return Act::Respond(prepared.perform(pieces, &script, &peek));
        }
        self.perform(dialect, &script, dialect.read(head.uri.path(), &head.headers, body))
    }

    /// Plays `script`; a request that the provider would refuse is refused, unless it gets no answer anyway.
    fn perform(&self, dialect: &'static dyn Dialect, script: &Script, ask: Result<Ask, Reason>) -> Act {
        let serial = self.serial();
        let answers =
            matches!(script.opening, Opening::Answer | Opening::FailEvery { .. } | Opening::HangAfterHead);
        match ask {
            Err(reason) if answers => {
                Act::Respond(perform::fail(dialect, &Failure::new(400, reason), serial))
            }
            ask => {
                let ask = ask.unwrap_or_default();
                perform::perform(script, &Call { dialect, ask: &ask, serial, created: self.created })
            }
        }
    }

    /// Everything that is not a call: model lists, and paths that nobody has.
    fn list_or_miss(&self, dialect: &'static dyn Dialect, head: &Parts, ordered: Option<Script>) -> Act {
        let script = self.orders.decided(ordered.unwrap_or_default());
        if script.opening != Opening::Answer {
            return self.perform(dialect, &script, Ok(Ask::default()));
        }
        let lists = head.method == Method::GET && head.uri.path().ends_with("/models");
        Act::Respond(if lists {
            whole_of(dialect.models(&rows()), "application/json")
        } else {
            let reason = Reason::BadRequest {
                field: "path",
                message: format!("Unknown request URL: {} {}.", head.method, head.uri.path()),
            };
            perform::fail(dialect, &Failure::new(404, reason), self.serial())
        })
    }

    fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }
}

fn rows() -> Vec<(&'static str, &'static str)> {
    behaviour::behaviours().iter().map(|row| (row.name, row.description)).collect()
}

fn dialect_of(head: &Parts) -> &'static dyn Dialect {
    let by_path = BESIDE_CHAT.iter().chain(DIALECTS).find(|dialect| dialect.claims(head.uri.path()));
    let by_headers = || DIALECTS.iter().rev().find(|dialect| dialect.claims_list(&head.headers));
    by_path.or_else(by_headers).copied().unwrap_or(DEFAULT)
}

fn fault_header(head: &Parts) -> Result<Option<Script>, Reason> {
    let Some(value) = head.headers.get(FAULT_HEADER) else { return Ok(None) };
    let name = value.to_str().unwrap_or_default();
    let unknown = || Reason::BadRequest {
        field: FAULT_HEADER,
        message: behaviour::UnknownBehaviour(name.to_owned()).to_string(),
    };
    behaviour::script(name).map(Some).ok_or_else(unknown)
}
