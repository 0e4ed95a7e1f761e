//! One cheap call to every provider, through the router: a token of an answer from its cheapest model.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use switchyard_proto::{secret::Secret, v1};

use crate::{
    chat,
    client::Admin,
    doctor::{Finding, Patient, Verdict},
    endpoint, model, provider,
};

/// A small model answers a token in less, also from a cold start.
const ANSWER: Duration = Duration::from_secs(30);

/// Calls under way at once.
const AT_ONCE: usize = 8;

/// Of the models of `echo`, which all cost the same, one that does not fail on purpose.
const PLAIN_ECHO: &str = "echo/echo";

/// More models are not looked at in search of a provider's cheapest.
const MODELS: usize = 2_000;

pub(super) async fn check(patient: &Patient, admin: &Admin, client: &chat::Client) -> Vec<Finding> {
    let key = match client.key() {
        Ok(key) => key,
        Err(error) => return vec![Finding::new("key", Verdict::Fail, format!("{error:#}"))],
    };
    let url = client.url();
    let mut findings = vec![present(patient, &url, &key).await];
    let (providers, cheapest) = match listed(admin).await {
        Ok(listed) => listed,
        Err(error) => {
            findings.push(Finding::new("providers", Verdict::Fail, format!("{error:#}")));
            return findings;
        }
    };
    let calls = providers.into_iter().map(|provider| {
        let model = cheapest.get(&provider.id).cloned();
        let (url, key) = (&url, &key);
        async move { call(patient, url, key, &provider, model).await }
    });
    findings.extend(stream::iter(calls).buffered(AT_ONCE).collect::<Vec<_>>().await);
    findings
}

/// Whether the data plane takes the key.
async fn present(patient: &Patient, url: &str, key: &Secret) -> Finding {
    let answer =
        patient.http.get(format!("{url}/api/v1/key")).bearer_auth(key.expose()).timeout(ANSWER).send().await;
    match answer {
        Ok(answer) if answer.status().is_success() => {
            Finding::new("key", Verdict::Ok, format!("accepted at {url}"))
        }
        Ok(answer) => {
            let status = answer.status();
            let said = chat::refused(status, &answer.bytes().await.unwrap_or_default());
            Finding::new("key", Verdict::Fail, said).hint("set SWITCHYARD_KEY to a key of this installation")
        }
        Err(_) => Finding::new("key", Verdict::Fail, format!("nobody answers at {url}"))
            .hint("start the data plane, or set SWITCHYARD_URL"),
    }
}

/// Providers in use, and for each the model that costs least.
async fn listed(admin: &Admin) -> anyhow::Result<(Vec<v1::Provider>, BTreeMap<String, String>)> {
    let (providers, models) = tokio::try_join!(provider::list(admin, 1_000), model::list(admin, MODELS))?;
    let ids = models.into_iter().filter(|model| !model.disabled).map(|model| model.id);
    let lists = ids.map(|id| async move { endpoint::list(admin, &id, 100).await });
    let endpoints: Vec<_> = stream::iter(lists).buffered(AT_ONCE).collect().await;
    let endpoints: Vec<v1::Endpoint> = endpoints.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    let providers = providers.into_iter().filter(|provider| !provider.disabled).collect();
    Ok((providers, cheapest(endpoints)))
}

fn cheapest(mut endpoints: Vec<v1::Endpoint>) -> BTreeMap<String, String> {
    endpoints.retain(|endpoint| !endpoint.disabled);
    let is_other = |endpoint: &v1::Endpoint| endpoint.model != PLAIN_ECHO;
    endpoints
        .sort_by(|one, other| price(one).total_cmp(&price(other)).then(is_other(one).cmp(&is_other(other))));
    let mut models = BTreeMap::new();
    for endpoint in endpoints {
        models.entry(endpoint.provider).or_insert(endpoint.model);
    }
    models
}

fn price(endpoint: &v1::Endpoint) -> f64 {
    let price = endpoint.price.clone().unwrap_or_default();
    let number = |text: &str| text.parse::<f64>().unwrap_or_default();
    number(&price.input) + number(&price.output) + number(&price.request) * 1e6
}

async fn call(
    patient: &Patient,
    url: &str,
    key: &Secret,
    provider: &v1::Provider,
    model: Option<String>,
) -> Finding {
    let subject = format!("provider {}", provider.id);
    let Some(model) = model else {
        let finding = Finding::new(subject, Verdict::Warn, "serves no model");
        return finding.hint(format!("`switchyard endpoint create MODEL --provider {} …`", provider.id));
    };
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 1,
        "provider": {"only": [provider.id], "allow_fallbacks": false},
    });
    let began = Instant::now();
    let request = patient.http.post(format!("{url}/api/v1/chat/completions")).bearer_auth(key.expose());
    let answer = match request.json(&body).timeout(ANSWER).send().await {
        Ok(answer) => answer,
        Err(error) if error.is_timeout() => {
            return Finding::new(subject, Verdict::Fail, format!("{model}: no answer in {ANSWER:?}"));
        }
        Err(_) => return Finding::new(subject, Verdict::Fail, format!("nobody answers at {url}")),
    };
    let status = answer.status();
    let body = answer.bytes().await.unwrap_or_default();
    judge(subject, &model, status, &body, began.elapsed())
}

fn judge(subject: String, model: &str, status: http::StatusCode, body: &[u8], took: Duration) -> Finding {
    if status.is_success() {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let cost = chat::dollars(&body["usage"]["cost"]);
        return Finding::new(
            subject,
            Verdict::Ok,
            format!("{model} answered in {} ms for {cost}", took.as_millis()),
        );
    }
    let detail = format!("{model}: {}", chat::refused(status, body));
    match status.as_u16() {
        402 => Finding::new(subject, Verdict::Warn, detail)
            .hint("grant credits: `switchyard tenant credits TENANT USD`"),
        429 => Finding::new(subject, Verdict::Warn, detail).hint("a rate limit; try again later"),
        _ => Finding::new(subject, Verdict::Fail, detail)
            .hint("check its credential and address: `switchyard provider update ID --credential-file FILE`"),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn endpoint(model: &str, provider: &str, output: &str) -> v1::Endpoint {
        let price = v1::Price { output: output.into(), ..Default::default() };
        v1::Endpoint {
            model: model.into(),
            provider: provider.into(),
            price: Some(price),
            ..Default::default()
        }
    }

    #[test]
    fn the_cheapest_model_is_called() {
        let models = cheapest(vec![
            endpoint("echo/hang", "echo", "0.4"),
            endpoint("echo/echo", "echo", "0.4"),
            endpoint("openai/big", "openai", "10"),
            endpoint("openai/small", "openai", "1"),
        ]);
        assert_eq!(models["echo"], "echo/echo");
        assert_eq!(models["openai"], "openai/small");
    }

    #[test]
    fn what_a_provider_answers_decides() {
        for (status, verdict) in
            [(200, Verdict::Ok), (402, Verdict::Warn), (429, Verdict::Warn), (502, Verdict::Fail)]
        {
            let status = StatusCode::from_u16(status).unwrap();
            let finding = judge("p".into(), "a/b", status, b"{}", Duration::from_millis(7));
            assert_eq!(finding.verdict, verdict, "{status}");
        }
    }
}
