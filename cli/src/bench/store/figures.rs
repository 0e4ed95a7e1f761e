//! What the bench found, as a table and as JSON.

use std::{io, time::Duration};

use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    bench::store::{asking::Samples, booking::Booked},
    output,
};

/// Figures in the order in which they were found.
pub struct Figures {
    generations: u64,
    rows: Vec<(String, String)>,
    json: Vec<Value>,
}

impl Figures {
    /// None yet.
    pub fn new(generations: u64) -> Self {
        Self { generations, rows: Vec::new(), json: Vec::new() }
    }

    fn put(&mut self, name: &str, shown: String, value: Value) {
        self.rows.push((name.to_owned(), shown));
        self.json.push(json!({"name": name, "value": value}));
    }

    /// Rows were made.
    pub fn filled(&mut self, requests: u64, took: Duration) {
        let rate = requests as f64 / took.as_secs_f64();
        self.put(
            "filled by COPY",
            format!("{requests} requests in {:.0} s, {rate:.0}/s", took.as_secs_f64()),
            json!({"requests": requests, "seconds": took.as_secs_f64()}),
        );
    }

    /// Something took so long.
    pub fn took(&mut self, name: &str, took: Duration) {
        self.put(name, format!("{:.1} s", took.as_secs_f64()), json!({"seconds": took.as_secs_f64()}));
    }

    /// How large everything is.
    ///
    /// # Errors
    /// The database's.
    pub async fn size(&mut self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let (bytes, rolled_up): (i64, i64) =
            sqlx::query_as("SELECT pg_database_size(current_database()), (SELECT count(*) FROM usage_days)")
                .fetch_one(pool)
                .await?;
        let gib = bytes as f64 / f64::from(1 << 30);
        let shown = format!("{gib:.1} GiB, {rolled_up} rows of usage by day");
        self.put("database", shown, json!({"bytes": bytes, "rolled_up_rows": rolled_up}));
        Ok(())
    }

    /// A question was asked many times.
    pub fn asked(&mut self, name: &str, samples: &mut Samples) {
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| samples.quantile(share).as_secs_f64() * 1e3);
        let count = samples.len();
        self.put(
            name,
            format!("p50 {p50:.1} ms, p99 {p99:.1} ms, most {most:.1} ms ({count} times)"),
            json!({"p50_ms": p50, "p99_ms": p99, "most_ms": most, "times": count}),
        );
    }

    /// The load was booked.
    pub fn booked(&mut self, mut booked: Booked) {
        let rate = booked.requests as f64 / booked.took.as_secs_f64();
        let [p50, p99] = [0.5, 0.99].map(|share| booked.batches.quantile(share).as_secs_f64() * 1e3);
        let (took, behind) = (booked.took.as_secs_f64(), booked.behind.as_secs_f64());
        self.put(
            "booked",
            format!(
                "{} requests in {took:.1} s, {rate:.0}/s; the last batch done {behind:.2} s after it was due",
                booked.requests
            ),
            json!({"requests": booked.requests, "seconds": took, "behind_seconds": behind}),
        );
        self.put(
            "a batch",
            format!("of {} requests: p50 {p50:.0} ms, p99 {p99:.0} ms", booked.batch),
            json!({"requests": booked.batch, "p50_ms": p50, "p99_ms": p99}),
        );
    }

    /// The table.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_table(&self, to: &mut impl io::Write) -> io::Result<()> {
        writeln!(to, "{} finished requests over the last 30 days\n", self.generations)?;
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|(name, shown)| vec![name.clone(), shown.clone()]).collect();
        write!(to, "{}", output::lines(&rows))
    }

    /// The same for programs.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", json!({"generations": self.generations, "figures": self.json}))
    }
}
