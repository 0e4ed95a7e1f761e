//! From a script, a request and a dialect to the steps that play it: what is sent, when, and how it ends.
//!
//! Pure: nothing is sent and no clock runs here. [`crate::fault_lab::stage`] plays the steps.

mod dress;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::fault_lab::ask::Ask;
use crate::fault_lab::bill::Payer;
use crate::fault_lab::dialect::{Answer, Dialect, Event, Part};
use crate::fault_lab::perform::dress::{dressed, dripped, gzipped, trickled};
use crate::fault_lab::reply::{self, Reply};
use crate::fault_lab::script::{Failure, Flaw, FlawKind, Hints, KEEPALIVES, Oddity, Opening, Pace, Script};

/// One step of a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// One write: what follows goes into another.
    Send(Bytes),
    /// So many tokens of the answer exist from now on.
    Produced(u64),
    /// What was handed over goes out before the next step; needed where no `Send` came before.
    Flush,
    Wait(Duration),
    /// Nothing more, ever.
    Hang,
    /// The connection is closed within the body.
    Cut,
    /// The connection is reset within the body.
    Reset,
}

/// What becomes of a call.
#[derive(Debug)]
pub enum Act {
    Reset,
    Close,
    CloseAfter(Duration),
    Hang,
    Respond(Performance),
}

/// A response, planned.
#[derive(Debug)]
pub struct Performance {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The announced length; `None` for a body of unknown length.
    pub length: Option<usize>,
    pub steps: Vec<Step>,
    /// Who pays for what the steps produce.
    pub payer: Option<Payer>,
}

/// What a performance needs to know beside the script.
pub struct Call<'a> {
    pub dialect: &'static dyn Dialect,
    pub ask: &'a Ask,
    pub serial: u64,
    /// Seconds since 1970.
    pub created: i64,
}

const HTML: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";

/// Plans the whole call. `Opening::FailEvery` counts as an answer: who counts the calls has decided before.
pub fn perform(script: &Script, call: &Call) -> Act {
    match &script.opening {
        Opening::Reset => Act::Reset,
        Opening::Close => Act::Close,
        Opening::Hang => Act::Hang,
        Opening::HangThenClose(wait) => Act::CloseAfter(*wait),
        Opening::Fail(failure) => Act::Respond(fail(call.dialect, failure, call.serial)),
        Opening::HtmlPage(status) => Act::Respond(page(*status)),
        Opening::Redirect => Act::Respond(redirect()),
        Opening::HangAfterHead => {
            let answer = answer(script, call);
            Act::Respond(Performance { length: None, steps: vec![Step::Hang], ..answer })
        }
        Opening::Answer | Opening::FailEvery { .. } => Act::Respond(answer(script, call)),
    }
}

/// An error answer in the dialect's shape.
pub fn fail(dialect: &'static dyn Dialect, failure: &Failure, serial: u64) -> Performance {
    let status = StatusCode::from_u16(dialect.status(failure)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut planned = if status.is_success() {
        whole_of(dialect.error_in_200(&failure.reason), "application/json")
    } else {
        whole_of(dialect.error_body(&failure.reason), "application/json")
    };
    planned.status = status;
    if !status.is_success() {
        insert_all(&mut planned.headers, dialect.error_headers(&failure.reason));
    }
    insert_request_id(&mut planned.headers, dialect, serial);
    if let Hints::RetryAfter(seconds) = failure.hints {
        planned.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if failure.hints != Hints::None {
        insert_rate_limits(&mut planned.headers, dialect, 0);
    }
    planned
}

/// A body of one write under status 200.
pub fn whole_of(body: Vec<u8>, content_type: &'static str) -> Performance {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let length = Some(body.len());
    let steps = if body.is_empty() { Vec::new() } else { vec![Step::Send(body.into())] };
    Performance { status: StatusCode::OK, headers, length, steps, payer: None }
}

fn page(status: u16) -> Performance {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    Performance { status, ..whole_of(HTML.as_bytes().to_vec(), "text/html") }
}

/// To a port of loopback where nothing listens (discard): who follows is found out and gets nowhere.
fn redirect() -> Performance {
    let mut planned = whole_of(Vec::new(), "text/plain");
    planned.status = StatusCode::TEMPORARY_REDIRECT;
    planned.headers.insert(header::LOCATION, HeaderValue::from_static("http://127.0.0.1:9/elsewhere"));
    planned
}

fn answer(script: &Script, call: &Call) -> Performance {
    let reply = reply::compose(script.say, call.ask);
    let answer = write_down(script, call, &reply);
    let streams = call.ask.stream && script.oddity != Some(Oddity::IgnoresStream);
    let mut planned = if streams { streamed(script, call, &answer) } else { whole(script, call, &answer) };
    insert_request_id(&mut planned.headers, call.dialect, call.serial);
    if script.oddity == Some(Oddity::RateLimitHint) {
        insert_rate_limits(&mut planned.headers, call.dialect, 1);
    }
    if script.oddity == Some(Oddity::Gzip) {
        planned = gzipped(planned);
    }
    Performance { payer: Some(payer(call, &reply)), ..planned }
}

fn payer(call: &Call, reply: &Reply) -> Payer {
    Payer { dialect: call.dialect.name(), model: call.ask.model.clone(), prompt_tokens: reply.usage.input }
}

fn write_down<'a>(script: &Script, call: &'a Call, reply: &'a Reply) -> Answer<'a> {
    Answer {
        serial: call.serial,
        created: call.created,
        model: &call.ask.model,
        wants_usage: call.ask.wants_usage,
        reply,
        telling: script.telling,
        oddity: script.oddity,
    }
}

// === whole answers ===

fn whole(script: &Script, call: &Call, answer: &Answer) -> Performance {
    let body = call.dialect.whole(answer);
    let content_type = if answer.is(Oddity::WrongType) { "text/plain" } else { "application/json" };
    let planned = match &script.flaw {
        None => whole_of(body, content_type),
        Some(flaw) => flawed_whole(flaw, body, call.dialect, answer, content_type),
    };
    let body = if script.pace.whole_too {
        let shares = shares(answer, &call.dialect.events(answer));
        trickled(planned.steps, &shares, script.pace.between)
    } else {
        let produced = (!is_error_first(script)).then_some(Step::Produced(answer.reply.usage.output));
        let waits = some_wait(script.pace.between).chain(some_wait(script.pace.before_last));
        waits.chain(produced).chain(planned.steps).collect()
    };
    let steps = lead_in(&script.pace, None).chain(body).collect();
    Performance { steps: if answer.is(Oddity::Drip) { dripped(steps) } else { steps }, ..planned }
}

/// A provider that answers with nothing but an error has produced nothing.
fn is_error_first(script: &Script) -> bool {
    matches!(script.flaw, Some(Flaw { after: 0, kind: FlawKind::Error(_) }))
}

/// The tokens of each piece of the stream: those of the answer, spread evenly, the last of them with the last piece.
fn shares(answer: &Answer, events: &[Event]) -> Vec<u64> {
    let pieces = events.iter().filter(|event| event.part == Part::Content).count() as u64;
    let until = |piece: u64| (answer.reply.usage.output * piece).div_ceil(pieces.max(1));
    (0..pieces).map(|piece| until(piece + 1) - until(piece)).collect()
}

fn flawed_whole(
    flaw: &Flaw,
    body: Vec<u8>,
    dialect: &dyn Dialect,
    answer: &Answer,
    content_type: &'static str,
) -> Performance {
    let announced = Some(body.len());
    let half = body[..body.len() / 2].to_vec();
    let breaking = |last: Step| {
        // A flaw before any content shows before any byte of the body.
        let sent = if flaw.after == 0 { Step::Flush } else { Step::Send(half.clone().into()) };
        Performance { length: announced, steps: vec![sent, last], ..whole_of(Vec::new(), content_type) }
    };
    match &flaw.kind {
        FlawKind::Stall => breaking(Step::Hang),
        FlawKind::Cut => breaking(Step::Cut),
        FlawKind::Reset => breaking(Step::Reset),
        FlawKind::End | FlawKind::Truncate => whole_of(half, content_type),
        FlawKind::Error(reason) if flaw.after == 0 => whole_of(dialect.error_in_200(reason), content_type),
        FlawKind::Error(reason) => whole_of(dialect.whole_with_error(answer, reason), content_type),
        FlawKind::Malformed => whole_of([&half, &b"\x7b,]"[..], &half].concat(), content_type),
    }
}

// === streams ===

fn streamed(script: &Script, call: &Call, answer: &Answer) -> Performance {
    let content_type =
        if answer.is(Oddity::WrongType) { "application/json" } else { call.dialect.stream_type() };
    let is_sse = call.dialect.stream_type().starts_with("text/event-stream");
    let mut events = call.dialect.events(answer);
    let shares = shares(answer, &events);
    if answer.is(Oddity::DoubleFinish) {
        repeat_finish(&mut events);
    }
    let cues = flawed(events, script.flaw.as_ref(), call.dialect);
    let last_closing = cues.iter().rposition(|cue| cue.is_of(Part::Closing));
    let mut steps = Vec::with_capacity(2 * cues.len());
    let mut contents = 0;
    for (at, cue) in cues.into_iter().enumerate() {
        match cue {
            Cue::Event(event) if event.part == Part::Terminal && answer.is(Oddity::NoTerminal) => {}
            Cue::Event(event) => {
                if event.part == Part::Content {
                    steps.extend(waits(&script.pace, contents, call.dialect));
                    steps.extend(shares.get(contents).copied().map(Step::Produced));
                    contents += 1;
                }
                if Some(at) == last_closing {
                    steps.extend(some_wait(script.pace.before_last));
                    // An answer without content is due at its end.
                    steps.push(Step::Produced(0));
                }
                steps.extend(dressed(event.bytes, answer.oddity, is_sse));
            }
            Cue::Error(bytes) => {
                steps.extend(waits(&script.pace, contents, call.dialect));
                steps.extend(dressed(bytes, answer.oddity, is_sse));
            }
            Cue::Last(step) => {
                // Some dialects have no opening; their head goes out before the break all the same.
                steps.extend(steps.is_empty().then_some(Step::Flush));
                steps.push(step);
            }
        }
    }
    Performance { length: None, steps, ..whole_of(Vec::new(), content_type) }
}

/// The first event that tells the finish, twice.
fn repeat_finish(events: &mut Vec<Event>) {
    if let Some(at) = events.iter().position(|event| event.part == Part::Closing) {
        events.insert(at, events[at].clone());
    }
}

/// What a stream consists of before pace and dress: events, and perhaps a bad end.
enum Cue {
    Event(Event),
    /// An error in place of content.
    Error(Bytes),
    Last(Step),
}

impl Cue {
    fn is_of(&self, part: Part) -> bool {
        matches!(self, Self::Event(event) if event.part == part)
    }
}

fn flawed(events: Vec<Event>, flaw: Option<&Flaw>, dialect: &dyn Dialect) -> Vec<Cue> {
    let Some(flaw) = flaw else { return events.into_iter().map(Cue::Event).collect() };
    let at = break_point(&events, flaw.after);
    let mut cues: Vec<Cue> = events.iter().take(at).cloned().map(Cue::Event).collect();
    let content = |bytes: Vec<u8>| Cue::Event(Event { part: Part::Content, bytes: bytes.into() });
    match &flaw.kind {
        FlawKind::Stall => cues.push(Cue::Last(Step::Hang)),
        FlawKind::Cut => cues.push(Cue::Last(Step::Cut)),
        FlawKind::Reset => cues.push(Cue::Last(Step::Reset)),
        FlawKind::End => {}
        FlawKind::Truncate => {
            cues.extend(events.get(at).map(|event| content(event.bytes[..event.bytes.len() / 2].to_vec())));
        }
        FlawKind::Error(reason) => cues.push(Cue::Error(dialect.error_event(reason).into())),
        FlawKind::Malformed => {
            cues.push(content(dialect.malformed_event()));
            let replaced = usize::from(events.get(at).is_some_and(|event| event.part == Part::Content));
            cues.extend(events.into_iter().skip(at + replaced).map(Cue::Event));
        }
    }
    cues
}

/// The place of content piece number `after`, or where the finish begins if there are fewer.
fn break_point(events: &[Event], after: u64) -> usize {
    let mut seen = 0;
    let reached = |event: &Event| match event.part {
        Part::Content => {
            seen += 1;
            seen > after
        }
        Part::Closing | Part::Terminal => true,
        Part::Opening | Part::Framing => false,
    };
    events.iter().position(reached).unwrap_or(events.len())
}

fn waits(pace: &Pace, contents: usize, dialect: &dyn Dialect) -> Vec<Step> {
    if contents == 0 { lead_in(pace, Some(dialect)).collect() } else { some_wait(pace.between).collect() }
}

/// What happens between the head and the first content; keep-alives only where the body is a stream.
fn lead_in(pace: &Pace, keepalives_of: Option<&dyn Dialect>) -> impl Iterator<Item = Step> + use<> {
    let beat = pace.keepalive.map(|every| {
        let sent = keepalives_of.map(|dialect| Step::Send(dialect.keepalive().into()));
        let beat: Vec<Step> = std::iter::once(Step::Wait(every)).chain(sent).collect();
        std::iter::repeat_n(beat, KEEPALIVES).flatten()
    });
    beat.into_iter().flatten().chain(some_wait(pace.before_first))
}

fn some_wait(wait: Duration) -> impl Iterator<Item = Step> {
    (!wait.is_zero()).then_some(Step::Wait(wait)).into_iter()
}

// === headers ===

fn insert_request_id(headers: &mut HeaderMap, dialect: &dyn Dialect, serial: u64) {
    if let Ok(id) = HeaderValue::try_from(format!("req_lab{serial:08x}")) {
        headers.insert(HeaderName::from_static(dialect.request_id()), id);
    }
}

fn insert_rate_limits(headers: &mut HeaderMap, dialect: &dyn Dialect, remaining: u32) {
    insert_all(headers, dialect.rate_limits(remaining));
}

fn insert_all(headers: &mut HeaderMap, named: Vec<(&'static str, String)>) {
    for (name, value) in named {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
