//! tokio-postgres by hand: a prepared `INSERT` for each append, on 16 connections.

use super::peer::{CONNECTIONS, Peer, insert, table};
use crate::peer::message;
use anyhow::{Context, Result};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, Statement};

/// An idle connection waits in the channel.
pub(super) struct Naive {
    idle: Sender<(Client, Statement)>,
    taken: Mutex<Receiver<(Client, Statement)>>,
    drivers: Vec<JoinHandle<Result<(), tokio_postgres::Error>>>,
}

impl Naive {
    pub(super) async fn open(url: &str, schema: &str) -> Result<Self> {
        let (idle, taken) = mpsc::channel(CONNECTIONS);
        let mut drivers = Vec::new();
        for _ in 0..CONNECTIONS {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            drivers.push(tokio::spawn(connection));
            client.batch_execute(&table(schema)).await?;
            let statement = client.prepare(&insert(schema)).await?;
            idle.send((client, statement)).await?;
        }
        Ok(Self { idle, taken: Mutex::new(taken), drivers })
    }

    async fn take(&self) -> Result<(Client, Statement)> {
        self.taken.lock().await.recv().await.context("the pool is closed")
    }
}

impl Peer for Naive {
    async fn append(&self, session: usize) -> Result<()> {
        let (client, statement) = self.take().await?;
        let (name, message) = (format!("session-{session}"), message());
        client.execute(&statement, &[&name, &message.as_json().as_bytes()]).await?;
        Ok(self.idle.send((client, statement)).await?)
    }

    async fn close(self) -> Result<()> {
        drop((self.idle, self.taken));
        for driver in self.drivers {
            driver.await??;
        }
        Ok(())
    }
}
