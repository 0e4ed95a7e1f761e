//! Routing policies as people write them in a file, to the admin API's messages and back.

mod preferences;

use serde::{Deserialize, Deserializer, Serialize};
use switchyard_proto::v1;

pub use self::preferences::{MaxPrice, Preferences};

/// Routing rules: called as `policy/ID`, or applied to what they match.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub id: String,
    /// By default the operator's, for all tenants.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tenant: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub disabled: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub r#match: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub sticky_by: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub deadlines: Deadlines,
    pub stages: Vec<Stage>,
}

/// What is tried before the next stage is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    #[serde(default, skip_serializing_if = "is_default")]
    pub name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub when: String,
    pub models: Vec<Model>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub provider: Preferences,
    #[serde(default, skip_serializing_if = "is_default")]
    pub escalate_on: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub check: String,
    /// JSON as text, or written out.
    #[serde(default, deserialize_with = "json", skip_serializing_if = "is_default")]
    pub schema: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub deadlines: Deadlines,
    #[serde(default, skip_serializing_if = "is_default")]
    pub hedge: Hedge,
    #[serde(default, skip_serializing_if = "is_default")]
    pub retries: Option<u32>,
}

/// A model by its name, or with its share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a model is its name, or `model` and `weight`")]
pub enum Model {
    Name(String),
    Weighted(Weighted),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weighted {
    pub model: String,
    #[serde(default)]
    pub weight: u32,
}

/// Deadlines of one attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    #[serde(skip_serializing_if = "is_default")]
    pub connect_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub headers_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub first_content_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub idle_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub total_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub min_tokens_per_second: Option<u32>,
}

/// A second candidate beside a slow first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hedge {
    #[serde(skip_serializing_if = "is_default")]
    pub quantile_permille: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub max_rate_permille: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub max_usd: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A text as it is, anything else as compact JSON.
fn json<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(match serde_json::Value::deserialize(from)? {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    })
}

impl Policy {
    /// As the control plane takes it.
    pub fn to_proto(&self) -> v1::Policy {
        v1::Policy {
            id: self.id.clone(),
            tenant: self.tenant.clone(),
            description: self.description.clone(),
            disabled: self.disabled,
            r#match: self.r#match.clone(),
            priority: self.priority,
            stages: self.stages.iter().map(Stage::to_proto).collect(),
            sticky_by: self.sticky_by.clone(),
            deadlines: self.deadlines.to_proto(),
            ..v1::Policy::default()
        }
    }

    /// From the control plane's answer.
    pub fn of_proto(policy: v1::Policy) -> Self {
        Self {
            id: policy.id,
            tenant: policy.tenant,
            description: policy.description,
            disabled: policy.disabled,
            r#match: policy.r#match,
            priority: policy.priority,
            sticky_by: policy.sticky_by,
            deadlines: Deadlines::of_proto(policy.deadlines),
            stages: policy.stages.into_iter().map(Stage::of_proto).collect(),
        }
    }
}

impl Stage {
    fn to_proto(&self) -> v1::PolicyStage {
        v1::PolicyStage {
            name: self.name.clone(),
            when: self.when.clone(),
            models: self.models.iter().map(Model::to_proto).collect(),
            provider: (!is_default(&self.provider)).then(|| self.provider.to_proto()),
            escalate_on: self.escalate_on.clone(),
            check: self.check.clone(),
            schema: self.schema.clone(),
            deadlines: self.deadlines.to_proto(),
            hedge: (!is_default(&self.hedge)).then_some(v1::Hedge {
                quantile_permille: self.hedge.quantile_permille,
                max_rate_permille: self.hedge.max_rate_permille,
                max_usd: self.hedge.max_usd.clone(),
            }),
            retries: self.retries,
        }
    }

    fn of_proto(stage: v1::PolicyStage) -> Self {
        let hedge = stage.hedge.unwrap_or_default();
        Self {
            name: stage.name,
            when: stage.when,
            models: stage.models.into_iter().map(Model::of_proto).collect(),
            provider: stage.provider.map(Preferences::of_proto).unwrap_or_default(),
            escalate_on: stage.escalate_on,
            check: stage.check,
            schema: stage.schema,
            deadlines: Deadlines::of_proto(stage.deadlines),
            hedge: Hedge {
                quantile_permille: hedge.quantile_permille,
                max_rate_permille: hedge.max_rate_permille,
                max_usd: hedge.max_usd,
            },
            retries: stage.retries,
        }
    }
}

impl Model {
    fn to_proto(&self) -> v1::WeightedModel {
        match self {
            Self::Name(model) => v1::WeightedModel { model: model.clone(), weight: 0 },
            Self::Weighted(row) => v1::WeightedModel { model: row.model.clone(), weight: row.weight },
        }
    }

    fn of_proto(row: v1::WeightedModel) -> Self {
        match row.weight {
            0 => Self::Name(row.model),
            weight => Self::Weighted(Weighted { model: row.model, weight }),
        }
    }
}

impl Deadlines {
    fn to_proto(self) -> Option<v1::Deadlines> {
        (!is_default(&self)).then_some(v1::Deadlines {
            connect_ms: self.connect_ms,
            headers_ms: self.headers_ms,
            first_content_ms: self.first_content_ms,
            idle_ms: self.idle_ms,
            total_ms: self.total_ms,
            min_tokens_per_second: self.min_tokens_per_second,
        })
    }

    fn of_proto(deadlines: Option<v1::Deadlines>) -> Self {
        let deadlines = deadlines.unwrap_or_default();
        Self {
            connect_ms: deadlines.connect_ms,
            headers_ms: deadlines.headers_ms,
            first_content_ms: deadlines.first_content_ms,
            idle_ms: deadlines.idle_ms,
            total_ms: deadlines.total_ms,
            min_tokens_per_second: deadlines.min_tokens_per_second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
id: cheap-then-strong
tenant: acme
match: request.priority == 'low'
priority: 10
sticky_by: user
deadlines: {total_ms: 60000}
stages:
  - name: cheap
    models: [{model: a/b, weight: 95}, {model: a/c, weight: 5}]
    escalate_on: [error, invalid_json]
    check: size(answer.text) > 0
    schema: {type: object, required: [x]}
    provider: {only: [openai], max_price: {prompt: "1.5", audio: "2"}, zdr: true, sort: exacto}
    hedge: {quantile_permille: 950, max_rate_permille: 50}
    retries: 0
  - models: [d/e]
    provider:
      sort: {by: throughput, partition: none}
      preferred_min_throughput: 50
      preferred_max_latency: {p90: 2.5, p50: 1}
      enforce_distillable_text: true
"#;

    #[test]
    fn a_policy_survives_the_way_there_and_back() {
        let policy: Policy = serde_yaml_ng::from_str(POLICY).unwrap();
        let message = policy.to_proto();
        let weights: Vec<u32> = message.stages[0].models.iter().map(|row| row.weight).collect();
        assert_eq!(weights, [95, 5]);
        assert_eq!(message.stages[0].schema, r#"{"type":"object","required":["x"]}"#);
        assert_eq!(message.stages[1].models[0].model, "d/e");
        let [first, second] = [0, 1].map(|stage: usize| message.stages[stage].provider.clone().unwrap());
        assert_eq!((first.sort.as_str(), first.partition.as_str()), ("exacto", ""));
        assert_eq!((second.sort.as_str(), second.partition.as_str()), ("throughput", "none"));
        assert_eq!(second.preferred_min_throughput.unwrap().p50, Some(50.0));
        assert_eq!(second.preferred_max_latency.unwrap().p90, Some(2.5));
        let back = Policy::of_proto(message.clone());
        let yaml = serde_yaml_ng::to_string(&back).unwrap();
        let again: Policy = serde_yaml_ng::from_str(&yaml).unwrap();
        assert_eq!(again.to_proto(), message, "{yaml}");
        assert!(yaml.contains("- d/e") && !yaml.contains("null"), "{yaml}");
    }

    #[test]
    fn unknown_fields_are_refused() {
        for (from, to) in [
            ("sticky_by:", "stick_by:"),
            ("weight: 95", "wieght: 95"),
            ("zdr:", "zrd:"),
            ("partition:", "part:"),
            ("p90:", "p91:"),
        ] {
            assert!(serde_yaml_ng::from_str::<Policy>(&POLICY.replace(from, to)).is_err(), "{to}");
        }
    }
}
