//! What is special about a peer's implementation, as a named set of switches.
//!
//! An agreement names a profile. The codec reads `repairs_documents` and `emits_odd_names`; the others are for the session
//! ladder and the gateway, and stand here so that one name means one whole peer. Reading is generous for every peer alike.
//! The form of MSISDN addresses is not here: the agreement has it. Source: SSP reference §14 and `ssp-extensions.md`.

/// One implementation's habits. Make one with `Profile::from_name`, or from `Profile::STRICT` with some switches changed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Profile {
    /// The name that configuration and logs use.
    pub name: &'static str,
    /// Delivery reports and invitation answers go out in Response mode with the ID of the request that they belong to,
    /// because the peer drops them in Request mode (SSP reference §12.3, §12.5).
    pub answers_in_response_mode: bool,
    /// The peer's `InviteResponse` names inviter and invitee in each other's place; ours are still read as written, so
    /// only what it sends is exchanged back, with `InviteResponse::with_roles_exchanged` (SSP reference §12.5).
    pub invite_roles_exchanged: bool,
    /// `procotolVersion`, `MessageURI`, `ContentName` and `validlity` are written beside the right names, and
    /// `ScreenNames` instead of `ScreenName` in detailed results (SSP reference §8, §9.1, §14 item 5).
    pub emits_odd_names: bool,
    /// The responder's `SendSecretToken` waits 500 ms after the acknowledgement and is repeated when it is refused
    /// (SSP reference §4.6).
    pub delays_handshake_answer: bool,
    /// The peer speaks plain HTTP on the port that it publishes: `https` is tried first, then `http` on the same port
    /// (SSP reference §2). Plain HTTP still needs the agreement's consent.
    pub falls_back_to_http: bool,
    /// A document that is not well-formed is repaired where the peer's own writer is known to be at fault
    /// (SSP reference §14 item 4).
    pub repairs_documents: bool,
    /// The peer answers delivery reports, invitation answers, presence notifications and group events with a `Status`, so one
    /// that it refuses or can't take now is noticed (SSP reference §11); else its acknowledgement is all there is.
    pub answers_notices: bool,
    /// A repeated message is recognised by its message ID, so it may be sent again when its outcome is unknown
    /// (SSP reference §14 item 22).
    pub deduplicates: bool,
    /// Several documents may be under way at once, with several transactions each; else one document at a time.
    pub batches: bool,
}

impl Profile {
    /// The default: the peer does what the reference says.
    pub const STRICT: Self = Self {
        name: "strict",
        answers_in_response_mode: false,
        invite_roles_exchanged: false,
        emits_odd_names: false,
        delays_handshake_answer: false,
        falls_back_to_http: false,
        repairs_documents: false,
        answers_notices: true,
        deduplicates: true,
        batches: true,
    };

    /// The deployed implementation that SSP reference §14 describes: every quirk on.
    pub const OBSERVED: Self = Self {
        name: "observed",
        answers_in_response_mode: true,
        invite_roles_exchanged: true,
        emits_odd_names: true,
        delays_handshake_answer: true,
        falls_back_to_http: true,
        repairs_documents: true,
        answers_notices: false,
        deduplicates: false,
        batches: false,
    };

    /// Every name that `from_name` knows.
    pub const NAMES: &'static [&'static str] = &[Self::STRICT.name, Self::OBSERVED.name];

    /// The profile of that name, `None` for an unknown one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::STRICT, Self::OBSERVED]
            .into_iter()
            .find(|profile| profile.name == name)
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::STRICT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_profile() {
        for name in Profile::NAMES {
            assert_eq!(Profile::from_name(name).map(|profile| profile.name), Some(*name));
        }
        assert_eq!(Profile::from_name("Strict"), None);
        assert_eq!(Profile::default(), Profile::STRICT);
    }
}
