//! The SSP codec on the document that a gateway sees most: one `SendMessageRequest` of about 1.2 KiB.
//!
//! The target is 6 µs for reading and writing it together. `cargo bench --bench codec`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use impsgw::wire::ssp::xml::Tree;
use impsgw::wire::ssp::{
    ContentData, DateTime, Document, Entity, Limits, MessageInfo, MetaInfo, Profile, SendMessageRequest,
    SessionId, Transaction, TransactionId, User, decode, encode,
};

fn codec(criterion: &mut Criterion) {
    let document = document();
    let body = encode(&document, &Profile::STRICT);
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("ssp_send_message");
    group.throughput(Throughput::Bytes(u64::try_from(body.len()).unwrap_or_default()));
    group.bench_function("tree", |bencher| {
        bencher.iter(|| Tree::parse(black_box(&body), &limits).is_ok())
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| decode(black_box(&body), &limits, &Profile::STRICT))
    });
    group.bench_function("encode", |bencher| {
        bencher.iter(|| encode(black_box(&document), &Profile::STRICT))
    });
    group.bench_function("decode_and_encode", |bencher| {
        bencher.iter(|| {
            decode(black_box(&body), &limits, &Profile::STRICT)
                .map(|decoded| encode(&decoded.document, &Profile::STRICT))
        });
    });
    group.finish();
}

fn document() -> Document {
    let user = |address: &str| Entity::user(address);
    let info = MessageInfo {
        message_id: Some("alpha-000441".to_owned()),
        content_type: Some("text/plain".to_owned()),
        content_size: Some(240),
        validity: Some(std::time::Duration::from_secs(86_400)),
        date: Some(DateTime::from_unix_seconds(1_237_026_030)),
        ..MessageInfo::new(
            user("wv:+447700900123@alpha.example"),
            vec![user("wv:+447700900456@bravo.example")],
        )
    };
    let request = SendMessageRequest {
        delivery_report: true,
        meta: Some(MetaInfo::for_user(
            "wv:@alpha.example",
            User::new("wv:+447700900123@alpha.example"),
        )),
        info,
        content: Some(ContentData::text("See you at 6! ".repeat(18))),
    };
    Document::Session {
        session_id: SessionId::new("5512@alpha.example"),
        transactions: vec![Transaction::request(TransactionId::new("0000000012-0"), request)],
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
