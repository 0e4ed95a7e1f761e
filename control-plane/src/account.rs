//! A tenant's own API, passed on by data planes with the key that the caller presented: `/key`, `/credits`, `/generation`.
//!
//! The key is looked at here, whatever the data plane thinks of it. Answers, errors included, have the shape of the client
//! API. Everything else under `/api/v1` is the data plane's business.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;
use switchyard_proto::{
    clock,
    code::ErrorCode,
    id::GenerationId,
    key::KeyHash,
    v1::{self, account_service_server::AccountService},
};
use tonic::{Request, Response, Status};

use crate::{
    auth::{
        AuthError,
        presented::{self, Presented},
    },
    domain::{
        account::{AccountKind, Reset, WHOLE_LIFE},
        permission::{self, Allowed, ReadUsage},
    },
    store::{
        self, StoreError,
        own::{self, Since},
    },
    telemetry,
};

mod answer;

/// Serves forwarded calls. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pool: PgPool,
}

impl Service {
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    async fn answer(&self, request: &v1::ForwardRequest, now: DateTime<Utc>) -> Result<Value, Refusal> {
        let route = route(request)?;
        let hash = KeyHash::from_bytes(&request.key_sha256).ok_or(Refusal::NO_KEY)?;
        let caller = presented::authenticate(&self.pool, hash, now).await?;
        let allowed = permission::check(&caller.actor, caller.actor.tenant.as_ref())
            .map_err(|_| Refusal::new(ErrorCode::PermissionDenied, "this key may not read usage"))?;
        match route {
            Route::Key => self.key(&caller, &allowed, now).await,
            Route::Credits => self.credits(&allowed).await,
            Route::Generation(id) => self.generation(&allowed, id).await,
        }
    }

    async fn key(
        &self,
        caller: &Presented,
        allowed: &Allowed<ReadUsage>,
        now: DateTime<Utc>,
    ) -> Result<Value, Refusal> {
        let mut db = store::report::reading(&self.pool, allowed).await?;
        let key = &caller.key;
        let spent = own::spent(&mut db, allowed, key.id.as_str(), since(now)).await?;
        let byok = own::byok_spent(&mut db, allowed, key.id.as_str(), since(now)).await?;
        let taken = match key.draft.limit {
            None => 0,
            Some(limit) => {
                let period = limit.reset.period(now);
                own::taken(&mut db, allowed, AccountKind::KeyLimit, key.id.as_str(), &period).await?
            }
        };
        Ok(answer::key(key, spent, byok, taken))
    }

    async fn credits(&self, allowed: &Allowed<ReadUsage>) -> Result<Value, Refusal> {
        let mut db = self.pool.acquire().await.map_err(StoreError::from)?;
        let granted = own::credits(&mut db, allowed).await?;
        let tenant = allowed.scope().unwrap_or_default();
        let taken = own::taken(&mut db, allowed, AccountKind::TenantCredits, tenant, WHOLE_LIFE).await?;
        Ok(answer::credits(granted, taken))
    }

    async fn generation(&self, allowed: &Allowed<ReadUsage>, id: GenerationId) -> Result<Value, Refusal> {
        let mut db = self.pool.acquire().await.map_err(StoreError::from)?;
        match own::generation(&mut db, allowed, id.as_uuid()).await {
            Ok((generation, attempts)) => Ok(answer::generation(id, allowed, &generation, &attempts)),
            Err(StoreError::NotFound) => Err(Refusal::no_generation(&id.to_string())),
            Err(error) => Err(error.into()),
        }
    }
}

#[tonic::async_trait]
impl AccountService for Service {
    async fn forward(
        &self,
        request: Request<v1::ForwardRequest>,
    ) -> Result<Response<v1::ForwardResponse>, Status> {
        let span = tracing::debug_span!("account.forward", path = request.get_ref().path);
        telemetry::continue_trace(&span, &telemetry::traceparent(&request));
        let request = request.into_inner();
        let call = self.answer(&request, clock::now());
        let (status, body) = match tracing::Instrument::instrument(call, span).await {
            Ok(body) => (200, body),
            Err(refusal) => (refusal.code.status().as_u16().into(), refusal.body()),
        };
        Ok(Response::new(v1::ForwardResponse { status, body: body.to_string().into_bytes() }))
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Route {
    Key,
    Credits,
    Generation(GenerationId),
}

fn route(request: &v1::ForwardRequest) -> Result<Route, Refusal> {
    let path = request.path.trim_end_matches('/');
    if !["/key", "/auth/key", "/credits", "/generation"].contains(&path) {
        return Err(Refusal::new(ErrorCode::NotSupported, format!("{} is not supported yet", request.path)));
    }
    if request.method != "GET" {
        let message = format!("{path} answers to GET, not to {}", request.method);
        return Err(Refusal::new(ErrorCode::MethodNotAllowed, message));
    }
    match path {
        "/credits" => Ok(Route::Credits),
        "/generation" => generation_id(&request.query).map(Route::Generation),
        _ => Ok(Route::Key),
    }
}

fn generation_id(query: &str) -> Result<GenerationId, Refusal> {
    let named = query.split('&').find_map(|pair| pair.strip_prefix("id="));
    let Some(id) = named.filter(|id| !id.is_empty()) else {
        return Err(Refusal::new(ErrorCode::InvalidRequest, "id: is required, e.g. `?id=gen-…`"));
    };
    // Ids have no characters that a query would escape.
    GenerationId::parse(id).ok_or_else(|| Refusal::no_generation(id))
}

/// Where the running day, week (from Monday) and month began, in UTC.
fn since(now: DateTime<Utc>) -> Since {
    let today = now.date_naive();
    let week = today - Days::new(today.weekday().num_days_from_monday().into());
    let month = today.with_day(1).unwrap_or(today);
    let start = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    Since { day: start(today), week: start(week), month: start(month) }
}

/// Why a forwarded call failed, for the caller.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    code: ErrorCode,
    message: String,
}

impl Refusal {
    const NO_KEY: Self = Self { code: ErrorCode::Authentication, message: String::new() };

    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    fn no_generation(id: &str) -> Self {
        let shown: String = id.chars().take(80).collect();
        Self::new(ErrorCode::NotFound, format!("Generation {shown} not found"))
    }

    /// The envelope of the client API.
    fn body(&self) -> Value {
        let message = if self.message.is_empty() { "The API key does not exist." } else { &self.message };
        json!({"error": {
            "code": self.code.status().as_u16(),
            "message": message,
            "metadata": {"error_type": self.code.error_type()},
        }})
    }
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing | AuthError::Invalid => Self::NO_KEY,
            AuthError::Disabled => Self::new(ErrorCode::PermissionDenied, "This API key is disabled."),
            AuthError::Expired => Self::new(ErrorCode::PermissionDenied, "This API key has expired."),
            AuthError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) | StoreError::Raced(_) => {
                Self::new(ErrorCode::StoreUnavailable, "Accounts are out of reach; try again.")
            }
            StoreError::NotFound => Self::new(ErrorCode::NotFound, "Not found"),
            error => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "a forwarded call failed");
                Self::new(ErrorCode::Server, "Internal Server Error")
            }
        }
    }
}

/// The name that `limit_reset` has; a limit for life has none.
fn reset_name(reset: Reset) -> Option<&'static str> {
    (reset != Reset::Never).then(|| reset.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, path: &str, query: &str) -> v1::ForwardRequest {
        v1::ForwardRequest {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            ..Default::default()
        }
    }

    #[test]
    fn paths_lead_to_answers_or_say_why_not() {
        let id = GenerationId::generate();
        for (method, path, query, expected) in [
            ("GET", "/key", "", Ok(Route::Key)),
            ("GET", "/auth/key", "", Ok(Route::Key)),
            ("GET", "/credits/", "", Ok(Route::Credits)),
            ("GET", "/generation", &*format!("x=1&id={id}"), Ok(Route::Generation(id))),
            ("GET", "/generation", "id=", Err(ErrorCode::InvalidRequest)),
            ("GET", "/generation", "id=nonsense", Err(ErrorCode::NotFound)),
            ("POST", "/key", "", Err(ErrorCode::MethodNotAllowed)),
            ("GET", "/keys", "", Err(ErrorCode::NotSupported)),
            ("GET", "/keyring", "", Err(ErrorCode::NotSupported)),
        ] {
            let found = route(&request(method, path, query)).map_err(|refusal| refusal.code);
            assert_eq!(found, expected, "{method} {path}?{query}");
        }
    }

    #[test]
    fn weeks_begin_on_monday_and_everything_at_midnight() {
        let since = since("2026-11-22T23:59:59Z".parse().unwrap());
        let shown = [since.day, since.week, since.month].map(|at| at.to_rfc3339());
        assert_eq!(
            shown,
            ["2026-11-22T00:00:00+00:00", "2026-11-16T00:00:00+00:00", "2026-11-01T00:00:00+00:00"]
        );
    }

    #[test]
    fn refusals_have_the_envelope_of_the_client_api() {
        let refusal = Refusal::from(AuthError::Invalid);
        assert_eq!(
            refusal.body(),
            json!({"error": {"code": 401, "message": "The API key does not exist.", "metadata": {"error_type": "authentication"}}})
        );
        let lost = Refusal::from(StoreError::Unavailable(sqlx::Error::PoolTimedOut));
        assert_eq!((lost.code.status().as_u16(), lost.code), (503, ErrorCode::StoreUnavailable));
    }
}
