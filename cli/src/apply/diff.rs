//! What `switchyard apply` prints: the difference, and secrets that were made.

use std::fmt::Write;

use switchyard_proto::v1::{ApplyResponse, Change, FieldChange, change::Action};

/// The answer for people.
pub fn to_text(answer: &ApplyResponse, dry_run: bool) -> String {
    let mut text = String::new();
    for change in &answer.changes {
        write_change(&mut text, change).expect("a string takes everything");
    }
    text.push_str(&summary(answer, dry_run));
    if !answer.secrets.is_empty() {
        text.push_str("\nSecrets of new keys, shown this once:\n");
    }
    for made in &answer.secrets {
        let named = [&made.tenant, &made.key, &made.webhook].map(String::as_str);
        let named: Vec<&str> = named.into_iter().filter(|part| !part.is_empty()).collect();
        writeln!(text, "  {}  {}", named.join("/"), made.secret).expect("a string takes everything");
    }
    text
}

fn write_change(text: &mut String, change: &Change) -> std::fmt::Result {
    let (sign, note) = match change.action() {
        Action::Create => ("+", ""),
        Action::Update | Action::Unspecified => ("~", ""),
        Action::Delete => ("-", ""),
        Action::Disable => ("-", " (disabled, not deleted: it has ledger lines)"),
    };
    let drifted = if change.drifted { " (edited by somebody else since the last apply)" } else { "" };
    writeln!(text, "{sign} {} {}{note}{drifted}", change.noun, change.id)?;
    change.fields.iter().try_for_each(|field| write_field(text, change.action(), field))
}

fn write_field(text: &mut String, action: Action, field: &FieldChange) -> std::fmt::Result {
    match action {
        Action::Create => writeln!(text, "    {}: {}", field.field, shown(&field.after)),
        _ => writeln!(text, "    {}: {} -> {}", field.field, shown(&field.before), shown(&field.after)),
    }
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "(none)" } else { value }
}

fn summary(answer: &ApplyResponse, dry_run: bool) -> String {
    let revision = answer.revision.as_ref().map_or(0, |revision| revision.number);
    if answer.changes.is_empty() {
        return format!("No changes: everything is as the file says (revision {revision}).\n");
    }
    let count =
        |wanted: &[Action]| answer.changes.iter().filter(|change| wanted.contains(&change.action())).count();
    let counts = format!(
        "{} created, {} updated, {} removed",
        count(&[Action::Create]),
        count(&[Action::Update]),
        count(&[Action::Delete, Action::Disable])
    );
    if dry_run {
        format!("Dry run, nothing was changed. Would be: {counts}.\n")
    } else {
        format!("Applied: {counts} (revision {revision}).\n")
    }
}

#[cfg(test)]
mod tests {
    use switchyard_proto::v1::{MadeSecret, Revision};

    use super::*;

    fn change(action: Action, id: &str, fields: &[(&str, &str, &str)], drifted: bool) -> Change {
        let fields = fields.iter().map(|(field, before, after)| FieldChange {
            field: field.to_string(),
            before: before.to_string(),
            after: after.to_string(),
        });
        Change { action: action.into(), noun: "key".into(), id: id.into(), fields: fields.collect(), drifted }
    }

    #[test]
    fn the_difference_is_shown_field_by_field() {
        let answer = ApplyResponse {
            changes: vec![
                change(Action::Create, "acme/ci", &[("limit.usd", "", "5")], false),
                change(
                    Action::Update,
                    "acme/web",
                    &[("limit.usd", "5", "6"), ("expires_at", "", "soon")],
                    true,
                ),
                change(Action::Disable, "acme/old", &[], false),
                change(Action::Delete, "acme/older", &[], false),
            ],
            secrets: vec![MadeSecret {
                tenant: "acme".into(),
                key: "ci".into(),
                secret: "sk-1".into(),
                ..Default::default()
            }],
            revision: Some(Revision { incarnation: String::new(), number: 7 }),
        };
        let expected = "\
+ key acme/ci
    limit.usd: 5
~ key acme/web (edited by somebody else since the last apply)
    limit.usd: 5 -> 6
    expires_at: (none) -> soon
- key acme/old (disabled, not deleted: it has ledger lines)
- key acme/older
Applied: 1 created, 1 updated, 2 removed (revision 7).

Secrets of new keys, shown this once:
  acme/ci  sk-1
";
        assert_eq!(to_text(&answer, false), expected);
    }

    #[test]
    fn a_dry_run_says_so_and_no_change_says_so() {
        let answer =
            ApplyResponse { changes: vec![change(Action::Create, "a/b", &[], false)], ..Default::default() };
        assert!(
            to_text(&answer, true)
                .ends_with("Dry run, nothing was changed. Would be: 1 created, 0 updated, 0 removed.\n")
        );
        let none = to_text(&ApplyResponse::default(), false);
        assert_eq!(none, "No changes: everything is as the file says (revision 0).\n");
    }
}
