//! One finished request: `/generation`, which waits a little for the record to be booked, and `/generation/content`.

use std::time::Duration;

use chrono::TimeDelta;
use switchyard_proto::{code::ErrorCode, id::GenerationId};
use tokio::time::{Instant, sleep};

use crate::{
    account::{Answered, Caller, Service, answer, refusal::Refusal},
    store::{
        StoreError,
        own::{self, Attempt, Generation},
    },
};

/// How long a record may be on its way.
const PATIENCE: Duration = Duration::from_secs(2);
/// The first look again; each further one is twice as late.
const FIRST_LOOK: Duration = Duration::from_millis(25);
/// A request that was admitted before this has its record, or never will.
const LONGEST_REQUEST: TimeDelta = TimeDelta::hours(1);

impl Service {
    pub(super) async fn generation(&self, caller: &Caller, id: GenerationId) -> Answered {
        let (generation, attempts) = self.find(caller, id).await?;
        Ok((200, answer::generation(id, &caller.tenant, &generation, &attempts)))
    }

    /// Contents are not stored, whatever became of the request.
    pub(super) async fn content(&self, caller: &Caller, id: GenerationId) -> Answered {
        self.find(caller, id).await?;
        let text = format!("The content of generation {id} is not stored: contents are not logged.");
        Err(Refusal::new(ErrorCode::NotFound, text))
    }

    async fn find(&self, caller: &Caller, id: GenerationId) -> Result<(Generation, Vec<Attempt>), Refusal> {
        let allowed = caller.reads_usage()?;
        let until = Instant::now() + PATIENCE;
        let mut pause = FIRST_LOOK;
        loop {
            // The connection goes back between two looks.
            let found = {
                let mut db = self.pool().acquire().await.map_err(StoreError::from)?;
                own::generation(&mut db, &allowed, id.as_uuid()).await
            };
            match found {
                Ok(found) => return Ok(found),
                Err(StoreError::NotFound) if may_come(caller, id) && Instant::now() + pause <= until => {}
                Err(StoreError::NotFound) => return Err(Refusal::no_generation(&id.to_string())),
                Err(error) => return Err(error.into()),
            }
            sleep(pause).await;
            pause *= 2;
        }
    }
}

/// Whether a record of this id may still be on its way.
fn may_come(caller: &Caller, id: GenerationId) -> bool {
    let age = caller.now - id.admitted_at();
    // Clocks of different machines are not the same.
    (-TimeDelta::minutes(1)..LONGEST_REQUEST).contains(&age)
}
