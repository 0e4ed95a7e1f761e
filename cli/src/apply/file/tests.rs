//! Reading files, good and bad, and the way there and back.

use switchyard_proto::v1;

use super::*;
use crate::apply::{
    export,
    manifest::{self, BadField},
    variables::Variables,
};

/// The example of the documentation.
const EXAMPLE: &str = r#"
providers:
  - {id: quick, profile: groq, quirks: {single_choice: "false"}}
  - id: openai
    adapter: openai                    # a dialect; `profile: groq` picks a row of the built-in catalogue
    base_url: https://${HOST}/v1
    credential: ${OPENAI_API_KEY}
    data_policy: {retains_prompts: true, trains: false, zdr: false}
    headers_timeout_ms: 4000
    min_tokens_per_second: 2.5
    rates: {requests_per_minute: 500}  # of its credential
models:
  - id: openai/gpt-5-mini
    distillable: false
    rates: {tokens_per_minute: 900000}
    endpoints:
      - provider: openai
        upstream_id: gpt-5-mini
        context_length: 400000
        max_output_tokens: 128000
        price: {input: "0.25", cached_input: 0.025, output: "2.00"}   # USD per million tokens
      - id: priority
        provider: openai
        upstream_id: gpt-5-mini
        context_length: 400000
        service_tier: priority
        price:
          input: "0.45"
          output: "3.60"
          overrides:
            - {min_prompt_tokens: 200000, price: {input: 0.9}}
          versions:
            - {from: 2027-01-01T00:00:00Z, price: {input: 0.5, search: "0.01"}}
policies:
  - id: cheap-then-strong              # callable as model `policy/cheap-then-strong`
    stages:
      - {models: [openai/gpt-5-mini], escalate_on: [error, timeout, invalid_json, invalid_tool_call, refusal]}
      - {models: [anthropic/claude-sonnet-4.5]}
tenants:
  - id: acme
    credits: "100.00"                  # USD granted when the tenant is first made
    allowed_providers: [openai]
    ignored_providers: [groq, azure/us-east]
    zdr: true
    data_collection: deny
    allowed_regions: [eu]
    price_book:                        # the first rule that covers model and provider
      - {model: openai/*, markup_ppm: 50000}
      - {provider: quick, price: {input: 0.1, output: 0.3}}
    keys:                              # without `secret` one is made and printed once
      - {name: ci, secret: ${ACME_KEY}, limit: {usd: "5.00", reset: daily}, rates: {requests_per_minute: 600}}
      - name: web
        expires_at: 2027-01-01T00:00:00Z
    credentials:                       # the tenant's own, for the providers above
      - {id: mine, provider: openai, secret: ${ACME_OPENAI}, fallback: true, order: -1, allowed_keys: [ci], rates: {concurrency: 4}}
webhooks:
  - {id: ops, url: "https://${HOST}/hook", secret: ${OPS_SECRET}, low_balance_usd: 5, thresholds: [50, 90]}
  - {id: billing, tenant: acme, url: "https://acme.example/hook", events: [budget.threshold]}
"#;

fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn manifest_of(text: &str, pairs: &[(&str, &str)]) -> Result<v1::Manifest, BadField> {
    manifest::of_file(&File::parse(text).unwrap(), &variables(pairs))
}

#[test]
fn the_example_says_what_it_means() {
    let pairs = [("HOST", "api.openai.com"), ("OPENAI_API_KEY", "sk-1"), ("ACME_KEY", "sk-acme")];
    let manifest = manifest_of(EXAMPLE, &pairs).unwrap();
    let quick = &manifest.providers[0];
    assert_eq!((quick.profile.as_str(), quick.adapter.as_str(), quick.base_url.as_str()), ("groq", "", ""));
    let provider = &manifest.providers[1];
    assert_eq!(
        (provider.base_url.as_str(), provider.credential.as_str()),
        ("https://api.openai.com/v1", "sk-1")
    );
    assert_eq!(
        provider.data_policy.unwrap(),
        v1::DataPolicy { retains_prompts: Some(true), trains: Some(false), zdr: Some(false) }
    );
    assert_eq!((provider.headers_timeout_ms, provider.min_tokens_per_second), (4000, 2.5));
    assert_eq!(provider.rates.unwrap().requests_per_minute, Some(500));
    let endpoint = &manifest.models[0].endpoints[0];
    assert_eq!((endpoint.model.as_str(), endpoint.id.as_str()), ("openai/gpt-5-mini", "openai"));
    let price = endpoint.price.as_ref().unwrap();
    assert_eq!(
        (price.input.as_str(), price.cached_input.as_str(), price.output.as_str()),
        ("0.25", "0.025", "2.00")
    );
    assert_eq!(manifest.models[0].model.as_ref().unwrap().distillable, Some(false));
    assert_eq!(manifest.models[0].model.as_ref().unwrap().rates.unwrap().tokens_per_minute, Some(900_000));
    let priority = &manifest.models[0].endpoints[1];
    assert_eq!((priority.id.as_str(), priority.service_tier.as_str()), ("priority", "priority"));
    let price = priority.price.as_ref().unwrap();
    assert_eq!(price.overrides[0].price.as_ref().unwrap().input, "0.9");
    assert_eq!(price.versions[0].price.as_ref().unwrap().search, "0.01");
    let acme = &manifest.tenants[0];
    assert_eq!((acme.credits_usd.as_str(), acme.tenant.as_ref().unwrap().prepaid), ("100.00", true));
    let rules = acme.tenant.as_ref().unwrap();
    assert_eq!((rules.allowed_providers.as_slice(), rules.zdr), (&["openai".to_owned()][..], true));
    assert_eq!(rules.ignored_providers, ["groq", "azure/us-east"]);
    assert_eq!(
        (rules.data_collection.as_str(), rules.allowed_regions.as_slice()),
        ("deny", &["eu".to_owned()][..])
    );
    let [marked, own] = acme.tenant.as_ref().unwrap().price_book.as_slice() else { panic!("two rules") };
    assert_eq!((marked.model.as_str(), marked.markup_ppm), ("openai/*", Some(50_000)));
    assert_eq!((own.provider.as_str(), own.price.as_ref().unwrap().input.as_str()), ("quick", "0.1"));
    let [ci, web] = acme.keys.as_slice() else { panic!("two keys") };
    assert_eq!((ci.secret.as_str(), ci.secret_ref.as_str()), ("sk-acme", "ACME_KEY"));
    let key = ci.key.as_ref().unwrap();
    assert_eq!(key.limit, Some(v1::SpendLimit { usd: "5.00".into(), reset: v1::Reset::Daily.into() }));
    assert_eq!(key.rates.unwrap().requests_per_minute, Some(600));
    assert_eq!((web.secret.as_str(), web.secret_ref.as_str()), ("", ""));
    assert_eq!(web.key.as_ref().unwrap().expires_at.unwrap().seconds, 1_798_761_600);
    let [entry] = acme.credentials.as_slice() else { panic!("one credential") };
    assert_eq!(entry.secret_ref, "ACME_OPENAI");
    let expected = v1::Credential {
        id: "mine".into(),
        tenant: "acme".into(),
        provider: "openai".into(),
        fallback: true,
        order: -1,
        allowed_keys: vec!["ci".into()],
        rates: Some(v1::Rates { concurrency: Some(4), ..v1::Rates::default() }),
        ..Default::default()
    };
    assert_eq!(entry.credential, Some(expected));
}

#[test]
fn a_secret_whose_variable_is_missing_is_sent_as_its_name() {
    let manifest = manifest_of(EXAMPLE, &[("HOST", "h")]).unwrap();
    let provider = &manifest.providers[1];
    assert_eq!((provider.credential.as_str(), provider.credential_ref.as_str()), ("", "OPENAI_API_KEY"));
    assert_eq!(manifest.tenants[0].keys[0].secret_ref, "ACME_KEY");
}

#[test]
fn a_missing_variable_in_a_url_or_inside_a_secret_is_named_with_its_place() {
    let bad = manifest_of(EXAMPLE, &[]).unwrap_err();
    let expected = "environment variable `HOST` is not set";
    assert_eq!(bad, BadField { field: "providers[1].base_url".into(), reason: expected.into() });
    let text = "tenants: [{id: a, keys: [{name: k, secret: 'x-${PART}'}]}]";
    assert_eq!(manifest_of(text, &[]).unwrap_err().field, "tenants[0].keys[0].secret");
    let text = "tenants: [{id: a, credits: 5, prepaid: false}]";
    assert_eq!(manifest_of(text, &[]).unwrap_err().field, "tenants[0].prepaid");
}

#[test]
fn what_cannot_be_read_is_named_with_line_and_field() {
    for (text, line, field, part) in [
        ("", None, "", "the file is empty"),
        ("# nothing\n\n", None, "", "the file is empty"),
        ("providers:\n  - id: x\n    adaptor: y\n", Some(3), "providers[0]", "unknown field `adaptor`"),
        ("provider: []\n", Some(1), "", "unknown field `provider`"),
        ("providers:\n  - id: x\n    adapter: openai\n", Some(2), "providers[0]", "missing field `base_url`"),
        (
            "models:\n  - id: a/b\n    endpoints:\n      - provider: p\n        price:\n          inptu: \"1\"\n",
            Some(6),
            "models[0].endpoints[0].price",
            "unknown field `inptu`",
        ),
        ("tenants:\n  - id: a\n    markup_ppm: lots\n", Some(3), "tenants[0].markup_ppm", "expected u64"),
        ("tenants:\n  - id: a\n    keys: sk-canary\n", Some(3), "tenants[0].keys", "expected a sequence"),
        (
            "tenants:\n- id: a\n  keys:\n  - name: k\n    limit: {usd: 5, reset: hourly}\n",
            Some(5),
            "tenants[0].keys[0].limit.reset",
            "unknown variant `hourly`, expected one of `never`",
        ),
        (
            "tenants:\n- id: a\n  keys:\n  - name: k\n    expires_at: soon\n",
            Some(5),
            "tenants[0].keys[0].expires_at",
            "",
        ),
        ("tenants:\n- id: a\n  id: b\n", Some(2), "tenants[0]", "duplicate field `id`"),
        ("tenants: [\n", Some(2), "", "did not find expected node content"),
        ("tenants:\n- id: a\n name: b\n", Some(3), "", "did not find expected"),
        ("providers:\n- {id: p, base_url: u}\n", Some(2), "providers[0]", "missing field `adapter`"),
        ("policies:\n  # first\n  - id: cheap\n", Some(3), "policies[0]", "missing field `stages`"),
        (
            "policies:\n  - id: cheap\n    stages:\n      - {models: [a/b], escalate: [error]}\n",
            Some(4),
            "policies[0].stages[0]",
            "unknown field `escalate`",
        ),
    ] {
        let fault = File::parse(text).unwrap_err();
        assert_eq!((fault.place.line, fault.place.field.as_str()), (line, field), "{text}{fault}");
        assert!(fault.reason.contains(part) && !fault.reason.contains("canary"), "{text}{fault}");
    }
}

#[test]
fn lists_without_entries_are_fine() {
    let file = File::parse("providers:\nmodels: []\npolicies:\ntenants:\n- id: a\n  keys:\n").unwrap();
    assert_eq!((file.providers.len(), file.tenants.len(), file.tenants[0].keys.len()), (0, 1, 0));
}

#[test]
fn a_file_survives_the_way_to_the_control_plane_and_back() {
    let pairs = [("HOST", "h"), ("OPENAI_API_KEY", "sk-canary"), ("ACME_KEY", "sk-canary")];
    let mut manifest = manifest_of(EXAMPLE, &pairs).unwrap();
    manifest.providers[1].has_credential = true;
    let yaml = export::to_yaml(manifest.clone());
    assert!(yaml.contains("- id: quick\n  profile: groq\n  quirks:"), "{yaml}");
    assert!(!yaml.contains("canary"), "{yaml}");
    assert!(yaml.contains("credential: ${SWITCHYARD_PROVIDER_OPENAI}"), "{yaml}");
    assert!(yaml.contains("secret: ${SWITCHYARD_KEY_ACME_CI}"), "{yaml}");
    assert!(yaml.contains("secret: ${SWITCHYARD_CREDENTIAL_ACME_MINE}"), "{yaml}");
    let again = File::parse(&yaml).unwrap();
    assert_eq!(again.to_yaml(), File::parse(&again.to_yaml()).unwrap().to_yaml());
    let pairs = [("SWITCHYARD_PROVIDER_OPENAI", "sk-canary"), ("SWITCHYARD_KEY_ACME_CI", "sk-canary")];
    let back = manifest::of_file(&again, &variables(&pairs)).unwrap();
    assert_eq!(without_names(back), without_names(manifest));
}

/// What an export does not repeat: names of variables, and credits that were granted.
fn without_names(mut manifest: v1::Manifest) -> v1::Manifest {
    for provider in &mut manifest.providers {
        provider.credential_ref.clear();
        provider.has_credential = false;
    }
    for tenant in &mut manifest.tenants {
        tenant.credits_usd.clear();
        for credential in &mut tenant.credentials {
            credential.secret_ref.clear();
            credential.credential.as_mut().unwrap().secret.clear();
        }
        for key in &mut tenant.keys {
            (key.secret_ref, key.secret) = Default::default();
        }
    }
    for entry in &mut manifest.webhooks {
        entry.secret_ref.clear();
        entry.webhook.as_mut().unwrap().secret.clear();
    }
    manifest
}

#[test]
fn secrets_in_a_file_do_not_print() {
    let text = "providers: [{id: p, adapter: a, base_url: u, credential: sk-canary}]\ntenants: [{id: t, keys: [{name: k, secret: canary}], credentials: [{id: c, provider: p, secret: canary}]}]\nwebhooks: [{id: w, url: u, secret: canary}]";
    assert!(!format!("{:?}", File::parse(text).unwrap()).contains("canary"));
}
