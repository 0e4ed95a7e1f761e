//! What is taken, what is refused, and by which name.

use serde_json::{Value, json};

use super::*;

/// A body with these members beside a model, a cap and a turn.
fn read(more: Value) -> Result<ChatRequest, BadRequest> {
    let mut body =
        json!({"model": "a/m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]});
    more.as_object().unwrap().iter().for_each(|(name, value)| body[name.as_str()] = value.clone());
    decode(Bytes::from(body.to_string()))
}

fn turns(content: Value) -> Value {
    json!({"messages": [{"role": "user", "content": content}]})
}

#[test]
fn what_is_refused_is_named_as_the_caller_wrote_it() {
    let result = |content: Value| json!({"type": "tool_result", "tool_use_id": "c", "content": content});
    for (more, field) in [
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"tool_choice": {"type": "tool", "name": "f"}}), "tool_choice.name"),
        (json!({"output_config": {"format": {"type": "json_schema"}}}), "output_config.format.schema"),
        (json!({"output_config": {"format": {"type": "yaml"}}}), "output_config.format.type"),
        (json!({"thinking": {"type": "enabled"}}), "thinking.budget_tokens"),
        (
            json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "huge"}}),
            "output_config.effort",
        ),
        (json!({"thinking": {"type": "enabled", "budget_tokens": "much"}}), "thinking.budget_tokens"),
        (json!({"tools": [{"name": "f"}]}), "tools[0].input_schema"),
        (json!({"messages": []}), "messages"),
        (turns(json!([{"type": "text"}])), "messages[0].content[0].text"),
        (turns(json!([result(json!("x")), {"type": "image"}])), "messages[0].content[1].source"),
        (turns(json!([{"type": "compaction", "content": "x"}])), "messages[0].content[0].type"),
        (turns(json!([{"type": "container_upload", "file_id": "f"}])), "messages[0].content[0].type"),
        (turns(json!([{"type": "mcp_tool_use", "id": "c", "name": "f"}])), "messages[0].content[0].type"),
        (turns(json!([{"type": "mcp_tool_result", "tool_use_id": "c"}])), "messages[0].content[0].type"),
    ] {
        let refused = read(more.clone()).expect_err("refused");
        assert_eq!(refused.field, field, "{more}: {}", refused.message);
        assert!(refused.message.contains(field), "{}", refused.message);
    }
}

#[test]
fn what_an_adapter_says_is_said_of_the_callers_own_members() {
    let image = json!({"type": "image", "source": {"type": "url", "url": "https://x/y"}});
    let result = json!({"type": "tool_result", "tool_use_id": "c", "content": [image]});
    let call = json!({"type": "tool_use", "id": "c", "name": "f", "input": {}});
    let request = read(json!({
        "system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [{"type": "text", "text": "a"}, call]},
            {"role": "user", "content": [{"type": "text", "text": "so"}, result, image]},
        ],
    }))
    .unwrap();
    for (field, expected) in [
        ("stop", "stop_sequences"),
        ("reasoning.max_tokens", "thinking.budget_tokens"),
        ("response_format", "output_config.format"),
        ("response_format.json_schema.schema", "output_config.format.schema"),
        ("tools[4].function.parameters", "tools[4].input_schema"),
        ("messages[0].content[1]", "system[1]"),
        ("messages[2].content[0]", "messages[1].content[0]"),
        ("messages[2].tool_calls[0].function.arguments", "messages[1].content[1].input"),
        ("messages[3].content[0]", "messages[2].content[1]"),
        ("messages[4].content[1].image_url.url", "messages[2].content[2].source"),
    ] {
        assert_eq!(request.names.of(field).as_deref(), Some(expected), "{field}");
    }
    assert_eq!(request.names.of("messages[1].content"), Some("messages[0].content".to_owned()));
}

#[test]
fn what_clients_send_by_default_is_taken() {
    let mark = json!({"type": "ephemeral"});
    let request = read(json!({
        "system": [{"type": "text", "text": "You are a coder.", "cache_control": mark}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": mark}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
                {"type": "tool_use", "id": "c", "name": "Bash", "input": {"command": "ls"}},
            ]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "x", "is_error": true}]},
        ],
        "tools": [
            {"name": "Bash", "description": "runs", "input_schema": {"type": "object"}},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
        ],
        "metadata": {"user_id": "user_x"},
        "temperature": 1,
        "stream": true,
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    }))
    .unwrap();
    assert_eq!((request.facts.tools, request.facts.server_tools, request.stream), (1, 1, true));
    assert_eq!(request.user.as_deref(), Some("user_x"));
    assert!(request.messages.get().unwrap().last().unwrap().is_error);
}
