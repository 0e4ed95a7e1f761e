//! The harness keeps tests apart: what one stores, no other sees.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Connection, PgConnection, SqlSafeStr};
use switchyard_tests::postgres;
use switchyard_tests::redis::{Redis, database as redis_database};

fn migrator(statement: &'static str) -> Migrator {
    let kind = MigrationType::Simple;
    let migration = Migration::new(1, "only one".into(), kind, statement.into_sql_str(), false);
    Migrator::with_migrations(vec![migration])
}

async fn connect(database: &postgres::TestDatabase) -> PgConnection {
    PgConnection::connect(&database.url).await.unwrap()
}

#[tokio::test]
async fn each_test_gets_a_migrated_database_of_its_own() {
    let migrator = migrator("CREATE TABLE thing (name text)");
    let (one, two) = tokio::join!(postgres::database(&migrator), postgres::database(&migrator));
    let (one, two) = (one.unwrap(), two.unwrap());
    let mut connection = connect(&one).await;
    sqlx::raw_sql("INSERT INTO thing VALUES ('mine')").execute(&mut connection).await.unwrap();
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM thing").fetch_one(&mut connect(&two).await).await.unwrap();
    assert_eq!(count, 0);
}

#[tokio::test]
async fn other_migrations_have_another_template() {
    let old = postgres::database(&migrator("CREATE TABLE old ()")).await.unwrap();
    let new = postgres::database(&migrator("CREATE TABLE new ()")).await.unwrap();
    sqlx::raw_sql("SELECT FROM old").execute(&mut connect(&old).await).await.unwrap();
    sqlx::raw_sql("SELECT FROM new").execute(&mut connect(&new).await).await.unwrap();
}

#[tokio::test]
async fn a_failed_migration_is_told_and_leaves_no_template() {
    let migrator = migrator("CREATE TABLE thing (name no_such_type)");
    for _ in 0..2 {
        let error = postgres::database(&migrator).await.unwrap_err();
        assert!(format!("{error:#}").contains("no_such_type"), "{error:#}");
    }
}

#[tokio::test]
async fn each_test_gets_an_empty_redis_database_of_its_own() {
    let (one, two) = (redis_database().await.unwrap(), redis_database().await.unwrap());
    let open =
        async |url: &str| redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let (mut one, mut two) = (open(&one).await, open(&two).await);
    redis::cmd("SET").arg("name").arg("mine").exec_async(&mut one).await.unwrap();
    let seen: Option<String> = redis::cmd("GET").arg("name").query_async(&mut two).await.unwrap();
    assert_eq!(seen, None);
}

#[tokio::test]
async fn a_redis_of_our_own_can_be_taken_away_and_brought_back() {
    let mut server = Redis::start().await.unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let ping = async || {
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<String>(&mut connection).await
    };
    assert_eq!(ping().await.unwrap(), "PONG");
    server.halt().await.unwrap();
    ping().await.unwrap_err();
    server.restart().await.unwrap();
    assert_eq!(ping().await.unwrap(), "PONG");
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_command_under_test_env_is_told_of_both_servers_and_decides_the_exit_status() {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_test-env"));
    command.env_remove(postgres::SERVER).env_remove(switchyard_tests::redis::SERVER);
    command.args(["sh", "-c", r#"echo "$SWITCHYARD_TEST_POSTGRES $SWITCHYARD_TEST_REDIS"; exit 7"#]);
    let output = command.output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    let (postgres, redis) = said.trim().split_once(' ').unwrap();
    assert!(postgres.starts_with("postgres://") && redis.starts_with("redis://"), "{said}");
    PgConnection::connect(postgres).await.unwrap_err();
}
