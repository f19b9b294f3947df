//! The answer to a question from all zones of a set: aliases from one into another, referrals, addresses that ride along.

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Record, RecordType};

use super::data::{Answer, Zone};
use super::names::parent;
use super::set::ZoneSet;
use crate::wire::naptr::Name;

/// The parts of a DNS answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: ResponseCode,
    pub(super) authoritative: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
}

impl Reply {
    pub(super) fn empty(code: ResponseCode) -> Self {
        Self {
            code,
            authoritative: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }
}

impl ZoneSet {
    /// Answers a question of class IN from the zone that is nearest above the name.
    pub(super) fn reply(&self, name: &Name, rtype: RecordType) -> Reply {
        let mut reply = Reply::empty(ResponseCode::NoError);
        let mut name = name.clone();
        // An alias may lead through other zones of the set; eight steps end a loop.
        for _ in 0..=MAX_ALIASES {
            let Some(zone) = self.zone_of(&name, rtype) else {
                if reply.answers.is_empty() {
                    reply.code = ResponseCode::Refused;
                }
                return reply;
            };
            reply.authoritative = true;
            match zone.find(&name, rtype) {
                Answer::Records(records) => {
                    reply.answers.extend(records);
                    self.add_addresses(zone.targets(&name, rtype), &mut reply);
                    return reply;
                }
                // An alias that leads back says no more than it did the first time.
                Answer::Alias(record, _) if reply.answers.contains(&record) => return reply,
                Answer::Alias(record, target) => {
                    reply.answers.push(*record);
                    name = target;
                }
                Answer::Referral(servers, targets) => {
                    reply.authoritative = !reply.answers.is_empty();
                    self.add_addresses(targets, &mut reply);
                    reply.authorities.extend(servers);
                    return reply;
                }
                found @ (Answer::NoData | Answer::NoName) => {
                    if matches!(found, Answer::NoName) {
                        reply.code = ResponseCode::NXDomain;
                    }
                    reply.authorities.push(zone.negative_soa());
                    return reply;
                }
            }
        }
        reply
    }

    fn add_addresses(&self, targets: Vec<Name>, reply: &mut Reply) {
        for target in targets {
            let Some(zone) = self.zone_for(&target) else {
                continue;
            };
            for record in zone.addresses(&target) {
                if !reply.additionals.contains(&record) {
                    reply.additionals.push(record);
                }
            }
        }
    }

    /// A DS record belongs to the zone above the cut, if that is here too (RFC 4035 §3.1.4.1).
    fn zone_of(&self, name: &Name, rtype: RecordType) -> Option<&Zone> {
        let above = || parent(name).and_then(|above| self.zone_for(&above));
        let zone = self.zone_for(name)?;
        match rtype == RecordType::DS && zone.origin() == name {
            true => above().or(Some(zone)),
            false => Some(zone),
        }
    }

    fn zone_for(&self, name: &Name) -> Option<&Zone> {
        std::iter::successors(Some(name.clone()), parent)
            .find_map(|step| self.zones.get(&step).map(AsRef::as_ref))
    }
}

/// Steps of aliases within the set; more of them are a loop.
const MAX_ALIASES: usize = 8;
