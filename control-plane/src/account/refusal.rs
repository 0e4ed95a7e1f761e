//! Why a forwarded call failed, in the envelope of the client API.

use serde_json::{Value, json};
use switchyard_proto::code::ErrorCode;

use crate::{auth::AuthError, domain::invalid::Invalid, error::ServiceError, store::StoreError};

/// An error for the caller.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
    /// The parameter or member at fault.
    pub field: Option<String>,
}

impl Refusal {
    pub const NO_KEY: Self = Self { code: ErrorCode::Authentication, message: String::new(), field: None };

    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    /// A parameter or member cannot be taken; `reason` follows its name in a sentence.
    pub fn invalid(field: &str, reason: &str) -> Self {
        Self::new(ErrorCode::InvalidRequest, format!("`{field}` {reason}.")).field(field)
    }

    pub fn no_generation(id: &str) -> Self {
        let shown: String = id.chars().take(80).collect();
        Self::new(ErrorCode::NotFound, format!("Generation {shown} not found"))
    }

    pub fn no_key() -> Self {
        Self::new(ErrorCode::NotFound, "API key not found")
    }

    #[must_use]
    pub fn field(self, field: &str) -> Self {
        Self { field: Some(field.to_owned()), ..self }
    }

    /// The envelope of the client API.
    pub fn body(&self) -> Value {
        let message = if self.message.is_empty() { "The API key does not exist." } else { &self.message };
        let mut metadata = json!({"error_type": self.code.error_type()});
        if let Some(field) = &self.field {
            metadata["field"] = field.as_str().into();
        }
        json!({"error": {"code": self.code.status().as_u16(), "message": message, "metadata": metadata}})
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing | AuthError::Invalid => Self::NO_KEY,
            AuthError::Disabled => Self::new(ErrorCode::PermissionDenied, "This API key is disabled."),
            AuthError::Expired => Self::new(ErrorCode::PermissionDenied, "This API key has expired."),
            AuthError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Raced(_) => {
                Self::new(ErrorCode::StoreUnavailable, "Accounts are out of reach; try again.")
            }
            StoreError::NotFound => Self::new(ErrorCode::NotFound, "Not found"),
            error => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "a forwarded call failed");
                Self::new(ErrorCode::Server, "Internal Server Error")
            }
        }
    }
}

/// Use cases name members as the admin API does: `key.name` is `name` here.
impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        if error.code == ErrorCode::Server {
            let cause = error.source.as_ref().map(ToString::to_string);
            tracing::error!(%error, cause, "a forwarded call failed");
            return Self::new(ErrorCode::Server, "Internal Server Error");
        }
        let own = |text: &str| text.strip_prefix("key.").unwrap_or(text).to_owned();
        Self { code: error.code, message: own(&error.public), field: error.field.as_deref().map(own) }
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(&invalid.field, &invalid.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_envelope_of_the_client_api() {
        let refusal = Refusal::from(AuthError::Invalid);
        assert_eq!(
            refusal.body(),
            json!({"error": {"code": 401, "message": "The API key does not exist.", "metadata": {"error_type": "authentication"}}})
        );
        let lost = Refusal::from(StoreError::Unavailable(sqlx::Error::PoolTimedOut));
        assert_eq!((lost.code.status().as_u16(), lost.code), (503, ErrorCode::StoreUnavailable));
        let named = Refusal::from(ServiceError::invalid("key.name", "is required"));
        assert_eq!(
            named.body(),
            json!({"error": {"code": 400, "message": "name is required", "metadata": {"error_type": "invalid_request", "field": "name"}}})
        );
        let masked = Refusal::from(ServiceError::internal("postgres://user:canary@host"));
        assert!(!masked.body().to_string().contains("canary"));
    }
}
