//! Attempts that several accounts pay for: all or nothing, few calls, and the error that says most.

use super::*;

#[tokio::test]
async fn of_what_one_attempt_lacks_all_is_lent_or_nothing() {
    let world = World::new(Bank::with(&[("rich", 1000), ("poor", 10), ("other", 1000)]));
    assert!(world.reserve(&[("rich", 100), ("poor", 100), ("other", 100)]).await.is_err());
    assert_eq!([world.bank.lent("rich"), world.bank.lent("poor"), world.bank.lent("other")], [0, 0, 0]);
    let hold = world.reserve(&[("rich", 100), ("poor", 10), ("other", 100)]).await.unwrap();
    assert_eq!([world.bank.lent("rich"), world.bank.lent("poor"), world.bank.lent("other")], [100, 10, 100]);
    assert_eq!(world.bank.calls(), 2, "one call for three accounts");
    hold.settle(settlement(0));
}

#[tokio::test]
async fn an_exhausted_account_in_a_hot_loop_costs_one_call_a_second() {
    let world = World::new(Bank::with(&[("credits", 1_000_000), ("k", 10)]));
    let start = Instant::now();
    for number in 0..5_000 {
        // Another user each time: an account that nobody has heard of.
        let user = format!("user-{number}");
        world.bank.limits.lock().unwrap().insert(user.clone(), 1_000);
        let error = world.reserve(&[("credits", 100), ("k", 100), (user.as_str(), 100)]).await.err().unwrap();
        assert!(matches!(error, ReserveError::Exhausted { .. }), "{error}");
    }
    let calls = world.bank.calls();
    assert!(calls <= 1 + start.elapsed().as_secs(), "{calls} calls in {:?}", start.elapsed());
    assert_eq!((world.bank.lent("credits"), world.bank.lent("user-17")), (0, 0));
}

#[tokio::test]
async fn of_accounts_that_cannot_pay_the_first_is_named_with_what_it_could() {
    let world = World::new(Bank::with(&[("month", 50), ("day", 20), ("key", 1_000)]));
    let named = async |amount: u64| {
        let dues = [("month", amount), ("day", amount), ("key", amount)];
        match world.reserve(&dues).await {
            Err(ReserveError::Exhausted { account, affordable, .. }) => {
                (account.owner.to_string(), affordable.0)
            }
            other => panic!("{:?}", other.err()),
        }
    };
    assert_eq!(named(100).await, ("month".to_owned(), 50));
    assert_eq!(named(30).await, ("day".to_owned(), 20), "the month could pay for this one");
    assert_eq!(named(60).await, ("month".to_owned(), 50));
    assert!(world.reserve(&[("month", 20), ("day", 20), ("key", 20)]).await.is_ok());
}

#[tokio::test]
async fn an_account_of_costs_gets_back_what_the_provider_did_not_bill() {
    let world = World::new(Bank::with(&[("credits", 1000), ("cred", 1000)]));
    let mut reservation = reservation(&[("credits", 400), ("cred", 300)]);
    reservation.charges[1].account.kind = AccountKind::CredentialBudget;
    let costs = reservation.charges[1].account.clone();
    let hold = world.permit().await.reserve(reservation, Vec::new()).await.unwrap();
    // The tenant pays more than the provider bills.
    let settled = hold.settle(Settlement { cost: NanoUsd(50), ..settlement(90) });
    assert_eq!(settled, Settled { charged: NanoUsd(90), house: NanoUsd(0) });
    let charged: Vec<u64> = world.lines()[0].charges.iter().map(|charge| charge.charged_nano).collect();
    assert_eq!(charged, [90, 50]);
    assert_eq!(
        (world.affordable("credits"), world.limits.affordable(&costs)),
        (Some(910), Some(NanoUsd(950)))
    );
    let world = world.restart(session(1, "one")).await;
    world.bank.is_away.store(true, Ordering::SeqCst);
    assert!(world.reserve(&[("credits", 310)]).await.is_ok(), "the journal gives back the same");
}

#[tokio::test]
async fn what_an_operator_released_is_spent_no_more() {
    let world = World::new(Bank::with(&[("k", 500)]));
    let under_way = world.reserve(&[("k", 300)]).await.unwrap();
    world.reserve(&[("k", 200)]).await.unwrap().settle(settlement(0));
    assert_eq!(world.affordable("k"), Some(200), "all is lent, and so much of it is free");
    let released = session(3, "one").map(|session| Session { released_epoch: 1, ..session });
    world.session.send_replace(released);
    while world.affordable("k") != Some(0) {
        tokio::task::yield_now().await;
    }
    under_way.settle(settlement(0));
    world.bank.is_away.store(true, Ordering::SeqCst);
    assert!(world.reserve(&[("k", 1)]).await.is_err(), "nothing of the old session is left");
    let world = world.restart(None).await;
    assert!(world.reserve(&[("k", 1)]).await.is_err(), "nor after a restart");
}
