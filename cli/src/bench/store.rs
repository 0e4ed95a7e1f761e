//! `switchyard bench store`: ten million finished requests in a PostgreSQL of our own, then what a month's report takes,
//! alone and beside two thousand new requests a second.
//!
//! Everything is the product's own: the schema, a whole control plane with its jobs, its admin API, the function that
//! books usage. Map: `fill` (the rows), `plane` (the control plane), `booking` (the load), `asking` (the questions),
//! `figures` (what came of it).

mod asking;
mod booking;
mod figures;
mod fill;
mod plane;

use std::{io, path::PathBuf, time::Instant};

use chrono::{Days, NaiveDate};
use sqlx::{PgPool, postgres::PgPoolOptions};
use switchyard_proto::clock;

use crate::{
    bench::store::{
        figures::Figures,
        plane::{Plane, PlaneError},
    },
    dev::postgres::{Durability, Error as PostgresError, Options, Postgres},
};

/// The name of the database; its server is in the folder of the bench.
const DATABASE: &str = "bench";

/// Measure booking and reporting over many finished requests.
///
/// The rows are made once and kept in the folder: later runs only add the days that are missing.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where the database is kept.
    #[arg(long, value_name = "DIR", default_value = "target/bench-store")]
    data_dir: PathBuf,
    /// Finished requests of the last 30 days.
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    generations: u64,
    /// New requests per second.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    rate: u64,
    /// How long they come.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// Rough figures: 300,000 requests in a folder of their own, ten seconds of new ones.
    #[arg(long, conflicts_with_all = ["generations", "seconds"])]
    quick: bool,
    /// Write the figures as JSON here too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot start PostgreSQL")]
    Postgres(#[from] PostgresError),
    #[error("PostgreSQL refused a statement")]
    Statement(#[from] sqlx::Error),
    #[error("cannot start a control plane")]
    Plane(#[from] PlaneError),
    #[error("the control plane refused a report: {0}")]
    Refused(#[from] Box<tonic::Status>),
    #[error("usage could not be booked: {0}")]
    Booking(String),
    #[error("input or output failed")]
    Io(#[from] io::Error),
}

/// How much is made and measured.
#[derive(Debug, Clone, Copy)]
struct Plan {
    generations: u64,
    rate: u64,
    seconds: u64,
    /// Times that each question is asked without load.
    questions: usize,
}

/// Runs the bench to its end. Blocks; call it outside any runtime.
///
/// # Errors
/// Names the part that failed.
pub fn run(args: &Args) -> Result<(), StoreError> {
    let runtime = tokio::runtime::Runtime::new()?;
    let figures = runtime.block_on(measure(args))?;
    figures.write_table(&mut io::stdout().lock())?;
    if let Some(path) = &args.json {
        std::fs::write(path, figures.to_json())?;
    }
    Ok(())
}

async fn measure(args: &Args) -> Result<Figures, StoreError> {
    let (plan, folder) = match args.quick {
        true => (
            Plan { generations: 300_000, rate: args.rate, seconds: 10, questions: 50 },
            args.data_dir.join("quick"),
        ),
        false => (
            Plan { generations: args.generations, rate: args.rate, seconds: args.seconds, questions: 300 },
            args.data_dir.join("whole"),
        ),
    };
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let options = Options {
        data_dir: folder.join("postgres"),
        // As an operator would run it: what is booked is on the disk.
        durability: Durability::Machine,
        ephemeral: false,
        max_connections: 100,
    };
    let postgres = Postgres::start(options).await?;
    let done = with_server(&postgres, &folder, plan).await;
    postgres.stop().await?;
    done
}

async fn with_server(
    postgres: &Postgres,
    folder: &std::path::Path,
    plan: Plan,
) -> Result<Figures, StoreError> {
    let url = postgres.url(DATABASE);
    let admin = PgPool::connect(&postgres.url("postgres")).await?;
    let is_there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(DATABASE)
        .fetch_one(&admin)
        .await?;
    admin.close().await;
    if !is_there {
        postgres.create_database(DATABASE, None).await?;
    }
    let plane = Plane::start(&url, folder).await?;
    let pool = PgPoolOptions::new().max_connections(12).connect(&url).await?;
    let done = with_plane(&plane, &pool, plan).await;
    pool.close().await;
    plane.stop().await;
    done
}

async fn with_plane(plane: &Plane, pool: &PgPool, plan: Plan) -> Result<Figures, StoreError> {
    let mut figures = Figures::new(plan.generations);
    fill::fill(pool, plan.generations, &mut figures).await?;
    let began = Instant::now();
    fill::wait_until_rolled_up(pool).await?;
    figures.took("roll-up of what was new", began.elapsed());
    sqlx::query("ANALYZE").execute(pool).await?;
    let began = Instant::now();
    let proof = switchyard_control_plane::service::ledger::prove_all(pool).await;
    let proof = proof.map_err(|error| StoreError::Booking(error.to_string()))?;
    if !proof.holds() {
        return Err(StoreError::Booking("the ledger does not add up".to_owned()));
    }
    figures.took("proof of every balance", began.elapsed());
    fill::wait_until_proven(pool).await?;
    figures.size(pool).await?;
    for question in asking::QUESTIONS {
        let mut samples = asking::Samples::default();
        for _ in 0..plan.questions {
            samples.take(plane.ask(question).await?);
        }
        figures.asked(&format!("{}, alone", question.name), &mut samples);
    }
    let load = booking::Load { rate: plan.rate, seconds: plan.seconds };
    let (booked, asked) = tokio::join!(booking::run(pool, load), asking::beside(plane, plan.seconds));
    figures.booked(booked?);
    for (name, mut samples) in asked? {
        figures.asked(&format!("{name}, beside the load"), &mut samples);
    }
    let began = Instant::now();
    fill::wait_until_rolled_up(pool).await?;
    figures.took("roll-up complete after the load", began.elapsed());
    Ok(figures)
}

/// The last 30 days, oldest first, today among them.
fn days() -> Vec<NaiveDate> {
    let today = clock::now().date_naive();
    (0..30).rev().filter_map(|ago| today.checked_sub_days(Days::new(ago))).collect()
}
