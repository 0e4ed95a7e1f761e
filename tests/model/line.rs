//! An attempt's line, made by the data plane's own code and read by the control plane's.
//!
//! The states hold a small form of it; the real line is kept beside, once for each form.

use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::Arc};

use chrono::{DateTime, Utc};
use prost::Message;
use switchyard_control_plane::{
    domain::ledger::Line,
    money::record::{self, Entry, Sender},
};
use switchyard_data_plane::{
    limits::{Facts, Settlement},
    usage::record as draft,
};
use switchyard_proto::{
    id::{CredentialId, EndpointId, GenerationId, KeyId, ModelId, ProviderId, TenantId},
    money::NanoUsd,
    v1::{self, AccountKind, Provenance},
};

use crate::state::Row;

/// The closing of an attempt, in a journal and on its way to the ledger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Closing {
    pub attempt: u8,
    pub plane: u8,
    pub epoch: u64,
    pub dues: Vec<Row>,
    pub reserved: u64,
    /// `None`: interrupted.
    pub price: Option<u64>,
    /// A mutant's: charges are not cut to the reservation.
    pub overcharges: bool,
}

/// Its lines, as they are booked.
pub struct Lines {
    pub attempt: Line,
    pub house: Option<Line>,
}

impl Closing {
    /// What each account is charged.
    pub fn charged(&self) -> u64 {
        self.lines().attempt.charges.first().map_or(0, |charge| charge.charged as u64)
    }

    /// Its ledger lines: `usage::record` builds the record, `money::record` reads it.
    pub fn lines(&self) -> Rc<Lines> {
        thread_local! { static KNOWN: RefCell<HashMap<Closing, Rc<Lines>>> = RefCell::default(); }
        KNOWN.with_borrow_mut(|known| match known.get(self) {
            Some(lines) => Rc::clone(lines),
            None => {
                let lines = Rc::new(self.read());
                known.insert(self.clone(), Rc::clone(&lines));
                lines
            }
        })
    }

    fn read(&self) -> Lines {
        let sender = Sender { instance: instance(self.plane), now: now() };
        let kind = Some(v1::usage_record::Kind::Attempt(self.record()));
        let bytes = v1::UsageRecord { kind }.encode_to_vec();
        match record::read(&bytes, &sender) {
            Ok(Entry::Attempt(attempt, house)) => Lines { attempt: *attempt, house: house.map(|line| *line) },
            other => panic!("a record that cannot be booked: {other:?}"),
        }
    }

    /// As `limits::hold` makes it before it is sent, and as it ends.
    fn record(&self) -> v1::AttemptRecord {
        let charge = |row: &Row| v1::Charge {
            account: Some(wire_account(*row)),
            charged_nano: self.reserved,
            reserved_nano: self.reserved,
            leased: true,
        };
        // Two attempts share a generation: a hedge, or a retry.
        let (generation, number) = (generation(self.attempt / 2), u32::from(self.attempt % 2) + 1);
        let charges = self.dues.iter().map(charge).collect();
        let open =
            draft::interrupted(generation, number, self.epoch, charges, NanoUsd(self.reserved), &facts());
        let open = v1::AttemptRecord { instance: instance(self.plane), ..open };
        let Some(price) = self.price else { return open };
        let mut ended = draft::ended(open, settlement(price)).0;
        if self.overcharges {
            ended.charges.iter_mut().for_each(|charge| charge.charged_nano = price);
            (ended.charge_nano, ended.house_nano) = (price, 0);
        }
        ended
    }
}

/// The instance's name on the wire.
pub fn instance(plane: u8) -> String {
    format!("dp_{plane}")
}

/// The account's name on the wire.
fn wire_account(row: Row) -> v1::AccountPeriod {
    let (kind, owner) = match row.owner {
        0 => (AccountKind::KeyLimit, "key"),
        _ => (AccountKind::TenantCredits, "acme"),
    };
    v1::AccountPeriod { kind: kind.into(), owner: owner.to_owned(), period: period(row) }
}

/// The period's name.
pub fn period(row: Row) -> String {
    match row.owner {
        0 => format!("2026-11-2{}", row.period),
        _ => "all".to_owned(),
    }
}

/// No rule reads it.
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).expect("is in range")
}

fn generation(number: u8) -> GenerationId {
    let ms = now().timestamp_millis() as u64;
    let mut bytes = [number; 16];
    bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
    (bytes[6], bytes[8]) = (0x70, 0x80);
    GenerationId::from_bytes(&bytes).expect("is a UUIDv7")
}

fn facts() -> Facts {
    Facts {
        tenant: TenantId::new("acme"),
        key: KeyId::new("key"),
        model: ModelId::new("author/model"),
        endpoint: EndpointId::new("endpoint"),
        provider: ProviderId::new("provider"),
        credential: CredentialId::new("credential"),
        price: Arc::default(),
        tenant_price: None,
        price_revision: Arc::default(),
        markup_ppm: 0,
        started_at: now(),
    }
}

fn settlement(price: u64) -> Settlement {
    Settlement {
        cost: NanoUsd(price),
        price: NanoUsd(price),
        tokens: v1::TokenUsage::default(),
        provenance: Provenance::ProviderFinal,
        outcome: "ok".into(),
        upstream_status: 200,
        ended_at: now(),
        used: None,
        generation: None,
    }
}
