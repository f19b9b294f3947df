//! What an agreement allows is the peer's, however many nodes there are: each has a part, divided anew when one comes or goes.

use impsgw::app::App;

use super::{
    Table,
    ssp::{ada, answer_at, first_request, send},
    until,
};
use crate::hostile::peer::Peer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_divided_among_the_living() {
    let mut beta = Peer::new("beta").await;
    let table = Table::with(&[&beta]).await;
    // The first has the home domain, so what its people say goes out there, whichever node they ask.
    let n1 = table.gateway("n1", &[&beta]).await;
    let session = beta.open(n1.ssp[0]).await;
    // A pace is there once something has gone to the peer.
    let ada = ada(&n1).await;
    let sending = tokio::spawn(async move { send(&ada, "hello").await });
    let (id, primitive) = first_request(&mut beta, &session).await;
    answer_at(n1.ssp[0], &session, &id, &primitive).await;
    assert_eq!(sending.await.unwrap(), "taken");
    let whole = limits(&n1);
    let part = |nodes| (whole.0.div_ceil(nodes), whole.1.div_ceil(nodes));
    let n2 = table.gateway("n2", &[&beta]).await;
    until(|| limits(&n1) == part(2)).await;
    let n3 = table.gateway("n3", &[&beta]).await;
    until(|| limits(&n1) == part(3)).await;
    // One that drains takes nothing new, so the others have its part at once, and not with the end of its lease.
    super::cluster(&n3).drain().await.unwrap();
    until(|| limits(&n1) == part(2)).await;
    // One that dies leaves its part when its lease ends.
    drop(n2);
    until(|| limits(&n1) == whole).await;
    n1.shut_down().await;
    n3.shut_down().await;
}

/// Deliveries at once, and a second.
fn limits(node: &App) -> (u32, u32) {
    let pace = node.relay.pace(&"beta".parse().unwrap()).unwrap();
    assert!(!pace.is_cut, "{pace:?}");
    (pace.most_in_flight, pace.per_second)
}
