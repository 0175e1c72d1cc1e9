//! Which communities a seed may make.
use std::fmt;
use std::str::FromStr;

use seedbank_types::Rule;

/// A kind of community.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// All sorts of servers, powers, rules and liars.
    #[default]
    Any,
    /// Two thirds for a quorum, and as many liars as that stands: one of 4 or 5, two of 7.
    TwoThirdsLiars,
    /// A majority for a quorum, and one liar: servers may part, and clients must hear of it.
    MajorityLiar,
    /// A majority for a quorum, and nobody lies.
    MajorityHonest,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Any, Self::TwoThirdsLiars, Self::MajorityLiar, Self::MajorityHonest];

    /// How many servers there may be, and the rule.
    pub(super) const fn shapes(self) -> &'static [(u8, Rule)] {
        match self {
            Self::Any => &[
                (3, Rule::Majority),
                (3, Rule::Majority),
                (5, Rule::Majority),
                (7, Rule::Majority),
                (4, Rule::TwoThirds),
                (4, Rule::TwoThirds),
                (5, Rule::TwoThirds),
                (7, Rule::TwoThirds),
            ],
            Self::TwoThirdsLiars => &[(4, Rule::TwoThirds), (5, Rule::TwoThirds), (7, Rule::TwoThirds)],
            Self::MajorityLiar | Self::MajorityHonest => {
                &[(3, Rule::Majority), (5, Rule::Majority), (7, Rule::Majority)]
            }
        }
    }
}

/// `two-thirds-liars` and so on.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::TwoThirdsLiars => "two-thirds-liars",
            Self::MajorityLiar => "majority-liar",
            Self::MajorityHonest => "majority-honest",
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(|kind| kind.to_string()).join(", ");
        let known = Self::ALL.into_iter().find(|kind| kind.to_string() == text);
        known.ok_or_else(|| format!("there is no kind {text:?} of communities; there are {names}"))
    }
}
