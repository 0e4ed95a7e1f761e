//! Do it: stage after stage, and in each candidate after candidate, until an answer is given.

use switchyard_proto::id::ModelId;
use tokio::time::{Instant, sleep_until};

use crate::adapters::failure::FailureClass;
use crate::error::RequestError;
use crate::judge::Reason;
use crate::limits::Permit;
use crate::pipeline::deliver::Delivery;
use crate::pipeline::flight::{self, Flight, Landed, Shot};
use crate::pipeline::hedge::{Hedging, Race};
use crate::pipeline::media::Gathered;
use crate::pipeline::rates::Entered;
use crate::pipeline::reply::{Gone, Reply, Wait};
use crate::pipeline::reserve::{self, Given, Skip};
use crate::pipeline::rules::Rules;
use crate::pipeline::skips::Why;
use crate::pipeline::trail::Trail;
use crate::pipeline::{Job, Pipeline, explain, heal, retries, verdict};
use crate::routing::health::{Passage, Shut};
use crate::routing::plan::{Candidate, Stage};
use crate::upstream::attempt::{Answer, Failed};

/// The attempts of one request.
pub struct Attempts<'a> {
    pipeline: &'a Pipeline,
    job: &'a Job<'a>,
    permit: Option<&'a Permit>,
    entered: Entered<'a>,
    /// Whom this request is to find out about: it holds the probe.
    probing: Option<&'a Candidate>,
    gathered: Gathered,
    /// What stood against every candidate so far.
    skips: Vec<Skip>,
    /// Models that the request itself is at fault for: another model may still take it.
    barred: Vec<&'a ModelId>,
    /// Whether money may be taken while an answer of this stage comes.
    may_step: bool,
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

impl Round<'_> {
    fn has_tried(&self, candidate: &Candidate) -> bool {
        self.tried.iter().any(|tried| std::ptr::eq(*tried, candidate))
    }
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
        let entered = Entered::default();
        Self {
            pipeline,
            job,
            permit,
            entered,
            probing: None,
            gathered,
            skips: Vec::new(),
            barred: Vec::new(),
            may_step: false,
        }
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
        if reply.is_closing() {
            return Err(gone(Gone::Process, trail));
        }
        if reply.is_gone() {
            return Err(gone(Gone::Caller, trail));
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
        // An answer that is judged is read to its end before anybody hears of it.
        self.may_step = !rules.judges();
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
                if round.has_tried(candidate) {
                    continue;
                }
                let is_again = open[..at - 1].iter().any(|(before, _)| std::ptr::eq(*before, candidate));
                let mut others = open[at..].iter().map(|(other, _)| *other);
                let second = others.find(|other| !self.is_barred(other) && !round.has_tried(other));
                if let Some(why) = self.against(candidate, due, round.number > 0 && !is_again) {
                    trail.skip(candidate, why);
                    continue;
                }
                self.rest(due, reply, trail).await?;
                if let Some(shut) = self.shut(candidate) {
                    // Asked once more before the stage gives up: a probe may have ended by then.
                    if is_again {
                        trail.skip(candidate, Why::shut(shut));
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

    /// The caller left, its time is up, or the process stops.
    fn is_over(&self, reply: &Reply) -> bool {
        reply.is_gone() || reply.is_closing() || Instant::now() >= self.job.until
    }

    /// What stands against a candidate before anything is done for it; claims the retry that it needs.
    fn against(&self, candidate: &Candidate, due: Instant, is_retry: bool) -> Option<Why> {
        if self.is_barred(candidate) {
            return Some(Why::barred(&candidate.model.id));
        }
        if due >= self.job.until {
            return Some(Why::too_late(due.saturating_duration_since(Instant::now())));
        }
        if is_retry && !self.may_retry(candidate) {
            let provider = candidate.endpoint.provider.id.as_str();
            return Some(Why::share_of_retries(provider, self.pipeline.settings.retries.share));
        }
        None
    }

    fn is_barred(&self, candidate: &Candidate) -> bool {
        self.barred.contains(&&candidate.model.id)
    }

    /// Why nothing is to be sent to it now; where it has to be found out whether it is well again, this request is to.
    fn shut(&mut self, candidate: &'a Candidate) -> Option<Shut> {
        let endpoint = &candidate.endpoint;
        let passage = self.pipeline.health.pass(&endpoint.model, &endpoint.id, candidate.is_byok());
        self.probing = (passage == Passage::Probe).then_some(candidate);
        match passage {
            Passage::Free | Passage::Probe => None,
            Passage::Shut(shut) => Some(shut),
        }
    }

    /// It was not asked after all, or it answers: the next probe may go, if this request held it.
    fn give_back(&mut self, candidate: &Candidate) {
        if self.probing.take_if(|held| std::ptr::eq(*held, candidate)).is_some() {
            self.pipeline.health.give_back(&candidate.endpoint.model, &candidate.endpoint.id);
        }
    }

    /// Takes a retry out of the provider's share.
    fn may_retry(&self, candidate: &Candidate) -> bool {
        let provider = candidate.endpoint.provider.id.as_str();
        self.pipeline.retries.spend(provider, self.pipeline.settings.retries.burst)
    }

    /// Waits for the moment.
    async fn rest(&self, due: Instant, reply: &mut Reply, trail: &mut Trail) -> Result<(), RequestError> {
        if due <= Instant::now() {
            return Ok(());
        }
        let company = Wait { streaming: self.job.request.stream, leaves_with_caller: true };
        reply.wait(company, sleep_until(due)).await.map_err(|why| gone(why, trail))
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
        let hedging = Hedging::of(job, candidate, second, rules);
        if let Some(hedging) = hedging.as_ref().filter(|_| round.number == 0 && round.tried.is_empty()) {
            hedging.earn(pipeline);
        }
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
            Some(hedging) => {
                let race = Race { pipeline, job, asked: rules.deadlines, hedging: &hedging };
                let prepare = async |trail: &mut Trail| self.prepare_beside(&hedging, round, trail).await;
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
            Err(why) => Err(gone(why, trail)),
        }
    }

    /// Fetches, encodes and reserves for a candidate; none where it is not to be tried.
    async fn prepare(
        &mut self,
        candidate: &'a Candidate,
        reply: &mut Reply,
        trail: &mut Trail,
    ) -> Result<Option<(Flight<'a>, Shot<'a>)>, RequestError> {
        let fetcher = &self.pipeline.fetcher;
        let gathered = self.gathered.add(fetcher, self.job, candidate, reply, trail).await;
        self.equip(candidate, gathered, trail).await
    }

    /// Makes a hedge ready while the first attempt goes on; none where it is not to be sent.
    async fn prepare_beside(
        &mut self,
        hedging: &Hedging<'a>,
        round: &mut Round<'a>,
        trail: &mut Trail,
    ) -> Option<(Flight<'a>, Shot<'a>)> {
        let (pipeline, job, second) = (self.pipeline, self.job, hedging.second);
        let endpoint = &second.endpoint;
        // A hedge is no probe.
        if !pipeline.health.is_closed(&endpoint.model, &endpoint.id) {
            trail.skip(second, Why::unwell());
            return None;
        }
        if let Err(why) = hedging.spend(pipeline, job) {
            trail.skip(second, why);
            return None;
        }
        let gathered = self.gathered.add_beside(&pipeline.fetcher, job, second).await;
        // One that finds no room beside the first may find it when the first has failed.
        let ready = self.equip(second, gathered, trail).await.ok().flatten()?;
        round.tried.push(second);
        Some(ready)
    }

    async fn equip(
        &mut self,
        candidate: &'a Candidate,
        gathered: Result<(), Skip>,
        trail: &mut Trail,
    ) -> Result<Option<(Flight<'a>, Shot<'a>)>, RequestError> {
        let (pipeline, job) = (self.pipeline, self.job);
        let (permit, fetched) = (self.permit, &self.gathered.files);
        let given = Given { permit, fetched, may_step: self.may_step };
        let ready = match gathered {
            Ok(()) => reserve::reserve(pipeline, job, candidate, given, &mut self.entered, trail).await,
            Err(skip) => Err(skip),
        };
        if ready.is_err() {
            self.give_back(candidate);
        }
        match ready {
            Ok(ready) => Ok(Some(flight::ready(pipeline, job, candidate, ready))),
            Err(skip) => {
                if let Some(why) = Why::of(&skip) {
                    trail.skip(candidate, why);
                }
                if skip.ends_the_request() {
                    return Err(skip.into());
                }
                self.skips.push(skip);
                Ok(None)
            }
        }
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
        if let Some(capture) = job.capture {
            // What money made shorter is not what another would get.
            capture.spoil(flight.lowered_cap.is_some());
        }
        let answer = heal::healed(answer, job, trail).await;
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
        self.entered.keep(&candidate.model.id);
        trail.first_content = Some(trail.started.elapsed());
        let Flight { number, candidate, hold, begun, told, steps, .. } = flight;
        let asked = rules.asked();
        Delivery { job, number, candidate, hold, begun, told, asked, steps }
            .run(answer, reply, trail)
            .await?;
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

/// The error of a request that nothing is waited for any more.
pub fn gone(why: Gone, trail: &mut Trail) -> RequestError {
    trail.cancelled |= why == Gone::Caller;
    why.into()
}
