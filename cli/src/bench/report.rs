//! The results of a run, as a table for people and JSON for tools.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use crate::bench::driver::Findings;
use crate::bench::plan::Plan;
use crate::bench::samples::Samples;

/// Which target is what: see [`crate::bench::driver::run`].
const UPSTREAM: usize = 0;
const REFERENCE: usize = 1;

#[derive(Debug, Serialize)]
pub struct Report {
    plan: Plan,
    targets: Vec<String>,
    measures: Vec<Measure>,
}

/// One figure for every target.
#[derive(Debug, Serialize)]
struct Measure {
    name: &'static str,
    unit: &'static str,
    #[serde(skip)]
    row: Vec<Option<f64>>,
    /// By target.
    values: BTreeMap<String, f64>,
    /// To the pass-through, by target; differences have none.
    ratios: BTreeMap<String, f64>,
}

impl Report {
    pub fn new(targets: Vec<String>, findings: Vec<Findings>, plan: Plan) -> Self {
        let measures = rows(&findings).into_iter().map(|row| Measure::new(row, &targets)).collect();
        Self { plan, targets, measures }
    }

    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// Writes a table: one line a measure, one column a target, the ratio to the pass-through in brackets.
    pub fn write_table(&self, out: &mut dyn Write) -> io::Result<()> {
        let Plan { rounds, connections, rate, streams, chunk_every_ms, .. } = self.plan;
        writeln!(
            out,
            "{rounds} rounds; closed loop with {connections} connections, open loop with {rate} requests/s, \
             {streams} streams with a chunk every {chunk_every_ms} ms; (×) is the ratio to the pass-through"
        )?;
        write!(out, "\n{:<42}", "")?;
        for name in &self.targets {
            write!(out, "{name:>24}")?;
        }
        writeln!(out)?;
        for measure in &self.measures {
            write!(out, "{:<42}", format!("{} [{}]", measure.name, measure.unit))?;
            for (i, value) in measure.row.iter().enumerate() {
                write!(out, "{:>24}", cell(*value, measure.ratio(i).filter(|_| i > REFERENCE)))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

impl Measure {
    fn new((name, unit, row): (&'static str, &'static str, Vec<Option<f64>>), targets: &[String]) -> Self {
        let mut measure = Self { name, unit, row, values: BTreeMap::new(), ratios: BTreeMap::new() };
        for (i, target) in targets.iter().enumerate() {
            measure.values.extend(measure.row[i].map(|value| (target.clone(), value)));
            measure.ratios.extend(measure.ratio(i).map(|ratio| (target.clone(), ratio)));
        }
        measure
    }

    fn ratio(&self, i: usize) -> Option<f64> {
        let reference = self.row.get(REFERENCE).copied().flatten().filter(|value| *value > 0.0)?;
        Some(self.row[i]? / reference)
    }
}

type Row = (&'static str, &'static str, Vec<Option<f64>>);

fn rows(findings: &[Findings]) -> Vec<Row> {
    let row =
        |name, unit, pick: fn(&Findings) -> Option<f64>| (name, unit, findings.iter().map(pick).collect());
    let over = |base: usize, name, samples: fn(&Findings) -> &Samples, percent: f64| {
        let base_us = findings.get(base).and_then(|base| samples(base).percentile_us(percent));
        let over = |found: &Findings| Some(samples(found).percentile_us(percent)? - base_us?);
        let row = findings.iter().enumerate().map(|(i, found)| over(found).filter(|_| i > base));
        (name, "µs", row.collect())
    };
    vec![
        row("throughput", "requests/s", |f| f.requests_per_second),
        row("CPU per request", "µs", |f| f.cpu_us_per_request),
        row("latency p50", "µs", |f| f.latency.percentile_us(50.0)),
        row("latency p99", "µs", |f| f.latency.percentile_us(99.0)),
        over(UPSTREAM, "added latency p50", |f| &f.latency, 50.0),
        over(UPSTREAM, "added latency p99", |f| &f.latency, 99.0),
        over(REFERENCE, "over the pass-through p50", |f| &f.latency, 50.0),
        over(REFERENCE, "over the pass-through p99", |f| &f.latency, 99.0),
        row("time to first token p50", "µs", |f| f.first_content.percentile_us(50.0)),
        row("time to first token p99", "µs", |f| f.first_content.percentile_us(99.0)),
        over(UPSTREAM, "added to first token p50", |f| &f.first_content, 50.0),
        over(UPSTREAM, "added to first token p99", |f| &f.first_content, 99.0),
        over(REFERENCE, "first token over pass-through p50", |f| &f.first_content, 50.0),
        over(REFERENCE, "first token over pass-through p99", |f| &f.first_content, 99.0),
        row("load generator late p99", "µs", |f| f.late.percentile_us(99.0)),
        row("CPU per streamed chunk", "µs", |f| f.cpu_us_per_chunk),
        row("1 MB prompts", "requests/s", |f| f.megabyte_prompts_per_second),
        row("CPU per 1 MB prompt", "µs", |f| f.cpu_us_per_megabyte),
        row("300 KB prompts", "requests/s", |f| f.large_prompts_per_second),
        row("CPU per 300 KB prompt", "µs", |f| f.cpu_us_per_large_prompt),
        row("memory idle", "MiB", |f| f.idle_kib.map(mib)),
        row("memory loaded", "MiB", |f| f.loaded_kib.map(mib)),
        row("memory peak", "MiB", |f| f.peak_kib.map(mib)),
    ]
}

fn mib(kib: f64) -> f64 {
    kib / 1_024.0
}

fn cell(value: Option<f64>, ratio: Option<f64>) -> String {
    let Some(value) = value else { return "-".to_owned() };
    let digits = if value.abs() >= 1_000.0 { 0 } else { 1 };
    let ratio = ratio.map(|ratio| format!(" ({ratio:.2}×)")).unwrap_or_default();
    format!("{value:.digits$}{ratio}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report() -> Report {
        let found = |cpu, latency_us| {
            let mut found = Findings { cpu_us_per_request: Some(cpu), ..Findings::default() };
            found.latency.add_round(vec![Duration::from_micros(latency_us)]);
            found
        };
        let names = ["upstream", "pass-through", "governed"].map(str::to_owned).to_vec();
        Report::new(names, vec![found(10.0, 100), found(30.0, 200), found(45.0, 250)], Plan::QUICK)
    }

    #[test]
    fn json_holds_values_and_ratios_to_the_pass_through() {
        let json: serde_json::Value =
            serde_json::from_str(&report().to_json().expect("serialises")).expect("is JSON");
        let measure = |name: &str| {
            let measures = json["measures"].as_array().expect("is a list");
            measures.iter().find(|measure| measure["name"] == name).cloned().unwrap_or_default()
        };
        assert_eq!(measure("CPU per request")["values"]["governed"], 45.0);
        assert_eq!(measure("CPU per request")["ratios"]["governed"], 1.5);
        assert_eq!(measure("added latency p50")["values"]["pass-through"], 100.0);
        assert_eq!(measure("added latency p50")["values"].get("upstream"), None);
        assert_eq!(measure("over the pass-through p50")["values"], serde_json::json!({"governed": 50.0}));
        assert_eq!(measure("throughput")["values"], serde_json::json!({}));
    }

    #[test]
    fn the_table_shows_ratios_for_all_that_come_after_the_pass_through() {
        let mut table = Vec::new();
        report().write_table(&mut table).expect("memory does not fail");
        let table = String::from_utf8(table).expect("is text");
        let line = table.lines().find(|line| line.starts_with("CPU per request")).expect("has its line");
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells, ["CPU", "per", "request", "[µs]", "10.0", "30.0", "45.0", "(1.50×)"]);
    }
}
