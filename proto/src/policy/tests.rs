//! Which conditions compile, where the others are at fault, and what holds for which facts.

use chrono::{TimeZone, Utc};

use crate::policy::{AnswerFacts, Condition, RequestFacts, Scope, ToolCallFacts};

fn request() -> RequestFacts<'static> {
    RequestFacts {
        model: "openai/gpt-5",
        models: vec!["openai/gpt-5", "a/b"],
        priority: "high",
        prompt_tokens: 1200,
        max_tokens: 100,
        modalities: vec!["text", "image"],
        tools: 2,
        tool_choice: "auto",
        stream: true,
        user: "u-1",
        session: "s-1",
        reasoning: "low",
        json: false,
        headers: vec![("x-tier", "gold"), ("region", "eu")],
        tenant_id: "acme",
        key_id: "key_1",
        key_name: "ci",
        // A Saturday.
        now: Utc.with_ymd_and_hms(2026, 8, 1, 22, 30, 0).unwrap(),
        budget_left: 0.25,
    }
}

fn answer() -> AnswerFacts<'static> {
    AnswerFacts {
        text: "Sorry, I cannot help.",
        finish_reason: "stop",
        tool_calls: vec![ToolCallFacts { name: "search", arguments: "{\"q\":1}" }],
        completion_tokens: 7,
        model: "openai/gpt-5",
        provider: "openai",
    }
}

fn holds(source: &str) -> Result<bool, String> {
    let condition =
        Condition::compile(source, Scope::Request).map_err(|error| format!("{source}: {error}"))?;
    condition.holds(&request()).map_err(|error| error.to_string())
}

#[test]
fn conditions_hold_or_not_for_a_request() {
    let check = |source: &str, expected: bool| assert_eq!(holds(source), Ok(expected), "{source}");
    check("true", true);
    check("request.priority == 'high' && request.stream", true);
    check("request.prompt_tokens > 1000 || request.tools > 5", true);
    check("request.prompt_tokens + request.max_tokens >= 1300", true);
    check("request.prompt_tokens < 1e3", false);
    check("'image' in request.modalities", true);
    check("request.model.startsWith('openai/') && !request.json", true);
    check("request.models.exists(m, m == 'a/b')", true);
    check("request.models.all(m, m.contains('gpt'))", false);
    check("request.models.filter(m, m.endsWith('5')).size() == 1", true);
    check("request.models.map(m, size(m)).exists_one(n, n == 3)", true);
    check("headers.region == 'eu' && headers['x-tier'] in ['gold', 'silver']", true);
    check("has(headers.missing) ? headers.missing == 'x' : 'x-tier' in headers", true);
    check("tenant.id == 'acme' && key.id == 'key_1' && key.name == 'ci'", true);
    check("budget.left < 0.3", true);
    check("now.getHours() >= 22 || now.getHours() < 6", true);
    check("now.getDayOfWeek() in [0, 6]", true);
    check("now.getHours('Europe/Zurich') == 0", true);
    check(
        "now > timestamp('2026-01-01T00:00:00Z') && now - timestamp('2026-08-01T22:00:00Z') == duration('30m')",
        true,
    );
    check("request.user.matches('^u-[0-9]+$') && !matches(request.user, 'x')", true);
    check("request.session != '' && request.reasoning == 'low' && request.tool_choice == 'auto'", true);
    check("request.models[1] == 'a/b' // the second", true);
}

#[test]
fn conditions_hold_or_not_for_an_answer() {
    let check = |source: &str, expected: bool| {
        let condition = Condition::compile(source, Scope::Answer).unwrap();
        assert_eq!(condition.holds_for(&request(), &answer()), Ok(expected), "{source}");
    };
    check("answer.text.matches('(?i)^sorry')", true);
    check("answer.finish_reason == 'stop' && answer.completion_tokens > 5", true);
    check("answer.tool_calls.all(call, call.name == 'search' && call.arguments.startsWith('{'))", true);
    check("answer.tool_calls[0].name == 'other' || answer.provider == 'azure'", false);
    check("answer.model == request.model", true);
    check("size(answer.text) < 10", false);
}

#[test]
fn what_does_not_compile_is_refused_where_it_is_wrong() {
    let check = |source: &str, at: (u32, u32), says: &str| {
        let error = Condition::compile(source, Scope::Request).expect_err(source);
        assert_eq!((error.line, error.column), at, "{source}: {error}");
        assert!(error.message.contains(says), "{source}: {error}");
    };
    check("request.stream &&", (1, 18), "mismatched input");
    check("", (1, 1), "mismatched input");
    check(
        "request.stream\n && request.priorty == 'x'",
        (2, 5),
        "`request.priorty` is not a variable; there are",
    );
    check("'é' == request.user || foo", (1, 24), "`foo` is not a variable; there are request, tenant");
    check("answer.text == ''", (1, 1), "known only where an answer is checked");
    check("request.user", (1, 1), "this is string");
    check("request.prompt_tokens > '5'", (1, 1), "`>` does not take int, string");
    check("request.tools == 'two'", (1, 1), "`==` does not take int, string");
    check("request.stream && request.tools", (1, 1), "`&&` does not take bool, int");
    check("request.model.reverse() == ''", (1, 1), "no function `reverse`");
    check("true || exec('rm')", (1, 9), "no function `exec`");
    check("request.user + request.user == ''", (1, 1), "`+` does not take string, string");
    check("request.user.matches(request.model)", (1, 22), "written out");
    check("request.user.matches('(')", (1, 22), "not a regular expression: unclosed group");
    check("request.user.matches('(\\\\w{200}){200}')", (1, 22), "too big");
    check("headers['X-Tier'] == 'a'", (1, 9), "lower case");
    check("has(request.user)", (1, 5), "always there");
    check("request == tenant", (1, 1), "`request` is not a variable");
    check("request.models.exists(now, true)", (1, 1), "one variable");
    check("request.models.exists(m, m > 3)", (1, 26), "`>` does not take string, int");
    check("b'x' == b'x'", (1, 1), "bytes");
    check("request.tools in 5", (1, 1), "`in` does not take int, int");
    check("size(3) == 3", (1, 1), "`size` does not take int");
    check("now.getHours == 3", (1, 1), "`now.getHours` is not a variable");
}

#[test]
fn what_asks_for_too_much_is_refused() {
    let check = |source: String, says: &str| {
        let error = Condition::compile(&source, Scope::Request).expect_err(&source[..20]);
        assert!(error.message.contains(says), "{:.40}: {error}", source);
    };
    check(format!("request.user == '{}'", "x".repeat(5000)), "longer than 4096 bytes");
    check(format!("{}1 == 1", "1+".repeat(300)), "more than 256 operators");
    check(format!("{}1 == 1", "1+".repeat(100)), "nested more than 64 deep");
    check(format!("{}true{}", "(".repeat(40), ")".repeat(40)), "nested more than 16 deep");
    let nested = |inner: &str| format!("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16].all(x, {inner})");
    let thrice = nested("true").replace("true", &nested("true").replace('x', "y"));
    let thrice = thrice.replace("true", &nested("true").replace('x', "z"));
    check(thrice, "may take more than 4096 steps");
}

#[test]
fn what_the_facts_lack_is_an_error_and_not_an_answer() {
    let check = |source: &str, says: &str| {
        let error = holds(source).expect_err(source);
        assert!(error.contains(says), "{source}: {error}");
    };
    check("headers.missing == 'x'", "there is no `missing`");
    check("request.models[7] == 'x'", "out of bounds");
    check("1 / request.stream.size() == 1", "`size` does not take bool");
    check("request.tools / (request.tools - 2) == 1", "division by zero");
    check("duration(request.user) > duration('1s')", "`duration` failed");
    assert_eq!(
        holds("headers.missing == 'x' || request.stream"),
        Ok(true),
        "an error beside a truth does not matter"
    );
}

#[test]
fn a_condition_shows_its_source_and_nothing_else() {
    let condition = Condition::compile("request.stream", Scope::Request).unwrap();
    assert_eq!(format!("{condition:?}"), "Condition(\"request.stream\")");
    assert_eq!(condition.clone(), condition);
    assert!(condition.holds(&RequestFacts::default()).is_ok_and(|held| !held));
}
