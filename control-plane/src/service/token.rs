//! Admin tokens: made, changed and deleted by operators; and the first one, made by the command line.

use sqlx::PgPool;
use switchyard_proto::{
    id::{self, TenantId},
    key::{self, KeyHash, TOKEN_PREFIX},
    secret::Secret,
};

use crate::{
    domain::{
        audit::{NewEntry, Verb},
        diff,
        invalid::Invalid,
        page::{ByAge, Listed, Page},
        permission::{Actor, Allowed, ManageTokens, Role},
        token::{Draft, Token},
    },
    error::ServiceError,
    service::{State, Update, allow, missing},
    store::{self, StoreError, revision::Change},
};

/// A token that was made, and its secret, shown this once.
#[derive(Debug, Clone)]
pub struct Made {
    pub token: Token,
    pub secret: Secret,
}

/// Makes the first operator's token; `None` while there is an operator already.
///
/// Only for whoever holds the database: no right is checked.
pub async fn init(pool: &PgPool) -> Result<Option<Secret>, ServiceError> {
    let actor = Actor::system("init");
    let allowed = allow::<ManageTokens>(&actor, None)?;
    let mut change = Change::begin(pool, &actor.id).await?;
    if store::token::operator_exists(&mut change, &allowed).await? {
        return Ok(None);
    }
    let draft = Draft {
        name: "first".to_owned(),
        role: Role::Operator,
        tenant: None,
        disabled: false,
        expires_at: None,
    };
    let made = create_in(&mut change, &allowed, draft).await?;
    change.commit().await?;
    Ok(Some(made.secret))
}

/// Lists tokens.
pub async fn list(state: &State, actor: &Actor, page: &Page<ByAge>) -> Result<Listed<Token>, ServiceError> {
    let allowed = allow::<ManageTokens>(actor, None)?;
    let mut db = state.connection().await?;
    Ok(store::token::list(&mut db, &allowed, page).await?)
}

/// One token.
pub async fn get(state: &State, actor: &Actor, id: &str) -> Result<Token, ServiceError> {
    let allowed = allow::<ManageTokens>(actor, None)?;
    let mut db = state.connection().await?;
    store::token::get(&mut db, &allowed, id).await.map_err(missing("token", id))
}

/// Makes a token.
pub async fn create(state: &State, actor: &Actor, draft: Draft) -> Result<Made, ServiceError> {
    let allowed = allow::<ManageTokens>(actor, None)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let mut made = create_in(&mut change, &allowed, draft).await?;
    made.token.revision = change.commit().await?.number;
    Ok(made)
}

async fn create_in(
    change: &mut Change,
    allowed: &Allowed<ManageTokens>,
    draft: Draft,
) -> Result<Made, ServiceError> {
    draft.check().map_err(|invalid| invalid.within("token"))?;
    hold_tenant(change, allowed, &draft).await?;
    let secret = key::generate(TOKEN_PREFIX);
    let row = store::token::NewToken {
        id: id::random("tok_"),
        draft: &draft,
        label: key::label(secret.expose()),
        hash: KeyHash::of(secret.expose()),
    };
    let token = store::token::insert(change, allowed, row).await?;
    let changes = diff::from_nothing(&token.draft);
    change.record(entry(Verb::Create, &token, &changes));
    Ok(Made { token, secret })
}

async fn hold_tenant(
    change: &mut Change,
    allowed: &Allowed<ManageTokens>,
    draft: &Draft,
) -> Result<(), ServiceError> {
    let Some(tenant) = &draft.tenant else { return Ok(()) };
    store::tenant::hold(change, allowed, tenant).await.map_err(|error| match error {
        StoreError::NotFound => {
            ServiceError::invalid("token.tenant", format!("names unknown tenant `{tenant}`"))
        }
        other => other.into(),
    })
}

/// Changes a token.
pub async fn update(
    state: &State,
    actor: &Actor,
    id: &str,
    update: Update<impl FnOnce(&Token) -> Result<Draft, Invalid>>,
) -> Result<Token, ServiceError> {
    let allowed = allow::<ManageTokens>(actor, None)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let token = store::token::lock(&mut change, &allowed, id).await.map_err(missing("token", id))?;
    token.expect(update.revision)?;
    let draft = (update.patch)(&token)?;
    draft.check().map_err(|invalid| invalid.within("token"))?;
    if draft == token.draft {
        return Ok(token);
    }
    hold_tenant(&mut change, &allowed, &draft).await?;
    let mut stored = store::token::update(&mut change, &allowed, id, &draft).await?;
    change.record(entry(Verb::Update, &stored, &diff::between(&token.draft, &stored.draft)));
    stored.revision = change.commit().await?.number;
    Ok(stored)
}

/// Deletes a token.
pub async fn delete(state: &State, actor: &Actor, id: &str, revision: u64) -> Result<(), ServiceError> {
    let allowed = allow::<ManageTokens>(actor, None)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let token = store::token::lock(&mut change, &allowed, id).await.map_err(missing("token", id))?;
    token.expect(revision)?;
    store::token::delete(&mut change, &allowed, id).await?;
    change.record(entry(Verb::Delete, &token, &[]));
    change.commit().await?;
    Ok(())
}

fn entry(verb: Verb, token: &Token, changes: &[diff::Changed]) -> NewEntry {
    let tenant = token.draft.tenant.as_ref().map_or("", TenantId::as_str);
    NewEntry::new(verb, "token", &token.id, changes).of_tenant(tenant)
}
