//! From the URI of an ENUM record to the person and the domain that it names.

use crate::{
    model::{Domain, E164, WvAddress},
    wire::naptr::{AbsoluteUri, Mailbox},
};

/// The domain of a mailbox, and the address of its user; `None` where the user is the number that was looked up.
///
/// A user part that looks like a number is a user of that domain and is never looked up again.
pub(super) fn of_mailbox(mailbox: &Mailbox, number: &E164) -> Option<(Option<WvAddress>, Domain)> {
    let domain: Domain = mailbox.domain.without_dot().parse().ok()?;
    if mailbox.local.parse::<E164>().is_ok_and(|local| local == *number) {
        return Some((None, domain));
    }
    let address = format!("wv:{}@{domain}", escaped(&mailbox.local));
    Some((Some(address.parse().ok()?), domain))
}

/// The domain of a `sip:`, `xmpp:` or `mailto:` URI. The person stays the number: such an address is another protocol's.
pub(super) fn domain_of(uri: &AbsoluteUri) -> Option<Domain> {
    let rest = uri.as_str().split_once(':').map(|(_, rest)| rest)?;
    // What follows the address may hold an @ of its own: headers, and the resource of an XMPP address (RFC 5122 §2.2).
    let rest = rest.split('?').next()?;
    let rest = match uri.scheme() {
        "xmpp" => rest.split('/').next()?,
        _ => rest,
    };
    let (_, host) = rest.rsplit_once('@').unwrap_or(("", rest));
    let host = host.split([';', '/']).next()?;
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host.parse().ok()
}

/// A `wv:` user part: what would end it or be cut from it is percent-encoded (ENUM and SRV routing §11).
fn escaped(local: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const RESERVED: &AsciiSet = &CONTROLS
        .add(b' ')
        .add(b'%')
        .add(b'/')
        .add(b';')
        .add(b'@')
        .add(b'?')
        .add(b'#');
    utf8_percent_encode(local, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_address_cannot_lead_elsewhere() {
        let host = |text: &str| {
            let uri = AbsoluteUri::parse(text.as_bytes()).unwrap();
            domain_of(&uri).map(|domain| domain.to_string())
        };
        for (uri, domain) in [
            ("sip:+447700900123@op.example;user=phone", "op.example"),
            ("sip:+447700900123;npdi@op.example:5060", "op.example"),
            ("sip:a@op.example?Route=x@evil.example", "op.example"),
            ("mailto:a@op.example?cc=b@evil.example", "op.example"),
            ("mailto:+447700900123/TYPE=PLMN@mms.op.example", "mms.op.example"),
            ("xmpp:a@op.example/home@evil.example", "op.example"),
            ("xmpp:a@op.example?message;to=b@evil.example", "op.example"),
        ] {
            assert_eq!(host(uri).as_deref(), Some(domain), "{uri}");
        }
        assert_eq!(host("sip:a@192.0.2.1"), None);
        assert_eq!(host("sip:a@localhost"), None);
    }
}
