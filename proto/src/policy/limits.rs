//! What a condition may ask for. Bounds are on the expression, so that no evaluation needs a clock or a fuse.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

/// Longest source in bytes.
pub(super) const SOURCE_BYTES: usize = 4096;
/// Most operators and brackets. The parser is recursive in them, so they are counted before it runs.
pub(super) const OPERATORS: usize = 256;
/// Deepest nesting of parentheses and calls.
pub(super) const NESTING: u16 = 16;
/// Deepest expression: a chain of `+` or of dots nests as well.
pub(super) const DEPTH: usize = 64;
/// Stack for the parser, which takes some 200 KiB per level without optimisation: more than a thread of a runtime has.
pub(super) const STACK_BYTES: usize = 16 * 1024 * 1024;
/// Most steps of one evaluation; a step is some 100 ns.
pub(super) const STEPS: u64 = 4096;
/// Longest regular expression, compiled, in bytes.
pub(super) const PATTERN_BYTES: usize = 64 * 1024;

/// How many elements a list of facts is taken to have.
const FACTS: u64 = 32;

/// How many operators and brackets a source has outside of its strings; commas and `&&`, `||` do not nest.
pub(super) fn operators(source: &str) -> usize {
    let (mut count, mut quote, mut escaped) = (0, None, false);
    for character in source.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(open) => {
                escaped = character == '\\';
                quote = Some(open).filter(|open| *open != character);
            }
            None if matches!(character, '"' | '\'') => quote = Some(character),
            None => count += usize::from(".+-*/%<>=!?([{".contains(character)),
        }
    }
    count
}

/// How deep an expression is.
pub(super) fn depth(expression: &IdedExpr) -> usize {
    let deepest = |parts: &mut dyn Iterator<Item = &IdedExpr>| parts.map(depth).max().unwrap_or(0);
    1 + match &expression.expr {
        Expr::Call(call) => deepest(&mut call.target.as_deref().into_iter().chain(&call.args)),
        Expr::Comprehension(it) => {
            let parts = [&it.iter_range, &it.accu_init, &it.loop_cond, &it.loop_step, &it.result];
            deepest(&mut parts.into_iter())
        }
        Expr::List(list) => deepest(&mut list.elements.iter()),
        Expr::Map(map) => map
            .entries
            .iter()
            .map(|entry| parts(&entry.expr))
            .map(|two| deepest(&mut two.into_iter()))
            .max()
            .unwrap_or(0),
        Expr::Select(select) => depth(&select.operand),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) => 0,
    }
}

/// The most steps that an evaluation can take.
pub(super) fn steps(expression: &IdedExpr) -> u64 {
    match &expression.expr {
        Expr::Call(call) => {
            let target = call.target.as_deref().map_or(0, steps);
            1 + target + call.args.iter().map(steps).sum::<u64>()
        }
        Expr::Comprehension(comprehension) => {
            let turn = steps(&comprehension.loop_cond) + steps(&comprehension.loop_step);
            let around = steps(&comprehension.iter_range) + steps(&comprehension.accu_init);
            let turns = elements(&comprehension.iter_range).saturating_mul(turn);
            turns.saturating_add(around + steps(&comprehension.result))
        }
        Expr::List(list) => 1 + list.elements.iter().map(steps).sum::<u64>(),
        Expr::Map(map) => 1 + map.entries.iter().flat_map(|entry| parts(&entry.expr)).map(steps).sum::<u64>(),
        Expr::Select(select) => 1 + steps(&select.operand),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) => 1,
    }
}

fn parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        EntryExpr::StructField(field) => vec![&field.value],
    }
}

fn elements(range: &IdedExpr) -> u64 {
    match &range.expr {
        Expr::List(list) => list.elements.len() as u64,
        Expr::Map(map) => map.entries.len() as u64,
        Expr::Comprehension(inner) => elements(&inner.iter_range),
        _ => FACTS,
    }
}
