//! What `dev` says when it is ready: where everything is, and lines to paste.

use std::time::Duration;

use crate::{
    data_dir::{DataDir, Running},
    dev::{
        discover::Found,
        first_start::{Identity, Ready},
    },
};

/// Prints the whole story at the first start, a short one after that.
pub(super) fn print(
    place: &DataDir,
    running: &Running,
    identity: &Identity,
    ready: &Ready,
    found: &[Found],
    took: Duration,
) {
    let version = env!("CARGO_PKG_VERSION");
    println!("Switchyard {version} is ready after {:.1} s. Ctrl-C stops it.", took.as_secs_f64());
    println!();
    print!("{}", places(running));
    print!("{}", providers(ready, found));
    println!();
    let folder = shown(place);
    if identity.is_new {
        print!("{}", secrets(&folder, identity));
        print!("{}", lines_to_paste(&running.client, identity.key.expose()));
    } else {
        println!("The key is in {folder}/key, the admin token in {folder}/admin-token.");
        println!("Try: switchyard chat \"hi\"");
    }
}

fn places(Running { client, admin, data_plane_ops, control_plane_ops, .. }: &Running) -> String {
    format!(
        "  client API   {client}/api/v1\n\
         \x20 admin API    {admin}/admin/v1 (and gRPC), described at {admin}/admin/openapi.json\n\
         \x20 metrics      {data_plane_ops}/metrics, {control_plane_ops}/metrics\n"
    )
}

/// What can be called, where it was found, and what is missing.
fn providers(ready: &Ready, found: &[Found]) -> String {
    let mut text = String::new();
    for (id, models) in &ready.providers {
        let from = found.iter().find_map(|found| match found {
            Found::Usable { from, offer } if offer.provider.id == *id => Some(from.as_str()),
            Found::Usable { .. } | Found::Missing { .. } => None,
        });
        let from = from.unwrap_or("the built-in fault lab");
        let plural = if *models == 1 { "" } else { "s" };
        text.push_str(&format!("  provider     {id}: {models} model{plural}, from {from}\n"));
    }
    for found in found {
        if let Found::Missing { from, why } = found {
            text.push_str(&format!("  not usable   {from}: {why}\n"));
        }
    }
    text
}

fn secrets(folder: &str, Identity { key, token, .. }: &Identity) -> String {
    format!(
        "Shown this once, and kept in {folder}/key and {folder}/admin-token:\n\
         \x20 key          {}\n\
         \x20 admin token  {}\n\n\
         The tenant `dev` has $100 of credits; `switchyard tenant credits dev USD` gives it more.\n\n",
        key.expose(),
        token.expose()
    )
}

fn lines_to_paste(client: &str, key: &str) -> String {
    let curl = |flags: &str, stream: &str| {
        format!(
            "  curl {flags}{client}/api/v1/chat/completions \\\n\
             \x20   -H \"Authorization: Bearer {key}\" -H \"Content-Type: application/json\" \\\n\
             \x20   -d '{{\"model\": \"echo/echo\", {stream}\"messages\": [{{\"role\": \"user\", \"content\": \"Hello!\"}}]}}'\n"
        )
    };
    format!("A first answer:\n{}As a stream:\n{}", curl("", ""), curl("-N ", "\"stream\": true, "))
}

/// The folder as people would write it: relative where it is below us.
fn shown(place: &DataDir) -> String {
    let path = place.path("");
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(|below| below.display().to_string()));
    let shown = below.filter(|below| !below.is_empty()).unwrap_or_else(|| path.display().to_string());
    shown.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_to_paste_hold_valid_json() {
        let text = lines_to_paste("http://127.0.0.1:8080", "sk-sy-v1-x");
        let bodies: Vec<&str> =
            text.split("-d '").skip(1).filter_map(|rest| rest.split('\'').next()).collect();
        assert_eq!(bodies.len(), 2);
        for body in bodies {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["model"], "echo/echo");
        }
        assert!(text.contains("Authorization: Bearer sk-sy-v1-x"), "{text}");
    }

    #[test]
    fn what_is_missing_is_said() {
        let ready = Ready { providers: vec![("echo".into(), 75)] };
        let found =
            [Found::Missing { from: "COHERE_API_KEY".into(), why: "there is no adapter `cohere`".into() }];
        let expected = "  provider     echo: 75 models, from the built-in fault lab\n  \
                        not usable   COHERE_API_KEY: there is no adapter `cohere`\n";
        assert_eq!(providers(&ready, &found), expected);
    }
}
