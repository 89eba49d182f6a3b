// A program for pods of the cluster that `cargo xtask cluster` makes. It has no dependencies.
module guest

go 1.26
