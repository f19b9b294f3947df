//! SIP servers of a domain: the hosts that RFC 5509 names, and how each is found (RFC 3263 §4.1, §4.2).
//!
//! Pure: the ladder asks, this reads. The target of `_im._sip` is the host of a SIP URI, not a server. Each host says by NAPTR
//! which transports it has and where their SRV records are; one without NAPTR records is asked for the SRV records of all
//! transports that we have, TLS first. Where several hosts or transports lead to servers, their priorities and weights are
//! made into one order: a host's place goes before a transport's, and that before a server's.

use std::collections::BTreeMap;

use crate::{
    routing::{fact::Fact, plan::Transport},
    wire::naptr::{Name, Naptr, Srv, WireError},
};

/// The host of a SIP URI.
#[derive(Clone, Debug)]
pub(super) struct SipHost {
    pub(super) name: Name,
    /// The priority and weight of the SRV record that names it; `None` for the domain itself.
    pub(super) named: Option<(u16, u16)>,
    /// Whether what led here is proven by DNSSEC.
    pub(super) secure: bool,
    /// Where its SRV records are, the best transport first.
    pub(super) ways: Vec<(Name, Transport)>,
}

/// A server, and how it was found.
#[derive(Clone, Debug)]
pub(super) struct SipServer {
    /// Which host, by its place.
    pub(super) host: usize,
    /// Which of the host's ways, by its place.
    pub(super) way: usize,
    pub(super) srv: Srv,
    pub(super) transport: Transport,
    pub(super) secure: bool,
}

impl SipHost {
    /// The domain itself.
    pub(super) fn itself(domain: &Name) -> Self {
        Self {
            name: domain.clone(),
            named: None,
            secure: true,
            ways: Vec::new(),
        }
    }

    /// The hosts that a domain's SRV records name, each once, the best first.
    pub(super) fn named_by(records: &[Srv], fact: &Fact) -> Vec<Self> {
        let mut records: Vec<&Srv> = records.iter().filter(|srv| !srv.target.is_root()).collect();
        records.sort_by_key(|srv| (srv.priority, std::cmp::Reverse(srv.weight)));
        let mut hosts: Vec<Self> = Vec::new();
        for srv in records {
            if hosts.len() < MAX_HOSTS && hosts.iter().all(|host| host.name != srv.target) {
                hosts.push(Self {
                    name: srv.target.clone(),
                    named: Some((srv.priority, srv.weight)),
                    secure: fact.secure,
                    ways: Vec::new(),
                });
            }
        }
        hosts
    }

    /// The ways that its NAPTR records name, by ORDER and PREFERENCE; of those without any, the usual ones.
    pub(super) fn find_ways(&mut self, records: &[Result<Naptr, WireError>], is_proven: bool) {
        let mut named: Vec<_> = records
            .iter()
            .flatten()
            .filter_map(|naptr| Some(((naptr.order, naptr.preference), way(naptr)?)))
            .collect();
        named.sort_by_key(|(place, _)| *place);
        if named.is_empty() {
            self.usual_ways();
            return;
        }
        self.secure &= is_proven;
        for (_, way) in named {
            if self.ways.len() < MAX_WAYS && !self.ways.contains(&way) {
                self.ways.push(way);
            }
        }
    }

    /// The SRV names of all transports that we have (RFC 3263 §4.1, last paragraph).
    pub(super) fn usual_ways(&mut self) {
        let labels = [
            ("_sips._tcp", Transport::Tls),
            ("_sip._tcp", Transport::Tcp),
            ("_sip._udp", Transport::Udp),
        ];
        self.ways = labels
            .iter()
            .filter_map(|(label, transport)| {
                let name = format!("{label}.{}", self.name).parse().ok()?;
                Some((name, *transport))
            })
            .collect();
    }

    /// Its own address as a server, where it has no SRV records (RFC 3263 §4.2).
    pub(super) fn by_address(&self, place: usize) -> SipServer {
        SipServer {
            host: place,
            way: 0,
            srv: Srv {
                priority: 0,
                weight: 0,
                port: DEFAULT_PORT,
                target: self.name.clone(),
            },
            transport: Transport::Udp,
            secure: false,
        }
    }
}

/// Gives servers of several hosts and transports one order of priorities, and weights within each. Those of one host and
/// one transport keep what their records say.
pub(super) fn arrange(hosts: &[SipHost], servers: &mut [SipServer]) {
    let Some((host, way)) = servers.first().map(|one| (one.host, one.way)) else {
        return;
    };
    if servers.iter().all(|one| one.host == host && one.way == way) {
        return;
    }
    // How far down within its host a server stands.
    let mut depths: BTreeMap<(usize, usize, u16), usize> = BTreeMap::new();
    for one in servers.iter() {
        depths.insert((one.host, one.way, one.srv.priority), 0);
    }
    let mut before: Option<usize> = None;
    let mut depth = 0;
    for ((host, ..), own) in &mut depths {
        depth = if before == Some(*host) { depth + 1 } else { 0 };
        before = Some(*host);
        *own = depth;
    }
    let named = |one: &SipServer| hosts.get(one.host).and_then(|host| host.named).unwrap_or((0, 0));
    let level = |one: &SipServer| {
        let depth = depths.get(&(one.host, one.way, one.srv.priority));
        (named(one).0, depth.copied().unwrap_or(0))
    };
    let levels: Vec<_> = servers.iter().map(level).collect();
    let weights: Vec<_> = servers
        .iter()
        .zip(&levels)
        .map(|(one, level)| {
            let beside = || {
                servers
                    .iter()
                    .zip(&levels)
                    .filter(move |(_, other)| *other == level)
            };
            let same_host = || beside().filter(|(other, _)| other.host == one.host);
            if same_host().count() == beside().count() {
                return one.srv.weight;
            }
            let best = beside()
                .map(|(other, _)| u64::from(named(other).1))
                .max()
                .unwrap_or(0);
            let total: u64 = same_host().map(|(other, _)| u64::from(other.srv.weight)).sum();
            let (host, of_hosts) = match best {
                0 => (1, 1),
                best => (u64::from(named(one).1), best),
            };
            let (own, of_own) = match total {
                0 => (1, u64::try_from(same_host().count()).unwrap_or(1)),
                total => (u64::from(one.srv.weight), total),
            };
            u16::try_from(u64::from(u16::MAX) * host / of_hosts * own / of_own).unwrap_or(u16::MAX)
        })
        .collect();
    let mut order = levels.clone();
    order.sort_unstable();
    order.dedup();
    for ((one, level), weight) in servers.iter_mut().zip(&levels).zip(weights) {
        let place = order.iter().position(|other| other == level).unwrap_or(0);
        one.srv.priority = u16::try_from(place).unwrap_or(u16::MAX);
        one.srv.weight = weight;
    }
}

/// Where a NAPTR record says the SRV records of a transport of ours are (RFC 3263 §4.1); SCTP and WebSocket are not ours.
fn way(naptr: &Naptr) -> Option<(Name, Transport)> {
    let is_srv = naptr.flags.eq_ignore_ascii_case(b"s") && naptr.regexp.is_empty();
    let transport = match naptr.services.to_ascii_uppercase().as_slice() {
        b"SIPS+D2T" => Transport::Tls,
        b"SIP+D2T" => Transport::Tcp,
        b"SIP+D2U" => Transport::Udp,
        _ => return None,
    };
    (is_srv && !naptr.replacement.is_root()).then(|| (naptr.replacement.clone(), transport))
}

/// Hosts of one domain that are looked at.
const MAX_HOSTS: usize = 4;
/// Ways of one host that are gone.
const MAX_WAYS: usize = 4;
/// Of SIP over UDP (RFC 3263 §4.2).
const DEFAULT_PORT: u16 = 5060;

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, named: Option<(u16, u16)>) -> SipHost {
        SipHost {
            named,
            ..SipHost::itself(&name.parse().unwrap())
        }
    }

    fn server(host: usize, way: usize, priority: u16, weight: u16) -> SipServer {
        SipServer {
            host,
            way,
            srv: Srv {
                priority,
                weight,
                port: 5060,
                target: "p.example".parse().unwrap(),
            },
            transport: Transport::Tcp,
            secure: false,
        }
    }

    fn arranged(hosts: &[SipHost], mut servers: Vec<SipServer>) -> Vec<(u16, u16)> {
        arrange(hosts, &mut servers);
        servers
            .iter()
            .map(|one| (one.srv.priority, one.srv.weight))
            .collect()
    }

    #[test]
    fn one_host_and_transport_keeps_its_records() {
        let hosts = [host("a.example", Some((7, 1)))];
        assert_eq!(
            arranged(&hosts, vec![server(0, 0, 10, 3), server(0, 0, 20, 0)]),
            [(10, 3), (20, 0)]
        );
    }

    #[test]
    fn transports_go_in_their_order_and_hosts_before_them() {
        let hosts = [host("a.example", Some((1, 1))), host("b.example", Some((2, 1)))];
        let servers = vec![
            server(0, 1, 1, 4),
            server(0, 0, 9, 5),
            server(1, 0, 1, 6),
            server(0, 0, 8, 7),
        ];
        assert_eq!(arranged(&hosts, servers), [(2, 4), (1, 5), (3, 6), (0, 7)]);
    }

    #[test]
    fn weights_of_hosts_hold_whatever_their_servers_weigh() {
        let hosts = [host("a.example", Some((1, 3))), host("b.example", Some((1, 1)))];
        let servers = vec![
            server(0, 0, 1, 1),
            server(0, 0, 1, 1),
            server(1, 0, 50, 60_000),
            server(1, 0, 60, 1),
        ];
        let arranged = arranged(&hosts, servers);
        let priorities: Vec<_> = arranged.iter().map(|(priority, _)| *priority).collect();
        assert_eq!(priorities, [0, 0, 0, 1]);
        let of_a = u32::from(arranged[0].1) + u32::from(arranged[1].1);
        let of_b = u32::from(arranged[2].1);
        assert!((of_b * 3).abs_diff(of_a) < 10, "{arranged:?}");
    }

    #[test]
    fn naptr_records_name_the_ways_in_their_order() {
        let naptr = |order, flags: &str, services: &str, replacement: &str| {
            Ok(Naptr {
                order,
                preference: 1,
                flags: flags.into(),
                services: services.into(),
                regexp: Vec::new(),
                replacement: replacement.parse().unwrap(),
            })
        };
        let mut one = host("op.example", None);
        one.find_ways(
            &[
                naptr(30, "s", "SIP+D2U", "_sip._udp.x.example"),
                naptr(20, "S", "sips+d2t", "_sips._tcp.x.example"),
                naptr(10, "s", "SIP+D2S", "_sip._sctp.x.example"),
                naptr(5, "u", "SIP+D2T", "_sip._tcp.x.example"),
                naptr(6, "s", "SIP+D2T", "."),
            ],
            false,
        );
        let ways: Vec<_> = one
            .ways
            .iter()
            .map(|(name, transport)| (name.as_str(), *transport))
            .collect();
        assert_eq!(
            ways,
            [
                ("_sips._tcp.x.example.", Transport::Tls),
                ("_sip._udp.x.example.", Transport::Udp)
            ]
        );
        assert!(!one.secure);
        let mut other = host("op.example", None);
        other.find_ways(&[naptr(10, "u", "E2U+sip", ".")], false);
        assert_eq!(other.ways.len(), 3);
        assert!(other.secure, "records for others lead nowhere");
    }
}
