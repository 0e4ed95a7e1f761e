//! Path templates of `google.api.http`: literal segments, `{id}` and `{model=*/*}`.
//!
//! Verbs (`:cancel`), `**` and nested patterns are not used by our protos and refused when the table is built.

/// A path template, ready to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// A field that takes this many segments, joined by slashes.
    Variable {
        field: String,
        width: usize,
    },
}

impl Template {
    /// Reads a template; `None` for a form that is not supported.
    pub fn parse(text: &str) -> Option<Self> {
        let mut segments = Vec::new();
        let mut rest = text.strip_prefix('/')?;
        while !rest.is_empty() {
            let end = if rest.starts_with('{') {
                rest.find('}')? + 1
            } else {
                rest.find('/').unwrap_or(rest.len())
            };
            segments.push(Segment::parse(&rest[..end])?);
            rest = &rest[end..];
            if !rest.is_empty() {
                rest = rest.strip_prefix('/').filter(|rest| !rest.is_empty())?;
            }
        }
        Some(Self { segments })
    }

    /// The variables' values, percent-decoded, if a raw path has this form.
    pub fn matches(&self, path: &str) -> Option<Vec<(String, String)>> {
        let mut raw = path.strip_prefix('/')?.split('/').peekable();
        let mut variables = Vec::new();
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) if decode(raw.next()?)? == *text => {}
                Segment::Literal(_) => return None,
                Segment::Variable { field, width } => {
                    variables.push((field.clone(), take(&mut raw, *width)?))
                }
            }
        }
        raw.next().is_none().then_some(variables)
    }

    /// The fields that the path holds.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Variable { field, .. } => Some(field.as_str()),
        })
    }

    /// The template as OpenAPI writes it: every variable is `{field}`.
    pub fn to_openapi(&self) -> String {
        let segments = self.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => format!("/{text}"),
            Segment::Variable { field, .. } => format!("/{{{field}}}"),
        });
        segments.collect()
    }
}

impl Segment {
    fn parse(text: &str) -> Option<Self> {
        let Some(inner) = text.strip_prefix('{') else {
            let plain = !text.is_empty() && !text.contains(['*', ':', '{', '}']);
            return plain.then(|| Self::Literal(text.to_owned()));
        };
        let (field, pattern) =
            inner.strip_suffix('}')?.split_once('=').unwrap_or((inner.strip_suffix('}')?, "*"));
        let width = pattern.split('/').count();
        pattern.split('/').all(|part| part == "*").then(|| Self::Variable { field: field.to_owned(), width })
    }
}

/// The next `width` segments as one value.
///
/// A value of several parts may also come as one segment with its slashes encoded, which is what
/// `encodeURIComponent` makes of a model's id.
fn take<'a>(raw: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>, width: usize) -> Option<String> {
    let first = decode(raw.next()?)?;
    if width == 1 || (first.contains('/') && first.split('/').count() == width) {
        return Some(first).filter(|value| !value.is_empty());
    }
    let mut parts = vec![first];
    for _ in 1..width {
        parts.push(decode(raw.next()?)?);
    }
    let whole = parts.iter().all(|part| !part.is_empty() && !part.contains('/'));
    whole.then(|| parts.join("/"))
}

/// A percent-decoded segment; `None` unless it is UTF-8.
fn decode(raw: &str) -> Option<String> {
    if !raw.contains('%') {
        return Some(raw.to_owned());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = tail;
            continue;
        }
        let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, path: &str, expected: Option<&[(&str, &str)]>) {
        let found = Template::parse(template).unwrap().matches(path);
        let expected = expected
            .map(|pairs| pairs.iter().map(|(field, value)| (field.to_string(), value.to_string())).collect());
        assert_eq!(found, expected, "{template} {path}");
    }

    #[test]
    fn paths_match_their_templates() {
        let keys = "/v1/tenants/{tenant}/keys/{id}";
        check(keys, "/v1/tenants/acme/keys/key_1", Some(&[("tenant", "acme"), ("id", "key_1")]));
        check(keys, "/v1/tenants/acme/keys", None);
        check(keys, "/v1/tenants//keys/key_1", None);
        check(keys, "/v1/tenants/acme/keys/key_1/", None);
        check(keys, "/v1/tenants/acme/keys/a%20b%C3%A9", Some(&[("tenant", "acme"), ("id", "a bé")]));
        check(keys, "/v1/tenants/acme/keys/%zz", None);
        check(keys, "/v1/tenants/acme/keys/%ff", None);
        check(keys, "/v1/tenants/acme/keys/%2", None);
        check("/v1/tenants", "/v1/tenants", Some(&[]));
        check("/v1/tenants", "/v1/tenants/", None);
    }

    #[test]
    fn a_models_id_is_two_segments_or_one_encoded() {
        let model = "/v1/models/{id=*/*}";
        let endpoint = "/v1/models/{model=*/*}/endpoints/{id}";
        check(model, "/v1/models/openai/gpt-5:free", Some(&[("id", "openai/gpt-5:free")]));
        check(model, "/v1/models/openai%2Fgpt-5", Some(&[("id", "openai/gpt-5")]));
        check(model, "/v1/models/openai", None);
        check(model, "/v1/models/openai%2Fgpt-5/endpoints", None);
        check(model, "/v1/models/a/b/c", None);
        check(endpoint, "/v1/models/a/b/endpoints/e", Some(&[("model", "a/b"), ("id", "e")]));
        check(endpoint, "/v1/models/a%2fb/endpoints/e", Some(&[("model", "a/b"), ("id", "e")]));
    }

    #[test]
    fn templates_that_are_not_supported_are_refused() {
        for text in ["v1", "/v1//x", "/v1/", "/v1/{id", "/v1/{id=**}", "/v1/{id}:cancel", "/v1/*"] {
            assert_eq!(Template::parse(text), None, "{text}");
        }
    }

    #[test]
    fn openapi_writes_plain_variables() {
        let template = Template::parse("/v1/models/{model=*/*}/endpoints/{id}").unwrap();
        assert_eq!(template.to_openapi(), "/v1/models/{model}/endpoints/{id}");
        assert_eq!(template.fields().collect::<Vec<_>>(), ["model", "id"]);
    }
}
