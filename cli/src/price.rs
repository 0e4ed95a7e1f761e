//! Prices on the command line: an endpoint's flags, and what a tenant pays in their place.

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Args;
use switchyard_proto::{
    clock,
    price::{Parts, given::NAMES, written},
    v1,
};

/// An endpoint's prices.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Prices")]
pub struct PriceFlags {
    /// USD per million prompt tokens
    #[arg(long = "price-input", value_name = "USD")]
    input: Option<String>,
    /// USD per million prompt tokens from the provider's cache
    #[arg(long = "price-cached-input", value_name = "USD")]
    cached_input: Option<String>,
    /// USD per million prompt tokens written to the provider's cache
    #[arg(long = "price-cache-write", value_name = "USD")]
    cache_write: Option<String>,
    /// USD per million prompt tokens written to a one-hour cache
    #[arg(long = "price-cache-write-1h", value_name = "USD")]
    cache_write_1h: Option<String>,
    /// USD per million completion tokens
    #[arg(long = "price-output", value_name = "USD")]
    output: Option<String>,
    /// USD per million reasoning tokens
    #[arg(long = "price-reasoning", value_name = "USD")]
    reasoning: Option<String>,
    /// USD per request
    #[arg(long = "price-request", value_name = "USD")]
    request: Option<String>,
    /// USD per image in the prompt
    #[arg(long = "price-image", value_name = "USD")]
    image: Option<String>,
    /// USD per million audio tokens in the prompt
    #[arg(long = "price-audio-input", value_name = "USD")]
    audio_input: Option<String>,
    /// USD per million audio tokens in the answer
    #[arg(long = "price-audio-output", value_name = "USD")]
    audio_output: Option<String>,
    /// USD per million image tokens in the answer
    #[arg(long = "price-image-output", value_name = "USD")]
    image_output: Option<String>,
    /// USD per web search that the provider runs
    #[arg(long = "price-search", value_name = "USD")]
    search: Option<String>,
    /// Other prices for long prompts or for hours of the day in UTC: `above=200000,input=2.5,output=15`,
    /// `hours=16:30-00:30,input=0.6`; repeatable, "" clears
    #[arg(long = "price-override", value_name = "LIST")]
    overrides: Vec<String>,
    /// All prices from a moment on: `from=2027-01-01T00:00:00Z,input=1.5,output=7.5`; repeatable, "" clears
    #[arg(long = "price-version", value_name = "LIST")]
    versions: Vec<String>,
}

impl PriceFlags {
    /// The prices as they were, changed by what was given; `None` if nothing was.
    ///
    /// # Errors
    /// Names the flag whose list cannot be read.
    pub fn over(self, before: Option<v1::Price>) -> anyhow::Result<Option<v1::Price>> {
        let before = before.unwrap_or_default();
        let mut price = before.clone();
        for (field, given) in [
            (&mut price.input, self.input),
            (&mut price.cached_input, self.cached_input),
            (&mut price.cache_write, self.cache_write),
            (&mut price.cache_write_1h, self.cache_write_1h),
            (&mut price.output, self.output),
            (&mut price.reasoning, self.reasoning),
            (&mut price.request, self.request),
            (&mut price.image, self.image),
            (&mut price.audio_input, self.audio_input),
            (&mut price.audio_output, self.audio_output),
            (&mut price.image_output, self.image_output),
            (&mut price.search, self.search),
        ] {
            if let Some(given) = given {
                *field = given;
            }
        }
        if let Some(rows) = rows(&self.overrides, one_override).context("--price-override")? {
            price.overrides = rows;
        }
        if let Some(rows) = rows(&self.versions, one_version).context("--price-version")? {
            price.versions = rows;
        }
        Ok((price != before).then_some(price))
    }
}

/// A tenant's price book from its flags; `None` if none was given.
///
/// # Errors
/// Names what in a list cannot be read.
pub fn book(flags: &[String]) -> anyhow::Result<Option<Vec<v1::PriceRule>>> {
    rows(flags, one_rule).context("--price-rule")
}

/// One row a flag; one empty flag clears them all.
fn rows<T>(flags: &[String], read: impl Fn(&str) -> anyhow::Result<T>) -> anyhow::Result<Option<Vec<T>>> {
    let given = flags.iter().filter(|flag| !flag.is_empty());
    let rows = given.map(|flag| read(flag)).collect::<anyhow::Result<_>>()?;
    Ok((!flags.is_empty()).then_some(rows))
}

fn one_override(list: &str) -> anyhow::Result<v1::PriceOverride> {
    let mut row = written::Override::default();
    for (name, value) in pairs(list, &["above", "hours"])? {
        match name {
            "above" => row.min_prompt_tokens = Some(value.parse().context("`above` is no number of tokens")?),
            "hours" => {
                let (start, end) = value.split_once('-').context("`hours` are not HH:MM-HH:MM")?;
                (row.utc_start, row.utc_end) = (start.to_owned(), end.to_owned());
            }
            _ => put(&mut row.price, name, value),
        }
    }
    Ok((&row).into())
}

fn one_version(list: &str) -> anyhow::Result<v1::PriceVersion> {
    let (mut from, mut price) = (None, Parts::default());
    for (name, value) in pairs(list, &["from"])? {
        match name {
            "from" => {
                let time = DateTime::parse_from_rfc3339(value);
                from =
                    Some(time.context("`from` is no time such as 2027-01-01T00:00:00Z")?.with_timezone(&Utc));
            }
            _ => put(&mut price, name, value),
        }
    }
    let from = clock::to_timestamp(from.context("`from` is missing")?);
    Ok(v1::PriceVersion { from: Some(from), price: Some((&price).into()), overrides: Vec::new() })
}

fn one_rule(list: &str) -> anyhow::Result<v1::PriceRule> {
    let (mut rule, mut price) = (v1::PriceRule::default(), Parts::default());
    for (name, value) in pairs(list, &["model", "provider", "markup_ppm"])? {
        match name {
            "model" => value.clone_into(&mut rule.model),
            "provider" => value.clone_into(&mut rule.provider),
            "markup_ppm" => rule.markup_ppm = Some(value.parse().context("`markup_ppm` is no whole number")?),
            _ => put(&mut price, name, value),
        }
    }
    rule.price = (!price.0.is_empty()).then(|| (&price).into());
    Ok(rule)
}

/// `NAME=VALUE,…`: prices, and what else may be named here.
fn pairs<'a>(list: &'a str, others: &[&str]) -> anyhow::Result<Vec<(&'a str, &'a str)>> {
    let read = |pair: &'a str| {
        let Some((name, value)) = pair.split_once('=') else { bail!("`{pair}` is not NAME=VALUE") };
        match NAMES.contains(&name) || others.contains(&name) {
            true => Ok((name, value)),
            false => bail!("`{name}` is not the name of a price; there are {}", NAMES.join(", ")),
        }
    };
    list.split(',').map(read).collect()
}

fn put(parts: &mut Parts, name: &str, value: &str) {
    parts.0.insert(name.to_owned(), value.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(flags: PriceFlags) -> Result<v1::Price, String> {
        flags.over(None).map(Option::unwrap_or_default).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn overrides_and_versions_are_lists_of_pairs() {
        let flags = PriceFlags {
            overrides: vec!["above=5,input=2".into(), "hours=16:30-00:30,output=3".into()],
            versions: vec!["from=2027-01-01T00:00:00Z,input=4".into()],
            ..PriceFlags::default()
        };
        let price = given(flags).unwrap();
        assert_eq!(price.overrides[0].min_prompt_tokens, Some(5));
        assert_eq!(
            (price.overrides[1].utc_start.as_str(), price.overrides[1].utc_end.as_str()),
            ("16:30", "00:30")
        );
        assert_eq!(price.versions[0].from.unwrap().seconds, 1_798_761_600);
        assert_eq!(price.versions[0].price.as_ref().unwrap().input, "4");
    }

    #[test]
    fn what_is_not_given_stays_and_an_empty_list_clears() {
        let before = v1::Price {
            input: "1".into(),
            overrides: vec![v1::PriceOverride::default()],
            ..Default::default()
        };
        let dearer = PriceFlags { output: Some("2".into()), ..PriceFlags::default() };
        let after = dearer.over(Some(before.clone())).unwrap().unwrap();
        assert_eq!((after.input.as_str(), after.overrides.len()), ("1", 1));
        let cleared = PriceFlags { overrides: vec![String::new()], ..PriceFlags::default() };
        assert!(cleared.over(Some(before.clone())).unwrap().unwrap().overrides.is_empty());
        assert_eq!(PriceFlags::default().over(Some(before)).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let one = |list: &str| PriceFlags { overrides: vec![list.into()], ..PriceFlags::default() };
        for (list, error) in [
            ("above=lots,input=1", "--price-override: `above` is no number of tokens"),
            ("hours=16:30,input=1", "--price-override: `hours` are not HH:MM-HH:MM"),
            ("input", "--price-override: `input` is not NAME=VALUE"),
            ("tea=1", "--price-override: `tea` is not the name of a price"),
            ("from=2027-01-01T00:00:00Z,input=1", "--price-override: `from` is not the name of a price"),
        ] {
            let told = given(one(list)).unwrap_err();
            assert!(told.starts_with(error), "{told}");
        }
        let undated = PriceFlags { versions: vec!["input=1".into()], ..PriceFlags::default() };
        assert_eq!(given(undated).unwrap_err(), "--price-version: `from` is missing");
    }

    #[test]
    fn a_rule_is_a_mark_up_or_a_price() {
        let flags = ["model=a/*,provider=p,markup_ppm=50000".to_owned(), "model=b/c,input=1".to_owned()];
        let rules = book(&flags).unwrap().unwrap();
        assert_eq!((rules[0].model.as_str(), rules[0].provider.as_str()), ("a/*", "p"));
        assert_eq!((rules[0].markup_ppm, rules[0].price.is_none()), (Some(50_000), true));
        assert_eq!(rules[1].price.as_ref().unwrap().input, "1");
        assert_eq!((book(&[]).unwrap(), book(&[String::new()]).unwrap()), (None, Some(vec![])));
    }
}
