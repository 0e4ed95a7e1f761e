//! `PolicyService`.

use switchyard_proto::{
    id::{PolicyId, TenantId},
    v1::{
        self, CreatePolicyRequest, CreatePolicyResponse, DeletePolicyRequest, DeletePolicyResponse,
        GetPolicyRequest, ListPoliciesRequest, ListPoliciesResponse, Policy as PolicyMessage,
        UpdatePolicyRequest, policy_service_server::PolicyService,
    },
};
use tonic::{Request, Response, Status};

use crate::{
    distribution::policy as wire,
    domain::{
        invalid::Invalid,
        page::Page,
        policy::{Deadlines, Draft, Hedge, MaxPrice, Percentiles, Policy, Preferences, Stage, Weighted},
    },
    error::ServiceError,
    grpc::{Admin, common::timestamp, enter, given, mask::Masked},
    service::{self, Update, policy::may_write},
};

/// Fields that the server sets, or that never change.
const FIXED: &[&str] = &["id", "tenant", "revision", "managed_by", "created_at", "updated_at"];

#[tonic::async_trait]
impl PolicyService for Admin {
    async fn list_policies(
        &self,
        request: Request<ListPoliciesRequest>,
    ) -> Result<Response<ListPoliciesResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let page = Page::read(ask.page_size, &ask.page_token).map_err(ServiceError::from)?;
        let tenant = owner(ask.tenant);
        let policies = service::policy::list(&self.0, &actor, tenant.as_ref(), &page).await?.map(to_proto);
        let next_page_token = policies.next;
        Ok(Response::new(ListPoliciesResponse { policies: policies.items, next_page_token }))
    }

    async fn get_policy(
        &self,
        request: Request<GetPolicyRequest>,
    ) -> Result<Response<PolicyMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (owner(ask.tenant), PolicyId::new(ask.id));
        let policy = service::policy::get(&self.0, &actor, (tenant.as_ref(), &id)).await?;
        Ok(Response::new(to_proto(policy)))
    }

    async fn create_policy(
        &self,
        request: Request<CreatePolicyRequest>,
    ) -> Result<Response<CreatePolicyResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let tenant = owner(ask.tenant);
        may_write(&actor, tenant.as_ref())?;
        let policy = given("policy", ask.policy)?;
        same_owner(&policy.tenant, tenant.as_ref()).map_err(ServiceError::from)?;
        let named = (tenant.as_ref(), &PolicyId::new(policy.id.as_str()));
        let made = service::policy::create(&self.0, &actor, named, draft(&policy)).await?;
        Ok(Response::new(CreatePolicyResponse { policy: Some(to_proto(made)) }))
    }

    async fn update_policy(
        &self,
        request: Request<UpdatePolicyRequest>,
    ) -> Result<Response<PolicyMessage>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (owner(ask.tenant), PolicyId::new(ask.id));
        may_write(&actor, tenant.as_ref())?;
        let policy = given("policy", ask.policy)?;
        let mask = ask.update_mask;
        let patch = move |current: &Policy| {
            let masked = Masked { message: "Policy", patch: &policy, mask: mask.as_ref(), fixed: FIXED };
            Ok(draft(&masked.over(&to_proto(current.clone()))?))
        };
        let update = Update { revision: ask.revision, patch };
        let policy = service::policy::update(&self.0, &actor, (tenant.as_ref(), &id), update).await?;
        Ok(Response::new(to_proto(policy)))
    }

    async fn delete_policy(
        &self,
        request: Request<DeletePolicyRequest>,
    ) -> Result<Response<DeletePolicyResponse>, Status> {
        let (actor, ask) = enter(self, request).await?;
        let (tenant, id) = (owner(ask.tenant), PolicyId::new(ask.id));
        service::policy::delete(&self.0, &actor, (tenant.as_ref(), &id), ask.revision).await?;
        Ok(Response::new(DeletePolicyResponse {}))
    }
}

/// Whose policies a call is about; `None`: the operator's.
pub fn owner(tenant: String) -> Option<TenantId> {
    (!tenant.is_empty()).then(|| TenantId::new(tenant))
}

/// A policy may name its tenant, but no other one than the call.
fn same_owner(named: &str, tenant: Option<&TenantId>) -> Result<(), Invalid> {
    if named.is_empty() || tenant.is_some_and(|tenant| tenant.as_str() == named) {
        return Ok(());
    }
    Err(Invalid::new("policy.tenant", "is not the tenant that the call names"))
}

/// What a message says of the owner's choices.
pub fn draft(policy: &PolicyMessage) -> Draft {
    Draft {
        description: policy.description.clone(),
        disabled: policy.disabled,
        matches: policy.r#match.clone(),
        priority: policy.priority,
        stages: policy.stages.iter().map(stage).collect(),
        sticky_by: policy.sticky_by.clone(),
        deadlines: deadlines(policy.deadlines),
    }
}

fn stage(stage: &v1::PolicyStage) -> Stage {
    let models = stage.models.iter();
    Stage {
        name: stage.name.clone(),
        when: stage.when.clone(),
        models: models.map(|row| Weighted { model: row.model.clone(), weight: row.weight }).collect(),
        provider: stage.provider.clone().map(preferences).unwrap_or_default(),
        escalate_on: stage.escalate_on.clone(),
        check: stage.check.clone(),
        schema: stage.schema.clone(),
        deadlines: deadlines(stage.deadlines),
        hedge: hedge(stage.hedge.clone()),
        retries: stage.retries,
    }
}

fn preferences(preferences: v1::ProviderPreferences) -> Preferences {
    Preferences {
        order: preferences.order,
        only: preferences.only,
        ignore: preferences.ignore,
        sort: preferences.sort,
        partition: preferences.partition,
        max_price: preferences.max_price.map(max_price).unwrap_or_default(),
        allow_fallbacks: preferences.allow_fallbacks,
        data_collection: preferences.data_collection,
        zdr: preferences.zdr,
        quantizations: preferences.quantizations,
        require_parameters: preferences.require_parameters,
        preferred_min_throughput: percentiles(preferences.preferred_min_throughput),
        preferred_max_latency: percentiles(preferences.preferred_max_latency),
        enforce_distillable_text: preferences.enforce_distillable_text,
    }
}

fn percentiles(figures: Option<v1::PercentileWish>) -> Percentiles {
    let figures = figures.unwrap_or_default();
    Percentiles { p50: figures.p50, p75: figures.p75, p90: figures.p90, p99: figures.p99 }
}

fn max_price(price: v1::MaxPrice) -> MaxPrice {
    MaxPrice {
        prompt: price.prompt,
        completion: price.completion,
        request: price.request,
        image: price.image,
        audio: price.audio,
    }
}

fn deadlines(deadlines: Option<v1::Deadlines>) -> Deadlines {
    let deadlines = deadlines.unwrap_or_default();
    Deadlines {
        connect_ms: deadlines.connect_ms,
        headers_ms: deadlines.headers_ms,
        first_content_ms: deadlines.first_content_ms,
        idle_ms: deadlines.idle_ms,
        total_ms: deadlines.total_ms,
        min_tokens_per_second: deadlines.min_tokens_per_second,
    }
}

fn hedge(hedge: Option<v1::Hedge>) -> Hedge {
    let hedge = hedge.unwrap_or_default();
    Hedge {
        quantile_permille: hedge.quantile_permille,
        max_rate_permille: hedge.max_rate_permille,
        max_usd: hedge.max_usd,
    }
}

/// A policy as a message.
pub fn to_proto(policy: Policy) -> PolicyMessage {
    PolicyMessage {
        id: policy.id.to_string(),
        tenant: policy.tenant.map(|tenant| tenant.to_string()).unwrap_or_default(),
        description: policy.draft.description,
        disabled: policy.draft.disabled,
        r#match: policy.draft.matches,
        priority: policy.draft.priority,
        stages: policy.draft.stages.into_iter().map(wire::stage).collect(),
        sticky_by: policy.draft.sticky_by,
        deadlines: wire::deadlines(policy.draft.deadlines),
        revision: policy.meta.revision,
        managed_by: policy.meta.managed_by,
        created_at: timestamp(policy.meta.created_at),
        updated_at: timestamp(policy.meta.updated_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_stage_is_carried_both_ways() {
        let message = v1::PolicyStage {
            name: "first".into(),
            when: "request.stream".into(),
            models: vec![v1::WeightedModel { model: "a/b".into(), weight: 5 }],
            provider: Some(v1::ProviderPreferences {
                order: vec!["a".into()],
                only: vec!["b".into()],
                ignore: vec!["c".into()],
                sort: "exacto".into(),
                partition: "none".into(),
                preferred_min_throughput: Some(v1::PercentileWish {
                    p50: Some(1.0),
                    p75: Some(2.0),
                    p90: Some(3.0),
                    p99: Some(4.5),
                }),
                preferred_max_latency: Some(v1::PercentileWish { p90: Some(0.1), ..Default::default() }),
                enforce_distillable_text: Some(true),
                max_price: Some(v1::MaxPrice {
                    prompt: "1".into(),
                    completion: "2".into(),
                    request: "3".into(),
                    image: "4".into(),
                    audio: "5".into(),
                }),
                allow_fallbacks: Some(false),
                data_collection: "deny".into(),
                zdr: Some(true),
                quantizations: vec!["fp8".into()],
                require_parameters: Some(true),
            }),
            escalate_on: vec!["check".into()],
            check: "answer.text != ''".into(),
            schema: "{}".into(),
            deadlines: Some(v1::Deadlines {
                connect_ms: Some(1),
                headers_ms: Some(2),
                first_content_ms: Some(3),
                idle_ms: Some(4),
                total_ms: Some(5),
                min_tokens_per_second: Some(6),
            }),
            hedge: Some(v1::Hedge { quantile_permille: 950, max_rate_permille: 50, max_usd: "0.01".into() }),
            retries: Some(0),
        };
        assert_eq!(wire::stage(stage(&message)), message);
        let stored = serde_json::to_string(&stage(&message)).unwrap();
        assert_eq!(serde_json::from_str::<Stage>(&stored).unwrap(), stage(&message));
    }

    #[test]
    fn what_says_nothing_is_left_out() {
        let empty = v1::PolicyStage {
            provider: Some(v1::ProviderPreferences::default()),
            deadlines: Some(v1::Deadlines::default()),
            hedge: Some(v1::Hedge::default()),
            ..Default::default()
        };
        assert_eq!(wire::stage(stage(&empty)), v1::PolicyStage::default());
    }
}
