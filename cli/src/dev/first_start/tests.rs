//! What is made and what is left alone, as a function of what is there.

use super::*;

fn identity() -> Identity {
    Identity { key: key::generate(key::KEY_PREFIX), token: Secret::default(), is_new: true }
}

fn offer(provider: &str, models: &[&str]) -> Offer {
    let entry = |id: &&str| {
        let model = v1::Model { id: (*id).to_owned(), ..Default::default() };
        let endpoint =
            v1::Endpoint { model: (*id).to_owned(), provider: provider.to_owned(), ..Default::default() };
        (model, endpoint)
    };
    let provider = v1::Provider { id: provider.to_owned(), ..Default::default() };
    Offer { provider, models: models.iter().map(entry).collect() }
}

fn ids(manifest: &v1::Manifest) -> (Vec<&str>, Vec<(&str, usize)>) {
    let providers = manifest.providers.iter().map(|provider| provider.id.as_str()).collect();
    let models = manifest
        .models
        .iter()
        .map(|entry| (entry.model.as_ref().unwrap().id.as_str(), entry.endpoints.len()));
    (providers, models.collect())
}

#[test]
fn a_first_start_makes_everything_in_one_call() {
    let wish = wish(&identity(), &[], "http://127.0.0.1:1");
    let manifest = missing(&Held::default(), &wish);
    let tenant = &manifest.tenants[0];
    assert_eq!((tenant.credits_usd.as_str(), tenant.keys.len()), (CREDITS_USD, 1));
    let (providers, models) = ids(&manifest);
    assert_eq!(providers, ["echo"]);
    assert!(models.contains(&("echo/echo", 1)));
}

#[test]
fn a_second_start_makes_nothing() {
    let wish = wish(&identity(), &[], "http://127.0.0.1:1");
    let mut held = Held { has_tenant: true, ..Default::default() };
    for offer in &wish.offers {
        held.providers.insert(offer.provider.id.clone(), offer.provider.clone());
        held.models.extend(offer.models.iter().map(|(model, _)| model.id.clone()));
    }
    assert_eq!(missing(&held, &wish), v1::Manifest::default());
}

#[test]
fn a_model_of_two_new_providers_is_made_once_with_both() {
    let mut wish = wish(&identity(), &[], "http://127.0.0.1:1");
    wish.offers = vec![offer("a", &["x/one", "x/two"]), offer("b", &["x/two"])];
    let held = Held { has_tenant: true, ..Default::default() };
    let manifest = missing(&held, &wish);
    assert_eq!(ids(&manifest), (vec!["a", "b"], vec![("x/one", 1), ("x/two", 2)]));
}

#[test]
fn keys_that_seal_are_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = DataDir::create(folder.path()).unwrap();
    let made = sealing_key(&place, "master-key").unwrap();
    assert_eq!(sealing_key(&place, "master-key").unwrap(), made);
    assert_ne!(sealing_key(&place, "config-key").unwrap(), made);
    seal::SealKey::from_base64(&made).unwrap();
}
