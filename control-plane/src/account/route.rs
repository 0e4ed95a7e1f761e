//! What a forwarded call asks for: method, path and query, read. Bodies are `body`'s business.

use chrono::NaiveDate;
use switchyard_proto::{code::ErrorCode, id::GenerationId, key::KeyHash, v1};

use crate::account::refusal::Refusal;

/// One call.
#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    Key,
    Credits,
    Generation(GenerationId),
    /// What went in and came out.
    Content(GenerationId),
    Activity(Activity),
    Keys(Keys),
}

/// A call about a tenant's keys.
#[derive(Debug, PartialEq, Eq)]
pub enum Keys {
    List(Page),
    Create,
    Get(KeyHash),
    Update(KeyHash),
    Delete(KeyHash),
}

/// Which keys are listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub offset: i64,
    pub include_disabled: bool,
    pub workspace: Option<String>,
}

/// Which usage is listed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// One day; absent: the last thirty that are over.
    pub date: Option<NaiveDate>,
    pub key: Option<KeyHash>,
    pub workspace: Option<String>,
    pub by_workspace: bool,
}

/// Reads a call.
///
/// # Errors
/// 404, 405 or 400 for what there is no answer to.
pub fn of(request: &v1::ForwardRequest) -> Result<Route, Refusal> {
    let path = request.path.trim_end_matches('/');
    let (method, query) = (request.method.as_str(), Query::of(&request.query));
    if let Some(id) = path.strip_prefix("/keys/") {
        return one_key(method, id);
    }
    match (path, method) {
        ("/key" | "/auth/key", "GET") => Ok(Route::Key),
        ("/credits", "GET") => Ok(Route::Credits),
        ("/generation", "GET") => query.generation().map(Route::Generation),
        ("/generation/content", "GET") => query.generation().map(Route::Content),
        ("/activity", "GET") => query.activity().map(Route::Activity),
        ("/keys", "GET") => query.page().map(|page| Route::Keys(Keys::List(page))),
        ("/keys", "POST") => Ok(Route::Keys(Keys::Create)),
        ("/key" | "/auth/key" | "/credits" | "/generation" | "/generation/content" | "/activity", _) => {
            Err(wrong_method(path, "GET", method))
        }
        ("/keys", _) => Err(wrong_method(path, "GET and POST", method)),
        _ => Err(Refusal::new(ErrorCode::NotSupported, format!("{} is not supported yet", request.path))),
    }
}

fn one_key(method: &str, id: &str) -> Result<Route, Refusal> {
    let hash = || hash(id).ok_or_else(Refusal::no_key);
    match method {
        "GET" => hash().map(|hash| Route::Keys(Keys::Get(hash))),
        "PATCH" => hash().map(|hash| Route::Keys(Keys::Update(hash))),
        "DELETE" => hash().map(|hash| Route::Keys(Keys::Delete(hash))),
        _ => Err(wrong_method("/keys/{hash}", "GET, PATCH and DELETE", method)),
    }
}

fn wrong_method(path: &str, right: &str, wrong: &str) -> Refusal {
    Refusal::new(ErrorCode::MethodNotAllowed, format!("{path} answers to {right}, not to {wrong}"))
}

/// SHA-256 in hex, in any case.
fn hash(text: &str) -> Option<KeyHash> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let bytes: Option<Vec<u8>> =
        (0..32).map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()).collect();
    KeyHash::from_bytes(&bytes?)
}

/// A query's parameters that have a value.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(text: &str) -> Self {
        let pairs = url::form_urlencoded::parse(text.as_bytes());
        let given = pairs.filter(|(_, value)| !value.is_empty());
        Self(given.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    fn generation(&self) -> Result<GenerationId, Refusal> {
        let id = self.get("id").ok_or_else(|| Refusal::invalid("id", "is required, e.g. `?id=gen-…`"))?;
        GenerationId::parse(id).ok_or_else(|| Refusal::no_generation(id))
    }

    fn page(&self) -> Result<Page, Refusal> {
        let offset = self.get("offset").map_or(Some(0), |text| text.parse().ok().filter(|from| *from >= 0));
        let include_disabled = match self.get("include_disabled") {
            None | Some("false" | "0") => false,
            Some("true" | "1") => true,
            Some(_) => return Err(Refusal::invalid("include_disabled", "is neither `true` nor `false`")),
        };
        Ok(Page {
            offset: offset.ok_or_else(|| Refusal::invalid("offset", "is not a whole number from 0 on"))?,
            include_disabled,
            workspace: self.get("workspace_id").map(str::to_owned),
        })
    }

    fn activity(&self) -> Result<Activity, Refusal> {
        if self.get("user_id").is_some() {
            return Err(Refusal::invalid("user_id", "cannot be filtered by: tenants have no members here"));
        }
        let date = self.get("date").map(|text| {
            text.parse().map_err(|_| Refusal::invalid("date", "is not a day, e.g. `2026-11-23`"))
        });
        let key = self.get("api_key_hash").map(|text| {
            hash(text).ok_or_else(|| Refusal::invalid("api_key_hash", "is not 64 hexadecimal digits"))
        });
        let by_workspace = match self.get("group_by") {
            None => false,
            Some("workspace") => true,
            Some(_) => return Err(Refusal::invalid("group_by", "is not `workspace`")),
        };
        Ok(Activity {
            date: date.transpose()?,
            key: key.transpose()?,
            workspace: self.get("workspace_id").map(str::to_owned),
            by_workspace,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, query: &str, expected: Result<Route, ErrorCode>) {
        let request = v1::ForwardRequest {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            ..Default::default()
        };
        let found = of(&request).map_err(|refusal| refusal.code);
        assert_eq!(found, expected, "{method} {path}?{query}");
    }

    #[test]
    fn paths_lead_to_answers_or_say_why_not() {
        let id = GenerationId::generate();
        for (method, path, query, expected) in [
            ("GET", "/key", "", Ok(Route::Key)),
            ("GET", "/auth/key", "", Ok(Route::Key)),
            ("GET", "/credits/", "", Ok(Route::Credits)),
            ("GET", "/generation", &*format!("x=1&id={id}"), Ok(Route::Generation(id))),
            ("GET", "/generation/content", &*format!("id={id}"), Ok(Route::Content(id))),
            ("GET", "/generation", "id=", Err(ErrorCode::InvalidRequest)),
            ("GET", "/generation", "id=nonsense", Err(ErrorCode::NotFound)),
            ("POST", "/key", "", Err(ErrorCode::MethodNotAllowed)),
            ("PUT", "/keys", "", Err(ErrorCode::MethodNotAllowed)),
            ("GET", "/keyring", "", Err(ErrorCode::NotSupported)),
        ] {
            check(method, path, query, expected);
        }
    }

    #[test]
    fn keys_are_named_by_their_hash() {
        let hash = KeyHash::of("k");
        let path = format!("/keys/{}", hash.to_hex());
        check("GET", &path, "", Ok(Route::Keys(Keys::Get(hash))));
        check("GET", &path.to_uppercase().replace("/KEYS", "/keys"), "", Ok(Route::Keys(Keys::Get(hash))));
        check("PATCH", &path, "", Ok(Route::Keys(Keys::Update(hash))));
        check("DELETE", &path, "", Ok(Route::Keys(Keys::Delete(hash))));
        check("POST", &path, "", Err(ErrorCode::MethodNotAllowed));
        for id in ["key_1", &"g".repeat(64), &"é".repeat(32), "../key"] {
            check("GET", &format!("/keys/{id}"), "", Err(ErrorCode::NotFound));
        }
        let page = |query, page| check("GET", "/keys", query, page);
        page("", Ok(Route::Keys(Keys::List(Page::default()))));
        let second = Page { offset: 100, include_disabled: true, workspace: Some("acme".into()) };
        page("offset=100&include_disabled=true&workspace_id=acme", Ok(Route::Keys(Keys::List(second))));
        for query in ["offset=-1", "offset=x", "offset=9999999999999999999", "include_disabled=maybe"] {
            page(query, Err(ErrorCode::InvalidRequest));
        }
    }

    #[test]
    fn activity_is_of_a_day_or_a_key() {
        let asked = |query, activity| check("GET", "/activity", query, activity);
        asked("", Ok(Route::Activity(Activity::default())));
        let hash = KeyHash::of("k");
        let one = Activity {
            date: NaiveDate::from_ymd_opt(2026, 11, 23),
            key: Some(hash),
            workspace: None,
            by_workspace: true,
        };
        let query = format!("date=2026-11-23&api_key_hash={}&group_by=workspace", hash.to_hex());
        asked(&query, Ok(Route::Activity(one)));
        for query in ["date=yesterday", "date=2026-02-30", "api_key_hash=k", "user_id=u", "group_by=model"] {
            asked(query, Err(ErrorCode::InvalidRequest));
        }
    }
}
