//! What is asked on each surface, and how its answer is read.

use serde_json::{Value, json};
use switchyard_tests::client::{Answer, Client};

const SAID: &str = "one two three";
/// The smallest PNG there is: one transparent dot.
const DOT: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/// One thing to ask.
pub struct Ask {
    pub deed: &'static str,
    pub model: String,
}

/// A surface as a client speaks it.
pub struct Surface {
    pub name: &'static str,
    path: &'static str,
    body: fn(&Ask) -> Value,
    /// Text, reasoning, names of called tools.
    read: fn(&Value) -> Heard,
    /// The last event of a stream, and the text of all.
    gather: fn(&[Value]) -> (bool, String),
    /// The error's type.
    error: fn(&Value) -> &Value,
}

#[derive(Default)]
struct Heard {
    text: String,
    reasoning: String,
    calls: Vec<String>,
}

/// The surfaces of the table.
pub static SURFACES: [Surface; 4] = [
    Surface {
        name: "chat_completions",
        path: "/api/v1/chat/completions",
        body: chat,
        read: read_chat,
        gather: gather_chat,
        error: |body| &body["error"]["metadata"]["error_type"],
    },
    Surface {
        name: "completions",
        path: "/api/v1/completions",
        body: completion,
        read: read_completion,
        gather: gather_completion,
        error: |body| &body["error"]["metadata"]["error_type"],
    },
    Surface {
        name: "responses",
        path: "/api/v1/responses",
        body: response,
        read: read_response,
        gather: gather_response,
        error: |body| &body["error"]["metadata"]["error_type"],
    },
    Surface {
        name: "messages",
        path: "/api/v1/messages",
        body: message,
        read: read_message,
        gather: gather_message,
        error: |body| &body["error"]["error_type"],
    },
];

impl Surface {
    /// Asks, and says what is wrong with the answer.
    pub async fn ask(&self, client: &Client, ask: &Ask) -> Result<(), String> {
        let mut body = (self.body)(ask);
        if ask.deed == "stream" {
            body["stream"] = json!(true);
        }
        let answer = client.post(self.path, body.to_string(), &[("content-type", "application/json")]).await;
        match ask.deed {
            "error" => self.refused(&answer),
            "stream" => self.streamed(&answer),
            _ => self.whole(ask, &answer),
        }
    }

    fn refused(&self, answer: &Answer) -> Result<(), String> {
        let kind = (self.error)(&answer.json);
        let is_right = answer.status == 429
            && kind == "rate_limit_exceeded"
            && answer.headers.contains_key("retry-after");
        is_right.then_some(()).ok_or_else(|| format!("{} {}", answer.status, answer.text))
    }

    fn streamed(&self, answer: &Answer) -> Result<(), String> {
        let events: Vec<Value> = answer
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data)))
            .collect();
        let (is_whole, text) = (self.gather)(&events);
        (is_whole && text == SAID).then_some(()).ok_or_else(|| format!("{} {}", answer.status, answer.text))
    }

    fn whole(&self, ask: &Ask, answer: &Answer) -> Result<(), String> {
        if answer.status != 200 {
            return Err(format!("{} {}", answer.status, answer.text));
        }
        let heard = (self.read)(&answer.json);
        let is_right = match ask.deed {
            "text" => heard.text == SAID,
            "tools" => heard.calls == ["weather"],
            "image" => heard.text.contains("image"),
            "schema" => {
                serde_json::from_str::<Value>(&heard.text).is_ok_and(|value| value["city"].is_string())
            }
            "reasoning" => !heard.reasoning.is_empty() && heard.text == SAID,
            _ => false,
        };
        is_right.then_some(()).ok_or_else(|| answer.text.clone())
    }
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false})
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn chat(ask: &Ask) -> Value {
    let image = json!([{"type": "text", "text": SAID}, {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{DOT}")}}]);
    let content = if ask.deed == "image" { image } else { json!(SAID) };
    let mut body =
        json!({"model": ask.model, "max_tokens": 2000, "messages": [{"role": "user", "content": content}]});
    match ask.deed {
        "tools" => {
            body["tools"] =
                json!([{"type": "function", "function": {"name": "weather", "parameters": schema()}}])
        }
        "schema" => {
            body["response_format"] = json!({"type": "json_schema", "json_schema": {"name": "place", "strict": true, "schema": schema()}});
        }
        "reasoning" => body["reasoning"] = json!({"effort": "low"}),
        _ => {}
    }
    body
}

fn read_chat(body: &Value) -> Heard {
    let message = &body["choices"][0]["message"];
    let calls = list(&message["tool_calls"]).iter().map(|call| text(&call["function"]["name"]).to_owned());
    Heard {
        text: text(&message["content"]).to_owned(),
        reasoning: text(&message["reasoning"]).to_owned(),
        calls: calls.collect(),
    }
}

fn gather_chat(events: &[Value]) -> (bool, String) {
    let said = events.iter().map(|event| text(&event["choices"][0]["delta"]["content"]));
    (events.last() == Some(&json!("[DONE]")), said.collect())
}

fn completion(ask: &Ask) -> Value {
    let mut body = json!({"model": ask.model, "max_tokens": 2000, "prompt": SAID});
    // An image has no place in a prompt; what chat completions has beside its messages is taken or refused.
    let chat = chat(ask);
    for member in ["tools", "response_format", "reasoning"] {
        if let Some(value) = chat.get(member) {
            body[member] = value.clone();
        }
    }
    body
}

fn read_completion(body: &Value) -> Heard {
    let choice = &body["choices"][0];
    Heard {
        text: text(&choice["text"]).to_owned(),
        reasoning: text(&choice["reasoning"]).to_owned(),
        calls: Vec::new(),
    }
}

fn gather_completion(events: &[Value]) -> (bool, String) {
    let said = events.iter().map(|event| text(&event["choices"][0]["text"]));
    (events.last() == Some(&json!("[DONE]")), said.collect())
}

fn response(ask: &Ask) -> Value {
    let image = json!([{"role": "user", "content": [
        {"type": "input_text", "text": SAID},
        {"type": "input_image", "image_url": format!("data:image/png;base64,{DOT}")},
    ]}]);
    let input = if ask.deed == "image" { image } else { json!(SAID) };
    let mut body = json!({"model": ask.model, "max_output_tokens": 2000, "input": input});
    match ask.deed {
        "tools" => body["tools"] = json!([{"type": "function", "name": "weather", "parameters": schema()}]),
        "schema" => {
            body["text"] = json!({"format": {"type": "json_schema", "name": "place", "strict": true, "schema": schema()}})
        }
        "reasoning" => body["reasoning"] = json!({"effort": "low", "summary": "auto"}),
        _ => {}
    }
    body
}

fn read_response(body: &Value) -> Heard {
    let mut heard = Heard::default();
    for item in list(&body["output"]) {
        match text(&item["type"]) {
            "message" => heard.text.push_str(text(&item["content"][0]["text"])),
            "reasoning" => {
                heard.reasoning.push_str(text(&item["content"][0]["text"]));
                heard.reasoning.push_str(text(&item["summary"][0]["text"]));
            }
            "function_call" => heard.calls.push(text(&item["name"]).to_owned()),
            _ => {}
        }
    }
    heard
}

fn gather_response(events: &[Value]) -> (bool, String) {
    let deltas = events.iter().filter(|event| event["type"] == "response.output_text.delta");
    let last = events.last().is_some_and(|event| event["type"] == "response.completed");
    (last, deltas.map(|event| text(&event["delta"])).collect())
}

fn message(ask: &Ask) -> Value {
    let source = json!({"type": "base64", "media_type": "image/png", "data": DOT});
    let image = json!([{"type": "text", "text": SAID}, {"type": "image", "source": source}]);
    let content = if ask.deed == "image" { image } else { json!(SAID) };
    let mut body =
        json!({"model": ask.model, "max_tokens": 2000, "messages": [{"role": "user", "content": content}]});
    match ask.deed {
        "tools" => body["tools"] = json!([{"name": "weather", "input_schema": schema()}]),
        "schema" => body["output_config"] = json!({"format": {"type": "json_schema", "schema": schema()}}),
        "reasoning" => body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024}),
        _ => {}
    }
    body
}

fn read_message(body: &Value) -> Heard {
    let mut heard = Heard::default();
    for block in list(&body["content"]) {
        match text(&block["type"]) {
            "text" => heard.text.push_str(text(&block["text"])),
            "thinking" => heard.reasoning.push_str(text(&block["thinking"])),
            "tool_use" => heard.calls.push(text(&block["name"]).to_owned()),
            _ => {}
        }
    }
    heard
}

fn gather_message(events: &[Value]) -> (bool, String) {
    let said = events.iter().map(|event| text(&event["delta"]["text"]));
    (events.last().is_some_and(|event| event["type"] == "message_stop"), said.collect())
}
