//! Errors as OpenRouter writes them: `{error: {code, message, metadata: {error_type, …}}}`.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::api::ErrorBody;

/// What says which filter left nobody to try.
const AVAILABILITY: &str = "availability";

/// The body of an error answer.
pub fn encode_error(error: &ErrorBody<'_>) -> Bytes {
    Bytes::from(error_json(error).to_string())
}

/// The same as JSON.
pub fn error_json(error: &ErrorBody<'_>) -> Value {
    let mut body = json!({ "error": error_object(error) });
    if let Some(routing) = error.routing {
        body["openrouter_metadata"] = routing.clone();
    }
    body
}

/// The `error` object, the same in bodies and in streams.
pub fn error_object(error: &ErrorBody<'_>) -> Value {
    let mut metadata = metadata(error);
    // OpenRouter has it beside the metadata.
    let availability = metadata.remove(AVAILABILITY);
    let mut object = json!({"code": error.status, "message": error.message, "metadata": metadata});
    if let Some(availability) = availability {
        object[AVAILABILITY] = availability;
    }
    object
}

fn metadata(error: &ErrorBody<'_>) -> Map<String, Value> {
    let mut metadata = Map::new();
    metadata.insert("error_type".to_owned(), error.code.error_type().into());
    if let Some(provider) = error.provider {
        metadata.insert("provider_name".to_owned(), provider.into());
    }
    if let Some(code) = error.provider_code.filter(|_| error.status != 500) {
        metadata.insert("provider_code".to_owned(), code.into());
    }
    if let Some(more) = error.metadata {
        metadata.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    metadata
}

#[cfg(test)]
mod tests {
    use switchyard_proto::code::ErrorCode;

    use super::*;

    #[test]
    fn an_error_has_a_number_a_message_and_its_type() {
        let error = ErrorBody {
            code: ErrorCode::RateLimitExceeded,
            status: 429,
            message: "slow \"down\"",
            provider: Some("Groq"),
            provider_code: Some("rate_limit_exceeded"),
            metadata: None,
            routing: None,
        };
        assert_eq!(
            encode_error(&error),
            r#"{"error":{"code":429,"message":"slow \"down\"","metadata":{"error_type":"rate_limit_exceeded","provider_name":"Groq","provider_code":"rate_limit_exceeded"}}}"#
        );
    }

    #[test]
    fn a_500_tells_no_provider_code_and_metadata_can_grow() {
        let more = Map::from_iter([("previous_errors".to_owned(), json!([]))]);
        let error = ErrorBody {
            code: ErrorCode::Server,
            status: 500,
            message: "internal error",
            provider: None,
            provider_code: Some("secret"),
            metadata: Some(&more),
            routing: None,
        };
        assert_eq!(
            encode_error(&error),
            r#"{"error":{"code":500,"message":"internal error","metadata":{"error_type":"server","previous_errors":[]}}}"#
        );
    }
}
