//! How endpoints do, as the control plane keeps it: added up by the minute, listed, told to every data plane, forgotten.

use switchyard_proto::v1::fleet_service_client::FleetServiceClient;

use super::*;

fn news(endpoint: &str, ok: u32, server: u32) -> v1::EndpointNews {
    v1::EndpointNews {
        model: "a/m".to_owned(),
        endpoint: endpoint.to_owned(),
        counts: Some(v1::HealthCounts { ok, server, ..Default::default() }),
        latency: Some(v1::Sketch { buckets: vec![50], counts: vec![ok] }),
        succeeded_ago_ms: Some(60_000),
        ..Default::default()
    }
}

/// The same, from a data plane that has it open.
fn open(endpoint: &str) -> v1::EndpointNews {
    v1::EndpointNews {
        state: v1::BreakerState::BreakerOpen.into(),
        until_ms: 60_000,
        consecutive_failures: 5,
        failed_ago_ms: Some(10),
        ..news(endpoint, 0, 5)
    }
}

async fn report(
    plane: &Plane,
    data_plane: &DataPlane,
    endpoints: Vec<v1::EndpointNews>,
) -> Result<u64, tonic::Status> {
    let (instance, epoch) = (data_plane.instance.clone(), data_plane.epoch);
    let request = v1::ReportHealthRequest { instance, epoch, endpoints };
    plane.usage().await.report_health(request).await.map(|answer| answer.into_inner().refused)
}

async fn list(plane: &Plane, request: v1::ListHealthRequest) -> v1::ListHealthResponse {
    let request = plane.as_operator(request);
    FleetServiceClient::new(plane.admin().await).list_health(request).await.unwrap().into_inner()
}

/// The next view of the fleet; pushes in between are passed over.
async fn told(data_plane: &mut DataPlane) -> v1::FleetHealth {
    loop {
        if let Some(v1::watch_response::Kind::Health(view)) =
            next(&mut data_plane.inbound).await.unwrap().kind
        {
            return view;
        }
    }
}

#[tokio::test]
async fn reports_of_all_data_planes_add_up_and_every_control_plane_sees_the_same() {
    let plane = Plane::start().await;
    let url = plane._database.as_ref().unwrap().url.clone();
    let mut other = Plane::on(&url).await;
    other.token.clone_from(&plane.token);
    let one = DataPlane::attach(&plane, "dp-1", None).await;
    let two = DataPlane::attach(&other, "dp-2", None).await;
    let reports = tokio::join!(
        report(&plane, &one, vec![news("p", 90, 10), news("q", 1, 0)]),
        report(&other, &two, vec![open("p")]),
    );
    assert_eq!((reports.0.unwrap(), reports.1.unwrap()), (0, 0));
    for plane in [&plane, &other] {
        let listed = list(plane, v1::ListHealthRequest::default()).await.endpoints;
        let names: Vec<&str> = listed.iter().map(|endpoint| endpoint.endpoint.as_str()).collect();
        assert_eq!(names, ["p", "q"]);
        let p = &listed[0];
        let requests = [p.requests_last_5m, p.requests_last_30m, p.requests_last_1d];
        assert_eq!((requests, p.open_instances), ([105; 3], 1));
        assert!((p.uptime_last_1d.unwrap() - 85.714).abs() < 0.01, "{p:?}");
        let latency = p.latency_last_30m.as_ref().unwrap();
        assert_eq!((latency.samples, latency.p50 > 100.0 && latency.p50 < 120.0), (90, true), "{latency:?}");
        let seconds = |at: &Option<prost_types::Timestamp>| at.as_ref().map(|at| (at.seconds, at.nanos));
        assert!(seconds(&p.last_failure_at) > seconds(&p.last_success_at), "{p:?}");
        let states: Vec<_> =
            p.breakers.iter().map(|breaker| (breaker.instance.as_str(), breaker.state())).collect();
        let expected = [("dp-1", v1::BreakerState::BreakerClosed), ("dp-2", v1::BreakerState::BreakerOpen)];
        assert_eq!(states, expected);
    }
    assert_eq!(plane.count("SELECT count(*) FROM lines").await, 0);
}

#[tokio::test]
async fn what_the_fleet_knows_is_told_to_data_planes_that_were_there_and_to_those_that_come() {
    let plane = Plane::start().await;
    let mut one = DataPlane::attach(&plane, "dp-1", None).await;
    report(&plane, &one, vec![open("p")]).await.unwrap();
    let view = told(&mut one).await;
    let mut late = DataPlane::attach(&plane, "dp-2", None).await;
    for view in [view, told(&mut late).await] {
        assert!(view.valid_for_ms > 5_000, "{view:?}");
        assert_eq!(view.endpoints.len(), 1, "{view:?}");
        let p = &view.endpoints[0];
        assert_eq!((p.model.as_str(), p.endpoint.as_str(), p.open_instances), ("a/m", "p", 1));
        assert_eq!(p.uptime_5m, Some(v1::Uptime { permille: 0, requests: 5 }));
        assert!(p.failed_ago_ms.is_some_and(|ago| ago < 30_000), "{p:?}");
    }
}

#[tokio::test]
async fn only_the_newest_session_and_what_is_formed_like_news_is_taken() {
    let plane = Plane::start().await;
    let old = DataPlane::attach(&plane, "dp", None).await;
    let new = DataPlane::attach(&plane, "dp", None).await;
    let fenced = report(&plane, &old, vec![news("p", 1, 0)]).await.unwrap_err();
    assert_eq!((fenced.code(), fenced.message()), (tonic::Code::FailedPrecondition, "fenced"));
    let nul = v1::EndpointNews { model: "a\0b".to_owned(), ..news("p", 1, 0) };
    assert_eq!(report(&plane, &new, vec![nul, news("p", 1, 0)]).await.unwrap(), 1);
    let many = (0..1_001).map(|_| news("p", 1, 0)).collect();
    assert_eq!(report(&plane, &new, many).await.unwrap_err().code(), tonic::Code::InvalidArgument);
    assert_eq!(plane.count("SELECT sum(ok)::bigint FROM health_minutes").await, 1);
}

#[tokio::test]
async fn the_list_is_of_one_model_and_comes_in_pages() {
    let plane = Plane::start().await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    let elsewhere = v1::EndpointNews { model: "b/m".to_owned(), ..news("p", 1, 0) };
    report(&plane, &data_plane, vec![elsewhere, news("r", 1, 0), news("q", 1, 0)]).await.unwrap();
    let all = v1::ListHealthRequest::default();
    let first = list(&plane, v1::ListHealthRequest { page_size: 2, ..all.clone() }).await;
    let page_token = first.next_page_token.clone();
    let rest = list(&plane, v1::ListHealthRequest { page_token, ..all.clone() }).await;
    let names = |listed: v1::ListHealthResponse| -> Vec<String> {
        listed
            .endpoints
            .into_iter()
            .map(|endpoint| format!("{} {}", endpoint.model, endpoint.endpoint))
            .collect()
    };
    assert_eq!((names(first), names(rest)), (vec!["a/m q".into(), "a/m r".into()], vec!["b/m p".into()]));
    let one = list(&plane, v1::ListHealthRequest { model: "b/m".to_owned(), ..all }).await;
    assert_eq!(names(one), ["b/m p"]);
}

#[tokio::test]
async fn minutes_are_kept_for_a_month_and_sketches_for_a_day() {
    let plane = Plane::start().await;
    let data_plane = DataPlane::attach(&plane, "dp", None).await;
    report(&plane, &data_plane, vec![news("p", 1, 0)]).await.unwrap();
    let rows = async || {
        (
            plane.count("SELECT count(*) FROM health_minutes").await,
            plane.count("SELECT count(*) FROM health_sketches").await,
            plane.count("SELECT count(*) FROM health_instances").await,
        )
    };
    let now = switchyard_proto::clock::now();
    for (days, expected) in [(0, (1, 1, 1)), (2, (1, 0, 0)), (29, (1, 0, 0)), (31, (0, 0, 0))] {
        jobs::health::run_once(&plane.pool, now + chrono::TimeDelta::days(days)).await.unwrap();
        assert_eq!(rows().await, expected, "after {days} days");
    }
}
