//! The corpus, and mutations of it: the same ones each time.

use std::{fs, path::Path};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::StdRng};

/// Mutations of each input.
const MUTATIONS: usize = 2000;
/// Changes in one mutation, at most.
const CHANGES: usize = 8;
/// Bytes that mean something to one of the formats.
const WORDS: [&[u8]; 12] =
    [b".", b"{", b"}", b"[", b"\"", b":", b"\n", b"\t", b"null", b"- ", b"\xff", b"999999999999999999999"];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 3, "{} needs inputs", directory.display());
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn mutated(rng: &mut StdRng, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..rng.random_range(1..=CHANGES) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, WORDS[rng.random_range(0..WORDS.len())].iter().copied())),
            3 => drop(bytes.splice(at..at, other[..rng.random_range(0..=other.len())].iter().copied())),
            _ => {
                let end = rng.random_range(at..=bytes.len());
                bytes.drain(at..end);
            }
        }
    }
    bytes
}

fn survives(target: &str, run: impl Fn(&[u8])) {
    let inputs = corpus(target);
    let mut rng = StdRng::seed_from_u64(1);
    for input in &inputs {
        run(input);
        for _ in 0..MUTATIONS {
            let other = &inputs[rng.random_range(0..inputs.len())];
            run(&mutated(&mut rng, input, other));
        }
    }
    let mut noise = vec![0; 4096];
    rng.fill_bytes(&mut noise);
    run(&noise);
}

#[test]
fn a_token_may_be_anything() {
    survives("jwt", super::jwt);
}

#[test]
fn a_key_set_may_be_anything() {
    survives("jwks", super::jwks);
}

#[test]
fn a_kubeconfig_may_be_anything() {
    survives("kubeconfig", super::kubeconfig);
}

#[test]
fn a_review_in_protobuf_may_be_anything() {
    survives("protobuf", super::protobuf);
}

#[test]
fn annotations_may_be_anything() {
    survives("annotations", super::annotations);
}

#[test]
fn an_answer_of_an_api_server_may_be_anything() {
    survives("scanner", super::scanner);
}
