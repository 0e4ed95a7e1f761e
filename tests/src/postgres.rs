//! One PostgreSQL server per run, one migrated database per test.
//!
//! `make test` starts the server once around all tests (`test-env`) and names it in
//! `SWITCHYARD_TEST_POSTGRES`. A test run by hand finds no such name and starts a server for its own process.
//! Tests that stop or kill a server start one of their own with [`own`].

use std::env;
use std::fs::Permissions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::{Context, Result};
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use switchyard_cli::dev::postgres::{self as launcher, Options, Postgres, quote};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// A URL of the server that all test processes share.
pub const SERVER: &str = "SWITCHYARD_TEST_POSTGRES";

/// A database of the latest schema that no other test knows. Dropping it removes the database.
#[derive(Debug)]
pub struct TestDatabase {
    pub url: String,
    name: String,
    admin_url: String,
}

/// Copies a database from the template of these migrations, which is made by whoever comes first.
///
/// Copying takes some 30 ms, migrating as long as the migrations take.
pub async fn database(migrator: &Migrator) -> Result<TestDatabase> {
    let admin_url = server().await?;
    let template = template(&admin_url, migrator).await?;
    let name = format!("test_{}", Uuid::now_v7().simple());
    launcher::create_database(&admin_url, &name, Some(&template)).await?;
    let url = url_of(&admin_url, &name);
    Ok(TestDatabase { url, name, admin_url })
}

impl Drop for TestDatabase {
    /// Some hundred databases of 8 MB would fill a small disk; a server of our own goes as a whole.
    fn drop(&mut self) {
        if env::var_os(SERVER).is_none() {
            return;
        }
        let (name, admin_url) = (std::mem::take(&mut self.name), std::mem::take(&mut self.admin_url));
        let remove = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(remove(&admin_url, &name))
        };
        // Not in this thread, which may be inside a runtime. What fails here goes with the server.
        std::thread::spawn(remove).join().ok();
    }
}

/// An empty server that this test may stop, kill and restart.
pub async fn own() -> Result<Postgres> {
    Ok(Postgres::start(Options::test(folder("postgres")?)).await?)
}

/// A folder that the servers' unprivileged user can enter. Its server removes it at the end.
pub fn folder(name: &str) -> Result<PathBuf> {
    let prefix = format!("switchyard-test-{name}-");
    let mut folder = tempfile::Builder::new();
    folder.prefix(&prefix).permissions(Permissions::from_mode(0o711));
    Ok(folder.tempdir().context("make a temporary folder")?.keep())
}

/// The URL of the shared server, else of one that this process starts and that ends with it.
async fn server() -> Result<String> {
    static OWN: OnceCell<Postgres> = OnceCell::const_new();
    match env::var_os(SERVER) {
        Some(url) => url.into_string().ok().with_context(|| format!("{SERVER} is not text")),
        None => Ok(OWN.get_or_try_init(own).await?.url("postgres")),
    }
}

/// The name of the template database, once it is complete.
///
/// It is migrated under another name, so a test that is killed on the way leaves nothing that looks complete.
async fn template(admin_url: &str, migrator: &Migrator) -> Result<String> {
    let name = format!("template_{:016x}", fingerprint(migrator));
    let mut admin = PgConnection::connect(admin_url).await.context("connect to the test server")?;
    // One at a time, over all processes. The lock goes with the connection.
    sqlx::query("SELECT pg_advisory_lock(7239107)").execute(&mut admin).await?;
    let find = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    let is_there: bool = sqlx::query_scalar(find).bind(&name).fetch_one(&mut admin).await?;
    if !is_there {
        let draft = format!("{name}_draft");
        execute(&mut admin, format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote(&draft))).await?;
        execute(&mut admin, format!("CREATE DATABASE {}", quote(&draft))).await?;
        migrate(&url_of(admin_url, &draft), migrator).await?;
        execute(&mut admin, format!("ALTER DATABASE {} RENAME TO {}", quote(&draft), quote(&name))).await?;
    }
    admin.close().await?;
    Ok(name)
}

async fn remove(admin_url: &str, name: &str) -> Result<()> {
    let mut admin = PgConnection::connect(admin_url).await?;
    execute(&mut admin, format!("DROP DATABASE {} WITH (FORCE)", quote(name))).await?;
    Ok(admin.close().await?)
}

async fn migrate(url: &str, migrator: &Migrator) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    migrator.run(&mut connection).await.context("migrate the template database")?;
    // A copy is refused while anybody is connected.
    Ok(connection.close().await?)
}

async fn execute(connection: &mut PgConnection, statement: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

/// Changes with every migration, so that a server in use across edits never hands out an old schema.
fn fingerprint(migrator: &Migrator) -> u64 {
    let mut hash = DefaultHasher::new();
    for migration in migrator.iter() {
        (migration.version, &migration.checksum).hash(&mut hash);
    }
    hash.finish()
}

/// The same server, another database.
fn url_of(admin_url: &str, database: &str) -> String {
    let (server, query) = admin_url.split_once('?').unwrap_or((admin_url, ""));
    let (server, _) = server.rsplit_once('/').unwrap_or((server, ""));
    format!("{server}/{database}?{query}")
}
