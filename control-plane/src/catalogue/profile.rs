//! Providers that name a row of the catalogue: what they do not say themselves, the row says.
//!
//! Only the name is stored. It is filled in wherever a provider is checked or sent, so that a newer catalogue also
//! improves providers that were made before it.

use crate::{
    catalogue::{Provider, providers},
    domain::{
        invalid::Invalid,
        provider::{DataPolicy, Draft},
    },
};

/// More edits than this, and two names are not alike.
const ALIKE: usize = 2;
/// More near matches help nobody.
const MOST_NEAR: usize = 5;

/// The row of this name, or of which it is another name.
pub fn by_name(name: &str) -> Option<&'static Provider> {
    let is_alias = |row: &&Provider| row.aliases.iter().any(|alias| alias == name);
    providers().iter().find(|row| row.id == name).or_else(|| providers().iter().find(is_alias))
}

/// The draft with what its profile says wherever it says nothing itself.
///
/// # Errors
/// An unknown profile, with near matches; and a profile whose base URL has parts that only the operator knows.
pub fn filled_in(draft: &Draft) -> Result<Draft, Invalid> {
    if draft.profile.is_empty() {
        return Ok(draft.clone());
    }
    let row = by_name(&draft.profile).ok_or_else(|| unknown(&draft.profile))?;
    if draft.base_url.is_empty() && row.has_blanks() {
        let form = &row.base_url;
        let reason = format!("is required: that of profile `{}` is yours alone, of the form {form}", row.id);
        return Err(Invalid::new("base_url", reason));
    }
    let said = |own: &String, row: &String| if own.is_empty() { row.clone() } else { own.clone() };
    let mut quirks = row.quirks.clone();
    quirks.extend(draft.quirks.clone());
    Ok(Draft {
        display_name: said(&draft.display_name, &row.display_name),
        adapter: said(&draft.adapter, &row.adapter),
        base_url: said(&draft.base_url, &row.base_url),
        auth: said(&draft.auth, &row.auth),
        data_policy: policy(draft.data_policy, row),
        quirks,
        ..draft.clone()
    })
}

fn policy(own: DataPolicy, row: &Provider) -> DataPolicy {
    let known = row.data_policy;
    DataPolicy {
        retains_prompts: own.retains_prompts.or(known.map(|policy| policy.retains_prompts)),
        trains: own.trains.or(known.map(|policy| policy.trains)),
        // Who says itself what is retained has said what is kept.
        zdr: own.zdr.or(known.filter(|_| own.retains_prompts.is_none()).and_then(|policy| policy.zdr)),
    }
}

fn unknown(name: &str) -> Invalid {
    let near = near(name);
    let hint = match near.as_slice() {
        [] => "`switchyard provider profiles` lists them".to_owned(),
        near => format!("near are {}", near.join(", ")),
    };
    let shown: String = name.chars().take(50).collect();
    Invalid::new("profile", format!("is `{shown}`, which is no profile; {hint}"))
}

/// Names of rows that look like this one, the nearest first.
fn near(name: &str) -> Vec<&'static str> {
    let name: String = name.to_lowercase().chars().take(50).collect();
    let names = providers().iter().flat_map(|row| {
        let names = std::iter::once(&row.id).chain(&row.aliases);
        names.map(|known| (distance(&name, known), row.id.as_str()))
    });
    let mut near: Vec<(usize, &str)> = names.filter(|(distance, _)| *distance <= ALIKE).collect();
    near.sort();
    near.dedup_by_key(|(_, id)| *id);
    near.into_iter().take(MOST_NEAR).map(|(_, id)| id).collect()
}

/// Edits between two names; none where one is in the other.
fn distance(one: &str, other: &str) -> usize {
    if one.len() > 2 && (other.contains(one) || one.contains(other)) {
        return 0;
    }
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for at in 0..other.len() {
            let changed = diagonal + usize::from(other[at] != letter);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(profile: &str) -> Draft {
        Draft { profile: profile.into(), ..Draft::default() }
    }

    #[test]
    fn a_profile_says_what_the_provider_does_not() {
        let filled = filled_in(&draft("groq")).unwrap();
        let row = by_name("groq").unwrap();
        assert_eq!((&filled.adapter, &filled.base_url), (&row.adapter, &row.base_url));
        assert_eq!((&filled.quirks, filled.profile.as_str()), (&row.quirks, "groq"));

        let own = Draft {
            base_url: "https://groq.example/v1".into(),
            display_name: "Ours".into(),
            quirks: [("single_choice".into(), "false".into())].into(),
            data_policy: DataPolicy { trains: Some(true), ..DataPolicy::default() },
            ..draft("groq")
        };
        let filled = filled_in(&own).unwrap();
        assert_eq!(
            (filled.base_url.as_str(), filled.display_name.as_str()),
            ("https://groq.example/v1", "Ours")
        );
        assert_eq!(filled.quirks["single_choice"], "false");
        assert_eq!(filled.quirks["message_nulls"], row.quirks["message_nulls"]);
        assert_eq!(filled.data_policy.trains, Some(true));
    }

    #[test]
    fn a_profile_says_how_the_credential_is_shown_unless_the_row_does() {
        for (profile, own, shown) in [
            ("vertex-anthropic", "", "google-oauth"),
            ("vertex-anthropic", "bearer", "bearer"),
            ("bedrock-api-key", "", "bearer"),
            ("bedrock", "", ""),
        ] {
            let own = Draft { auth: own.into(), base_url: "https://host".into(), ..draft(profile) };
            assert_eq!(filled_in(&own).unwrap().auth, shown, "{own:?}");
        }
    }

    #[test]
    fn without_a_profile_nothing_is_filled_in() {
        let plain = Draft { adapter: "openai".into(), ..Draft::default() };
        assert_eq!(filled_in(&plain).unwrap(), plain);
    }

    #[test]
    fn an_unknown_profile_is_refused_with_near_matches() {
        for (name, hint) in [
            ("grok", "near are groq"),
            ("Groq", "near are groq"),
            ("gorq", "near are groq"),
            ("vertex", ""),
            ("frobnicator", "`switchyard provider profiles` lists them"),
        ] {
            let refused = filled_in(&draft(name)).err();
            let reason = refused.map(|invalid| (invalid.field, invalid.reason));
            match hint {
                "" => assert!(by_name(name).is_some(), "{name}"),
                hint => {
                    let (field, reason) = reason.unwrap();
                    assert!(field == "profile" && reason.contains(hint), "{name}: {reason}");
                }
            }
        }
    }

    #[test]
    fn a_base_url_with_blanks_is_asked_for() {
        let refused = filled_in(&draft("cloudflare")).unwrap_err();
        assert_eq!(refused.field, "base_url");
        assert!(refused.reason.contains("{account}"), "{}", refused.reason);
        let own = Draft { base_url: "https://x/ai/v1".into(), ..draft("cloudflare") };
        assert_eq!(filled_in(&own).unwrap().adapter, "openai");
    }
}
