//! Tokens into money: what an attempt may cost at most, what it did cost, and what of that the tenant pays.
//!
//! Pure. The one rounding is `money::round_up`, inside `Prices` and `marked_up`. What a tenant pays is in [`terms`].

pub mod terms;

use chrono::{DateTime, Utc};
use switchyard_proto::money::NanoUsd;
use switchyard_proto::price::{Cost, Most, Span};
use switchyard_proto::v1;

use crate::config::snapshot::{Endpoint, Tenant};
use crate::model::facts::{Facts, MediaFacts};
use crate::model::file::{FileType, FileTypes};
use crate::model::parameter::Parameter;
use crate::model::task::Operation;
use crate::model::usage::Usage;

/// Tokens that a chat template may add around one message.
const TOKENS_PER_MESSAGE: u64 = 16;
/// Tokens that a provider may add to a prompt of its own accord.
const TOKENS_HIDDEN: u64 = 64;
/// Tokens that a provider's hidden tool instructions may have, where its row does not say.
const TOKENS_TOOLS: u64 = 1024;
/// Most tokens of one image among the providers whose rules are published, with a margin, where its row does not
/// say.
const TOKENS_PER_IMAGE: u64 = 8_192;
/// Most searches of one answer, where the endpoint's row does not say.
const SEARCHES: u64 = 20;
/// Bytes of text per token, on average: for estimates, never for bounds.
const BYTES_PER_TOKEN: u64 = 4;

/// Bytes of text that so many tokens take, on average.
pub fn bytes_of(tokens: u64) -> u64 {
    tokens.saturating_mul(BYTES_PER_TOKEN)
}

/// An upper bound of the prompt's tokens at this endpoint.
///
/// Every text byte may be a token; media count as the endpoint's row says. What cannot be measured and has no maximum
/// there (remote audio, files, video, tools that the provider runs) counts as a full window, which none goes beyond.
pub fn prompt_bound(endpoint: &Endpoint, facts: &Facts) -> u64 {
    let window = match facts.operation {
        Operation::Chat => endpoint.context_length(),
        // Each input has a window of its own.
        Operation::Embeddings => endpoint.context_length().saturating_mul(u64::from(facts.messages.max(1))),
        // A document that does not fit is ranked in pieces.
        Operation::Rerank => u64::MAX,
    };
    let known = endpoint.config.billing.unwrap_or_default();
    // A few kibibytes of compressed silence can last for hours; results of searches come into the prompt.
    let unmeasured_audio = facts.audio.count > 0 && known.tokens_per_audio_kib.is_none();
    if facts.audio.remote > 0 || unmeasured_audio || searches_each(endpoint, facts) > 0 {
        return window;
    }
    let each = |count: u32, most: Option<u64>| u64::from(count).saturating_mul(most.unwrap_or(window));
    let tools = if facts.tools > 0 || facts.tool_history {
        known.hidden_tool_tokens.unwrap_or(TOKENS_TOOLS)
    } else {
        0
    };
    let bound = facts.text_bytes
        + u64::from(facts.messages) * TOKENS_PER_MESSAGE
        + TOKENS_HIDDEN
        + tools
        + each(facts.images.count, known.tokens_per_image.or(Some(TOKENS_PER_IMAGE)));
    bound
        .saturating_add(each(facts.files.count, known.tokens_per_file))
        .saturating_add(each(facts.videos.count, known.tokens_per_video))
        .saturating_add(audio(facts, known.tokens_per_audio_kib))
        .min(window)
}

/// Most searches for one answer. Tools that nobody knows may be searches.
fn searches_each(endpoint: &Endpoint, facts: &Facts) -> u64 {
    let known = endpoint.config.billing.unwrap_or_default();
    if facts.operation != Operation::Chat {
        return 0;
    }
    if facts.server_tools > 0 || facts.parameters.contains(Parameter::WebSearchOptions) {
        known.max_searches.unwrap_or(SEARCHES).max(1)
    } else {
        known.max_searches_unasked.unwrap_or(0)
    }
}

fn audio(facts: &Facts, tokens_per_kib: Option<u64>) -> u64 {
    facts.audio.inline_bytes.saturating_mul(tokens_per_kib.unwrap_or(0)).div_ceil(1024)
}

/// A likely count of the prompt's tokens: for fit and for answers that broke off without usage.
pub fn prompt_estimate(facts: &Facts) -> u64 {
    let videos = likely(facts.videos, LETTERS_PER_VIDEO_TOKEN, TOKENS_OF_A_VIDEO);
    let images = u64::from(facts.images.count) * 1_000;
    let media = images + facts.audio.inline_bytes / 1_000 + files_estimate(facts) + videos;
    facts.text_bytes.div_ceil(BYTES_PER_TOKEN) + u64::from(facts.messages) * 4 + media
}

/// The same of the longest input, where each has a window of its own.
pub fn longest_estimate(facts: &Facts) -> u64 {
    match facts.operation {
        Operation::Chat => prompt_estimate(facts),
        Operation::Embeddings | Operation::Rerank => facts.longest_bytes.div_ceil(BYTES_PER_TOKEN),
    }
}

/// Letters of base64 behind a token of a text file: four bytes of text in three quarters of the letters.
const LETTERS_PER_TEXT_TOKEN: u64 = 5;
/// The same of any other file: a page of a PDF has about 100 KB and 2,000 tokens.
const LETTERS_PER_FILE_TOKEN: u64 = 64;
/// The same of a video: about 300 tokens and 300 KB a second.
const LETTERS_PER_VIDEO_TOKEN: u64 = 1_000;
/// A file that is elsewhere: a few pages.
const TOKENS_OF_A_FILE: u64 = 6_000;
/// A video that is elsewhere: a minute.
const TOKENS_OF_A_VIDEO: u64 = 18_000;

fn files_estimate(facts: &Facts) -> u64 {
    let is_text = facts.file_types == FileTypes::of(&[FileType::Text]);
    let letters = if is_text { LETTERS_PER_TEXT_TOKEN } else { LETTERS_PER_FILE_TOKEN };
    likely(facts.files, letters, TOKENS_OF_A_FILE)
}

/// What is here by its length, what is elsewhere by its usual size.
fn likely(media: MediaFacts, letters_per_token: u64, tokens_elsewhere: u64) -> u64 {
    media.inline_bytes / letters_per_token + u64::from(media.remote) * tokens_elsewhere
}

/// Documents that are ranked in one search.
const DOCUMENTS_PER_SEARCH: u64 = 100;

/// A likely count of the searches that a ranking is billed as.
pub fn search_units_estimate(facts: &Facts) -> u64 {
    match facts.operation {
        Operation::Rerank => u64::from(facts.messages).div_ceil(DOCUMENTS_PER_SEARCH),
        Operation::Chat | Operation::Embeddings => 0,
    }
}

/// A likely count of the tokens in this many bytes of produced text.
pub fn output_estimate(text_bytes: u64) -> u64 {
    text_bytes.div_ceil(BYTES_PER_TOKEN)
}

/// The most that one attempt can cost the provider's customer, and what of it the tenant pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorstCase {
    /// The cap on output tokens that this rests on: it is sent upstream.
    pub output_cap: u64,
    pub cost: NanoUsd,
    pub charge: NanoUsd,
}

/// What bounds an attempt but for its output cap.
#[derive(Debug, Clone, Copy)]
pub struct Bounds<'a> {
    endpoint: &'a Endpoint,
    tenant: &'a Tenant,
    most: Most,
    n: u64,
    span: Span,
}

impl<'a> Bounds<'a> {
    /// The bounds of a request for `n` answers at an endpoint, sent and answered within `span`.
    pub fn of(endpoint: &'a Endpoint, tenant: &'a Tenant, facts: &Facts, n: u32, span: Span) -> Self {
        let n = u64::from(n.max(1));
        let most = Most {
            prompt: prompt_bound(endpoint, facts),
            completion: 0,
            images: u64::from(facts.images.count),
            searches: searches_each(endpoint, facts).saturating_mul(n).saturating_add(facts.search_units),
        };
        Self { endpoint, tenant, most, n, span }
    }

    /// The worst case with this cap on each answer's tokens. It grows with the cap.
    pub fn worst(&self, output_cap: u64) -> WorstCase {
        let most = Most { completion: output_cap.saturating_mul(self.n), ..self.most };
        let cost = self.endpoint.tariff.worst(self.span, &most);
        let charge = terms::worst(self.tenant.book.terms(self.endpoint), cost, &most);
        WorstCase { output_cap, cost, charge }
    }

    /// The largest output cap of at most `most` whose worst case fits; none if not even one token does.
    pub fn largest_cap(&self, most: u64, fits: impl Fn(&WorstCase) -> bool) -> Option<u64> {
        let fits = |cap: u64| fits(&self.worst(cap));
        if !fits(1) {
            return None;
        }
        let (mut low, mut high) = (1, most.max(1));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        Some(low)
    }
}

impl Bounds<'_> {
    /// The bound of the prompt.
    pub fn prompt(&self) -> u64 {
        self.most.prompt
    }

    /// The longest prompt without any output whose worst case fits.
    pub fn largest_prompt(&self, fits: impl Fn(&WorstCase) -> bool) -> u64 {
        let fits = |prompt: u64| fits(&Self { most: Most { prompt, ..self.most }, ..*self }.worst(0));
        let (mut low, mut high) = (0, self.most.prompt);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        low
    }
}

/// The cap on output tokens where money does not lower it.
pub fn output_cap(endpoint: &Endpoint, asked: Option<u64>, default: u64) -> u64 {
    let (own, most) = match endpoint.config.max_output_tokens {
        0 => (default.min(endpoint.context_length()), endpoint.context_length()),
        most => (most, most),
    };
    asked.map_or(own, |asked| asked.min(most.max(1)))
}

/// Tokens as the ledger has them.
pub fn tokens(usage: &Usage, facts: &Facts) -> v1::TokenUsage {
    v1::TokenUsage {
        prompt: usage.prompt_tokens,
        cached: usage.cached_tokens,
        cache_write: usage.cache_write_tokens,
        cache_write_1h: usage.cache_write_long_tokens,
        completion: usage.completion_tokens,
        reasoning: usage.reasoning_tokens,
        audio_prompt: usage.prompt_audio_tokens,
        images: u64::from(facts.images.count),
        audio_completion: usage.completion_audio_tokens,
        image_completion: usage.completion_image_tokens,
        searches: usage.web_search_requests.saturating_add(usage.search_units),
    }
}

/// What of an attempt the tenant owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owes {
    All,
    /// The answer is worth nothing; what was bought on its way is paid all the same.
    Fees,
}

/// What these tokens cost at an endpoint by the price of a moment, and what the tenant owes before the reservation caps
/// it.
pub fn bill(
    endpoint: &Endpoint,
    tenant: &Tenant,
    at: DateTime<Utc>,
    tokens: &v1::TokenUsage,
    owes: Owes,
) -> (Cost, NanoUsd) {
    let prices = endpoint.tariff.at(at).prices(tokens.prompt);
    let (cost, terms) = (prices.parts(tokens), tenant.book.terms(endpoint));
    let owed = match owes {
        Owes::All => terms::charge(terms, cost.total, tokens),
        Owes::Fees => terms::fees(terms, prices.fees(tokens), tokens),
    };
    (cost, owed)
}

#[cfg(test)]
mod tests {
    use switchyard_proto::v1::resource::Body;

    use super::*;
    use crate::config::fixtures::{caller, endpoint, full, model, provider, resource, tenant};
    use crate::model::facts::MediaFacts;

    fn at(
        change: impl FnOnce(&mut switchyard_proto::v1::EndpointConfig),
    ) -> (std::sync::Arc<Endpoint>, std::sync::Arc<Tenant>) {
        let mut config = endpoint("a/m", "p", "1");
        change(&mut config);
        let parts = [Body::Provider(provider("p")), Body::Model(model("a/m")), Body::Endpoint(config)];
        let snapshot = full(parts.map(resource).into_iter().chain(tenant())).snapshot;
        (snapshot.model("a/m").unwrap().endpoints[0].clone(), caller(&snapshot).tenant)
    }

    const NOW: Span = Span { from: DateTime::UNIX_EPOCH, until: DateTime::UNIX_EPOCH };

    fn text(bytes: u64) -> Facts {
        Facts { messages: 1, text_bytes: bytes, ..Facts::default() }
    }

    #[test]
    fn every_byte_of_text_may_be_a_token_but_no_prompt_is_larger_than_the_window() {
        let (endpoint, _) = at(|_| {});
        assert_eq!(prompt_bound(&endpoint, &text(100)), 100 + TOKENS_PER_MESSAGE + TOKENS_HIDDEN);
        assert_eq!(prompt_bound(&endpoint, &text(1 << 40)), 10_000);
    }

    #[test]
    fn what_cannot_be_measured_counts_as_a_full_window() {
        let (endpoint, _) = at(|_| {});
        let one = MediaFacts { count: 1, remote: 1, inline_bytes: 0 };
        for facts in [
            Facts { files: one, ..text(1) },
            Facts { videos: one, ..text(1) },
            Facts { audio: one, ..text(1) },
        ] {
            assert_eq!(prompt_bound(&endpoint, &facts), 10_000);
        }
    }

    #[test]
    fn what_the_row_knows_of_media_bounds_them() {
        let (endpoint, _) = at(|config| {
            config.billing = Some(v1::Billing {
                hidden_tool_tokens: Some(7),
                tokens_per_image: Some(100),
                tokens_per_audio_kib: Some(2),
                tokens_per_file: Some(1_000),
                ..v1::Billing::default()
            });
        });
        let one = |bytes| MediaFacts { count: 1, remote: 0, inline_bytes: bytes };
        let base = prompt_bound(&endpoint, &text(0));
        for (facts, more) in [
            (Facts { tools: 2, ..text(0) }, 7),
            (Facts { images: one(9), ..text(0) }, 100),
            (Facts { audio: one(1_025), ..text(0) }, 3),
            (Facts { files: MediaFacts { count: 2, remote: 2, inline_bytes: 0 }, ..text(0) }, 2_000),
            (Facts { videos: one(9), ..text(0) }, 10_000 - base),
        ] {
            assert_eq!(prompt_bound(&endpoint, &facts), base + more, "{facts:?}");
        }
    }

    #[test]
    fn the_estimate_counts_what_is_here_by_length_and_what_is_elsewhere_by_its_usual_size() {
        let here = |letters| MediaFacts { count: 1, remote: 0, inline_bytes: letters };
        let elsewhere = MediaFacts { count: 2, remote: 2, inline_bytes: 0 };
        let base = prompt_estimate(&text(400));
        assert_eq!(base, 104);
        let textual = FileTypes::of(&[FileType::Text]);
        for (facts, more) in [
            (Facts { images: elsewhere, ..text(400) }, 2_000),
            (Facts { files: here(64_000), ..text(400) }, 1_000),
            (Facts { files: here(64_000), file_types: textual, ..text(400) }, 12_800),
            (Facts { files: elsewhere, ..text(400) }, 12_000),
            (Facts { videos: here(3_000_000), ..text(400) }, 3_000),
            (Facts { videos: elsewhere, ..text(400) }, 36_000),
        ] {
            assert_eq!(prompt_estimate(&facts), base + more, "{facts:?}");
        }
    }

    #[test]
    fn the_output_cap_is_the_callers_within_the_endpoints() {
        let (endpoint, _) = at(|_| {});
        assert_eq!(output_cap(&endpoint, None, 77), 1_000);
        assert_eq!(output_cap(&endpoint, Some(5), 77), 5);
        assert_eq!(output_cap(&endpoint, Some(5_000), 77), 1_000);
        let (unknown, _) = at(|config| config.max_output_tokens = 0);
        assert_eq!(output_cap(&unknown, None, 77), 77);
        assert_eq!(
            output_cap(&unknown, Some(500), 77),
            500,
            "the caller's own cap is not lowered in silence"
        );
    }

    fn searching(bytes: u64) -> Facts {
        Facts { server_tools: 1, ..text(bytes) }
    }

    #[test]
    fn the_affordable_cap_is_the_largest_that_is_covered() {
        let (endpoint, tenant) = at(|_| {});
        let bounds = Bounds::of(&endpoint, &tenant, &text(0), 1, NOW);
        let affordable = |amount: NanoUsd| bounds.largest_cap(1_000, |worst| worst.charge <= amount);
        assert_eq!(affordable(bounds.worst(1_000).charge), Some(1_000));
        assert_eq!(affordable(bounds.worst(500).charge), Some(500));
        assert_eq!(affordable(NanoUsd(1)), None);
    }

    #[test]
    fn the_affordable_cap_is_exact_at_every_price_of_long_prompts() {
        let dear = |above: u64, output: &str| v1::PriceOverride {
            min_prompt_tokens: Some(above),
            price: Some(v1::PriceParts { output: output.into(), ..Default::default() }),
            ..Default::default()
        };
        let (endpoint, tenant) = at(|config| {
            let price = config.price.get_or_insert_default();
            price.overrides = vec![dear(100, "3"), dear(1_000, "7"), dear(5_000, "1")];
        });
        for bytes in [0, 50, 900, 4_000, 9_000] {
            let bounds = Bounds::of(&endpoint, &tenant, &text(bytes), 2, NOW);
            for cap in [1, 2, 17, 500, 999] {
                let amount = bounds.worst(cap).charge;
                let found = bounds.largest_cap(1_000, |worst| worst.charge <= amount).unwrap();
                assert!(bounds.worst(found).charge <= amount && found >= cap, "{bytes} {cap} {found}");
                assert!(found == 1_000 || bounds.worst(found + 1).charge > amount, "{bytes} {cap} {found}");
            }
        }
    }

    #[test]
    fn each_input_of_embeddings_is_bounded_by_a_window_and_a_ranking_by_its_text() {
        let (endpoint, _) = at(|_| {});
        let of = |operation, inputs, bytes| Facts { operation, messages: inputs, ..text(bytes) };
        let embeddings = |inputs, bytes| prompt_bound(&endpoint, &of(Operation::Embeddings, inputs, bytes));
        assert_eq!(embeddings(2, 100), 100 + 2 * TOKENS_PER_MESSAGE + TOKENS_HIDDEN);
        assert_eq!((embeddings(1, 1 << 40), embeddings(3, 1 << 40)), (10_000, 30_000));
        let ranking = prompt_bound(&endpoint, &of(Operation::Rerank, 2, 1 << 40));
        assert_eq!(ranking, (1 << 40) + 2 * TOKENS_PER_MESSAGE + TOKENS_HIDDEN);
    }

    #[test]
    fn a_ranking_is_reserved_for_at_the_most_searches_that_it_can_be() {
        let (endpoint, tenant) = at(|config| {
            config.price = Some(v1::Price { search: "0.002".into(), ..Default::default() });
        });
        let facts = Facts { operation: Operation::Rerank, search_units: 3, ..text(100) };
        let worst = Bounds::of(&endpoint, &tenant, &facts, 1, NOW).worst(0);
        assert_eq!((worst.cost, worst.charge), (NanoUsd(6_000_000), NanoUsd(6_000_000)));
    }

    #[test]
    fn the_affordable_prompt_is_the_longest_that_is_covered() {
        let (endpoint, tenant) = at(|_| {});
        let facts = Facts { operation: Operation::Embeddings, ..text(1_000) };
        let bounds = Bounds::of(&endpoint, &tenant, &facts, 1, NOW);
        let affordable = |amount: NanoUsd| bounds.largest_prompt(|worst| worst.charge <= amount);
        assert_eq!(affordable(bounds.worst(0).charge), bounds.prompt());
        assert_eq!(affordable(NanoUsd(0)), 0);
        let half = affordable(NanoUsd(bounds.worst(0).charge.0 / 2));
        assert!(half > 0 && half <= bounds.prompt() / 2, "{half}");
    }

    #[test]
    fn several_answers_are_reserved_for() {
        let (endpoint, tenant) = at(|_| {});
        let worst = |n| Bounds::of(&endpoint, &tenant, &text(0), n, NOW).worst(10).cost.0;
        assert_eq!(worst(3) - worst(1), 2 * 10 * 1_000);
    }

    #[test]
    fn searches_are_reserved_for_where_they_can_be_run() {
        let priced = |most, unasked| {
            at(move |config| {
                config.price.get_or_insert_default().search = "0.01".into();
                config.billing = Some(v1::Billing {
                    max_searches: most,
                    max_searches_unasked: unasked,
                    ..v1::Billing::default()
                });
            })
        };
        for (most, unasked, asks, n, searches) in [
            (None, None, false, 1, 0),
            (None, None, true, 1, 20),
            (Some(5), None, true, 1, 5),
            (Some(5), None, true, 3, 15),
            (Some(5), Some(2), false, 1, 2),
        ] {
            let (endpoint, tenant) = priced(most, unasked);
            let facts = if asks { searching(1) } else { text(1) };
            let worst = Bounds::of(&endpoint, &tenant, &facts, n, NOW).worst(0).cost.0;
            let prompt = endpoint
                .tariff
                .at_ms(0)
                .prices(0)
                .worst(&Most { prompt: prompt_bound(&endpoint, &facts), ..Most::default() });
            assert_eq!(worst - prompt.0, searches * 10_000_000, "{most:?} {unasked:?} {asks} {n}");
            // Their results come into the prompt.
            assert_eq!(prompt_bound(&endpoint, &facts) == 10_000, searches > 0);
        }
    }
}
