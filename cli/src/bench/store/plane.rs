//! A whole control plane in this process, with its jobs, and its admin API over the network as people use it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::{
    path::Path,
    time::{Duration, Instant},
};

use sqlx::PgPool;
use switchyard_control_plane::{
    app::{self, ControlPlane, Host, StartError},
    service,
};
use switchyard_proto::{seal, secret::Secret, v1};
use tokio_util::sync::CancellationToken;

use crate::{
    bench::store::{StoreError, asking::Question},
    client::{self, Admin},
    settings::{SettingsError, Sources},
};

/// The running plane and an operator's way into it.
pub struct Plane {
    plane: ControlPlane,
    admin: Admin,
    shutdown: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the control plane does not start")]
    Start(#[from] StartError),
    #[error("the control plane cannot be reached: {0}")]
    Admin(String),
    #[error("the operator's token of an earlier run is not in `{0}`: remove the folder of the bench")]
    Token(String),
    #[error("input or output failed")]
    Io(#[from] std::io::Error),
    #[error("PostgreSQL refused a statement")]
    Statement(#[from] sqlx::Error),
}

impl Plane {
    /// Starts it on a database, which it brings up to date.
    ///
    /// # Errors
    /// Names what did not work.
    pub async fn start(url: &str, folder: &Path) -> Result<Self, PlaneError> {
        let environment = [
            ("SWITCHYARD_DATABASE_URL", url.to_owned()),
            ("SWITCHYARD_MASTER_KEY", seal::generate_base64()),
            ("SWITCHYARD_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("SWITCHYARD_FLEET_LISTEN", "127.0.0.1:0".to_owned()),
            ("SWITCHYARD_OPS_LISTEN", "127.0.0.1:0".to_owned()),
            // The rows of an earlier run stay.
            ("SWITCHYARD_RETENTION_GENERATIONS_DAYS", "0".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
        let settings = Sources { environment, ..Sources::default() }.read()?.control_plane()?;
        let shutdown = CancellationToken::new();
        let plane = app::start(settings, Host::default(), shutdown.clone()).await?;
        plane.ready().await;
        let token = token(url, &folder.join("admin-token")).await?;
        let unreachable = |error: anyhow::Error| PlaneError::Admin(format!("{error:#}"));
        let endpoint = client::endpoint(&format!("http://{}", plane.admin_addr)).map_err(unreachable)?;
        let admin = Admin::connect(endpoint, &token).await.map_err(unreachable)?;
        Ok(Self { plane, admin, shutdown })
    }

    /// Asks one question, and says how long the answer took.
    ///
    /// # Errors
    /// What the control plane refused.
    pub async fn ask(&self, question: &Question) -> Result<Duration, StoreError> {
        let request = v1::ReportUsageRequest {
            tenant: question.tenant.to_owned(),
            by: question.by.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let began = Instant::now();
        let answer = self.admin.usage().report_usage(request).await.map_err(Box::new)?.into_inner();
        let took = began.elapsed();
        if answer.rows.is_empty() {
            return Err(StoreError::Booking(format!("{}: the report is empty", question.name)));
        }
        Ok(took)
    }

    /// Stops it and waits for that.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.plane.stopped().await;
    }
}

/// The first operator's token, kept for later runs.
async fn token(url: &str, file: &Path) -> Result<Secret, PlaneError> {
    let pool = PgPool::connect(url).await?;
    let made = service::token::init(&pool).await;
    pool.close().await;
    match made {
        Ok(Some(token)) => {
            let mut options = OpenOptions::new();
            options.create(true).truncate(true).write(true).mode(0o600);
            options.open(file)?.write_all(token.expose().as_bytes())?;
            Ok(token)
        }
        Ok(None) => match std::fs::read_to_string(file) {
            Ok(text) => Ok(Secret::new(text)),
            Err(_) => Err(PlaneError::Token(file.display().to_string())),
        },
        Err(error) => Err(PlaneError::Admin(error.to_string())),
    }
}
