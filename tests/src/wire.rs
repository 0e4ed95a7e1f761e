//! A wire between two parts that can be cut, or that can fall silent: connections stay open and nothing arrives.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes that are carried at once.
const PIECE: usize = 16 << 10;

/// Carries every connection to one place. Dropping it cuts them all.
#[derive(Debug)]
pub struct Wire {
    condition: watch::Sender<Condition>,
    _task: JoinSet<()>,
}

/// What a wire does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Whole,
    /// Connections break, and new ones break at once.
    Cut,
    /// Nothing is carried in either direction; what was sent arrives once the wire is whole again.
    Silent,
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// Where a wire leads.
#[derive(Debug, Clone)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> std::io::Result<Box<dyn Socket>> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (socket, _) = listener.accept().await?;
                socket.set_nodelay(true)?;
                Box::new(socket)
            }
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

impl Wire {
    /// A wire from a free port of loopback, which is answered too.
    pub async fn to_port(place: SocketAddr) -> Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let addr = listener.local_addr()?;
        Ok((Self::carry(Listener::Tcp(listener), Place::Tcp(place)), addr))
    }

    /// A wire from a socket file that is made for it.
    ///
    /// # Errors
    /// When the file is there already, for example.
    pub fn to_socket(from: &Path, place: PathBuf) -> Result<Self> {
        Ok(Self::carry(Listener::Unix(UnixListener::bind(from)?), Place::Unix(place)))
    }

    fn carry(listener: Listener, place: Place) -> Self {
        let (condition, seen) = watch::channel(Condition::Whole);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    socket = listener.accept() => if let Ok(socket) = socket {
                        connections.spawn(until_cut(socket, place.clone(), seen.clone()));
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Self { condition, _task: task }
    }

    pub fn set(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }
}

async fn until_cut(socket: Box<dyn Socket>, place: Place, seen: watch::Receiver<Condition>) {
    let mut cut = seen.clone();
    tokio::select! {
        _ = cut.wait_for(|condition| *condition == Condition::Cut) => {}
        _ = both_ways(socket, place, seen) => {}
    }
}

async fn both_ways(near: Box<dyn Socket>, place: Place, mut seen: watch::Receiver<Condition>) -> Result<()> {
    until_whole(&mut seen).await;
    let far: Box<dyn Socket> = match place {
        Place::Tcp(addr) => {
            let socket = TcpStream::connect(addr).await?;
            socket.set_nodelay(true)?;
            Box::new(socket)
        }
        Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
    };
    let ((near_in, near_out), (far_in, far_out)) = (split(near), split(far));
    tokio::try_join!(one_way(near_in, far_out, seen.clone()), one_way(far_in, near_out, seen))?;
    Ok(())
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut seen: watch::Receiver<Condition>,
) -> Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).await?;
        until_whole(&mut seen).await;
        if count == 0 {
            return Ok(to.shutdown().await?);
        }
        to.write_all(&piece[..count]).await?;
    }
}

/// A wire that is gone carries nothing either; then the task is about to be ended.
async fn until_whole(seen: &mut watch::Receiver<Condition>) {
    if seen.wait_for(|condition| *condition == Condition::Whole).await.is_err() {
        std::future::pending::<()>().await;
    }
}
