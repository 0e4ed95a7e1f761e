//! Drift as the control plane keeps it: added up, bounded, listed, marked as known, forgotten.

use prost_types::Timestamp;
use switchyard_proto::v1::audit_service_client::AuditServiceClient;
use switchyard_proto::v1::drift_service_client::DriftServiceClient;

use super::*;

fn finding(provider: &str, path: &str) -> v1::DriftCount {
    v1::DriftCount {
        provider: provider.to_owned(),
        adapter: "openai".to_owned(),
        model: "a/m".to_owned(),
        kind: "field".to_owned(),
        path: path.to_owned(),
        detail: "string".to_owned(),
        answers: 1,
        first_seen: at(1_000),
        last_seen: at(2_000),
    }
}

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_700_000_000 + seconds, nanos: 0 })
}

async fn report(
    plane: &Plane,
    data_plane: &DataPlane,
    findings: Vec<v1::DriftCount>,
) -> Result<u64, tonic::Status> {
    let (instance, epoch) = (data_plane.instance.clone(), data_plane.epoch);
    let request = v1::ReportDriftRequest { instance, epoch, findings };
    plane.usage().await.report_drift(request).await.map(|answer| answer.into_inner().refused)
}

async fn list(plane: &Plane, request: v1::ListDriftRequest) -> v1::ListDriftResponse {
    let request = plane.as_operator(request);
    DriftServiceClient::new(plane.admin().await).list_drift(request).await.unwrap().into_inner()
}

async fn paths(plane: &Plane, request: v1::ListDriftRequest) -> Vec<String> {
    list(plane, request).await.drift.into_iter().map(|drift| drift.path).collect()
}

async fn clear(plane: &Plane, provider: &str) -> u64 {
    let request = v1::ClearDriftRequest { provider: provider.to_owned(), ..Default::default() };
    let request = plane.as_operator(request);
    DriftServiceClient::new(plane.admin().await).clear_drift(request).await.unwrap().into_inner().cleared
}

#[tokio::test]
async fn reports_of_all_data_planes_add_up_to_one_row() {
    let plane = Plane::start().await;
    let one = DataPlane::attach(&plane, "dp-1", None).await;
    let other = DataPlane::attach(&plane, "dp-2", None).await;
    let earlier =
        v1::DriftCount { first_seen: at(500), last_seen: at(600), answers: 4, ..finding("p", "mood") };
    let reports = tokio::join!(
        report(&plane, &one, vec![finding("p", "mood"), finding("p", "mood")]),
        report(&plane, &other, vec![earlier, finding("p", "tone")]),
    );
    assert_eq!((reports.0.unwrap(), reports.1.unwrap()), (0, 0));
    let listed = list(&plane, v1::ListDriftRequest::default()).await.drift;
    assert_eq!(listed.len(), 2, "{listed:?}");
    let mood = listed.iter().find(|drift| drift.path == "mood").unwrap();
    assert_eq!((mood.answers, mood.first_seen, mood.last_seen), (6, at(500), at(2_000)));
    assert_eq!((mood.adapter.as_str(), mood.detail.as_str(), mood.cleared_at), ("openai", "string", None));
    assert_eq!(plane.count("SELECT count(*) FROM lines").await, 0);
}

#[tokio::test]
async fn only_the_newest_session_and_what_is_formed_like_drift_is_taken() {
    let plane = Plane::start().await;
    let old = DataPlane::attach(&plane, "dp", None).await;
    let new = DataPlane::attach(&plane, "dp", None).await;
    let fenced = report(&plane, &old, vec![finding("p", "mood")]).await.unwrap_err();
    assert_eq!((fenced.code(), fenced.message()), (tonic::Code::FailedPrecondition, "fenced"));
    let odd = v1::DriftCount { kind: "novelty".to_owned(), ..finding("p", "a") };
    let said = v1::DriftCount { path: "a caller's words".to_owned(), ..finding("p", "a") };
    let nul = v1::DriftCount { model: "a\0b".to_owned(), ..finding("p", "a") };
    assert_eq!(report(&plane, &new, vec![odd, said, nul, finding("p", "mood")]).await.unwrap(), 3);
    let ahead = v1::DriftCount { last_seen: at(9_000_000_000), ..finding("p", "later") };
    assert_eq!(report(&plane, &new, vec![ahead]).await.unwrap(), 0);
    assert_eq!(paths(&plane, v1::ListDriftRequest::default()).await, ["later", "mood"]);
    assert_eq!(plane.count("SELECT count(*) FROM drift WHERE last_seen > now()").await, 0);
    let many = (0..1_001).map(|_| finding("p", "a")).collect();
    assert_eq!(report(&plane, &new, many).await.unwrap_err().code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn a_noisy_provider_has_a_bounded_list() {
    let plane = Plane::start().await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    for round in ["a", "b"] {
        let findings = (0..800).map(|at| finding("noisy", &format!("field_{round}_{at}"))).collect();
        report(&plane, &data_plane, findings).await.unwrap();
    }
    report(&plane, &data_plane, vec![finding("quiet", "mood"), finding("noisy", "field_a_1")]).await.unwrap();
    assert_eq!(plane.count("SELECT count(*) FROM drift WHERE provider = 'noisy'").await, 1_001);
    assert_eq!(
        paths(&plane, v1::ListDriftRequest { provider: "quiet".into(), ..Default::default() }).await,
        ["mood"]
    );
    let overflow = v1::ListDriftRequest { kind: "overflow".into(), ..Default::default() };
    let overflow = list(&plane, overflow).await.drift;
    assert_eq!((overflow.len(), overflow[0].answers), (1, 600));
    let again = plane.count("SELECT answers FROM drift WHERE path = 'field_a_1'").await;
    assert_eq!(again, 2, "what is in the list still counts");
}

#[tokio::test]
async fn the_list_is_filtered_and_comes_in_pages() {
    let plane = Plane::start().await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    let recent = v1::DriftCount { last_seen: at(5_000), model: "a/n".to_owned(), ..finding("q", "d") };
    let word = v1::DriftCount { kind: "word".to_owned(), ..finding("p", "c") };
    for one in [finding("p", "a"), finding("p", "b"), word, recent] {
        report(&plane, &data_plane, vec![one]).await.unwrap();
    }
    let all = v1::ListDriftRequest::default();
    for (request, expected) in [
        (all.clone(), vec!["d", "c", "b", "a"]),
        (v1::ListDriftRequest { provider: "p".into(), ..all.clone() }, vec!["c", "b", "a"]),
        (v1::ListDriftRequest { model: "a/n".into(), ..all.clone() }, vec!["d"]),
        (v1::ListDriftRequest { kind: "word".into(), ..all.clone() }, vec!["c"]),
        (v1::ListDriftRequest { since: at(3_000), ..all.clone() }, vec!["d"]),
        (v1::ListDriftRequest { provider: "nobody".into(), ..all.clone() }, vec![]),
    ] {
        let shown = format!("{request:?}");
        assert_eq!(paths(&plane, request).await, expected, "{shown}");
    }
    let first = list(&plane, v1::ListDriftRequest { page_size: 3, ..all.clone() }).await;
    let rest = v1::ListDriftRequest { page_size: 3, page_token: first.next_page_token, ..all.clone() };
    let rest = list(&plane, rest).await;
    assert_eq!((first.drift.len(), rest.drift.len(), rest.next_page_token.as_str()), (3, 1, ""));
    let unknown = plane.as_operator(v1::ListDriftRequest { kind: "novelty".into(), ..all });
    let refused = DriftServiceClient::new(plane.admin().await).list_drift(unknown).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn what_is_marked_as_known_stays_off_the_list_and_what_comes_new_is_on_it() {
    let plane = Plane::start().await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    report(&plane, &data_plane, vec![finding("p", "a"), finding("q", "b")]).await.unwrap();
    assert_eq!(clear(&plane, "p").await, 1);
    assert_eq!(clear(&plane, "p").await, 0, "known already");
    report(&plane, &data_plane, vec![finding("p", "a"), finding("p", "c")]).await.unwrap();
    assert_eq!(paths(&plane, v1::ListDriftRequest::default()).await, ["c", "b"]);
    let all = list(&plane, v1::ListDriftRequest { cleared: true, ..Default::default() }).await.drift;
    let known: Vec<_> = all.iter().filter(|drift| drift.cleared_at.is_some()).collect();
    assert_eq!((all.len(), known.len(), known[0].path.as_str(), known[0].answers), (3, 1, "a", 2));
    let request = plane.as_operator(v1::ListEntriesRequest::default());
    let audit =
        AuditServiceClient::new(plane.admin().await).list_entries(request).await.unwrap().into_inner();
    let entries: Vec<_> = audit.entries.iter().filter(|entry| entry.noun == "drift").collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!((entries[0].action.as_str(), entries[0].resource.as_str()), ("clear", "p"));
}

#[tokio::test]
async fn what_was_not_seen_for_long_is_forgotten() {
    let plane = Plane::start().await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    let recent = v1::DriftCount { last_seen: at(5_000), ..finding("p", "b") };
    report(&plane, &data_plane, vec![finding("p", "a"), recent]).await.unwrap();
    let now = chrono::DateTime::from_timestamp(1_700_005_000, 0).unwrap();
    jobs::drift::run_once(&plane.pool, now, Duration::from_secs(2_000)).await.unwrap();
    assert_eq!(paths(&plane, v1::ListDriftRequest::default()).await, ["b"]);
    jobs::drift::run_once(&plane.pool, now, Duration::from_secs(10)).await.unwrap();
    assert_eq!(paths(&plane, v1::ListDriftRequest::default()).await, ["b"]);
}
