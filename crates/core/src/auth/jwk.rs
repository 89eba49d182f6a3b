//! One public key of an issuer (RFC 7517), and the algorithms that it is for.

use aws_lc_rs::signature::{
    self as aws, ECDSA_P521_SHA512_FIXED, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde::Deserialize;

use super::SigningAlgorithm;
use crate::digest::sha256_hex;

const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;

/// A key that signatures can be checked with.
#[derive(Clone, Debug)]
pub struct VerificationKey {
    /// Its id, as the issuer publishes it.
    pub id: Option<String>,
    algorithms: Vec<SigningAlgorithm>,
    material: Material,
    /// Equal for equal keys, whatever their ids.
    pub thumbprint: String,
}

/// jsonwebtoken takes a key apart for every signature. For RSA that is a fifth of the work, so these keys are
/// kept ready, once for each of their algorithms. ES512 it does not have.
#[derive(Clone, Debug)]
enum Material {
    Shared(Box<DecodingKey>),
    Ready(Vec<(SigningAlgorithm, ParsedPublicKey)>),
}

#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: Option<String>,
    pub(super) kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl VerificationKey {
    /// Returns `true` if the key may be used for an algorithm.
    pub fn is_for(&self, algorithm: SigningAlgorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Returns `true` if the signature of the message was made with this key.
    pub(super) fn verifies(&self, algorithm: SigningAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Shared(key) => algorithm.of_jsonwebtoken().is_some_and(|algorithm| {
                let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
                jsonwebtoken::crypto::verify(&signature, message, key, algorithm).unwrap_or(false)
            }),
            Material::Ready(keys) => keys
                .iter()
                .find(|(known, _)| *known == algorithm)
                .is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok()),
        }
    }
}

/// The usable key of a JWK, or why it is skipped. `published` has the algorithms that its issuer says it uses.
pub(super) fn usable(jwk: &Jwk, published: &[SigningAlgorithm]) -> Result<VerificationKey, &'static str> {
    let for_signatures = jwk.r#use.as_deref().is_none_or(|usage| usage == "sig");
    let verifies = jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !for_signatures || !verifies {
        return Err("it is not for signatures");
    }
    let kind = jwk.kty.as_deref().ok_or("it has no type (kty)")?;
    let (algorithms, material, bytes) = match (kind, jwk.crv.as_deref()) {
        ("RSA", _) => rsa(jwk, published)?,
        ("EC", Some("P-256")) => elliptic(jwk, 32, &[SigningAlgorithm::Es256])?,
        ("EC", Some("P-384")) => elliptic(jwk, 48, &[SigningAlgorithm::Es384])?,
        ("EC", Some("P-521")) => elliptic(jwk, 66, &[SigningAlgorithm::Es512])?,
        ("OKP", Some("Ed25519")) => edwards(jwk)?,
        ("oct", _) => return Err("it is symmetric: whoever can check a token could make one"),
        ("EC" | "OKP", _) => return Err("its curve is not supported"),
        _ => return Err("its type is not supported"),
    };
    Ok(VerificationKey { id: jwk.kid.clone(), algorithms, material, thumbprint: sha256_hex(&bytes) })
}

type Parts = (Vec<SigningAlgorithm>, Material, Vec<u8>);

/// A key that names its algorithm is for that one only, as long as it fits the type of the key; one that names
/// none is for those in `unnamed`.
fn named(
    name: Option<&str>,
    by_type: &[SigningAlgorithm],
    unnamed: Vec<SigningAlgorithm>,
) -> Result<Vec<SigningAlgorithm>, &'static str> {
    let Some(name) = name else { return Ok(unnamed) };
    let named = SigningAlgorithm::parse(name).filter(|named| by_type.contains(named));
    named.map(|named| vec![named]).ok_or("its algorithm does not fit its type")
}

const PKCS1: [SigningAlgorithm; 3] =
    [SigningAlgorithm::Rs256, SigningAlgorithm::Rs384, SigningAlgorithm::Rs512];
const PSS: [SigningAlgorithm; 3] =
    [SigningAlgorithm::Ps256, SigningAlgorithm::Ps384, SigningAlgorithm::Ps512];

/// PSS counts where the key or the issuer names it.
fn rsa(jwk: &Jwk, published: &[SigningAlgorithm]) -> Result<Parts, &'static str> {
    let (n, e) = (bytes(jwk.n.as_ref())?, bytes(jwk.e.as_ref())?);
    let (n, e) = (without_zeros(&n), without_zeros(&e));
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err(if bits < MIN_RSA_BITS {
            "its modulus has less than 2048 bits"
        } else {
            "its modulus has more than 8192 bits"
        });
    }
    let odd = e.last().is_some_and(|last| last % 2 == 1);
    if !odd || e == [1] || e.len() > 4 {
        return Err("its exponent is even, 1, or longer than four bytes");
    }
    let pss = PSS.into_iter().filter(|algorithm| published.contains(algorithm));
    let algorithms =
        named(jwk.alg.as_deref(), &[PKCS1, PSS].concat(), PKCS1.into_iter().chain(pss).collect())?;
    let ready = |&algorithm| {
        let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(rsa_parameters(algorithm)?).ok()?;
        Some((algorithm, key))
    };
    let keys: Option<Vec<_>> = algorithms.iter().map(ready).collect();
    Ok((algorithms, Material::Ready(keys.ok_or("its modulus or exponent is not usable")?), [n, e].concat()))
}

fn rsa_parameters(algorithm: SigningAlgorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        SigningAlgorithm::Rs256 => &aws::RSA_PKCS1_2048_8192_SHA256,
        SigningAlgorithm::Rs384 => &aws::RSA_PKCS1_2048_8192_SHA384,
        SigningAlgorithm::Rs512 => &aws::RSA_PKCS1_2048_8192_SHA512,
        SigningAlgorithm::Ps256 => &aws::RSA_PSS_2048_8192_SHA256,
        SigningAlgorithm::Ps384 => &aws::RSA_PSS_2048_8192_SHA384,
        SigningAlgorithm::Ps512 => &aws::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn elliptic(jwk: &Jwk, size: usize, by_type: &[SigningAlgorithm]) -> Result<Parts, &'static str> {
    let (x, y) = (bytes(jwk.x.as_ref())?, bytes(jwk.y.as_ref())?);
    if x.len() != size || y.len() != size {
        return Err("its coordinates have the wrong length");
    }
    let point = [&[4], x.as_slice(), y.as_slice()].concat();
    let parsed = match size {
        66 => ParsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, &point).map(Some),
        48 => on_curve(&aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED, &point),
        _ => on_curve(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED, &point),
    };
    let material = match parsed.map_err(|_| "its point is not on the curve")? {
        Some(key) => Material::Ready(vec![(SigningAlgorithm::Es512, key)]),
        None => Material::Shared(Box::new(DecodingKey::from_ec_der(&point))),
    };
    Ok((named(jwk.alg.as_deref(), by_type, by_type.to_vec())?, material, point))
}

fn on_curve(
    algorithm: &'static aws_lc_rs::signature::EcdsaVerificationAlgorithm,
    point: &[u8],
) -> Result<Option<ParsedPublicKey>, aws_lc_rs::error::KeyRejected> {
    ParsedPublicKey::new(algorithm, point).map(|_| None)
}

fn edwards(jwk: &Jwk) -> Result<Parts, &'static str> {
    let x = bytes(jwk.x.as_ref())?;
    if x.len() != 32 {
        return Err("its key has the wrong length");
    }
    let algorithms = named(jwk.alg.as_deref(), &[SigningAlgorithm::EdDsa], vec![SigningAlgorithm::EdDsa])?;
    Ok((algorithms, Material::Shared(Box::new(DecodingKey::from_ed_der(&x))), x))
}

fn bytes(member: Option<&String>) -> Result<Vec<u8>, &'static str> {
    let text = member.ok_or("one of n, e, x and y is missing")?;
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| "one of n, e, x and y is not base64url without padding")
}

fn without_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count()..]
}
