//! Prices as they are written: decimal texts by name, of which some are absent.

use crate::{
    money::ParseError,
    price::{Parts, Prices, UnitPrice},
    v1,
};

/// A price that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`price.{field}` {reason}")]
pub struct BadPrice {
    /// Within the price, e.g. `overrides[0].price.input`.
    pub field: String,
    pub reason: Reason,
}

/// Why a price cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    #[error(transparent)]
    Amount(#[from] ParseError),
    #[error("{0}")]
    Rule(&'static str),
}

impl BadPrice {
    pub(super) fn rule(field: impl Into<String>, reason: &'static str) -> Self {
        Self { field: field.into(), reason: Reason::Rule(reason) }
    }

    /// The same, of a part of something larger.
    pub(super) fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), ..self }
    }
}

/// Each price by name, and how its text is read and written.
macro_rules! prices {
    ($($name:ident: $read:ident, $write:ident;)*) => {
        /// The names of all prices, as the wire has them.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];

        /// Prices before defaults are filled in.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Given {
            $(pub $name: Option<UnitPrice>,)*
        }

        impl Given {
            /// Reads the prices that are given.
            ///
            /// # Errors
            /// Names the first that is no price, or that nobody knows.
            pub fn read(parts: &Parts) -> Result<Self, BadPrice> {
                let mut given = Self::default();
                for (name, text) in &parts.0 {
                    let (place, read) = match name.as_str() {
                        $(stringify!($name) => (&mut given.$name, UnitPrice::$read(text)),)*
                        _ => return Err(BadPrice::rule(name, "is not the name of a price")),
                    };
                    *place = Some(read.map_err(|reason| BadPrice { field: name.clone(), reason: reason.into() })?);
                }
                Ok(given)
            }

            /// These prices, and another's where these have none.
            #[must_use]
            pub fn over(self, under: Self) -> Self {
                Self { $($name: self.$name.or(under.$name),)* }
            }

            /// Each price changed.
            #[must_use]
            pub fn map(self, change: impl Fn(UnitPrice) -> UnitPrice) -> Self {
                Self { $($name: self.$name.map(&change),)* }
            }
        }

        impl Prices {
            /// Each price changed.
            #[must_use]
            pub fn map(self, change: impl Fn(UnitPrice) -> UnitPrice) -> Self {
                Self { $($name: change(self.$name),)* }
            }
        }

        impl v1::PriceParts {
            /// The prices that are given, by name.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
                let all = [$((stringify!($name), self.$name.as_str()),)*];
                all.into_iter().filter(|(_, text)| !text.is_empty())
            }

            /// Prices by name; an empty text is none.
            pub fn of_named(text: impl Fn(&str) -> String) -> Self {
                Self { $($name: text(stringify!($name)),)* }
            }
        }

        impl v1::Price {
            /// The prices alone, without overrides and versions.
            pub fn parts(&self) -> v1::PriceParts {
                v1::PriceParts { $($name: self.$name.clone(),)* }
            }
        }

        impl From<v1::PriceParts> for v1::Price {
            fn from(parts: v1::PriceParts) -> Self {
                Self { $($name: parts.$name,)* overrides: Vec::new(), versions: Vec::new() }
            }
        }

        impl From<&Given> for v1::PriceParts {
            fn from(given: &Given) -> Self {
                Self { $($name: given.$name.map(UnitPrice::$write).unwrap_or_default(),)* }
            }
        }
    };
}

prices! {
    input: parse_per_million, per_million;
    cached_input: parse_per_million, per_million;
    cache_write: parse_per_million, per_million;
    cache_write_1h: parse_per_million, per_million;
    output: parse_per_million, per_million;
    reasoning: parse_per_million, per_million;
    request: parse_per_unit, per_unit;
    image: parse_per_unit, per_unit;
    audio_input: parse_per_million, per_million;
    audio_output: parse_per_million, per_million;
    image_output: parse_per_million, per_million;
    search: parse_per_unit, per_unit;
}

impl Given {
    /// With the defaults that `common.proto` documents.
    pub fn filled(self) -> Prices {
        let (input, output) = (self.input.unwrap_or_default(), self.output.unwrap_or_default());
        let cache_write = self.cache_write.unwrap_or(input);
        Prices {
            input,
            cached_input: self.cached_input.unwrap_or(input),
            cache_write,
            cache_write_1h: self.cache_write_1h.unwrap_or(cache_write),
            output,
            reasoning: self.reasoning.unwrap_or(output),
            request: self.request.unwrap_or_default(),
            image: self.image.unwrap_or_default(),
            audio_input: self.audio_input.unwrap_or(input),
            audio_output: self.audio_output.unwrap_or(output),
            image_output: self.image_output.unwrap_or(output),
            search: self.search.unwrap_or_default(),
        }
    }
}
