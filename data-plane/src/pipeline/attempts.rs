//! Do it: stage after stage, and in each candidate after candidate, until an answer is given.

use std::time::Duration;

use switchyard_proto::code::ErrorCode;
use switchyard_proto::id::ModelId;
use tokio::time::{Instant, sleep};

use crate::adapters::failure::FailureClass;
use crate::error::RequestError;
use crate::judge::Reason;
use crate::limits::Permit;
use crate::pipeline::deliver::Delivery;
use crate::pipeline::flight::{self, Flight, Landed, Shot};
use crate::pipeline::hedge::Race;
use crate::pipeline::media::Gathered;
use crate::pipeline::reply::{Gone, Reply, Wait};
use crate::pipeline::reserve::{self, Skip};
use crate::pipeline::rules::Rules;
use crate::pipeline::trail::Trail;
use crate::pipeline::{Job, Pipeline, explain, retries, verdict};
use crate::routing::plan::{Candidate, Stage};
use crate::upstream::attempt::{Answer, Failed};

/// The attempts of one request.
pub struct Attempts<'a> {
    pipeline: &'a Pipeline,
    job: &'a Job<'a>,
    permit: Option<&'a Permit>,
    gathered: Gathered,
    /// What stood against every candidate so far.
    skips: Vec<Skip>,
}

/// Hedges that a stage may save up, so that its share holds over few requests too.
const HEDGES_SAVED: u32 = 1;

/// A second attempt that may be sent beside the first.
struct Hedging<'a> {
    second: &'a Candidate,
    after: Duration,
    /// What it is paid from: the stage's.
    budget: String,
}

/// How a stage ended.
enum Staged {
    /// The answer was given.
    Given,
    /// Nothing was given, and why.
    Left(Reason),
}

/// What became of one candidate.
enum Tried {
    /// The answer was given.
    Given,
    /// Its answer is not good enough: no other candidate of the stage is asked.
    Faulty(Reason),
    /// It failed; how long to wait before it may be tried again.
    Failed { reason: Reason, again: Option<Duration>, ends_model: bool },
    /// It was not tried.
    Skipped,
}

impl<'a> Attempts<'a> {
    pub fn new(pipeline: &'a Pipeline, job: &'a Job<'a>, permit: Option<&'a Permit>) -> Self {
        Self { pipeline, job, permit, gathered: Gathered::new(&pipeline.fetcher), skips: Vec::new() }
    }

    /// Tries until an answer is given.
    ///
    /// # Errors
    /// What the caller is to hear: the last failure, or what ended the request.
    pub async fn run(mut self, reply: &mut Reply, trail: &mut Trail) -> Result<(), RequestError> {
        let mut stages = self.job.plan.stages.iter().peekable();
        while let Some(stage) = stages.next() {
            let next = stages.peek();
            let rules = Rules::of(self.job, stage, next.is_none(), &self.pipeline.settings.retries)?;
            trail.enter_stage(rules.name());
            match self.stage(stage, &rules, reply, trail).await? {
                Staged::Given => return Ok(()),
                Staged::Left(reason) => {
                    trail.leave_stage(reason.as_str());
                    if next.is_some() && !rules.escalates_on(reason) {
                        break;
                    }
                }
            }
        }
        Err(explain::exhausted(trail, self.skips))
    }

    /// Round after round over the candidates of a stage, as long as there is somebody to try again.
    async fn stage(
        &mut self,
        stage: &'a Stage,
        rules: &Rules<'a>,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<Staged, RequestError> {
        let mut round: Vec<&'a Candidate> = stage.candidates.iter().collect();
        let (mut number, mut barred) = (0, Vec::<&ModelId>::new());
        loop {
            let (mut again, mut pause) = (Vec::new(), None::<Duration>);
            let mut left = Reason::Error;
            for (at, candidate) in round.iter().copied().enumerate() {
                if barred.contains(&&candidate.model.id) {
                    continue;
                }
                let second = round.get(at + 1).copied();
                let (health, tried) = (&self.pipeline.health, &candidate.endpoint);
                // Another request finds out whether it is well again, and others are left here.
                if second.is_some() && health.is_being_probed(&tried.model, &tried.id) {
                    continue;
                }
                match self.candidate((candidate, second), number, rules, reply, trail).await? {
                    Tried::Given => return Ok(Staged::Given),
                    Tried::Faulty(reason) => return Ok(Staged::Left(reason)),
                    Tried::Skipped => {}
                    Tried::Failed { reason, again: wait, ends_model } => {
                        left = reason;
                        if let Some(wait) = wait {
                            pause = Some(pause.map_or(wait, |pause| pause.min(wait)));
                            again.push(candidate);
                        }
                        // The request itself is at fault there; another model may still take it.
                        barred.extend(ends_model.then_some(&candidate.model.id));
                    }
                }
                if reply.is_gone() || Instant::now() >= self.job.until {
                    return Ok(Staged::Left(left));
                }
            }
            match pause.filter(|_| number < rules.retries) {
                Some(pause) if self.rest(pause, reply, trail).await? => {}
                _ => return Ok(Staged::Left(left)),
            }
            again.retain(|candidate| !barred.contains(&&candidate.model.id) && self.may_retry(candidate));
            round = again;
            number += 1;
        }
    }

    /// Waits before another round; false where there is no time for one.
    async fn rest(
        &self,
        pause: Duration,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<bool, RequestError> {
        if Instant::now() + pause >= self.job.until {
            return Ok(false);
        }
        let company = Wait { streaming: self.job.request.stream, leaves_with_caller: true };
        match reply.wait(company, sleep(pause)).await {
            Ok(()) => Ok(true),
            Err(Gone) => Err(gone(trail)),
        }
    }

    fn may_retry(&self, candidate: &Candidate) -> bool {
        let provider = candidate.endpoint.provider.id.as_str();
        self.pipeline.retries.spend(provider, self.pipeline.settings.retries.burst)
    }

    async fn candidate(
        &mut self,
        (candidate, second): (&'a Candidate, Option<&'a Candidate>),
        round: u32,
        rules: &Rules<'a>,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<Tried, RequestError> {
        let (pipeline, job) = (self.pipeline, self.job);
        let settings = &pipeline.settings.retries;
        let provider = candidate.endpoint.provider.id.as_str();
        pipeline.retries.earn(provider, settings.share_permille(), settings.burst);
        let Some((flight, shot)) = self.prepare(candidate, reply, trail).await? else {
            return Ok(Tried::Skipped);
        };
        let landed = match self.hedge(candidate, second, rules) {
            None => flight.follow(shot.send(pipeline, job, &rules.deadlines), job, reply, trail).await,
            Some(Hedging { second, after, budget }) => {
                let race = Race { pipeline, job, asked: rules.deadlines, after };
                let prepare = async |reply: &mut Reply, trail: &mut Trail| {
                    let may = pipeline.hedges.spend(&budget, HEDGES_SAVED);
                    if may { self.prepare(second, reply, trail).await.ok().flatten() } else { None }
                };
                race.run((flight, shot), prepare, reply, trail).await
            }
        };
        match landed {
            Ok(Landed::Committed(flight, answer)) => {
                self.committed(flight, *answer, rules, reply, trail).await
            }
            Ok(Landed::Failed(flight, failed)) => {
                let at = flight.candidate;
                flight.fail(job, &failed, trail);
                Ok(self.failed(at, failed, round))
            }
            Err(Gone) => Err(gone(trail)),
        }
    }

    /// Fetches, encodes and reserves for a candidate; none where it is not to be tried.
    async fn prepare(
        &mut self,
        candidate: &'a Candidate,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<Option<(Flight<'a>, Shot<'a>)>, RequestError> {
        let (pipeline, job) = (self.pipeline, self.job);
        let ready = match self.gathered.add(&pipeline.fetcher, job, candidate, reply, trail).await {
            Ok(()) => {
                let fetched = &self.gathered.files;
                reserve::reserve(pipeline, job, candidate, self.permit, trail, fetched).await
            }
            Err(skip) => Err(skip),
        };
        match ready {
            Ok(ready) => Ok(Some(flight::ready(pipeline, job, candidate, ready))),
            Err(skip) if skip.ends_the_request() => Err(skip.into()),
            Err(skip) => {
                self.skips.push(skip);
                Ok(None)
            }
        }
    }

    /// Who is sent beside a silent candidate, and after how long; the request earns its stage a share of a hedge.
    fn hedge(
        &self,
        candidate: &'a Candidate,
        second: Option<&'a Candidate>,
        rules: &Rules<'a>,
    ) -> Option<Hedging<'a>> {
        let second = second?;
        let (hedge, after) = rules.hedge_after(candidate)?;
        let policy = self.job.plan.policy.as_ref()?;
        let owner = policy.tenant.as_ref().map_or("", |tenant| tenant.as_str());
        let budget = format!("{owner}/{}/{}", policy.id, rules.name());
        self.pipeline.hedges.earn(&budget, hedge.max_rate_permille, HEDGES_SAVED);
        Some(Hedging { second, after, budget })
    }

    async fn committed(
        &mut self,
        flight: Flight<'a>,
        answer: Answer,
        rules: &Rules<'_>,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<Tried, RequestError> {
        let (job, candidate) = (self.job, flight.candidate);
        match flight.lowered_cap {
            Some(cap) => reply.header("x-switchyard-output-cap", &cap.to_string()),
            None => reply.without_header("x-switchyard-output-cap"),
        }
        let (flight, answer) = if rules.judges() {
            match verdict::hear(flight, answer, job, rules, reply, trail).await? {
                verdict::Heard::Good(flight, answer) => (*flight, answer),
                verdict::Heard::Faulty(fault, endpoint) => {
                    let reason = fault.reason;
                    self.skips.push(Skip::Faulty(fault, endpoint));
                    return Ok(Tried::Faulty(reason));
                }
                verdict::Heard::Broken(failed) => return Ok(self.failed(candidate, failed, u32::MAX)),
            }
        } else {
            (flight, answer)
        };
        trail.first_content = Some(trail.started.elapsed());
        let Flight { candidate, hold, begun, told, .. } = flight;
        let asked = rules.asked();
        Delivery { job, candidate, hold, begun, told, asked }.run(answer, reply, trail).await?;
        Ok(Tried::Given)
    }

    fn failed(&mut self, candidate: &Candidate, failed: Box<Failed>, round: u32) -> Tried {
        let failure = &failed.failure;
        let again = retries::pause(failure, round, &self.pipeline.settings.retries, self.job.plan.seed);
        let tried = Tried::Failed {
            reason: match failure.class {
                FailureClass::Timeout => Reason::Timeout,
                FailureClass::ContentFiltered => Reason::Refusal,
                _ => Reason::Error,
            },
            again,
            ends_model: !failure.class.may_fall_back(),
        };
        self.skips.push(Skip::Failed(failed, candidate.endpoint.clone()));
        tried
    }
}

pub fn gone(trail: &mut Trail) -> RequestError {
    trail.cancelled = true;
    RequestError::new(ErrorCode::RequestTimeout, "The caller left.")
}
