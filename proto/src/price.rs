//! Prices of an endpoint, exact, and what tokens cost at them.

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

    /// What `count` units cost, in femto-dollars.
    pub fn times(self, count: u64) -> u128 {
        u128::from(self.0) * u128::from(count)
    }
}

/// An endpoint's prices with every default filled in.
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
}

/// A price that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`price.{field}` {reason}")]
pub struct BadPrice {
    pub field: &'static str,
    pub reason: ParseError,
}

impl Prices {
    /// Reads an endpoint's price; absent parts take the default that `common.proto` documents.
    ///
    /// # Errors
    /// Names the first field that is no price.
    pub fn parse(price: &v1::Price) -> Result<Self, BadPrice> {
        let per_million = |field, text: &str, default| match text {
            "" => Ok(default),
            text => UnitPrice::parse_per_million(text).map_err(|reason| BadPrice { field, reason }),
        };
        let per_unit = |field, text: &str| match text {
            "" => Ok(UnitPrice::default()),
            text => UnitPrice::parse_per_unit(text).map_err(|reason| BadPrice { field, reason }),
        };
        let input = per_million("input", &price.input, UnitPrice::default())?;
        let output = per_million("output", &price.output, UnitPrice::default())?;
        let cache_write = per_million("cache_write", &price.cache_write, input)?;
        Ok(Self {
            input,
            cached_input: per_million("cached_input", &price.cached_input, input)?,
            cache_write,
            cache_write_1h: per_million("cache_write_1h", &price.cache_write_1h, cache_write)?,
            output,
            reasoning: per_million("reasoning", &price.reasoning, output)?,
            request: per_unit("request", &price.request)?,
            image: per_unit("image", &price.image)?,
            audio_input: per_million("audio_input", &price.audio_input, input)?,
        })
    }

    /// What an attempt's tokens cost.
    ///
    /// Parts that a provider reports larger than their total are cut to it, so nothing is counted twice.
    pub fn cost(&self, tokens: &v1::TokenUsage) -> NanoUsd {
        let cached = tokens.cached.min(tokens.prompt);
        let written = tokens.cache_write.min(tokens.prompt - cached);
        let written_1h = tokens.cache_write_1h.min(written);
        let audio = tokens.audio_prompt.min(tokens.prompt - cached - written);
        let plain = tokens.prompt - cached - written - audio;
        let reasoning = tokens.reasoning.min(tokens.completion);
        money::round_up(
            self.input.times(plain)
                + self.cached_input.times(cached)
                + self.cache_write.times(written - written_1h)
                + self.cache_write_1h.times(written_1h)
                + self.audio_input.times(audio)
                + self.image.times(tokens.images)
                + self.reasoning.times(reasoning)
                + self.output.times(tokens.completion - reasoning)
                + self.request.times(1),
        )
    }

    /// The most that `prompt` and `completion` tokens and `images` can cost, whatever kind they turn out to be.
    pub fn worst(&self, prompt: u64, completion: u64, images: u64) -> NanoUsd {
        let dearest_in =
            [self.input, self.cached_input, self.cache_write, self.cache_write_1h, self.audio_input]
                .into_iter()
                .max()
                .unwrap_or_default();
        let dearest_out = self.output.max(self.reasoning);
        money::round_up(
            dearest_in.times(prompt)
                + dearest_out.times(completion)
                + self.image.times(images)
                + self.request.times(1),
        )
    }
}

/// A provider's cost with a tenant's mark-up on it, rounded up with the cost in one step.
pub fn marked_up(cost: NanoUsd, markup_ppm: u64) -> NanoUsd {
    let femto = u128::from(cost.0) * (1_000_000 + u128::from(markup_ppm));
    money::round_up(femto)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        Prices::parse(&v1::Price {
            input: "3".into(),
            cached_input: "0.3".into(),
            cache_write: "3.75".into(),
            output: "15".into(),
            ..Default::default()
        })
        .unwrap()
    }

    #[test]
    fn tokens_cost_by_their_kind() {
        let tokens = v1::TokenUsage {
            prompt: 1000,
            cached: 400,
            cache_write: 100,
            completion: 10,
            ..Default::default()
        };
        // 500 × 3 + 400 × 0.3 + 100 × 3.75 + 10 × 15 dollars per million.
        assert_eq!(prices().cost(&tokens).to_string(), "0.002145");
    }

    #[test]
    fn parts_larger_than_their_total_are_not_counted_twice() {
        let tokens =
            v1::TokenUsage { prompt: 10, cached: 50, completion: 1, reasoning: 9, ..Default::default() };
        assert_eq!(prices().cost(&tokens), NanoUsd(10 * 300 + 15_000));
    }

    #[test]
    fn no_usage_costs_more_than_the_worst_case() {
        let worst = prices().worst(100, 50, 0);
        for cached in 0..=100 {
            for cache_write in 0..=100 - cached {
                let tokens =
                    v1::TokenUsage { prompt: 100, cached, cache_write, completion: 50, ..Default::default() };
                assert!(prices().cost(&tokens) <= worst);
            }
        }
    }

    #[test]
    fn a_price_that_is_no_number_is_named() {
        let error = Prices::parse(&v1::Price { output: "cheap".into(), ..Default::default() }).unwrap_err();
        assert_eq!(error.to_string(), "`price.output` is not a decimal number of dollars");
    }

    #[test]
    fn prices_per_unit_are_exact() {
        assert_eq!(UnitPrice::parse_per_million("0.25").unwrap().per_unit(), "0.00000025");
    }

    #[test]
    fn markup_is_rounded_up() {
        assert_eq!(marked_up(NanoUsd(10), 50_000), NanoUsd(11));
        assert_eq!(marked_up(NanoUsd(10), 0), NanoUsd(10));
    }
}
