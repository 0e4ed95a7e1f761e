//! An operator's release of a data plane that never returns: its money comes back, and what it still reports is the house's.

use switchyard_proto::{clock, id::GenerationId};
use v1::{
    GrantOutcome::{Exhausted, Granted},
    audit_service_client::AuditServiceClient,
    fleet_service_client::FleetServiceClient,
};

use super::{
    leases::{acquire, acquire_grouped},
    *,
};

const USD: u64 = 1_000_000_000;

fn credits() -> v1::AccountPeriod {
    account(v1::AccountKind::TenantCredits, "acme", "all")
}

impl Plane {
    async fn release(&self, id: &str, reason: &str) -> Result<v1::ReleaseInstanceResponse, tonic::Status> {
        let request = v1::ReleaseInstanceRequest { id: id.into(), reason: reason.into() };
        let mut client = FleetServiceClient::new(self.admin().await);
        Ok(client.release_instance(self.as_operator(request)).await?.into_inner())
    }

    /// Waits until a data plane's stream is known to be over.
    async fn gone(&self, id: &str) {
        until("the end of its stream", async || {
            let attached: bool = sqlx::query_scalar("SELECT attached FROM instances WHERE id = $1")
                .bind(id)
                .fetch_one(&self.pool)
                .await
                .unwrap();
            (!attached).then_some(())
        })
        .await;
    }

    async fn report(&self, (instance, session): (&str, u64), epoch: u64, charged_nano: u64) {
        let charge =
            v1::Charge { account: Some(credits()), charged_nano, reserved_nano: charged_nano, leased: true };
        let attempt = v1::AttemptRecord {
            generation: GenerationId::generate().to_bytes(),
            attempt: 1,
            instance: instance.into(),
            epoch,
            tenant: "acme".into(),
            charges: vec![charge],
            charge_nano: charged_nano,
            provenance: v1::Provenance::ProviderFinal.into(),
            ..Default::default()
        };
        let record = v1::UsageRecord { kind: Some(v1::usage_record::Kind::Attempt(attempt)) };
        let records = vec![record.encode_to_vec().into()];
        let request =
            v1::ReportRequest { instance: instance.into(), epoch: session, records, ..Default::default() };
        self.usage().await.report(request).await.unwrap();
    }
}

#[tokio::test]
async fn a_release_gives_back_what_was_lent_and_presumed_and_is_audited() {
    let plane = Plane::start().await;
    plane.tenant("acme", "1.00").await;
    let lost = DataPlane::attach(&plane, "lost", None).await;
    acquire(&plane, &lost, &[(&credits(), USD / 4, USD / 4)]).await;
    drop(lost);
    plane.gone("lost").await;
    let later = clock::now() + chrono::TimeDelta::seconds(700);
    jobs::presume::run_once(&plane.pool, later, Duration::from_secs(600)).await.unwrap();
    assert_eq!(plane.balance(&credits()).await, (0, 250_000_000, 0));

    let status = plane.release("lost", "").await.unwrap_err();
    assert_eq!(status.message(), "reason is required");
    assert_eq!(plane.release("nobody", "x").await.unwrap_err().code(), tonic::Code::NotFound);
    let released = plane.release("lost", "its disk burnt").await.unwrap();
    assert_eq!(
        (released.leases, released.presumed_usd.as_str(), released.lent_usd.as_str()),
        (1, "0.25", "0")
    );
    assert_eq!(plane.balance(&credits()).await, (0, 0, 0));
    let line: (i64, String, bool) = sqlx::query_as(
        "SELECT charge_nano, reason, actor <> '' FROM lines WHERE kind = 'presumed' ORDER BY id DESC LIMIT 1",
    )
    .fetch_one(&plane.pool)
    .await
    .unwrap();
    assert_eq!(line, (-250_000_000, "released: its disk burnt".to_owned(), true));
    let mut audit = AuditServiceClient::new(plane.admin().await);
    let entries = audit.list_entries(plane.as_operator(v1::ListEntriesRequest::default())).await.unwrap();
    let entry = &entries.get_ref().entries[0];
    assert_eq!((entry.action.as_str(), entry.resource.as_str()), ("release", "lost"));
    assert_eq!(plane.release("lost", "once more").await.unwrap().leases, 0);
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn late_lines_of_a_released_session_are_the_houses_though_the_account_has_money() {
    let plane = Plane::start().await;
    plane.tenant("acme", "1.00").await;
    let lost = DataPlane::attach(&plane, "lost", None).await;
    acquire(&plane, &lost, &[(&credits(), USD / 4, USD / 4)]).await;
    plane.report(("lost", lost.epoch), lost.epoch, USD / 10).await;
    let asks = [(&credits(), 1, 1)];
    drop(lost);
    plane.gone("lost").await;
    let released = plane.release("lost", "its disk burnt").await.unwrap();
    assert_eq!((released.leases, released.lent_usd.as_str()), (1, "0.15"));
    assert_eq!(plane.balance(&credits()).await, (100_000_000, 0, 0));

    // The session itself is over, whatever it still believes.
    let old = DataPlane { epoch: 1, ..DataPlane::attach(&plane, "other", None).await };
    let old = DataPlane { instance: "lost".into(), ..old };
    assert_eq!(acquire_grouped(&plane, &old, &asks, 0).await.unwrap_err().message(), "fenced");

    let back = DataPlane::attach(&plane, "lost", None).await;
    assert_eq!((back.released_epoch, back.epoch), (1, 3), "it hears what is not its own any more");
    plane.report(("lost", back.epoch), 1, USD / 10).await;
    assert_eq!(plane.balance(&credits()).await, (100_000_000, 0, 0), "the tenant paid once and pays no more");
    let house = account(v1::AccountKind::House, "", "all");
    assert_eq!(plane.balance(&house).await, (100_000_000, 0, 0));
    // What the new session is lent is its own.
    assert_eq!(acquire(&plane, &back, &[(&credits(), USD / 2, USD / 2)]).await[0].outcome(), Granted);
    plane.report(("lost", back.epoch), back.epoch, USD / 10).await;
    assert_eq!(plane.balance(&credits()).await, (200_000_000, 0, 400_000_000));
    assert_eq!(acquire(&plane, &back, &[(&credits(), USD, USD)]).await[0].outcome(), Exhausted);
    plane.assert_adds_up().await;
}

#[tokio::test]
async fn who_is_attached_is_not_released() {
    let plane = Plane::start().await;
    plane.tenant("acme", "1.00").await;
    let here = DataPlane::attach(&plane, "here", None).await;
    acquire(&plane, &here, &[(&credits(), USD / 4, USD / 4)]).await;
    let status = plane.release("here", "by mistake").await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    assert!(status.message().contains("is attached"), "{status}");
    assert_eq!(plane.balance(&credits()).await, (0, 0, 250_000_000));
}
