//! Recorded requests that Mistral took: through the surface and this adapter they come out as they went in.

use std::fs;

use bytes::Bytes;
use serde_json::Value;

use super::Mistral;
use crate::adapters::shared::exchange_tests::recordings;
use crate::adapters::{Adapter, Target};
use crate::api::openai_chat;
use crate::model::media::NOTHING;
use crate::model::parameter::Parameters;

#[test]
fn requests_that_mistral_took_pass_as_they_were() {
    let paths = recordings("mistral/chat");
    if paths.is_empty() {
        println!("skipped: no recordings beside the repository");
    }
    for path in paths {
        let file: Value = serde_json::from_slice(&fs::read(&path).expect("readable")).expect("JSON");
        let body = &file["request"]["body"];
        // What the surface does not read is none of the adapter's.
        let Ok(request) = openai_chat::decode(Bytes::from(body.to_string())) else { continue };
        let target = Target {
            model: body["model"].as_str().expect("a model"),
            output_cap: None,
            stream: request.stream,
            quirks: &Mistral.quirks(),
            fetched: &NOTHING,
            supported: Parameters::NONE,
            tier: None,
        };
        let encoded = Mistral.encode(&request, &target).expect("expressible");
        let sent: Value = serde_json::from_slice(&encoded.body).expect("JSON");
        assert_eq!(normal(sent), normal(body.clone()), "{}", path.display());
        assert!(encoded.dropped.is_empty(), "{}: {:?}", path.display(), encoded.dropped);
    }
}

/// Without what says nothing, and with what is understood.
fn normal(mut body: Value) -> Value {
    body.as_object_mut().expect("an object").retain(|name, value| name != "stream" || *value == true);
    for tool in body["tools"].as_array_mut().into_iter().flatten() {
        tool["type"] = "function".into();
    }
    body
}
