//! Ledger lines and finished requests as they are booked: plain values with the names of the store's columns.
//!
//! Reading them off the wire is `money::record`'s business, moving their money [`booking`](crate::domain::booking)'s.

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::domain::account::{AccountKind, WHOLE_LIFE};

/// An account in one of its periods: the row that money is moved on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AccountPeriod {
    #[serde(serialize_with = "as_number")]
    pub kind: AccountKind,
    /// Tenant, key, user or credential; empty for the house.
    pub owner: String,
    pub period: String,
}

impl AccountPeriod {
    /// The operator's own account.
    pub fn house() -> Self {
        Self { kind: AccountKind::House, owner: String::new(), period: WHOLE_LIFE.to_owned() }
    }
}

fn as_number<S: Serializer>(kind: &AccountKind, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_i16(*kind as i16)
}

/// The kind with this number on the wire and in the store.
pub fn kind_from_number(number: i32) -> Option<AccountKind> {
    use AccountKind::{
        ByokUsage, CredentialBudget, House, KeyLimit, TenantBudget, TenantCredits, UserBudget,
    };
    [TenantCredits, TenantBudget, KeyLimit, UserBudget, CredentialBudget, House, ByokUsage]
        .into_iter()
        .find(|kind| i32::from(*kind as i16) == number)
}

/// What one line moves on one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Charge {
    #[serde(flatten)]
    pub account: AccountPeriod,
    /// Negative only where a house line takes over what the account cannot cover.
    pub charged: i64,
    pub reserved: i64,
    /// False where the account had no limit and nothing was lent.
    pub leased: bool,
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    Attempt,
    Presumed,
    House,
}

impl LineKind {
    /// The name that the store keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Presumed => "presumed",
            Self::House => "house",
        }
    }
}

/// Tokens in the normal form: totals include their parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tokens {
    pub prompt_tokens: i64,
    pub cached_tokens: i64,
    pub cache_write_tokens: i64,
    pub cache_write_1h_tokens: i64,
    pub completion_tokens: i64,
    pub reasoning_tokens: i64,
    pub audio_prompt_tokens: i64,
    pub images: i64,
    pub audio_completion_tokens: i64,
    pub image_completion_tokens: i64,
    pub searches: i64,
}

/// One ledger line: a row of `lines`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// An attempt's is its generation's; its time picks the partition.
    pub id: Uuid,
    /// From 1 for attempts, else 0.
    pub attempt: i32,
    pub kind: LineKind,
    pub booked_at: DateTime<Utc>,
    pub tenant: String,
    pub key: String,
    /// 0 where nobody pays.
    pub payer_kind: i16,
    pub payer_owner: String,
    pub payer_period: String,
    pub charges: Vec<Charge>,
    pub model: String,
    pub endpoint: String,
    pub provider: String,
    pub credential: String,
    #[serde(flatten)]
    pub tokens: Tokens,
    pub cost_nano: i64,
    pub charge_nano: i64,
    pub house_nano: i64,
    pub reserved_nano: i64,
    pub markup_ppm: i64,
    pub provenance: i16,
    pub price_incarnation: String,
    pub price_revision: i64,
    pub price: serde_json::Value,
    /// Empty: the tenant pays the cost with the mark-up.
    pub tenant_price: serde_json::Value,
    pub outcome: String,
    pub upstream_status: i32,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub instance: String,
    pub epoch: i64,
    pub reason: String,
    pub actor: String,
}

impl Line {
    /// A line with an id of its own that only moves money; the caller fills in what it is about.
    pub fn movement(kind: LineKind, payer: &AccountPeriod, amount: i64, at: DateTime<Utc>) -> Self {
        Self {
            id: Uuid::now_v7(),
            attempt: 0,
            kind,
            booked_at: at,
            tenant: String::new(),
            key: String::new(),
            payer_kind: payer.kind as i16,
            payer_owner: payer.owner.clone(),
            payer_period: payer.period.clone(),
            charges: Vec::new(),
            model: String::new(),
            endpoint: String::new(),
            provider: String::new(),
            credential: String::new(),
            tokens: Tokens::default(),
            cost_nano: 0,
            charge_nano: amount,
            house_nano: 0,
            reserved_nano: 0,
            markup_ppm: 0,
            provenance: 0,
            price_incarnation: String::new(),
            price_revision: 0,
            price: serde_json::json!({}),
            tenant_price: serde_json::json!({}),
            outcome: String::new(),
            upstream_status: 0,
            started_at: None,
            ended_at: None,
            instance: String::new(),
            epoch: 0,
            reason: String::new(),
            actor: String::new(),
        }
    }
}

/// One finished request: a row of `generations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Generation {
    pub id: Uuid,
    pub booked_at: DateTime<Utc>,
    pub instance: String,
    pub region: String,
    pub tenant: String,
    pub key: String,
    pub requested_model: String,
    pub model: String,
    pub provider: String,
    pub upstream_id: String,
    pub surface: String,
    pub streamed: bool,
    pub cancelled: bool,
    pub status: i32,
    pub error_type: String,
    pub finish_reason: String,
    pub native_finish_reason: String,
    #[serde(flatten)]
    pub tokens: Tokens,
    pub cost_nano: i64,
    pub charge_nano: i64,
    pub attempts: i32,
    pub admitted_at: DateTime<Utc>,
    pub first_content_ms: i64,
    pub duration_ms: i64,
    pub config_incarnation: String,
    pub config_revision: i64,
    pub user_id: String,
    pub session_id: String,
    pub app_title: String,
    pub app_url: String,
    pub user_agent: String,
    pub trace_id: String,
    pub preset: String,
    /// The generation whose answer was given again.
    pub cache_source: String,
    pub decision: String,
}
