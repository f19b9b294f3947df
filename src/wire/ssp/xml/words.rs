//! Closed lists of words that stay open on the wire.

/// Defines an enum of wire words with `from_word` and `as_word`; a word that is not listed is kept in `Other`.
///
/// Words are read in any case and written as listed.
macro_rules! words {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, PartialEq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A word that is not listed, as written.
            Other(String),
        }

        impl $name {
            /// Every listed word.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// Reads a word in any case.
            pub fn from_word(word: &str) -> Self {
                $(if word.eq_ignore_ascii_case($word) {
                    return Self::$variant;
                })*
                Self::Other(word.to_owned())
            }

            /// The word as it is written.
            pub fn as_word(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)*
                    Self::Other(word) => word,
                }
            }
        }
    };
}

pub(in crate::wire::ssp) use words;
