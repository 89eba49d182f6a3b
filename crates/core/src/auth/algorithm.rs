//! The signature algorithms that clusters may use: asymmetric ones only.

use jsonwebtoken as jwt;

/// An algorithm of RFC 7518 or RFC 8037 that a key of a cluster may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SigningAlgorithm {
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// RSA PSS with SHA-384.
    Ps384,
    /// RSA PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
    /// ECDSA on P-521, which jsonwebtoken does not have.
    Es512,
    /// Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// The algorithm of an `alg` member. `none`, the symmetric ones and unknown ones are no algorithms here.
    ///
    /// # Examples
    ///
    /// ```
    /// use portolan_core::auth::SigningAlgorithm;
    ///
    /// assert_eq!(SigningAlgorithm::parse("ES256"), Some(SigningAlgorithm::Es256));
    /// assert_eq!(SigningAlgorithm::parse("none"), None);
    /// ```
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            // RFC 9864 gives it a name of its own.
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }

    /// Returns jsonwebtoken's name for the algorithm; `None` for ES512.
    pub(crate) const fn of_jsonwebtoken(self) -> Option<jwt::Algorithm> {
        Some(match self {
            Self::Rs256 => jwt::Algorithm::RS256,
            Self::Rs384 => jwt::Algorithm::RS384,
            Self::Rs512 => jwt::Algorithm::RS512,
            Self::Ps256 => jwt::Algorithm::PS256,
            Self::Ps384 => jwt::Algorithm::PS384,
            Self::Ps512 => jwt::Algorithm::PS512,
            Self::Es256 => jwt::Algorithm::ES256,
            Self::Es384 => jwt::Algorithm::ES384,
            Self::EdDsa => jwt::Algorithm::EdDSA,
            Self::Es512 => return None,
        })
    }
}
