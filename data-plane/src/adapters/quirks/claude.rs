//! Where models are hosted and what their own request members are, beside the dialect's.

/// Hosts of the Anthropic dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaudeHost {
    /// `POST /messages`, the model in the body, the version in a header.
    Api,
    /// Google's `rawPredict`: the model in the path, the version in the body.
    Vertex,
}

/// A row's word for the host.
pub fn claude_host(value: &str) -> Option<ClaudeHost> {
    Some(match value {
        "api" => ClaudeHost::Api,
        "vertex" => ClaudeHost::Vertex,
        _ => return None,
    })
}

/// Whose words `additionalModelRequestFields` speaks in the Converse dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelFields {
    /// Nobody's: what Converse itself has no word for stays behind.
    Absent,
    /// Anthropic's: `thinking`, `output_config`, `top_k`, `tool_choice`.
    Claude,
    /// Amazon's: `reasoningConfig`, `inferenceConfig.topK`.
    Nova,
    /// OpenAI's: `reasoning_effort`, or `reasoning` by the row's `reasoning_style`.
    OpenAi,
}

/// A row's word for the owner of the words.
pub fn model_fields(value: &str) -> Option<ModelFields> {
    Some(match value {
        "absent" => ModelFields::Absent,
        "claude" => ModelFields::Claude,
        "nova" => ModelFields::Nova,
        "openai" => ModelFields::OpenAi,
        _ => return None,
    })
}
