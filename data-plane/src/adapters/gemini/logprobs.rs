//! Log probabilities, from Google's two lists to one.

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    chosen_candidates: Vec<Token>,
    #[serde(default)]
    top_candidates: Vec<Top>,
}

#[derive(Debug, Deserialize)]
struct Top {
    #[serde(default)]
    candidates: Vec<Token>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    log_probability: f64,
}

/// The chosen tokens with their rivals; None where nothing is understood.
pub fn logprobs(result: &RawValue) -> Option<Box<RawValue>> {
    let Wire { chosen_candidates, top_candidates } = serde_json::from_str(result.get()).ok()?;
    if chosen_candidates.is_empty() {
        return None;
    }
    let mut rivals = top_candidates.into_iter();
    let content = chosen_candidates.iter().map(|chosen| {
        let rivals = rivals.next().map_or_else(Vec::new, |top| top.candidates);
        let mut told = told(chosen);
        told["top_logprobs"] = rivals.iter().map(self::told).collect();
        told
    });
    to_raw_value(&json!({"content": content.collect::<Vec<_>>(), "refusal": null})).ok()
}

fn told(token: &Token) -> Value {
    json!({"token": token.token, "logprob": token.log_probability, "bytes": token.token.as_bytes()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_chosen_token_has_its_rivals() {
        let wire = r#"{"topCandidates":[{"candidates":[{"token":"é","tokenId":1,"logProbability":-0.5},
            {"token":"e","logProbability":-2}]}],"chosenCandidates":[{"token":"é","tokenId":1,"logProbability":-0.5},
            {"token":"!","logProbability":-1.5}],"logProbabilitySum":-2.0}"#;
        let found = logprobs(serde_json::from_str(wire).expect("JSON")).expect("understood");
        let found: Value = serde_json::from_str(found.get()).expect("JSON");
        let expected = json!({"refusal": null, "content": [
            {"token": "é", "logprob": -0.5, "bytes": [195, 169], "top_logprobs": [
                {"token": "é", "logprob": -0.5, "bytes": [195, 169]}, {"token": "e", "logprob": -2.0, "bytes": [101]}]},
            {"token": "!", "logprob": -1.5, "bytes": [33], "top_logprobs": []}]});
        assert_eq!(found, expected);
        assert!(logprobs(serde_json::from_str("[1]").expect("JSON")).is_none());
    }
}
