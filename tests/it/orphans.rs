//! `switchyard journal ship`: what a data plane that never comes back has left on its disk.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use switchyard_cli::client::Answer as _;
use switchyard_proto::money::parse_signed;
use switchyard_proto::v1;
use switchyard_tests::client::Client;
use switchyard_tests::cluster::{Cluster, MadeKey, Shape};
use switchyard_tests::plane::Place;
use switchyard_tests::process::program;
use switchyard_tests::wait;

/// Answers that nobody handed over.
const ANSWERS: u64 = 5;

fn body(model: &str) -> Value {
    json!({"model": model, "max_tokens": 40, "messages": [{"role": "user", "content": "one two three four five six"}]})
}

fn nano(usd: &str) -> i64 {
    parse_signed(usd).unwrap_or_else(|error| panic!("`{usd}`: {error}"))
}

/// Runs the command on a folder.
async fn ship(cluster: &Cluster, dir: &Path, more: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(program().unwrap());
    command.args(["journal", "ship"]).arg(dir).args(["--output", "json"]).args(more);
    command.env_clear().env("SWITCHYARD_CONTROL_PLANE", cluster.control.fleet_url());
    command.output().await.unwrap()
}

/// What it printed, if all is well.
fn printed(output: &Output) -> Value {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {complaint}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Exit code and what was said of it.
fn failed(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn lines(cluster: &Cluster, key: &MadeKey) -> Vec<v1::Line> {
    let request = v1::ListLinesRequest { key: key.id.clone(), page_size: 1000, ..Default::default() };
    cluster.admin.usage().list_lines(request).await.answer().unwrap().lines
}

/// Charged, presumed and lent of the key's account, in nano-dollars.
async fn account(cluster: &Cluster, key: &MadeKey) -> [i64; 3] {
    let request = v1::ListAccountsRequest { tenant: "acme".to_owned(), page_size: 100, ..Default::default() };
    let accounts = cluster.admin.usage().list_accounts(request).await.answer().unwrap().accounts;
    let is_own = |account: &&v1::Account| account.account.as_ref().is_some_and(|of| of.owner == key.id);
    accounts
        .iter()
        .find(is_own)
        .map_or([0; 3], |own| [nano(&own.charged_usd), nano(&own.presumed_usd), nano(&own.lent_usd)])
}

/// A data plane that can be killed, and a client with a key of which it holds more than one attempt needs.
async fn cluster() -> (Cluster, Client, MadeKey) {
    let shape = Shape::default().with_planes(&[Place::Child]);
    let cluster = shape.start().await.unwrap().furnished().await.unwrap();
    cluster.model("test/drips", &[("lab", "slow-100")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let limit = v1::SpendLimit { usd: "1".to_owned(), reset: v1::Reset::Never.into() };
    let key = v1::Key { name: "limited".to_owned(), limit: Some(limit), ..Default::default() };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    let client = client.with_key(&key.secret);
    wait::until_true("more money lent than these attempts need", async || {
        client.chat(body("test/echo")).await.ok();
        account(&cluster, &key).await[2] > 3_000_000
    })
    .await;
    (cluster, client, key)
}

#[tokio::test]
async fn an_orphaned_journal_is_handed_over_once_and_its_leases_come_back() {
    let (mut cluster, client, key) = cluster().await;
    let dir = cluster.folder.path().join("data-plane-1");
    for more in [&[][..], &["--dry-run"]] {
        let (code, complaint) = failed(&ship(&cluster, &dir, more).await);
        assert!(code == Some(1) && complaint.contains("belongs to another running process"), "{complaint}");
    }

    cluster.control.stop().await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..ANSWERS {
        let answer = client.chat(body("test/echo")).await.ok();
        ids.push(answer["id"].as_str().unwrap().to_owned());
    }
    let mut stream = client.stream(body("test/drips")).await;
    let cut_off = stream.first_data().await["id"].as_str().unwrap().to_owned();
    cluster.planes[0].kill().await.unwrap();
    let (code, complaint) = failed(&ship(&cluster, &dir, &["--wait-s", "0"]).await);
    assert!(code == Some(1) && complaint.contains("the control plane did not answer"), "{complaint}");
    cluster.control.start().await.unwrap();

    // That run closed what was open, and noted what is owed.
    let owed = printed(&ship(&cluster, &dir.join("journal"), &["--dry-run"]).await);
    assert_eq!(owed, printed(&ship(&cluster, &dir, &["--dry-run"]).await), "looking changes nothing");
    let (records, attempts) =
        (owed["records"].as_u64().unwrap(), owed["attempts"]["count"].as_u64().unwrap());
    assert!(attempts > ANSWERS && records > 2 * ANSWERS && owed["oldest"].is_string(), "{owed:#}");
    assert_eq!((&owed["interrupted"]["count"], &owed["damaged"]), (&json!(0), &json!(0)), "{owed:#}");
    assert!(owed["leases"]["count"] == 1 && nano(owed["leases"]["usd"].as_str().unwrap()) > 0, "{owed:#}");
    let before: i64 = lines(&cluster, &key).await.iter().map(|line| nano(&line.charge_usd)).sum();

    let shipped = printed(&ship(&cluster, &dir, &[]).await);
    assert_eq!((&shipped["records"], &shipped["quarantined"]), (&json!(records), &json!(0)), "{shipped:#}");
    assert!(shipped["booked"].as_u64().unwrap() >= 2 * ANSWERS + 2, "{shipped:#}");
    assert_eq!(shipped["leases"]["usd"], owed["leases"]["usd"], "what is left comes back: {shipped:#}");
    let booked = lines(&cluster, &key).await;
    for id in &ids {
        assert_eq!(booked.iter().filter(|line| line.id == *id).count(), 1, "{id}");
        assert_eq!(cluster.generation(id).await.status, 200);
    }
    let cut: Vec<&v1::Line> = booked.iter().filter(|line| line.id == cut_off).collect();
    assert_eq!((cut.len(), cut[0].provenance()), (1, v1::Provenance::Interrupted), "{cut:?}");
    assert_eq!(cut[0].charge_usd, cut[0].reserved_usd);
    assert_eq!(cluster.generation(&cut_off).await.error_type, "interrupted");
    let charged: i64 = booked.iter().map(|line| nano(&line.charge_usd)).sum();
    assert!(charged - before <= nano(owed["attempts"]["charge_usd"].as_str().unwrap()));
    assert_eq!(account(&cluster, &key).await, [charged, 0, 0]);
    let proof = cluster.admin.ledger().prove(v1::ProveRequest {}).await.answer().unwrap();
    assert!(proof.holds, "{proof:?}");

    let again = printed(&ship(&cluster, &dir, &[]).await);
    assert_eq!((&again["records"], &again["leases"]["count"]), (&json!(0), &json!(0)), "{again:#}");
    assert_eq!(lines(&cluster, &key).await.len(), booked.len());
    // The disk is as good as before, should its data plane come back after all.
    cluster.planes[0].start().await.unwrap();
    cluster.settled().await;
    client.chat(body("test/echo")).await.ok();
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_copy_of_a_living_data_planes_disk_is_not_taken_for_an_orphans() {
    let (cluster, client, key) = cluster().await;
    let copy = tempfile::tempdir().unwrap();
    let dir = cluster.folder.path().join("data-plane-1");
    std::fs::create_dir(copy.path().join("journal")).unwrap();
    std::fs::copy(dir.join("instance"), copy.path().join("instance")).unwrap();
    for file in std::fs::read_dir(dir.join("journal")).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), copy.path().join("journal").join(file.file_name())).unwrap();
    }
    let held = async || account(&cluster, &key).await.iter().sum::<i64>();
    let before = held().await;
    let (code, complaint) = failed(&ship(&cluster, copy.path(), &["--wait-s", "0"]).await);
    assert!(code == Some(1) && complaint.contains("counts this data plane as attached"), "{complaint}");
    assert!(held().await >= before && account(&cluster, &key).await[2] > 0, "nothing came back");
    client.chat(body("test/echo")).await.ok();
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_no_journal_is_named_and_left_alone() {
    let cluster = Shape::default().with_planes(&[]).start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (code, complaint) = failed(&ship(&cluster, dir.path(), &[]).await);
    assert!(code == Some(1) && complaint.contains("there is no journal in"), "{complaint}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let (code, complaint) = failed(&ship(&cluster, dir.path(), &["--no-such-flag"]).await);
    assert_eq!(code, Some(2), "{complaint}");
    cluster.stop().await.unwrap();
}
