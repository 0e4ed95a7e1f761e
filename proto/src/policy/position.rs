//! Where in a condition's source something is, as people count: lines and columns from 1, in characters.

use cel::common::ast::{Expr, IdedExpr, SourceInfo};

/// A place in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    pub line: u32,
    pub column: u32,
}

impl Position {
    /// Where an expression begins.
    pub fn of(info: &SourceInfo, expression: &IdedExpr) -> Self {
        let first = first(expression);
        let offset = info.offset_for(first.id).map_or(0, |(start, _)| start as usize);
        match &first.expr {
            // The parser puts a call where its bracket opens.
            Expr::Call(call) if is_named(&call.func_name) => {
                let before = info.source.get(..offset).unwrap_or_default().trim_end();
                Self::at(&info.source, before.len().saturating_sub(call.func_name.len()))
            }
            _ => Self::at(&info.source, offset),
        }
    }

    /// What has this many bytes before it.
    pub fn at(source: &str, offset: usize) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let (mut line, mut column) = (1, 1);
        for character in before.chars() {
            if character == '\n' {
                (line, column) = (line + 1, 1);
            } else {
                column += 1;
            }
        }
        Self { line, column }
    }
}

/// The leftmost part of an expression: an operator's own place is where the operator is written.
fn first(expression: &IdedExpr) -> &IdedExpr {
    match &expression.expr {
        Expr::Select(select) => first(&select.operand),
        Expr::Call(call) => match (&call.target, call.args.first()) {
            (Some(target), _) => first(target),
            (None, Some(argument)) if !is_named(&call.func_name) && !is_prefix(&call.func_name) => {
                first(argument)
            }
            (None, _) => expression,
        },
        _ => expression,
    }
}

/// Whether a call is written with its name in front, and not as an operator.
fn is_named(function: &str) -> bool {
    function.starts_with(|character: char| character.is_ascii_alphabetic())
}

/// Whether an operator stands before its only operand.
fn is_prefix(function: &str) -> bool {
    matches!(function, "!_" | "-_")
}
