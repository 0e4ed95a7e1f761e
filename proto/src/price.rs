//! Prices of an endpoint, exact, and what tokens cost at them.
//!
//! [`written`] holds their texts and [`given`] reads them; [`tariff`] says which of them hold when, and for which prompts.

pub mod given;
pub mod tariff;
pub mod written;

pub use self::{
    given::{BadPrice, Given},
    tariff::{Span, Tariff},
    written::{Parts, Written},
};
use crate::{
    money::{self, NanoUsd, ParseError},
    v1,
};

/// A price in femto-dollars (10⁻¹⁵) per unit: exact for any price per million tokens of up to nine decimal places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitPrice(pub u64);

impl UnitPrice {
    /// Reads USD per million units; at most nine decimal places.
    pub fn parse_per_million(text: &str) -> Result<Self, ParseError> {
        money::scaled(text, 9).map(Self)
    }

    /// Reads USD per unit; at most fifteen decimal places, below 18,000 dollars.
    pub fn parse_per_unit(text: &str) -> Result<Self, ParseError> {
        money::scaled(text, 15).map(Self)
    }

    /// USD per million units as the shortest exact decimal.
    pub fn per_million(self) -> String {
        money::decimal(self.0, 9)
    }

    /// USD per unit as the shortest exact decimal: the form of OpenRouter's `pricing`.
    pub fn per_unit(self) -> String {
        money::decimal(self.0, 15)
    }

    /// With a mark-up, rounded up to what a price can be: to be shown, while bills mark up the whole cost.
    #[must_use]
    pub fn marked_up(self, markup_ppm: u64) -> Self {
        let femto = u128::from(self.0) * (1_000_000 + u128::from(markup_ppm));
        Self(u64::try_from(femto.div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }

    /// What `count` units cost, in femto-dollars.
    pub fn times(self, count: u64) -> u128 {
        u128::from(self.0) * u128::from(count)
    }
}

/// The prices of one attempt with every default filled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    pub input: UnitPrice,
    pub cached_input: UnitPrice,
    pub cache_write: UnitPrice,
    pub cache_write_1h: UnitPrice,
    pub output: UnitPrice,
    pub reasoning: UnitPrice,
    pub request: UnitPrice,
    pub image: UnitPrice,
    pub audio_input: UnitPrice,
    pub audio_output: UnitPrice,
    pub image_output: UnitPrice,
    pub search: UnitPrice,
}

/// The most that an attempt can be billed for, whatever kinds the tokens turn out to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Most {
    /// Prompt tokens.
    pub prompt: u64,
    /// Completion tokens of all answers together.
    pub completion: u64,
    /// Images in the prompt.
    pub images: u64,
    /// Web searches that the provider runs.
    pub searches: u64,
}

impl Prices {
    /// Reads a price without overrides and versions; absent parts take the default that `common.proto` documents.
    ///
    /// # Errors
    /// Names the first field that is no price.
    pub fn parse(price: &Parts) -> Result<Self, BadPrice> {
        Given::read(price).map(Given::filled)
    }

    /// What an attempt's tokens cost.
    ///
    /// Parts that a provider reports larger than their total are cut to it, so nothing is counted twice.
    pub fn cost(&self, tokens: &v1::TokenUsage) -> NanoUsd {
        self.parts(tokens).total
    }

    /// What an attempt's tokens cost, by what they were for.
    pub fn parts(&self, tokens: &v1::TokenUsage) -> Cost {
        let (prompt, completion) = (self.prompt(tokens), self.completion(tokens));
        let fees = [self.search.times(tokens.searches), self.request.times(1)];
        let (of_prompt, of_both) = (sum([prompt]), sum([prompt, completion]));
        Cost {
            total: sum([prompt, completion, fees[0], fees[1]]),
            prompt: of_prompt,
            completion: NanoUsd(of_both.0 - of_prompt.0),
        }
    }

    /// In femto-dollars, images included.
    fn prompt(&self, tokens: &v1::TokenUsage) -> u128 {
        let mut prompt = Rest(tokens.prompt);
        let (cached, written) = (prompt.take(tokens.cached), prompt.take(tokens.cache_write));
        let written_1h = tokens.cache_write_1h.min(written);
        let audio = prompt.take(tokens.audio_prompt);
        add([
            self.input.times(prompt.0),
            self.cached_input.times(cached),
            self.cache_write.times(written - written_1h),
            self.cache_write_1h.times(written_1h),
            self.audio_input.times(audio),
            self.image.times(tokens.images),
        ])
    }

    /// In femto-dollars.
    fn completion(&self, tokens: &v1::TokenUsage) -> u128 {
        let mut completion = Rest(tokens.completion);
        let reasoning = completion.take(tokens.reasoning);
        let (spoken, drawn) =
            (completion.take(tokens.audio_completion), completion.take(tokens.image_completion));
        add([
            self.output.times(completion.0),
            self.reasoning.times(reasoning),
            self.audio_output.times(spoken),
            self.image_output.times(drawn),
        ])
    }

    /// What was bought on an attempt's way, whatever became of its answer: searches.
    pub fn fees(&self, tokens: &v1::TokenUsage) -> NanoUsd {
        sum([self.search.times(tokens.searches)])
    }

    /// The most that an attempt within these bounds can cost.
    pub fn worst(&self, most: &Most) -> NanoUsd {
        sum([
            self.dearest_in().times(most.prompt),
            self.dearest_out().times(most.completion),
            self.image.times(most.images),
            self.search.times(most.searches),
            self.request.times(1),
        ])
    }

    fn dearest_in(&self) -> UnitPrice {
        let cache = self.cached_input.max(self.cache_write).max(self.cache_write_1h);
        self.input.max(cache).max(self.audio_input)
    }

    fn dearest_out(&self) -> UnitPrice {
        self.output.max(self.reasoning).max(self.audio_output).max(self.image_output)
    }
}

/// What an attempt cost, and what of that was for its prompt and for its completion; the rest are fees: of the request
/// itself, and of searches. The total is rounded once, and so is the sum of the parts, which is never more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub total: NanoUsd,
    pub prompt: NanoUsd,
    pub completion: NanoUsd,
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |all, one| Self {
            total: NanoUsd(all.total.0.saturating_add(one.total.0)),
            prompt: NanoUsd(all.prompt.0.saturating_add(one.prompt.0)),
            completion: NanoUsd(all.completion.0.saturating_add(one.completion.0)),
        })
    }
}

/// What is left of a total.
struct Rest(u64);

impl Rest {
    fn take(&mut self, part: u64) -> u64 {
        let part = part.min(self.0);
        self.0 -= part;
        part
    }
}

/// Rounds once, after the sum. Counts that nobody can have are stuck at the largest amount.
fn sum<const N: usize>(femto: [u128; N]) -> NanoUsd {
    money::round_up(add(femto))
}

fn add<const N: usize>(femto: [u128; N]) -> u128 {
    femto.into_iter().fold(0, u128::saturating_add)
}

/// A provider's cost with a tenant's mark-up on it, rounded up with the cost in one step.
pub fn marked_up(cost: NanoUsd, markup_ppm: u64) -> NanoUsd {
    let femto = u128::from(cost.0) * (1_000_000 + u128::from(markup_ppm));
    money::round_up(femto)
}

#[cfg(test)]
mod tests;
