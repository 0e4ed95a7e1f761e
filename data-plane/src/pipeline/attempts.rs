//! Do it: stage after stage, and in each candidate after candidate, until an answer is given.

use std::time::Duration;

use switchyard_proto::code::ErrorCode;
use switchyard_proto::id::ModelId;
use tokio::time::{Instant, sleep_until};

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
use crate::routing::health::{Passage, Shut};
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
    /// Models that the request itself is at fault for: another model may still take it.
    barred: Vec<&'a ModelId>,
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

/// One pass over the candidates of a stage.
struct Round<'a> {
    /// From 0; later ones try again.
    number: u32,
    tried: Vec<&'a Candidate>,
    /// Who may be tried again, and from when on.
    again: Vec<(&'a Candidate, Instant)>,
    /// What the last attempt of the stage failed of; none where nobody was tried.
    left: Option<Reason>,
}

/// How a stage ended.
enum Staged {
    /// The answer was given.
    Given,
    /// Nothing was given, and why; none where nobody could be tried.
    Left(Option<Reason>),
}

/// What became of one candidate.
enum Tried {
    /// The answer was given.
    Given,
    /// Its answer is not good enough: no other candidate of the stage is asked.
    Faulty(Reason),
    /// It failed or could not be tried.
    Passed,
}

impl<'a> Attempts<'a> {
    pub fn new(pipeline: &'a Pipeline, job: &'a Job<'a>, permit: Option<&'a Permit>) -> Self {
        let gathered = Gathered::new(&pipeline.fetcher);
        Self { pipeline, job, permit, gathered, skips: Vec::new(), barred: Vec::new() }
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
            let left = match self.stage(stage, &rules, reply, trail).await? {
                Staged::Given => return Ok(()),
                Staged::Left(left) => left,
            };
            trail.leave_stage(left.map_or("untried", Reason::as_str));
            let moves_on = left.is_none_or(|reason| rules.escalates_on(reason));
            if !moves_on || self.is_over(reply) {
                break;
            }
        }
        if reply.is_gone() {
            return Err(gone(trail));
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
        let now = Instant::now();
        let mut open: Vec<(&'a Candidate, Instant)> =
            stage.candidates.iter().map(|candidate| (candidate, now)).collect();
        let mut round = Round { number: 0, tried: Vec::new(), again: Vec::new(), left: None };
        loop {
            let mut at = 0;
            while let Some((candidate, due)) = open.get(at).copied() {
                at += 1;
                if self.is_over(reply) {
                    return Ok(Staged::Left(round.left));
                }
                let mut others = open[at..].iter().map(|(other, _)| *other);
                let second = others.find(|other| self.may_try(other, &round));
                let is_due = self.may_try(candidate, &round)
                    && (round.number == 0 || self.may_retry(candidate))
                    && self.rest(due, reply, trail).await?;
                if !is_due {
                    continue;
                }
                if let Some(shut) = self.shut(candidate) {
                    // Asked once more before the stage gives up: a probe may have ended by then.
                    if open[..at - 1].iter().any(|(before, _)| std::ptr::eq(*before, candidate)) {
                        self.skips.push(Skip::Shut(shut, candidate.endpoint.clone()));
                    } else {
                        open.push((candidate, due));
                    }
                    continue;
                }
                match self.candidate((candidate, second), &mut round, rules, reply, trail).await? {
                    Tried::Given => return Ok(Staged::Given),
                    Tried::Faulty(reason) => return Ok(Staged::Left(Some(reason))),
                    Tried::Passed => {}
                }
            }
            if round.number >= rules.retries || round.again.is_empty() {
                return Ok(Staged::Left(round.left));
            }
            open = std::mem::take(&mut round.again);
            open.sort_by_key(|(_, due)| *due);
            round.tried.clear();
            round.number += 1;
        }
    }

    /// The caller left, or its time is up.
    fn is_over(&self, reply: &Reply) -> bool {
        reply.is_gone() || Instant::now() >= self.job.until
    }

    fn may_try(&self, candidate: &'a Candidate, round: &Round<'a>) -> bool {
        !self.barred.contains(&&candidate.model.id)
            && !round.tried.iter().any(|tried| std::ptr::eq(*tried, candidate))
    }

    /// Why nothing is to be sent to it now; where it has to be found out whether it is well again, this request is to.
    fn shut(&self, candidate: &Candidate) -> Option<Shut> {
        let endpoint = &candidate.endpoint;
        match self.pipeline.health.pass(&endpoint.model, &endpoint.id, candidate.is_byok()) {
            Passage::Free | Passage::Probe => None,
            Passage::Shut(shut) => Some(shut),
        }
    }

    /// It was not asked after all, or it answers: the next probe may go.
    fn give_back(&self, candidate: &Candidate) {
        self.pipeline.health.give_back(&candidate.endpoint.model, &candidate.endpoint.id);
    }

    /// Takes a retry out of the provider's share.
    fn may_retry(&self, candidate: &Candidate) -> bool {
        let provider = candidate.endpoint.provider.id.as_str();
        self.pipeline.retries.spend(provider, self.pipeline.settings.retries.burst)
    }

    /// Waits for the moment; false where the request's time is up before it.
    async fn rest(&self, due: Instant, reply: &mut Reply, trail: &mut Trail) -> Result<bool, RequestError> {
        if due >= self.job.until {
            return Ok(false);
        }
        if due <= Instant::now() {
            return Ok(true);
        }
        let company = Wait { streaming: self.job.request.stream, leaves_with_caller: true };
        match reply.wait(company, sleep_until(due)).await {
            Ok(()) => Ok(true),
            Err(Gone) => Err(gone(trail)),
        }
    }

    async fn candidate(
        &mut self,
        (candidate, second): (&'a Candidate, Option<&'a Candidate>),
        round: &mut Round<'a>,
        rules: &Rules<'a>,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<Tried, RequestError> {
        let (pipeline, job) = (self.pipeline, self.job);
        let hedging = self.hedge(candidate, second, round, rules);
        if round.number == 0 {
            let (settings, provider) = (&pipeline.settings.retries, &candidate.endpoint.provider.id);
            pipeline.retries.earn(provider.as_str(), settings.share_permille(), settings.burst);
        }
        round.tried.push(candidate);
        let Some((flight, shot)) = self.prepare(candidate, reply, trail).await? else {
            return Ok(Tried::Passed);
        };
        let mut lost = Vec::new();
        let landed = match hedging {
            None => flight.follow(shot.send(pipeline, job, &rules.deadlines), job, reply, trail).await,
            Some(Hedging { second, after, budget }) => {
                let race = Race { pipeline, job, asked: rules.deadlines, after };
                let prepare = async |reply: &mut Reply, trail: &mut Trail| {
                    let endpoint = &second.endpoint;
                    // A hedge is no probe.
                    if !pipeline.health.is_closed(&endpoint.model, &endpoint.id) {
                        return None;
                    }
                    if !pipeline.hedges.spend(&budget, HEDGES_SAVED) {
                        return None;
                    }
                    round.tried.push(second);
                    self.prepare(second, reply, trail).await.ok().flatten()
                };
                race.run((flight, shot), prepare, &mut lost, reply, trail).await
            }
        };
        for (candidate, failed) in lost {
            self.failed(candidate, failed, round);
        }
        match landed {
            Ok(Landed::Committed(flight, answer)) => {
                self.committed(flight, *answer, (round, rules), reply, trail).await
            }
            Ok(Landed::Failed(flight, failed)) => {
                let candidate = flight.candidate;
                flight.fail(job, &failed, trail);
                self.failed(candidate, failed, round);
                Ok(Tried::Passed)
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
        if ready.is_err() {
            self.give_back(candidate);
        }
        match ready {
            Ok(ready) => Ok(Some(flight::ready(pipeline, job, candidate, ready))),
            Err(skip) if skip.ends_the_request() => Err(skip.into()),
            Err(skip) => {
                self.skips.push(skip);
                Ok(None)
            }
        }
    }

    /// Who is sent beside a silent candidate, and after how long. A request earns its stage a share of a hedge, once.
    fn hedge(
        &self,
        candidate: &'a Candidate,
        second: Option<&'a Candidate>,
        round: &Round<'a>,
        rules: &Rules<'a>,
    ) -> Option<Hedging<'a>> {
        let second = second?;
        let (hedge, after) = rules.hedge_after(candidate)?;
        let policy = self.job.plan.policy.as_ref()?;
        let owner = policy.tenant.as_ref().map_or("", |tenant| tenant.as_str());
        let budget = format!("{owner}/{}/{}", policy.id, rules.name());
        if round.number == 0 && round.tried.is_empty() {
            self.pipeline.hedges.earn(&budget, hedge.max_rate_permille, HEDGES_SAVED);
        }
        Some(Hedging { second, after, budget })
    }

    async fn committed(
        &mut self,
        flight: Flight<'a>,
        answer: Answer,
        (round, rules): (&mut Round<'a>, &Rules<'_>),
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<Tried, RequestError> {
        let (job, candidate) = (self.job, flight.candidate);
        self.give_back(candidate);
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
                verdict::Heard::Broken(failed) => {
                    self.failed(candidate, failed, round);
                    return Ok(Tried::Passed);
                }
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

    /// Keeps what a failure means for the rest of the request.
    fn failed(&mut self, candidate: &'a Candidate, failed: Box<Failed>, round: &mut Round<'a>) {
        let (failure, settings) = (&failed.failure, &self.pipeline.settings.retries);
        round.left = Some(match failure.class {
            FailureClass::Timeout => Reason::Timeout,
            FailureClass::ContentFiltered => Reason::Refusal,
            _ => Reason::Error,
        });
        if !failure.class.may_fall_back() {
            self.barred.push(&candidate.model.id);
        } else if let Some(pause) = retries::pause(failure, round.number, settings, self.job.plan.seed) {
            round.again.push((candidate, Instant::now() + pause));
        }
        self.skips.push(Skip::Failed(failed, candidate.endpoint.clone()));
    }
}

/// The error of a request whose caller left.
pub fn gone(trail: &mut Trail) -> RequestError {
    trail.cancelled = true;
    RequestError::new(ErrorCode::RequestTimeout, "The caller left.")
}
