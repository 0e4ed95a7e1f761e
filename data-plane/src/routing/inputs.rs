//! Everything that a plan is made from besides the snapshot, borrowed from the request.
//!
//! [`super::record`] keeps it for later, so that a plan can be made again.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use switchyard_proto::id::{EndpointId, ModelId};
use switchyard_proto::policy::RequestFacts;
use switchyard_proto::price::Prices;

use crate::config::snapshot::{Endpoint, TenantCredential};
use crate::identity::Caller;
use crate::model::facts::{Facts, Media};
use crate::model::message::ToolChoice;
use crate::model::preferences::Preferences;
use crate::model::request::{ChatRequest, Effort, ResponseFormat};
use crate::price;
use crate::routing::health::Reading;

/// What decides where one request goes.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    pub caller: &'a Caller,
    /// As asked for, suffixes included.
    pub model: Option<&'a str>,
    pub fallback_models: &'a [String],
    pub preferences: &'a Preferences,
    /// Measurements of the prompt, and which parameters were sent.
    pub facts: &'a Facts,
    /// The caller's cap on output tokens.
    pub max_output_tokens: Option<u64>,
    /// Answers asked for.
    pub n: u32,
    pub stream: bool,
    pub tools: ToolDemand,
    /// `auto`, `none`, `required` or a function's name; empty: not said.
    pub tool_choice: &'a str,
    pub format: FormatDemand,
    /// Whether thinking was asked for, by level or by budget.
    pub reasoning: bool,
    pub effort: Option<Effort>,
    /// Output kinds asked for; empty means text.
    pub output_modalities: &'a [String],
    pub service_tier: Option<&'a str>,
    pub user: Option<&'a str>,
    pub session: Option<&'a str>,
    /// The caller's own word for how urgent the request is.
    pub priority: Option<&'a str>,
    /// Request headers that policies may ask for, names in lower case.
    pub headers: &'a [(String, String)],
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// Share of the tightest budget that is left, 0 to 1; absent: no budget.
    pub budget_left: Option<f64>,
    /// Where the conversation's prompt is cached.
    pub sticky: Option<&'a Sticky>,
    /// Decides random choices.
    pub seed: u64,
    /// The health of an endpoint.
    pub reading: &'a (dyn Fn(&Endpoint) -> Reading + Sync),
    /// Whether a tenant's own credential is taken, as far as is known.
    pub usable: &'a (dyn Fn(&TenantCredential) -> bool + Sync),
}

/// Whether tools are to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolDemand {
    #[default]
    None,
    /// The model may.
    Offered,
    /// The model must.
    Forced,
}

/// How the answer's text must look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FormatDemand {
    #[default]
    Text,
    /// Any JSON object.
    Json,
    /// JSON of a schema.
    Schema,
    /// A grammar or the like.
    Other,
}

/// The endpoint whose cache holds a conversation's prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sticky {
    pub model: ModelId,
    pub endpoint: EndpointId,
}

impl<'a> Inputs<'a> {
    /// The inputs of a chat request. What the request does not say (time, budget, headers, cache) is to be added.
    pub fn of(
        caller: &'a Caller,
        request: &'a ChatRequest,
        seed: u64,
        reading: &'a (dyn Fn(&Endpoint) -> Reading + Sync),
    ) -> Self {
        Self {
            caller,
            model: request.model.as_deref(),
            fallback_models: &request.fallback_models,
            preferences: &request.provider,
            facts: &request.facts,
            max_output_tokens: request.max_output_tokens,
            n: request.n,
            stream: request.stream,
            tools: ToolDemand::of(request),
            tool_choice: tool_choice(request.tool_choice.as_ref()),
            format: FormatDemand::of(request.response_format.as_ref()),
            reasoning: reasons(request),
            effort: request.reasoning.level(),
            output_modalities: &request.modalities,
            service_tier: request.service_tier.as_deref(),
            user: request.user.as_deref(),
            session: request.session_id.as_deref(),
            priority: None,
            headers: &[],
            now_ms: 0,
            budget_left: None,
            sticky: None,
            seed,
            reading,
            usable: &|_| true,
        }
    }

    /// The names asked for, in order.
    pub fn models(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.model.into_iter().chain(self.fallback_models.iter().map(String::as_str))
    }

    /// When the plan is made.
    pub fn now(&self) -> DateTime<Utc> {
        i64::try_from(self.now_ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default()
    }

    /// The prices of an endpoint for this request, as far as its prompt's length is known.
    pub fn prices(&self, endpoint: &Endpoint) -> Prices {
        endpoint.tariff.at_ms(self.now_ms).prices(price::prompt_estimate(self.facts))
    }

    /// What a policy's conditions are about.
    pub fn facts(&self) -> RequestFacts<'a> {
        let media = self.facts.modalities().map(Media::name);
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        RequestFacts {
            model: self.models().next().unwrap_or_default(),
            models: self.models().collect(),
            priority: self.priority.unwrap_or_default(),
            prompt_tokens: price::prompt_estimate(self.facts),
            max_tokens: self.max_output_tokens.unwrap_or_default(),
            modalities: std::iter::once("text").chain(media).collect(),
            tools: self.facts.tools.into(),
            tool_choice: self.tool_choice,
            stream: self.stream,
            user: self.user.unwrap_or_default(),
            session: self.session.unwrap_or_default(),
            reasoning: self.effort.map(Effort::as_str).unwrap_or_default(),
            json: matches!(self.format, FormatDemand::Json | FormatDemand::Schema),
            headers: headers.collect(),
            tenant_id: self.caller.tenant.id.as_str(),
            key_id: self.caller.key.id.as_str(),
            key_name: &self.caller.key.config.name,
            now: self.now(),
            budget_left: self.budget_left.unwrap_or(1.0),
        }
    }
}

impl ToolDemand {
    fn of(request: &ChatRequest) -> Self {
        let forced = match &request.tool_choice {
            Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Custom(_)) => true,
            Some(ToolChoice::Allowed { required, .. }) => *required,
            None | Some(ToolChoice::None | ToolChoice::Auto) => false,
        };
        match (request.facts.tools > 0, forced) {
            (_, true) => Self::Forced,
            (true, false) => Self::Offered,
            (false, false) => Self::None,
        }
    }
}

impl FormatDemand {
    fn of(format: Option<&ResponseFormat>) -> Self {
        match format {
            None | Some(ResponseFormat::Text) => Self::Text,
            Some(ResponseFormat::JsonObject) => Self::Json,
            Some(ResponseFormat::JsonSchema { .. }) => Self::Schema,
            Some(ResponseFormat::Other { .. }) => Self::Other,
        }
    }
}

fn tool_choice(choice: Option<&ToolChoice>) -> &str {
    match choice {
        None => "",
        Some(ToolChoice::None) => "none",
        Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => "auto",
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => "required",
        Some(ToolChoice::Named(name) | ToolChoice::Custom(name)) => name,
    }
}

fn reasons(request: &ChatRequest) -> bool {
    let wish = &request.reasoning;
    wish.max_tokens.is_some() || wish.level().is_some_and(|level| level != Effort::None)
}
