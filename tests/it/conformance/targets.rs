//! The endpoints that requests are written for: per adapter a model and what its row says, since one dialect is
//! spoken to models of different habits.

use switchyard_control_plane::catalogue;
use switchyard_data_plane::adapters::{Adapter, Quirks};

/// A model as a provider row describes it.
#[derive(Debug)]
pub struct Endpoint {
    pub model: &'static str,
    pub quirks: Quirks,
}

/// Adapter, model, and the quirks that its row sets.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// The first row of an adapter makes its goldens.
const ROWS: &[Row] = &[
    ("openai", "gpt-5.1", &[]),
    (
        "openai",
        "compatible-model",
        &[
            ("max_tokens_field", "max_tokens"),
            ("developer_role", "false"),
            ("stream_options", "false"),
            ("reasoning_style", "thinking_type"),
            ("replay_reasoning", "reasoning_content"),
        ],
    ),
    (
        "openai",
        "openrouter/model",
        &[
            ("router_fields", "true"),
            ("reasoning_style", "object"),
            ("replay_reasoning", "leave"),
            ("cache_marks", "keep"),
        ],
    ),
    ("openai_responses", "gpt-5.1", &[]),
    ("openai_responses", "gpt-6-sol", &[("cache_marks", "breakpoint"), ("reasoning_summaries", "false")]),
    ("azure", "gpt-5.1", &[]),
    ("azure", "gpt-4o", &[("api_version", "2024-10-21")]),
    ("anthropic", "claude-sonnet-4-5", &[]),
    ("anthropic", "claude-opus-5.5", &[]),
    ("anthropic", "claude-haiku-4-5", &[("claude_host", "vertex")]),
    (
        "bedrock",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        &[
            ("model_fields", "claude"),
            ("cache_marks", "keep"),
            ("thinking", "budget"),
            ("output_format", "true"),
        ],
    ),
    ("bedrock", "us.amazon.nova-2-lite-v1:0", &[("model_fields", "nova"), ("cache_marks", "keep")]),
    ("bedrock", "mistral.mistral-large-2402-v1:0", &[("short_call_ids", "true"), ("forced_tools", "false")]),
    ("gemini", "gemini-3-flash-preview", &[]),
    ("gemini", "gemini-2.5-flash", &[]),
    ("gemini", "gemma-3-27b-it", &[]),
    ("vertex", "gemini-3-flash-preview", &[]),
    ("vertex", "gemini-2.5-pro", &[]),
    ("mistral", "mistral-medium-latest", &[]),
    ("mistral", "magistral-medium-latest", &[("reasoning_style", "prompt_mode")]),
    ("cohere", "command-a-03-2025", &[]),
    ("cohere", "command-a-reasoning-08-2025", &[]),
    ("ollama", "qwen3:8b", &[]),
];

/// The endpoints of an adapter; one at least.
///
/// # Errors
/// A row sets a quirk that there is not.
pub fn endpoints(adapter: &dyn Adapter) -> Result<Vec<Endpoint>, String> {
    let own = ROWS.iter().filter(|(name, ..)| *name == adapter.name());
    let rows: Vec<_> = own.map(|(_, model, quirks)| (*model, *quirks)).collect();
    let rows = if rows.is_empty() { vec![("a-model", &[][..])] } else { rows };
    rows.into_iter().map(|(model, set)| endpoint(adapter, model, set)).collect()
}

fn endpoint(adapter: &dyn Adapter, model: &'static str, set: &[(&str, &str)]) -> Result<Endpoint, String> {
    let mut quirks = adapter.quirks();
    for (name, value) in catalogue::facts(model).quirks {
        quirks.set(&name, &value).map_err(|unknown| format!("{model}: {unknown}"))?;
    }
    for (name, value) in set {
        quirks.set(name, value).map_err(|unknown| format!("{}, {model}: {unknown}", adapter.name()))?;
    }
    Ok(Endpoint { model, quirks })
}
