//! What holds for any octets: nothing panics, what is encoded is read back, and a translated expression matches as its
//! parts say.

use proptest::prelude::*;

use super::ere::Ere;
use super::message::{Data, RecordType, Response, encode_query};
use super::portability::TelParams;
use super::regexp::{MAX_EXPANDED, Substitution};
use super::*;

fn name() -> impl Strategy<Value = Name> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..12), 0..6).prop_map(Name::from_labels)
}

fn naptr() -> impl Strategy<Value = Naptr> {
    let text = || prop::collection::vec(any::<u8>(), 0..=255);
    (any::<(u16, u16)>(), text(), text(), text(), name()).prop_map(
        |((order, preference), flags, services, regexp, replacement)| Naptr {
            order,
            preference,
            flags,
            services,
            regexp,
            replacement,
        },
    )
}

/// Octets that look enough like the thing to get past its first checks.
fn near(alphabet: &'static str, length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(alphabet.as_bytes()), 0..length)
}

/// One piece of an expression in POSIX syntax, and octets that it matches.
fn piece() -> impl Strategy<Value = (String, String)> {
    let digits = "[0-9]{1,4}";
    prop_oneof![
        digits.prop_map(|text| (text.clone(), text)),
        Just(("\\+".to_owned(), "+".to_owned())),
        digits.prop_map(|text| (format!("({text})"), text)),
        digits.prop_map(|text| ("[0-9]+".to_owned(), text)),
        digits.prop_map(|text| ("[[:digit:]]*".to_owned(), text)),
        digits.prop_map(|text| (format!("(x|{text})"), text)),
        digits.prop_map(|text| ("[^+a]{,4}".to_owned(), text)),
        Just(("(a.c)?".to_owned(), String::new())),
        "[!-/:-@\\[-`{-~]"
            .prop_map(|text| (format!("[{text}]"), text))
            .prop_filter("special in brackets", |(_, t)| { !"]^[".contains(t.as_str()) }),
        "[!-/:-@\\[-`{-~]".prop_map(|text| (format!("\\{text}"), text)),
    ]
}

proptest! {
    #[test]
    fn rdata_round_trip(naptr in naptr()) {
        prop_assert_eq!(Naptr::decode(&naptr.encode()), Ok(naptr));
    }

    #[test]
    fn zone_text_round_trip(naptr in naptr()) {
        prop_assert_eq!(naptr.to_string().parse::<Naptr>(), Ok(naptr));
    }

    #[test]
    fn names_round_trip(name in name()) {
        prop_assert_eq!(name.as_str().parse::<Name>(), Ok(name.clone()));
        prop_assert_eq!(Name::from_labels(name.labels()), name);
    }

    #[test]
    fn enumservices_round_trip_in_lower_case(text in "[a-zA-Z0-9-]{1,32}(:[a-zA-Z0-9-]{1,32}){0,3}") {
        let service: Enumservice = text.parse().unwrap();
        prop_assert_eq!(service.to_string(), text.to_ascii_lowercase());
        prop_assert_eq!(service.to_string().parse(), Ok(service));
    }

    #[test]
    fn offered_services_are_read_in_their_order(
        offered in prop::collection::vec("[a-zA-Z0-9-]{1,12}(:[a-z0-9-]{1,12}){0,2}", 1..6),
        e2u in prop::sample::select(vec!["E2U", "e2u", "E2u"]),
    ) {
        let read = |field: String| services::Services::parse(field.as_bytes());
        let services = read(format!("{e2u}+{}", offered.join("+"))).unwrap();
        let again: Vec<String> = services.offered.iter().map(ToString::to_string).collect();
        prop_assert_eq!(&again, &offered.iter().map(|one| one.to_ascii_lowercase()).collect::<Vec<_>>());
        prop_assert_eq!(read(format!("E2U+{}", again.join("+"))), Ok(services));
    }

    #[test]
    fn no_octets_make_the_readers_panic(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Naptr::decode(&octets);
        let _ = Response::parse(&octets);
        let _ = AbsoluteUri::parse(&octets);
        let _ = Substitution::parse(&octets);
        let _ = Ere::compile(&octets, true);
        let _ = services::Services::parse(&octets);
    }

    #[test]
    fn a_response_with_any_octet_changed_is_read_or_refused(
        naptr in naptr(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut octets = response(&naptr);
        prop_assert_eq!(&Response::parse(&octets).unwrap().answers[0].data, &Data::Naptr(naptr));
        for (index, octet) in changes {
            let at = index.index(octets.len());
            octets[at] = octet;
        }
        if let Ok(response) = Response::parse(&octets) {
            for record in &response.answers {
                let _ = response.find(&record.owner, RecordType::NAPTR);
            }
        }
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC{0,80}") {
        let _ = Number::parse(&text, None);
        let _ = TelParams::parse(&text);
        let _ = text.parse::<Name>();
        let _ = text.parse::<Naptr>();
        let _ = Mailbox::parse(&text);
        let _ = Wanted::parse([text.as_str()]);
    }

    #[test]
    fn what_is_read_as_a_number_is_one(text in near("+0123456789 -.()/tel:wv;@=npdirncic*?", 40)) {
        let rules = NationalRules {
            country_code: Some("44".into()),
            trunk_prefix: Some("0".into()),
            international_prefixes: vec!["00".into()],
        };
        if let Ok(number) = Number::parse(std::str::from_utf8(&text).unwrap(), Some(&rules)) {
            let digits = number.aus.digits();
            prop_assert!((4..=15).contains(&digits.len()) && digits.bytes().all(|octet| octet.is_ascii_digit()));
            prop_assert_eq!(Number::parse(number.aus.as_str(), None).unwrap().aus, number.aus.clone());
            let name = number.aus.enum_name(&"e164.arpa".parse().unwrap()).unwrap();
            prop_assert_eq!(name.labels().len(), digits.len() + 2);
        }
    }

    #[test]
    fn near_expressions_compile_or_are_refused(expression in near("^$.*+?(){}[]|\\-:=,0129ax", 40)) {
        let _ = Ere::compile(&expression, false);
    }

    #[test]
    fn near_fields_never_pass_their_bounds(field in near("!!!\\\\123^$.*+()[]im:a@b.example", 120)) {
        if let Ok(substitution) = Substitution::parse(&field)
            && let Ok(expanded) = substitution.apply(&Aus::new("447700900123").unwrap())
        {
            prop_assert!(expanded.octets.len() <= MAX_EXPANDED);
        }
    }

    #[test]
    fn an_expression_matches_what_its_pieces_match(pieces in prop::collection::vec(piece(), 1..8)) {
        let (expressions, texts): (Vec<_>, Vec<_>) = pieces.into_iter().unzip();
        let expression = format!("^{}$", expressions.concat());
        let text = texts.concat();
        let ere = Ere::compile(expression.as_bytes(), false)
            .map_err(|error| TestCaseError::fail(format!("{expression}: {error}")))?;
        prop_assert!(ere.captures(text.as_bytes()).is_some(), "{expression} on {text}");
        let groups = expressions.iter().filter(|piece| piece.starts_with('(')).count();
        prop_assert_eq!(ere.groups(), groups);
        let longer = format!("{text}a");
        prop_assert!(ere.captures(longer.as_bytes()).is_none(), "{expression} on {text} and one letter more");
    }

    #[test]
    fn an_absolute_uri_reads_its_own_text(octets in near("im:pres@sip/%2F?&=+;.exampl~", 60)) {
        if let Ok(uri) = AbsoluteUri::parse(&octets) {
            prop_assert_eq!(AbsoluteUri::parse(uri.as_str().as_bytes()).unwrap(), uri.clone());
            prop_assert!(uri.scheme().len() < uri.as_str().len());
            let _ = uri.target(&"im".parse().unwrap());
        }
    }

    #[test]
    fn an_evaluation_asks_no_name_twice_and_ends(
        sets in prop::collection::vec(prop::collection::vec((0u16..4, 0usize..8, any::<bool>()), 0..5), 8),
    ) {
        let owner = |set: usize| format!("n{set}.example").parse::<Name>().unwrap();
        let record = |(order, target, terminal): (u16, usize, bool)| Naptr {
            order,
            preference: 0,
            flags: if terminal { b"U".to_vec() } else { Vec::new() },
            services: b"E2U+im".to_vec(),
            regexp: b"!^.*$!im:a@op.example!".to_vec(),
            replacement: if terminal { Name::root() } else { owner(target) },
        };
        let wanted = Wanted::parse(["im"]).unwrap();
        let aus = Aus::new("447700900123").unwrap();
        let mut evaluation = Evaluation::new(aus, owner(0), wanted, Policy::default());
        let mut asked = std::collections::HashSet::new();
        let selected = loop {
            match evaluation.step() {
                Step::Done(selected) => break selected,
                Step::Query(name) => {
                    let set = (0..sets.len()).find(|set| owner(*set) == name).unwrap();
                    evaluation.answer(Answer::Records(sets[set].iter().map(|parts| Ok(record(*parts))).collect()));
                    prop_assert!(asked.insert(name));
                }
            }
        };
        prop_assert_eq!(selected.verdict() == Verdict::Found, !selected.candidates.is_empty());
        for candidate in &selected.candidates {
            prop_assert!(candidate.path.len() <= Evaluation::MAX_DEPTH + 1);
            prop_assert_eq!(&candidate.path[0].owner, &owner(0));
        }
    }

    #[test]
    fn arranging_keeps_every_server_in_priority_order(
        records in prop::collection::vec((0u16..4, any::<u16>(), 1u16..40), 0..30),
        seed in any::<u64>(),
    ) {
        let srv = |(priority, weight, port)| Srv { priority, weight, port, target: "h.example".parse().unwrap() };
        let records: Vec<Srv> = records.into_iter().map(srv).collect();
        let mut random = fastrand::Rng::with_seed(seed);
        let arranged = arrange(&records, &mut |bound| random.u32(0..=bound)).unwrap();
        prop_assert!(arranged.servers.is_sorted_by_key(|srv| srv.priority));
        prop_assert_eq!(arranged.servers.len() + arranged.warnings.len(), records.len());
        let ports: std::collections::HashSet<u16> = records.iter().map(|srv| srv.port).collect();
        prop_assert_eq!(arranged.servers.len(), ports.len());
    }
}

/// A response to a question for `a.example` with one record.
fn response(naptr: &Naptr) -> Vec<u8> {
    let mut octets = encode_query(1, &"a.example".parse().unwrap(), RecordType::NAPTR, None);
    octets[2] |= 0x80;
    octets[7] = 1;
    let rdata = naptr.encode();
    octets.extend_from_slice(&[0xc0, 0x0c, 0, 35, 0, 1, 0, 0, 0, 60]);
    octets.extend_from_slice(&u16::try_from(rdata.len()).unwrap().to_be_bytes());
    octets.extend_from_slice(&rdata);
    octets
}
