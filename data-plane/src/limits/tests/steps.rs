//! Holds that are raised while their attempt goes on: what they take, what they give back, and what a kill leaves of them.

use super::*;

#[tokio::test]
async fn a_raised_hold_covers_more_and_gives_back_what_is_not_spent() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    let mut hold = world.reserve(&[("k", 400), ("unleased", 300)]).await.unwrap();
    hold.raise(|due| NanoUsd(due.amount.0 + 200), NanoUsd(7)).await.unwrap();
    assert_eq!((hold.reserved(), world.affordable("k")), (NanoUsd(600), Some(400)));
    let settled = hold.settle(settlement(550));
    assert_eq!(settled, Settled { charged: NanoUsd(550), house: NanoUsd(0) });
    let line = world.lines().remove(0);
    let charges: Vec<_> =
        line.charges.iter().map(|charge| (charge.charged_nano, charge.reserved_nano)).collect();
    assert_eq!(charges, [(550, 600), (500, 500)]);
    assert_eq!(world.affordable("k"), Some(450));
}

#[tokio::test]
async fn a_hold_that_cannot_be_raised_stays_as_it_was() {
    let world = World::new(Bank::with(&[("k", 1000), ("other", 1000)]));
    let mut hold = world.reserve(&[("other", 400), ("k", 400)]).await.unwrap();
    let error = hold
        .raise(|due| NanoUsd(if due.account.owner.as_ref() == "k" { 1100 } else { 500 }), NanoUsd(1))
        .await;
    let error = error.unwrap_err();
    assert!(matches!(&error, ReserveError::Exhausted { affordable: NanoUsd(600), .. }), "{error}");
    assert_eq!((world.affordable("other"), world.affordable("k")), (Some(600), Some(600)));
    hold.raise(|_| NanoUsd(300), NanoUsd(1)).await.expect("less than it covers is covered");
    assert_eq!(hold.settle(settlement(500)), Settled { charged: NanoUsd(400), house: NanoUsd(100) });
}

#[tokio::test]
async fn what_a_raised_hold_took_stays_charged_when_the_process_ends() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    let mut hold = world.reserve(&[("k", 400)]).await.unwrap();
    hold.raise(|_| NanoUsd(700), NanoUsd(9)).await.unwrap();
    // A process that is killed runs no destructors.
    std::mem::forget(hold);
    let copy = tempfile::tempdir().unwrap();
    copy_journal(world.dir.path(), copy.path());
    let world = World::at(copy, world.bank.clone(), session(1, "one"));
    let line = world.lines().remove(0);
    let (reserved, charged, cost) = (line.reserved_nano, line.charge_nano, line.cost_nano);
    assert_eq!((line.outcome.as_str(), reserved, charged, cost), ("interrupted", 700, 700, 9));
    assert_eq!(world.affordable("k"), None, "nothing is known of its limit yet");
    world.reserve(&[("k", 300)]).await.expect("what was not taken is still there");
    assert!(world.reserve(&[("k", 301)]).await.is_err());
}

#[tokio::test]
async fn only_the_session_that_lent_the_first_part_lends_the_rest() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    let mut hold = world.reserve(&[("k", 400)]).await.unwrap();
    world.session.send_replace(session(2, "one"));
    hold.raise(|_| NanoUsd(400), NanoUsd(1)).await.expect("nothing more is needed");
    let error = hold.raise(|_| NanoUsd(700), NanoUsd(1)).await.unwrap_err();
    assert!(matches!(error, ReserveError::Unavailable), "{error}");
    assert_eq!(hold.reserved(), NanoUsd(400));
}

/// The journal's files as a killed process leaves them.
fn copy_journal(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => {
                std::fs::create_dir(&target).unwrap();
                copy_journal(&entry.path(), &target);
            }
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
