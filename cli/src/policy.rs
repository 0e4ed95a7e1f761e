//! `switchyard policy`: routing rules, written as in a file for `apply`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use switchyard_control_plane::{domain::policy::check_id, grpc::policy::draft};
use switchyard_proto::v1;

use crate::{
    apply::{contents, file::File, place::Fault, policy},
    arguments::{Limit, Mask},
    client::{Admin, Answer, Remote, pages},
    output::Column,
};

const COLUMNS: &[Column] = &[
    ("ID", "id"),
    ("TENANT", "tenant"),
    ("MATCH", "match"),
    ("PRIORITY", "priority"),
    ("DISABLED", "disabled"),
    ("DESCRIPTION", "description"),
    ("REVISION", "revision"),
    ("CREATED", "created_at"),
];

/// Arguments of the noun.
#[derive(Debug, Args)]
pub struct Policy {
    #[command(subcommand)]
    verb: Verb,
    /// The tenant that the policy belongs to [default: none, the operator's for all tenants]
    #[arg(long, global = true, default_value = "", hide_default_value = true, help_heading = "Scope")]
    tenant: String,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List policies of one owner, oldest first
    List(Limit),
    /// Show one policy
    Get {
        #[arg(value_name = "POLICY_ID")]
        id: String,
    },
    /// Make a policy from a file
    Create {
        /// YAML of one policy; `-` is stdin
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Change a policy: all of it by a file, or single fields
    Update {
        #[arg(value_name = "POLICY_ID")]
        id: String,
        /// YAML of the whole policy; `-` is stdin
        #[arg(short, long, value_name = "FILE", conflicts_with_all = ["description", "disabled", "match", "priority"])]
        file: Option<PathBuf>,
        #[command(flatten)]
        fields: Fields,
        /// The revision that the change is based on [default: the present one]
        #[arg(long, value_name = "N")]
        revision: Option<u64>,
    },
    /// Delete a policy: it cannot be called from then on
    Delete {
        #[arg(value_name = "POLICY_ID")]
        id: String,
        /// Only if this is still the revision
        #[arg(long, value_name = "N", default_value_t = 0)]
        revision: u64,
    },
    /// Say whether policies in a file would be taken; asks nobody
    Check {
        /// YAML of one policy, or a file for `apply`; `-` is stdin
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Fields {
    /// Shown to people
    #[arg(long)]
    description: Option<String>,
    /// Take it out of use
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    disabled: Option<bool>,
    /// Condition for applying it unasked; "" clears
    #[arg(long, value_name = "CEL")]
    r#match: Option<String>,
    /// The highest of those that match applies
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i32>,
}

impl Policy {
    /// Does what was asked and prints the result.
    ///
    /// # Errors
    /// What the control plane refused, or what is wrong with the file.
    pub async fn run(self) -> anyhow::Result<()> {
        if let Verb::Check { file } = self.verb {
            return check(&file);
        }
        let admin = self.remote.connect().await?;
        let (output, tenant) = (self.remote.output, self.tenant);
        match self.verb {
            Verb::List(Limit { limit }) => {
                output.list("Policy", &list(&admin, &tenant, limit).await?, COLUMNS)
            }
            Verb::Get { id } => output.one("Policy", &get(&admin, tenant, id).await?),
            Verb::Create { file } => {
                let policy = one(&file)?;
                let tenant = owner(tenant, &policy)?;
                let request = v1::CreatePolicyRequest { tenant, policy: Some(policy) };
                let made = admin.policies().create_policy(request).await.answer()?;
                output.one("Policy", &made.policy.unwrap_or_default())
            }
            Verb::Update { id, file, fields, revision } => {
                let (mut policy, mut mask) =
                    (get(&admin, tenant.clone(), id.clone()).await?, Mask::default());
                let revision = revision.unwrap_or(policy.revision);
                match file {
                    Some(file) => {
                        policy = one(&file)?;
                        owner(tenant.clone(), &policy)?;
                        mask.put("*", &mut (), Some(()));
                    }
                    None => fields.put(&mut policy, &mut mask),
                }
                let update_mask = mask.finish()?;
                let policy = Some(policy);
                let request = v1::UpdatePolicyRequest { tenant, id, policy, update_mask, revision };
                output.one("Policy", &admin.policies().update_policy(request).await.answer()?)
            }
            Verb::Delete { id, revision } => {
                let request = v1::DeletePolicyRequest { tenant, id, revision };
                admin.policies().delete_policy(request).await.answer()?;
                Ok(())
            }
            Verb::Check { .. } => unreachable!("was done above, without a connection"),
        }
    }
}

impl Fields {
    fn put(self, policy: &mut v1::Policy, mask: &mut Mask) {
        mask.put("description", &mut policy.description, self.description);
        mask.put("disabled", &mut policy.disabled, self.disabled);
        mask.put("match", &mut policy.r#match, self.r#match);
        mask.put("priority", &mut policy.priority, self.priority);
    }
}

async fn list(admin: &Admin, tenant: &str, most: usize) -> anyhow::Result<Vec<v1::Policy>> {
    pages(most, |page_size, page_token| async move {
        let request = v1::ListPoliciesRequest { tenant: tenant.to_owned(), page_size, page_token };
        let page = admin.policies().list_policies(request).await.answer()?;
        Ok((page.policies, page.next_page_token))
    })
    .await
}

async fn get(admin: &Admin, tenant: String, id: String) -> anyhow::Result<v1::Policy> {
    admin.policies().get_policy(v1::GetPolicyRequest { tenant, id }).await.answer()
}

/// The tenant of the command line, else the file's.
fn owner(flag: String, policy: &v1::Policy) -> anyhow::Result<String> {
    if flag.is_empty() {
        return Ok(policy.tenant.clone());
    }
    if !policy.tenant.is_empty() && policy.tenant != flag {
        bail!("the file's policy is tenant `{}`'s, not `{flag}`'s", policy.tenant);
    }
    Ok(flag)
}

/// The one policy in a file.
fn one(path: &std::path::Path) -> anyhow::Result<v1::Policy> {
    let (name, text) = contents(path)?;
    let mut policies = read(&name, &text)?;
    match (policies.pop(), policies.is_empty()) {
        (Some((_, policy)), true) => Ok(policy),
        (_, _) => bail!("{name}: not one policy; `switchyard apply` takes several"),
    }
}

/// The policies in a text, with their paths in it: one that stands alone, or the list of an apply file.
fn read(name: &str, text: &str) -> anyhow::Result<Vec<(String, v1::Policy)>> {
    let is_list = text.lines().any(|line| line.starts_with("policies:"));
    let policies = if is_list {
        let file = File::parse(text);
        let policies = file.map_err(|fault| anyhow::anyhow!("{name}:{fault}"))?.policies.into_iter();
        policies.enumerate().map(|(index, policy)| (format!("policies[{index}]."), policy)).collect()
    } else {
        let policy: policy::Policy = serde_yaml_ng::from_str(text)
            .map_err(|error| anyhow::anyhow!("{name}:{}", Fault::of_yaml(&error)))?;
        vec![(String::new(), policy)]
    };
    Ok(policies.into_iter().map(|(place, policy)| (place, policy.to_proto())).collect())
}

/// Checks a file as the control plane would.
fn check(path: &std::path::Path) -> anyhow::Result<()> {
    let (name, text) = contents(path)?;
    let policies = read(&name, &text)?;
    faults(&text, &policies).map_err(|fault| anyhow::anyhow!("{name}:{fault}")).context("not a policy")?;
    println!("{} fine", if policies.len() == 1 { "The policy is" } else { "All policies are" });
    Ok(())
}

/// The first fault, by line and field.
fn faults(text: &str, policies: &[(String, v1::Policy)]) -> Result<(), Fault> {
    for (place, policy) in policies {
        let checked = check_id(&policy.id).and_then(|()| draft(policy).check());
        checked.map_err(|invalid| Fault::at(text, format!("{place}{}", invalid.field), invalid.reason))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_checked_by_line_and_field() {
        let check = |text: &str, expected: Result<(), &str>| {
            let found = faults(text, &read("f", text).unwrap()).map_err(|fault| fault.to_string());
            match expected {
                Ok(()) => assert_eq!(found, Ok(()), "{text}"),
                Err(start) => assert!(found.unwrap_err().starts_with(start), "{text}"),
            }
        };
        check("id: p\nstages:\n  - models: [a/b]\n", Ok(()));
        check(
            "id: p\nstages:\n  - models: [a/b]\n    when: request.streem\n",
            Err(
                "4: stages[0].when: does not compile at line 1, column 1: `request.streem` is not a variable",
            ),
        );
        check(
            "policies:\n- id: p\n  stages: [{models: [a/b]}]\n- id: Q\n  stages: [{models: [a/b]}]\n",
            Err("4: policies[1].id: is not a slug"),
        );
    }

    #[test]
    fn a_tenant_is_named_once_or_twice_the_same() {
        let policy = |tenant: &str| v1::Policy { tenant: tenant.into(), ..Default::default() };
        assert_eq!(owner(String::new(), &policy("acme")).unwrap(), "acme");
        assert_eq!(owner("acme".into(), &policy("")).unwrap(), "acme");
        assert!(owner("acme".into(), &policy("rival")).is_err());
    }
}
