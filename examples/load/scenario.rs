//! The scenarios: who is there, who sends, and what is measured.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::account::{Account, text};
use super::connection::{Connection, Target};
use super::member::{Latencies, Measure, Member, Pace};
use super::order::Place;
use super::process::{Process, Usage};
use super::report::{Cost, Percentiles, Report};

/// How long after the end of the load the last message may be delivered.
const LATE: Duration = Duration::from_secs(30);
/// Users who share the same rooms in the idle scenario.
const NEIGHBOURS: usize = 50;
/// Idle connections that are opened at once.
const OPENING: usize = 64;

/// What all scenarios need.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) target: Target,
    pub(crate) lasts: Duration,
    pub(crate) content_bytes: usize,
    /// Messages a second of all senders; without it each sends as soon as it may.
    pub(crate) rate: Option<u32>,
    /// The server's process, if it is known.
    pub(crate) server: Option<Process>,
}

/// A connection and what it does.
struct Part {
    connection: Connection,
    place: Arc<Place>,
    number: u32,
    window: u32,
}

impl Load {
    /// Pairs of users, of whom one sends.
    pub(crate) async fn one_to_one(&self, pairs: u32, window: u32) -> anyhow::Result<Report> {
        let accounts = Account::register(&self.target, pairs * 2).await?;
        let mut connections = Account::connect_all(&self.target, &accounts).await?.into_iter();
        let (mut parts, mut places) = (Vec::new(), Vec::new());
        for pair in accounts.chunks_exact(2) {
            let mut sender = connections.next().context("each account has a connection")?;
            let receiver = connections.next().context("each account has a connection")?;
            let open = json!({"action": "open_private_chat", "username": pair[1].username});
            let chat = text(&sender.request(open).await?, "chat_id")?;
            let request = format!(r#"{{"action":"send_private_message","chat_id":"{chat}""#);
            let place = Arc::new(place(&mut sender, request, 1).await?);
            places.push(Arc::clone(&place));
            parts.push(Part { connection: sender, place: Arc::clone(&place), number: 0, window });
            parts.push(Part { connection: receiver, place, number: 0, window: 0 });
        }
        let title = format!("one-to-one: {pairs} pairs, {window} unfinished messages each");
        self.measure(title, parts, places).await
    }

    /// One room with `members`, of whom the first `senders` send.
    pub(crate) async fn fanout(&self, members: u32, senders: u32, window: u32) -> anyhow::Result<Report> {
        let accounts = Account::register(&self.target, members).await?;
        let room = Account::room(&self.target, &accounts).await?;
        let mut connections = Account::connect_all(&self.target, &accounts).await?;
        let first = connections.first_mut().context("a room has members")?;
        let request = format!(r#"{{"action":"send_room_message","room_id":"{room}""#);
        let place = Arc::new(place(first, request, senders).await?);
        let part = |(connection, number)| Part {
            connection,
            place: Arc::clone(&place),
            number,
            window: if number < senders { window } else { 0 },
        };
        let parts = connections.into_iter().zip(0..).map(part).collect();
        let title =
            format!("fan-out: a room of {members}, {senders} senders, {window} unfinished messages each");
        self.measure(title, parts, vec![Arc::clone(&place)]).await
    }

    /// `rooms` rooms, over which `senders` are spread.
    pub(crate) async fn rooms(&self, rooms: u32, senders: u32, window: u32) -> anyhow::Result<Report> {
        let accounts = Account::register(&self.target, senders).await?;
        let (mut parts, mut places) = (Vec::new(), Vec::new());
        // Who sends in the same room stands together.
        for members in accounts.chunks(senders.div_ceil(rooms) as usize) {
            let room = Account::room(&self.target, members).await?;
            let mut connections = Account::connect_all(&self.target, members).await?;
            let first = connections.first_mut().context("a room has members")?;
            let request = format!(r#"{{"action":"send_room_message","room_id":"{room}""#);
            let place = Arc::new(place(first, request, u32::try_from(members.len())?).await?);
            let numbered = connections.into_iter().zip(0..);
            parts.extend(numbered.map(|(connection, number)| Part {
                connection,
                place: Arc::clone(&place),
                number,
                window,
            }));
            places.push(place);
        }
        let title =
            format!("rooms: {senders} senders in {} rooms, {window} unfinished messages each", places.len());
        self.measure(title, parts, places).await
    }

    /// Puts the load on and waits until everything is delivered.
    async fn measure(
        &self,
        title: String,
        parts: Vec<Part>,
        places: Vec<Arc<Place>>,
    ) -> anyhow::Result<Report> {
        let (before, own_before) = (self.server_usage()?, Process::own().usage()?);
        let begins = Instant::now();
        let measure = Arc::new(Measure {
            target: self.target.clone(),
            begins,
            ends: begins + self.lasts,
            // The time of sending and a space stand before it.
            filler: "x".repeat(self.content_bytes.saturating_sub(13)),
            acknowledgements: Latencies::new()?,
            deliveries: Latencies::new()?,
        });
        let mut paces = self.paces(parts.iter().filter(|part| part.window > 0).count(), begins);
        let mut members = JoinSet::new();
        for Part { connection, place, number, window } in parts {
            let mut member = Member::new(Arc::clone(&measure), place, number, window);
            if window > 0
                && let Some(pace) = paces.next()
            {
                member = member.at_pace(pace);
            }
            members.spawn(member.run(connection));
        }
        let mut deliveries = 0;
        while let Some(member) = timeout_at(measure.ends + LATE, members.join_next())
            .await
            .with_context(|| format!("{} members still wait for messages", members.len()))?
        {
            deliveries += member??;
        }
        let took = begins.elapsed();
        let acknowledged = places.iter().map(|place| place.check()).sum::<anyhow::Result<u64>>()?;
        if acknowledged == 0 {
            bail!("not a single message was acknowledged");
        }
        let title = match self.rate {
            Some(rate) => format!("{title}, {rate} messages/s"),
            None => title,
        };
        Ok(Report {
            title,
            took,
            acknowledged,
            deliveries,
            acknowledgement: Some(percentiles(&measure.acknowledgements)),
            delivery: Some(percentiles(&measure.deliveries)),
            refusals: self.target.refusals(),
            server: self.cost(before)?,
            own_cpu: Process::own().usage()?.cpu - own_before.cpu,
            idle_connections: 0,
        })
    }

    /// When each of so many senders sends; nothing without a rate.
    fn paces(&self, senders: usize, begins: Instant) -> impl Iterator<Item = Pace> + use<> {
        let count = u32::try_from(senders).unwrap_or(u32::MAX);
        let between = self.rate.map(|rate| Duration::from_secs(1) / rate);
        between.into_iter().flat_map(move |between| {
            (0..count).map(move |place| Pace { next: begins + between * place, every: between * count })
        })
    }

    /// Connections on which nothing happens.
    pub(crate) async fn idle(&self, connections: u32, rooms: u32, per_user: u32) -> anyhow::Result<Report> {
        let accounts = Account::register(&self.target, connections.div_ceil(per_user)).await?;
        for neighbours in accounts.chunks(NEIGHBOURS) {
            for _ in 0..rooms {
                Account::room(&self.target, neighbours).await?;
            }
        }
        let (before, own_before) = (self.server_usage()?, Process::own().usage()?);
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let users = accounts.iter().cycle().take(connections as usize);
        let mut opened = stream::iter(users).map(|user| user.connect(&self.target)).buffer_unordered(OPENING);
        while let Some(connection) = opened.next().await {
            tasks.spawn(sit_idle(connection?, stop.clone()));
        }
        let begins = Instant::now();
        let ended_early = timeout_at(begins + self.lasts, tasks.join_next()).await;
        if let Ok(Some(ended)) = ended_early {
            ended??;
        }
        let server = self.cost(before)?;
        let took = begins.elapsed();
        stop.cancel();
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(Report {
            title: format!(
                "idle: {connections} connections of {} users in {rooms} rooms each",
                accounts.len()
            ),
            took,
            acknowledged: 0,
            deliveries: 0,
            acknowledgement: None,
            delivery: None,
            refusals: self.target.refusals(),
            server,
            own_cpu: Process::own().usage()?.cpu - own_before.cpu,
            idle_connections: u64::from(connections),
        })
    }

    fn server_usage(&self) -> anyhow::Result<Option<Usage>> {
        self.server.as_ref().map(Process::usage).transpose()
    }

    /// What the server has used since `before`.
    fn cost(&self, before: Option<Usage>) -> anyhow::Result<Option<Cost>> {
        let cost = |(before, after): (Usage, Usage)| Cost {
            cpu: after.cpu - before.cpu,
            resident_bytes_before: before.resident_bytes,
            resident_bytes: after.resident_bytes,
        };
        Ok(before.zip(self.server_usage()?).map(cost))
    }
}

/// A conversation that the load begins in, behind a first message.
async fn place(sender: &mut Connection, request: String, senders: u32) -> anyhow::Result<Place> {
    let first = serde_json::from_str(&format!(r#"{request},"content":"The load begins."}}"#))?;
    let seq = sender.request(first).await?["seq"].as_u64().context("an acknowledgement without a number")?;
    Ok(Place::new(request, seq, senders))
}

/// Reads what comes, until `stop` or until the server closes.
async fn sit_idle(mut connection: Connection, stop: CancellationToken) -> anyhow::Result<()> {
    while let Some(frame) = stop.run_until_cancelled(connection.next()).await {
        frame?;
    }
    connection.close().await;
    Ok(())
}

fn percentiles(latencies: &Latencies) -> Percentiles {
    let [p50, p90, p99, p999, max] =
        [50.0, 90.0, 99.0, 99.9, 100.0].map(|percent| latencies.percentile(percent));
    Percentiles { p50, p90, p99, p999, max }
}
