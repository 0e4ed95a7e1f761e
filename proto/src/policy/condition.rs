//! A compiled condition: parsed and checked once, evaluated against facts any number of times.

use std::sync::{Arc, LazyLock};
use std::{fmt, thread};

use cel::common::ast::IdedExpr;
use cel::common::types::CelBool;
use cel::extractors::This;
use cel::parser::{ParseError, Parser};
use cel::{Context, Env, ExecutionError, Value};

use crate::policy::check::{Patterns, check};
use crate::policy::facts::{AnswerFacts, Facts, RequestFacts};
use crate::policy::limits;
use crate::policy::names::Scope;
use crate::policy::position::Position;

/// Standard functions; which of them a condition may use is `types`' business.
static ENVIRONMENT: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::default().with_optional_support(false).with_stdlib()));

/// A condition that compiled. Cheap to clone.
#[derive(Clone)]
pub struct Condition(Arc<Compiled>);

struct Compiled {
    source: String,
    scope: Scope,
    expression: IdedExpr,
    patterns: Arc<Patterns>,
}

/// Why a condition is refused, and where. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct CompileError {
    pub line: u32,
    pub column: u32,
    pub message: String,
}

/// Why a condition has no answer for these facts: a header that is not there, a division by zero.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("condition cannot be evaluated: {0}")]
pub struct EvalError(String);

impl Condition {
    /// Parses and checks a condition.
    ///
    /// # Errors
    /// The first fault: of syntax, an unknown name, types that do not fit, a result that is no bool, or more than a
    /// condition may ask for.
    pub fn compile(source: &str, scope: Scope) -> Result<Self, CompileError> {
        if source.len() > limits::SOURCE_BYTES {
            return Err(CompileError::whole(format!("longer than {} bytes", limits::SOURCE_BYTES)));
        }
        if limits::operators(source) > limits::OPERATORS {
            return Err(CompileError::whole(format!("more than {} operators", limits::OPERATORS)));
        }
        on_deep_stack(|| compile(source, scope)).map(|compiled| Self(Arc::new(compiled)))
    }

    /// Whether it holds for a request. Takes well under a microsecond for a comparison or two.
    ///
    /// # Errors
    /// It needs what these facts do not have. A caller takes that as "does not hold".
    pub fn holds(&self, request: &RequestFacts<'_>) -> Result<bool, EvalError> {
        self.evaluate(&Facts { request, answer: None })
    }

    /// Whether it holds for the answer to a request.
    ///
    /// # Errors
    /// As [`Condition::holds`].
    pub fn holds_for(&self, request: &RequestFacts<'_>, answer: &AnswerFacts<'_>) -> Result<bool, EvalError> {
        self.evaluate(&Facts { request, answer: Some(answer) })
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// What it is about.
    pub fn scope(&self) -> Scope {
        self.0.scope
    }

    fn evaluate(&self, facts: &Facts<'_>) -> Result<bool, EvalError> {
        let mut context = Context::with_env(ENVIRONMENT.clone());
        context.set_variable_resolver(facts);
        if !self.0.patterns.is_empty() {
            add_matches(&mut context, self.0.patterns.clone());
        }
        let value = Value::resolve_val(&self.0.expression, &context).map_err(|error| fault(&error))?;
        let held = value.downcast_ref::<CelBool>().map(|held| *held.inner());
        held.ok_or_else(|| EvalError("the result is neither true nor false".to_owned()))
    }
}

/// Runs on a thread with room for the parser's recursion. A parser that panics refuses what it was given.
fn on_deep_stack(
    compile: impl FnOnce() -> Result<Compiled, CompileError> + Send,
) -> Result<Compiled, CompileError> {
    let builder = thread::Builder::new().stack_size(limits::STACK_BYTES);
    thread::scope(|scope| {
        let parser = builder.spawn_scoped(scope, compile);
        let joined = parser.map_err(|_| CompileError::whole("there is no thread to compile it on"))?.join();
        joined.unwrap_or_else(|_| Err(CompileError::whole("cannot be parsed")))
    })
}

fn compile(source: &str, scope: Scope) -> Result<Compiled, CompileError> {
    let parser = Parser::new().max_recursion_depth(limits::NESTING);
    let (expression, info) =
        parser.parse_with_source_info(source).map_err(|faults| syntax(faults.errors.first()))?;
    if limits::depth(&expression) > limits::DEPTH {
        return Err(CompileError::whole(format!("nested more than {} deep", limits::DEPTH)));
    }
    let patterns = Arc::new(check(scope, &info, &expression)?);
    if limits::steps(&expression) > limits::STEPS {
        return Err(CompileError::whole(format!("may take more than {} steps", limits::STEPS)));
    }
    Ok(Compiled { source: source.to_owned(), scope, expression, patterns })
}

/// `matches` over patterns that were compiled with the condition.
fn add_matches(context: &mut Context<'_, '_>, patterns: Arc<Patterns>) {
    let matches = move |This(text): This<Arc<String>>, pattern: Arc<String>| {
        patterns.get(pattern.as_str()).is_some_and(|pattern| pattern.is_match(&text))
    };
    // The standard library of this build has no `matches`, so that nothing is in the way of ours.
    drop(context.add_function("matches", matches));
}

/// The kind of a failure alone: values of a request do not belong in logs.
fn fault(error: &ExecutionError) -> EvalError {
    EvalError(match error {
        ExecutionError::NoSuchKey(key) => format!("there is no `{key}`"),
        ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "division by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "a number is too large".to_owned(),
        ExecutionError::NoSuchOverload(overload) => {
            format!("`{}` does not take {}", overload.function(), overload.argument_types().join(", "))
        }
        ExecutionError::FunctionError { function, .. } => format!("`{function}` failed"),
        _ => "a value does not fit".to_owned(),
    })
}

fn syntax(fault: Option<&ParseError>) -> CompileError {
    let Some(fault) = fault else { return CompileError::whole("cannot be parsed") };
    let count = |number: isize| u32::try_from(number.max(1)).unwrap_or(1);
    let at = Position { line: count(fault.pos.0), column: count(fault.pos.1) };
    let message = fault.msg.trim_start_matches("Syntax error: ");
    match message {
        deep if deep.contains("Recursion limit") => {
            CompileError::new(at, format!("nested more than {} deep", limits::NESTING))
        }
        message => CompileError::new(at, message.lines().next().unwrap_or_default()),
    }
}

impl CompileError {
    pub(super) fn new(at: Position, message: impl Into<String>) -> Self {
        Self { line: at.line, column: at.column, message: message.into() }
    }

    fn whole(message: impl Into<String>) -> Self {
        Self::new(Position { line: 1, column: 1 }, message)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.0.source).finish()
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source && self.0.scope == other.0.scope
    }
}
