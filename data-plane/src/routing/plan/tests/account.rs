//! What an account allows its requests: lists of providers, use of prompts, regions.

use serde_json::json;
use switchyard_proto::v1::{DataPolicy, TenantConfig};

use crate::routing::tests::{World, excluded, order, world};

/// `eu` keeps nothing, `us` keeps prompts, `far` trains on them; `home` says nothing of itself.
fn providers() -> World {
    world(&[("m", "eu", "1"), ("m", "us", "2"), ("m", "far", "3"), ("m", "home", "4")])
        .provider("eu", |row| row.region = "eu-west-1".into())
        .provider("us", |row| {
            row.region = "us-east5".into();
            row.data_policy =
                Some(DataPolicy { retains_prompts: Some(true), trains: Some(false), zdr: Some(false) });
        })
        .provider("far", |row| {
            row.region = "eur-asia".into();
            row.data_policy =
                Some(DataPolicy { retains_prompts: Some(true), trains: Some(true), zdr: Some(false) });
        })
        .provider("home", |row| row.data_policy = None)
}

/// Who may serve, and by which rule the others may not.
#[track_caller]
fn check(
    account: impl Fn(&mut TenantConfig) + 'static,
    provider: serde_json::Value,
    expected: &[&str],
    rules: &[(&str, &str)],
) {
    let mut wishes = json!({"sort": "price"});
    wishes.as_object_mut().unwrap().extend(provider.as_object().unwrap().clone());
    let plan = providers().tenant(account).ask(json!({"provider": wishes})).plan().unwrap();
    assert_eq!(order(&plan), expected);
    let mut rules: Vec<_> = rules.iter().map(|(id, rule)| ((*id).to_owned(), *rule)).collect();
    rules.sort();
    assert_eq!(excluded(&plan), rules);
}

#[test]
fn allowed_providers_meet_those_that_the_request_allows() {
    let account = |row: &mut TenantConfig| row.allowed_providers = vec!["eu".into(), "us".into()];
    let out = "allowed_providers";
    check(account, json!({}), &["m@eu", "m@us"], &[("far", out), ("home", out)]);
    check(account, json!({"only": ["us", "far"]}), &["m@us"], &[("eu", out), ("far", out), ("home", out)]);
}

#[test]
fn ignored_providers_join_those_that_the_request_ignores() {
    let account = |row: &mut TenantConfig| row.ignored_providers = vec!["far/eur-asia".into()];
    let out = "ignored_providers";
    check(account, json!({}), &["m@eu", "m@us", "m@home"], &[("far", out)]);
    check(account, json!({"ignore": ["eu"]}), &["m@us", "m@home"], &[("eu", out), ("far", out)]);
    check(account, json!({"order": ["far"]}), &["m@eu", "m@us", "m@home"], &[("far", out)]);
}

#[test]
fn an_account_only_tightens_what_may_become_of_prompts() {
    let zdr = |row: &mut TenantConfig| row.zdr = true;
    let out = "data_policy:zdr";
    check(zdr, json!({"zdr": false}), &["m@eu"], &[("us", out), ("far", out), ("home", out)]);
    let deny = |row: &mut TenantConfig| row.data_collection = "deny".into();
    let out = "data_policy:training";
    check(deny, json!({"data_collection": "allow"}), &["m@eu"], &[("us", out), ("far", out), ("home", out)]);
    let allow = |row: &mut TenantConfig| row.data_collection = "allow".into();
    check(allow, json!({}), &["m@eu", "m@us", "m@far", "m@home"], &[]);
    let newer = |row: &mut TenantConfig| row.data_collection = "a-word-of-a-later-version".into();
    check(newer, json!({}), &["m@eu"], &[("us", out), ("far", out), ("home", out)]);
}

#[test]
fn regions_are_taken_whole_or_by_their_beginning_and_an_unknown_one_is_none() {
    let out = "data_region";
    for (allowed, expected) in [
        (&["eu"][..], &["m@eu"][..]),
        (&["EU-West-1"], &["m@eu"]),
        (&["eu-west"], &["m@eu"]),
        (&["us-east5", "eur"], &["m@us", "m@far"]),
    ] {
        let allowed: Vec<String> = allowed.iter().map(|&region| region.to_owned()).collect();
        let account = move |row: &mut TenantConfig| row.allowed_regions.clone_from(&allowed);
        let names = ["eu", "us", "far", "home"];
        let is_out = |name: &&str| !expected.contains(&format!("m@{name}").as_str());
        let rules: Vec<_> = names.into_iter().filter(is_out).map(|name| (name, out)).collect();
        check(account, json!({}), expected, &rules);
    }
}

#[test]
fn own_credentials_are_held_by_the_accounts_rules_too() {
    let account = |row: &mut TenantConfig| {
        row.allowed_regions = vec!["eu".into()];
        row.ignored_providers = vec!["eu".into()];
    };
    let world = providers().own("k", "us", |row| row.declared_zdr = Some(true)).own("l", "eu", |_| {});
    let error = world.tenant(account).ask(json!({})).refusal();
    let mut rules = error.metadata["availability"]["excluded_by"].clone();
    rules.as_array_mut().unwrap().sort_by_key(ToString::to_string);
    assert_eq!(rules, json!(["data_region", "ignored_providers"]));
    let zdr = providers().own("k", "us", |row| row.declared_zdr = Some(true)).tenant(|row| row.zdr = true);
    assert_eq!(zdr.ask(json!({"provider": {"sort": "price"}})).order(), ["m@us+k", "m@eu"]);
}

#[test]
fn who_is_left_nobody_by_the_account_hears_that_and_not_of_a_field() {
    for (account, status, code, text) in [
        (
            Box::new(|row: &mut TenantConfig| row.allowed_regions = vec!["mars".into()])
                as Box<dyn Fn(&mut TenantConfig)>,
            403,
            "region_restricted",
            "us: is in `us-east5`, which is not a region that the account allows",
        ),
        (
            Box::new(|row: &mut TenantConfig| {
                row.zdr = true;
                row.ignored_providers = vec!["eu".into()];
            }),
            404,
            "privacy_restricted",
            "us: may retain prompts, which the account forbids",
        ),
    ] {
        let error = providers().tenant(account).ask(json!({})).refusal();
        let availability = &error.metadata["availability"];
        assert_eq!((error.code.status().as_u16(), &availability["code"]), (status, &json!(code)));
        assert_eq!(availability["constraint"]["field"], "", "{availability}");
        assert!(error.public.contains(text), "{}", error.public);
        assert!(!error.metadata.contains_key("field"), "{error:?}");
    }
}
