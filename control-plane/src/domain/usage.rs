//! Usage as people read it: generations and ledger lines.
//!
//! Booking them is `money`'s business.

use chrono::{DateTime, Utc};
use switchyard_proto::{
    id::{GenerationId, KeyId, ModelId, TenantId},
    price::Parts,
};

use crate::domain::{meta::Revision, report::CreditKind};

/// Tokens in the normal form: totals include their parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    pub prompt: u64,
    pub cached: u64,
    pub cache_write: u64,
    pub cache_write_1h: u64,
    pub completion: u64,
    pub reasoning: u64,
    pub audio_prompt: u64,
    pub images: u64,
    pub audio_completion: u64,
    pub image_completion: u64,
    pub searches: u64,
}

/// One finished request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub id: GenerationId,
    pub tenant: String,
    pub key: String,
    pub requested_model: String,
    pub model: String,
    pub provider: String,
    pub surface: String,
    pub streamed: bool,
    pub cancelled: bool,
    pub status: u32,
    pub error_type: String,
    pub finish_reason: String,
    pub native_finish_reason: String,
    pub tokens: Tokens,
    pub cost_nano: i64,
    pub charge_nano: i64,
    pub attempts: u32,
    pub admitted_at: DateTime<Utc>,
    pub first_content_ms: u64,
    pub duration_ms: u64,
    pub instance: String,
    pub region: String,
    pub config_revision: Revision,
    pub user: String,
    pub trace_id: String,
    /// JSON; empty in lists, and where none was kept.
    pub decision: String,
}

/// One ledger line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub id: GenerationId,
    pub attempt: u32,
    /// `attempt`, `credit`, `presumed`, `house`.
    pub kind: String,
    pub tenant: String,
    pub key: String,
    pub payer_kind: i16,
    pub payer_owner: String,
    pub payer_period: String,
    pub model: String,
    pub endpoint: String,
    pub provider: String,
    pub tokens: Tokens,
    pub cost_nano: i64,
    /// Negative for credits granted.
    pub charge_nano: i64,
    pub house_nano: i64,
    pub reserved_nano: i64,
    /// `Provenance` of the wire.
    pub provenance: i32,
    pub outcome: String,
    pub at: DateTime<Utc>,
    pub price_revision: Revision,
    pub price: Parts,
    pub markup_ppm: u64,
    /// Empty: the tenant pays the cost with the mark-up.
    pub tenant_price: Parts,
    pub instance: String,
    pub epoch: u64,
    pub reason: String,
    pub actor: String,
    /// Of a credit line.
    pub credit: Option<CreditKind>,
}

/// Which generations or lines are wanted; all of them where a part is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub tenant: Option<TenantId>,
    pub key: Option<KeyId>,
    pub model: Option<ModelId>,
    pub generation: Option<GenerationId>,
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
}
