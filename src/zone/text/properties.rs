//! What holds for every record that has a spelling: written as a line of a zone file, it is read as it was.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::{super::records::Data, parse, seconds};
use crate::wire::naptr::{Name, Naptr};

/// Names whose labels have every octet that a label may have.
fn name() -> impl Strategy<Value = Name> {
    let label = prop::collection::vec(any::<u8>(), 1..8).prop_map(|octets| {
        let escaped = |octet: &u8| match octet {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(*octet).to_string(),
            other => format!("\\{other:03}"),
        };
        octets.iter().map(escaped).collect::<String>()
    });
    prop::collection::vec(label, 1..5).prop_map(|labels| labels.join(".").parse().unwrap())
}

fn naptr() -> impl Strategy<Value = Data> {
    let text = || prop::collection::vec(any::<u8>(), 0..24);
    (any::<(u16, u16)>(), text(), text(), text(), name()).prop_map(
        |((order, preference), flags, services, regexp, replacement)| {
            Data::Naptr(Naptr {
                order,
                preference,
                flags,
                services,
                regexp,
                replacement,
            })
        },
    )
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        naptr(),
        (any::<(u16, u16, u16)>(), name()).prop_map(|((priority, weight, port), target)| Data::Srv {
            priority,
            weight,
            port,
            target,
        }),
        (name(), name(), any::<[u32; 4]>(), any::<u32>()).prop_map(|(primary, mailbox, times, minimum)| {
            Data::Soa {
                primary,
                mailbox,
                times: times.map(|time| time >> 1),
                minimum: minimum >> 1,
            }
        }),
        name().prop_map(Data::Ns),
        name().prop_map(Data::Cname),
        any::<u32>().prop_map(|bits| Data::A(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| Data::Aaaa(Ipv6Addr::from_bits(bits))),
    ]
}

/// Type and fields as an operator writes them.
fn written(data: &Data) -> String {
    match data {
        Data::Soa {
            primary,
            mailbox,
            times: [serial, refresh, retry, expire],
            minimum,
        } => format!("SOA {primary} {mailbox} ( {serial} {refresh}\n {retry} {expire} {minimum} ) ; times"),
        Data::Ns(target) => format!("NS {target}"),
        Data::Cname(target) => format!("CNAME {target}"),
        Data::A(address) => format!("A {address}"),
        Data::Aaaa(address) => format!("AAAA {address}"),
        Data::Srv {
            priority,
            weight,
            port,
            target,
        } => format!("SRV {priority} {weight} {port} {target}"),
        Data::Naptr(naptr) => format!("NAPTR {naptr}"),
        Data::Other(_) => unreachable!("not generated"),
    }
}

proptest! {
    #[test]
    fn records_round_trip(
        records in prop::collection::vec((name(), any::<u32>(), data(), any::<bool>()), 1..6)
    ) {
        let mut text = String::new();
        for (owner, ttl, data, lower) in &records {
            let fields = written(data);
            let class = if *lower { "in" } else { "IN" };
            text.push_str(&format!("{owner} {ttl} {class} {fields}\n"));
        }
        let parsed = parse(&text, None);
        prop_assert_eq!(&parsed.faults, &[], "{}", text);
        let found: Vec<_> = parsed.entries.into_iter().map(|entry| (entry.owner, entry.ttl, entry.data)).collect();
        let meant: Vec<_> = records.into_iter().map(|(owner, ttl, data, _)| (owner, ttl, data)).collect();
        prop_assert_eq!(found, meant, "{}", text);
    }

    #[test]
    fn relative_names_and_kept_owners_mean_the_same(
        owner in "[a-z0-9-]{1,12}(\\.[a-z0-9-]{1,12}){0,2}",
        ttl in any::<u32>(),
        data in prop::collection::vec(data(), 1..4),
    ) {
        let fields: Vec<String> = data.iter().map(written).collect();
        let absolute: String = fields.iter().map(|fields| format!("{owner}.op.example. {ttl} IN {fields}\n")).collect();
        let kept = format!("$TTL {ttl}\n$ORIGIN op.example.\n{owner} {}\n", fields.join("\n IN "));
        let meaning = |text: &str| {
            let parsed = parse(text, None);
            assert_eq!(parsed.faults, [], "{text}");
            parsed.entries.into_iter().map(|entry| (entry.owner, entry.ttl, entry.data)).collect::<Vec<_>>()
        };
        prop_assert_eq!(meaning(&absolute), meaning(&kept));
    }

    #[test]
    fn times_in_units_are_seconds(weeks in 0_u32..1000, days in 0_u32..7, hours in 0_u32..24, rest in 0_u32..3600) {
        let (minutes, seconds_) = (rest / 60, rest % 60);
        let meant = ((weeks * 7 + days) * 24 + hours) * 3600 + rest;
        prop_assert_eq!(seconds(&format!("{weeks}w{days}D{hours}h{minutes}m{seconds_}s")), Some(meant));
        prop_assert_eq!(seconds(&meant.to_string()), Some(meant));
    }
}
