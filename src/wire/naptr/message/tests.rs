//! Messages made octet by octet, as servers send them and as they should not.

use super::*;

/// A message under construction; the question is for the NAPTR records of `a.example`.
struct Message(Vec<u8>);

const QUESTION: &[u8] = b"\x01a\x07example\x00\x00\x23\x00\x01";
const NAPTR: &[u8] = b"\x00\x64\x00\x0a\x01u\x06E2U+im\x03!a!\x00";

impl Message {
    /// Header bits after QR, and the counts of answer, authority and additional records.
    fn new(bits: u16, counts: [u16; 3]) -> Self {
        let mut out = Vec::new();
        for field in [9, 0x8000 | bits, 1, counts[0], counts[1], counts[2]] {
            out.extend_from_slice(&field.to_be_bytes());
        }
        out.extend_from_slice(QUESTION);
        Self(out)
    }

    fn record(mut self, owner: &[u8], rtype: RecordType, ttl: u32, rdata: &[u8]) -> Self {
        self.0.extend_from_slice(owner);
        self.0.extend_from_slice(&rtype.0.to_be_bytes());
        self.0.extend_from_slice(&[0, 1]);
        self.0.extend_from_slice(&ttl.to_be_bytes());
        self.0
            .extend_from_slice(&u16::try_from(rdata.len()).unwrap().to_be_bytes());
        self.0.extend_from_slice(rdata);
        self
    }

    fn parse(&self) -> Response {
        Response::parse(&self.0).unwrap()
    }
}

/// `a.example`, compressed.
const OWNER: &[u8] = b"\xc0\x0c";

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn wire(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    name(text).encode(&mut out);
    out
}

#[test]
fn a_broken_record_leaves_its_neighbours() {
    let mut strange = NAPTR.to_vec();
    strange[5] = b'-';
    let response = Message::new(0x0400, [3, 0, 0])
        .record(OWNER, RecordType::NAPTR, 60, &strange)
        .record(OWNER, RecordType::NAPTR, 60, b"\x00\x64")
        .record(OWNER, RecordType::NAPTR, 30, NAPTR)
        .parse();
    let found = response.find(&name("A.Example"), RecordType::NAPTR).unwrap();
    let naptrs = found.naptrs();
    assert_eq!(naptrs[0].as_ref().unwrap().flags, b"-");
    assert_eq!(naptrs[1], Err(WireError::Short("PREFERENCE")));
    assert_eq!(naptrs[2].as_ref().unwrap().flags, b"u");
    assert_eq!(found.ttl, Some(30));
    assert!(response.authoritative && !response.truncated && !response.authenticated && !response.edns);
}

#[test]
fn every_type_that_routing_asks_for_is_read() {
    let soa = [
        wire("ns.example"),
        wire("host.example"),
        vec![0; 16],
        vec![0, 0, 1, 44],
    ]
    .concat();
    let srv = [b"\x00\x0a\x00\x3c\x20\xfb".to_vec(), b"\x01h\xc0\x0e".to_vec()].concat();
    let response = Message::new(0, [5, 1, 1])
        .record(OWNER, RecordType::A, 1, &[192, 0, 2, 1])
        .record(OWNER, RecordType::AAAA, 1, &[0x20; 16])
        .record(OWNER, RecordType::SRV, 1, &srv)
        .record(OWNER, RecordType(16), 1, b"\x02hi")
        .record(OWNER, RecordType::A, 1, &[192, 0, 2, 1, 9])
        .record(b"\xc0\x0e", RecordType::SOA, 600, &soa)
        .record(b"\x00", RecordType::OPT, 0x0100_0000, b"")
        .parse();
    let data: Vec<&Data> = response.answers.iter().map(|record| &record.data).collect();
    assert_eq!(data[0], &Data::A([192, 0, 2, 1]));
    assert_eq!(data[1], &Data::Aaaa([0x20; 16]));
    let target = name("h.example");
    assert_eq!(
        data[2],
        &Data::Srv(Srv {
            priority: 10,
            weight: 60,
            port: 8443,
            target
        })
    );
    assert_eq!(data[3], &Data::Other(b"\x02hi".to_vec()));
    assert_eq!(data[4], &Data::Malformed(WireError::Trailing(1)));
    assert_eq!(response.negative_ttl(), Some(300));
    assert!(response.edns && response.additional.is_empty());
    assert_eq!(response.rcode, Rcode(16));
    let found = response.find(&name("a.example"), RecordType::SRV).unwrap();
    assert_eq!(found.srvs().len(), 1);
}

#[test]
fn a_negative_answer_is_kept_for_the_shorter_time_or_not_at_all() {
    let soa = |minimum: u32| [wire("."), wire("."), vec![0; 16], minimum.to_be_bytes().to_vec()].concat();
    let with = |ttl, minimum| Message::new(3, [0, 1, 0]).record(b"\x00", RecordType::SOA, ttl, &soa(minimum));
    assert_eq!(with(600, 300).parse().negative_ttl(), Some(300));
    assert_eq!(with(60, 300).parse().negative_ttl(), Some(60));
    assert_eq!(Message::new(3, [0, 0, 0]).parse().negative_ttl(), None);
    assert_eq!(with(60, 300).parse().rcode, Rcode::NX_DOMAIN);
}

#[test]
fn aliases_are_followed_to_the_records() {
    let response = Message::new(0, [3, 0, 0])
        .record(OWNER, RecordType::CNAME, 20, &wire("b.example"))
        .record(&wire("c.example"), RecordType::NAPTR, 90, NAPTR)
        .record(&wire("b.example"), RecordType::CNAME, 40, &wire("c.example"))
        .parse();
    let found = response.find(&name("a.example"), RecordType::NAPTR).unwrap();
    assert_eq!(found.name, name("c.example"));
    assert_eq!(found.aliases, [name("a.example"), name("b.example")]);
    assert_eq!((found.records.len(), found.ttl), (1, Some(20)));
    let outside = response.find(&name("b.example"), RecordType::A).unwrap();
    assert_eq!(
        (outside.name, outside.records.len(), outside.ttl),
        (name("c.example"), 0, Some(40))
    );
}

#[test]
fn aliases_in_a_circle_or_without_end_are_an_error() {
    let circle = Message::new(0, [2, 0, 0])
        .record(OWNER, RecordType::CNAME, 20, &wire("b.example"))
        .record(&wire("b.example"), RecordType::CNAME, 20, &wire("a.example"))
        .parse();
    assert_eq!(
        circle.find(&name("a.example"), RecordType::A),
        Err(AliasLoop(name("a.example")))
    );
    let chain = |links: u16| {
        let start = Message::new(0, [links, 0, 0]);
        let link = |message: Message, n: u16| {
            message.record(
                &wire(&format!("n{n}.example")),
                RecordType::CNAME,
                1,
                &wire(&format!("n{}.example", n + 1)),
            )
        };
        (0..links).fold(start, link).parse()
    };
    assert_eq!(
        chain(8).find(&name("n0.example"), RecordType::A).unwrap().name,
        name("n8.example")
    );
    assert!(chain(9).find(&name("n0.example"), RecordType::A).is_err());
}

#[test]
fn only_the_answer_to_our_question_is_ours() {
    let response = Message::new(0, [0, 0, 0]).parse();
    assert!(response.answers(9, &name("a.EXAMPLE"), RecordType::NAPTR));
    assert!(!response.answers(8, &name("a.example"), RecordType::NAPTR));
    assert!(!response.answers(9, &name("b.example"), RecordType::NAPTR));
    assert!(!response.answers(9, &name("a.example"), RecordType::SRV));
    let bare = |rcode: u8| Response::parse(&[0, 9, 0x80, rcode, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    assert!(bare(1).answers(9, &name("a.example"), RecordType::NAPTR));
    assert!(!bare(0).answers(9, &name("a.example"), RecordType::NAPTR));
}

#[test]
fn truncation_keeps_what_arrived() {
    let whole = |bits| {
        Message::new(bits, [2, 0, 0])
            .record(OWNER, RecordType::NAPTR, 60, NAPTR)
            .0
    };
    let cut = Response::parse(&whole(0x0200)).unwrap();
    assert!(cut.truncated);
    assert_eq!(cut.answers.len(), 1);
    assert_eq!(Response::parse(&whole(0)), Err(WireError::Short("a name")));
}

#[test]
fn broken_frames_are_named() {
    assert_eq!(Response::parse(&[]), Err(WireError::Short("the header")));
    assert_eq!(
        Response::parse(&encode_query(1, &name("a.example"), RecordType::A, None)),
        Err(WireError::NotAResponse)
    );
    let header = |questions, answers| [0, 9, 0x80, 0, 0, questions, answers, 0, 0, 0, 0, 0];
    assert_eq!(Response::parse(&header(2, 0)), Err(WireError::Questions(2)));
    assert_eq!(
        Response::parse(&header(0, 5)),
        Err(WireError::TooManyRecords(1280))
    );
    let owner = |owner: &[u8]| {
        Response::parse(
            &Message::new(0, [1, 0, 0])
                .record(owner, RecordType::A, 1, &[0; 4])
                .0,
        )
    };
    assert_eq!(owner(b"\xc0\x1b"), Err(WireError::Pointer), "a pointer to itself");
    assert_eq!(owner(b"\xc0\xff"), Err(WireError::Pointer), "a pointer ahead");
    assert_eq!(owner(b"\x40"), Err(WireError::LabelType));
    let long: Vec<u8> = [b"\x3f".to_vec(), vec![b'x'; 63]].concat().repeat(4);
    assert_eq!(owner(&[long, vec![0]].concat()), Err(WireError::NameTooLong));
}

#[test]
fn a_chain_of_bare_pointers_is_bounded() {
    let mut octets = [0, 9, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0].to_vec();
    let mut rdata = vec![0];
    for at in 0..100u16 {
        let target = if at == 0 {
            12 + 11
        } else {
            12 + 11 + 1 + 2 * (at - 1)
        };
        rdata.extend_from_slice(&(0xc000 | target).to_be_bytes());
    }
    let root = [
        &[0][..],
        &[0, 16, 0, 1, 0, 0, 0, 0],
        &u16::try_from(rdata.len()).unwrap().to_be_bytes(),
    ]
    .concat();
    octets.extend_from_slice(&root);
    octets.extend_from_slice(&rdata);
    octets[7] = 2;
    let last = u16::try_from(octets.len() - 2).unwrap();
    let second = |pointer: u16| {
        let owner = (0xc000 | pointer).to_be_bytes();
        [
            octets.clone(),
            owner.to_vec(),
            vec![0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4],
        ]
        .concat()
    };
    assert_eq!(Response::parse(&second(last)), Err(WireError::Pointer));
    assert_eq!(
        Response::parse(&second(12 + 11 + 1 + 2 * 20))
            .unwrap()
            .answers
            .len(),
        2
    );
}

#[test]
fn a_query_is_what_the_standard_says() {
    let plain = encode_query(0x1234, &name("a.example"), RecordType::NAPTR, None);
    assert_eq!(plain[..12], [0x12, 0x34, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&plain[12..], QUESTION);
    let edns = encode_query(0x1234, &name("a.example"), RecordType::NAPTR, Some(1232));
    assert_eq!(edns[11], 1);
    assert_eq!(edns[plain.len()..], [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn records_of_another_class_are_not_ours() {
    let mut message = Message::new(0, [1, 0, 0]).record(OWNER, RecordType::A, 1, &[192, 0, 2, 1]);
    let class = message.0.len() - 4 - 2 - 4 - 1;
    message.0[class] = 3;
    assert!(message.parse().answers.is_empty());
}
