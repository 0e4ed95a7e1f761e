//! The kill test: a whole system under load while its parts are killed, frozen and cut off, and then the reckoning.
//!
//! Three data planes, a control plane, PostgreSQL and Redis as real processes; the fault lab in this process counts what
//! it bills. Callers spend small budgets. Nothing that happens may let an account spend more than its limit, and nothing
//! that the lab bills may be missing from the ledger.
//!
//! Map: `plan` (what is going to happen, by a seed), `system` (the parts, and how they are struck), `furnish` (who may
//! spend how much on what), `load` and `connection` (callers), `watch` (looks at every account ten times a second),
//! `books` and `reckoning` (the lab's count against the ledger), `unguarded` (the grant's condition taken away), `report`.

mod books;
mod connection;
mod furnish;
mod load;
mod plan;
mod reckoning;
mod report;
mod system;
mod unguarded;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::PgPool;
use switchyard_control_plane::service::ledger;
use tokio::task::JoinSet;

pub use self::plan::{Fault, KINDS, Kind, Plan};
pub use self::report::Report;
use self::{
    books::Books, furnish::Furniture, load::Load, reckoning::Reckoning, system::System, watch::Watch,
};

/// After everything is well again: until all lines are booked.
const QUIET: Duration = Duration::from_secs(90);
/// The same until all leases are given back. A loan whose answer was lost goes back in its data plane's next session.
const GIVEN_BACK: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);
/// Load before the first fault: says how fast this machine is.
pub(crate) const WARM_UP: Duration = Duration::from_secs(3);

/// Runs a plan to its end and reckons.
///
/// # Errors
/// When the system cannot be started or a part does not come back: what the test is about is in the report.
pub async fn run(plan: Plan) -> Result<Report> {
    let began = Instant::now();
    let furniture = Furniture::of(&plan);
    let system = System::start(&furniture).await?;
    if plan.is_unguarded {
        unguarded::take_away(&system.store).await?;
    }
    let watch = Watch::start(&system, &furniture, plan.is_unguarded);
    let load = Load::start(&plan, &furniture, &system);
    let started = Instant::now();
    tokio::time::sleep(WARM_UP).await;
    let speed = load.sent() as f64 / started.elapsed().as_secs_f64();
    let revived = strike(&plan, &system).await?;
    tokio::time::sleep_until((started + plan.lasts).into()).await;
    let loaded = started.elapsed();
    let tally = load.stop().await;
    let healed = Instant::now();
    let books = settle(&system, plan.is_unguarded).await?;
    let quiet = healed.elapsed();
    let watched = watch.stop().await?;
    let proof = ledger::prove_all(&system.store).await?;
    let reckoning = Reckoning::of(&system.lab.calls(), &books, &tally.served, &furniture.limits());
    let strays = system.stop().await?;
    let took = began.elapsed();
    Ok(Report { plan, speed, loaded, took, quiet, revived, tally, watched, proof, books, reckoning, strays })
}

/// Carries out the plan's faults, each at its time. Answers how often parts had to be started again because they ended by
/// themselves.
async fn strike(plan: &Plan, system: &Arc<System>) -> Result<u32> {
    let (began, mut blows) = (Instant::now(), JoinSet::new());
    for fault in &plan.faults {
        let (system, fault) = (Arc::clone(system), fault.clone());
        blows.spawn(async move {
            tokio::time::sleep_until((began + fault.at).into()).await;
            system.strike(&fault).await
        });
    }
    let mut revived = 0;
    while let Some(done) = blows.join_next().await {
        revived += done??;
    }
    Ok(revived)
}

/// Waits until every call has its line, and for a while until no data plane holds money any more.
///
/// Where the grant's condition is gone the sums are past mending, so the lines are all that is waited for.
async fn settle(system: &System, is_unguarded: bool) -> Result<Books> {
    let began = Instant::now();
    loop {
        let is_patient = began.elapsed() < GIVEN_BACK && !is_unguarded;
        if !is_patient || books::is_settled(&system.store).await? {
            let books = Books::read(&system.store, is_unguarded).await?;
            if began.elapsed() > QUIET || books.have_all(&system.lab.calls()) {
                return Ok(books);
            }
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// A pool of our own, past the wire to the store that is cut at times.
pub(crate) fn pool(url: &str) -> Result<PgPool> {
    let options = sqlx::postgres::PgPoolOptions::new().max_connections(4);
    Ok(options.acquire_timeout(Duration::from_secs(5)).connect_lazy(url)?)
}
