//! What can be booked, and what is said of what cannot.

use switchyard_proto::v1::usage_record::Kind;
use uuid::Uuid;

use super::*;

fn sender() -> Sender {
    Sender { instance: "dp-1".into(), now: GenerationId::from_bytes(&generation_id()).unwrap().admitted_at() }
}

fn generation_id() -> Vec<u8> {
    Uuid::parse_str("019396a0-0000-7000-8000-000000000000").unwrap().as_bytes().to_vec()
}

fn credits() -> v1::Charge {
    let account = v1::AccountPeriod { kind: 1, owner: "acme".into(), period: "all".into() };
    v1::Charge { account: Some(account), charged_nano: 7, reserved_nano: 9, leased: true }
}

/// What the tenant's own credential was billed.
fn own_credential(period: &str) -> v1::Charge {
    let kind = v1::AccountKind::ByokUsage.into();
    let account = v1::AccountPeriod { kind, owner: "key_1".into(), period: period.into() };
    v1::Charge { account: Some(account), charged_nano: 7, reserved_nano: 7, leased: false }
}

const NO_DAY: &str = "`charges.account.period` is no day such as 2026-11-23, by which BYOK_USAGE is counted";

fn attempt() -> v1::AttemptRecord {
    v1::AttemptRecord {
        generation: generation_id(),
        attempt: 1,
        instance: "dp-1".into(),
        epoch: 2,
        tenant: "acme".into(),
        key: "key_1".into(),
        charges: vec![credits()],
        charge_nano: 7,
        reserved_nano: 9,
        provenance: v1::Provenance::ProviderFinal.into(),
        outcome: "ok".into(),
        ..Default::default()
    }
}

fn generation() -> v1::GenerationRecord {
    v1::GenerationRecord {
        id: generation_id(),
        instance: "dp-1".into(),
        tenant: "acme".into(),
        ..Default::default()
    }
}

fn read_kind(kind: Kind) -> Read<Entry> {
    read(&v1::UsageRecord { kind: Some(kind) }.encode_to_vec(), &sender())
}

fn lines(record: v1::AttemptRecord) -> (Line, Option<Line>) {
    match read_kind(Kind::Attempt(record)).unwrap() {
        Entry::Attempt(line, house) => (*line, house.map(|house| *house)),
        Entry::Generation(_) => panic!("an attempt"),
    }
}

#[test]
fn an_attempt_names_its_payer() {
    let (line, house) = lines(attempt());
    assert_eq!((line.payer_kind, line.payer_owner.as_str(), line.payer_period.as_str()), (1, "acme", "all"));
    assert_eq!((line.charges.len(), line.charges[0].charged, line.epoch), (1, 7, 2));
    assert_eq!(house, None);
}

#[test]
fn usage_of_own_credentials_is_counted_by_the_day() {
    let (line, _) = lines(v1::AttemptRecord { charges: vec![own_credential("2024-12-05")], ..attempt() });
    let account = &line.charges[0].account;
    assert_eq!((account.kind, account.period.as_str()), (AccountKind::ByokUsage, "2024-12-05"));
}

#[test]
fn what_the_reservation_did_not_cover_is_a_line_of_the_house() {
    let (line, house) = lines(v1::AttemptRecord { house_nano: 5, ..attempt() });
    let house = house.unwrap();
    assert_eq!((house.id, house.attempt, house.kind), (line.id, line.attempt, LineKind::House));
    assert_eq!((house.charge_nano, house.charges[0].account.kind), (5, AccountKind::House));
    assert_eq!(house.tenant, "", "tenants do not see it");
}

#[test]
fn what_cannot_be_booked_is_named() {
    let with = |change: fn(&mut v1::AttemptRecord)| {
        let mut record = attempt();
        change(&mut record);
        Kind::Attempt(record)
    };
    let account = |change: fn(&mut v1::AccountPeriod)| {
        let mut record = attempt();
        change(record.charges[0].account.as_mut().unwrap());
        Kind::Attempt(record)
    };
    let byok = |period: &str| {
        Kind::Attempt(v1::AttemptRecord { charges: vec![own_credential(period)], ..attempt() })
    };
    for (kind, reason) in [
        (with(|record| record.generation.clear()), "`generation` is missing"),
        (with(|record| record.generation = vec![1; 16]), "`generation` is no UUIDv7"),
        (with(|record| record.generation = vec![0x7f; 16]), "`generation` is of a time too far from now"),
        (with(|record| record.attempt = 0), "`attempt` is zero"),
        (with(|record| record.attempt = u32::MAX), "`attempt` is too large"),
        (with(|record| record.instance = "dp-2".into()), "`instance` is not the one that sends it"),
        (with(|record| record.tenant.clear()), "`tenant` is missing"),
        (with(|record| record.provenance = 0), "`provenance` is unknown"),
        (with(|record| record.provenance = 77), "`provenance` is unknown"),
        (with(|record| record.cost_nano = u64::MAX), "`cost_nano` is too large"),
        (with(|record| record.charges[0].charged_nano = u64::MAX), "`charges.charged_nano` is too large"),
        (with(|record| record.charges[0].account = None), "`charges.account` is missing"),
        (with(|record| record.charges.push(credits())), "`charges.account` is named twice"),
        (account(|account| account.kind = 0), "`charges.account.kind` is unknown"),
        (account(|account| account.kind = 99), "`charges.account.kind` is unknown"),
        (account(|account| account.owner = "rival".into()), "`charges.account.owner` is not of this attempt"),
        (account(|account| account.period = "soon".into()), "`charges.account.period` is no period"),
        (byok("all"), NO_DAY),
        (byok("2026-W48"), NO_DAY),
        (byok("24h/2026-11-23T10"), NO_DAY),
        (byok("2026-02-30"), NO_DAY),
        (Kind::Generation(v1::GenerationRecord { id: vec![], ..generation() }), "`id` is missing"),
        (
            Kind::Generation(v1::GenerationRecord { tenant: String::new(), ..generation() }),
            "`tenant` is missing",
        ),
    ] {
        let found = match &kind {
            // Version and variant bits of a UUIDv7 in the far future.
            Kind::Attempt(record) if record.generation == vec![0x7f; 16] => {
                let mut bytes = vec![0x7f; 16];
                bytes[6] = 0x70;
                bytes[8] = 0x80;
                read_kind(Kind::Attempt(v1::AttemptRecord { generation: bytes, ..record.clone() }))
            }
            kind => read_kind(kind.clone()),
        };
        assert_eq!(found.unwrap_err().to_string(), reason);
    }
    assert_eq!(read(b"\xff\xff", &sender()), Err(Unbookable::Unreadable));
    assert_eq!(read(b"", &sender()), Err(Unbookable::Unknown));
}

#[test]
fn a_callers_own_words_never_cost_the_record() {
    let user = format!("a\0b{}", "é".repeat(LONGEST_TEXT));
    let record = v1::GenerationRecord { user, ..generation() };
    let Entry::Generation(row) = read_kind(Kind::Generation(record)).unwrap() else { panic!("a generation") };
    assert!(row.user_id.starts_with("abé") && row.user_id.len() <= LONGEST_TEXT);
}

#[test]
fn a_generation_without_admission_time_has_that_of_its_id() {
    let Entry::Generation(row) = read_kind(Kind::Generation(generation())).unwrap() else {
        panic!("a generation")
    };
    assert_eq!(row.admitted_at, sender().now);
}
