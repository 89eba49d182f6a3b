//! Empty: the tests are the targets beside it, and Cargo wants a library or a binary in every package.
