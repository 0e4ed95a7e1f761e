//! The migrations are part of the program, so a changed one builds it anew.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
