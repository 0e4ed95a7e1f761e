//! The one table of error codes: what each is called, and which HTTP and gRPC status it has.
//!
//! The names are OpenRouter's `error_type` vocabulary plus our own, which say more than it has words for.

use http::StatusCode;
use tonic::Code;

/// Metadata key of a failed call of which it is certain that it changed nothing: money that was to be given back is kept.
pub const NOTHING_DONE: &str = "switchyard-nothing-done";

/// One row per code: variant, name on the wire, HTTP status, gRPC code, whether a caller may simply try again.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:ident, $grpc:ident, $retry:literal;)*) => {
        /// Why a call failed: a closed set, which doubles as a metric label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode { $($(#[$doc])* $variant,)* }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name on the wire: `error_type`, and the metric label.
            pub fn error_type(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The HTTP status of an answer that failed so.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// The gRPC code of a call that failed so.
            pub fn grpc(self) -> Code {
                match self { $(Self::$variant => Code::$grpc,)* }
            }

            /// Whether the same call may succeed a little later.
            pub fn is_retryable(self) -> bool {
                match self { $(Self::$variant => $retry,)* }
            }
        }
    };
}

codes! {
    /// Prompt and output cap do not fit the model's window.
    ContextLengthExceeded = "context_length_exceeded", BAD_REQUEST, InvalidArgument, false;
    MaxTokensExceeded = "max_tokens_exceeded", BAD_REQUEST, InvalidArgument, false;
    TokenLimitExceeded = "token_limit_exceeded", BAD_REQUEST, InvalidArgument, false;
    StringTooLong = "string_too_long", BAD_REQUEST, InvalidArgument, false;
    /// No key, or one that is confirmed not to exist.
    Authentication = "authentication", UNAUTHORIZED, Unauthenticated, false;
    PermissionDenied = "permission_denied", FORBIDDEN, PermissionDenied, false;
    /// Credits or a key's limit are spent.
    PaymentRequired = "payment_required", PAYMENT_REQUIRED, ResourceExhausted, false;
    /// A budget is spent that somebody else set for the caller.
    BudgetExceeded = "budget_exceeded", FORBIDDEN, ResourceExhausted, false;
    /// The caller's money was used up amid an answer; only ever told in a stream.
    BudgetExhausted = "budget_exhausted", PAYMENT_REQUIRED, ResourceExhausted, false;
    RateLimitExceeded = "rate_limit_exceeded", TOO_MANY_REQUESTS, ResourceExhausted, true;
    /// Provider or router has no room right now.
    ProviderOverloaded = "provider_overloaded", SERVICE_UNAVAILABLE, Unavailable, true;
    /// A provider failed, was cut off or sent something unreadable.
    ProviderUnavailable = "provider_unavailable", BAD_GATEWAY, Unavailable, true;
    InvalidRequest = "invalid_request", BAD_REQUEST, InvalidArgument, false;
    InvalidPrompt = "invalid_prompt", BAD_REQUEST, InvalidArgument, false;
    NotFound = "not_found", NOT_FOUND, NotFound, false;
    PreconditionFailed = "precondition_failed", PRECONDITION_FAILED, FailedPrecondition, false;
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, InvalidArgument, false;
    Unprocessable = "unprocessable", UNPROCESSABLE_ENTITY, InvalidArgument, false;
    ContentPolicyViolation = "content_policy_violation", BAD_REQUEST, InvalidArgument, false;
    Refusal = "refusal", BAD_REQUEST, InvalidArgument, false;
    InvalidImage = "invalid_image", BAD_REQUEST, InvalidArgument, false;
    ImageTooLarge = "image_too_large", BAD_REQUEST, InvalidArgument, false;
    ImageTooSmall = "image_too_small", BAD_REQUEST, InvalidArgument, false;
    UnsupportedImageFormat = "unsupported_image_format", BAD_REQUEST, InvalidArgument, false;
    ImageNotFound = "image_not_found", NOT_FOUND, NotFound, false;
    ImageDownloadFailed = "image_download_failed", BAD_REQUEST, InvalidArgument, false;
    /// A fault of ours; the message is masked.
    Server = "server", INTERNAL_SERVER_ERROR, Internal, true;
    Timeout = "timeout", GATEWAY_TIMEOUT, DeadlineExceeded, true;
    /// The caller did not send its request in time.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, DeadlineExceeded, true;
    Unmapped = "unmapped", INTERNAL_SERVER_ERROR, Unknown, false;
    /// A well-formed key that this instance has not heard of while it cannot ask.
    KeyUnknownHere = "key_unknown_here", SERVICE_UNAVAILABLE, Unavailable, true;
    /// Money cannot be borrowed while the control plane is out of reach.
    BudgetUnavailable = "budget_unavailable", SERVICE_UNAVAILABLE, Unavailable, true;
    /// The money is there, but lent to other instances.
    BudgetBusy = "budget_busy", SERVICE_UNAVAILABLE, Unavailable, true;
    /// The config is too old, or there is none yet.
    ConfigUnavailable = "config_unavailable", SERVICE_UNAVAILABLE, Unavailable, true;
    /// The journal cannot take another intent.
    JournalUnavailable = "journal_unavailable", SERVICE_UNAVAILABLE, Unavailable, true;
    /// Shed before any work was done.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, Unavailable, true;
    /// The process is stopping.
    Draining = "draining", SERVICE_UNAVAILABLE, Unavailable, true;
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, Unimplemented, false;
    NotSupported = "not_supported", NOT_IMPLEMENTED, Unimplemented, false;
    /// An admin change was based on a revision that is not the newest.
    Conflict = "conflict", CONFLICT, Aborted, false;
    AlreadyExists = "already_exists", CONFLICT, AlreadyExists, false;
    /// The control plane's database cannot be reached.
    StoreUnavailable = "store_unavailable", SERVICE_UNAVAILABLE, Unavailable, true;
}

impl ErrorCode {
    /// The code with this name.
    pub fn from_error_type(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.error_type() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_error_type(code.error_type()), Some(*code));
        }
    }

    #[test]
    fn infrastructure_faults_are_never_the_callers() {
        use ErrorCode::*;
        for code in [
            KeyUnknownHere,
            BudgetUnavailable,
            BudgetBusy,
            ConfigUnavailable,
            JournalUnavailable,
            Overloaded,
            Draining,
            StoreUnavailable,
        ] {
            assert!(code.status().is_server_error() && code.is_retryable(), "{code:?}");
        }
    }
}
