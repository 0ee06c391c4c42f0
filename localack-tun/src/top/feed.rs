//! Asks the gateway every second, so that the view never waits for it.

use core::time::Duration;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;

use super::MOST_FLOWS;
use super::app::Snapshot;
use crate::control::protocol::{Answer, Flows, Request, Sort};
use crate::control::{Client, ClientError};

/// How often the gateway is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// The news of a gateway.
#[derive(Debug)]
pub(super) struct Feed {
    /// What the gateway says, or why it says nothing.
    pub(super) news: Receiver<Result<Snapshot, String>>,
    orders: Sender<Sort>,
}

impl Feed {
    /// Begins to ask, in a thread that ends some time after this value.
    pub(super) fn start(socket: PathBuf, sort: Sort) -> std::io::Result<Self> {
        let (tell, news) = channel();
        let (orders, ordered) = channel();
        thread::Builder::new()
            .name("feed".to_owned())
            .spawn(move || {
                let mut sort = sort;
                let mut client = None;
                loop {
                    let asked = ask(&mut client, &socket, sort).map_err(|error| error.to_string());
                    if asked.is_err() {
                        client = None;
                    }
                    if tell.send(asked).is_err() {
                        return;
                    }
                    match ordered.recv_timeout(INTERVAL) {
                        Ok(other) => sort = ordered.try_iter().last().unwrap_or(other),
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            })?;
        Ok(Self { news, orders })
    }

    /// Wants flows in another order, at once.
    pub(super) fn order(&self, sort: Sort) {
        // If the thread has ended there is nothing to order.
        let _ = self.orders.send(sort);
    }
}

fn ask(
    client: &mut Option<Client>,
    socket: &std::path::Path,
    sort: Sort,
) -> Result<Snapshot, ClientError> {
    let client = match client {
        Some(client) => client,
        None => client.insert(Client::connect(socket)?),
    };
    let other = || ClientError::Nonsense("another answer".to_owned());
    let Answer::Status(status) = client.ask(Request::Status)? else {
        return Err(other());
    };
    let wanted = Flows {
        sort,
        limit: MOST_FLOWS,
    };
    let Answer::Flows(flows) = client.ask(Request::Flows(wanted))? else {
        return Err(other());
    };
    Ok(Snapshot { status, flows })
}
