//! Checks a parsed condition: every name is known, every operator and function gets types that it takes.
//!
//! What passes can still fail when it runs, on a missing header or a division by zero, but never on a misspelt name.

use std::collections::HashMap;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators,
};
use regex::{Regex, RegexBuilder};

use crate::policy::condition::CompileError;
use crate::policy::limits;
use crate::policy::names::{self, Scope};
use crate::policy::position::Position;
use crate::policy::types::{self, Type};

/// The compiled regular expressions of a condition, by their text.
pub(super) type Patterns = HashMap<String, Regex>;

/// Checks a whole condition and returns its regular expressions.
pub(super) fn check(
    scope: Scope,
    info: &SourceInfo,
    expression: &IdedExpr,
) -> Result<Patterns, CompileError> {
    let mut check = Check { scope, info, locals: Vec::new(), patterns: Patterns::new() };
    match check.type_of(expression)? {
        Type::Bool | Type::Any => Ok(check.patterns),
        other => Err(check.refuse(expression, format!("a condition is true or false, this is {other}"))),
    }
}

struct Check<'a> {
    scope: Scope,
    info: &'a SourceInfo,
    /// Loop variables, innermost last.
    locals: Vec<(&'a str, Type)>,
    patterns: Patterns,
}

impl<'a> Check<'a> {
    fn refuse(&self, at: &IdedExpr, message: impl Into<String>) -> CompileError {
        CompileError::new(Position::of(self.info, at), message)
    }

    fn type_of(&mut self, expression: &'a IdedExpr) -> Result<Type, CompileError> {
        match &expression.expr {
            Expr::Literal(literal) => self.literal(expression, literal),
            Expr::Ident(name) => self.variable(expression, name),
            Expr::Select(select) => match qualified(expression).filter(|_| !select.test) {
                Some(name) if self.is_fact(&name) => self.variable(expression, &name),
                _ => self.select(expression, &select.operand, &select.field, select.test),
            },
            Expr::Call(call) => self.call(expression, call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => self.elements(list.elements.iter()).map(Type::list),
            Expr::Map(map) => self.map(map.entries.iter().map(|entry| &entry.expr)),
            Expr::Struct(_) | Expr::Unspecified => {
                Err(self.refuse(expression, "messages are not known here"))
            }
        }
    }

    fn literal(&self, at: &IdedExpr, literal: &LiteralValue) -> Result<Type, CompileError> {
        match literal {
            LiteralValue::Boolean(_) => Ok(Type::Bool),
            LiteralValue::Int(_) => Ok(Type::Int),
            LiteralValue::UInt(_) => Ok(Type::Uint),
            LiteralValue::Double(_) => Ok(Type::Double),
            LiteralValue::String(_) => Ok(Type::String),
            LiteralValue::Null => Ok(Type::Any),
            LiteralValue::Bytes(_) => Err(self.refuse(at, "there is no use for bytes")),
        }
    }

    /// Whether a dotted name begins where facts do, and not at a loop variable.
    fn is_fact(&self, name: &str) -> bool {
        let root = name.split('.').next().unwrap_or(name);
        !self.locals.iter().any(|(local, _)| *local == root) && root != "headers"
    }

    fn variable(&self, at: &IdedExpr, name: &str) -> Result<Type, CompileError> {
        let local = self.locals.iter().rev().find(|(local, _)| *local == name);
        local
            .map(|(_, of)| of.clone())
            .or_else(|| self.scope.variable(name))
            .ok_or_else(|| self.refuse(at, self.scope.unknown(name)))
    }

    fn select(
        &mut self,
        at: &IdedExpr,
        of: &'a IdedExpr,
        field: &str,
        test: bool,
    ) -> Result<Type, CompileError> {
        if let Some(root) = qualified(of).filter(|name| test && names::is_space(name)) {
            let name = format!("{root}.{field}");
            self.variable(of, &name)?;
            return Err(self.refuse(of, format!("`{name}` is always there: compare it instead")));
        }
        let value = match self.type_of(of)? {
            Type::Map(value) => *value,
            Type::Any => Type::Any,
            Type::ToolCall => names::tool_call_field(field).ok_or_else(|| {
                self.refuse(at, format!("a tool call has no `{field}`; it has name, arguments"))
            })?,
            other => return Err(self.refuse(at, format!("{other} has no fields, so no `{field}`"))),
        };
        Ok(if test { Type::Bool } else { value })
    }

    fn elements(&mut self, elements: impl Iterator<Item = &'a IdedExpr>) -> Result<Type, CompileError> {
        let mut joined: Option<Type> = None;
        for element in elements {
            let of = self.type_of(element)?;
            joined = Some(joined.map_or(of.clone(), |before| before.joined(&of)));
        }
        Ok(joined.unwrap_or(Type::Any))
    }

    fn map(&mut self, entries: impl Iterator<Item = &'a EntryExpr>) -> Result<Type, CompileError> {
        let mut values = Vec::new();
        for entry in entries {
            let EntryExpr::MapEntry(entry) = entry else { continue };
            if !matches!(self.type_of(&entry.key)?, Type::String | Type::Any) {
                return Err(self.refuse(&entry.key, "keys are strings"));
            }
            values.push(&entry.value);
        }
        self.elements(values.into_iter()).map(Type::map)
    }

    /// What the macros `all`, `exists`, `exists_one`, `map` and `filter` were expanded to.
    fn comprehension(&mut self, loops: &'a ComprehensionExpr) -> Result<Type, CompileError> {
        let element = match self.type_of(&loops.iter_range)? {
            Type::List(of) => *of,
            Type::Map(_) => Type::String,
            Type::Any => Type::Any,
            other => return Err(self.refuse(&loops.iter_range, format!("{other} has no elements"))),
        };
        if names::is_taken(&loops.iter_var) || loops.iter_var2.is_some() {
            return Err(self.refuse(
                &loops.iter_range,
                format!("a loop has one variable, and not `{}`", loops.iter_var),
            ));
        }
        let result = self.type_of(&loops.accu_init)?;
        let depth = self.locals.len();
        self.locals.push((&loops.accu_var, result));
        self.locals.push((&loops.iter_var, element));
        self.type_of(&loops.loop_cond)?;
        let step = self.type_of(&loops.loop_step)?;
        // From here on the accumulator holds what the steps put into it.
        self.locals[depth].1 = step;
        let result = self.type_of(&loops.result);
        self.locals.truncate(depth);
        result
    }

    fn call(&mut self, at: &'a IdedExpr, call: &'a CallExpr) -> Result<Type, CompileError> {
        let name = call.func_name.as_str();
        let known = match &call.target {
            Some(_) => types::has_method(name),
            None => types::has_function(name) || !name.starts_with(|first: char| first.is_ascii_alphabetic()),
        };
        if !known {
            return Err(self.refuse(at, format!("there is no function `{name}` here")));
        }
        let target = call.target.as_deref().map(|target| self.type_of(target)).transpose()?;
        let arguments: Vec<Type> =
            call.args.iter().map(|argument| self.type_of(argument)).collect::<Result<_, _>>()?;
        if name == "matches" {
            self.pattern(call)?;
        }
        if let (operators::INDEX, [of, _]) = (name, &arguments[..]) {
            self.header_name(of, &call.args)?;
        }
        let result = match &target {
            Some(of) => types::method(name, of, &arguments),
            None => self.result(name, call, &arguments),
        };
        result.ok_or_else(|| self.refuse(at, mismatch(name, target.as_ref(), &arguments)))
    }

    /// What an operator or a function makes of its arguments.
    fn result(&self, name: &str, call: &CallExpr, arguments: &[Type]) -> Option<Type> {
        let is_bool = |of: &Type| matches!(of, Type::Bool | Type::Any);
        match (name, arguments) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [left, right]) => {
                (is_bool(left) && is_bool(right)).then_some(Type::Bool)
            }
            (operators::LOGICAL_NOT | operators::NOT_STRICTLY_FALSE, [of]) => {
                is_bool(of).then_some(Type::Bool)
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                is_bool(condition).then(|| yes.clone().joined(no))
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                left.may_equal(right).then_some(Type::Bool)
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [left, right],
            ) => left.is_ordered_with(right).then_some(Type::Bool),
            (operators::IN, [of, Type::List(element)]) => of.may_equal(element).then_some(Type::Bool),
            (operators::IN, [Type::String | Type::Any, Type::Map(_) | Type::Any]) => Some(Type::Bool),
            (operators::INDEX, [Type::List(of), Type::Int | Type::Uint | Type::Any]) => Some((**of).clone()),
            (operators::INDEX, [Type::Map(of), Type::String | Type::Any]) => Some((**of).clone()),
            (operators::INDEX, [Type::Any, _]) => Some(Type::Any),
            (operators::NEGATE, [of @ (Type::Int | Type::Double | Type::Duration | Type::Any)]) => {
                Some(of.clone())
            }
            // How `map` and `filter` add an element to what they make.
            (operators::ADD, [Type::List(_), Type::List(of)]) if self.is_accumulator(&call.args[0]) => {
                Some(Type::List(of.clone()))
            }
            (
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO,
                [left, right],
            ) => types::arithmetic(name.trim_matches('_'), left, right),
            (name, arguments) => types::function(name, arguments),
        }
    }

    fn is_accumulator(&self, expression: &IdedExpr) -> bool {
        matches!(&expression.expr, Expr::Ident(name) if name.starts_with('@'))
    }

    /// Compiles the pattern of a `matches`, which must be written out.
    fn pattern(&mut self, call: &CallExpr) -> Result<(), CompileError> {
        let Some(argument) = call.args.last() else { return Ok(()) };
        let Expr::Literal(LiteralValue::String(text)) = &argument.expr else {
            return Err(self.refuse(argument, "a pattern is written out as a string"));
        };
        let size = limits::PATTERN_BYTES;
        let pattern = RegexBuilder::new(text.inner()).size_limit(size).dfa_size_limit(size).build();
        let pattern = pattern.map_err(|error| self.refuse(argument, pattern_fault(&error)))?;
        self.patterns.insert(text.inner().to_owned(), pattern);
        Ok(())
    }

    /// Names of headers arrive in lower case; another case would never be found.
    fn header_name(&self, of: &Type, arguments: &[IdedExpr]) -> Result<(), CompileError> {
        let [map, name] = arguments else { return Ok(()) };
        let is_headers =
            matches!(&map.expr, Expr::Ident(map) if map == "headers") && matches!(of, Type::Map(_));
        match &name.expr {
            Expr::Literal(LiteralValue::String(name_text))
                if is_headers
                    && name_text.inner().contains(|character: char| character.is_ascii_uppercase()) =>
            {
                Err(self.refuse(name, "headers have names in lower case"))
            }
            _ => Ok(()),
        }
    }
}

/// The dotted name that an expression spells.
fn qualified(expression: &IdedExpr) -> Option<String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", qualified(&select.operand)?, select.field))
        }
        _ => None,
    }
}

fn mismatch(name: &str, target: Option<&Type>, arguments: &[Type]) -> String {
    let given = target.into_iter().chain(arguments).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match name.trim_start_matches('@').trim_matches('_') {
        "[_]" | "[_" => format!("this index does not fit: {given}"),
        operator => format!("`{operator}` does not take {given}"),
    }
}

fn pattern_fault(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "this pattern is too big".to_owned(),
        // The parser's message is a drawing of several lines; its last says what is wrong.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("not a regular expression: {last}")
        }
    }
}
