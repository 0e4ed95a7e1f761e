//! `switchyard completions`: what a shell needs to complete our commands.

use clap::{Args, Command};
use clap_complete::Shell;

/// Arguments.
#[derive(Debug, Args)]
pub struct Completions {
    /// For bash: `switchyard completions bash > /etc/bash_completion.d/switchyard`
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(self, mut command: Command) {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "switchyard", &mut script);
        print!("{}", String::from_utf8_lossy(&script));
    }
}
