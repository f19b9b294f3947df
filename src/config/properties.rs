//! What holds for every configuration: what is written is what is read, section by section.

use std::{net::IpAddr, time::Duration};

use proptest::{
    collection::{btree_set, vec},
    option,
    prelude::*,
    sample::{select, subsequence},
};
use toml::Table;

use super::{Config, GatewayConfig, LogConfig, LogFormat};
use crate::{
    agreement::{
        Accept, AgreementConfig, AtclFallback, Degraded, DeliveryPolicy, Disclosure, Limits, MsisdnForm,
        NetworkList, PeerTls, Presents, ProfileName, Role, Services, SpeaksFor,
    },
    model::{AttributeName, ByteSize, Domain, Service},
    relay::RelayConfig,
};

proptest! {
    #[test]
    fn sections_round_trip(gateway in gateway(), relay in relay(), agreements in agreements()) {
        let text = toml::to_string(&whole(&gateway, &relay, &agreements)).unwrap();
        let read = Config::parse(&text, "any.toml")
            .map_err(|mistakes| TestCaseError::fail(format!("{mistakes}\n{text}")))?;
        let again = whole(&read.gateway, &read.relay, &read.agreements);
        prop_assert_eq!(&again, &whole(&gateway, &relay, &agreements), "{}", text);
    }

    /// Whatever key of whichever agreement is misspelt: that is said, on its line, and nothing else.
    #[test]
    fn a_misspelt_key_is_blamed_on_its_line(agreements in agreements(), at in any::<prop::sample::Index>()) {
        let text = toml::to_string(&whole(&own_gateway(), &RelayConfig::default(), &agreements)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let is_key = |line: &&mut String| line.contains(" = ");
        let keys = lines.iter_mut().filter(is_key).count();
        let line = lines.iter_mut().filter(is_key).nth(at.index(keys)).unwrap();
        // A required key that is misspelt is missed as well.
        prop_assume!(!line.starts_with("peer") && !line.starts_with("domains"));
        let misspelt = format!("zz_{line}");
        *line = misspelt.clone();
        let mistakes = Config::parse(&lines.join("\n"), "any.toml").unwrap_err().0;
        let expected = lines.iter().position(|line| *line == misspelt).unwrap() + 1;
        let found = mistakes.iter().find(|mistake| mistake.line == expected);
        prop_assert!(found.is_some_and(|mistake| mistake.text.contains("zz_")), "{mistakes:#?}");
    }
}

fn whole(gateway: &GatewayConfig, relay: &RelayConfig, agreements: &[AgreementConfig]) -> Table {
    let mut all = Table::new();
    all.insert("gateway".into(), Table::try_from(gateway).unwrap().into());
    all.insert("relay".into(), Table::try_from(relay).unwrap().into());
    let ssp = Table::from_iter([("listen_plain".to_owned(), "127.0.0.1:0".into())]);
    all.insert("ssp".into(), ssp.into());
    let agreements: Vec<Table> = agreements
        .iter()
        .map(|one| Table::try_from(one).unwrap())
        .collect();
    all.insert("agreement".into(), agreements.into());
    all
}

fn own_gateway() -> GatewayConfig {
    GatewayConfig {
        domains: vec!["own.example".parse().unwrap()],
        ..GatewayConfig::default()
    }
}

fn gateway() -> impl Strategy<Value = GatewayConfig> {
    let format = select(vec![LogFormat::Text, LogFormat::Json]);
    ("[a-zA-Z0-9-]{1,32}", "[a-z/ü \"\\\\]{1,20}", format).prop_map(|(node, folder, format)| GatewayConfig {
        node,
        data_dir: folder.into(),
        log: LogConfig {
            format,
            ..LogConfig::default()
        },
        ..own_gateway()
    })
}

/// Durations between two numbers of milliseconds, in every unit that fits.
fn duration(from: u64, to: u64) -> impl Strategy<Value = Duration> {
    let unit = select(vec![1, 1000, 60_000, 3_600_000, 86_400_000]);
    (from..=to, unit).prop_map(move |(time, unit)| {
        let whole = time / unit * unit;
        Duration::from_millis(if whole < from { time } else { whole })
    })
}

fn relay() -> impl Strategy<Value = RelayConfig> {
    let (minute, day) = (60_000, 86_400_000);
    (
        duration(1000, 30_000),
        duration(1000, 5 * minute),
        [duration(minute, 90 * day), duration(minute, 90 * day)],
        duration(1000, day),
        duration(minute, day),
        [duration(1000, 60 * minute), duration(1000, 60 * minute)],
        1_usize..1000,
    )
        .prop_map(
            |(
                cut_through,
                query_timeout,
                mut validities,
                notification_validity,
                follow_moved,
                mut retries,
                outbox_concurrency,
            )| {
                validities.sort();
                retries.sort();
                let ([default_validity, max_validity], [first_retry, longest_retry]) = (validities, retries);
                RelayConfig {
                    cut_through,
                    query_timeout,
                    default_validity,
                    max_validity,
                    notification_validity,
                    follow_moved,
                    first_retry,
                    longest_retry,
                    outbox_concurrency,
                }
            },
        )
}

/// Up to three, each with a name and domains of its own.
fn agreements() -> impl Strategy<Value = Vec<AgreementConfig>> {
    vec((agreement(), 1_usize..3), 0..3).prop_map(|all| {
        let numbered = all.into_iter().enumerate();
        numbered
            .map(|(index, (mut agreement, domains))| {
                agreement.peer = format!("peer {index}").parse().unwrap();
                let domain = |more: usize| format!("d{more}.p{index}.example").parse().unwrap();
                agreement.domains = (0..domains).map(domain).collect();
                agreement
            })
            .collect()
    })
}

fn agreement() -> impl Strategy<Value = AgreementConfig> {
    let profile = select(vec![ProfileName::Strict, ProfileName::Observed]);
    let form = select(vec![MsisdnForm::Bare, MsisdnForm::WithDomain]);
    let ways = select(vec![
        (Accept::Taken, AtclFallback::Off, Degraded::Refuse),
        (Accept::Store, AtclFallback::Message, Degraded::Carry),
    ]);
    let servers = vec(
        "(\\[::1\\]|[a-z]{1,8}\\.example|10\\.0\\.0\\.[1-9]):[1-9][0-9]{0,3}",
        0..3,
    );
    let parts = (
        services(),
        limits(),
        delivery(),
        disclosure(),
        speaks_for(),
        networks(),
        tls(),
    );
    (
        profile,
        form,
        ways,
        any::<(bool, bool, bool, bool)>(),
        duration(1000, 7 * 86_400_000),
        servers,
        parts,
    )
        .prop_map(
            |(
                profile,
                msisdn_form,
                (accept, atcl_fallback, degraded),
                (transit, search_from_enum, names_from_enum, trust_portability),
                answer_timeout,
                servers,
                parts,
            )| {
                let (services, limits, delivery, disclose, speaks_for, allowed_networks, tls) = parts;
                AgreementConfig {
                    peer: "peer".parse().unwrap(),
                    domains: Vec::new(),
                    role: Role::Partner,
                    presents: Presents::Gateway,
                    profile,
                    msisdn_form,
                    services,
                    limits,
                    delivery,
                    disclose,
                    speaks_for,
                    transit,
                    accept,
                    atcl_fallback,
                    degraded,
                    search_from_enum,
                    names_from_enum,
                    trust_portability,
                    answer_timeout,
                    allowed_networks,
                    servers,
                    tls,
                }
            },
        )
}

fn services() -> impl Strategy<Value = Services> {
    let some = || subsequence(Service::ALL.to_vec(), 0..=Service::ALL.len());
    (some(), some()).prop_map(|(inbound, outbound)| Services { inbound, outbound })
}

fn limits() -> impl Strategy<Value = Limits> {
    let media_types = btree_set("[a-z]{1,8}/(\\*|[a-z.+-]{1,12})", 0..4);
    let size = (1_u64..=64, 0_u32..3).prop_map(|(count, unit)| ByteSize(count << (10 * unit)));
    let counts = [
        1_u32..=100_000_000,
        1..=100_000_000,
        1..=100_000_000,
        1..=100_000,
        1..=10_000,
    ];
    (
        counts,
        size,
        media_types,
        [1_u64..=1_000_000_000, 1..=1_000_000_000],
    )
        .prop_map(
            |(
                [
                    requests_per_second,
                    burst,
                    sender_per_minute,
                    max_recipients,
                    documents_in_flight,
                ],
                max_content,
                media,
                [max_queued, max_subscriptions],
            )| {
                Limits {
                    requests_per_second,
                    burst,
                    sender_per_minute,
                    max_content,
                    media_types: media.into_iter().collect(),
                    max_recipients,
                    max_queued,
                    max_subscriptions,
                    documents_in_flight,
                }
            },
        )
}

fn delivery() -> impl Strategy<Value = DeliveryPolicy> {
    let retries = prop_oneof![
        Just([Duration::ZERO; 2]),
        [duration(1000, 3_600_000), duration(3_600_000, 86_400_000)],
    ];
    (
        1_u32..=1_000_000,
        1_u32..=100_000_000,
        duration(100, 300_000),
        retries,
    )
        .prop_map(
            |(max_in_flight, max_per_second, slow_after, [first_retry, longest_retry])| DeliveryPolicy {
                max_in_flight,
                max_per_second,
                slow_after,
                first_retry,
                longest_retry,
            },
        )
}

fn disclosure() -> impl Strategy<Value = Disclosure> {
    let presence = subsequence(AttributeName::ALL.to_vec(), 0..=AttributeName::ALL.len());
    (any::<(bool, bool)>(), presence).prop_map(|((friendly_name, msisdn), presence)| Disclosure {
        friendly_name,
        msisdn,
        presence,
    })
}

fn speaks_for() -> impl Strategy<Value = SpeaksFor> {
    (
        vec("[a-z]{1,8}\\.transit\\.example", 0..3),
        vec("\\+[0-9]{1,9}", 0..3),
    )
        .prop_map(|(domains, numbers)| {
            let domains: Vec<Domain> = domains.iter().map(|text| text.parse().unwrap()).collect();
            SpeaksFor { domains, numbers }
        })
}

fn networks() -> impl Strategy<Value = NetworkList> {
    let network = (any::<IpAddr>(), option::of(0_u8..=32)).prop_map(|(address, bits)| match bits {
        Some(bits) => format!("{address}/{bits}").parse().unwrap(),
        None => address.to_string().parse().unwrap(),
    });
    vec(network, 0..4).prop_map(NetworkList)
}

fn tls() -> impl Strategy<Value = PeerTls> {
    (any::<[bool; 3]>(), vec("[a-z]{1,8}\\.example", 0..3)).prop_map(|([required, mutual, accept], names)| {
        PeerTls {
            required,
            mutual,
            names,
            accept_server_certificates: accept,
        }
    })
}
