//! What an answer's counts come to in the normal form, by rules about numbers.
//!
//! Totals include everything: the prompt its caches, the completion its reasoning. Where the printed total leaves
//! open which sum a surplus belongs to, every reading that fits is accepted.

use serde_json::Value;

/// One reading of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub prompt: u64,
    pub completion: u64,
}

/// What a provider reported last.
#[derive(Debug, Clone)]
pub struct Reported {
    /// The readings that are right; more than one where the numbers leave it open.
    pub readings: Vec<Counts>,
    /// Tokens read from a cache.
    pub cached: u64,
    /// Tokens of reasoning, where they were split off; at least this many.
    pub reasoning: u64,
    /// The report as sent.
    pub raw: String,
}

impl Reported {
    fn new(raw: &Value, readings: Vec<Counts>, cached: u64, reasoning: u64) -> Self {
        Self { readings, cached, reasoning, raw: raw.to_string() }
    }
}

fn count(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64))
}

/// The first of several members that is a number.
fn first(place: &Value, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| count(place.pointer(name)?))
}

fn most(place: &Value, names: &[&str]) -> u64 {
    names.iter().filter_map(|name| count(place.pointer(name)?)).max().unwrap_or(0)
}

/// The chat-completions dialect, whose relatives differ in what their sums include.
pub fn chat(usage: &Value) -> Option<Reported> {
    let [prompt, completion, total] =
        ["/prompt_tokens", "/completion_tokens", "/total_tokens"].map(|name| first(usage, &[name]));
    prompt.or(completion).or(total)?;
    let cached = most(
        usage,
        &[
            "/prompt_tokens_details/cached_tokens",
            "/prompt_token_details/cached_tokens",
            "/cached_tokens",
            "/num_cached_tokens",
            "/prompt_cache_hit_tokens",
            "/cache_read_input_tokens",
        ],
    );
    let written = most(usage, &["/prompt_tokens_details/cache_write_tokens", "/cache_creation_input_tokens"]);
    let inner = most(usage, &["/completion_tokens_details/reasoning_tokens"]);
    let beside = most(usage, &["/reasoning_tokens"]);
    let audio = most(usage, &["/prompt_tokens_details/audio_tokens", "/prompt_token_details/audio_tokens"]);
    let (prompt, completion) = (prompt.unwrap_or(0), completion.unwrap_or(0));
    let surplus = total.unwrap_or(0).saturating_sub(prompt + completion);
    let base = Counts { prompt, completion };
    let reasoning = inner.max(beside);
    let is_search = ["search_context_size", "num_search_queries", "citation_tokens"]
        .iter()
        .any(|name| usage.get(name).is_some());
    // Vercel's gateway bills its reasoning beside the completion: its own `cost` says so.
    let is_resold = usage.get("market_cost").is_some();
    let readings = if (beside > 0 && is_search) || (inner > 0 && is_resold) {
        // Reasoning beside the sums and counted in neither, not even in the total.
        vec![Counts { completion: completion + reasoning, ..base }]
    } else {
        spread(base, surplus, reasoning, audio)
    };
    let readings = readings.into_iter().map(|counts| with_caches(counts, cached, written)).collect();
    Some(Reported::new(usage, readings, cached, reasoning))
}

/// Where a surplus of the total belongs: to the part that has just its size, else to either sum or to none.
fn spread(base: Counts, surplus: u64, reasoning: u64, audio: u64) -> Vec<Counts> {
    let output = Counts { completion: base.completion + surplus, ..base };
    let input = Counts { prompt: base.prompt + surplus, ..base };
    match surplus {
        0 => vec![base],
        surplus if surplus == reasoning => vec![output],
        surplus if surplus == audio => vec![input],
        // Thoughts that no member names are billed as output.
        _ if reasoning == 0 && audio == 0 => vec![output],
        _ => vec![output, input, base],
    }
}

/// More cached than prompted: the prompt leaves the caches out.
fn with_caches(counts: Counts, cached: u64, written: u64) -> Counts {
    let extra = if cached > counts.prompt { cached + written } else { 0 };
    Counts { prompt: counts.prompt + extra, ..counts }
}

/// Anthropic leaves both kinds of cache out of the input.
pub fn claude(usage: &Value) -> Option<Reported> {
    let [input, output] = ["/input_tokens", "/output_tokens"].map(|name| first(usage, &[name]));
    input.or(output)?;
    let [written, read] =
        ["/cache_creation_input_tokens", "/cache_read_input_tokens"].map(|name| most(usage, &[name]));
    let counts = Counts { prompt: input.unwrap_or(0) + written + read, completion: output.unwrap_or(0) };
    let thinking = most(usage, &["/output_tokens_details/thinking_tokens"]);
    Some(Reported::new(usage, vec![counts], read, thinking))
}

/// Responses include everything, but for providers whose total says otherwise.
pub fn responses(usage: &Value) -> Option<Reported> {
    let [input, output, total] =
        ["/input_tokens", "/output_tokens", "/total_tokens"].map(|name| first(usage, &[name]));
    input.or(output)?;
    let base = Counts { prompt: input.unwrap_or(0), completion: output.unwrap_or(0) };
    let cached = most(usage, &["/input_tokens_details/cached_tokens"]);
    let reasoning = most(usage, &["/output_tokens_details/reasoning_tokens"]);
    let surplus = total.unwrap_or(0).saturating_sub(base.prompt + base.completion);
    let mut readings = spread(base, surplus, reasoning, 0);
    if surplus > 0 && surplus != reasoning {
        readings.push(base);
    }
    let readings = readings.into_iter().map(|counts| with_caches(counts, cached, 0)).collect();
    Some(Reported::new(usage, readings, cached, reasoning))
}

/// Google's prompt includes caches but not what its own tools fed in, and its output leaves thoughts out.
///
/// Reports repeat running totals, and the last may lack members that `earlier` ones had.
pub fn google(earlier: &Value, usage: &Value) -> Option<Reported> {
    let mut merged = if earlier.is_object() { earlier.clone() } else { serde_json::json!({}) };
    for (name, value) in usage.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        merged[name] = value.clone();
    }
    let [last, joined] = [google_counts(usage), google_counts(&merged)];
    let readings: Vec<Counts> = last.into_iter().flatten().chain(joined.into_iter().flatten()).collect();
    if readings.is_empty() {
        return None;
    }
    let cached = most(&merged, &["/cachedContentTokenCount"]);
    let thoughts = most(usage, &["/thoughtsTokenCount"]);
    Some(Reported::new(usage, readings, cached, thoughts))
}

fn google_counts(usage: &Value) -> Option<Vec<Counts>> {
    let names = ["/promptTokenCount", "/candidatesTokenCount", "/totalTokenCount"];
    let [prompt, said, total] = names.map(|name| first(usage, &[name]));
    prompt.or(said).or(total)?;
    let [tools, thoughts] =
        ["/toolUsePromptTokenCount", "/thoughtsTokenCount"].map(|name| most(usage, &[name]));
    let base = Counts { prompt: prompt.unwrap_or(0) + tools, completion: said.unwrap_or(0) + thoughts };
    let surplus = total.unwrap_or(0).saturating_sub(base.prompt + base.completion);
    let mut readings = vec![base];
    if surplus > 0 {
        readings.extend([
            Counts { completion: base.completion + surplus, ..base },
            Counts { prompt: base.prompt + surplus, ..base },
        ]);
    }
    Some(readings)
}

/// Converse leaves both kinds of cache out of the input.
pub fn converse(usage: &Value) -> Option<Reported> {
    let [input, output] = ["/inputTokens", "/outputTokens"].map(|name| first(usage, &[name]));
    input.or(output)?;
    let read = first(usage, &["/cacheReadInputTokens", "/cacheReadInputTokenCount"]).unwrap_or(0);
    let written = first(usage, &["/cacheWriteInputTokens", "/cacheWriteInputTokenCount"]).unwrap_or(0);
    let counts = Counts { prompt: input.unwrap_or(0) + written + read, completion: output.unwrap_or(0) };
    Some(Reported::new(usage, vec![counts], read, 0))
}

/// Cohere's real tokens; what it bills leaves the hidden preamble out and stands in where there is nothing else.
pub fn cohere(usage: &Value) -> Option<Reported> {
    let input = first(usage, &["/tokens/input_tokens", "/billed_units/input_tokens"]);
    let output = first(usage, &["/tokens/output_tokens", "/billed_units/output_tokens"]);
    input.or(output)?;
    let cached = most(usage, &["/cached_tokens"]);
    let counts = Counts { prompt: input.unwrap_or(0), completion: output.unwrap_or(0) };
    Some(Reported::new(usage, vec![with_caches(counts, cached, 0)], cached, 0))
}

/// Ollama leaves counts of zero out.
pub fn ollama(last: &Value) -> Option<Reported> {
    let [prompt, completion] = ["/prompt_eval_count", "/eval_count"].map(|name| first(last, &[name]));
    prompt.or(completion)?;
    let counts = Counts { prompt: prompt.unwrap_or(0), completion: completion.unwrap_or(0) };
    Some(Reported::new(last, vec![counts], 0, 0))
}
