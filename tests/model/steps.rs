//! The steps that the model can take, and what each does.
//!
//! A call is made, carried out and answered in one step; only a slow one is left on the network, where it may get lost on
//! either way, arrive after its caller gave up, or never leave. So the many orders are there, at the price of a fault.

use stateright::{Model, Property};

use crate::{
    plane::Ending,
    properties,
    setup::{Fault, Setup},
    state::{Attempt, Call, Message, Plane, Reply, Row, State, Truth},
    store::Store,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Says hello, and follows the new session.
    Connect(u8),
    Restart(u8),
    Call(u8, Kind),
    /// Sends the next attempt.
    Send(u8),
    /// An attempt ends, and the provider bills this much.
    End(u8, u64),
    /// Hears of the session that a reconnect gave it.
    Follow(u8),
    /// The slow call arrives at the control plane.
    Arrive(usize),
    /// Its answer arrives.
    Answer(usize),
    /// Call or answer is lost, and the caller gives up.
    Lose(usize),
    /// The caller gives up; the call is still under way.
    GiveUp(usize),
    /// The call never left, and its caller knows.
    Bounce(usize),
    /// What the store is restored to, later.
    Backup,
    Crash(u8),
    LoseDisk(u8),
    Slow(u8, Kind),
    Reconnect(u8),
    Fence(u8),
    Presume(u8),
    Release(u8),
    Resend(u8),
    Lower,
    Reset,
    Restore,
}

/// What a data plane calls the control plane for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Ask,
    /// What is free of its oldest epoch.
    Return,
    /// Leases in doubt are closed.
    Close,
    Report,
}

/// More sessions than there are in any run.
const FAR: u64 = 8;

const KINDS: [Kind; 4] = [Kind::Ask, Kind::Return, Kind::Close, Kind::Report];

impl Model for Setup {
    type State = State;
    type Action = Step;

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }

    fn init_states(&self) -> Vec<State> {
        let plane = Plane { disk: Default::default(), process: None, is_lost: false };
        let mut state = State {
            store: Store::new(self),
            backup: None,
            planes: vec![plane; usize::from(self.planes)],
            network: Vec::new(),
            attempts: vec![Attempt::NotSent; usize::from(self.attempts)],
            period: 0,
            faults_left: self.faults,
            truth: Truth::default(),
        };
        for number in 0..self.planes {
            state.take(self, Step::Restart(number));
            state.take(self, Step::Connect(number));
        }
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        (0..self.planes).for_each(|plane| self.steps_of(state, plane, steps));
        self.endings(state, steps);
        for (at, message) in state.network.iter().enumerate() {
            steps_of_call(at, message, steps);
        }
        if self.may(Fault::Restore) && state.backup.is_none() && state.truth.restored_at.is_none() {
            steps.push(Step::Backup);
        }
        if state.faults_left > 0 {
            self.common_faults(state, steps);
            (0..self.planes).for_each(|plane| self.faults_of(state, plane, steps));
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        if step.is_fault() {
            state.faults_left -= 1;
        }
        state.take(self, step);
        let is_sent = state.network.len() > last.network.len();
        if matches!(step, Step::Slow(..)) && !is_sent {
            return None;
        }
        state.network.sort();
        state.remember(self, last);
        (state != *last).then_some(state)
    }
}

impl Step {
    fn is_fault(self) -> bool {
        match self {
            Self::Crash(_) | Self::LoseDisk(_) | Self::Slow(..) | Self::Reconnect(_) | Self::Fence(_) => true,
            Self::Presume(_) | Self::Release(_) | Self::Resend(_) => true,
            Self::Lower | Self::Reset | Self::Restore => true,
            Self::Connect(_) | Self::Restart(_) | Self::Call(..) | Self::Send(_) | Self::End(..) => false,
            Self::Follow(_) | Self::Arrive(_) | Self::Answer(_) | Self::Lose(_) => false,
            Self::GiveUp(_) | Self::Bounce(_) | Self::Backup => false,
        }
    }
}

impl Setup {
    /// What a data plane may do by itself. Steps that change nothing are left out by `next_state`.
    fn steps_of(&self, state: &State, number: u8, steps: &mut Vec<Step>) {
        let plane = &state.planes[usize::from(number)];
        let Some(process) = &plane.process else {
            if !plane.is_lost {
                steps.push(Step::Restart(number));
            }
            return;
        };
        let Some(session) = process.session else {
            steps.push(Step::Connect(number));
            return;
        };
        if !plane.has_followed() {
            steps.push(Step::Follow(number));
        }
        if state.store.epochs[usize::from(number)] != session.epoch
            || state.store.incarnation != session.incarnation
        {
            // Fenced: it is told so and says hello again.
            steps.push(Step::Connect(number));
        }
        if state.next_attempt().is_some() {
            let dues = self.dues(state.period);
            match process.covering(&dues, self.reserve) {
                Some(_) => steps.push(Step::Send(number)),
                None => steps.extend(state.calls(number, Kind::Ask)),
            }
        }
        steps.extend(
            [Kind::Return, Kind::Close, Kind::Report]
                .into_iter()
                .filter_map(|kind| state.calls(number, kind)),
        );
    }

    fn endings(&self, state: &State, steps: &mut Vec<Step>) {
        for (number, attempt) in state.attempts.iter().enumerate() {
            if let Attempt::UnderWay { .. } = attempt {
                steps.extend(self.prices.iter().map(|price| Step::End(number as u8, *price)));
            }
        }
    }

    fn common_faults(&self, state: &State, steps: &mut Vec<Step>) {
        if self.may(Fault::Lower) && state.store.limits == self.limits {
            steps.push(Step::Lower);
        }
        if self.may(Fault::Reset) && state.period == 0 {
            steps.push(Step::Reset);
        }
        if state.backup.is_some() {
            steps.push(Step::Restore);
        }
    }

    fn faults_of(&self, state: &State, number: u8, steps: &mut Vec<Step>) {
        let plane = &state.planes[usize::from(number)];
        let mut may = |fault, step| {
            if self.may(fault) {
                steps.push(step);
            }
        };
        if !state.store.open_leases(number).is_empty() {
            may(Fault::Presume, Step::Presume(number));
        }
        if state.store.leases_of(number).any(|(_, lease)| lease.presumed > 0) {
            may(Fault::Release, Step::Release(number));
        }
        if plane.is_lost {
            return;
        }
        may(Fault::LoseDisk, Step::LoseDisk(number));
        let Some(process) = &plane.process else { return };
        may(Fault::Crash, Step::Crash(number));
        if process.session.is_none() {
            return;
        }
        may(Fault::Reconnect, Step::Reconnect(number));
        may(Fault::Fence, Step::Fence(number));
        if plane.disk.acknowledged > 0 {
            may(Fault::Resend, Step::Resend(number));
        }
        for kind in KINDS {
            if state.calls(number, kind).is_some() {
                may(Fault::Slow, Step::Slow(number, kind));
            }
        }
    }
}

/// What may become of a call under way.
fn steps_of_call(at: usize, message: &Message, steps: &mut Vec<Step>) {
    match (&message.reply, message.is_awaited) {
        (None, true) => {
            steps.extend([Step::Arrive(at), Step::Lose(at), Step::GiveUp(at)]);
            if !matches!(message.call, Call::Report { .. }) {
                steps.push(Step::Bounce(at));
            }
        }
        (None, false) => steps.extend([Step::Arrive(at), Step::Lose(at)]),
        (Some(_), _) => steps.extend([Step::Answer(at), Step::Lose(at)]),
    }
}

impl State {
    /// The attempt that is sent next.
    pub fn next_attempt(&self) -> Option<usize> {
        self.attempts.iter().position(|attempt| *attempt == Attempt::NotSent)
    }

    /// A call of this kind, unless one is under way.
    fn calls(&self, plane: u8, kind: Kind) -> Option<Step> {
        let is_same = |message: &&Message| {
            message.is_awaited
                && message.plane == plane
                && match (&message.call, kind) {
                    (Call::Ask { .. }, Kind::Ask) => true,
                    (Call::Return { closes, .. }, Kind::Return) => !closes,
                    (Call::Return { closes, .. }, Kind::Close) => *closes,
                    (Call::Report { .. }, Kind::Report) => true,
                    _ => false,
                }
        };
        (!self.network.iter().any(|message| is_same(&message))).then_some(Step::Call(plane, kind))
    }

    fn plane(&mut self, plane: u8) -> &mut Plane {
        &mut self.planes[usize::from(plane)]
    }

    fn take(&mut self, setup: &Setup, step: Step) {
        match step {
            Step::Connect(plane) => {
                self.attach(plane);
                self.plane(plane).follow(setup);
            }
            Step::Reconnect(plane) => self.attach(plane),
            Step::Fence(plane) => {
                self.store.attach(plane);
            }
            Step::Follow(plane) => self.plane(plane).follow(setup),
            Step::Restart(plane) => self.plane(plane).start(setup),
            Step::Crash(plane) => self.crash(plane),
            Step::LoseDisk(plane) => {
                self.crash(plane);
                self.plane(plane).is_lost = true;
            }
            Step::Send(plane) => self.send(setup, plane),
            Step::End(attempt, price) => self.end(setup, attempt, price),
            Step::Call(plane, kind) => self.call_at_once(setup, plane, kind),
            Step::Slow(plane, kind) => {
                let message = self.make_call(setup, plane, kind);
                self.network.extend(message);
            }
            Step::Arrive(_) | Step::Answer(_) | Step::Lose(_) | Step::GiveUp(_) | Step::Bounce(_) => {
                self.take_call(setup, step);
            }
            Step::Presume(plane) => self.store.presume(setup, plane),
            Step::Release(plane) => {
                let epochs = self.store.release(plane);
                self.truth.released.extend(epochs.into_iter().map(|epoch| (plane, epoch)));
            }
            Step::Resend(plane) => self.plane(plane).disk.acknowledged = 0,
            Step::Lower => self.store.limits[0] = setup.lowered,
            Step::Reset => self.period = 1,
            Step::Backup => self.backup = Some(self.store.clone()),
            Step::Restore => self.restore(setup),
        }
    }

    fn attach(&mut self, plane: u8) {
        let session = self.store.attach(plane);
        if let Some(process) = &mut self.plane(plane).process {
            process.session = Some(session);
        }
    }

    fn crash(&mut self, number: u8) {
        self.plane(number).process = None;
        for attempt in &mut self.attempts {
            if let Attempt::UnderWay { plane, dues } = attempt
                && *plane == number
            {
                *attempt = Attempt::CutOff { plane: number, dues: std::mem::take(dues) };
            }
        }
        self.network.retain(|message| message.plane != number || message.reply.is_none());
        self.network
            .iter_mut()
            .filter(|message| message.plane == number)
            .for_each(|message| message.is_awaited = false);
    }

    fn send(&mut self, setup: &Setup, plane: u8) {
        let Some(attempt) = self.next_attempt() else { return };
        let dues = setup.dues(self.period);
        if self.plane(plane).reserve(setup, plane, attempt as u8, &dues) {
            self.attempts[attempt] = Attempt::UnderWay { plane, dues };
        }
    }

    fn end(&mut self, setup: &Setup, attempt: u8, price: u64) {
        let Attempt::UnderWay { plane, dues } = self.attempts[usize::from(attempt)].clone() else { return };
        self.plane(plane).settle(setup, plane, attempt, price);
        self.attempts[usize::from(attempt)] = Attempt::Ended { plane, dues, price };
    }

    fn restore(&mut self, setup: &Setup) {
        let Some(backup) = self.backup.take() else { return };
        let incarnation = self.store.incarnation + 1;
        self.store = Store { incarnation, ..backup };
        if setup.guards.restore_skips_epochs {
            self.store.epochs.iter_mut().for_each(|epoch| *epoch += FAR);
        }
        self.truth.restored_at = Some(self.store.epochs.clone());
    }

    /// Makes a call.
    fn make_call(&mut self, setup: &Setup, number: u8, kind: Kind) -> Option<Message> {
        let own: Vec<Message> = self
            .network
            .iter()
            .filter(|message| message.plane == number && message.is_awaited)
            .cloned()
            .collect();
        let dues = setup.dues(self.period);
        let plane = self.plane(number);
        let call = match kind {
            Kind::Ask => plane.ask(setup, &dues),
            Kind::Return => {
                let epoch = plane.process.as_ref()?.epochs().first().copied()?;
                plane.give_back(setup, epoch)
            }
            Kind::Close => plane.look_around(setup, &own.iter().collect::<Vec<_>>()),
            Kind::Report => plane.report(),
        };
        Some(Message { plane: number, call: call?, reply: None, is_awaited: true })
    }

    fn call_at_once(&mut self, setup: &Setup, plane: u8, kind: Kind) {
        if let Some(message) = self.make_call(setup, plane, kind) {
            let reply = self.carry_out(setup, &message);
            self.hear(setup, plane, message.call, Ending::Answered(reply));
        }
    }

    fn hear(&mut self, setup: &Setup, number: u8, call: Call, ending: Ending) {
        let others = self.network.iter().filter(|message| message.plane == number && message.is_awaited);
        let others: Vec<&Message> = others.collect();
        self.planes[usize::from(number)].hear(setup, call, ending, &others);
    }

    /// The control plane's side of a call.
    fn carry_out(&mut self, setup: &Setup, Message { plane, call, .. }: &Message) -> Reply {
        match call {
            Call::Ask { epoch, asks, .. } => self.store.acquire(setup, *plane, *epoch, asks),
            Call::Return { epoch, parts, .. } => self.store.give_back(*plane, *epoch, parts),
            Call::Report { session, closings, .. } => self.store.report(setup, *session, *plane, closings),
        }
    }

    fn take_call(&mut self, setup: &Setup, step: Step) {
        let (Step::Arrive(at) | Step::Answer(at) | Step::Lose(at) | Step::GiveUp(at) | Step::Bounce(at)) =
            step
        else {
            return;
        };
        let mut message = self.network.remove(at);
        let plane = message.plane;
        match step {
            Step::Arrive(_) => {
                let reply = self.carry_out(setup, &message);
                if message.is_awaited {
                    message.reply = Some(reply);
                    self.network.push(message);
                }
            }
            Step::Answer(_) => {
                if let Some(reply) = message.reply {
                    self.hear(setup, plane, message.call, Ending::Answered(reply));
                }
            }
            Step::Bounce(_) => self.hear(setup, plane, message.call, Ending::Away),
            Step::Lose(_) if message.is_awaited => self.hear(setup, plane, message.call, Ending::Lost),
            Step::GiveUp(_) => {
                self.hear(setup, plane, message.call.clone(), Ending::Lost);
                message.is_awaited = false;
                self.network.push(message);
            }
            _ => {}
        }
    }

    /// What an observer notes of a step.
    fn remember(&mut self, setup: &Setup, before: &State) {
        if self.store.incarnation == before.store.incarnation {
            for (row, balance) in &self.store.accounts {
                let limit = self.store.limits[usize::from(row.owner)];
                let grew = self.store.taken(*row) > before.store.taken(*row);
                // A limit that was lowered below what is taken stops what comes after.
                self.truth.went_over |= grew && balance.charged + balance.presumed + balance.lent > limit;
            }
        }
        let charged = |plane: &Plane| plane.disk.closings.iter().any(|line| line.charged() > setup.reserve);
        self.truth.overcharged |= self.planes.iter().any(charged);
    }
}

/// Every account in each of its periods.
pub fn rows(setup: &Setup) -> impl Iterator<Item = Row> {
    let periods = |owner| if owner == 0 { 0..2 } else { 0..1 };
    (0..setup.limits.len()).flat_map(move |owner| periods(owner).map(move |period| Row::new(owner, period)))
}
