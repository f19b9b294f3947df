//! Ports for processes that bind them later.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// A free address of the loopback interface, its port below those from which the system takes the ports of connections: another
/// test's could take it before the process listens.
pub(crate) fn free_address() -> SocketAddr {
    free_address_of(&mut fastrand::Rng::new())
}

/// As [`free_address`], with the port that these random numbers lead to.
pub(crate) fn free_address_of(random: &mut fastrand::Rng) -> SocketAddr {
    let tried = || SocketAddr::from((Ipv4Addr::LOCALHOST, random.u16(12_000..32_000)));
    std::iter::repeat_with(tried)
        .find(|address| TcpListener::bind(address).is_ok())
        .unwrap()
}
