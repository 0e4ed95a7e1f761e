//! Google's counts, which leave thoughts out of the output, brought to the inclusive form.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::adapters::gemini::wire::Word;
use crate::adapters::shared::lenient::{Number, lenient, word};
use crate::model::usage::{Provenance, Usage};

/// The counts reported so far: pieces repeat running totals, so the last one of each counts.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    prompt_token_count: Number,
    tool_use_prompt_token_count: Number,
    cached_content_token_count: Number,
    candidates_token_count: Number,
    thoughts_token_count: Number,
    total_token_count: Number,
    #[serde(deserialize_with = "lenient")]
    prompt_tokens_details: Option<Modalities>,
    #[serde(deserialize_with = "lenient")]
    candidates_tokens_details: Option<Modalities>,
    #[serde(deserialize_with = "word")]
    service_tier: Option<String>,
    #[serde(deserialize_with = "word")]
    traffic_type: Option<String>,
    /// Searches that the provider ran for the answer; told with the answer, not with the counts.
    #[serde(skip)]
    pub searches: u64,
}

/// Tokens by kind of content.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(from = "Vec<Modality>")]
struct Modalities {
    image: u64,
    video: u64,
    audio: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Modality {
    #[serde(default)]
    modality: Kind,
    #[serde(default)]
    token_count: Number,
}

#[derive(Debug, Default)]
enum Kind {
    Image,
    Video,
    Audio,
    #[default]
    Other,
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Word::deserialize(deserializer)?.0.as_ref() {
            "IMAGE" | "2" => Self::Image,
            "VIDEO" | "3" => Self::Video,
            "AUDIO" | "4" => Self::Audio,
            _ => Self::Other,
        })
    }
}

impl From<Vec<Modality>> for Modalities {
    fn from(list: Vec<Modality>) -> Self {
        let mut all = Self::default();
        for Modality { modality, token_count } in list {
            let known = match modality {
                Kind::Image => &mut all.image,
                Kind::Video => &mut all.video,
                Kind::Audio => &mut all.audio,
                Kind::Other => continue,
            };
            *known = known.saturating_add(token_count.get());
        }
        all
    }
}

impl Counts {
    /// Reads `usageMetadata`; what is not understood counts nothing.
    pub fn parse(raw: &RawValue) -> Self {
        serde_json::from_str(raw.get()).unwrap_or_default()
    }

    /// The counts with newer ones in place of older.
    pub fn replaced_by(self, newer: Self) -> Self {
        Self {
            prompt_token_count: newer.prompt_token_count.or(self.prompt_token_count),
            tool_use_prompt_token_count: newer
                .tool_use_prompt_token_count
                .or(self.tool_use_prompt_token_count),
            cached_content_token_count: newer.cached_content_token_count.or(self.cached_content_token_count),
            candidates_token_count: newer.candidates_token_count.or(self.candidates_token_count),
            thoughts_token_count: newer.thoughts_token_count.or(self.thoughts_token_count),
            total_token_count: newer.total_token_count.or(self.total_token_count),
            prompt_tokens_details: newer.prompt_tokens_details.or(self.prompt_tokens_details),
            candidates_tokens_details: newer.candidates_tokens_details.or(self.candidates_tokens_details),
            service_tier: newer.service_tier.or(self.service_tier),
            traffic_type: newer.traffic_type.or(self.traffic_type),
            searches: self.searches.max(newer.searches),
        }
    }

    /// The normal form; None where nothing was counted.
    pub fn usage(&self) -> Option<Usage> {
        self.prompt_token_count.or(self.candidates_token_count).or(self.total_token_count).0?;
        let [prompt, tools, cached, candidates, thoughts] = [
            self.prompt_token_count,
            self.tool_use_prompt_token_count,
            self.cached_content_token_count,
            self.candidates_token_count,
            self.thoughts_token_count,
        ]
        .map(Number::get);
        let prompt = prompt.saturating_add(tools);
        // Some servers count thoughts among the candidates; only then does the total do without them.
        let counted_twice =
            candidates >= thoughts && self.total_token_count.0 == Some(prompt.saturating_add(candidates));
        let completion = if counted_twice { candidates } else { candidates.saturating_add(thoughts) };
        let (heard, said) = (
            self.prompt_tokens_details.unwrap_or_default(),
            self.candidates_tokens_details.unwrap_or_default(),
        );
        Some(Usage {
            prompt_tokens: prompt,
            completion_tokens: completion,
            cached_tokens: cached.min(prompt),
            prompt_audio_tokens: heard.audio.min(prompt),
            prompt_image_tokens: heard.image.min(prompt),
            prompt_video_tokens: heard.video.min(prompt),
            reasoning_tokens: thoughts,
            completion_audio_tokens: said.audio.min(completion),
            completion_image_tokens: said.image.min(completion),
            web_search_requests: self.searches,
            reported_total_tokens: self.total_token_count.0,
            provenance: Provenance::ProviderFinal,
            ..Usage::default()
        })
    }

    /// The tier that served, in the words of the client's dialect; strict clients know no others.
    pub fn tier(&self) -> Option<String> {
        let word = self.service_tier.as_deref().or(self.traffic_type.as_deref())?;
        let tier = match word {
            "standard" | "STANDARD" => "default",
            "flex" | "FLEX" | "ON_DEMAND_FLEX" => "flex",
            "priority" | "PRIORITY" | "ON_DEMAND_PRIORITY" => "priority",
            _ => return None,
        };
        Some(tier.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(json: &str) -> Counts {
        Counts::parse(serde_json::from_str(json).expect("JSON"))
    }

    #[test]
    fn totals_include_thoughts_and_tools() {
        for (json, prompt, completion, reasoning) in [
            (
                r#"{"promptTokenCount":15,"toolUsePromptTokenCount":770,"candidatesTokenCount":37,
                "thoughtsTokenCount":742,"totalTokenCount":1564}"#,
                785,
                779,
                742,
            ),
            (r#"{"promptTokenCount":9,"totalTokenCount":9}"#, 9, 0, 0),
            (
                r#"{"promptTokenCount":5,"candidatesTokenCount":7,"thoughtsTokenCount":3,"totalTokenCount":12}"#,
                5,
                7,
                3,
            ),
            // More in the total than its parts is nobody's.
            (
                r#"{"promptTokenCount":5,"candidatesTokenCount":7,"thoughtsTokenCount":3,"totalTokenCount":99}"#,
                5,
                10,
                3,
            ),
        ] {
            let usage = counts(json).usage().expect("counted");
            assert!(usage.adds_up(), "{json}");
            let found = (usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens);
            assert_eq!(found, (prompt, completion, reasoning), "{json}");
        }
        assert_eq!(counts(r#"{"trafficType":"ON_DEMAND"}"#).usage(), None);
        assert_eq!(counts(r#"{"promptTokenCount":-1}"#).usage(), None);
    }

    #[test]
    fn a_member_of_the_wrong_type_costs_only_itself() {
        let base = r#"{"promptTokenCount":8,"candidatesTokenCount":"7","thoughtsTokenCount":3.0,"totalTokenCount":18"#;
        for (more, images) in [
            (r#","trafficType":1,"serviceTier":{}"#, 0),
            (r#","cachedContentTokenCount":null,"toolUsePromptTokenCount":[]"#, 0),
            (r#","promptTokensDetails":{},"candidatesTokensDetails":[7]"#, 0),
            (
                r#","promptTokensDetails":[{"modality":"AUDIO","tokenCount":null},{"modality":"IMAGE","tokenCount":"5"}]"#,
                5,
            ),
        ] {
            let usage = counts(&format!("{base}{more}}}")).usage().expect("counted");
            let found = (usage.prompt_tokens, usage.completion_tokens, usage.prompt_image_tokens);
            assert_eq!((found, usage.adds_up()), ((8, 10, images), true), "{more}");
        }
    }

    #[test]
    fn kinds_are_told_by_word_and_by_number() {
        let usage = counts(
            r#"{"promptTokenCount":100,"cachedContentTokenCount":4,"candidatesTokenCount":50,"totalTokenCount":150,
            "promptTokensDetails":[{"modality":"TEXT","tokenCount":1},{"modality":2,"tokenCount":30},
            {"modality":"AUDIO","tokenCount":20},{"modality":"VIDEO","tokenCount":9},{"modality":{},"tokenCount":2}],
            "candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":45}]}"#,
        );
        let usage = usage.usage().expect("counted");
        assert_eq!(
            (usage.prompt_image_tokens, usage.prompt_audio_tokens, usage.prompt_video_tokens),
            (30, 20, 9)
        );
        assert_eq!((usage.completion_image_tokens, usage.cached_tokens), (45, 4));
    }

    #[test]
    fn later_totals_replace_earlier_ones() {
        let first = counts(r#"{"promptTokenCount":8,"thoughtsTokenCount":5,"totalTokenCount":13}"#);
        let last = counts(
            r#"{"promptTokenCount":10,"candidatesTokenCount":7,"totalTokenCount":22,"serviceTier":"standard"}"#,
        );
        let both = first.replaced_by(last);
        let usage = both.usage().expect("counted");
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), (10, 12));
        assert_eq!(both.tier().as_deref(), Some("default"));
    }
}
