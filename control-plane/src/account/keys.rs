//! A tenant's keys as its admin manages them with a management key: `/keys`. The use cases are those of the admin API.

use switchyard_proto::key::KeyHash;

use crate::{
    account::{
        Answered, Caller, Service, answer,
        body::{self, Asked},
        refusal::Refusal,
        route::Page,
    },
    domain::{
        invalid::Invalid,
        key::{Draft, Key},
        permission::ReadKeys,
    },
    service::{self, Update, key::NewKey},
    store::{self, StoreError},
};

impl Service {
    pub(super) async fn list_keys(&self, caller: &Caller, page: &Page) -> Answered {
        caller.is_at(page.workspace.as_deref())?;
        let allowed = service::allow::<ReadKeys>(&caller.presented.actor, Some(&caller.tenant))?;
        let keys = {
            let mut db = self.pool().acquire().await.map_err(StoreError::from)?;
            store::key::list_newest(&mut db, &allowed, page.offset, page.include_disabled).await?
        };
        let keys: Vec<&Key> = keys.iter().collect();
        let spending = self.spending(&caller.reads_usage()?, &keys, caller.now).await?;
        let rows = keys.into_iter().zip(spending).map(|(key, spending)| answer::key_row(key, spending));
        Ok((200, answer::data(rows.collect())))
    }

    pub(super) async fn get_key(&self, caller: &Caller, hash: KeyHash) -> Answered {
        let key = self.key_by_hash(caller, hash).await?;
        self.shown(caller, &key).await
    }

    pub(super) async fn create_key(&self, caller: &Caller, body: &[u8]) -> Answered {
        let asked = body::create(body)?;
        caller.is_at(asked.workspace.as_deref())?;
        let mut draft = Draft::default();
        asked.apply(&mut draft);
        let Asked { secret, .. } = asked;
        let given = secret.clone();
        let new = NewKey { draft, secret, secret_ref: String::new() };
        let made = service::key::create(&self.state, &caller.presented.actor, &caller.tenant, new).await?;
        let secret = made.secret.or(given).expect("made or given");
        Ok((201, answer::made(&made.key, &secret)))
    }

    pub(super) async fn update_key(&self, caller: &Caller, hash: KeyHash, body: &[u8]) -> Answered {
        let asked = body::update(body)?;
        let key = self.key_by_hash(caller, hash).await?;
        let patch = |key: &Key| {
            let mut draft = key.draft.clone();
            asked.apply(&mut draft);
            Ok::<Draft, Invalid>(draft)
        };
        let update = Update { revision: 0, patch };
        let at = (&caller.tenant, &key.id);
        let changed = service::key::update(&self.state, &caller.presented.actor, at, update).await?;
        self.shown(caller, &changed.key).await
    }

    pub(super) async fn delete_key(&self, caller: &Caller, hash: KeyHash) -> Answered {
        let key = self.key_by_hash(caller, hash).await?;
        service::key::delete(&self.state, &caller.presented.actor, (&caller.tenant, &key.id), 0).await?;
        Ok((200, answer::deleted()))
    }

    async fn shown(&self, caller: &Caller, key: &Key) -> Answered {
        let spending = self.spending(&caller.reads_usage()?, &[key], caller.now).await?;
        let row = answer::key_row(key, spending.into_iter().next().unwrap_or_default());
        Ok((200, answer::data(row)))
    }

    async fn key_by_hash(&self, caller: &Caller, hash: KeyHash) -> Result<Key, Refusal> {
        let allowed = service::allow::<ReadKeys>(&caller.presented.actor, Some(&caller.tenant))?;
        let mut db = self.pool().acquire().await.map_err(StoreError::from)?;
        match store::key::by_hash(&mut db, &allowed, hash).await {
            Err(StoreError::NotFound) => Err(Refusal::no_key()),
            found => Ok(found?),
        }
    }
}
