//! What must be known of a request to judge its answers, read once per request.
//!
//! Schemas are compiled when an answer is first held against them: most answers of most requests never are.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use serde_json::value::RawValue;

use crate::judge::reason::{Reason, Reasons};
use crate::judge::schema::{Schema, SchemaError};
use crate::model::message::{Tool, ToolChoice};
use crate::model::request::{ChatRequest, Invalid, ResponseFormat};

/// One request, as far as its answers are judged by it.
#[derive(Debug, Default)]
pub struct Asked {
    pub(super) form: Form,
    pub(super) policy: Option<Arc<Schema>>,
    /// By name.
    pub(super) tools: HashMap<String, Declared>,
    pub(super) choice: Option<ToolChoice>,
}

/// How the text must look.
#[derive(Debug, Default)]
pub(super) enum Form {
    #[default]
    Any,
    Json,
    Schema(LazySchema),
}

/// A tool that may be called.
#[derive(Debug)]
pub(super) enum Declared {
    /// At this place of the request's tools; any object will do where no schema is given.
    Function { place: usize, parameters: Option<LazySchema> },
    /// Takes free text, or is run by the provider.
    Other,
}

impl Asked {
    /// Reads a request; `policy_schema` is what its policy demands of every text beside the request's own schema.
    ///
    /// # Errors
    /// [`Invalid`] where the request's tools cannot be read.
    pub fn of(request: &ChatRequest, policy_schema: Option<&Arc<Schema>>) -> Result<Self, Invalid> {
        let facts = &request.facts;
        // Reading the tools is a second pass over the body, which requests without any are spared.
        let tools = match facts.tools + facts.server_tools {
            0 => HashMap::new(),
            _ => declared(request.tools.get()?),
        };
        Ok(Self {
            form: Form::of(request.response_format.as_ref()),
            policy: policy_schema.cloned(),
            tools,
            choice: request.tool_choice.clone(),
        })
    }

    /// Compiles the request's schemas that these reasons need, so that a demand is not passed over in silence later.
    ///
    /// # Errors
    /// [`Invalid`] naming the schema that cannot be used.
    pub fn prove(&self, wanted: Reasons) -> Result<(), Invalid> {
        if let Form::Schema(schema) = &self.form
            && wanted.contains(Reason::Schema)
        {
            schema.get().map_err(|error| unusable("response_format.json_schema.schema".to_owned(), error))?;
        }
        let mut tools = self.tools.values().filter(|_| wanted.contains(Reason::InvalidToolCall));
        tools.try_for_each(|tool| match tool {
            Declared::Function { place, parameters: Some(schema) } => schema
                .get()
                .map(|_| ())
                .map_err(|error| unusable(format!("tools[{place}].function.parameters"), error)),
            Declared::Function { .. } | Declared::Other => Ok(()),
        })
    }

    /// The request's own schema for its text, if there is one that can be used.
    pub(super) fn own_schema(&self) -> Option<&Schema> {
        match &self.form {
            Form::Schema(schema) => schema.get().ok(),
            Form::Any | Form::Json => None,
        }
    }
}

fn unusable(field: String, error: &SchemaError) -> Invalid {
    Invalid { message: format!("{field} cannot be used to judge answers: {error}"), field }
}

impl Form {
    fn of(format: Option<&ResponseFormat>) -> Self {
        match format {
            Some(ResponseFormat::JsonSchema { schema: Some(schema), .. }) => {
                Self::Schema(LazySchema::of(schema))
            }
            Some(ResponseFormat::JsonObject | ResponseFormat::JsonSchema { .. }) => Self::Json,
            Some(ResponseFormat::Text | ResponseFormat::Other { .. }) | None => Self::Any,
        }
    }
}

fn declared(tools: &[Tool]) -> HashMap<String, Declared> {
    let mut declared = HashMap::with_capacity(tools.len());
    for (place, tool) in tools.iter().enumerate() {
        match tool {
            Tool::Function { name, parameters, .. } => {
                let parameters = parameters.as_deref().filter(|raw| raw.get() != "null").map(LazySchema::of);
                declared.insert(name.clone(), Declared::Function { place, parameters });
            }
            Tool::Other { kind, raw } => {
                declared.insert(called(kind, raw), Declared::Other);
            }
        }
    }
    declared
}

/// What a tool of another kind is called by: its own name, with or without a wrapping, else its kind.
fn called(kind: &str, raw: &RawValue) -> String {
    let tool: Value = serde_json::from_str(raw.get()).unwrap_or_default();
    let own = [&tool["name"], &tool[kind]["name"]].into_iter().find_map(Value::as_str);
    own.unwrap_or(kind).to_owned()
}

/// A schema of the request that is compiled when it is first needed.
#[derive(Debug)]
pub(super) struct LazySchema {
    text: Box<RawValue>,
    compiled: OnceLock<Result<Schema, SchemaError>>,
}

impl LazySchema {
    fn of(text: &RawValue) -> Self {
        Self { text: text.to_owned(), compiled: OnceLock::new() }
    }

    /// The compiled schema, or why there is none.
    pub(super) fn get(&self) -> Result<&Schema, &SchemaError> {
        self.compiled.get_or_init(|| Schema::compile(self.text.get())).as_ref()
    }
}
