//! Process settings: embedded defaults, under a TOML file, under `SWITCHYARD_…` environment variables.
//!
//! The only place that reads the environment. Every setting has its default and its manual in `defaults.toml`;
//! what they mean together is checked in `check`, which variable sets which is in `variables`.
//! Config, which the control plane pushes, is something else.

mod check;
mod manual;
mod variables;

use std::{collections::BTreeMap, fmt, fs, io, path::PathBuf};

use figment::{Figment, providers::Serialized};
use serde::{Deserialize, de::DeserializeOwned};
use switchyard_data_plane::settings::{Cloud, Settings as DataPlane};
use switchyard_proto::secret::Secret;
use toml::{Table, Value};

pub use crate::settings::{manual::manual, variables::environment_names};
use crate::{settings::variables::VARIABLES, telemetry::Log};

/// The manual, and the lowest layer.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Names the settings file; `--settings` comes first.
const FILE_VARIABLE: &str = "SWITCHYARD_SETTINGS";

/// Why the settings cannot be used. The process ends with exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot read the settings file `{}`", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the settings file `{}` is not valid TOML: {message}", path.display())]
    Syntax { path: PathBuf, message: String },
    #[error("unknown setting `{setting}` in `{}`{hint}", path.display())]
    Unknown { setting: String, path: PathBuf, hint: String },
    #[error("setting `{setting}` ({variable}): {problem}{origin}")]
    Wrong { setting: String, variable: String, problem: String, origin: Origin },
}

/// Which layer a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    Environment,
    Flag(&'static str),
}

/// The end of an error message.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::File(path) => write!(f, "; set in `{}`", path.display()),
            Self::Environment => f.write_str("; set in the environment"),
            Self::Flag(flag) => write!(f, "; set by {flag}"),
        }
    }
}

/// Where settings come from, lowest first.
#[derive(Debug, Default)]
pub struct Sources {
    /// A command's own defaults, over the embedded ones.
    pub profile: Vec<(&'static str, Value)>,
    pub file: Option<PathBuf>,
    pub environment: BTreeMap<String, String>,
    /// What the command line says: setting, value, flag.
    pub flags: Vec<(&'static str, Value, &'static str)>,
}

/// All layers in one, each value with its origin.
#[derive(Debug)]
pub struct Settings {
    tree: Table,
    origins: BTreeMap<String, Origin>,
    cloud: Cloud,
    /// Variables that look like settings and are none.
    pub warnings: Vec<String>,
}

impl Sources {
    /// The process's environment, and the file it names unless one is given.
    pub fn of_process(file: Option<PathBuf>) -> Self {
        let environment = environment();
        let file = file.or_else(|| environment.get(FILE_VARIABLE).map(PathBuf::from));
        Self { file, environment, ..Self::default() }
    }

    /// Lays the sources over one another.
    ///
    /// # Errors
    /// For an unreadable file, an unknown setting in it, and a value of the wrong type.
    pub fn read(self) -> Result<Settings, SettingsError> {
        let tree = DEFAULTS.parse().expect("a test parses the embedded defaults");
        let mut settings = Settings {
            tree,
            origins: BTreeMap::new(),
            cloud: Cloud::of(&self.environment),
            warnings: Vec::new(),
        };
        for (setting, value) in self.profile {
            settings.put(setting, value, Origin::Default)?;
        }
        if let Some(path) = self.file {
            settings.put_file(path)?;
        }
        settings.put_environment(&self.environment)?;
        settings.warnings = variables::strangers(&self.environment);
        for (setting, value, flag) in self.flags {
            settings.put(setting, value, Origin::Flag(flag))?;
        }
        Ok(settings)
    }
}

impl Settings {
    /// How to log, trace and count.
    pub fn log(&self) -> Result<Log, SettingsError> {
        let log = self.section("log")?;
        check::log(self, &log)?;
        Ok(log)
    }

    /// The data plane's section.
    pub fn data_plane(&self) -> Result<DataPlane, SettingsError> {
        let mut section: DataPlane = self.section("data_plane")?;
        check::data_plane(self, &section)?;
        section.cloud = self.cloud.clone();
        Ok(section)
    }

    /// The control plane's section.
    pub fn control_plane(&self) -> Result<switchyard_control_plane::settings::Settings, SettingsError> {
        let section = self.section("control_plane")?;
        check::control_plane(self, &section)?;
        Ok(section)
    }

    /// The same for a process that only migrates: nothing but the database need be set.
    pub fn control_plane_to_migrate(
        &self,
    ) -> Result<switchyard_control_plane::settings::Settings, SettingsError> {
        self.database_url()?;
        self.section("control_plane")
    }

    /// PostgreSQL's address alone: for commands that work on the database and need no other setting.
    pub fn database_url(&self) -> Result<Secret, SettingsError> {
        let url = Secret::new(self.text("control_plane.database_url"));
        check::database_url(self, &url)?;
        Ok(url)
    }

    /// One text, whatever section it is in; empty if there is none.
    pub fn text(&self, setting: &str) -> &str {
        find(&self.tree, setting).and_then(Value::as_str).unwrap_or_default()
    }

    /// An error about one setting, which names variable and layer.
    fn wrong(&self, setting: &str, problem: impl Into<String>) -> SettingsError {
        SettingsError::Wrong {
            setting: setting.to_owned(),
            variable: variables::variable_of(setting).unwrap_or("no variable").to_owned(),
            problem: problem.into(),
            origin: self.origins.get(setting).cloned().unwrap_or(Origin::Default),
        }
    }

    fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, SettingsError> {
        let table = &self.tree[name];
        Figment::from(Serialized::defaults(table)).extract().map_err(|error| {
            let path = error.path.join(".");
            let setting = format!("{name}.{path}");
            let shown = find(&self.tree, &setting).filter(|_| !check::is_secret(&setting));
            let shown = shown.map(|value| format!("`{}`: ", plain(value))).unwrap_or_default();
            self.wrong(&setting, format!("{shown}{}", error.kind))
        })
    }

    fn put_file(&mut self, path: PathBuf) -> Result<(), SettingsError> {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(SettingsError::Unreadable { path, source }),
        };
        let table: Table = text.parse().map_err(|error: toml::de::Error| SettingsError::Syntax {
            path: path.clone(),
            message: at_line(&text, &error),
        })?;
        for (setting, value) in leaves(&table) {
            if find(&self.tree, &setting).is_none() {
                let hint = variables::near(&setting, known(&self.tree).iter().map(String::as_str));
                return Err(SettingsError::Unknown { setting, path, hint });
            }
            self.put(&setting, value, Origin::File(path.clone()))?;
        }
        Ok(())
    }

    fn put_environment(&mut self, environment: &BTreeMap<String, String>) -> Result<(), SettingsError> {
        for (name, settings) in VARIABLES {
            let Some(text) = environment.get(*name).filter(|text| !text.is_empty()) else { continue };
            for setting in *settings {
                self.origins.insert((*setting).to_owned(), Origin::Environment);
                let value = self.typed(setting, text)?;
                self.put(setting, value, Origin::Environment)?;
            }
        }
        Ok(())
    }

    /// A variable's text as the type that the setting's default has.
    fn typed(&self, setting: &str, text: &str) -> Result<Value, SettingsError> {
        let value = match find(&self.tree, setting) {
            Some(Value::Integer(_)) => text.trim().parse().ok().map(Value::Integer),
            Some(Value::Float(_)) => text.trim().parse().ok().map(Value::Float),
            Some(Value::Boolean(_)) => boolean(text.trim()).map(Value::Boolean),
            _ => Some(Value::String(text.to_owned())),
        };
        let wanted = find(&self.tree, setting).map_or("a text", wanted);
        value.ok_or_else(|| self.wrong(setting, format!("`{text}` is not {wanted}")))
    }

    fn put(&mut self, setting: &str, value: Value, origin: Origin) -> Result<(), SettingsError> {
        self.origins.insert(setting.to_owned(), origin);
        let before = find(&self.tree, setting).expect("callers name settings that exist");
        let value = match (before, value) {
            (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        if before.type_str() != value.type_str() {
            let problem = format!("`{}` is not {}", plain(&value), wanted(before));
            return Err(self.wrong(setting, problem));
        }
        *find_mut(&mut self.tree, setting).expect("found above") = value;
        Ok(())
    }
}

/// Every variable of the process that is text.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Json,
    Text,
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn wanted(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Table(_) => "a section",
        Value::String(_) | Value::Datetime(_) | Value::Array(_) => "a text in quotes",
    }
}

/// A value without the quotes that TOML puts around text.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn find<'a>(tree: &'a Table, setting: &str) -> Option<&'a Value> {
    let (first, rest) = split(setting);
    let value = tree.get(first)?;
    rest.map_or(Some(value), |rest| find(value.as_table()?, rest))
}

fn find_mut<'a>(tree: &'a mut Table, setting: &str) -> Option<&'a mut Value> {
    let (first, rest) = split(setting);
    let value = tree.get_mut(first)?;
    match rest {
        Some(rest) => find_mut(value.as_table_mut()?, rest),
        None => Some(value),
    }
}

fn split(setting: &str) -> (&str, Option<&str>) {
    setting.split_once('.').map_or((setting, None), |(first, rest)| (first, Some(rest)))
}

/// Every value with its dotted name.
fn leaves(tree: &Table) -> Vec<(String, Value)> {
    tree.iter()
        .flat_map(|(name, value)| match value {
            Value::Table(table) => {
                leaves(table).into_iter().map(|(inner, value)| (format!("{name}.{inner}"), value)).collect()
            }
            value => vec![(name.clone(), value.clone())],
        })
        .collect()
}

fn known(tree: &Table) -> Vec<String> {
    leaves(tree).into_iter().map(|(setting, _)| setting).collect()
}

/// The message in one line, without the excerpt that would show a secret.
fn at_line(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim().replace('\n', ", ");
    let Some(span) = error.span() else { return message };
    let line = text[..span.start.min(text.len())].matches('\n').count() + 1;
    format!("line {line}: {message}")
}

#[cfg(test)]
mod tests;
