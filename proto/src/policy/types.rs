//! Types of expressions, and what the functions of the language take and return.

use std::fmt;

/// The type of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    Bool,
    Int,
    Uint,
    Double,
    String,
    Timestamp,
    Duration,
    /// Name and arguments of a tool call.
    ToolCall,
    List(Box<Type>),
    /// From strings.
    Map(Box<Type>),
    /// Known only when the condition runs: an element of an empty or mixed list, `null`.
    Any,
}

impl Type {
    pub fn list(of: Self) -> Self {
        Self::List(Box::new(of))
    }

    pub fn map(of: Self) -> Self {
        Self::Map(Box::new(of))
    }

    pub fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether a value of this type can be equal to one of the other.
    pub fn may_equal(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) | (_, Self::Any) => true,
            (Self::List(one), Self::List(two)) | (Self::Map(one), Self::Map(two)) => one.may_equal(two),
            (one, two) => one == two || (one.is_number() && two.is_number()),
        }
    }

    /// Whether a value of this type can be smaller than one of the other.
    pub fn is_ordered_with(&self, other: &Self) -> bool {
        let ordered = |of: &Self| {
            of.is_number()
                || matches!(of, Self::Bool | Self::String | Self::Timestamp | Self::Duration | Self::Any)
        };
        ordered(self) && ordered(other) && self.may_equal(other)
    }

    /// The one type of both, as the arms of `?:` and the elements of a list have it.
    pub fn joined(self, other: &Self) -> Self {
        if self == *other { self } else { Self::Any }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::ToolCall => f.write_str("tool call"),
            Self::List(of) => write!(f, "list of {of}"),
            Self::Map(of) => write!(f, "map to {of}"),
            Self::Any => f.write_str("any"),
        }
    }
}

/// What an arithmetic operator makes of two types; none where it takes no such pair.
///
/// `+` joins neither strings nor lists: a condition has no use for it, and it is how small expressions grow large.
pub fn arithmetic(operator: &str, left: &Type, right: &Type) -> Option<Type> {
    use Type::{Any, Double, Duration, Int, Timestamp, Uint};
    match (left, operator, right) {
        (Any, _, Any) => Some(Any),
        (Any, _, of) | (of, _, Any) if of.is_number() => Some(of.clone()),
        (Int, _, Int) => Some(Int),
        (Uint, _, Uint) => Some(Uint),
        (Double, "+" | "-" | "*" | "/", Double) => Some(Double),
        (Timestamp, "+" | "-", Duration) | (Duration, "+", Timestamp) => Some(Timestamp),
        (Timestamp, "-", Timestamp) | (Duration, "+" | "-", Duration) => Some(Duration),
        _ => None,
    }
}

/// Parts of a timestamp; those of a duration are among them.
const PARTS: &[&str] = &[
    "getFullYear",
    "getMonth",
    "getDayOfYear",
    "getDayOfMonth",
    "getDate",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
];

/// Whether the language has a method of this name.
pub fn has_method(name: &str) -> bool {
    matches!(name, "size" | "contains" | "startsWith" | "endsWith" | "matches") || PARTS.contains(&name)
}

/// Whether the language has a function of this name.
pub fn has_function(name: &str) -> bool {
    matches!(name, "size" | "matches" | "int" | "double" | "string" | "timestamp" | "duration")
}

/// What a method returns; none where it does not take these types.
pub fn method(name: &str, of: &Type, arguments: &[Type]) -> Option<Type> {
    use Type::{Any, Bool, Duration, Int, List, Map, String, Timestamp};
    match (name, of, arguments) {
        ("contains" | "startsWith" | "endsWith" | "matches", String | Any, [String | Any]) => Some(Bool),
        ("size", String | List(_) | Map(_) | Any, []) => Some(Int),
        ("getHours" | "getMinutes" | "getSeconds" | "getMilliseconds", Duration, []) => Some(Int),
        (part, Timestamp | Any, [] | [String | Any]) if PARTS.contains(&part) => Some(Int),
        _ => None,
    }
}

/// What a function returns; none where it does not take these types.
pub fn function(name: &str, arguments: &[Type]) -> Option<Type> {
    use Type::{Any, Bool, Double, Duration, Int, List, Map, String, Timestamp, Uint};
    match (name, arguments) {
        ("size", [String | List(_) | Map(_) | Any]) => Some(Int),
        ("matches", [String | Any, String]) => Some(Bool),
        ("int", [Int | Uint | Double | String | Timestamp | Any]) => Some(Int),
        ("double", [Int | Uint | Double | String | Any]) => Some(Double),
        ("string", [Bool | Int | Uint | Double | String | Timestamp | Duration | Any]) => Some(String),
        ("timestamp", [Int | String | Timestamp | Any]) => Some(Timestamp),
        ("duration", [String | Duration | Any]) => Some(Duration),
        _ => None,
    }
}
