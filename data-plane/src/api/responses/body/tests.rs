//! What is taken, what is refused, and by which name.

use serde_json::{Value, json};

use super::*;

/// A body with these members beside a model and an input.
fn read(more: Value) -> Result<ChatRequest, BadRequest> {
    let mut body = json!({"model": "a/m", "input": "Hi"});
    more.as_object().unwrap().iter().for_each(|(name, value)| body[name.as_str()] = value.clone());
    decode(Bytes::from(body.to_string()))
}

fn input(item: Value) -> Value {
    json!({"input": [{"role": "user", "content": "Hi"}, item]})
}

#[test]
fn what_is_refused_is_named_as_the_caller_wrote_it() {
    let tool = |tool: Value| json!({"tools": [tool]});
    let item = |kind: &str| input(json!({"type": kind, "call_id": "c", "output": "x"}));
    for (more, field) in [
        (json!({"max_output_tokens": 0}), "max_output_tokens"),
        (json!({"text": {"format": {"type": "yaml"}}}), "text.format.type"),
        (json!({"text": {"format": {"type": "json_schema"}}}), "text.format.schema"),
        (json!({"reasoning": {"effort": "huge"}}), "reasoning.effort"),
        (json!({"tool_choice": {"type": "function", "name": "f"}}), "tool_choice.name"),
        (json!({"store": true}), "store"),
        (json!({"modalities": ["text", "audio"]}), "modalities"),
        (tool(json!({"type": "function"})), "tools[0].name"),
        (tool(json!({"type": "local_shell"})), "tools[0].type"),
        (tool(json!({"type": "apply_patch"})), "tools[0].type"),
        (tool(json!({"type": "shell", "environment": {"type": "local"}})), "tools[0].type"),
        (tool(json!({"type": "computer_use_preview"})), "tools[0].type"),
        (item("local_shell_call"), "input[1].type"),
        (item("local_shell_call_output"), "input[1].type"),
        (item("shell_call_output"), "input[1].type"),
        (item("apply_patch_call"), "input[1].type"),
        (item("computer_call_output"), "input[1].type"),
        (item("compaction"), "input[1].type"),
        (item("mcp_approval_response"), "input[1].type"),
        (item("unheard_of"), "input[1].type"),
    ] {
        let refused = read(more.clone()).expect_err("refused");
        assert_eq!(refused.field, field, "{more}: {}", refused.message);
        assert!(refused.message.contains(field), "{}", refused.message);
    }
}

#[test]
fn what_an_adapter_says_is_said_of_the_callers_own_members() {
    let request = read(json!({
        "instructions": "be brief",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "x"},
        ],
    }))
    .unwrap();
    for (field, expected) in [
        ("max_completion_tokens", "max_output_tokens"),
        ("response_format", "text.format"),
        ("response_format.json_schema.schema", "text.format.schema"),
        ("tools[4].function.parameters", "tools[4].parameters"),
        ("messages[0].content", "instructions"),
        ("messages[1].content[0]", "input[0].content[0]"),
        ("messages[2].content[0]", "input[2].content[0]"),
        ("messages[2].tool_calls[0].function.arguments", "input[3].arguments"),
        ("messages[3].tool_call_id", "input[4].call_id"),
        ("messages[2]", "input[1]"),
    ] {
        assert_eq!(request.names.of(field).as_deref(), Some(expected), "{field}");
    }
    let text = read(json!({})).unwrap();
    assert_eq!(text.names.of("messages[0].content").as_deref(), Some("input"));
}

#[test]
fn what_clients_send_by_default_is_taken() {
    let grammar = json!({"type": "grammar", "syntax": "lark", "definition": "start: /x/"});
    let request = read(json!({
        "instructions": "You are a coder.",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
            {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin Patch"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "Done!"},
        ],
        "tools": [
            {"type": "function", "name": "exec_command", "strict": false, "parameters": {"type": "object"}},
            {"type": "custom", "name": "apply_patch", "format": grammar},
            {"type": "web_search", "external_web_access": true},
            {"type": "shell", "environment": {"type": "container_auto"}},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": true,
        "reasoning": {"effort": "high", "summary": "auto"},
        "store": false,
        "stream": true,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
        "text": {"verbosity": "low"},
        "client_metadata": {"x": "y"},
    }))
    .unwrap();
    assert_eq!((request.facts.tools, request.facts.server_tools, request.stream), (2, 2, true));
    assert_eq!(request.sampling.logprobs, None);
}

#[test]
fn log_probabilities_are_asked_for_in_either_way() {
    for (more, logprobs, top) in [
        (json!({"top_logprobs": 2}), Some(true), Some(2)),
        (json!({"top_logprobs": 0}), None, None),
        (json!({"include": ["message.output_text.logprobs"]}), Some(true), None),
    ] {
        let sampling = read(more).unwrap().sampling;
        assert_eq!((sampling.logprobs, sampling.top_logprobs), (logprobs, top));
    }
}
