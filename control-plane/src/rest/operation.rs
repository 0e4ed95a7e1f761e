//! The RPCs that have a REST path, read from the protos' `google.api.http` options.
//!
//! An RPC without the option is not exposed: that is how the fleet's services stay off this face.

use std::sync::LazyLock;

use http::{HeaderValue, Method};
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, MessageDescriptor, MethodDescriptor,
};
use switchyard_proto::code::ErrorCode;

use crate::rest::{fault::Fault, template::Template};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(switchyard_proto::DESCRIPTORS).expect("the build made the descriptors")
});

/// The descriptors of all protos.
pub(super) fn pool() -> &'static DescriptorPool {
    &POOL
}

/// One RPC with its REST method and path.
#[derive(Debug, Clone)]
pub struct Operation {
    rpc: MethodDescriptor,
    verb: Method,
    path: String,
    template: Template,
    body: bool,
    /// Which of the RPC's paths this is; 0: the first.
    binding: usize,
}

impl Operation {
    /// Service and method, e.g. `KeyService/CreateKey`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.rpc.parent_service().name(), self.rpc.name())
    }

    /// The HTTP method.
    pub fn verb(&self) -> &Method {
        &self.verb
    }

    /// The path template as the proto has it, e.g. `/admin/v1/models/{id=*/*}`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The descriptor of the RPC.
    pub fn rpc(&self) -> &MethodDescriptor {
        &self.rpc
    }

    /// The path of the gRPC call, e.g. `/switchyard.v1.KeyService/CreateKey`.
    pub fn grpc_path(&self) -> String {
        format!("/{}/{}", self.rpc.parent_service().full_name(), self.rpc.name())
    }

    /// Whether the request's fields come in the body; otherwise they are query parameters.
    pub fn takes_body(&self) -> bool {
        self.body
    }

    pub(super) fn creates(&self) -> bool {
        self.rpc.name().starts_with("Create")
    }

    pub(super) fn input(&self) -> MessageDescriptor {
        self.rpc.input()
    }

    pub(super) fn template(&self) -> &Template {
        &self.template
    }

    /// Unique among all operations: the name, with a number where it is another path of the same RPC.
    pub fn id(&self) -> String {
        let name = self.name().replace('/', "_");
        if self.binding == 0 { name } else { format!("{name}_{}", self.binding + 1) }
    }

    /// An RPC's paths: the rule's own, and those of its additional bindings.
    fn read_all(rpc: &MethodDescriptor, option: &ExtensionDescriptor) -> Vec<Self> {
        let options = rpc.options();
        if !options.has_extension(option) {
            return Vec::new();
        }
        let value = options.get_extension(option);
        let Some(rule) = value.as_message() else { return Vec::new() };
        let additional = rule.get_field_by_name("additional_bindings");
        let additional = additional.as_ref().and_then(|bindings| bindings.as_list()).unwrap_or_default();
        let rules = std::iter::once(rule).chain(additional.iter().filter_map(|binding| binding.as_message()));
        rules.enumerate().filter_map(|(binding, rule)| Self::read(rpc.clone(), rule, binding)).collect()
    }

    fn read(rpc: MethodDescriptor, rule: &DynamicMessage, binding: usize) -> Option<Self> {
        let (verb, path) = verb_and_path(rule)?;
        let template = Template::parse(&path)
            .unwrap_or_else(|| panic!("{} has a path that is not supported: {path}", rpc.full_name()));
        let body = match text(rule, "body").as_str() {
            "" => false,
            "*" => true,
            other => panic!("{} has a body that is not supported: {other}", rpc.full_name()),
        };
        Some(Self { rpc, verb, path, template, body, binding })
    }
}

fn verb_and_path(rule: &DynamicMessage) -> Option<(Method, String)> {
    let verbs = [
        ("get", Method::GET),
        ("put", Method::PUT),
        ("post", Method::POST),
        ("delete", Method::DELETE),
        ("patch", Method::PATCH),
    ];
    let mut set = verbs.into_iter().filter(|(field, _)| rule.has_field_by_name(field));
    set.next().map(|(field, verb)| (verb, text(rule, field)))
}

fn text(rule: &DynamicMessage, field: &str) -> String {
    let value = rule.get_field_by_name(field);
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// All operations, to be found by method and path.
pub(super) struct Table {
    operations: Vec<Operation>,
}

/// The operation that a request asks for, and its path's variables.
#[derive(Debug)]
pub(super) struct Found {
    pub operation: &'static Operation,
    pub variables: Vec<(String, String)>,
}

impl Table {
    /// Reads the options of every RPC.
    pub fn build() -> Self {
        let option = pool().get_extension_by_name("google.api.http").expect("annotations.proto defines it");
        let services = pool().services();
        let rpcs = services.flat_map(|service| service.methods().collect::<Vec<_>>());
        Self { operations: rpcs.flat_map(|rpc| Operation::read_all(&rpc, &option)).collect() }
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operation for a method and raw path.
    ///
    /// # Errors
    /// 404 where no operation has the path, 405 where others than this method do.
    pub fn find(&'static self, verb: &Method, path: &str) -> Result<Found, Fault> {
        let mut others = Vec::new();
        for operation in &self.operations {
            let Some(variables) = operation.template.matches(path) else { continue };
            if operation.verb == *verb {
                return Ok(Found { operation, variables });
            }
            others.push(operation.verb.as_str());
        }
        if others.is_empty() {
            return Err(Fault::nothing_here());
        }
        let allow = others.join(", ");
        let mut fault =
            Fault::new(ErrorCode::MethodNotAllowed, format!("this path does not take {verb}, only {allow}"));
        fault.allow = Some(HeaderValue::from_str(&allow).expect("methods are header text"));
        Err(fault)
    }
}
