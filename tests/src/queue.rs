//! A port that is listened at and never taken from: whoever connects hangs in the air.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// The kernel takes a connection of loopback at once or not at all.
const TAKEN_WITHIN: Duration = Duration::from_secs(1);
/// The shortest queue has room for one; kernels round up.
const MOST: usize = 64;

/// A listening socket whose queue is full. The kernel drops what asks to be let in, and answers nothing.
pub struct FullQueue {
    pub addr: SocketAddr,
    _listener: TcpListener,
    /// These fill it.
    _held: Vec<TcpStream>,
}

impl FullQueue {
    /// # Errors
    /// Where the system gives no socket.
    ///
    /// # Panics
    /// Where the queue is never full.
    pub async fn start() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(0)?;
        let addr = listener.local_addr()?;
        let mut held = Vec::new();
        while let Ok(taken) = timeout(TAKEN_WITHIN, TcpStream::connect(addr)).await {
            held.push(taken?);
            assert!(held.len() < MOST, "the queue of {addr} has no end");
        }
        Ok(Self { addr, _listener: listener, _held: held })
    }
}
