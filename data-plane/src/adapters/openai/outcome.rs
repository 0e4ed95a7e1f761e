//! Outcomes that are told beside the answer, whatever the status says.

use serde_json::Value;

use crate::adapters::failure::{Failure, FailureClass, says_context_length};

/// Classifies the outcome that some tell in `base_resp` beside a success status; None where it is a success.
pub fn refused(outcome: &str) -> Option<Failure> {
    let outcome: Value = serde_json::from_str(outcome).unwrap_or_default();
    let code = outcome.get("status_code").and_then(Value::as_i64).filter(|code| *code != 0)?;
    let class = match code {
        1001 => FailureClass::Timeout,
        1002 | 1039 | 1041 | 2056 => FailureClass::RateLimited,
        1004 | 2049 => FailureClass::Auth,
        1008 => FailureClass::Payment,
        1026 | 1027 => FailureClass::ContentFiltered,
        2013 => FailureClass::InvalidRequest,
        _ => FailureClass::Server,
    };
    let said = outcome.get("status_msg").and_then(Value::as_str).unwrap_or_default();
    let class = if says_context_length(&said.to_lowercase()) { FailureClass::ContextLength } else { class };
    Some(Failure::reported(class, said, Some(code.to_string())))
}
