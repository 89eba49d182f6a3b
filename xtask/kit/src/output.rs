//! Everything this program prints goes through here.
//!
//! A closed pipe (`cargo xtask tidy | head`) is no reason to panic, so errors of the terminal are ignored.

use std::{
    fmt::Display,
    io::{Write as _, stderr, stdout},
};

/// A line of the result.
pub fn line(text: impl Display) {
    let _ = writeln!(stdout().lock(), "{text}");
}

/// A line about what went wrong.
pub fn problem(text: impl Display) {
    let _ = writeln!(stderr().lock(), "{text}");
}
