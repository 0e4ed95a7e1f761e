//! The launcher against real servers, whoever runs the tests: root, who has to step down, or anybody else.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{Instant, sleep};

use crate::dev::postgres::leftover::PidFile;
use crate::dev::postgres::{Error, Options, Postgres, percent_encode};
use crate::dev::tied::{Signal, is_alive, signal};

/// Tells a copy of this test program to hold a server in this folder until it is killed.
const HOLD: &str = "SWITCHYARD_TEST_HOLD_POSTGRES_IN";

/// A folder that the server's user can enter, whatever the umask.
fn folder() -> TempDir {
    folder_of_mode(0o711)
}

fn folder_of_mode(mode: u32) -> TempDir {
    let permissions = Permissions::from_mode(mode);
    tempfile::Builder::new().prefix("switchyard-").permissions(permissions).tempdir().unwrap()
}

/// Keeps its data, and does not wait for the disk.
fn kept(folder: &Path) -> Options {
    Options { ephemeral: false, ..Options::test(folder.join("postgres")) }
}

async fn ask(postgres: &Postgres, statement: &'static str) -> String {
    let mut connection = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
    sqlx::query_scalar(statement).fetch_one(&mut connection).await.unwrap()
}

async fn run(postgres: &Postgres, statement: &'static str) {
    let mut connection = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
    sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
}

async fn wait_until_gone(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_alive(pid).await.unwrap() {
        assert!(Instant::now() < deadline, "process {pid} is still there");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_second_start_finds_what_the_first_stored() {
    let folder = folder();
    let first = Postgres::start(kept(folder.path())).await.unwrap();
    run(&first, "CREATE TABLE note AS SELECT 'still here'::text AS body").await;
    first.stop().await.unwrap();
    let second = Postgres::start(kept(folder.path())).await.unwrap();
    assert_eq!(ask(&second, "SELECT body FROM note").await, "still here");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_listens_on_no_port_and_never_runs_as_root() {
    let folder = folder();
    let postgres = Postgres::start(kept(folder.path())).await.unwrap();
    assert_eq!(ask(&postgres, "SHOW listen_addresses").await, "");
    let status = fs::read_to_string(format!("/proc/{}/status", postgres.pid().unwrap()));
    if let Ok(status) = status {
        let uids = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
        assert!(uids.split_whitespace().skip(1).all(|uid| uid != "0"), "{uids}");
    }
    let socket = fs::metadata(folder.path().join("postgres/socket")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o700);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_killed_with_nine_is_noticed_and_comes_back_under_the_same_url() {
    let folder = folder();
    let mut postgres = Postgres::start(kept(folder.path())).await.unwrap();
    run(&postgres, "CREATE TABLE note AS SELECT 'survived'::text AS body").await;
    // A connection that stays keeps a child of the server alive for a moment, with its shared memory.
    let _open = PgConnection::connect(&postgres.url("postgres")).await.unwrap();
    let (url, pid) = (postgres.url("postgres"), postgres.pid().unwrap());
    signal(pid, Signal::Kill).await.unwrap();
    postgres.exited().await;
    postgres.restart().await.unwrap();
    assert_ne!(postgres.pid().unwrap(), pid);
    assert_eq!(postgres.url("postgres"), url);
    assert_eq!(ask(&postgres, "SELECT body FROM note").await, "survived");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn supervision_restarts_a_killed_server_and_ends_on_request() {
    let folder = folder();
    let postgres = Postgres::start(kept(folder.path())).await.unwrap();
    let (url, pid) = (postgres.url("postgres"), postgres.pid().unwrap());
    let cluster = folder.path().join("postgres/cluster");
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let watch = postgres.supervise(async { ended.await.unwrap_or_default() });
    let play = async {
        signal(pid, Signal::Kill).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !PidFile::read(&cluster).is_some_and(|file| file.pid != pid && file.is_ready) {
            assert!(Instant::now() < deadline, "no new server");
            sleep(Duration::from_millis(20)).await;
        }
        PgConnection::connect(&url).await.unwrap().close().await.unwrap();
        end.send(()).unwrap();
    };
    let (watched, ()) = tokio::join!(watch, play);
    watched.unwrap();
    assert_eq!(PidFile::read(&cluster), None);
}

#[tokio::test]
async fn two_servers_in_two_folders_do_not_meet() {
    let (one, two) = (folder(), folder());
    let (one, two) = tokio::join!(Postgres::start(kept(one.path())), Postgres::start(kept(two.path())));
    let (one, two) = (one.unwrap(), two.unwrap());
    run(&one, "CREATE TABLE only_in_one ()").await;
    let find = "SELECT count(*)::text FROM pg_tables WHERE tablename = 'only_in_one'";
    assert_eq!((&*ask(&one, find).await, &*ask(&two, find).await), ("1", "0"));
    one.stop().await.unwrap();
    two.stop().await.unwrap();
}

#[tokio::test]
async fn a_folder_in_use_is_refused_with_the_holders_process() {
    let folder = folder();
    let postgres = Postgres::start(kept(folder.path())).await.unwrap();
    let refused = Postgres::start(kept(folder.path())).await.unwrap_err();
    let holder = std::process::id().to_string();
    assert!(matches!(&refused, Error::InUse { pid, .. } if *pid == holder), "{refused:?}");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_is_made_once_and_as_a_copy_of_its_template() {
    let folder = folder();
    let postgres = Postgres::start(kept(folder.path())).await.unwrap();
    let name = "odd \"name\" / ü";
    assert!(postgres.create_database("form", None).await.unwrap());
    let mut form = PgConnection::connect(&postgres.url("form")).await.unwrap();
    sqlx::raw_sql("CREATE TABLE in_form ()").execute(&mut form).await.unwrap();
    form.close().await.unwrap();
    assert!(postgres.create_database(name, Some("form")).await.unwrap());
    assert!(!postgres.create_database(name, None).await.unwrap());
    let mut copy = PgConnection::connect(&postgres.url(name)).await.unwrap();
    sqlx::raw_sql("SELECT * FROM in_form").execute(&mut copy).await.unwrap();
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_gets_one_elsewhere_that_goes_with_the_server() {
    let folder = folder();
    let long = folder.path().join("x".repeat(120));
    let postgres = Postgres::start(kept(&long)).await.unwrap();
    assert_eq!(ask(&postgres, "SELECT 'hello'").await, "hello");
    let socket = postgres.place.socket.clone();
    assert!(!socket.starts_with(folder.path()));
    postgres.stop().await.unwrap();
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_folder_behind_a_closed_door_still_works_and_is_found_again() {
    // Like `/root`. Who is not root can pass: there the server runs as the folder's owner.
    let folder = folder_of_mode(0o700);
    let first = Postgres::start(kept(folder.path())).await.unwrap();
    assert_eq!(first.elsewhere().is_some(), first.place.user.is_some());
    run(&first, "CREATE TABLE note AS SELECT 'found again'::text AS body").await;
    let home = first.place.home.clone();
    first.stop().await.unwrap();
    let second = Postgres::start(kept(folder.path())).await.unwrap();
    assert_eq!(second.place.home, home);
    assert_eq!(ask(&second, "SELECT body FROM note").await, "found again");
    second.stop().await.unwrap();
    fs::remove_dir_all(home).unwrap();
}

#[tokio::test]
async fn an_ephemeral_server_leaves_nothing() {
    let folder = folder();
    let data_dir = folder.path().join("postgres");
    let mut postgres = Postgres::start(Options::test(&data_dir)).await.unwrap();
    postgres.restart().await.unwrap();
    assert!(data_dir.join("cluster").exists(), "a restart keeps the data");
    postgres.stop().await.unwrap();
    assert!(!data_dir.join("cluster").exists());
}

#[tokio::test]
async fn data_of_a_version_that_is_not_here_is_left_alone() {
    let folder = folder();
    let cluster = folder.path().join("postgres/cluster");
    fs::create_dir_all(&cluster).unwrap();
    fs::write(cluster.join("PG_VERSION"), "9\n").unwrap();
    let refused = Postgres::start(kept(folder.path())).await.unwrap_err();
    assert!(matches!(refused, Error::OtherMajor { made_by: 9, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_setup_that_was_cut_short_is_done_again() {
    let folder = folder();
    fs::create_dir_all(folder.path().join("postgres/cluster.new/base")).unwrap();
    let postgres = Postgres::start(kept(folder.path())).await.unwrap();
    assert_eq!(ask(&postgres, "SELECT 'hello'").await, "hello");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_whose_number_belongs_to_a_stranger_is_no_obstacle() {
    let folder = folder();
    Postgres::start(kept(folder.path())).await.unwrap().stop().await.unwrap();
    let mut stranger = tokio::process::Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap();
    let text = format!("{}\n/somewhere\n1\n5432\n\n\n\nready\n", stranger.id().unwrap());
    fs::write(folder.path().join("postgres/cluster/postmaster.pid"), text).unwrap();
    let postgres = Postgres::start(kept(folder.path())).await.unwrap();
    assert!(stranger.try_wait().unwrap().is_none(), "the stranger lives on");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_goes_when_its_owner_is_killed_and_the_next_owner_gets_the_data() {
    let folder = folder();
    let mut owner = hold_in(folder.path()).await;
    let pid = PidFile::read(&folder.path().join("postgres/cluster")).unwrap().pid;
    owner.kill().await.unwrap();
    // At once, while the orphan may still be on its way out.
    let next = Postgres::start(kept(folder.path())).await.unwrap();
    wait_until_gone(pid).await;
    assert_eq!(ask(&next, "SELECT body FROM note").await, "held");
    next.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_goes_with_its_killed_owner_even_if_nobody_comes_after() {
    let folder = folder();
    let mut owner = hold_in(folder.path()).await;
    let pid = PidFile::read(&folder.path().join("postgres/cluster")).unwrap().pid;
    owner.kill().await.unwrap();
    wait_until_gone(pid).await;
}

/// Starts a copy of this test program that does nothing but hold a server.
async fn hold_in(folder: &Path) -> tokio::process::Child {
    let mut copy = tokio::process::Command::new(env::current_exe().unwrap());
    copy.args(["--exact", "dev::postgres::tests::the_copy_holds_a_server", "--nocapture"]);
    copy.env(HOLD, folder).stdout(Stdio::piped()).kill_on_drop(true);
    let mut copy = copy.spawn().unwrap();
    let mut said = BufReader::new(copy.stdout.take().unwrap()).lines();
    while let Some(line) = said.next_line().await.unwrap() {
        if line.contains("holding") {
            return copy;
        }
    }
    panic!("the copy did not start a server");
}

/// Passes at once, unless it is run as such a copy.
#[tokio::test]
async fn the_copy_holds_a_server() {
    let Some(folder) = env::var_os(HOLD) else { return };
    let postgres = Postgres::start(kept(Path::new(&folder))).await.unwrap();
    run(&postgres, "CREATE TABLE note AS SELECT 'held'::text AS body").await;
    println!("holding");
    std::future::pending::<()>().await;
}

#[test]
fn urls_carry_any_path() {
    assert_eq!(percent_encode("/tmp/a b+c%/ü"), "%2Ftmp%2Fa%20b%2Bc%25%2F%C3%BC");
}
