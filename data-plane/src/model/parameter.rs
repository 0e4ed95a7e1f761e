//! The request parameters that endpoints may or may not support, under OpenRouter's `supported_parameters` names.
//!
//! A set of them is one machine word, so that routing can compare a request with an endpoint for free.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares the parameters once: variant and wire name.
macro_rules! parameters {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// One request parameter that an endpoint may lack.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Parameter { $($variant),+ }

        impl Parameter {
            /// Every parameter, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in requests and in `supported_parameters`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The parameter of this name, if it is one that endpoints can lack.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

parameters! {
    Temperature = "temperature",
    TopP = "top_p",
    TopK = "top_k",
    MinP = "min_p",
    TopA = "top_a",
    FrequencyPenalty = "frequency_penalty",
    PresencePenalty = "presence_penalty",
    RepetitionPenalty = "repetition_penalty",
    MaxTokens = "max_tokens",
    MaxCompletionTokens = "max_completion_tokens",
    LogitBias = "logit_bias",
    Logprobs = "logprobs",
    TopLogprobs = "top_logprobs",
    Seed = "seed",
    Stop = "stop",
    N = "n",
    ResponseFormat = "response_format",
    StructuredOutputs = "structured_outputs",
    Tools = "tools",
    ToolChoice = "tool_choice",
    ParallelToolCalls = "parallel_tool_calls",
    Reasoning = "reasoning",
    ReasoningEffort = "reasoning_effort",
    IncludeReasoning = "include_reasoning",
    Verbosity = "verbosity",
    WebSearchOptions = "web_search_options",
    Prediction = "prediction",
    Modalities = "modalities",
    Audio = "audio",
    ImageConfig = "image_config",
    ServiceTier = "service_tier",
    PromptCacheKey = "prompt_cache_key",
    CacheControl = "cache_control",
    Metadata = "metadata",
    Store = "store",
    SafetyIdentifier = "safety_identifier",
    User = "user",
    Plugins = "plugins",
    Transforms = "transforms",
}

/// A set of [`Parameter`]s.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Parameters(u64);

impl Parameters {
    /// No parameter.
    pub const NONE: Self = Self(0);

    /// These parameters.
    pub const fn of(members: &[Parameter]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < members.len() {
            set |= bit(members[at]);
            at += 1;
        }
        Self(set)
    }

    /// The known ones among these names; others are ignored.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        names.into_iter().filter_map(Parameter::from_name).collect()
    }

    /// Adds one.
    pub fn insert(&mut self, parameter: Parameter) {
        self.0 |= bit(parameter);
    }

    /// Takes one out.
    pub fn remove(&mut self, parameter: Parameter) {
        self.0 &= !bit(parameter);
    }

    /// Whether it is in the set.
    pub const fn contains(self, parameter: Parameter) -> bool {
        self.0 & bit(parameter) != 0
    }

    /// What is here and not in `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members in the order of declaration.
    pub fn iter(self) -> impl Iterator<Item = Parameter> {
        Parameter::ALL.iter().copied().filter(move |parameter| self.contains(*parameter))
    }
}

impl FromIterator<Parameter> for Parameters {
    fn from_iter<I: IntoIterator<Item = Parameter>>(parameters: I) -> Self {
        let mut set = Self::NONE;
        parameters.into_iter().for_each(|parameter| set.insert(parameter));
        set
    }
}

impl std::fmt::Debug for Parameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(Parameter::name)).finish()
    }
}

/// By name, so that a record stays right when parameters are added.
impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Parameter::name))
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Ok(Self::from_names(names.iter().map(String::as_str)))
    }
}

const fn bit(parameter: Parameter) -> u64 {
    1 << parameter as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_has_its_own_bit_and_finds_itself_by_name() {
        assert!(Parameter::ALL.len() <= 64);
        for parameter in Parameter::ALL {
            assert_eq!(Parameter::from_name(parameter.name()), Some(*parameter));
        }
        let all: Parameters = Parameter::ALL.iter().copied().collect();
        assert_eq!(all.iter().count(), Parameter::ALL.len());
    }

    #[test]
    fn difference_names_what_an_endpoint_lacks() {
        let sent = Parameters::from_names(["temperature", "seed", "unheard_of"]);
        let lacking = sent.without(Parameters::from_names(["temperature"]));
        assert_eq!(lacking.iter().map(Parameter::name).collect::<Vec<_>>(), ["seed"]);
    }
}
