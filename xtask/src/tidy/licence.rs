//! SPDX licence expressions: does a list of allowed licences satisfy one?

/// Returns `true` if `expression` can be met with licences that `allowed` accepts. An expression that cannot be read
/// is not met.
///
/// `A/B`, which old manifests use, means `A OR B`. A licence `WITH` an exception is one entry of its own.
pub(super) fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut reader = Reader { words: spaced.split_whitespace().collect(), allowed };
    reader.words.reverse();
    let met = reader.any();
    met == Some(true) && reader.words.is_empty()
}

/// Words still to be read, the next one last.
struct Reader<'a> {
    words: Vec<&'a str>,
    allowed: &'a dyn Fn(&str) -> bool,
}

impl Reader<'_> {
    /// Alternatives; AND binds closer than OR. `None` when the text is not an expression.
    fn any(&mut self) -> Option<bool> {
        let mut met = self.all()?;
        while self.take("OR") {
            met |= self.all()?;
        }
        Some(met)
    }

    fn all(&mut self) -> Option<bool> {
        let mut met = self.one()?;
        while self.take("AND") {
            met &= self.one()?;
        }
        Some(met)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let met = self.any()?;
            return self.take(")").then_some(met);
        }
        let licence = self.words.pop().filter(|word| !["AND", "OR", "WITH", ")"].contains(word))?;
        if !self.take("WITH") {
            return Some((self.allowed)(licence));
        }
        let exception = self.words.pop()?;
        Some((self.allowed)(&format!("{licence} WITH {exception}")))
    }

    fn take(&mut self, word: &str) -> bool {
        self.words.pop_if(|next| *next == word).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let cases = [
            ("MIT", true),
            ("GPL-3.0", false),
            ("", false),
            ("MIT OR GPL-3.0", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0/MIT", true),
            ("GPL-3.0 / LGPL-3.0", false),
            ("MIT AND GPL-3.0", false),
            ("MIT AND ISC", true),
            ("(GPL-3.0 OR MIT) AND ISC", true),
            ("GPL-3.0 OR MIT AND ISC", true),
            ("MIT OR ISC AND GPL-3.0", true),
            ("(MIT OR ISC) AND GPL-3.0", false),
            ("ISC AND (GPL-3.0 OR (MIT AND ISC))", true),
            // An exception makes another licence of it, whether or not the plain one is allowed.
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT WITH LLVM-exception", false),
            ("GPL-3.0 OR Apache-2.0 WITH LLVM-exception", true),
            ("MIT ISC", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT)", false),
            ("AND MIT", false),
        ];
        let allowed = |licence: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&licence);
        for (expression, expected) in cases {
            assert_eq!(satisfied(expression, &allowed), expected, "{expression:?}");
        }
    }
}
