//! Keys and tokens for tests: right ones, and wrong ones of every kind. The unit tests of core read this file as well.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
    },
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A private key with the id that its JWK has.
pub struct SigningKey {
    /// The `kid` of its JWK.
    pub id: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ec(&'static str, EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    /// A new key: `RSA`, `P-256`, `P-384`, `P-521` or `Ed25519`.
    pub fn new(id: &str, kind: &'static str) -> Self {
        let ec = |algorithm: &'static EcdsaSigningAlgorithm| {
            Pair::Ec(kind, EcdsaKeyPair::generate(algorithm).expect("a key"))
        };
        let pair = match kind {
            "RSA" => Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")),
            "P-256" => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            "P-384" => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            "P-521" => ec(&ECDSA_P521_SHA512_FIXED_SIGNING),
            _ => Pair::Ed(Ed25519KeyPair::generate().expect("a key")),
        };
        Self { id: id.to_owned(), pair }
    }

    /// The public key as an issuer publishes it, without `alg`.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                // RSAPublicKey of PKCS#1 ends with the modulus and the exponent 65537 in five bytes.
                let der = pair.public_key().as_ref();
                let end = der.len() - 5;
                json!({"kty": "RSA", "n": encode(&der[end - 256..end]), "e": "AQAB"})
            }
            Pair::Ec(curve, pair) => {
                let (x, y) =
                    pair.public_key().as_ref()[1..].split_at((pair.public_key().as_ref().len() - 1) / 2);
                json!({"kty": "EC", "crv": curve, "x": encode(x), "y": encode(y)})
            }
            Pair::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref())})
            }
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A token with this header and these claims, signed as `algorithm` says.
    pub fn token(&self, algorithm: &str, claims: &Value) -> String {
        let header = json!({"alg": algorithm, "kid": self.id}).to_string();
        self.raw_token(algorithm, &header, &claims.to_string())
    }

    /// A token with exactly this text as header and claims.
    pub fn raw_token(&self, algorithm: &str, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = self.sign(algorithm, signed.as_bytes());
        format!("{signed}.{}", encode(&signature))
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let encoding: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &random, message, &mut signature).expect("a signature");
                signature
            }
            Pair::Ec(_, pair) => pair.sign(&random, message).expect("a signature").as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

/// The claims that kube-apiserver writes for a pod of `default/app`, valid from `now` for an hour.
pub fn claims(issuer: &str, audiences: &[&str], now: i64) -> Value {
    json!({
        "iss": issuer,
        "sub": "system:serviceaccount:default:app",
        "aud": audiences,
        "iat": now, "nbf": now, "exp": now + 3600,
        "jti": "a1b2",
        "kubernetes.io": {
            "namespace": "default",
            "serviceaccount": {"name": "app", "uid": "sa-uid"},
            "pod": {"name": "app-0", "uid": "pod-uid"},
            "node": {"name": "node-1", "uid": "node-uid"},
            "warnafter": now + 3000,
        },
    })
}

/// URL-safe base64 without padding.
pub fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
