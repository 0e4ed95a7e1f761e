//! Credits below zero: what costs nothing is refused too.

use super::*;

#[tokio::test]
async fn m6_credits_below_zero_pay_for_nothing_not_even_for_what_is_free() {
    let world = World::new(Bank::with(&[("acme", 0)]));
    let free = || {
        let account = Account { kind: AccountKind::TenantCredits, ..account("acme") };
        let charges = vec![Due { account, amount: NanoUsd::ZERO, leased: true }];
        Reservation { charges, ..reservation(&[]) }
    };
    let reserve = async || world.permit().await.reserve(free(), Vec::new()).await;
    reserve().await.unwrap().settle(settlement(0));
    reserve().await.unwrap().settle(settlement(0));
    assert_eq!(world.bank.calls(), 1, "nothing left is enough, and is believed for a while");
    world.bank.overdrawn.store(true, Ordering::SeqCst);
    world.limits.config_replaced();
    let error = reserve().await.err().unwrap();
    assert!(matches!(error, ReserveError::Exhausted { affordable: NanoUsd::ZERO, .. }), "{error}");
    assert_eq!(error.code().status().as_u16(), 402);
    world.bank.is_away.store(true, Ordering::SeqCst);
    world.limits.config_replaced();
    assert!(reserve().await.is_ok(), "nobody is refused for want of an answer");
}
