//! The lab bills as a real provider would, whatever it tells.

use http_body_util::BodyExt;

use crate::fault_lab::tests::client::{Client, call};
use crate::fault_lab::tests::dialects::forms;
use crate::fault_lab::tests::{PATIENCE, lab};
use crate::fault_lab::{Billed, COMPLETION_NANO_USD, FaultLab, PROMPT_NANO_USD};

fn only(lab: &FaultLab) -> Option<Billed> {
    let billed = lab.billed();
    assert!(billed.len() < 2, "{billed:?}");
    billed.into_iter().next()
}

/// What one call came to: prompt and completion tokens, `None` if it was not billed.
async fn check(behaviour: &str, expected: impl Fn(bool) -> Option<u64>) {
    for form in forms() {
        let lab = lab().await;
        drop(call(lab.addr, form.request(behaviour)).await);
        lab.wait_for_finished(1, PATIENCE).await.expect("the lab does its part");
        let billed = only(&lab);
        let case = format!("{behaviour} {form:?}: {billed:?}");
        assert_eq!(billed.as_ref().map(|row| row.completion_tokens), expected(form.stream), "{case}");
        let Some(row) = billed else { continue };
        assert_eq!((row.dialect, row.model.as_str(), row.calls), (form.dialect, behaviour, 1), "{case}");
        let cost = row.prompt_tokens * PROMPT_NANO_USD + row.completion_tokens * COMPLETION_NANO_USD;
        assert!(row.prompt_tokens > 0 && row.cost_nano_usd == cost, "{case}");
    }
}

#[tokio::test]
async fn what_was_produced_is_billed_whatever_is_told() {
    for told in ["lorem-40", "lorem-40+no-usage", "lorem-40+wrong-usage", "lorem-40+shrinking-usage"] {
        check(told, |_| Some(40)).await;
    }
    check("fixed-4", |_| Some(5)).await;
}

#[tokio::test]
async fn a_broken_stream_is_billed_up_to_its_break_and_a_whole_answer_in_full() {
    for broken in
        ["lorem-40+cut-10", "lorem-40+reset-mid-10", "lorem-40+error-mid-10", "lorem-40+end-early-10"]
    {
        check(broken, |stream| Some(if stream { 10 } else { 40 })).await;
    }
}

#[tokio::test]
async fn an_empty_answer_costs_its_prompt_and_what_is_no_answer_costs_nothing() {
    check("empty", |_| Some(0)).await;
    for free in
        ["status-429", "status-500", "html-200", "redirect", "error-in-200", "error-first", "reset", "close"]
    {
        check(free, |_| None).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_pays_for_what_was_produced_until_then() {
    for form in forms() {
        let lab = lab().await;
        let mut client = Client::connect(lab.addr).await;
        let mut answer = client.head(form.request("lorem-40+stall-10")).await.expect("a head comes");
        answer.frame().await.expect("something comes").expect("and is in order");
        // The lab is at its stall once the rest of what came before it has been read.
        let produced = if form.stream { 10 } else { 40 };
        if form.stream {
            let mut seen = 1;
            while seen < 10 {
                answer.frame().await.expect("more comes").expect("and is in order");
                seen += 1;
            }
        }
        drop((client, answer));
        lab.wait_for_cancelled(1, PATIENCE).await.expect("the lab sees the client leave");
        let billed = only(&lab).map(|row| row.completion_tokens);
        assert!(billed.is_some_and(|tokens| (1..=produced).contains(&tokens)), "{form:?}: {billed:?}");
    }
    let lab = lab().await;
    let mut client = Client::connect(lab.addr).await;
    let asked = forms()[0].request("hang");
    tokio::select! {
        answered = client.head(asked) => panic!("hang answered: {answered:?}"),
        read = lab.wait_for_requests(1, PATIENCE) => read.expect("the lab reads the request"),
    }
    drop(client);
    lab.wait_for_cancelled(1, PATIENCE).await.expect("the lab sees the client leave");
    assert_eq!(only(&lab), None, "silence costs nothing");
}
