//! Wishes about thinking and sampling: in Converse's words where it has them, else in those of the model's maker.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::adapters::Target;
use crate::adapters::quirks::{ModelFields, Quirks, ReasoningStyle};
use crate::adapters::shared::claude::thinking::{self, Plan, Sampled};
use crate::adapters::shared::conversation::Conversation;
use crate::adapters::shared::wish;
use crate::model::parameter::Parameter;
use crate::model::request::{ChatRequest, Effort};

/// What a request asks of the model beside its words.
#[derive(Debug, Default)]
pub struct Fields {
    /// `inferenceConfig`.
    pub inference: Map<String, Value>,
    /// `additionalModelRequestFields`.
    pub additional: Map<String, Value>,
    /// Whether the model will think in a way that bears neither forced calls nor a text to be continued.
    pub thinks: bool,
}

/// Writes cap, stop sequences, sampling and thinking; `may_think` is false where a thinking budget would be refused.
pub fn fields(
    request: &ChatRequest,
    conversation: &Conversation<'_>,
    target: &Target<'_>,
    may_think: bool,
    dropped: &mut Vec<Cow<'static, str>>,
) -> Fields {
    let mut fields = Fields::default();
    let cap = target.output_cap.or(request.max_output_tokens);
    fields.cap(cap);
    match target.quirks.model_fields {
        ModelFields::Claude => {
            let plan =
                thinking::plan(request, target.quirks, claude_cap(cap, target.quirks), may_think, dropped);
            fields.claude(plan.unbound(target.quirks, conversation), cap, target.quirks);
            let sampled = thinking::sample(request, target, fields.thinks, dropped);
            fields.sample(ModelFields::Claude, sampled, dropped);
        }
        maker => {
            fields.reasoning(maker, wish::level(&request.reasoning, cap), target.quirks, dropped);
            fields.sample(maker, plain(request, target, dropped), dropped);
            dropped.extend(request.verbosity.as_ref().map(|_| "verbosity".into()));
        }
    }
    // Stop sequences of white space are refused.
    let stops: Vec<_> = request.stop.iter().filter(|stop| !stop.trim().is_empty()).cloned().collect();
    if stops.len() < request.stop.len() {
        dropped.push("stop".into());
    }
    if !stops.is_empty() {
        fields.inference.insert("stopSequences".to_owned(), stops.into());
    }
    fields
}

impl Fields {
    fn cap(&mut self, cap: Option<u64>) {
        self.inference.extend(cap.map(|cap| ("maxTokens".to_owned(), cap.max(1).into())));
    }

    fn claude(&mut self, plan: Plan, cap: Option<u64>, quirks: &Quirks) {
        self.thinks = plan.is_on;
        if plan.is_on {
            // A budget must stay below a cap that is known.
            self.cap(Some(claude_cap(cap, quirks)));
        }
        self.additional.extend(plan.thinking.map(|thinking| ("thinking".to_owned(), thinking)));
        if let Some(effort) = plan.effort {
            self.additional.insert("output_config".to_owned(), json!({ "effort": effort.as_str() }));
        }
    }

    fn reasoning(
        &mut self,
        maker: ModelFields,
        level: Option<Effort>,
        quirks: &Quirks,
        dropped: &mut Vec<Cow<'static, str>>,
    ) {
        let Some(level) = level else { return };
        let member = match maker {
            ModelFields::Nova => Some(("reasoningConfig", nova(level))),
            ModelFields::OpenAi => quirks.nearest_effort(level).map(|effort| match quirks.reasoning {
                ReasoningStyle::Object => ("reasoning", json!({ "effort": effort.as_str() })),
                _ => ("reasoning_effort", effort.as_str().into()),
            }),
            ModelFields::Absent | ModelFields::Claude => None,
        };
        match member {
            Some((name, value)) => drop(self.additional.insert(name.to_owned(), value)),
            None if level != Effort::None => dropped.push("reasoning".into()),
            None => {}
        }
    }

    fn sample(&mut self, maker: ModelFields, sampled: Sampled, dropped: &mut Vec<Cow<'static, str>>) {
        let Sampled { temperature, top_p, top_k } = sampled;
        self.inference.extend(temperature.map(|number| ("temperature".to_owned(), number.into())));
        self.inference.extend(top_p.map(|number| ("topP".to_owned(), number.into())));
        let Some(top_k) = top_k else { return };
        match maker {
            ModelFields::Claude => drop(self.additional.insert("top_k".to_owned(), top_k.into())),
            ModelFields::Nova => {
                self.additional.insert("inferenceConfig".to_owned(), json!({ "topK": top_k }));
            }
            ModelFields::OpenAi | ModelFields::Absent => dropped.push("top_k".into()),
        }
    }
}

/// The cap that a thinking budget is measured by.
fn claude_cap(cap: Option<u64>, quirks: &Quirks) -> u64 {
    cap.unwrap_or(quirks.default_output_cap)
}

/// Amazon's levels. The highest one bears no cap on the output, and what is reserved must be what is sent.
fn nova(level: Effort) -> Value {
    match level {
        Effort::None => json!({"type": "disabled"}),
        Effort::Minimal | Effort::Low => json!({"type": "enabled", "maxReasoningEffort": "low"}),
        _ => json!({"type": "enabled", "maxReasoningEffort": "medium"}),
    }
}

/// The sampling numbers as Converse takes them of any model.
fn plain(request: &ChatRequest, target: &Target<'_>, dropped: &mut Vec<Cow<'static, str>>) -> Sampled {
    let mut takes = |parameter: Parameter| {
        let takes = target.quirks.sampling && target.takes(parameter);
        if !takes {
            dropped.push(parameter.name().into());
        }
        takes
    };
    let asked = &request.sampling;
    let share = |number: Option<f64>| number.map(|number| number.clamp(0.0, 1.0));
    Sampled {
        temperature: share(asked.temperature).filter(|_| takes(Parameter::Temperature)),
        top_p: share(asked.top_p).filter(|_| takes(Parameter::TopP)),
        top_k: asked.top_k.filter(|_| takes(Parameter::TopK)),
    }
}
