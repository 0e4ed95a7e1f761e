//! Which of OpenAI's models takes which reasoning effort, as the catalogue's rows say it: what tests encode for.
//!
//! The chat and the Responses surface differ in `max`.

use crate::adapters::quirks::{Quirks, ReasoningStyle};
use crate::model::request::Effort::{self, High, Low, Max, Medium, Minimal, None as Off, Xhigh};

const NO_EFFORT: &[Effort] = &[];
const O_SERIES: &[Effort] = &[Low, Medium, High];
// Up to GPT-5.x `max` exists on the Responses surface only.
const ALL: &[Effort] = &[Off, Low, Medium, High, Xhigh];

/// Beginnings of upstream ids and the levels taken; the first that fits counts.
const ROWS: [(&str, &[Effort]); 21] = [
    ("gpt-3.5", NO_EFFORT),
    ("gpt-4", NO_EFFORT),
    ("chatgpt-4o", NO_EFFORT),
    ("o1", O_SERIES),
    ("o3", O_SERIES),
    ("o4", O_SERIES),
    ("gpt-oss", O_SERIES),
    ("openai/gpt-oss", O_SERIES),
    ("gpt-5-pro", &[High]),
    ("gpt-5-chat", NO_EFFORT),
    ("gpt-5.1-chat", &[Medium]),
    ("gpt-5.2-chat", &[Medium]),
    ("gpt-5.3-chat", &[Medium]),
    ("gpt-5.1", &[Off, Low, Medium, High]),
    ("gpt-5.2", ALL),
    ("gpt-5.3", ALL),
    ("gpt-5.", ALL),
    ("gpt-5", &[Minimal, Low, Medium, High]),
    ("gpt-6-astra", &[Low, Medium, High, Xhigh, Max]),
    ("gpt-6.1-sol", &[Low, Medium, High, Xhigh, Max]),
    ("gpt-6", &[Off, Low, Medium, High, Xhigh, Max]),
];

/// Beginnings of upstream ids before which `max` exists on no surface.
const BEFORE_MAX: [&str; 5] = ["gpt-5.1", "gpt-5.2", "gpt-5.3", "gpt-5.4", "gpt-5.5"];

/// The quirks of an upstream model on the chat surface.
pub fn chat_quirks(model: &str) -> Quirks {
    let Some((_, efforts)) = ROWS.iter().find(|(prefix, _)| model.starts_with(prefix)) else {
        return Quirks::default();
    };
    let reasoning = if efforts.is_empty() { ReasoningStyle::Absent } else { ReasoningStyle::Effort };
    Quirks { reasoning, efforts: efforts.to_vec(), ..Quirks::default() }
}

/// The quirks of an upstream model on the Responses surface, where `max` came earlier.
pub fn responses_quirks(model: &str) -> Quirks {
    let mut quirks = chat_quirks(model);
    let is_late = model.starts_with("gpt-5.") && !BEFORE_MAX.iter().any(|prefix| model.starts_with(prefix));
    quirks.max_on_responses = is_late;
    quirks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn efforts_snap_to_what_the_model_takes() {
        for (model, asked, sent) in [
            ("gpt-5-mini", Off, Some(Minimal)),
            ("gpt-5-mini", Xhigh, Some(High)),
            ("gpt-5-pro", Low, Some(High)),
            ("gpt-5.1", Minimal, Some(Low)),
            ("gpt-5.4", Max, Some(Xhigh)),
            ("o4-mini", Off, Some(Low)),
            ("unheard", Max, Some(Xhigh)),
            ("unheard", Off, Some(Off)),
        ] {
            assert_eq!(chat_quirks(model).nearest_effort(asked), sent, "{model} {asked:?}");
        }
        assert_eq!(chat_quirks("gpt-4o-mini").reasoning, ReasoningStyle::Absent);
    }

    #[test]
    fn max_exists_on_the_responses_surface_first() {
        for (model, is_late) in [("gpt-5.6-sol", true), ("gpt-5.7", true), ("gpt-5.4", false), ("o3", false)]
        {
            assert_eq!(responses_quirks(model).max_on_responses, is_late, "{model}");
        }
    }
}
