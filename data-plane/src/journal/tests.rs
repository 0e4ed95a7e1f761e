//! The journal as a whole: restarts, refusals, damage, what is shipped.

use std::{fs, path::Path, sync::Arc, time::Duration};

use prost::Message;
use switchyard_proto::{
    clock,
    money::NanoUsd,
    v1::{self, usage_record},
};
use tempfile::TempDir;

use super::*;

const KIB: u64 = 1024;

fn settings() -> settings::Journal {
    settings::Journal {
        max_bytes: 64 * KIB * KIB,
        segment_bytes: 64 * KIB,
        fsync_every: Duration::ZERO,
        keep_acknowledged: Duration::from_secs(3600),
        ship_every: Duration::from_millis(10),
    }
}

fn open(dir: &TempDir) -> (Arc<Journal>, Replay) {
    Journal::open(dir.path(), &settings()).unwrap()
}

fn account() -> Account {
    Account { kind: v1::AccountKind::KeyLimit, owner: "key_1".into(), period: Period::All }
}

/// An intent of generation `number` that took `reserved` from epoch 1.
fn intent(number: u8, reserved: u64) -> Intent {
    let charge = v1::Charge {
        account: Some(account().to_proto()),
        charged_nano: reserved,
        reserved_nano: reserved,
        leased: true,
    };
    let record = v1::AttemptRecord {
        generation: vec![number; 16],
        attempt: 1,
        epoch: 1,
        charges: vec![charge],
        charge_nano: reserved,
        reserved_nano: reserved,
        outcome: "interrupted".into(),
        provenance: v1::Provenance::Interrupted.into(),
        ..Default::default()
    };
    Intent { record, draws: vec![(account(), reserved)], traceparent: format!("trace-{number}") }
}

fn charged(mut record: v1::AttemptRecord, nano: u64) -> v1::AttemptRecord {
    record.charges[0].charged_nano = nano;
    record.charge_nano = nano;
    record.outcome = "ok".into();
    record
}

fn shipped(journal: &Journal) -> Vec<usage_record::Kind> {
    let batch = journal.backlog(journal.acknowledged(), 10_000, usize::MAX).unwrap();
    batch
        .records
        .iter()
        .map(|record| v1::UsageRecord::decode(record.clone()).unwrap().kind.unwrap())
        .collect()
}

fn lines(journal: &Journal) -> Vec<v1::AttemptRecord> {
    let attempt = |kind| match kind {
        usage_record::Kind::Attempt(record) => Some(record),
        usage_record::Kind::Generation(_) => None,
    };
    shipped(journal).into_iter().filter_map(attempt).collect()
}

/// First byte of the id, status, charge and attempts of each generation.
fn generations(journal: &Journal) -> Vec<(u8, u32, u64, u32)> {
    let generation = |kind| match kind {
        usage_record::Kind::Generation(record) => {
            Some((record.id[0], record.status, record.charge_nano, record.attempts))
        }
        usage_record::Kind::Attempt(_) => None,
    };
    shipped(journal).into_iter().filter_map(generation).collect()
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let numbers = segment::list(&dir.join("journal")).unwrap();
    numbers.into_iter().map(|(number, _)| segment::path(&dir.join("journal"), number)).collect()
}

#[test]
fn a_restart_finds_leases_and_closes_open_attempts_as_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, replay) = open(&dir);
    assert!(replay.balances.is_empty() && replay.session.is_none());
    let instance = journal.instance().clone();
    journal.session(SessionMark { epoch: 1, incarnation: "one".into() }).unwrap();
    journal.granted(&account(), 1, 1000).unwrap();
    let settled = journal.intend(intent(1, 300)).unwrap();
    let cut_off = journal.intend(intent(2, 200)).unwrap();
    settled.close(|record| {
        let generation =
            v1::GenerationRecord { id: record.generation.clone(), status: 200, ..Default::default() };
        (charged(record, 100), Some(generation))
    });
    kill(journal, cut_off);

    let (journal, replay) = open(&dir);
    assert_eq!(journal.instance(), &instance);
    assert_eq!(replay.balances, [(account(), 1, 700)]);
    assert_eq!(replay.session.map(|session| session.epoch), Some(1));
    assert_eq!((replay.interrupted, replay.damaged), (1, 0));
    let lines = lines(&journal);
    let seen: Vec<_> =
        lines.iter().map(|line| (line.generation[0], line.charge_nano, line.outcome.as_str())).collect();
    assert_eq!(seen, [(1, 100, "ok"), (2, 200, "interrupted")]);
    assert!(lines.iter().all(|line| line.instance == instance.as_str()));
    drop(journal);

    let (journal, replay) = open(&dir);
    assert_eq!((replay.interrupted, replay.balances), (0, vec![(account(), 1, 700)]));
    assert_eq!((shipped(&journal).len(), generations(&journal).len()), (4, 2), "closed once");
}

#[test]
fn a_request_that_was_cut_off_has_one_generation_with_all_that_its_lines_charge() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings::Journal { segment_bytes: 1, ..settings() };
    let (journal, _) = Journal::open(dir.path(), &settings).unwrap();
    let attempt = |number: u8, attempt| {
        let mut intent = intent(number, 200);
        intent.record.attempt = attempt;
        journal.intend(intent).unwrap()
    };
    let generation =
        |number: u8| v1::GenerationRecord { id: vec![number; 16], status: 200, ..Default::default() };
    // Failed, tried again, and cut off then; between two attempts; between its last attempt and its generation's own record.
    attempt(1, 1).close(|record| (charged(record, 30), None));
    let cut_off = attempt(1, 2);
    attempt(2, 1).close(|record| (charged(record, 7), None));
    attempt(3, 1).close(|record| (charged(record, 5), None));
    journal.generation(&generation(3), "").unwrap();
    attempt(4, 1).close(|record| (charged(record, 5), None));
    attempt(4, 2).close(|record| (charged(record, 5), Some(generation(4))));
    kill(Arc::clone(&journal), cut_off);
    drop(journal);

    for expected in [4, 4] {
        // Each segment begins with a checkpoint, so that the newest alone must know all of this.
        let (journal, _) = Journal::open(dir.path(), &settings).unwrap();
        let mut seen = generations(&journal);
        seen.sort_unstable();
        assert_eq!(seen.len(), expected, "written once: {seen:?}");
        assert_eq!(seen, [(1, 500, 230, 2), (2, 500, 7, 1), (3, 200, 0, 0), (4, 200, 0, 0)]);
        assert_eq!(lines(&journal).len(), 6);
    }
}

#[test]
fn a_survey_counts_what_is_owed_and_leaves_everything_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(&dir);
    journal.granted(&account(), 1, 1000).unwrap();
    journal.intend(intent(1, 300)).unwrap().close(|record| (charged(record, 100), None));
    journal.acknowledge(journal.written(), "one");
    let began = |number, seconds| {
        let mut intent = intent(number, 200);
        intent.record.started_at =
            Some(clock::to_timestamp(chrono::DateTime::UNIX_EPOCH + Duration::from_secs(seconds)));
        intent
    };
    journal.intend(began(2, 50)).unwrap().close(|record| (charged(record, 40), None));
    let generation = v1::GenerationRecord { id: vec![2; 16], ..Default::default() };
    journal.generation(&generation, "").unwrap();
    let cut_off = journal.intend(began(3, 20)).unwrap();
    journal.doubt(&account(), 1).unwrap();
    assert!(matches!(Survey::of(dir.path()), Err(JournalError::Taken { .. })), "a running process holds it");
    let instance = journal.instance().clone();
    kill(journal, cut_off);

    let files = |dir: &Path| -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let paths = fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        files.sort();
        files
    };
    let before = files(dir.path());
    let survey = Survey::of(dir.path()).unwrap();
    assert_eq!(files(dir.path()), before);
    assert_eq!(survey.instance, Some(instance));
    let tally = |count, nano| Tally { count, charge: NanoUsd(nano), cost: NanoUsd::ZERO };
    assert_eq!((survey.ended, survey.interrupted), (tally(1, 40), tally(1, 200)));
    // The first request's line is acknowledged, its generation was never written.
    assert_eq!((survey.generations, survey.unfinished, survey.records()), (1, 2, 5));
    assert_eq!((survey.leases, survey.held, survey.doubts), (1, NanoUsd(660), 1));
    let seconds = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| at.timestamp());
    assert_eq!((seconds(survey.oldest), seconds(survey.newest), survey.damaged), (Some(20), Some(50), 0));

    let (journal, _) = open(&dir);
    assert_eq!(shipped(&journal).len() as u64, survey.records(), "what is shipped is what was counted");
}

#[test]
fn a_survey_of_what_is_no_journal_or_has_no_name_says_so_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Survey::of(dir.path()), Err(JournalError::Absent { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let (journal, _) = open(&dir);
    journal.intend(intent(1, 300)).unwrap().close(|record| (charged(record, 100), None));
    drop(journal);
    fs::remove_file(dir.path().join("instance")).unwrap();
    // Another disk's records among its own.
    let (other, other_dir) = (tempfile::tempdir().unwrap(), dir.path().join("journal"));
    let (journal, _) = open(&other);
    journal.intend(intent(2, 300)).unwrap().close(|record| (charged(record, 100), None));
    let path = segments(other.path()).pop().unwrap();
    fs::copy(path, segment::path(&other_dir, 7)).unwrap();
    let error = Survey::of(dir.path()).unwrap_err().to_string();
    let both = error.split_once("; its records are of ").unwrap().1;
    assert!(both.contains(journal.instance().as_str()) && both.contains(", dp_"), "{error}");
    assert!(!dir.path().join("instance").exists());
}

#[test]
fn an_instance_that_lost_its_id_is_who_its_records_say() {
    for lost in ["", "dp_\u{0}\u{0}"] {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = open(&dir);
        journal.intend(intent(1, 300)).unwrap().close(|record| (charged(record, 100), None));
        let instance = journal.instance().clone();
        drop(journal);
        fs::write(dir.path().join("instance"), lost).unwrap();
        assert_eq!(Survey::of(dir.path()).unwrap().instance.as_ref(), Some(&instance));
        assert_eq!(open(&dir).0.instance(), &instance);
        assert_eq!(fs::read_to_string(dir.path().join("instance")).unwrap().trim(), instance.as_str());
    }
}

#[test]
fn a_disk_that_takes_nothing_refuses_intents_and_readiness_until_it_is_well_again() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(&dir);
    let open = journal.intend(intent(1, 300)).unwrap();
    assert!(journal.accepts());
    let before = journal.sizes();
    // As on a disk that was made read-only after an error.
    let path = segments(dir.path()).pop().unwrap();
    let file = journal.writer().swap_file(Arc::new(File::open(path).unwrap()));
    let refused = journal.intend(intent(2, 300)).unwrap_err();
    assert!(matches!(refused, JournalError::Disk(_)), "{refused}");
    assert!(!journal.accepts() && journal.sizes() == before, "nothing is counted of it");
    open.close(|record| (charged(record, 100), None));
    assert!(!journal.accepts() && lines(&journal).is_empty());
    journal.writer().swap_file(file);
    assert!(journal.accepts(), "without an intent to find out by");
    let seen: Vec<_> = lines(&journal).iter().map(|line| (line.generation[0], line.charge_nano)).collect();
    assert_eq!(seen, [(1, 100)], "the closing was kept, and the refused intent left nothing");
    journal.intend(intent(2, 300)).unwrap();
}

/// Ends the process without running what drops would do.
fn kill(journal: Arc<Journal>, slot: Slot) {
    std::mem::forget(slot);
    // The forgotten slot keeps the journal; its lock has to go all the same.
    journal._lock.unlock().unwrap();
}

#[test]
fn cut_off_at_any_byte_every_complete_record_counts_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(&dir);
    let first = journal.written().offset;
    let mut ends = vec![(first, 0, 0)];
    let mut note = |journal: &Journal, lines, balance| ends.push((journal.written().offset, lines, balance));
    journal.granted(&account(), 1, 1000).unwrap();
    note(&journal, 0, 1000);
    let slot = journal.intend(intent(1, 300)).unwrap();
    note(&journal, 1, 700);
    slot.close(|record| (charged(record, 100), None));
    note(&journal, 1, 900);
    journal.returned(&account(), 1, 400).unwrap();
    note(&journal, 1, 500);
    let end = journal.written();
    drop(journal);
    let whole = fs::read(segment::path(&dir.path().join("journal"), end.segment)).unwrap();

    for cut in first..=end.offset {
        let (_, expected_lines, balance) = *ends.iter().rev().find(|(at, ..)| *at <= cut).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("journal")).unwrap();
        let cut = usize::try_from(cut).unwrap();
        fs::write(segment::path(&dir.path().join("journal"), 1), &whole[..cut]).unwrap();
        let (journal, replay) = open(&dir);
        let found = replay.balances.iter().map(|(.., amount)| *amount).sum::<u64>();
        assert_eq!(
            (found, lines(&journal).len(), replay.damaged),
            (balance, expected_lines, 0),
            "cut at {cut}"
        );
    }
}

#[test]
fn a_damaged_record_is_kept_aside_and_leases_are_not_trusted_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(&dir);
    journal.granted(&account(), 1, 1000).unwrap();
    let before = journal.written().offset;
    journal.intend(intent(1, 300)).unwrap().close(|record| (charged(record, 100), None));
    journal.intend(intent(2, 300)).unwrap().close(|record| (charged(record, 100), None));
    drop(journal);
    let path = segments(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[usize::try_from(before).unwrap() + 30] ^= 0xff;
    fs::write(&path, bytes).unwrap();

    let (journal, replay) = open(&dir);
    assert_eq!((replay.damaged, replay.balances.len()), (1, 0));
    assert_eq!(lines(&journal).len(), 2, "both closings are whole");
    let aside = fs::read_dir(dir.path().join("journal")).unwrap();
    let aside =
        aside.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("damaged-"));
    assert!(aside.count() >= 1);
}

#[test]
fn a_full_journal_refuses_intents_and_still_takes_every_closing() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings::Journal { max_bytes: 40 * KIB, ..settings() };
    let (journal, _) = Journal::open(dir.path(), &settings).unwrap();
    let mut slots = Vec::new();
    let refused = loop {
        match journal.intend(intent(u8::try_from(slots.len()).unwrap(), 1)) {
            Ok(slot) => slots.push(slot),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, JournalError::Full { .. }), "{refused}");
    assert!(slots.len() > 5);
    assert!(!journal.accepts(), "whoever refuses is not ready");
    let open = slots.len();
    for slot in slots {
        let generation = v1::GenerationRecord { decision: "x".repeat(1500), ..Default::default() };
        slot.close(|record| (charged(record, 1), Some(generation)));
    }
    assert_eq!(shipped(&journal).len(), 2 * open);
    let (pending, _) = journal.sizes();
    assert!(pending <= settings.max_bytes, "{pending}");
    while journal.intend(intent(0, 1)).is_ok() {}
    let written = journal.written();
    journal.acknowledge(written, "one");
    assert!(journal.accepts() && journal.intend(intent(0, 1)).is_ok());
}

#[test]
fn a_dropped_slot_closes_at_its_reservation() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(&dir);
    drop(journal.intend(intent(1, 300)).unwrap());
    let lines = lines(&journal);
    assert_eq!((lines.len(), lines[0].charge_nano, lines[0].outcome.as_str()), (1, 300, "interrupted"));
    assert!(lines[0].ended_at.is_some());
}

#[test]
fn segments_follow_each_other_and_acknowledged_ones_go_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let settings =
        settings::Journal { keep_acknowledged: Duration::ZERO, segment_bytes: 16 * KIB, ..settings() };
    let (journal, _) = Journal::open(dir.path(), &settings).unwrap();
    journal.granted(&account(), 1, 100_000).unwrap();
    let long_lived = journal.intend(intent(255, 500)).unwrap();
    for _ in 0..800 {
        let slot = journal.intend(intent(1, 300)).unwrap();
        slot.close(|record| (charged(record, 100), None));
    }
    let before = segments(dir.path()).len();
    assert!(before > 3, "{before}");
    assert_eq!(lines(&journal).len(), 800);
    let batch = journal.backlog(journal.acknowledged(), 10, usize::MAX).unwrap();
    assert_eq!((batch.records.len(), batch.traceparents[0].as_str()), (10, "trace-1"));
    journal.acknowledge(batch.upto, "one");
    assert_eq!(lines(&journal).len(), 790);
    journal.acknowledge(journal.written(), "one");
    journal.sweep(clock::now() + chrono::TimeDelta::seconds(5));
    assert_eq!(segments(dir.path()).len(), 2);

    kill(journal, long_lived);
    let (journal, replay) = Journal::open(dir.path(), &settings).unwrap();
    assert_eq!(replay.balances, [(account(), 1, 100_000 - 80_000 - 500)]);
    assert_eq!(lines(&journal).len(), 1, "the long-lived attempt was carried over");
}

#[test]
fn a_store_of_another_incarnation_is_offered_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(&dir);
    journal.intend(intent(1, 1)).unwrap().close(|record| (record, None));
    assert!(!journal.offer_to("one"));
    journal.acknowledge(journal.written(), "one");
    assert!(!journal.offer_to("one") && lines(&journal).is_empty());
    assert!(journal.offer_to("two"));
    assert_eq!(lines(&journal).len(), 1);
}

#[test]
fn generations_without_attempts_are_shipped_too() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(&dir);
    let generation = v1::GenerationRecord { status: 429, ..Default::default() };
    journal.generation(&generation, "").unwrap();
    let usage_record::Kind::Generation(read) = shipped(&journal).remove(0) else { panic!("a generation") };
    assert_eq!((read.status, read.instance.as_str()), (429, journal.instance().as_str()));
}

#[test]
fn writers_on_many_threads_leave_whole_records_and_an_exact_balance() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(&dir);
    journal.granted(&account(), 1, 1_000_000).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let journal = &journal;
            scope.spawn(move || {
                for attempt in 0..100 {
                    let mut intent = intent(thread, 100);
                    intent.record.attempt = attempt;
                    journal.intend(intent).unwrap().close(|record| (charged(record, 10), None));
                }
            });
        }
    });
    assert_eq!(lines(&journal).len(), 400);
    drop(journal);
    let (_, replay) = open(&dir);
    assert_eq!((replay.balances, replay.damaged), (vec![(account(), 1, 1_000_000 - 4_000)], 0));
}
