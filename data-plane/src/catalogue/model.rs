//! One model as it is printed: OpenRouter's object, with what OpenAI's and Anthropic's clients look for beside.

use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use crate::catalogue::{Seen, Viewer, pricing};

/// A model. Members that are not known and may be missing are left out; those that clients insist on are null.
pub fn describe(viewer: &Viewer<'_>, seen: &Seen<'_>) -> Map<String, Value> {
    let (config, id) = (&seen.model.config, seen.model.id.as_str());
    let top = seen.top(viewer);
    let author = id.split('/').next().unwrap_or_default();
    let created_at = DateTime::from_timestamp(seen.created(), 0).unwrap_or_default();
    let fields = json!({
        "id": id,
        "object": "model",
        "owned_by": author,
        "type": "model",
        "display_name": seen.name(),
        "created_at": created_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "canonical_slug": id,
        "hugging_face_id": null,
        "name": seen.name(),
        "created": seen.created(),
        "description": config.description,
        "context_length": seen.context_length(),
        "architecture": architecture(seen),
        "pricing": pricing::describe(viewer, top),
        "top_provider": {
            "context_length": top.context_length(),
            "max_completion_tokens": Some(top.config.max_output_tokens).filter(|most| *most > 0),
            "is_moderated": false,
        },
        "per_request_limits": null,
        "supported_parameters": seen.parameters(),
        "default_parameters": {},
        "supported_voices": null,
        "knowledge_cutoff": null,
        "expiration_date": null,
        "links": {"details": format!("/api/v1/models/{id}/endpoints")},
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// What goes in and what comes out.
pub fn architecture(seen: &Seen<'_>) -> Value {
    let (input, output) = (seen.inputs(), seen.outputs());
    let tokenizer = seen.model.config.tokenizer.as_str();
    json!({
        "modality": format!("{}->{}", input.join("+"), output.join("+")),
        "input_modalities": input,
        "output_modalities": output,
        "tokenizer": if tokenizer.is_empty() { "Other" } else { tokenizer },
        "instruct_type": null,
    })
}
