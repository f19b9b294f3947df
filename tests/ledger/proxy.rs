//! The network between the gateway and a peer: connections pass, are held, are reset, or find the port closed.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Passes connections on.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    to: SocketAddr,
    weather: watch::Sender<Weather>,
    listener: Mutex<Option<JoinHandle<()>>>,
}

/// How the network is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Weather {
    /// All passes.
    Fair,
    /// Nothing passes, and nobody is told; it arrives when the network is fair again.
    Held,
    /// Every other connection is reset after so many octets towards the server.
    CutsRequests(usize),
    /// Every other connection is reset once the server has begun to answer, after so many octets of the answer.
    CutsResponses(usize),
    /// All connections are reset and the port is closed.
    Closed,
}

impl Proxy {
    /// Listens at an address, for a server at another.
    pub(crate) async fn start(address: SocketAddr, to: SocketAddr) -> Arc<Self> {
        let proxy = Arc::new(Self {
            address,
            to,
            weather: watch::Sender::new(Weather::Fair),
            listener: Mutex::default(),
        });
        proxy.listen().await;
        proxy
    }

    /// Changes the weather, also for connections that stand.
    pub(crate) async fn set(&self, weather: Weather) {
        let before = self.weather.send_replace(weather);
        if weather == Weather::Closed {
            let listener = self.listener.lock().unwrap().take();
            if let Some(listener) = listener {
                listener.abort();
                let _ = listener.await;
            }
        } else if before == Weather::Closed {
            self.listen().await;
        }
    }

    async fn listen(&self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        let (to, weather) = (self.to, self.weather.clone());
        let task = tokio::spawn(async move {
            let mut count = 0_usize;
            while let Ok((client, _)) = listener.accept().await {
                count += 1;
                tokio::spawn(pass(client, to, weather.subscribe(), count.is_multiple_of(2)));
            }
        });
        *self.listener.lock().unwrap() = Some(task);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(listener) = self.listener.lock().unwrap().take() {
            listener.abort();
        }
    }
}

/// One connection, until both ends have said all or it is reset.
async fn pass(mut client: TcpStream, to: SocketAddr, weather: watch::Receiver<Weather>, is_unlucky: bool) {
    let Ok(mut server) = TcpStream::connect(to).await else {
        let _ = client.set_zero_linger();
        return;
    };
    let passed = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let up = Way {
            weather: weather.clone(),
            is_unlucky,
            cut_after: |weather| match weather {
                Weather::CutsRequests(octets) => Some(octets),
                Weather::Fair | Weather::Held | Weather::CutsResponses(_) | Weather::Closed => None,
            },
        };
        let down = Way {
            weather,
            is_unlucky,
            cut_after: |weather| match weather {
                Weather::CutsResponses(octets) => Some(octets),
                Weather::Fair | Weather::Held | Weather::CutsRequests(_) | Weather::Closed => None,
            },
        };
        tokio::try_join!(up.go(from_client, to_server), down.go(from_server, to_client))
    };
    if passed.is_err() {
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

/// One direction of a connection.
struct Way {
    weather: watch::Receiver<Weather>,
    is_unlucky: bool,
    /// After how many octets this weather resets it.
    cut_after: fn(Weather) -> Option<usize>,
}

impl Way {
    /// An error resets the connection.
    async fn go(
        mut self,
        mut from: impl AsyncReadExt + Unpin,
        mut to: impl AsyncWriteExt + Unpin,
    ) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        let mut in_bad_weather = 0;
        loop {
            let read = tokio::select! {
                read = from.read(&mut buffer) => read?,
                _ = self.weather.wait_for(|weather| *weather == Weather::Closed) => return Err(reset()),
            };
            let _ = self.weather.wait_for(|weather| *weather != Weather::Held).await;
            let weather = *self.weather.borrow_and_update();
            if read == 0 {
                return to.shutdown().await;
            }
            let octets = buffer.get(..read).unwrap();
            let cut = (self.cut_after)(weather).filter(|_| self.is_unlucky);
            match cut {
                Some(cut) if in_bad_weather + read >= cut => {
                    to.write_all(
                        octets
                            .get(..cut.saturating_sub(in_bad_weather))
                            .unwrap_or_default(),
                    )
                    .await?;
                    return Err(reset());
                }
                Some(_) => in_bad_weather += read,
                None => in_bad_weather = 0,
            }
            to.write_all(octets).await?;
        }
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
