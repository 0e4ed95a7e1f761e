//! Every behaviour in every dialect, whole and streamed, as the data plane's adapter of that dialect reads it.

use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use switchyard_data_plane::adapters::{Adapter, Context, Failure, FailureClass, by_name};
use switchyard_data_plane::model::event::Event;

use crate::fault_lab::dialect::DIALECTS;
use crate::fault_lab::tests::client::{Client, Reply, call};
use crate::fault_lab::tests::{PATIENCE, TEXT, lab, quick};
use crate::fault_lab::{Behaviour, Ending, FaultLab, behaviours};

/// A call in a dialect of the lab, which is also the name of its adapter.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    pub dialect: &'static str,
    pub stream: bool,
}

pub fn forms() -> Vec<Form> {
    let both = |dialect| [false, true].map(|stream| Form { dialect, stream });
    DIALECTS.iter().flat_map(|dialect| both(dialect.name())).collect()
}

impl Form {
    pub fn request(self, model: &str) -> Request<Full<bytes::Bytes>> {
        let request = Request::post(self.path(model)).header("host", "lab");
        let request = request.header("anthropic-version", "2023-06-01");
        request.body(Full::new(self.body(model).to_string().into())).expect("all parts are valid")
    }

    fn path(self, model: &str) -> String {
        let Self { dialect, stream } = self;
        match (dialect, stream) {
            ("openai", _) => "/v1/chat/completions".to_owned(),
            ("azure", _) => "/openai/v1/chat/completions".to_owned(),
            ("mistral", _) => "/mistral/v1/chat/completions".to_owned(),
            ("openai_responses", _) => "/v1/responses".to_owned(),
            ("anthropic", _) => "/v1/messages".to_owned(),
            ("cohere", _) => "/v2/chat".to_owned(),
            ("ollama", _) => "/api/chat".to_owned(),
            ("gemini", false) => format!("/v1beta/models/{model}:generateContent"),
            ("gemini", true) => format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
            ("bedrock", false) => format!("/model/{model}/converse"),
            ("bedrock", true) => format!("/model/{model}/converse-stream"),
            _ => panic!("{dialect}: not known here"),
        }
    }

    fn body(self, model: &str) -> Value {
        let Self { dialect, stream } = self;
        let schema = json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
        let function = json!({"name": "weather", "parameters": schema});
        let user = json!([{"role": "user", "content": TEXT}]);
        match dialect {
            "openai_responses" => json!({"model": model, "stream": stream, "input": user,
                "tools": [{"type": "function", "name": "weather", "parameters": schema}]}),
            "anthropic" => json!({"model": model, "stream": stream, "max_tokens": 100_000, "messages": user,
                "tools": [{"name": "weather", "input_schema": schema}]}),
            "gemini" => json!({"contents": [{"role": "user", "parts": [{"text": TEXT}]}],
                "tools": [{"functionDeclarations": [function]}]}),
            "bedrock" => json!({"messages": [{"role": "user", "content": [{"text": TEXT}]}],
                "toolConfig": {"tools": [{"toolSpec": {"name": "weather", "inputSchema": {"json": schema}}}]}}),
            _ => json!({"model": model, "stream": stream, "messages": user,
                "stream_options": {"include_usage": true},
                "tools": [{"type": "function", "function": function}]}),
        }
    }

    fn adapter(self) -> &'static dyn Adapter {
        by_name(self.dialect).unwrap_or_else(|| panic!("{}: no adapter has this name", self.dialect))
    }

    /// How the exchange ended for whoever reads it through the adapter.
    fn judge(self, reply: Option<&Reply>) -> Ending {
        let Some(reply) = reply else { return Ending::NoAnswer };
        if reply.status != StatusCode::OK {
            return Ending::Status(reply.status.as_u16());
        }
        let read = if self.stream && !is_whole(&reply.body) {
            self.stream(reply)
        } else if reply.complete {
            let body = reply.body.clone().into();
            self.adapter().decode(reply.status, &reply.headers, &body, &Context::default()).map(drop)
        } else {
            return Ending::Broken;
        };
        match read {
            Ok(()) => Ending::Complete,
            Err(failure) if failure.class == FailureClass::Malformed => Ending::Broken,
            Err(_) => Ending::ErrorInside,
        }
    }

    fn stream(self, reply: &Reply) -> Result<(), Failure> {
        let mut decoder = self.adapter().decoder(&Context::default());
        let mut events = Vec::new();
        decoder.push(reply.body.clone().into(), &mut events)?;
        if events.iter().any(|event| matches!(event, Event::Done)) {
            return Ok(());
        }
        if !reply.complete {
            return Err(Failure::malformed("a body that was cut"));
        }
        decoder.finish(&mut events)
    }
}

/// Whether a body is one JSON value, whatever its type says.
fn is_whole(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

/// What a dialect has no way of doing, or its adapter forgives.
fn expected(row: &Behaviour, form: Form) -> Ending {
    match (row.name, form.dialect) {
        ("quota", "anthropic") => Ending::Status(400),
        // Its adapter takes a message that is whole for an answer, though it does not say why it ended.
        ("no-choices", "anthropic") => Ending::Complete,
        _ => row.ends,
    }
}

#[tokio::test]
async fn every_behaviour_ends_as_its_row_says_in_every_dialect() {
    let mut wrong = Vec::new();
    for form in forms() {
        // A lab per form, so that what counts calls starts anew.
        let lab = lab().await;
        let loud = behaviours().iter().filter(|row| row.ends != Ending::Silence);
        let checks = loud.map(|row| judged(&lab, row, form));
        let judged = tokio::time::timeout(PATIENCE, join_all(checks)).await.expect("none of them hangs");
        wrong.extend(judged.into_iter().flatten());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn judged(lab: &FaultLab, row: &Behaviour, form: Form) -> Option<String> {
    let reply = call(lab.addr, form.request(quick(row.name))).await;
    let ended = form.judge(reply.as_ref());
    let expected = expected(row, form);
    (ended != expected).then(|| format!("{} {form:?}: ended {ended}, expected {expected}", row.name))
}

#[tokio::test]
async fn the_header_and_the_script_choose_the_same_as_the_model_in_every_dialect() {
    for form in forms() {
        let lab = lab().await;
        let by_header = {
            let mut asked = form.request("echo");
            asked.headers_mut().insert("x-fault", http::HeaderValue::from_static("status-503"));
            call(lab.addr, asked).await
        };
        lab.script(["status-503"]).expect("is in the table");
        let by_script = call(lab.addr, form.request("echo")).await;
        for reply in [by_header, by_script] {
            assert_eq!(reply.map(|reply| reply.status.as_u16()), Some(503), "{form:?}");
        }
        assert_eq!(
            form.judge(call(lab.addr, form.request("echo")).await.as_ref()),
            Ending::Complete,
            "{form:?}"
        );
    }
}

#[tokio::test]
async fn silence_is_kept_in_every_dialect_until_the_client_leaves() {
    for form in forms() {
        let lab = lab().await;
        for (nth, row) in (1..).zip(behaviours().iter().filter(|row| row.ends == Ending::Silence)) {
            let mut client = Client::connect(lab.addr).await;
            let asked = form.request(row.name);
            if row.name == "hang" {
                tokio::select! {
                    answered = client.head(asked) => panic!("{form:?} hang answered: {answered:?}"),
                    read = lab.wait_for_requests(nth, PATIENCE) => read.expect("the lab reads the request"),
                }
            } else {
                let head = client.head(asked).await.expect("a head comes");
                assert_eq!(head.status(), 200, "{form:?} {}", row.name);
            }
            drop(client);
            lab.wait_for_cancelled(nth, PATIENCE).await.expect("the lab sees the client leave");
        }
        assert_eq!(lab.counts().finished, 0, "{form:?}");
    }
}
