//! A chat call over either dialect: who answered, what it cost, and what the provider was sent.

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_tests::client::{Event, chunks, text};
use switchyard_tests::cluster::{Cluster, plain_endpoint};

/// Model, the provider's name, and how that dialect says that it is finished.
const DIALECTS: [(&str, &str, &str); 2] =
    [("test/echo", "lab", "stop"), ("test/claude", "lab-anthropic", "end_turn")];

fn body(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

/// A million prompt tokens cost a dollar, a million others two; see the harness.
fn price(usage: &Value) -> f64 {
    let count = |name: &str| usage[name].as_f64().unwrap();
    (count("prompt_tokens") + 2.0 * count("completion_tokens")) / 1e6
}

fn check_usage(usage: &Value) {
    let count = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(count("total_tokens"), count("prompt_tokens") + count("completion_tokens"), "{usage}");
    assert!(count("prompt_tokens") > 0 && count("completion_tokens") > 0, "{usage}");
    let cost = usage["cost"].as_f64().unwrap();
    assert!((cost - price(usage)).abs() < 1e-12, "{usage} should cost {}", price(usage));
}

#[tokio::test]
async fn a_whole_answer_says_who_served_it_and_what_it_cost() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    for (model, provider, native) in DIALECTS {
        let answer = client.chat(body(model, "one two three")).await;
        assert!(answer.header("content-type").starts_with("application/json"), "{:?}", answer.headers);
        let id = answer.header("x-generation-id").to_owned();
        let json = answer.ok();
        assert!(id.starts_with("gen-") && json["id"] == id.as_str(), "{id}: {json}");
        assert_eq!((&json["object"], &json["model"]), (&json!("chat.completion"), &json!(model)));
        assert_eq!(json["provider"], provider);
        let choice = &json["choices"][0];
        assert_eq!(choice["message"]["role"], "assistant");
        assert_eq!(choice["message"]["content"], "one two three");
        assert_eq!(
            (&choice["finish_reason"], &choice["native_finish_reason"]),
            (&json!("stop"), &json!(native))
        );
        check_usage(&json["usage"]);
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_says_the_same_in_chunks_with_one_usage_and_done() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    for (model, provider, native) in DIALECTS {
        let stream = client.stream(body(model, "one two three")).await;
        assert_eq!(stream.status, StatusCode::OK);
        assert!(stream.headers["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        let id = stream.headers["x-generation-id"].to_str().unwrap().to_owned();
        let events = stream.rest().await;
        assert_eq!(events.last(), Some(&Event::Done), "{model}");
        assert_eq!(events.iter().filter(|event| **event == Event::Done).count(), 1);
        assert_eq!(text(&events), "one two three", "{model}");
        let chunks = chunks(&events);
        for chunk in &chunks {
            assert_eq!((&chunk["id"], &chunk["object"]), (&json!(id), &json!("chat.completion.chunk")));
            assert_eq!((&chunk["model"], &chunk["provider"]), (&json!(model), &json!(provider)));
        }
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        let finishes: Vec<&Value> = chunks
            .iter()
            .map(|chunk| &chunk["choices"][0])
            .filter(|choice| choice["finish_reason"].is_string())
            .collect();
        assert_eq!(finishes.len(), 1, "{model}");
        assert_eq!(
            (&finishes[0]["finish_reason"], &finishes[0]["native_finish_reason"]),
            (&json!("stop"), &json!(native))
        );
        let usages: Vec<&Value> =
            chunks.iter().map(|chunk| &chunk["usage"]).filter(|usage| usage.is_object()).collect();
        assert_eq!(usages.len(), 1, "{model}: exactly one chunk has the usage");
        assert!(chunks.last().unwrap()["usage"].is_object(), "the usage comes last");
        check_usage(usages[0]);
    }
}

#[tokio::test]
async fn what_the_router_does_not_know_passes_untouched_to_a_provider_of_the_same_dialect() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let odd = r#""frobnicate": {"deep":[1, 2.50,"x"],"big":12345678901234567890}"#;
    let sent = format!(
        r#"{{"model":"test/echo","provider":{{"order":["lab"]}},{odd},"temperature":0.70,
            "messages":[{{"role":"user","content":"caf\u00e9","note":{{"mine":true}}}}]}}"#
    );
    client.post("/v1/chat/completions", sent, &[]).await.ok();
    let received = cluster.lab.received().pop().unwrap();
    let upstream = String::from_utf8(received.body.to_vec()).unwrap();
    for kept in
        [odd, r#""temperature":0.70"#, r#"{"role":"user","content":"caf\u00e9","note":{"mine":true}}"#]
    {
        assert!(upstream.contains(kept), "`{kept}` was changed: {upstream}");
    }
    let upstream: Value = serde_json::from_str(&upstream).unwrap();
    assert_eq!(upstream["model"], "echo", "the provider's own name of the model");
    assert!(upstream.get("provider").is_none(), "the router's own members stay here: {upstream}");
    assert_eq!(received.headers["authorization"], "Bearer credential-of-lab");
    assert!(!format!("{:?}", received.headers).contains(&client.key), "the caller's key stays here");
}

/// A conversation with everything that has another form at Anthropic's.
fn conversation() -> Value {
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Bern\"}"}});
    json!({
        "model": "test/claude-tools",
        "max_tokens": 500,
        "stop": "END",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "12 degrees"},
            {"role": "assistant", "content": "A map of Bern, where it has 12 degrees."},
            {"role": "user", "content": "And tomorrow?"},
        ],
        "tools": [{"type": "function", "function": {
            "name": "weather",
            "description": "Tells the weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        }}],
        "tool_choice": "required",
    })
}

async fn with_tools() -> Cluster {
    let cluster = Cluster::start().await.unwrap();
    cluster.model("test/claude-tools", &[("lab-anthropic", "tools")]).await.unwrap();
    cluster
}

#[tokio::test]
async fn tools_and_images_are_translated_to_anthropics_dialect_and_back() {
    let cluster = with_tools().await;
    let client = cluster.client().await.unwrap();
    let json = client.chat(conversation()).await.ok();
    let choice = &json["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["native_finish_reason"]),
        (&json!("tool_calls"), &json!("tool_use"))
    );
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("weather")));
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["city"].is_string(), "{arguments}");

    let received = cluster.lab.received().pop().unwrap();
    assert!(received.path.ends_with("/v1/messages"), "{}", received.path);
    assert_eq!(received.headers["x-api-key"], "credential-of-lab-anthropic");
    assert!(received.headers.contains_key("anthropic-version"));
    let sent: Value = serde_json::from_slice(&received.body).unwrap();
    assert!(sent["system"].to_string().contains("Be brief."), "{sent}");
    assert_eq!((&sent["max_tokens"], &sent["stop_sequences"]), (&json!(500), &json!(["END"])));
    assert_eq!(sent["tool_choice"]["type"], "any");
    assert_eq!(sent["tools"][0]["input_schema"]["required"], json!(["city"]));
    let blocks = |at: usize| sent["messages"][at]["content"].as_array().unwrap();
    let image = blocks(0).iter().find(|block| block["type"] == "image").unwrap();
    let source = json!({"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="});
    assert_eq!(image["source"], source);
    let called = blocks(1).iter().find(|block| block["type"] == "tool_use").unwrap();
    assert_eq!((&called["name"], &called["input"]), (&json!("weather"), &json!({"city": "Bern"})));
    let result = blocks(2).iter().find(|block| block["type"] == "tool_result").unwrap();
    assert_eq!(result["tool_use_id"], called["id"], "{sent}");
}

#[tokio::test]
async fn a_streamed_tool_call_of_anthropics_adds_up_to_valid_arguments() {
    let cluster = with_tools().await;
    let client = cluster.client().await.unwrap();
    let events = client.stream(conversation()).await.rest().await;
    let calls: Vec<&Value> = chunks(&events)
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0))
        .collect();
    assert_eq!(calls[0]["function"]["name"], "weather");
    assert!(calls.iter().all(|call| call["index"] == 0), "{calls:?}");
    let arguments: String = calls.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
    let arguments: Value = serde_json::from_str(&arguments).unwrap();
    assert!(arguments["city"].is_string(), "{arguments}");
    assert_eq!(events.last(), Some(&Event::Done));
}

#[tokio::test]
async fn either_header_and_either_prefix_will_do() {
    let cluster = Cluster::start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let (nobody, key) = (client.with_key(""), client.key.clone());
    let text = body("test/echo", "hello").to_string();
    for path in ["/v1/chat/completions", "/api/v1/chat/completions"] {
        for header in [("x-api-key", key.clone()), ("authorization", format!("bearer {key}"))] {
            nobody.post(path, text.clone(), &[(header.0, &header.1)]).await.ok();
        }
    }
}

#[tokio::test]
async fn chat_tools_find_the_models_and_their_key() {
    let cluster = Cluster::start().await.unwrap();
    let dear = switchyard_proto::v1::Endpoint { max_output_tokens: 1_000, ..plain_endpoint("lab", "length") };
    let model = switchyard_proto::v1::Model {
        id: "test/length".to_owned(),
        name: "Length".to_owned(),
        ..Default::default()
    };
    cluster.model_with(model, [dear]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let list = client.get("/api/v1/models").await.ok();
    let mut ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
    // The newest come first, by the second they were made in.
    ids.sort_unstable();
    assert_eq!(ids, ["test/claude", "test/echo", "test/length"]);
    for path in ["/v1/models/test/length", "/api/v1/models/test/length"] {
        let one = client.get(path).await.ok();
        let model = if one["data"].is_object() { &one["data"] } else { &one };
        assert_eq!((&model["id"], &model["name"]), (&json!("test/length"), &json!("Length")), "{one}");
        assert_eq!(model["context_length"], 100_000);
        // Per token, as OpenRouter says it.
        assert_eq!(model["pricing"]["prompt"].as_str().unwrap().parse::<f64>().unwrap(), 1e-6);
    }
    assert_eq!(client.get("/v1/models/test/nothing").await.status, StatusCode::NOT_FOUND);
    let key = client.get("/api/v1/key").await.ok();
    assert!(key["data"]["label"].as_str().unwrap().starts_with("sk-sy-v1-"), "{key}");
    assert!(!key.to_string().contains(&client.key));
    let index = client.get("/").await.ok();
    assert!(index["links"].is_object(), "{index}");
}
