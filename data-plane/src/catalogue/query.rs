//! The query of a list of models, read: filters, order, and which page.
//!
//! What a filter would need and nobody knows here (categories, benchmarks) is refused by name rather than answered with
//! nothing. Parameters of unknown name are passed over, as everywhere on the web.

use std::fmt::Display;
use std::str::FromStr;

use switchyard_proto::code::ErrorCode;
use switchyard_proto::price::UnitPrice;

use crate::error::RequestError;

/// Most models of one page.
const MOST: usize = 1000;

/// What is asked of a list of models.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Query {
    /// As it was sent, for the next page.
    text: String,
    pub offset: usize,
    /// Absent: all.
    pub limit: Option<usize>,
    pub sort: Option<Sort>,
    /// Part of an id, a name or a description, in any case.
    pub search: Option<String>,
    /// All of them are wanted.
    pub parameters: Vec<String>,
    /// All of them are wanted.
    pub inputs: Vec<String>,
    /// One of them is wanted; empty: text. `all` is everything.
    pub outputs: Vec<String>,
    /// The smallest window, in tokens.
    pub context: Option<u64>,
    pub prompt_price: Between<UnitPrice>,
    pub completion_price: Between<UnitPrice>,
    /// Days since the model was made.
    pub age_days: Between<f64>,
    /// Share of answers with tool calls of which all were valid.
    pub tool_success: Between<f64>,
    /// A family of tokenizers.
    pub family: Option<String>,
    pub authors: Vec<String>,
    /// Slugs or display names.
    pub providers: Vec<String>,
    pub distillable: Option<bool>,
    pub zdr: bool,
    pub region: Option<String>,
}

/// Both ends included; absent: no end.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Between<T> {
    pub least: Option<T>,
    pub most: Option<T>,
}

impl<T: PartialOrd> Between<T> {
    /// Whether it is within; what is not known is within nothing but everything.
    pub fn has(&self, value: Option<T>) -> bool {
        match value {
            None => self.least.is_none() && self.most.is_none(),
            Some(value) => {
                self.least.as_ref().is_none_or(|least| value >= *least)
                    && self.most.as_ref().is_none_or(|most| value <= *most)
            }
        }
    }
}

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Newest,
    /// By attempts over the last day, anywhere in the fleet.
    Popular,
    CheapestFirst,
    DearestFirst,
    LongestContext,
    Fastest,
    QuickestStart,
    /// By a score that no model has here: all are last, and the newest of these first.
    Unscored,
}

/// Words of `sort`.
const SORTS: [(&str, Sort); 12] = [
    ("newest", Sort::Newest),
    ("top-weekly", Sort::Popular),
    ("most-popular", Sort::Popular),
    ("pricing-low-to-high", Sort::CheapestFirst),
    ("pricing-high-to-low", Sort::DearestFirst),
    ("context-high-to-low", Sort::LongestContext),
    ("throughput-high-to-low", Sort::Fastest),
    ("latency-low-to-high", Sort::QuickestStart),
    ("intelligence-high-to-low", Sort::Unscored),
    ("coding-high-to-low", Sort::Unscored),
    ("agentic-high-to-low", Sort::Unscored),
    ("design-arena-elo-high-to-low", Sort::Unscored),
];

/// Filters by what nobody knows here.
const UNKNOWN: [&str; 7] = [
    "category",
    "min_intelligence_index",
    "max_intelligence_index",
    "min_coding_index",
    "max_coding_index",
    "min_agentic_index",
    "max_agentic_index",
];

impl Query {
    /// Reads what follows the question mark.
    ///
    /// # Errors
    /// 400 naming the first parameter that cannot be read.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        let mut query = Self { text: text.to_owned(), ..Self::default() };
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            if !value.trim().is_empty() {
                query.take(&name, value.trim())?;
            }
        }
        if query.offset > 0 {
            query.limit = query.limit.or(Some(MOST));
        }
        Ok(query)
    }

    /// Where the page after this one is, of the list at `path`.
    pub fn next_page(&self, path: &str) -> String {
        let pairs = url::form_urlencoded::parse(self.text.as_bytes());
        let pairs = pairs.filter(|(name, _)| name != "offset" && name != "limit");
        let limit = self.limit.unwrap_or(MOST);
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .append_pair("offset", &(self.offset.saturating_add(limit)).to_string())
            .append_pair("limit", &limit.to_string())
            .finish();
        format!("/api/v1{path}?{query}")
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), RequestError> {
        match name {
            "offset" => self.offset = number(name, value)?,
            "limit" => self.limit = Some(limit(name, value)?),
            "sort" => self.sort = Some(sort(value)?),
            "q" => self.search = Some(value.to_lowercase()),
            "supported_parameters" => self.parameters.extend(list(value)),
            "input_modalities" => self.inputs.extend(list(value)),
            "output_modalities" => self.outputs.extend(list(value)),
            "context" => self.context = Some(number(name, value)?),
            "min_price" => self.prompt_price.least = Some(price(name, value)?),
            "max_price" => self.prompt_price.most = Some(price(name, value)?),
            "min_output_price" => self.completion_price.least = Some(price(name, value)?),
            "max_output_price" => self.completion_price.most = Some(price(name, value)?),
            "min_age_days" => self.age_days.least = Some(finite(name, value)?),
            "max_age_days" => self.age_days.most = Some(finite(name, value)?),
            "min_tool_success_rate" => self.tool_success.least = Some(finite(name, value)?),
            "max_tool_success_rate" => self.tool_success.most = Some(finite(name, value)?),
            "arch" => self.family = Some(value.to_owned()),
            "model_authors" => self.authors.extend(list(value)),
            "providers" => self.providers.extend(list(value)),
            "distillable" => self.distillable = Some(flag(name, value)?),
            "zdr" => self.zdr = flag(name, value)?,
            "region" => self.region = Some(value.to_lowercase()),
            "use_rss" if flag(name, value)? => {
                return Err(bad(name, "is not supported: models come as JSON"));
            }
            _ if UNKNOWN.contains(&name) => {
                return Err(bad(
                    name,
                    "cannot be filtered by: this router knows no categories and no benchmarks",
                ));
            }
            _ => {}
        }
        Ok(())
    }
}

/// `a,b`: names in lower case.
fn list(value: &str) -> impl Iterator<Item = String> {
    value.split(',').map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty())
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, RequestError> {
    value.parse().map_err(|_| bad(name, "is not a whole number from 0 on"))
}

fn limit(name: &str, value: &str) -> Result<usize, RequestError> {
    let limit = number(name, value)?;
    if (1..=MOST).contains(&limit) { Ok(limit) } else { Err(bad(name, format!("is not 1 to {MOST}"))) }
}

fn finite(name: &str, value: &str) -> Result<f64, RequestError> {
    let number = value.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| bad(name, "is not a number"))
}

/// Dollars per million tokens; finer ones than a price can have are cut.
fn price(name: &str, value: &str) -> Result<UnitPrice, RequestError> {
    let dollars = finite(name, value)?;
    if dollars < 0.0 {
        return Err(bad(name, "is negative"));
    }
    // Prices beyond what can be held are all the same.
    Ok(UnitPrice::parse_per_million(&format!("{dollars:.9}")).unwrap_or(UnitPrice(u64::MAX)))
}

fn flag(name: &str, value: &str) -> Result<bool, RequestError> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(bad(name, "is neither `true` nor `false`")),
    }
}

fn sort(value: &str) -> Result<Sort, RequestError> {
    let known = SORTS.iter().find(|(word, _)| *word == value);
    known.map(|(_, sort)| *sort).ok_or_else(|| {
        let words: Vec<&str> = SORTS.iter().map(|(word, _)| *word).collect();
        bad("sort", format!("is none of {}", words.join(", ")))
    })
}

fn bad(name: &str, reason: impl Display) -> RequestError {
    RequestError::new(ErrorCode::InvalidRequest, format!("`{name}` {reason}.")).field(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Query {
        Query { text: String::new(), ..Query::parse(text).unwrap() }
    }

    #[test]
    fn parameters_are_read_by_name() {
        let dollars = |text| Some(UnitPrice::parse_per_million(text).unwrap());
        let none = Query::default;
        for (text, expected) in [
            ("", none()),
            ("unheard_of=1&q=", none()),
            ("q=Claude%20Son", Query { search: Some("claude son".into()), ..none() }),
            (
                "supported_parameters=tools,Seed&supported_parameters=stop",
                Query { parameters: ["tools", "seed", "stop"].map(String::from).into(), ..none() },
            ),
            ("output_modalities=all", Query { outputs: vec!["all".into()], ..none() }),
            ("context=200000&zdr=true", Query { context: Some(200_000), zdr: true, ..none() }),
            (
                "min_price=0.1&max_price=2e1",
                Query { prompt_price: Between { least: dollars("0.1"), most: dollars("20") }, ..none() },
            ),
            ("max_output_price=1e30", {
                let most = Some(UnitPrice(u64::MAX));
                Query { completion_price: Between { least: None, most }, ..none() }
            }),
            ("sort=top-weekly&limit=5", Query { sort: Some(Sort::Popular), limit: Some(5), ..none() }),
            ("offset=7", Query { offset: 7, limit: Some(MOST), ..none() }),
            ("distillable=false&region=EU", {
                Query { distillable: Some(false), region: Some("eu".into()), ..none() }
            }),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, field) in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=-1", "limit"),
            ("offset=x", "offset"),
            ("sort=best", "sort"),
            ("context=1.5", "context"),
            ("min_price=-1", "min_price"),
            ("max_price=NaN", "max_price"),
            ("max_age_days=soon", "max_age_days"),
            ("zdr=perhaps", "zdr"),
            ("category=programming", "category"),
            ("min_coding_index=50", "min_coding_index"),
            ("use_rss=true", "use_rss"),
        ] {
            let error = Query::parse(text).unwrap_err();
            assert_eq!(
                (error.code, error.metadata["field"].as_str()),
                (ErrorCode::InvalidRequest, Some(field))
            );
            assert!(error.public.contains(field), "{}", error.public);
        }
    }

    #[test]
    fn the_next_page_asks_the_same_from_further_on() {
        let query = Query::parse("q=a+b&limit=10&offset=20").unwrap();
        assert_eq!(query.next_page("/models"), "/api/v1/models?q=a+b&offset=30&limit=10");
    }

    #[test]
    fn what_is_not_known_is_within_no_bounds() {
        let between = |least, most| Between { least, most };
        for (bounds, value, expected) in [
            (between(None, None), None, true),
            (between(Some(1), None), None, false),
            (between(Some(1), Some(2)), Some(1), true),
            (between(Some(1), Some(2)), Some(2), true),
            (between(Some(1), Some(2)), Some(3), false),
            (between(Some(1), Some(2)), Some(0), false),
        ] {
            assert_eq!(bounds.has(value), expected, "{bounds:?} {value:?}");
        }
    }
}
