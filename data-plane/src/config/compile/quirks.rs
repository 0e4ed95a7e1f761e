//! One endpoint's quirks: what is known of its model, what the provider's profile says, and the rows' own words on top.

use switchyard_proto::v1;

use crate::adapters::quirks::{Quirks, UnknownQuirk};
use crate::config::compile::{Fault, fault};

/// What the catalogue knows of the model. It may be newer than this program: what is unknown here changes nothing.
pub(super) fn known(mut quirks: Quirks, facts: &[v1::Quirk]) -> Quirks {
    for quirk in facts {
        drop(quirks.set(&quirk.name, &quirk.value));
    }
    quirks
}

/// The provider's quirks and then the endpoint's, over what is known of the model's habits.
///
/// Model and host refuse things for reasons of their own, so a profile adds to the model's lists and does not replace them.
/// A row's own words do.
pub(super) fn over(
    mut known: Quirks,
    provider: &v1::ProviderConfig,
    endpoint: &[v1::Quirk],
) -> Result<Quirks, Fault> {
    for quirk in &provider.quirks {
        let is_profiles = provider.profile_quirks.contains(&quirk.name);
        let put = if is_profiles { Quirks::join } else { Quirks::set };
        put(&mut known, &quirk.name, &quirk.value).map_err(|reason| bad(quirk, &reason))?;
    }
    for quirk in endpoint {
        known.set(&quirk.name, &quirk.value).map_err(|reason| bad(quirk, &reason))?;
    }
    Ok(known)
}

fn bad(quirk: &v1::Quirk, reason: &UnknownQuirk) -> Fault {
    fault(format!("quirks.{}", quirk.name), reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quirks(list: &[(&str, &str)]) -> Vec<v1::Quirk> {
        let quirk = |(name, value): &(&str, &str)| v1::Quirk { name: (*name).into(), value: (*value).into() };
        list.iter().map(quirk).collect()
    }

    /// The model takes neither `temperature` nor `stop`; what is dropped after the provider and the endpoint had their say.
    fn check(provider: &[(&str, &str)], profile: &[&str], endpoint: &[(&str, &str)], dropped: &[&str]) {
        let model = known(Quirks::default(), &quirks(&[("drop", "temperature,stop")]));
        let provider = v1::ProviderConfig {
            quirks: quirks(provider),
            profile_quirks: profile.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        };
        let found = over(model, &provider, &quirks(endpoint)).map_err(|fault| fault.reason).unwrap();
        assert_eq!(found.drop, dropped, "{provider:?} {endpoint:?}");
    }

    #[test]
    fn a_profile_adds_to_what_a_model_refuses_and_a_row_replaces_it() {
        let said = [("drop", "stop,seed")];
        check(&[], &[], &[], &["temperature", "stop"]);
        check(&said, &["drop"], &[], &["temperature", "stop", "seed"]);
        check(&[("drop", "")], &["drop"], &[], &["temperature", "stop"]);
        check(&said, &[], &[], &["stop", "seed"]);
        check(&[("drop", "")], &[], &[], &[]);
        check(&said, &["drop"], &[("drop", "seed")], &["seed"]);
        check(&said, &["efforts"], &[], &["stop", "seed"]);
    }

    #[test]
    fn a_profile_replaces_what_is_no_list_of_refusals() {
        let model = known(Quirks::default(), &quirks(&[("efforts", "low,high"), ("developer_role", "true")]));
        let list = [("efforts", "max"), ("developer_role", "false")];
        let provider = v1::ProviderConfig {
            quirks: quirks(&list),
            profile_quirks: list.iter().map(|(name, _)| (*name).to_owned()).collect(),
            ..Default::default()
        };
        let found = over(model, &provider, &[]).map_err(|fault| fault.reason).unwrap();
        assert_eq!((found.efforts.len(), found.developer_role), (1, false));
    }

    #[test]
    fn an_unknown_quirk_of_a_row_is_a_fault_and_of_the_catalogue_is_not() {
        let facts = quirks(&[("from_the_future", "1")]);
        assert_eq!(known(Quirks::default(), &facts), Quirks::default());
        for profile_quirks in [vec![], vec!["from_the_future".to_owned()]] {
            let provider = v1::ProviderConfig { quirks: facts.clone(), profile_quirks, ..Default::default() };
            let fault = over(Quirks::default(), &provider, &[]).expect_err("an unknown quirk");
            assert_eq!(fault.field, "quirks.from_the_future");
        }
    }
}
