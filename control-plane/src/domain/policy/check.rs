//! What a policy must be to be stored: everything compiles, every name is known, every number makes sense.

use switchyard_proto::money::NanoUsd;
use switchyard_proto::policy::{Condition, ESCALATE_ON, PREFIX, STICKY_BY, Scope};
use switchyard_proto::price::UnitPrice;

use crate::domain::{
    invalid::{self, Invalid},
    policy::{Deadlines, Draft, Hedge, MaxPrice, Percentiles, Preferences, Stage, Weighted},
    tenant,
};

const MOST_STAGES: usize = 16;
const MOST_MODELS: usize = 32;
const MOST_NAMES: usize = 100;
const LONGEST_SCHEMA: usize = 64 * 1024;
const LONGEST_DEADLINE_MS: u64 = 24 * 60 * 60 * 1000;

/// Checks a policy's id: it stands in paths and after `policy/`.
///
/// # Errors
/// Names the field `id`.
pub fn check_id(id: &str) -> Result<(), Invalid> {
    tenant::check_slug(id).map_err(|invalid| Invalid::new("id", invalid.reason))
}

impl Draft {
    /// Checks everything that needs no other row.
    ///
    /// # Errors
    /// Names the field as it is called in `Policy`, e.g. `stages[1].when`, a condition's with line and column.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::text("description", &self.description, 2000)?;
        condition("match", &self.matches, Scope::Request)?;
        one_of("sticky_by", &self.sticky_by, STICKY_BY)?;
        self.deadlines.check()?;
        if self.stages.is_empty() {
            return Err(Invalid::new("stages", "has none; at least one is needed"));
        }
        not_more("stages", self.stages.len(), MOST_STAGES)?;
        for (index, stage) in self.stages.iter().enumerate() {
            stage.check().map_err(|invalid| invalid.within(&format!("stages[{index}]")))?;
            let name = &stage.name;
            if !name.is_empty() && self.stages[..index].iter().any(|other| other.name == *name) {
                return Err(Invalid::new(
                    format!("stages[{index}].name"),
                    format!("is `{name}` a second time"),
                ));
            }
        }
        Ok(())
    }
}

impl Stage {
    fn check(&self) -> Result<(), Invalid> {
        invalid::text("name", &self.name, 100)?;
        condition("when", &self.when, Scope::Request)?;
        if self.models.is_empty() {
            return Err(Invalid::new("models", "has none; at least one is needed"));
        }
        not_more("models", self.models.len(), MOST_MODELS)?;
        for (index, model) in self.models.iter().enumerate() {
            model.check().map_err(|invalid| invalid.within(&format!("models[{index}]")))?;
        }
        self.provider.check().map_err(|invalid| invalid.within("provider"))?;
        self.check_escalation()?;
        condition("check", &self.check, Scope::Answer)?;
        schema(&self.schema)?;
        self.deadlines.check()?;
        self.hedge.check()?;
        invalid::at_most("retries", self.retries.unwrap_or(0).into(), 10)
    }

    fn check_escalation(&self) -> Result<(), Invalid> {
        for (index, name) in self.escalate_on.iter().enumerate() {
            let field = format!("escalate_on[{index}]");
            if name.is_empty() {
                return Err(Invalid::new(field, "is required"));
            }
            one_of(&field, name, ESCALATE_ON)?;
            if name == "check" && self.check.is_empty() {
                return Err(Invalid::new(field, "is `check`, but the stage has no check"));
            }
        }
        Ok(())
    }
}

impl Weighted {
    fn check(&self) -> Result<(), Invalid> {
        invalid::required("model", &self.model, 200)?;
        if self.model.starts_with(PREFIX) {
            return Err(Invalid::new("model", "is a policy; a policy cannot name a policy"));
        }
        invalid::at_most("weight", self.weight.into(), 1_000_000)
    }
}

impl Preferences {
    fn check(&self) -> Result<(), Invalid> {
        let lists = [
            ("order", &self.order),
            ("only", &self.only),
            ("ignore", &self.ignore),
            ("quantizations", &self.quantizations),
        ];
        for (field, list) in lists {
            not_more(field, list.len(), MOST_NAMES)?;
            for (index, name) in list.iter().enumerate() {
                invalid::required(&format!("{field}[{index}]"), name, 100)?;
            }
        }
        one_of("sort", &self.sort, &["price", "throughput", "latency", "exacto"])?;
        one_of("partition", &self.partition, &["model", "none"])?;
        if !self.partition.is_empty() && self.sort.is_empty() {
            return Err(Invalid::new("partition", "is given, but there is no `sort` that it is about"));
        }
        self.preferred_min_throughput.check("preferred_min_throughput")?;
        self.preferred_max_latency.check("preferred_max_latency")?;
        one_of("data_collection", &self.data_collection, &["allow", "deny"])?;
        self.max_price.check()
    }
}

impl Percentiles {
    fn check(&self, field: &str) -> Result<(), Invalid> {
        let figures = [("p50", self.p50), ("p75", self.p75), ("p90", self.p90), ("p99", self.p99)];
        let is_wrong = |figure: f64| !figure.is_finite() || figure <= 0.0;
        match figures.into_iter().find(|(_, figure)| figure.is_some_and(is_wrong)) {
            Some((name, _)) => Err(Invalid::new(format!("{field}.{name}"), "must be more than 0")),
            None => Ok(()),
        }
    }
}

impl MaxPrice {
    fn check(&self) -> Result<(), Invalid> {
        let per_million =
            [("prompt", &self.prompt), ("completion", &self.completion), ("audio", &self.audio)];
        let per_unit = [("request", &self.request), ("image", &self.image)];
        let read = per_million.map(|(name, text)| (name, text, UnitPrice::parse_per_million(text)));
        let units = per_unit.map(|(name, text)| (name, text, UnitPrice::parse_per_unit(text)));
        for (name, text, price) in read.into_iter().chain(units) {
            if !text.is_empty() {
                price.map_err(|reason| Invalid::new(format!("max_price.{name}"), reason))?;
            }
        }
        Ok(())
    }
}

impl Deadlines {
    fn check(&self) -> Result<(), Invalid> {
        let times = [
            ("connect_ms", self.connect_ms),
            ("headers_ms", self.headers_ms),
            ("first_content_ms", self.first_content_ms),
            ("idle_ms", self.idle_ms),
            ("total_ms", self.total_ms),
        ];
        for (name, milliseconds) in times {
            let field = format!("deadlines.{name}");
            if milliseconds == Some(0) {
                return Err(Invalid::new(field, "must be more than 0"));
            }
            invalid::at_most(&field, milliseconds.unwrap_or(0), LONGEST_DEADLINE_MS)?;
        }
        Ok(())
    }
}

impl Hedge {
    fn check(&self) -> Result<(), Invalid> {
        invalid::at_most("hedge.quantile_permille", self.quantile_permille.into(), 999)?;
        invalid::at_most("hedge.max_rate_permille", self.max_rate_permille.into(), 1000)?;
        match self.max_usd.as_str() {
            "" => Ok(()),
            text => NanoUsd::parse(text).map(drop).map_err(|why| Invalid::new("hedge.max_usd", why)),
        }
    }
}

fn condition(field: &str, source: &str, scope: Scope) -> Result<(), Invalid> {
    if source.is_empty() {
        return Ok(());
    }
    Condition::compile(source, scope).map(|_| ()).map_err(|error| {
        let (line, column) = (error.line, error.column);
        Invalid::new(field, format!("does not compile at line {line}, column {column}: {}", error.message))
    })
}

fn schema(text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Ok(());
    }
    not_more("schema", text.len(), LONGEST_SCHEMA)?;
    match serde_json::from_str(text) {
        Ok(schema @ serde_json::Value::Object(_)) => is_schema(&schema),
        Ok(_) => Err(Invalid::new("schema", "is not a JSON object")),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            Err(Invalid::new("schema", format!("is not JSON at line {line}, column {column}")))
        }
    }
}

/// Whether it keeps the rules for schemas. Those of another draft are the data planes' to judge, and so is what takes
/// compiling to find out.
fn is_schema(schema: &serde_json::Value) -> Result<(), Invalid> {
    if schema.get("$schema").is_some() {
        return Ok(());
    }
    jsonschema::draft202012::meta::validate(schema).map_err(|error| {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { "/" } else { &place };
        Invalid::new(
            "schema",
            format!("is not a JSON schema: {place} breaks the rule `{}`", error.kind().keyword()),
        )
    })
}

fn one_of(field: &str, name: &str, known: &[&str]) -> Result<(), Invalid> {
    if name.is_empty() || known.contains(&name) {
        return Ok(());
    }
    Err(Invalid::new(field, format!("is `{name}`, which is none of {}", known.join(", "))))
}

fn not_more(field: &str, count: usize, most: usize) -> Result<(), Invalid> {
    invalid::at_most(field, count as u64, most as u64)
        .map_err(|_| Invalid::new(field, format!("has more than {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fine() -> Draft {
        let model = Weighted { model: "a/b".into(), weight: 0 };
        let stage = Stage { models: vec![model], ..Stage::default() };
        Draft { stages: vec![stage.clone(), stage], ..Draft::default() }
    }

    #[test]
    fn a_draft_is_checked_by_field() {
        assert_eq!(fine().check(), Ok(()));
        let check = |field: &str, says: &str, spoil: fn(&mut Draft)| {
            let mut draft = fine();
            spoil(&mut draft);
            let invalid = draft.check().expect_err(field);
            assert_eq!(invalid.field, field);
            assert!(invalid.reason.contains(says), "{invalid}");
        };
        check("match", "does not compile at line 1, column 1: `x` is not a variable", |d| {
            d.matches = "x".into()
        });
        check("stages", "at least one", |d| d.stages.clear());
        check("stages", "more than 16", |d| d.stages = vec![d.stages[0].clone(); 17]);
        check("sticky_by", "none of request, user", |d| d.sticky_by = "glue".into());
        check("deadlines.idle_ms", "more than 0", |d| d.deadlines.idle_ms = Some(0));
        check("stages[1].when", "line 2, column 5", |d| {
            d.stages[1].when = "request.stream\n && request.colour == ''".into();
        });
        check("stages[1].check", "line 1, column 1", |d| d.stages[1].check = "answer.mood == ''".into());
        check("stages[1].name", "a second time", |d| {
            d.stages.iter_mut().for_each(|s| s.name = "same".into())
        });
        check("stages[0].models", "at least one", |d| d.stages[0].models.clear());
        check("stages[0].models[0].model", "is required", |d| d.stages[0].models[0].model.clear());
        check("stages[0].models[0].model", "a policy", |d| d.stages[0].models[0].model = "policy/x".into());
        check("stages[0].escalate_on[0]", "none of error", |d| d.stages[0].escalate_on = vec!["mood".into()]);
        check("stages[0].escalate_on[0]", "no check", |d| d.stages[0].escalate_on = vec!["check".into()]);
        check("stages[0].schema", "not JSON at line 1", |d| d.stages[0].schema = "{".into());
        check("stages[0].schema", "/type breaks", |d| d.stages[0].schema = r#"{"type": "word"}"#.into());
        check("stages[0].schema", "JSON object", |d| d.stages[0].schema = "1".into());
        check("stages[0].provider.sort", "none of price", |d| d.stages[0].provider.sort = "luck".into());
        check("stages[0].provider.only[0]", "is required", |d| {
            d.stages[0].provider.only = vec![String::new()]
        });
        check("stages[0].provider.max_price.prompt", "", |d| {
            d.stages[0].provider.max_price.prompt = "cheap".into();
        });
        check("stages[0].provider.partition", "none of model, none", |d| {
            d.stages[0].provider.sort = "price".into();
            d.stages[0].provider.partition = "half".into();
        });
        check("stages[0].provider.partition", "no `sort`", |d| {
            d.stages[0].provider.partition = "none".into();
        });
        check("stages[0].provider.preferred_min_throughput.p90", "more than 0", |d| {
            d.stages[0].provider.preferred_min_throughput.p90 = Some(0.0);
        });
        check("stages[0].provider.preferred_max_latency.p50", "more than 0", |d| {
            d.stages[0].provider.preferred_max_latency.p50 = Some(f64::NAN);
        });
        check("stages[0].hedge.quantile_permille", "999", |d| d.stages[0].hedge.quantile_permille = 1000);
        check("stages[0].hedge.max_usd", "", |d| d.stages[0].hedge.max_usd = "a dollar".into());
        check("stages[0].retries", "more than 10", |d| d.stages[0].retries = Some(11));
    }

    #[test]
    fn ceilings_are_read_in_the_unit_that_requests_write_them_in() {
        // 20,000 dollars are a price per million tokens, and none per request.
        for (name, fine, set) in [
            ("prompt", true, (|price, text| price.prompt = text) as fn(&mut MaxPrice, String)),
            ("completion", true, |price, text| price.completion = text),
            ("audio", true, |price, text| price.audio = text),
            ("request", false, |price, text| price.request = text),
            ("image", false, |price, text| price.image = text),
        ] {
            let mut draft = self::fine();
            set(&mut draft.stages[0].provider.max_price, "20000".to_owned());
            assert_eq!(draft.check().is_ok(), fine, "{name}");
        }
    }

    #[test]
    fn ids_are_slugs() {
        for (id, fine) in [("cheap-then-strong", true), ("", false), ("a/b", false), ("Up", false)] {
            assert_eq!(check_id(id).is_ok(), fine, "{id}");
        }
    }
}
