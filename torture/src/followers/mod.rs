//! Campaign 4: a server is killed while it writes replies. Followers are processes of their own,
//! which tell the parent what they receive over HTTP. After each kill, everything that a follower
//! was shown has to be stored.

mod follower;
mod journal;
mod script;
mod server;
mod stored;

pub(crate) use follower::run as follow;
pub(crate) use server::run as serve;

use crate::campaign::{Plan, Tally};
use crate::model;
use crate::processes::StoreOptions;
use crate::verdict::{Broken, Kind, hold};
use anyhow::{Context, Result, bail};
use durable_session::{ChatSessions, Message};
use durable_session_redb::RedbStore;
use fastrand::Rng;
use futures_executor::block_on;
use journal::{Journal, Shown};
use script::{ENDLESS, SESSIONS};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use stored::Stored;

pub(crate) const NAME: &str = "followers";

/// A case is so many kills of servers on one store, one after the other.
const KILLS: usize = 20;
/// The last one is killed now and then, and another process goes on from its cursors.
const FOLLOWERS: usize = 2;
/// Nothing takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) fn run(plan: &Plan) -> Tally {
    plan.cases(NAME, Kind::OF_MESSAGES, 2, |_, rng, tally| {
        let options = StoreOptions::any(rng);
        tally.note(&options);
        let mut case = Case::begin(options)?;
        for kill in 0..KILLS {
            case.live_and_die(rng, tally).with_context(|| format!("kill {kill}"))?;
        }
        case.end(tally).context("after the last kill")
    })
}

/// What the processes told, and how often they told something.
#[derive(Default)]
struct Books {
    pages: Mutex<Pages>,
    told: Condvar,
}

#[derive(Default)]
struct Pages {
    journals: [Journal; FOLLOWERS],
    /// How replies ended, as the server was told: session, seq, how.
    ends: Vec<(usize, u64, String)>,
    lines: u64,
    /// The first thing that a follower must not have received.
    failed: Option<anyhow::Error>,
    /// The parts of processes that ended.
    ended: Vec<Part>,
}

/// The part that a process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Server,
    Follower(usize),
}

impl Books {
    fn open(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what a process tells until it ends. A line that a kill has cut was not told.
    fn read(&self, part: Part, from: impl std::io::Read) {
        let mut from = BufReader::new(from);
        let mut line = String::new();
        while from.read_line(&mut line).is_ok_and(|read| read > 0) && line.ends_with('\n') {
            self.open().take(part, line.trim_end_matches('\n'));
            self.told.notify_all();
            line.clear();
        }
        self.open().ended.push(part);
        self.told.notify_all();
    }

    /// Waits until it is so.
    fn wait(&self, is: impl Fn(&Pages) -> bool) -> Result<()> {
        let began = Instant::now();
        let mut pages = self.open();
        loop {
            pages.check()?;
            if is(&pages) {
                return Ok(());
            }
            if let Some(part) = pages.ended.first() {
                bail!("a process ended by itself: {part:?}");
            }
            hold!(began.elapsed() < PATIENCE, Lost, "followers wait for what does not come");
            let waited = self.told.wait_timeout(pages, Duration::from_secs(1));
            pages = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Pages {
    fn take(&mut self, part: Part, line: &str) {
        self.lines += 1;
        let taken = match part {
            Part::Server => self.take_end(line),
            Part::Follower(n) => self.journals[n].take(line).with_context(|| format!("{part:?}")),
        };
        if let Err(error) = taken {
            self.failed.get_or_insert(error);
        }
    }

    fn take_end(&mut self, line: &str) -> Result<()> {
        let mut words = line.split(' ').skip(1);
        let mut word = || words.next().with_context(|| format!("the server said {line:?}"));
        self.ends.push((word()?.parse()?, word()?.parse()?, word()?.to_owned()));
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    fn shown(&self, session: usize) -> Shown {
        let mut shown = Shown::default();
        self.journals.iter().for_each(|journal| journal.show(session, &mut shown));
        shown
    }
}

/// A process of a case. Dropped, it is killed.
struct Process {
    child: Child,
    reader: Option<JoinHandle<()>>,
    part: Part,
    books: Arc<Books>,
}

impl Process {
    fn start(mut command: Command, part: Part, books: &Arc<Books>) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let (pipe, told) = (child.stdout.take().context("no output")?, Arc::clone(books));
        let reader = std::thread::spawn(move || told.read(part, pipe));
        Ok(Self { child, reader: Some(reader), part, books: Arc::clone(books) })
    }

    /// Kills it and takes in all that it had told.
    fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
            self.books.open().ended.retain(|part| *part != self.part);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

struct Case {
    options: StoreOptions,
    file: PathBuf,
    /// Held for all servers of the case.
    listener: TcpListener,
    books: Arc<Books>,
    followers: Vec<Process>,
    stored: [Stored; SESSIONS],
    _folder: tempfile::TempDir,
}

impl Case {
    /// Makes the sessions, and lets every follower begin in each of them.
    fn begin(options: StoreOptions) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("followed.redb");
        let store = RedbStore::open(&file)?;
        let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
        for session in 0..SESSIONS {
            block_on(sessions.session(script::id(session)?).add_message(Message::user("begin")))?;
        }
        block_on(sessions.close())?;
        block_on(store.close())?;
        let mut case = Self {
            options,
            file,
            listener: TcpListener::bind("127.0.0.1:0")?,
            books: Arc::default(),
            followers: Vec::new(),
            stored: Default::default(),
            _folder: folder,
        };
        let mut server = case.serve(true)?;
        for n in 0..FOLLOWERS {
            case.followers.push(case.follow(n)?);
        }
        case.books.wait(|pages| pages.journals.iter().all(Journal::has_begun))?;
        server.kill()?;
        Ok(case)
    }

    fn serve(&self, quiet: bool) -> Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--serve").arg(&self.file);
        self.options.tell(&mut command);
        if quiet {
            command.env(server::QUIET, "1");
        }
        command.stdin(Stdio::from(OwnedFd::from(self.listener.try_clone()?)));
        Process::start(command, Part::Server, &self.books)
    }

    fn follow(&self, n: usize) -> Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--follow").arg(format!("http://{}", self.listener.local_addr()?));
        command.env(follower::CURSORS, self.books.open().journals[n].cursors());
        command.stdin(Stdio::null());
        Process::start(command, Part::Follower(n), &self.books)
    }

    /// One life of the server.
    fn live_and_die(&mut self, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
        let (early, enough) = (rng.u8(0..6) == 0, rng.u64(2..80));
        let (soon, pause) = (rng.u64(0..40_000), rng.u64(0..4_000));
        let (read_only, again) = (rng.bool(), rng.u8(0..4) == 0);
        let begun = self.books.open().lines;
        let last = self.stored[ENDLESS].last;
        let mut server = self.serve(false)?;
        if early {
            // While it opens the store, or soon after.
            std::thread::sleep(Duration::from_micros(soon));
        } else {
            self.books.wait(|pages| {
                let shows = |journal: &Journal| journal.has_chunks(ENDLESS, last, 2);
                pages.lines >= begun + enough && pages.journals.iter().any(shows)
            })?;
            std::thread::sleep(Duration::from_micros(pause));
        }
        let shown: Vec<_> = {
            let pages = self.books.open();
            (0..SESSIONS).map(|session| pages.shown(session).chunks).collect()
        };
        server.kill()?;
        tally.add("kills", 1);
        if again {
            self.replace_follower(FOLLOWERS - 1)?;
            tally.add("replaced", 1);
        }
        self.check(read_only, tally)?;
        let counts = self.stored.iter().zip(&shown).any(|(of, shown)| of.is_open_and_shown(shown));
        tally.add("kills_that_count", u64::from(counts));
        Ok(())
    }

    /// Kills a follower's process. Another one goes on from its cursors.
    fn replace_follower(&mut self, n: usize) -> Result<()> {
        self.followers[n].kill()?;
        self.books.open().journals[n].killed();
        self.followers[n] = self.follow(n)?;
        Ok(())
    }

    /// Compares what is stored with the journals, while no server runs.
    fn check(&mut self, read_only: bool, tally: &mut Tally) -> Result<()> {
        let store = if read_only {
            RedbStore::builder().open_read_only(&self.file)
        } else {
            RedbStore::open(&self.file)
        };
        let store = store.context("opening after the kill")?;
        let mut pages = self.books.open();
        pages.check()?;
        let mut told: BTreeMap<(usize, u64), String> = BTreeMap::new();
        for (session, seq, how) in std::mem::take(&mut pages.ends) {
            let before = told.entry((session, seq)).or_insert_with(|| how.clone());
            hold!(
                *before == how,
                Wrong,
                "of the reply {seq} in session {session} one caller is told {before}, another {how}"
            );
        }
        for (session, stored) in self.stored.iter_mut().enumerate() {
            let of = told.iter().filter(|((of, _), _)| *of == session);
            stored.told.extend(of.map(|((_, seq), how)| (*seq, how.clone())));
            let seen = model::look(&store, &script::id(session)?)?;
            let Some(seen) = seen else {
                return Err(Broken::new(Kind::Lost, 1, format!("session {session} is gone")).into());
            };
            stored.check(session, seen, &pages.shown(session), tally)?;
        }
        drop(pages);
        Ok(block_on(store.close())?)
    }

    /// Lets a last server end the replies that were left open, and every follower hear of it.
    fn end(&mut self, tally: &mut Tally) -> Result<()> {
        let last = self.stored.each_ref().map(|stored| stored.last);
        let mut server = self.serve(true)?;
        self.books.wait(|pages| {
            let mut journals = pages.journals.iter();
            journals.all(|journal| (0..SESSIONS).all(|n| journal.is_complete(n, last[n])))
        })?;
        server.kill()?;
        self.check(false, tally)?;
        self.stored.iter().try_for_each(Stored::check_all_ended)?;
        let pages = self.books.open();
        tally.add("replies", last.iter().map(|last| last / 2).sum());
        tally.add("received", pages.lines);
        Ok(())
    }
}
